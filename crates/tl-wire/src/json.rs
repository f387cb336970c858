//! The CloudEvents JSON event format (CloudEvents JSON 1.0.2).
//!
//! Data that is JSON stands under `data` as it is. JSON with line breaks is put on one line, with the
//! attribute `datawhitespace` beside it, from which the very bytes can be had again. Text is a JSON
//! string; anything else is base64 under `data_base64`. Delivered events have three attributes more:
//! `channel`, `cursor` and `previous`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes};
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use tl_model::limits::{EVENT_DATA_BYTES_MAX, EVENT_EXTENSIONS_MAX};
use tl_model::{AttributeValue, DataForm, Event, EventError, LoggedEvent, Position, content_type};

use crate::draft::{Draft, ExtensionValue, Received};
use crate::whitespace;

/// Reads one event.
pub fn read(json: &[u8]) -> Result<Draft, serde_json::Error> {
    serde_json::from_slice(json)
}

/// Writes one event.
pub fn write(draft: &Draft) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(draft)
}

/// Whether bytes are one JSON text.
pub fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// The part of a delivered event that is the same for every subscriber: everything but the opening
/// brace, the cursor and the previous cursor.
pub fn body(logged: &LoggedEvent) -> Bytes {
    let mut json = Vec::with_capacity(logged.cost() + 128);
    write_members(&mut json, &logged.event, Some(logged.channel.as_str()));
    json.push(b'}');
    Bytes::from(json)
}

/// What goes before the [`body`]: the opening brace and the places.
pub fn places(json: &mut impl BufMut, at: Position, previous: Option<Position>) {
    json.put_slice(b"{\"cursor\":\"");
    json.put_slice(at.cursor().as_bytes());
    if let Some(previous) = previous {
        json.put_slice(b"\",\"previous\":\"");
        json.put_slice(previous.cursor().as_bytes());
    }
    json.put_slice(b"\",");
}

/// A whole delivered event.
pub fn delivered(logged: &LoggedEvent, at: Position, previous: Option<Position>) -> Vec<u8> {
    let mut json = Vec::with_capacity(logged.cost() + 192);
    places(&mut json, at, previous);
    write_members(&mut json, &logged.event, Some(logged.channel.as_str()));
    json.push(b'}');
    json
}

/// An event as a client received it, written down again.
pub fn received(received: &Received) -> Vec<u8> {
    let mut json = Vec::new();
    places(&mut json, received.at, received.previous);
    write_members(&mut json, &received.event, Some(received.channel.as_str()));
    json.push(b'}');
    json
}

/// A delivered event with a reference in the place of its data (the CloudEvents extension
/// `dataref`).
pub fn delivered_by_reference(
    logged: &LoggedEvent,
    at: Position,
    previous: Option<Position>,
    reference: &str,
) -> Vec<u8> {
    let mut json = Vec::new();
    places(&mut json, at, previous);
    write_attributes(&mut json, &logged.event, Some(logged.channel.as_str()), &["dataref"]);
    write_text_member(&mut json, "dataref", reference);
    json.push(b'}');
    json
}

fn write_members(json: &mut Vec<u8>, event: &Event, channel: Option<&str>) {
    write_attributes(json, event, channel, &[]);
    write_data(json, event.data_form(), event.data_bytes().unwrap_or_default());
}

fn write_attributes(json: &mut Vec<u8>, event: &Event, channel: Option<&str>, without: &[&str]) {
    json.extend_from_slice(b"\"specversion\":\"1.0\"");
    for (name, text) in event.attributes().chain(channel.map(|text| ("channel", text))) {
        write_text_member(json, name, text);
    }
    for (name, value) in event.extensions().filter(|(name, _)| !without.contains(name)) {
        match value {
            AttributeValue::Boolean(value) => write_raw_member(json, name, &value.to_string()),
            AttributeValue::Integer(value) => write_raw_member(json, name, &value.to_string()),
            AttributeValue::String(text) => write_text_member(json, name, text),
        }
    }
}

fn write_data(json: &mut Vec<u8>, form: DataForm, data: &[u8]) {
    let text = || std::str::from_utf8(data).unwrap_or_default();
    match form {
        DataForm::Absent => {}
        DataForm::Binary => write_text_member(json, "data_base64", &STANDARD.encode(data)),
        DataForm::Json => write_raw_member(json, "data", text()),
        DataForm::JsonSpaced => {
            let (compact, description) = whitespace::split(text());
            write_text_member(json, WHITESPACE, &description);
            write_raw_member(json, "data", &compact);
        }
        DataForm::Text => write_text_member(json, "data", text()),
    }
}

