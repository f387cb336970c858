//! One CloudEvent (CloudEvents 1.0.2), held as one immutable block of bytes.

mod build;
mod encoded;
mod form;

use std::fmt;

use bytes::Bytes;

pub use build::EventBuilder;
pub use form::{DataForm, content_type};

use crate::limits::{EVENT_ATTRIBUTES_BYTES_MAX, EVENT_EXTENSIONS_MAX, EXTENSION_NAME_BYTES_MAX};
use encoded::{Attribute, Block};

/// What was published: the attributes of a CloudEvent and its data.
///
/// An event is checked when it is built and never changes, so whoever holds one can rely on it:
/// required attributes are there, every text is legal, names are unique. It lives in one shared
/// block, which is also what the store writes: cloning an event or cutting it out of a page read
/// from disk copies nothing.
#[derive(Clone, Eq, PartialEq)]
pub struct Event(Block);

impl Event {
    /// Starts building an event from the attributes every event has.
    pub fn builder<'a>(id: &'a str, source: &'a str, event_type: &'a str) -> EventBuilder<'a> {
        EventBuilder::new(id, source, event_type)
    }

    /// Reads an event back from [`encoded`](Self::encoded), sharing the buffer.
    pub fn from_encoded(block: Bytes) -> Result<Self, EventError> {
        Block::parse(block).map(Self)
    }

    /// The event in its compact form: stable, versioned, what stores keep.
    pub fn encoded(&self) -> &Bytes {
        self.0.bytes()
    }

    /// Together with the source, identifies the event.
    pub fn id(&self) -> &str {
        self.required(Attribute::Id)
    }

    /// The context in which it happened, a URI reference.
    pub fn source(&self) -> &str {
        self.required(Attribute::Source)
    }

    /// What kind of thing happened (CloudEvents `type`).
    pub fn event_type(&self) -> &str {
        self.required(Attribute::Type)
    }

    /// Whether it says that the document of its channel was deleted: it has no data, and the
    /// extension `deleted` is true.
    pub fn is_tombstone(&self) -> bool {
        self.data_form() == DataForm::Absent
            && self.extensions().any(|it| it == (TOMBSTONE, AttributeValue::Boolean(true)))
    }

    /// What it happened to, within the source.
    pub fn subject(&self) -> Option<&str> {
        self.0.attribute(Attribute::Subject)
    }

    /// When it happened, as RFC 3339 text.
    pub fn time(&self) -> Option<&str> {
        self.0.attribute(Attribute::Time)
    }

    /// The media type of the data.
    pub fn data_content_type(&self) -> Option<&str> {
        self.0.attribute(Attribute::DataContentType)
    }

    /// The schema of the data, a URI.
    pub fn data_schema(&self) -> Option<&str> {
        self.0.attribute(Attribute::DataSchema)
    }

    /// The attributes of CloudEvents itself that are set, by name, in the order in which they are
    /// listed here.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.attributes().map(|(attribute, text)| (attribute.name(), text))
    }

    /// The extension attributes, sorted by name.
    pub fn extensions(&self) -> impl Iterator<Item = (&str, AttributeValue<'_>)> {
        self.0.extensions()
    }

    /// The data, if there is any; empty data is not the same as none.
    pub fn data(&self) -> Option<Bytes> {
        self.0.data()
    }

    /// The data to be looked at only.
    pub fn data_bytes(&self) -> Option<&[u8]> {
        self.0.data_bytes()
    }

    /// What the data is, and so how text forms carry it.
    pub fn data_form(&self) -> DataForm {
        self.0.data_form()
    }

    fn required(&self, attribute: Attribute) -> &str {
        self.0.attribute(attribute).expect("checked when the block was built or parsed")
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id())
            .field("source", &self.source())
            .field("type", &self.event_type())
            .field("data_bytes", &self.data().map(|data| data.len()))
            .finish_non_exhaustive()
    }
}

/// The name of an extension attribute: lower-case letters and digits, and none of the names that
/// CloudEvents or the server give a meaning to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ExtensionName<'a>(&'a str);

