use ::http::HeaderMap;
use ::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderName};

use tl_model::{Error, ErrorCode};

use super::negotiate::weight;

/// How a body is packed on its way (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Coding {
    Brotli,
    Gzip,
    Zstd,
}

impl Coding {
    /// Those that are taken and given, the preferred first: what packs best in the least time.
    pub(crate) const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];
    /// All of them, as a header says it.
    pub(crate) const TAKEN: &str = "zstd, br, gzip";

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// How a request's body is packed; `None` if it is not.
    ///
    /// # Errors
    ///
    /// `media_type_unsupported` for a coding that is not taken, and for one around another.
    pub(crate) fn of_body(headers: &HeaderMap) -> Result<Option<Self>, Error> {
        let mut codings = elements(headers, &CONTENT_ENCODING);
        let Some(name) = codings.next() else { return Ok(None) };
        if codings.next().is_some() {
            return Err(unsupported("a body is packed once at most"));
        }
        match Self::ALL.into_iter().find(|coding| coding.is(name)) {
            None if !name.eq_ignore_ascii_case(IDENTITY) => {
                Err(unsupported("this `Content-Encoding` is not known here"))
            }
            coding => Ok(coding),
        }
    }

    /// How the client wants an answer packed (RFC 9110 §12.5.3). Not at all if it does not say.
    pub(crate) fn wanted(headers: &HeaderMap) -> Option<Self> {
        let wishes: Vec<_> = elements(headers, &ACCEPT_ENCODING).map(Wish::parse).collect();
        let quality = |is_meant: &dyn Fn(&str) -> bool| {
            wishes.iter().find(|wish| is_meant(wish.name)).map(|wish| wish.quality)
        };
        let anything = quality(&|name| name == "*").unwrap_or(0.0);
        let plain = quality(&|name| name.eq_ignore_ascii_case(IDENTITY)).unwrap_or(0.0);
        let mut best = (None, plain);
        for coding in Self::ALL {
            let quality = quality(&|name| coding.is(name)).unwrap_or(anything);
            let is_better = quality > best.1 || (best.0.is_none() && quality == best.1);
            if quality > 0.0 && is_better {
                best = (Some(coding), quality);
            }
        }
        best.0
    }

    fn is(self, name: &str) -> bool {
        // RFC 9110 §8.4.1.3: an old name of the same.
        let name = if name.eq_ignore_ascii_case("x-gzip") { "gzip" } else { name };
        name.eq_ignore_ascii_case(self.name())
    }
}

/// One element of `Accept-Encoding`.
struct Wish<'a> {
    name: &'a str,
    quality: f32,
}

impl<'a> Wish<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';');
        let name = parts.next().unwrap_or_default().trim();
        Self { name, quality: weight(parts) }
    }
}

/// The elements of a header that is a list, on however many lines.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|element| !element.is_empty())
}

fn unsupported(what: &str) -> Error {
    let detail = format!("{what}; send it as it is, or as one of {}", Coding::TAKEN);
    Error::new(ErrorCode::MediaTypeUnsupported, detail)
}

/// Not packed.
const IDENTITY: &str = "identity";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn wants(accepted: &str, expected: Option<Coding>) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, accepted.parse().expect("legal"));
        assert_eq!(Coding::wanted(&headers), expected, "{accepted}");
    }

    #[test]
    fn the_client_chooses_the_coding_and_the_server_breaks_ties() {
        assert_eq!(Coding::wanted(&HeaderMap::new()), None);
        wants("", None);
        wants("identity", None);
        wants("gzip", Some(Coding::Gzip));
        wants("x-gzip", Some(Coding::Gzip));
        wants("gzip, deflate, br", Some(Coding::Brotli));
        wants("gzip, deflate, br, zstd", Some(Coding::Zstd));
        wants("GZIP;q=0.9, br;q=0.5", Some(Coding::Gzip));
        wants("gzip;q=0", None);
        wants("zstd;q=0, *;q=0.1", Some(Coding::Brotli));
        wants("*", Some(Coding::Zstd));
        wants("*;q=0", None);
        wants("identity, gzip;q=0.5", None);
        wants("identity;q=0.5, gzip;q=0.5", Some(Coding::Gzip));
        wants("identity;q=0, gzip", Some(Coding::Gzip));
        wants("gzip;q=nonsense", None);
        wants("gzip;q=NaN", None);
        wants("deflate, compress", None);
    }

    #[test]
    fn a_body_is_packed_once_and_in_a_known_way() {
        let of = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_ENCODING, line.parse().expect("legal"));
            }
            Coding::of_body(&headers).map_err(|error| error.code)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["identity"]), Ok(None));
        assert_eq!(of(&["Br"]), Ok(Some(Coding::Brotli)));
        for refused in [&["deflate"][..], &["gzip, br"], &["gzip", "gzip"], &["identity, gzip"]] {
            assert_eq!(of(refused), Err(ErrorCode::MediaTypeUnsupported), "{refused:?}");
        }
    }
}
