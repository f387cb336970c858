//! What makes polling cheap: waiting, validators, and hints when to come again.

use std::time::Duration;

use tl_transport::engine::Engine;
use tl_transport::http::types::HeaderMap;
use tl_transport::http::types::header::HeaderValue;
use tl_transport::http::{Exchange, Query, Served};
use tl_transport::model::{Error, ErrorCode, Position, Selection};
use tl_transport::wire::page::{CLOUDEVENTS_BATCH, NDJSON, PROTOBUF};

/// How long the client wants to wait: the parameter `wait`, or `Prefer: wait` (RFC 7240 §4.3), in
/// seconds. Longer than the server allows is cut.
pub(crate) fn wait(
    exchange: &Exchange,
    query: &mut Query,
    wait_max: Duration,
) -> Result<Duration, Error> {
    let seconds = match query.one("wait")? {
        Some(text) => {
            text.parse().ok().filter(|seconds: &f64| *seconds >= 0.0).ok_or_else(|| {
                let detail = "`wait` is a number of seconds, such as 30";
                Error::new(ErrorCode::ParameterInvalid, detail)
            })?
        }
        None => preferred_wait(exchange.headers()).unwrap_or(0.0),
    };
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(wait_max).min(wait_max))
}

/// Whether the client used `Prefer` to ask for a wait.
pub(crate) fn prefers_wait(headers: &HeaderMap) -> bool {
    preferred_wait(headers).is_some()
}

/// The value of `Preference-Applied`.
pub(crate) fn applied(wait: Duration) -> HeaderValue {
    let text = format!("wait={}", wait.as_secs());
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("wait"))
}

fn preferred_wait(headers: &HeaderMap) -> Option<f64> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split([',', ';']));
    preferences.find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait.then(|| value.trim().trim_matches('"').parse().ok().filter(|it| *it >= 0.0))?
    })
}

/// The entity tag of a page: its next cursor, whether the log had more, and its form. Between two places
/// of the log documents only become fewer, so of a page of them it has their number, too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Validator {
    next: Position,
    caught_up: bool,
    documents: Option<usize>,
    served: Served,
}

impl Validator {
    pub(crate) fn new(next: Position, caught_up: bool, served: Served) -> Self {
        Self { next, caught_up, documents: None, served }
    }

    /// Of a page of so many documents.
    pub(crate) fn of_documents(self, count: usize) -> Self {
        Self { documents: Some(count), ..self }
    }

    /// What the client has, if it is a tag of this form. Of several tags the first counts.
    pub(crate) fn parse(header: Option<&HeaderValue>, served: Served) -> Option<Self> {
        let text = header?.to_str().ok()?.split(',').next()?.trim();
        let text = text.strip_prefix("W/").unwrap_or(text);
        let text = text.strip_prefix('"')?.strip_suffix('"')?;
        let text = text.strip_suffix(suffix(served))?;
        let mut parts = text.split('-').peekable();
        let next = parts.next()?.parse().ok()?;
        let caught_up = parts.next_if_eq(&MORE).is_none();
        let documents = parts.next().map(str::parse).transpose().ok()?;
        parts.next().is_none().then_some(Self { next, caught_up, documents, served })
    }

    /// The end of the log when the page was made, if it reached it: while nothing has come behind
    /// it, the page is still the same. Documents can be trimmed all the same.
    pub(crate) fn end_of_log(&self) -> Option<Position> {
        (self.caught_up && self.documents.is_none()).then_some(self.next)
    }

    pub(crate) fn header(&self) -> HeaderValue {
        let more = if self.caught_up { String::new() } else { format!("-{MORE}") };
        let count = self.documents.map_or_else(String::new, |count| format!("-{count}"));
        let text = format!("\"{}{more}{count}{}\"", self.next.cursor(), suffix(self.served));
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"\""))
    }
}

/// Marks the tag of a page behind which there is more.
const MORE: &str = "more";

/// Forms of the same page are different representations, with tags of their own.
fn suffix(served: Served) -> &'static str {
    match served {
        NDJSON => "-lines",
        CLOUDEVENTS_BATCH => "-batch",
        PROTOBUF => "-protobuf",
        _ => "",
    }
}

/// When to poll again, in seconds: an eighth of the time nothing has happened, so that quiet
/// channels are asked rarely and busy ones soon; ±20 % by chance, so that clients spread out.
pub(crate) fn interval(engine: &Engine, selection: &Selection) -> HeaderValue {
    let quiet_ms = engine.quiet_for_ms(selection).unwrap_or(UNKNOWN_QUIET_MS);
    let chance = engine.environment().random() as f64 / u64::MAX as f64;
    let seconds = interval_seconds(quiet_ms, chance);
    HeaderValue::from_str(&format!("{seconds:.1}")).unwrap_or(HeaderValue::from_static("5"))
}

fn interval_seconds(quiet_ms: u64, chance: f64) -> f64 {
    let seconds = (quiet_ms as f64 / 8_000.0).clamp(1.0, 60.0);
    seconds * (0.8 + 0.4 * chance)
}

/// A channel of which nothing is known is asked every five seconds.
const UNKNOWN_QUIET_MS: u64 = 40_000;

#[cfg(test)]
mod tests {
    use tl_transport::model::{Epoch, Offset};
    use tl_transport::wire::page::JSON;

    use super::*;

    #[test]
    fn a_tag_leads_back_to_what_it_validates() {
        let next = Position { epoch: Epoch::from_random(16), offset: Offset::new(5) };
        for served in [JSON, NDJSON, CLOUDEVENTS_BATCH, PROTOBUF] {
            for caught_up in [true, false] {
                let validator = Validator::new(next, caught_up, served);
                for validator in [validator, validator.of_documents(0), validator.of_documents(12)]
                {
                    let header = validator.header();
                    assert_eq!(Validator::parse(Some(&header), served), Some(validator));
                }
            }
        }
        let header = Validator::new(next, true, NDJSON).header();
        assert_eq!(Validator::parse(Some(&header), JSON), None, "a tag of another form");
        for nonsense in ["", "x", "\"x\"", "*", "\"10000000000000"] {
            let header = HeaderValue::from_str(nonsense).expect("legal");
            assert_eq!(Validator::parse(Some(&header), JSON), None, "{nonsense}");
        }
    }

    #[test]
    fn prefer_wait_is_found_among_others() {
        let wait = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", HeaderValue::from_static(value));
            preferred_wait(&headers)
        };
        assert_eq!(wait("wait=10"), Some(10.0));
        assert_eq!(wait("respond-async, Wait=\"5\"; foo=1"), Some(5.0));
        assert_eq!(wait("respond-async"), None);
        assert_eq!(wait("wait=-1"), None);
        assert_eq!(wait("wait=soon"), None);
    }

    #[test]
    fn hints_grow_with_silence_and_are_spread() {
        assert_eq!(interval_seconds(0, 0.5), 1.0);
        assert_eq!(interval_seconds(80_000, 0.5), 10.0);
        assert_eq!(interval_seconds(u64::MAX, 0.5), 60.0);
        assert_eq!(interval_seconds(80_000, 0.0), 8.0);
        assert_eq!(interval_seconds(80_000, 1.0), 12.000_000_000_000_002);
    }
}