impl<'a> ExtensionName<'a> {
    /// Parses a name.
    pub fn parse(name: &'a str) -> Result<Self, EventError> {
        let legal = (1..=EXTENSION_NAME_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !legal {
            return Err(EventError::ExtensionName(name.chars().take(40).collect()));
        }
        if RESERVED_NAMES.contains(&name) {
            return Err(EventError::ReservedName(name.to_owned()));
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

/// The value of an extension attribute. Types CloudEvents writes as text (binary, URI, timestamp)
/// are text here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AttributeValue<'a> {
    /// True or false.
    Boolean(bool),
    /// A signed number of 32 bits.
    Integer(i32),
    /// Text without control characters.
    String(&'a str),
}

/// Why an event cannot be built or read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EventError {
    /// A control character in an attribute (CloudEvents 1.0.2 §3, type system).
    #[error("the attribute `{0}` has a control character")]
    ControlCharacter(String),
    /// The same extension twice.
    #[error("the attribute `{0}` is given twice")]
    DuplicateName(String),
    /// A required attribute, or an optional one that is given, is empty.
    #[error("the attribute `{0}` may not be empty")]
    Empty(String),
    /// A block that no event encodes to: a damaged or foreign store.
    #[error("the stored event is damaged")]
    Encoding,
    /// An illegal extension name.
    #[error(
        "`{0}` is not an attribute name; CloudEvents allows lower-case letters and digits, up to \
         {EXTENSION_NAME_BYTES_MAX}"
    )]
    ExtensionName(String),
    /// A name with a meaning of its own.
    #[error("`{0}` cannot be an extension attribute, its name is taken")]
    ReservedName(String),
    /// A time that is not RFC 3339.
    #[error("the attribute `time` must be an RFC 3339 time such as 2026-01-31T12:00:00Z")]
    Time,
    /// All attributes together are too large.
    #[error("the attributes of an event have at most {EVENT_ATTRIBUTES_BYTES_MAX} bytes together")]
    TooLarge,
    /// Too many extensions.
    #[error("an event has at most {EVENT_EXTENSIONS_MAX} extension attributes")]
    TooManyExtensions,
}

/// The extension attribute of an event that deletes its channel's document.
pub const TOMBSTONE: &str = "deleted";

/// The attributes of CloudEvents itself, then those the server adds to what it delivers.
const RESERVED_NAMES: &[&str] = &[
    "data",
    "datacontenttype",
    "dataschema",
    "id",
    "source",
    "specversion",
    "subject",
    "time",
    "type",
    "channel",
    "cursor",
    "datawhitespace",
    "previous",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> EventBuilder<'static> {
        Event::builder("1", "/test", "made")
    }

    #[track_caller]
    fn refused(builder: EventBuilder<'_>, expected: EventError) {
        assert_eq!(builder.build().expect_err("refused"), expected);
    }

    #[test]
    fn an_event_gives_back_what_it_was_built_from() {
        let event = event()
            .subject("s")
            .time("2026-01-31T12:00:00Z")
            .data_content_type("application/json")
            .data_schema("https://example.com/schema")
            .extension("zone", AttributeValue::String("eu"))
            .extension("again", AttributeValue::Boolean(true))
            .extension("priority", AttributeValue::Integer(-5))
            .data(b"{}")
            .build()
            .expect("valid");
        let copy = Event::from_encoded(event.encoded().clone()).expect("decodes");
        assert_eq!(copy, event);
        assert_eq!(copy.id(), "1");
        assert_eq!(copy.source(), "/test");
        assert_eq!(copy.event_type(), "made");
        assert_eq!(copy.subject(), Some("s"));
        assert_eq!(copy.time(), Some("2026-01-31T12:00:00Z"));
        assert_eq!(copy.data_content_type(), Some("application/json"));
        assert_eq!(copy.data_schema(), Some("https://example.com/schema"));
        assert_eq!(copy.data().as_deref(), Some(&b"{}"[..]));
        assert_eq!(copy.data_form(), DataForm::Json);
        let extensions: Vec<_> = copy.extensions().collect();
        assert_eq!(
            extensions,
            [
                ("again", AttributeValue::Boolean(true)),
                ("priority", AttributeValue::Integer(-5)),
                ("zone", AttributeValue::String("eu")),
            ]
        );
    }

