//! The CloudEvents HTTP binding in binary mode (CloudEvents HTTP 1.0.2 §3.1): attributes are headers
//! that begin with `ce-`, the body is the data, `Content-Type` is its media type.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use tl_model::{AttributeValue, LoggedEvent, Position};

use crate::draft::{Draft, ExtensionValue};

/// The header that says that others are attributes of an event.
pub const SPEC_VERSION: &str = "ce-specversion";

/// Reads an event from a request or response. A body of no bytes is no data, unless it has a type.
///
/// # Errors
///
/// A header that is not text, is given twice, or has escapes that make no sense.
pub fn read(headers: &HeaderMap, body: Bytes) -> Result<Draft, HeaderError> {
    let mut draft = Draft { data_content_type: text(headers, &CONTENT_TYPE)?, ..Draft::default() };
    for name in headers.keys() {
        if let Some(attribute) = name.as_str().strip_prefix(PREFIX) {
            let value = attribute_value(headers, name)?;
            set(&mut draft, attribute, value)?;
        }
    }
    let has_data = !body.is_empty() || draft.data_content_type.is_some();
    draft.data = has_data.then_some(body);
    Ok(draft)
}

/// Writes a delivered event: its attributes into the headers; the data is the body.
pub fn write(headers: &mut HeaderMap, logged: &LoggedEvent, at: Position) {
    let event = &logged.event;
    let attributes = [
        ("specversion", Some("1.0")),
        ("id", Some(event.id())),
        ("source", Some(event.source())),
        ("type", Some(event.event_type())),
        ("subject", event.subject()),
        ("time", event.time()),
        ("dataschema", event.data_schema()),
        ("channel", Some(logged.channel.as_str())),
        ("cursor", Some(at.cursor().as_str())),
    ]
    .map(|(name, value)| (name, value.map(str::to_owned)));
    let extensions = event.extensions().map(|(name, value)| {
        let text = match value {
            AttributeValue::Boolean(value) => value.to_string(),
            AttributeValue::Integer(value) => value.to_string(),
            AttributeValue::String(text) => text.to_owned(),
        };
        (name, Some(text))
    });
    for (name, value) in attributes.into_iter().chain(extensions) {
        let Some(value) = value else { continue };
        let value = HeaderValue::try_from(escape(&value));
        let name = HeaderName::try_from(format!("{PREFIX}{name}"));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    let content_type = event.data_content_type().map(HeaderValue::from_str);
    if let Some(Ok(content_type)) = content_type {
        headers.insert(CONTENT_TYPE, content_type);
    }
}

/// Writes an event that is to be published: what its draft names into the headers; the data is the
/// body. Every extension becomes text.
///
/// # Errors
///
/// A name that no header can have, or a media type that is no header's value.
pub fn write_draft(headers: &mut HeaderMap, draft: &Draft) -> Result<(), HeaderError> {
    let attributes = [
        ("specversion", Some("1.0")),
        ("id", draft.id.as_deref()),
        ("source", draft.source.as_deref()),
        ("type", draft.event_type.as_deref()),
        ("subject", draft.subject.as_deref()),
        ("time", draft.time.as_deref()),
        ("dataschema", draft.data_schema.as_deref()),
    ];
    for (name, value) in attributes {
        if let Some(value) = value {
            write_attribute(headers, name, value)?;
        }
    }
    for (name, value) in &draft.extensions {
        write_attribute(headers, name, &value.to_string())?;
    }
    if let Some(content_type) = &draft.data_content_type {
        let illegal = |_| HeaderError::Encoding(CONTENT_TYPE.to_string());
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).map_err(illegal)?);
    }
    Ok(())
}

fn write_attribute(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), HeaderError> {
    let name = format!("{PREFIX}{name}");
    match (HeaderName::try_from(&name), HeaderValue::try_from(escape(value))) {
        (Ok(name), Ok(value)) => {
            headers.insert(name, value);
            Ok(())
        }
        _ => Err(HeaderError::Encoding(name)),
    }
}

/// An attribute's value as a header's.
pub fn escape(value: &str) -> String {
    utf8_percent_encode(value, ESCAPED).to_string()
}

/// Why headers do not describe an event.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeaderError {
    /// The same header twice.
    #[error("the header `{0}` is given twice")]
    Duplicate(String),
    /// Escapes that are not UTF-8, or bytes that are not visible ASCII.
    #[error(
        "the header `{0}` is not legal; write anything but visible ASCII percent-encoded, as UTF-8"
    )]
    Encoding(String),
    /// Another version of CloudEvents.
    #[error("the header `ce-specversion` must be 1.0")]
    Version,
}

fn set(draft: &mut Draft, attribute: &str, value: String) -> Result<(), HeaderError> {
    match attribute {
        "specversion" if value == "1.0" => {}
        "specversion" => return Err(HeaderError::Version),
        "id" => draft.id = Some(value),
        "source" => draft.source = Some(value),
        "type" => draft.event_type = Some(value),
        "subject" => draft.subject = Some(value),
        "time" => draft.time = Some(value),
        "dataschema" => draft.data_schema = Some(value),
        "channel" => draft.channel = Some(value),
        "cursor" => draft.cursor = Some(value),
        "previous" => draft.previous = Some(value),
        name => draft.extensions.push((name.to_owned(), ExtensionValue::String(value))),
    }
    Ok(())
}

