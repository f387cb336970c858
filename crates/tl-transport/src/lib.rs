//! What every transport fills in, and builds on.
//!
//! A transport is a small room: it implements [`Transport`], and on [`mount`](Transport::mount) hands
//! its [routes](Route) to the [`Host`]. One address may belong to several rooms: the host chooses by
//! method, path and media type, and gives every refusal the same form.
//!
//! - One-way rooms read through [`Engine::read`] and [`Engine::subscribe`] and only write down what
//!   they get.
//! - What they are asked to write under a condition, or once, they hand to [`Write`](writing::Write) and
//!   [`Change`](writing::Change).
//! - Two-way rooms turn their socket into a [`Carrier`](session::Carrier); one [driver](session::drive)
//!   runs the session for all of them.
//!
//! Rooms know neither each other nor any store; what they may use is re-exported here.

mod host;
pub mod http;
mod line;
pub mod reading;
mod replay;
pub mod session;
mod stamp;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod writing;

pub use host::{Delegate, Deprecation, Handler, Host, HttpService, Leaving, Origins, Route};
pub use line::Line;
pub use replay::Replay;
pub use stamp::EngineStamp;

pub use bytes::{self, Bytes};
pub use tl_engine::{self as engine, Engine};
pub use tl_model as model;
pub use tl_protocol as protocol;
pub use tl_wire as wire;

/// A way in and out of the log.
pub trait Transport: Send + Sync {
    /// Hands over what it serves.
    fn mount(&self, host: &mut Host);
}
