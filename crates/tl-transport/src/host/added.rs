use std::sync::Arc;

use ::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Route;

/// Headers that go with every answer of a resource, whatever comes of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Added(Option<Arc<Vec<(HeaderName, HeaderValue)>>>);

impl Added {
    /// Those of a resource with these routes.
    pub(super) fn of(routes: &[Route]) -> Self {
        let query = routes.iter().find(|route| route.method.as_str() == "QUERY");
        let takes = query.map(|route| HeaderValue::from_str(&route.takes.join(", ")));
        let name = HeaderName::from_static("accept-query");
        Self::some(takes.into_iter().flatten().map(|takes| (name.clone(), takes)).collect())
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