/// Quoted strings are unquoted first, then percent escapes are decoded once (§3.1.3.2).
fn attribute_value(headers: &HeaderMap, name: &HeaderName) -> Result<String, HeaderError> {
    let illegal = || HeaderError::Encoding(name.to_string());
    let value = text(headers, name)?.ok_or_else(illegal)?;
    let unquoted = unquote(&value).ok_or_else(illegal)?;
    let decoded = percent_decode_str(&unquoted).decode_utf8().map_err(|_| illegal())?;
    Ok(decoded.into_owned())
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, HeaderError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(HeaderError::Duplicate(name.to_string()));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(HeaderError::Encoding(name.to_string())),
    }
}

fn unquote(value: &str) -> Option<String> {
    let Some(rest) = value.strip_prefix('"') else {
        return Some(value.to_owned());
    };
    let inner = rest.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        text.push(if char == '\\' { chars.next()? } else { char });
    }
    Some(text)
}

const PREFIX: &str = "ce-";

/// What must be escaped in a header value beyond what is not ASCII (§3.1.3.2).
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tl_model::{Channel, Epoch, Event, Offset};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("legal"));
        }
        headers
    }

    fn through_headers(event: &Event) -> Event {
        let channel = Channel::parse("a").expect("channel");
        let (offset, previous) = (Offset::new(2), Offset::START);
        let event = event.clone();
        let data = event.data().unwrap_or_default();
        let logged = LoggedEvent { offset, previous, logged_at_ms: 0, channel, event };
        let mut headers = HeaderMap::new();
        write(&mut headers, &logged, Position { epoch: Epoch::from_random(1), offset });
        read(&headers, data).expect("reads").receive().expect("an event").event
    }

    #[test]
    fn attributes_travel_as_headers() {
        let event = Event::builder("1", "/s", "t")
            .subject("50 % \"über\" €")
            .data_content_type("application/json")
            .extension("x", AttributeValue::String("a,b"))
            .data(b"{}")
            .build()
            .expect("legal");
        assert_eq!(through_headers(&event), event);
    }

    #[test]
    fn a_draft_is_read_as_it_was_written() {
        let text = |text: &str| Some(text.to_owned());
        let draft = Draft {
            id: text("1"),
            subject: text("50 % \"über\" €"),
            data_content_type: text("text/plain"),
            extensions: vec![("x".to_owned(), ExtensionValue::String("a,b".to_owned()))],
            data: Some(Bytes::from_static(b"words")),
            ..Draft::default()
        };
        let mut headers = HeaderMap::new();
        write_draft(&mut headers, &draft).expect("legal");
        assert_eq!(read(&headers, Bytes::from_static(b"words")), Ok(draft.clone()));
        let illegal = Draft { data_content_type: text("a\nb"), ..draft.clone() };
        assert!(write_draft(&mut headers, &illegal).is_err());
        let extensions = vec![("not legal".to_owned(), ExtensionValue::Boolean(true))];
        assert!(write_draft(&mut headers, &Draft { extensions, ..draft }).is_err());
    }

    #[test]
    fn headers_are_unquoted_and_decoded_once() {
        let subject = |value: &str| {
            read(&headers(&[("ce-subject", value)]), Bytes::new()).map(|draft| draft.subject)
        };
        assert_eq!(subject("Euro%20%E2%82%AC"), Ok(Some("Euro €".into())));
        assert_eq!(subject("%2525"), Ok(Some("%25".into())));
        assert_eq!(subject("\"a \\\"b\\\"\""), Ok(Some("a \"b\"".into())));
        assert_eq!(
            subject("100%"),
            Ok(Some("100%".into())),
            "a lone percent sign stands for itself"
        );
        assert!(subject("\"open").is_err());
        assert!(subject("%ff").is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        let error = |pairs: &[(&'static str, &str)]| read(&headers(pairs), Bytes::new());
        let twice = error(&[("ce-id", "1"), ("ce-id", "2")]);
        assert_eq!(twice, Err(HeaderError::Duplicate("ce-id".into())));
        assert_eq!(error(&[("ce-specversion", "0.3")]), Err(HeaderError::Version));
    }

    #[test]
    fn an_empty_body_is_data_only_if_it_has_a_type() {
        let data = |headers| read(&headers, Bytes::new()).expect("reads").data;
        assert_eq!(data(headers(&[])), None);
        assert_eq!(data(headers(&[("content-type", "text/plain")])), Some(Bytes::new()));
    }

    proptest! {
        #[test]
        fn any_legal_attribute_survives(subject in "[^\\p{Cc}]{1,20}") {
            let event = Event::builder("1", "/s", "t").subject(&subject).build().expect("legal");
            prop_assert_eq!(through_headers(&event), event);
        }

        #[test]
        fn any_header_is_read_without_a_panic(value in "[ -~]{0,40}") {
            let _ = read(&headers(&[("ce-x", value.trim())]), Bytes::new());
        }
    }
}
