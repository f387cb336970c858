//! An event as somebody wrote it down: some parts may be missing, and none has been checked.

use std::fmt;

use bytes::Bytes;
use serde::de::IgnoredAny;

use tl_model::{AttributeValue, Channel, DataForm, Event, EventError, Position, content_type};

/// An event in a wire form. [`publish`](Self::publish) and [`receive`](Self::receive) make it a real
/// one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// CloudEvents `id`.
    pub id: Option<String>,
    /// CloudEvents `source`.
    pub source: Option<String>,
    /// CloudEvents `type`.
    pub event_type: Option<String>,
    /// CloudEvents `subject`.
    pub subject: Option<String>,
    /// CloudEvents `time`.
    pub time: Option<String>,
    /// CloudEvents `datacontenttype`.
    pub data_content_type: Option<String>,
    /// CloudEvents `dataschema`.
    pub data_schema: Option<String>,
    /// Extension attributes, in any order.
    pub extensions: Vec<(String, ExtensionValue)>,
    /// The data.
    pub data: Option<Bytes>,
    /// The channel.
    pub channel: Option<String>,
    /// The cursor of a delivered event.
    pub cursor: Option<String>,
    /// The cursor of the delivery before it.
    pub previous: Option<String>,
}

/// The value of an extension attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum ExtensionValue {
    /// True or false.
    Boolean(bool),
    /// A number.
    Integer(i32),
    /// Text.
    String(String),
}

/// Where the parts come from that a publisher may leave out.
pub trait Stamp {
    /// A new, unique id.
    fn id(&self) -> String;
    /// The present time in RFC 3339.
    fn time(&self) -> String;
}

/// An event as a client received it.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Where it was published.
    pub channel: Channel,
    /// The event itself.
    pub event: Event,
    /// Go on reading from here.
    pub at: Position,
    /// The place of the delivery before it, where the transport tells it.
    pub previous: Option<Position>,
}

/// Why a draft cannot be published.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PublishError {
    /// The event itself is wrong.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The data is not what its media type says.
    #[error("the data is said to be JSON and is not: {0}")]
    Json(String),
}

/// Why a received draft is not an event: the server or something on the way is at fault.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReceiveError {
    /// A part that every delivered event has is not there.
    #[error("the event has no legal `{0}`")]
    Missing(&'static str),
    /// The event itself is wrong.
    #[error(transparent)]
    Event(#[from] EventError),
}

impl Draft {
    /// The event this publishes to a channel, with what is missing filled in.
    pub fn publish(&self, channel: &Channel, stamp: &dyn Stamp) -> Result<Event, PublishError> {
        let (id, source, time);
        let id = match &self.id {
            Some(given) => given,
            None => {
                id = stamp.id();
                &id
            }
        };
        let source = match &self.source {
            Some(given) => given,
            None => {
                source = format!("/v1/channels/{channel}");
                &source
            }
        };
        let time = match &self.time {
            Some(given) => given,
            None => {
                time = stamp.time();
                &time
            }
        };
        let event_type = self.event_type.as_deref().unwrap_or(DEFAULT_TYPE);
        let event = self.build(id, source, event_type, Some(time))?;
        check_json(&event)?;
        Ok(event)
    }

    /// The event as it is written, with nothing filled in.
    pub fn event(&self) -> Result<Event, ReceiveError> {
        let (Some(id), Some(source), Some(kind)) = (&self.id, &self.source, &self.event_type)
        else {
            return Err(ReceiveError::Missing("id, source and type"));
        };
        Ok(self.build(id, source, kind, self.time.as_deref())?)
    }

    /// The event this delivers.
    pub fn receive(&self) -> Result<Received, ReceiveError> {
        let missing = ReceiveError::Missing;
        let event = self.event()?;
        let channel = self.channel.as_deref().and_then(|name| Channel::parse(name).ok());
        let position = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        Ok(Received {
            channel: channel.ok_or(missing("channel"))?,
            event,
            at: position(&self.cursor).ok_or(missing("cursor"))?,
            previous: position(&self.previous),
        })
    }

    fn build(
        &self,
        id: &str,
        source: &str,
        event_type: &str,
        time: Option<&str>,
    ) -> Result<Event, EventError> {
        let mut event = Event::builder(id, source, event_type);
        if let Some(subject) = &self.subject {
            event = event.subject(subject);
        }
        if let Some(time) = time {
            event = event.time(time);
        }
        if let Some(content_type) = &self.data_content_type {
            event = event.data_content_type(content_type);
        }
        if let Some(schema) = &self.data_schema {
            event = event.data_schema(schema);
        }
        for (name, value) in &self.extensions {
            event = event.extension(name, value.borrowed());
        }
        if let Some(data) = &self.data {
            event = event.data(data);
        }
        event.build()
    }
}

/// A publisher that says JSON and sends something else has made a mistake it wants to hear of.
fn check_json(event: &Event) -> Result<(), PublishError> {
    let is_json = event.data_content_type().is_some_and(content_type::is_json);
    let data = event.data().filter(|_| is_json && event.data_form() == DataForm::Binary);
    match data.map(|data| serde_json::from_slice::<IgnoredAny>(&data)) {
        Some(Err(error)) => Err(PublishError::Json(error.to_string())),
        // Nested too deeply to be carried as JSON, or no JSON at all and not said to be.
        Some(Ok(_)) | None => Ok(()),
    }
}

impl From<&Event> for Draft {
    fn from(event: &Event) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let extensions = event.extensions().map(|(name, value)| (name.to_owned(), value.into()));
        Self {
            id: Some(event.id().to_owned()),
            source: Some(event.source().to_owned()),
            event_type: Some(event.event_type().to_owned()),
            subject: owned(event.subject()),
            time: owned(event.time()),
            data_content_type: owned(event.data_content_type()),
            data_schema: owned(event.data_schema()),
            extensions: extensions.collect(),
            data: event.data(),
            ..Self::default()
        }
    }
}

