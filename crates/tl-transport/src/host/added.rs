use std::sync::Arc;

use ::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Deprecation, Route};

/// Headers that go with every answer of a resource or a route, whatever comes of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Added(Option<Arc<Vec<(HeaderName, HeaderValue)>>>);

impl Added {
    /// Gives every route of a resource its own. Returns those for requests that find no route.
    pub(super) fn put_on(routes: &mut [Route]) -> Self {
        let of_resource: Vec<_> = accept_query(routes).into_iter().collect();
        for route in routes {
            let deprecation = route.deprecation.iter().flat_map(Deprecation::headers);
            route.added = Self::some(of_resource.iter().cloned().chain(deprecation).collect());
        }
        Self::some(of_resource)
    }

    fn some(headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self((!headers.is_empty()).then(|| headers.into()))
    }

    pub(super) fn put(&self, headers: &mut HeaderMap) {
        for (name, value) in self.0.iter().flat_map(|added| added.iter()) {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// What the body of a `QUERY` may be (RFC 10008), where there is one.
fn accept_query(routes: &[Route]) -> Option<(HeaderName, HeaderValue)> {
    let route = routes.iter().find(|route| route.method.as_str() == "QUERY")?;
    Some((HeaderName::from_static("accept-query"), route.taken()?))
}