fn write_text_member(json: &mut Vec<u8>, name: &str, text: &str) {
    write_raw_member(json, name, "");
    // Writing text to a vector cannot fail.
    let _ = serde_json::to_writer(json, text);
}

/// Names are legal attribute names, which need no escape.
fn write_raw_member(json: &mut Vec<u8>, name: &str, value: &str) {
    if !matches!(json.last(), Some(b'{' | b',')) {
        json.push(b',');
    }
    json.push(b'"');
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
    json.extend_from_slice(value.as_bytes());
}

impl Serialize for Draft {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = self.write().map_err(serde::ser::Error::custom)?;
        RawValue::from_string(json).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl Draft {
    fn write(&self) -> Result<String, std::string::FromUtf8Error> {
        let mut json = Vec::from(*b"{\"specversion\":\"1.0\"");
        let texts = [
            ("id", &self.id),
            ("source", &self.source),
            ("type", &self.event_type),
            ("subject", &self.subject),
            ("time", &self.time),
            ("datacontenttype", &self.data_content_type),
            ("dataschema", &self.data_schema),
            ("channel", &self.channel),
            ("cursor", &self.cursor),
            ("previous", &self.previous),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                write_text_member(&mut json, name, text);
            }
        }
        for (name, value) in &self.extensions {
            match value {
                ExtensionValue::Boolean(value) => {
                    write_raw_member(&mut json, name, &value.to_string());
                }
                ExtensionValue::Integer(value) => {
                    write_raw_member(&mut json, name, &value.to_string());
                }
                ExtensionValue::String(text) => write_text_member(&mut json, name, text),
            }
        }
        if let Some(data) = &self.data {
            write_data(&mut json, DataForm::of(self.data_content_type.as_deref(), data), data);
        }
        json.push(b'}');
        String::from_utf8(json)
    }
}

impl<'de> Deserialize<'de> for Draft {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DraftVisitor)
    }
}

struct DraftVisitor;

/// Members that only make sense once all of them are known.
#[derive(Default)]
struct DataMembers {
    value: Option<Box<RawValue>>,
    base64: Option<String>,
    whitespace: Option<String>,
}

impl<'de> Visitor<'de> for DraftVisitor {
    type Value = Draft;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event in the CloudEvents JSON format")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Draft, A::Error> {
        let mut draft = Draft::default();
        let mut data = DataMembers::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "specversion" => check_version(&map.next_value::<String>()?)?,
                "id" => draft.id = map.next_value()?,
                "source" => draft.source = map.next_value()?,
                "type" => draft.event_type = map.next_value()?,
                "subject" => draft.subject = map.next_value()?,
                "time" => draft.time = map.next_value()?,
                "datacontenttype" => draft.data_content_type = map.next_value()?,
                "dataschema" => draft.data_schema = map.next_value()?,
                "channel" => draft.channel = map.next_value()?,
                "cursor" => draft.cursor = map.next_value()?,
                "previous" => draft.previous = map.next_value()?,
                "data" => data.value = Some(map.next_value()?),
                "data_base64" => data.base64 = map.next_value()?,
                WHITESPACE => data.whitespace = map.next_value()?,
                _ => {
                    let value = map.next_value::<Option<JsonValue>>()?;
                    draft.extensions.extend(value.map(|value| (name, value.0)));
                    // Refused before a body full of them takes many times its size.
                    if draft.extensions.len() > EVENT_EXTENSIONS_MAX {
                        return Err(de::Error::custom(EventError::TooManyExtensions));
                    }
                }
            }
        }
        draft.data = data.resolve(draft.data_content_type.as_deref()).map_err(de::Error::custom)?;
        Ok(draft)
    }
}

impl DataMembers {
    fn resolve(self, data_content_type: Option<&str>) -> Result<Option<Bytes>, &'static str> {
        match (self.value, self.base64) {
            (Some(_), Some(_)) => Err("an event has `data` or `data_base64`, not both"),
            (None, None) => Ok(None),
            (None, Some(base64)) => match STANDARD.decode(base64) {
                Ok(data) => Ok(Some(Bytes::from(data))),
                Err(_) => Err("`data_base64` is not base64"),
            },
            (Some(value), None) => {
                let is_json = data_content_type.is_none_or(content_type::is_json);
                match serde_json::from_str::<String>(value.get()) {
                    Ok(text) if !is_json => Ok(Some(Bytes::from(text))),
                    _ => spaced(value.get(), self.whitespace.as_deref()).map(Some),
                }
            }
        }
    }
}

