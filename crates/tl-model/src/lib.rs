//! The vocabulary every other crate speaks.
//!
//! An [`Event`] is published to a [`Channel`]. The log gives it an [`Offset`], and a reader names its
//! place in the log with a [`Cursor`](Position::cursor), the same text on every transport. What a
//! reader reads is a [`Selection`]. What operators decide about channels is a [`Rule`]. Whatever goes
//! wrong at the edge is an [`Error`] with one of the closed set of [`ErrorCode`]s, and every bound
//! has its name in [`limits`].
//!
//! This crate is pure: no clock, no socket, no randomness, no runtime. Times and ids are arguments.

mod call;
mod channel;
mod error;
mod event;
mod key;
pub mod limits;
mod logged;
mod position;
mod rules;
mod schema_rules;
mod selection;
mod shared;

pub use call::{Call, Principal};
pub use channel::{Channel, ChannelError};
pub use error::{Error, ErrorCode, Fault};
pub use event::{
    AttributeValue, DataForm, Event, EventBuilder, EventError, ExtensionName, TOMBSTONE,
    content_type,
};
pub use key::{Fingerprint, IdempotencyKey, IdempotencyKeyError, Once};
pub use logged::{Appended, Gap, LoggedEvent, NewEvent};
pub use position::{After, CursorError, CursorText, Epoch, EpochError, Offset, Position};
pub use rules::{ChannelRules, Durability, Newer, Retention, Rule, Rules};
pub use schema_rules::SchemaRule;
pub use selection::{Pattern, PatternError, Selection, SelectionError};
pub use shared::{Form, SharedEvent};
