use ::http::HeaderMap;
use ::http::header::ACCEPT;

use tl_model::{Error, ErrorCode};

use super::Served;

/// Chooses the media type to answer with (RFC 9110 §12.5.1). Of types that the client likes equally
/// the one that is offered first is chosen.
///
/// # Errors
///
/// `not_acceptable`, naming what is offered.
pub fn negotiate(headers: &HeaderMap, offers: &[Served]) -> Result<Served, Error> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<Range<'_>> =
        values.flat_map(|value| value.split(',')).filter_map(Range::parse).collect();
    if accepted.is_empty() {
        return Ok(offers[0]);
    }
    let mut best = None;
    for offer in offers {
        let quality = quality(&accepted, offer);
        if quality > 0.0 && best.is_none_or(|(_, best)| quality > best) {
            best = Some((*offer, quality));
        }
    }
    best.map(|(offer, _)| offer).ok_or_else(|| {
        let detail = format!("this can be answered as {}", offers.join(", "));
        Error::new(ErrorCode::NotAcceptable, detail)
    })
}

/// How much the client wants a type: what the most precise matching range says.
fn quality(accepted: &[Range<'_>], offer: &str) -> f32 {
    let matching = accepted.iter().filter(|range| range.precision(offer) > 0);
    let best = matching.max_by_key(|range| range.precision(offer));
    best.map_or(0.0, |range| range.quality)
}

/// The parameter `q` of an element (RFC 9110 §12.4.2).
pub(super) fn weight<'a>(parameters: impl Iterator<Item = &'a str>) -> f32 {
    parameters
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .map_or(1.0, |(_, quality)| quality.trim().parse().unwrap_or(0.0))
}

/// One element of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';');
        let (kind, subtype) = parts.next()?.trim().split_once('/')?;
        Some(Self { kind, subtype, quality: weight(parts) })
    }

    /// Zero if the range does not match, more the more precisely it does.
    fn precision(&self, offer: &str) -> u8 {
        let Some((kind, subtype)) = offer.split_once('/') else { return 0 };
        match (self.kind, self.subtype) {
            ("*", "*") => 1,
            (range, "*") if range.eq_ignore_ascii_case(kind) => 2,
            (range, exact)
                if range.eq_ignore_ascii_case(kind) && exact.eq_ignore_ascii_case(subtype) =>
            {
                3
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERS: &[Served] = &["application/json", "application/x-ndjson", "text/event-stream"];

    #[track_caller]
    fn check(accept: &str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().expect("legal"));
        assert_eq!(negotiate(&headers, OFFERS).ok(), expected, "{accept}");
    }

    #[test]
    fn the_client_chooses_and_the_server_breaks_ties() {
        assert_eq!(negotiate(&HeaderMap::new(), OFFERS).ok(), Some("application/json"));
        check("*/*", Some("application/json"));
        check("text/event-stream", Some("text/event-stream"));
        check("Text/Event-Stream, */*;q=0.1", Some("text/event-stream"));
        check("text/*", Some("text/event-stream"));
        check("application/*;q=0.5, text/event-stream;q=0.4", Some("application/json"));
        check("application/json;q=0, */*", Some("application/x-ndjson"));
        check("text/html, application/xhtml+xml, */*;q=0.8", Some("application/json"));
        check("application/json; charset=utf-8", Some("application/json"));
        check("image/png", None);
        check("application/json;q=0", None);
        check("application/json;q=nonsense", None);
        check("nonsense", Some("application/json"));
    }
}
