//! The machines of the server, without any input or output.
//!
//! Each machine takes what happened and the time as arguments and says what to do next; the shells
//! around them own sockets, timers and the log. So every decision here can be tested step by step,
//! on no clock but the test's own.
//!
//! - [`admit`] decides which publishes go into the next batch of the log.
//! - [`subscription`] decides what one subscriber reads next, and from where.
//! - [`session`] speaks the two-way protocol; its [frames](frame) are the same on every carrier.

pub mod admit;
pub mod frame;
pub mod session;
pub mod subscription;
