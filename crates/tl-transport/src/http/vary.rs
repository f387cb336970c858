use ::http::HeaderMap;
use ::http::header::{HeaderValue, VARY};

/// Adds a request's header to those that the answer depends on. All stand on one line: some caches
/// read no second one.
pub(crate) fn vary(headers: &mut HeaderMap, name: &'static str) {
    let lines = headers.get_all(VARY).iter().filter_map(|line| line.to_str().ok());
    let mut names: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    if !names.contains(&name) {
        names.push(name);
    }
    if let Ok(all) = HeaderValue::from_str(&names.join(", ")) {
        headers.insert(VARY, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_depends_on_stands_on_one_line() {
        let mut headers = HeaderMap::new();
        headers.append(VARY, HeaderValue::from_static("accept"));
        headers.append(VARY, HeaderValue::from_static("origin"));
        vary(&mut headers, "accept-encoding");
        vary(&mut headers, "origin");
        let lines: Vec<_> = headers.get_all(VARY).iter().collect();
        assert_eq!(lines, ["accept, origin, accept-encoding"]);
    }
}
