//! The Rust client.
//!
//! [`Client::publish`] publishes; [`Client::subscribe`] reads from a cursor over whichever
//! [`TransportKind`] suits, reconnects by itself, and goes on where it was: nothing lost, nothing
//! twice. The cursor of any event can be handed to another subscription over another transport.
//!
//! The latest event of a channel is its document: [`Client::state`] reads it, [`Client::put_state`],
//! [`Client::patch_state`] and [`Client::delete_state`] change it, [`Client::documents`] lists those
//! of many channels. A [`Condition`] keeps publishers from overwriting what they have not seen.
//!
//! What is published with an [`IdempotencyKey`] is repeated by the client itself while the connection
//! is lost or the server cannot take it right now, up to seven times within half a minute or so, and
//! has its effect once. Without a key nothing is ever repeated. A server that says nothing is given up
//! after a minute, each time.
//!
//! ```no_run
//! # async fn example() -> Result<(), tl_client::ClientError> {
//! use tl_client::{Client, Draft, Subscribe, TransportKind, Update};
//!
//! let client = Client::new("http://127.0.0.1:8080")?;
//! client.publish("orders.eu", &Draft { data: Some("{}".into()), ..Draft::default() }).await?;
//! let mut orders = client.subscribe(Subscribe::to(["orders.>"]).over(TransportKind::Sse));
//! while let Some(update) = orders.next().await {
//!     if let Update::Event(event) = update? {
//!         println!("{} {}", event.at.cursor(), event.event.id());
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod backoff;
mod client;
mod error;
mod protocol;
mod rpc;
mod schemas;
mod session;
mod state;
mod subscription;
mod tls;
mod transport;
mod write;

pub use client::{Client, ClientBuilder, Page, PublishOptions};
pub use error::ClientError;
pub use protocol::Protocol;
pub use schemas::{NewSchema, PutSchema};
pub use session::Session;
pub use subscription::{Subscribe, Subscription, Update};
pub use tl_model::IdempotencyKey;
pub use tl_wire::draft::{Draft, ExtensionValue, Received};
pub use tl_wire::generated::throughline::v1::Receipt;
pub use tl_wire::schemas::SchemaVersion;
pub use transport::TransportKind;
pub use write::{ChangeOptions, Condition};