fn spaced(json: &str, description: Option<&str>) -> Result<Bytes, &'static str> {
    let Some(description) = description else {
        return Ok(Bytes::copy_from_slice(json.as_bytes()));
    };
    let joined = whitespace::join(json, description, EVENT_DATA_BYTES_MAX);
    joined.map(Bytes::from).ok_or("`datawhitespace` does not fit the data")
}

fn check_version<E: de::Error>(version: &str) -> Result<(), E> {
    match version {
        "1.0" => Ok(()),
        _ => Err(E::custom("`specversion` must be \"1.0\"")),
    }
}

/// A value that an extension attribute can have.
struct JsonValue(ExtensionValue);

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = ExtensionValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a boolean or an integer of 32 bits, which extension attributes are")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<ExtensionValue, E> {
        Ok(ExtensionValue::Boolean(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<ExtensionValue, E> {
        let integer = i32::try_from(value).map(ExtensionValue::Integer);
        integer.map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<ExtensionValue, E> {
        let integer = i32::try_from(value).map(ExtensionValue::Integer);
        integer.map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    /// JSON has one kind of number: some write 5 as `5.0`.
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<ExtensionValue, E> {
        let integer = value as i32;
        match f64::from(integer) == value {
            true => Ok(ExtensionValue::Integer(integer)),
            false => Err(E::invalid_value(de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<ExtensionValue, E> {
        Ok(ExtensionValue::String(value.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ExtensionValue, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(de::Error::invalid_type(de::Unexpected::Map, &self))
    }
}

/// The attribute that describes the white space of JSON data.
const WHITESPACE: &str = "datawhitespace";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tl_model::{Channel, Epoch, Offset};

    use super::*;
    use crate::draft::tests::FixedStamp;

    fn channel() -> Channel {
        Channel::parse("orders.eu").expect("channel")
    }

    fn logged(event: Event) -> LoggedEvent {
        let (offset, previous) = (Offset::new(2), Offset::new(1));
        LoggedEvent { offset, previous, logged_at_ms: 0, channel: channel(), event }
    }

    fn position(offset: u64) -> Position {
        Position { epoch: Epoch::from_random(16), offset: Offset::new(offset) }
    }

    /// The event in JSON, as a subscriber gets it, and back.
    fn through_json(event: &Event) -> (String, Event) {
        let json = delivered(&logged(event.clone()), position(2), Some(position(1)));
        let received = read(&json).expect("reads").receive().expect("is an event");
        assert_eq!(received.channel, channel());
        assert_eq!((received.at, received.previous), (position(2), Some(position(1))));
        (String::from_utf8(json).expect("text"), received.event)
    }

    #[track_caller]
    fn check_data(content_type: &str, data: &[u8], members: &str) {
        let event = Event::builder("1", "/s", "t").data_content_type(content_type).data(data);
        let event = event.build().expect("legal");
        let (json, back) = through_json(&event);
        assert!(json.ends_with(&format!(",{members}}}")), "{json}");
        assert_eq!(back, event);
        let draft = serde_json::to_vec(&Draft::from(&event)).expect("writes");
        assert_eq!(read(&draft).expect("reads").data.as_deref(), Some(data));
    }

    #[test]
    fn a_delivered_event_is_a_cloudevent_with_its_place() {
        let event = Event::builder("1", "/s", "made")
            .subject("über \"alles\"")
            .time("2026-01-31T12:00:00Z")
            .data_content_type("application/json")
            .extension("flag", AttributeValue::Boolean(true))
            .extension("number", AttributeValue::Integer(-1))
            .data(b"{\"a\": 1}")
            .build()
            .expect("legal");
        let (json, back) = through_json(&event);
        assert_eq!(back, event);
        let expected = concat!(
            "{\"cursor\":\"100000000000112\",\"previous\":\"100000000000111\",",
            "\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"made\",",
            "\"subject\":\"über \\\"alles\\\"\",\"time\":\"2026-01-31T12:00:00Z\",",
            "\"datacontenttype\":\"application/json\",\"channel\":\"orders.eu\",",
            "\"flag\":true,\"number\":-1,\"data\":{\"a\": 1}}",
        );
        assert_eq!(json, expected);
    }

    #[test]
    fn data_takes_the_form_a_person_would_choose() {
        check_data("application/json", b"{\"a\":1.0e2}", "\"data\":{\"a\":1.0e2}");
        check_data(
            "application/json",
            b"{\r\n  \"a\": \"\\ud800\"\r\n}\n",
            "\"datawhitespace\":\"1.rn2s5.s13.rn14.n\",\"data\":{\"a\":\"\\ud800\"}",
        );
        check_data("application/json", b"not json", "\"data_base64\":\"bm90IGpzb24=\"");
        check_data("text/plain", "über\n".as_bytes(), "\"data\":\"über\\n\"");
        check_data("text/plain", b"", "\"data\":\"\"");
        check_data("application/octet-stream", b"\x00\xff", "\"data_base64\":\"AP8=\"");
        check_data("application/json", b"", "\"data_base64\":\"\"");
        check_data("application/json", b"null", "\"data\":null");
    }

    #[test]
    fn a_reference_takes_the_place_of_data() {
        let event = Event::builder("1", "/s", "t")
            .extension("dataref", AttributeValue::String("/theirs"))
            .data(b"large")
            .build()
            .expect("legal");
        let json = delivered_by_reference(&logged(event), position(2), None, "/v1/events/x");
        let draft = read(&json).expect("reads");
        assert_eq!(draft.data, None);
        assert_eq!(
            draft.extensions,
            [("dataref".to_owned(), ExtensionValue::String("/v1/events/x".to_owned()))]
        );
    }

    #[test]
    fn publishers_may_leave_out_all_but_the_data() {
        let draft = read(b"{\"data\":{\"a\":[1, 2]}}").expect("reads");
        let event = draft.publish(&channel(), &FixedStamp).expect("legal");
        assert_eq!(event.data().as_deref(), Some(&b"{\"a\":[1, 2]}"[..]));
        assert_eq!(event.data_form(), DataForm::Json);
        let object = b"{\"datacontenttype\":\"text/plain\",\"data\":{\"a\":1}}";
        let draft = read(object).expect("reads");
        assert_eq!(draft.data.as_deref(), Some(&b"{\"a\":1}"[..]), "not a string: taken as it is");
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let reason = |json: &str| read(json.as_bytes()).expect_err(json).to_string();
        assert!(reason("[]").contains("CloudEvents JSON format"));
        assert!(reason("{\"id\":1}").contains("expected a string"));
        assert!(reason("{\"specversion\":\"0.3\"}").contains("must be \"1.0\""));
        assert!(reason("{\"a\":{\"b\":1}}").contains("extension attributes"));
        assert!(reason("{\"a\":[1]}").contains("extension attributes"));
        assert!(reason("{\"a\":1.5}").contains("extension attributes"));
        assert!(reason("{\"a\":3000000000}").contains("32 bits"));
        assert!(reason("{\"data\":1,\"data_base64\":\"\"}").contains("not both"));
        assert!(reason("{\"data_base64\":\"?\"}").contains("not base64"));
        let many: String = (0..=EVENT_EXTENSIONS_MAX).map(|n| format!("\"x{n}\":1,")).collect();
        assert!(reason(&format!("{{{many}\"id\":?")).contains("at most 64 extension"));
        assert!(reason("{\"data\":1,\"datawhitespace\":\"9.s\"}").contains("does not fit"));
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction() {
        let draft = read(b"{\"a\":-5.0}").expect("reads");
        assert_eq!(draft.extensions, [("a".to_owned(), ExtensionValue::Integer(-5))]);
        assert!(read(b"{\"a\":3e9}").is_err());
    }

    #[test]
    fn null_members_are_missing_members() {
        let draft = read(b"{\"id\":null,\"a\":null,\"data_base64\":null}").expect("reads");
        assert_eq!(draft, Draft::default());
    }

    proptest! {
        #[test]
        fn any_data_of_any_type_comes_back_unchanged(
            content_type in prop::sample::select(vec![
                "application/json", "text/plain", "application/octet-stream", "x/y+json",
            ]),
            data in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                "\\PC{0,40}".prop_map(String::into_bytes),
                "[\\[\\]{}\",: \\n\\r0-9a]{0,12}".prop_map(String::into_bytes),
                Just(b" [ 1 ,\r\n\"x\\n\" ] ".to_vec()),
            ],
        ) {
            let event = Event::builder("1", "/s", "t").data_content_type(content_type).data(&data);
            let event = event.build().expect("legal");
            let (json, back) = through_json(&event);
            prop_assert!(!json.contains(['\n', '\r']), "every event is one line");
            prop_assert_eq!(back, event);
        }

        #[test]
        fn reading_never_panics(json in "[\\[\\]{}\",:a-z0-9_\\\\ ]{0,60}") {
            let _ = read(json.as_bytes());
        }
    }
}