    #[test]
    fn empty_data_is_not_no_data() {
        assert_eq!(event().build().expect("valid").data(), None);
        assert_eq!(event().data(b"").build().expect("valid").data(), Some(Bytes::new()));
    }

    #[test]
    fn illegal_attributes_are_refused_with_a_reason() {
        refused(Event::builder("", "/s", "t"), EventError::Empty("id".into()));
        refused(Event::builder("1", "", "t"), EventError::Empty("source".into()));
        refused(Event::builder("1", "/s", ""), EventError::Empty("type".into()));
        refused(event().subject(""), EventError::Empty("subject".into()));
        refused(event().subject("a\nb"), EventError::ControlCharacter("subject".into()));
        refused(event().subject("\u{85}"), EventError::ControlCharacter("subject".into()));
        refused(event().time("yesterday"), EventError::Time);
        refused(event().time("2026-13-01T00:00:00Z"), EventError::Time);
        let text = AttributeValue::String("x");
        refused(event().extension("Upper", text), EventError::ExtensionName("Upper".into()));
        refused(event().extension("", text), EventError::ExtensionName(String::new()));
        refused(event().extension("cursor", text), EventError::ReservedName("cursor".into()));
        refused(
            event().extension("a", text).extension("a", text),
            EventError::DuplicateName("a".into()),
        );
        refused(
            event().extension("a", AttributeValue::String("\u{7f}")),
            EventError::ControlCharacter("a".into()),
        );
        refused(event().subject(&"x".repeat(EVENT_ATTRIBUTES_BYTES_MAX)), EventError::TooLarge);
        let names: Vec<_> = (0..=EVENT_EXTENSIONS_MAX).map(|n| format!("x{n}")).collect();
        let many = names.iter().fold(event(), |event, name| event.extension(name, text));
        refused(many, EventError::TooManyExtensions);
    }

    fn attribute() -> impl Strategy<Value = String> {
        "[^\\p{Cc}]{1,20}"
    }

    proptest! {
        #[test]
        fn any_legal_event_survives_encoding(
            id in attribute(),
            subject in prop::option::of(attribute()),
            extensions in prop::collection::btree_map("x[a-z0-9]{1,8}", attribute(), 0..5),
            data in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
        ) {
            let mut builder = Event::builder(&id, "/s", "t");
            builder = match &subject { Some(s) => builder.subject(s), None => builder };
            builder = match &data { Some(d) => builder.data(d), None => builder };
            for (name, value) in &extensions {
                builder = builder.extension(name, AttributeValue::String(value));
            }
            let event = builder.build().expect("legal");
            let copy = Event::from_encoded(event.encoded().clone()).expect("decodes");
            prop_assert_eq!(copy.id(), id);
            prop_assert_eq!(copy.subject(), subject.as_deref());
            prop_assert_eq!(copy.data().map(|d| d.to_vec()), data);
            prop_assert_eq!(copy.extensions().count(), extensions.len());
        }

        #[test]
        fn damaged_blocks_are_refused_or_read_without_a_panic(
            block in prop::collection::vec(any::<u8>(), 0..80),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            touch(Bytes::from(block));
            let event = event().extension("a", AttributeValue::Integer(1)).data(b"x").build();
            let mut damaged = event.expect("legal").encoded().to_vec();
            for (at, value) in flips {
                let at = at.index(damaged.len());
                damaged[at] = value;
            }
            touch(Bytes::from(damaged));
        }
    }

    fn touch(block: Bytes) {
        if let Ok(event) = Event::from_encoded(block) {
            let _ = (event.id(), event.source(), event.event_type(), event.data());
            let _ = event.extensions().count();
        }
    }
}
