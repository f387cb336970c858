use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// What a client is told when something is refused or fails.
///
/// The text is public: it says what to do and holds no secret and no internal detail. What operators
/// need beyond it goes to the log where the failure is met.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Error {
    /// The stable code.
    pub code: ErrorCode,
    /// A sentence for the person who reads it.
    pub detail: Cow<'static, str>,
    /// When trying again makes sense, where that is known.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error with its sentence.
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), retry_after: None }
    }

    /// The same error, with the time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

/// Whose doing an error is: decides between 4xx and 5xx and their like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The caller's: the same request fails again.
    Caller,
    /// The server's.
    Server,
}

/// Declares the closed set once: variant, wire text, fault, whether the same request may succeed
/// later, and the short title people see.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $fault:ident, $retryable:literal, $title:literal;)*) => {
        /// Every error a client can meet, on any transport.
        ///
        /// Codes are added, never renamed or removed.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum ErrorCode { $($(#[$doc])* $variant,)* }

        impl ErrorCode {
            /// All codes, in alphabetical order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code's stable text, the same on every transport.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// A few words for people; the detail of an error says more.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// Whose doing it is.
            pub const fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault,)* }
            }

            /// Whether the same request, unchanged, may succeed later.
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$variant => $retryable,)* }
            }
        }
    };
}

error_codes! {
    /// More events or bytes than one batch may hold.
    BatchTooLarge = "batch_too_large", Caller, false, "The batch is too large";
    /// A request body that broke off or came too slowly.
    BodyIncomplete = "body_incomplete", Caller, true, "The body is not complete";
    /// A request body larger than the server reads.
    BodyTooLarge = "body_too_large", Caller, false, "The body is too large";
    /// A name that no channel can have.
    ChannelInvalid = "channel_invalid", Caller, false, "Not a channel name";
    /// A publish to one of the server's own channels.
    ChannelReserved = "channel_reserved", Caller, false, "The channel belongs to the server";
    /// The channel has moved on since the offset the publisher named.
    ConditionFailed = "condition_failed", Caller, false, "The channel has changed";
    /// The channel's rule wants every publish to name the state it has seen.
    ConditionRequired = "condition_required", Caller, false, "A condition is required";
    /// A cursor behind the end of the log: the log lost events that were not durable.
    CursorAhead = "cursor_ahead", Caller, false, "The cursor is ahead of the log";
    /// A cursor of another log.
    CursorEpoch = "cursor_epoch", Caller, false, "The cursor belongs to another log";
    /// A text that is not a cursor.
    CursorInvalid = "cursor_invalid", Caller, false, "Not a cursor";
    /// The caller's time ran out before the work was done.
    DeadlineExceeded = "deadline_exceeded", Server, true, "The deadline has passed";
    /// The server is about to stop.
    Draining = "draining", Server, true, "The server is about to stop";
    /// An event that breaks a rule of CloudEvents or of this server.
    EventInvalid = "event_invalid", Caller, false, "Not a valid event";
    /// An event larger than the channel allows.
    EventTooLarge = "event_too_large", Caller, false, "The event is too large";
    /// A frame the session does not understand or that does not fit its state.
    FrameInvalid = "frame_invalid", Caller, false, "Not a valid frame";
    /// A frame larger than the server reads.
    FrameTooLarge = "frame_too_large", Caller, false, "The frame is too large";
    /// A fault of the server.
    Internal = "internal", Server, true, "The server failed";
    /// The first request with this idempotency key is still being worked on.
    KeyInUse = "key_in_use", Caller, true, "The idempotency key is in use";
    /// A channel whose rule wants an idempotency key with every publish.
    KeyRequired = "key_required", Caller, false, "An idempotency key is required";
    /// An idempotency key that has been used for something else.
    KeyReused = "key_reused", Caller, false, "The idempotency key was used for something else";
    /// One more of something than a client may have.
    LimitExceeded = "limit_exceeded", Caller, false, "A limit is reached";
    /// A body of a media type this resource does not take.
    MediaTypeUnsupported = "media_type_unsupported", Caller, false, "Unsupported media type";
    /// A message of a call that cannot be read.
    MessageInvalid = "message_invalid", Caller, false, "Not a valid message";
    /// A method this resource does not have.
    MethodNotAllowed = "method_not_allowed", Caller, false, "Method not allowed";
    /// No media type of the `Accept` header can be given.
    NotAcceptable = "not_acceptable", Caller, false, "Not acceptable";
    /// Nothing is at this address.
    NotFound = "not_found", Caller, false, "Not found";
    /// A web page of an origin that is not on the list.
    OriginForbidden = "origin_forbidden", Caller, false, "The origin is not allowed";
    /// More work than the server can take on right now.
    Overloaded = "overloaded", Server, true, "The server is busy";
    /// A parameter or header with a value that makes no sense.
    ParameterInvalid = "parameter_invalid", Caller, false, "Not a valid parameter";
    /// A new version of a schema that would refuse what the one before accepts.
    SchemaIncompatible = "schema_incompatible", Caller, false, "The schema is not compatible";
    /// Something that is no schema, or one that is too costly.
    SchemaInvalid = "schema_invalid", Caller, false, "Not a valid schema";
    /// An event without a schema, in a channel that asks for one.
    SchemaRequired = "schema_required", Caller, false, "A schema is required here";
    /// Data that the schema does not accept.
    SchemaViolated = "schema_violated", Caller, false, "The data does not match its schema";
    /// A selection that cannot be read.
    SelectionInvalid = "selection_invalid", Caller, false, "Not a valid selection";
    /// Others changed the document too often while this change was tried.
    StateContended = "state_contended", Caller, true, "The document changes too often";
    /// A document that has been deleted.
    StateDeleted = "state_deleted", Caller, false, "The document was deleted";
    /// A document that is not JSON where JSON is needed.
    StateInvalid = "state_invalid", Caller, false, "The document is not JSON";
    /// The log cannot be written or read.
    StoreFailed = "store_failed", Server, true, "The log has failed";
    /// No room for more events.
    StoreFull = "store_full", Server, true, "The disk of the server is full";
    /// A subscription the session does not have, or has already.
    SubscriptionInvalid = "subscription_invalid", Caller, false, "Not a valid subscription";
    /// An address that speaks another protocol than the request does.
    UpgradeRequired = "upgrade_required", Caller, false, "Another protocol is spoken here";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ErrorCode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_alphabetical_and_lead_back() {
        let texts: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert!(texts.is_sorted(), "{texts:?}");
        assert!(ErrorCode::ALL.iter().all(|code| code.as_str().parse() == Ok(*code)));
    }
}
