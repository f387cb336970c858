//! Several events in one body.

use serde_json::value::RawValue;

use crate::draft::Draft;
use crate::json;

/// Reads a JSON array of events (CloudEvents JSON 1.0.2 §4). What is no array fails as a whole; an
/// element that is no event fails alone.
pub fn read_array(body: &[u8]) -> Result<Vec<Result<Draft, serde_json::Error>>, serde_json::Error> {
    let elements: Vec<&RawValue> = serde_json::from_slice(body)?;
    Ok(elements.iter().map(|element| json::read(element.get().as_bytes())).collect())
}

/// Reads one event a line; empty lines are passed over.
pub fn read_lines(body: &[u8]) -> impl Iterator<Item = Result<Draft, serde_json::Error>> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).map(json::read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(drafts: impl IntoIterator<Item = Result<Draft, serde_json::Error>>) -> Vec<String> {
        let id = |draft: Result<Draft, _>| match draft {
            Ok(draft) => draft.id.unwrap_or_default(),
            Err(_) => "error".to_owned(),
        };
        drafts.into_iter().map(id).collect()
    }

    #[test]
    fn elements_that_are_no_events_fail_alone() {
        let array = br#"[{"id":"1"}, 7, {"id":"2"}]"#;
        assert_eq!(ids(read_array(array).expect("an array")), ["1", "error", "2"]);
        let lines = b"{\"id\":\"1\"}\r\n\n nonsense\n{\"id\":\"2\"}";
        assert_eq!(ids(read_lines(lines)), ["1", "error", "2"]);
        assert!(read_array(b"{}").is_err());
        assert!(read_array(b"[{}").is_err());
    }
}
