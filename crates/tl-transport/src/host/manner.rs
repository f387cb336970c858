use ::http::StatusCode;
use ::http::header::{CONTENT_LENGTH, ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use axum::body::Body;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body::Body as _;

use tl_engine::Engine;

use super::added::Added;
use super::origin::Allowed;
use super::trace::{self, TraceId};
use crate::http::{Coding, Request, Response, coded, pack, uncoded};

/// How a request is to be answered, whatever room answers it. It is kept while an answer is awaited,
/// so it is small.
pub(super) struct Manner {
    origin: Allowed,
    /// What is said with every answer there.
    pub(super) added: Added,
    coding: Option<Coding>,
    engine: Engine,
    /// What few requests say.
    said: Option<Box<Said>>,
}

struct Said {
    trace: Option<TraceId>,
    /// The tags of what the client has, if some of that is packed.
    packed_tags: Option<Box<str>>,
}

impl Manner {
    /// Takes codings off the tags in a request, of which rooms know nothing.
    pub(super) fn of(request: &mut Request, origin: Allowed, engine: Engine) -> Self {
        let coding = Coding::wanted(request.headers());
        let is_safe = SAFE.contains(&request.method().as_str());
        let headers = request.headers_mut();
        if let Some(plain) = headers.get(IF_MATCH).and_then(|tags| uncoded(tags, &Coding::ALL)) {
            headers.insert(IF_MATCH, plain);
        }
        // What the client has is unchanged only if it would be packed in the same way today.
        let taken_off = match (is_safe, &coding) {
            (true, coding) => coding.as_slice(),
            (false, _) => &Coding::ALL,
        };
        let mut packed_tags = None;
        if let Some(plain) = headers.get(IF_NONE_MATCH).and_then(|tags| uncoded(tags, taken_off)) {
            let tags = headers.insert(IF_NONE_MATCH, plain);
            packed_tags = tags.and_then(|tags| tags.to_str().ok().map(Box::from));
        }
        let trace = TraceId::of(headers);
        let is_said = trace.is_some() || packed_tags.is_some();
        let said = is_said.then(|| Box::new(Said { trace, packed_tags }));
        Self { origin, added: Added::default(), coding, engine, said }
    }

    /// Makes an answer what this request gets.
    pub(super) async fn finish(self, mut response: Response) -> Response {
        if trace::is_problem(&response) {
            let trace = self.said.as_ref().and_then(|said| said.trace);
            // Boxed, as in what is packed.
            response = Box::pin(trace::put(response, trace, &self.engine)).await;
        }
        let mut response = pack(response, self.coding).await;
        if response.status() == StatusCode::NOT_MODIFIED
            && let Some(tag) = self.packed_tag(&response)
        {
            response.headers_mut().insert(ETAG, tag);
        }
        self.added.put(response.headers_mut());
        self.origin.expose(response.headers_mut());
        response
    }

    /// The same for an answer that comes later. All that is needed only once it is there has no room
    /// among what waits.
    pub(super) fn finish_later(
        self,
        later: BoxFuture<'static, Response>,
    ) -> impl Future<Output = Response> + Send + 'static {
        later.then(|response| Box::pin(self.finish(response)))
    }

    /// The tag of what the client has, if that is packed.
    fn packed_tag(&self, response: &Response) -> Option<HeaderValue> {
        let tag = coded(response.headers().get(ETAG)?, self.coding?)?;
        let has = self.said.as_ref()?.packed_tags.as_ref()?.contains(tag.to_str().ok()?);
        has.then_some(tag)
    }
}

/// The methods that read.
const SAFE: &[&str] = &["GET", "HEAD", "QUERY"];

/// What `HEAD` is answered instead of what `GET` would be: the same without its body.
pub(super) fn without_body(mut response: Response) -> Response {
    let has_body = !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let (true, Some(len)) = (has_body, response.body().size_hint().exact()) {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
    }
    *response.body_mut() = Body::empty();
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every long poll that waits holds one.
    #[test]
    fn what_waits_with_a_long_poll_is_small() {
        assert!(size_of::<Manner>() <= 5 * size_of::<usize>(), "{}", size_of::<Manner>());
        let waiting = size_of_future(Manner::finish_later);
        assert!(waiting <= 10 * size_of::<usize>(), "{waiting}");
    }

    fn size_of_future<F>(_: fn(Manner, BoxFuture<'static, Response>) -> F) -> usize {
        size_of::<F>()
    }
}
