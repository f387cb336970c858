//! The Rust client.
//!
//! [`Client::publish`] publishes; [`Client::subscribe`] reads from a cursor over whichever
//! [`TransportKind`] suits, reconnects by itself, and goes on where it was: nothing lost, nothing
//! twice. The cursor of any event can be handed to another subscription over another transport.
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

mod backoff;
mod client;
mod error;
mod schemas;
mod session;
mod subscription;
mod tls;
mod transport;

pub use client::{Client, ClientBuilder, Page, PublishOptions};
pub use error::ClientError;
pub use schemas::{NewSchema, PutSchema};
pub use session::Session;
pub use subscription::{Subscribe, Subscription, Update};
pub use tl_wire::draft::{Draft, ExtensionValue, Received};
pub use tl_wire::generated::throughline::v1::Receipt;
pub use tl_wire::schemas::SchemaVersion;
pub use transport::TransportKind;
