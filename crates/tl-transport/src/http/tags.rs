//! Entity tags of what is packed (RFC 9110 §8.8.3): `"tag-gzip"`. Rooms know only `"tag"`.

use ::http::header::HeaderValue;

use super::Coding;

/// The tag of the same thing packed.
pub(crate) fn coded(tag: &HeaderValue, coding: Coding) -> Option<HeaderValue> {
    let tag = tag.to_str().ok()?.strip_suffix('"')?;
    HeaderValue::from_str(&format!("{tag}-{}\"", coding.name())).ok()
}

/// A list of tags with these codings taken off; `None` if there is none to take off.
pub(crate) fn uncoded(tags: &HeaderValue, codings: &[Coding]) -> Option<HeaderValue> {
    let tags = tags.to_str().ok()?;
    let mut plain = tags.to_owned();
    for coding in codings {
        plain = plain.replace(&format!("-{}\"", coding.name()), "\"");
    }
    if plain == tags { None } else { HeaderValue::from_str(&plain).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_is_put_on_a_tag_and_taken_off_again() {
        let header = HeaderValue::from_static;
        for coding in Coding::ALL {
            for tag in ["\"1qj994h4cwd9p11-more\"", "W/\"x\""] {
                let packed = coded(&header(tag), coding).expect("a tag");
                assert_eq!(uncoded(&packed, &Coding::ALL), Some(header(tag)));
                assert_eq!(uncoded(&header(tag), &Coding::ALL), None);
            }
        }
        let list = header("\"a-gzip\", \"b-br\", W/\"c\"");
        assert_eq!(uncoded(&list, &Coding::ALL), Some(header("\"a\", \"b\", W/\"c\"")));
        assert_eq!(uncoded(&list, &[Coding::Brotli]), Some(header("\"a-gzip\", \"b\", W/\"c\"")));
        assert_eq!(uncoded(&header("*"), &Coding::ALL), None);
        assert_eq!(coded(&header("nonsense"), Coding::Gzip), None);
    }
}
