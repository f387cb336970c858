use std::sync::OnceLock;

use bytes::Bytes;

use crate::logged::LoggedEvent;

/// An event on its way to all its subscribers, encoded at most once in each form.
#[derive(Debug)]
pub struct SharedEvent {
    logged: LoggedEvent,
    forms: [OnceLock<Bytes>; 2],
}

/// The forms in which subscribers share an event's bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// The contract's JSON form.
    Json,
    /// The contract's binary form.
    Protobuf,
}

impl Form {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Protobuf => "protobuf",
        }
    }
}

impl SharedEvent {
    /// Shares an event.
    pub fn new(logged: LoggedEvent) -> Self {
        Self { logged, forms: Default::default() }
    }

    /// The event.
    pub fn logged(&self) -> &LoggedEvent {
        &self.logged
    }

    /// The event's bytes in a form, made by the first who asks for them.
    pub fn form(&self, form: Form, encode: impl FnOnce(&LoggedEvent) -> Bytes) -> &Bytes {
        self.forms[form as usize].get_or_init(|| encode(&self.logged))
    }
}
