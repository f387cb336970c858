//! What makes a request malformed that hyper lets pass.

use tl_model::limits::HEADERS_MAX;
use tl_model::{Error, ErrorCode};
use tl_transport::http::types::header::HOST;
use tl_transport::http::types::{Request, StatusCode, Version};
use tl_transport::http::{Response, problem_response};

/// The answer to a malformed request; `None` if it is a good one.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response> {
    if request.headers().len() > HEADERS_MAX {
        // As hyper answers by itself to one of HTTP/1.1.
        let mut response = Response::default();
        *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Some(response);
    }
    let hosts = request.headers().get_all(HOST).iter().count();
    let is_addressed = match request.version() {
        Version::HTTP_11 => hosts == 1,
        // HTTP/1.0 knows no hosts; HTTP/2 names them elsewhere.
        _ => hosts <= 1,
    };
    if is_addressed {
        return None;
    }
    // RFC 9112 §3.2
    let detail = "a request of HTTP/1.1 has the header `Host`, once";
    Some(problem_response(&Error::new(ErrorCode::ParameterInvalid, detail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(version: Version, headers: &[(&str, usize)]) -> Option<u16> {
        let mut request = Request::builder().version(version);
        for (name, times) in headers {
            request = (0..*times).fold(request, |request, _| request.header(*name, "x"));
        }
        refusal(&request.body(()).expect("a request")).map(|response| response.status().as_u16())
    }

    #[test]
    fn a_request_names_its_host_once_and_has_few_headers() {
        assert_eq!(status(Version::HTTP_11, &[("host", 1)]), None);
        assert_eq!(status(Version::HTTP_11, &[]), Some(400));
        assert_eq!(status(Version::HTTP_11, &[("host", 2)]), Some(400));
        assert_eq!(status(Version::HTTP_2, &[]), None);
        assert_eq!(status(Version::HTTP_2, &[("x", HEADERS_MAX + 1)]), Some(431));
    }
}