impl ExtensionValue {
    fn borrowed(&self) -> AttributeValue<'_> {
        match self {
            Self::Boolean(value) => AttributeValue::Boolean(*value),
            Self::Integer(value) => AttributeValue::Integer(*value),
            Self::String(value) => AttributeValue::String(value),
        }
    }
}

impl fmt::Display for ExtensionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::String(text) => text.fmt(f),
        }
    }
}

impl From<AttributeValue<'_>> for ExtensionValue {
    fn from(value: AttributeValue<'_>) -> Self {
        match value {
            AttributeValue::Boolean(value) => Self::Boolean(value),
            AttributeValue::Integer(value) => Self::Integer(value),
            AttributeValue::String(value) => Self::String(value.to_owned()),
        }
    }
}

/// The `type` of events whose publisher has not named one.
const DEFAULT_TYPE: &str = "throughline.event";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Fills in the same every time.
    pub(crate) struct FixedStamp;

    impl Stamp for FixedStamp {
        fn id(&self) -> String {
            "stamped".to_owned()
        }

        fn time(&self) -> String {
            "2026-01-31T12:00:00Z".to_owned()
        }
    }

    #[test]
    fn what_a_publisher_leaves_out_is_filled_in() {
        let channel = Channel::parse("orders.eu").expect("channel");
        let event = Draft::default().publish(&channel, &FixedStamp).expect("legal");
        assert_eq!(event.id(), "stamped");
        assert_eq!(event.source(), "/v1/channels/orders.eu");
        assert_eq!(event.event_type(), "throughline.event");
        assert_eq!(event.time(), Some("2026-01-31T12:00:00Z"));
    }

    #[test]
    fn what_a_publisher_gives_is_kept_or_refused() {
        let channel = Channel::parse("a").expect("channel");
        let given = Draft { id: Some("x".into()), time: Some("1 May".into()), ..Draft::default() };
        assert_eq!(given.publish(&channel, &FixedStamp), Err(EventError::Time.into()));
        let json = |text: &'static str| Draft {
            data_content_type: Some("application/json".into()),
            data: Some(text.into()),
            ..Draft::default()
        };
        assert!(json("{}").publish(&channel, &FixedStamp).is_ok());
        let refused = json("{").publish(&channel, &FixedStamp);
        assert!(matches!(refused, Err(PublishError::Json(_))), "{refused:?}");
        let empty = Draft { id: Some(String::new()), ..Draft::default() };
        assert!(empty.publish(&channel, &FixedStamp).is_err(), "an empty id is not a missing one");
    }

    #[test]
    fn a_received_event_must_say_where_it_is() {
        let event = Event::builder("1", "/s", "t").build().expect("legal");
        let draft = Draft { channel: Some("a".into()), ..Draft::from(&event) };
        assert!(matches!(draft.receive(), Err(ReceiveError::Missing("cursor"))));
        let draft = Draft { cursor: Some("10000000000000".into()), ..draft };
        assert_eq!(draft.receive().expect("complete").event, event);
    }
}
