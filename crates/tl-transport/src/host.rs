//! Where rooms are mounted: finds the route for a request, or says why there is none.

mod added;
mod deprecation;
mod manner;
mod origin;
mod trace;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{ACCEPT, ACCEPT_ENCODING, ALLOW, HeaderMap, HeaderValue, ORIGIN};
use ::http::{Method, StatusCode};
use axum::Router;
use axum::body::Body;
use axum::extract::RawPathParams;
use axum::extract::rejection::RawPathParamsRejection;
use axum::routing::any;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use tl_engine::Engine;
use tl_model::{Call, Error, ErrorCode};

use crate::http::detached::{self, Detached};
use crate::http::{Coding, Exchange, Request, Response, Room, Served, negotiate, problem_response};

use added::Added;
pub use deprecation::Deprecation;
use manner::{Manner, without_body};
pub use origin::Origins;
use trace::TraceId;

/// Something a room answers.
pub struct Route {
    /// The method. `HEAD` comes with `GET` by itself.
    pub method: Method,
    /// The path, with `{name}` for a segment that varies.
    pub path: &'static str,
    /// The media types it can answer with, the preferred first. Empty if it does not matter.
    pub produces: &'static [&'static str],
    /// The media types of bodies it takes, which whoever sends another one is told.
    pub takes: &'static [&'static str],
    /// Whether, and when, it is going to be taken away.
    pub deprecation: Option<Deprecation>,
    /// Who answers.
    pub handler: Handler,
    added: Added,
}

/// Answers every request at a path, whatever its method, in the forms of a protocol of its own: errors
/// and compression, too.
pub type Delegate = Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>;

/// Answers a request.
pub type Handler =
    Arc<dyn Fn(Exchange) -> BoxFuture<'static, Result<Response, Error>> + Send + Sync>;

impl Route {
    /// A route answered by an async function.
    pub fn new<F>(
        method: Method,
        path: &'static str,
        produces: &'static [&'static str],
        handler: impl Fn(Exchange) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |exchange| Box::pin(handler(exchange)));
        let (takes, added) = (&[][..], Added::default());
        Self { method, path, produces, takes, deprecation: None, handler, added }
    }

    /// The same route, which takes bodies of these media types.
    pub fn taking(self, takes: &'static [&'static str]) -> Self {
        Self { takes, ..self }
    }

    /// The same route, which tells everybody who uses it that it is going to be taken away.
    pub fn deprecated(self, deprecation: Deprecation) -> Self {
        Self { deprecation: Some(deprecation), ..self }
    }

    /// The media types it takes, as a header says it; `None` if it does not matter.
    fn taken(&self) -> Option<HeaderValue> {
        let taken = HeaderValue::from_str(&self.takes.join(", ")).ok();
        taken.filter(|_| !self.takes.is_empty())
    }
}

/// Is cancelled once a connection is about to end, or the server to stop. The listener puts it into the
/// extensions of requests whose connection can end before the server does.
#[derive(Clone, Debug)]
pub struct Leaving(pub Arc<CancellationToken>);

impl Leaving {
    /// The token.
    pub fn token(&self) -> CancellationToken {
        (*self.0).clone()
    }
}

/// Collects the routes of all rooms.
pub struct Host {
    engine: Engine,
    origins: Origins,
    tasks: TaskTracker,
    room: Room,
    routes: Vec<Route>,
    delegates: HashMap<String, Delegate>,
}

impl Host {
    /// A host without rooms. Web pages of other origins than the server's own may only use it if
    /// they are listed.
    pub fn new(engine: Engine, origins: Origins) -> Self {
        let (routes, delegates) = (Vec::new(), HashMap::new());
        let (tasks, room) = (TaskTracker::new(), Room::default());
        Self { engine, origins, tasks, room, routes, delegates }
    }

    /// The engine below all rooms.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The memory that the bodies of all requests share.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// Adds a route.
    pub fn route(&mut self, route: Route) {
        self.routes.push(route);
    }

    /// Leaves all paths of one more segment below a path, such as `/package.Service`, to a protocol of its
    /// own. Of the host's rules only those about web pages hold there.
    pub fn delegate(&mut self, path: String, delegate: Delegate) {
        self.delegates.insert(path, delegate);
    }

    /// All routes.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The service that answers every request.
    pub fn into_service(self) -> HttpService {
        let mut paths: Vec<(&'static str, Vec<Route>)> = Vec::new();
        for route in self.routes {
            match paths.iter_mut().find(|(path, _)| *path == route.path) {
                Some((_, routes)) => routes.push(route),
                None => paths.push((route.path, vec![route])),
            }
        }
        let mut router = Router::new();
        for (path, mut routes) in paths {
            let (engine, tasks) = (self.engine.clone(), self.tasks.clone());
            let (added, room) = (Added::put_on(&mut routes), self.room.clone());
            let resource = Arc::new(Resource { routes, added, engine, tasks, room });
            let answer = move |params: Params, request: Request| {
                let resource = resource.clone();
                async move { resource.answer(params, request).await }
            };
            router = router.route(path, any(answer));
        }
        let router = router.fallback(|| async { problem_response(&not_found()) });
        let (origins, engine) = (Arc::new(self.origins), self.engine);
        let delegates = Arc::new(self.delegates);
        HttpService { router, delegates, origins, engine, tasks: self.tasks }
    }
}

/// Answers every HTTP request of every room. Clones share everything.
#[derive(Clone)]
pub struct HttpService {
    router: Router,
    delegates: Arc<HashMap<String, Delegate>>,
    origins: Arc<Origins>,
    engine: Engine,
    tasks: TaskTracker,
}

impl HttpService {
    /// Waits until everything that outlived its request has ended.
    pub async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Answers one request.
    pub async fn answer(self, request: Request) -> Response {
        let (response, detached) = self.answer_detached(request).await;
        detached::attach(response, detached).await
    }

    /// A refusal of a request that no room gets to see, as clients are told.
    pub async fn refuse(&self, headers: &HeaderMap, refusal: Response) -> Response {
        match trace::is_problem(&refusal) {
            true => trace::put(refusal, TraceId::of(headers), &self.engine).await,
            false => refusal,
        }
    }

    /// Who alone answers a request: it belongs to a protocol of its own, and comes from no web page.
    pub fn delegate<B>(&self, request: &::http::Request<B>) -> Option<&Delegate> {
        self.delegate_of(request).filter(|_| !request.headers().contains_key(ORIGIN))
    }

    fn delegate_of<B>(&self, request: &::http::Request<B>) -> Option<&Delegate> {
        self.delegates.get(request.uri().path().rsplit_once('/')?.0)
    }

    /// Answers one request. What takes long is left to the caller.
    pub async fn answer_detached(self, mut request: Request) -> (Response, Option<Detached>) {
        let origin = match self.origins.check(&request) {
            Ok(origin) => origin,
            Err(error) => {
                let refusal = problem_response(&error);
                return (self.refuse(request.headers(), refusal).await, None);
            }
        };
        if let Some(preflight) = origin.preflight(&request) {
            return (preflight, None);
        }
        if let Some(delegate) = self.delegate_of(&request) {
            let mut response = delegate(request).await;
            origin.expose(response.headers_mut());
            return (response, None);
        }
        let mut manner = Manner::of(&mut request, origin, self.engine);
        let is_head = request.method() == Method::HEAD;
        if is_head {
            // The router leaves out bodies by itself, before they are what they are to be.
            *request.method_mut() = Method::GET;
            request.extensions_mut().insert(Head);
        }
        let mut response = match self.router.oneshot(request).await {
            Ok(response) => response,
            Err(infallible) => match infallible {},
        };
        manner.added = response.extensions_mut().remove().unwrap_or_default();
        let detached = detached::detach(&mut response);
        if is_head {
            let response = detached::attach(response, detached).await;
            return (without_body(manner.finish(response).await), None);
        }
        match detached {
            Some(Detached::Later(later)) => {
                (response, Some(Detached::Later(Box::pin(manner.finish_later(later)))))
            }
            at_once => (manner.finish(response).await, at_once),
        }
    }
}

/// That a request is answered as `GET` would be, and is none.
#[derive(Clone, Copy)]
struct Head;

/// The segments of a path that vary, unless they are not text.
type Params = Result<RawPathParams, RawPathParamsRejection>;

/// All routes of one path.
struct Resource {
    routes: Vec<Route>,
    added: Added,
    engine: Engine,
    tasks: TaskTracker,
    room: Room,
}

impl Resource {
    async fn answer(&self, params: Params, request: Request) -> Response {
        let (added, mut response) = match (request.method(), self.choose(&request)) {
            (&Method::OPTIONS, _) => (&self.added, self.options()),
            (_, Ok((route, served))) => {
                (&route.added, self.answer_by(route, served, params, request).await)
            }
            (_, Err(error)) => (&self.added, problem_response(&error)),
        };
        // A room, too, may refuse a method: for this version of HTTP.
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, self.allow());
        }
        response.extensions_mut().insert(added.clone());
        response
    }

    async fn answer_by(
        &self,
        route: &Route,
        served: Served,
        params: Params,
        request: Request,
    ) -> Response {
        let is_packed_well = Coding::of_body(request.headers()).is_ok();
        let result = self.handle(route, served, params, request).await;
        let mut response = match result {
            Ok(response) => response,
            Err(error) => problem_response(&error),
        };
        if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            // RFC 9110 §15.5.16
            let taken = match is_packed_well {
                true => route.taken().map(|taken| (ACCEPT, taken)),
                false => Some((ACCEPT_ENCODING, HeaderValue::from_static(Coding::TAKEN))),
            };
            response.headers_mut().extend(taken);
        }
        response
    }

    async fn handle(
        &self,
        route: &Route,
        served: Served,
        params: Params,
        mut request: Request,
    ) -> Result<Response, Error> {
        if request.extensions_mut().remove::<Head>().is_some() {
            *request.method_mut() = Method::HEAD;
        }
        let params = params.map_err(|_| {
            Error::new(ErrorCode::ParameterInvalid, "the path is not UTF-8 when decoded")
        })?;
        let params = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let params = params.collect();
        let call = self.call(&request)?;
        let deadline = call.deadline;
        let (engine, tasks) = (self.engine.clone(), self.tasks.clone());
        let room = self.room.clone();
        let exchange = Exchange::new(engine, call, params, served, tasks, room, request);
        let answer = (route.handler)(exchange);
        let Some(deadline) = deadline else {
            return answer.await;
        };
        // A handler that minds its deadline by itself gives the better answer.
        let latest = deadline + DEADLINE_GRACE;
        tokio::time::timeout_at(latest.into(), answer).await.unwrap_or_else(|_| {
            let detail = "the time allowed for this request is over";
            Err(Error::new(ErrorCode::DeadlineExceeded, detail))
        })
    }

    /// The route for a request, and the media type it is to answer with.
    fn choose(&self, request: &Request) -> Result<(&Route, Served), Error> {
        let method = request.method();
        let routes: Vec<_> = self.routes.iter().filter(|it| it.method == *method).collect();
        if routes.is_empty() {
            let detail = format!("{method} is not possible here; `Allow` says what is");
            return Err(Error::new(ErrorCode::MethodNotAllowed, detail));
        }
        let offers = routes.iter().flat_map(|route| route.produces.iter().copied());
        let offers: Vec<_> = offers.collect();
        if offers.is_empty() {
            return Ok((routes[0], ""));
        }
        let served = negotiate(request.headers(), &offers)?;
        let route = routes.iter().find(|route| route.produces.contains(&served));
        route.map(|route| (*route, served)).ok_or_else(not_found)
    }

    /// On whose behalf, and until when. Everybody is anonymous.
    fn call(&self, request: &Request) -> Result<Call, Error> {
        let call = Call::default();
        let Some(timeout) = request.headers().get(REQUEST_TIMEOUT) else {
            return Ok(call);
        };
        let seconds = timeout.to_str().ok().and_then(|text| text.parse::<f64>().ok());
        let Some(seconds) = seconds.filter(|seconds| *seconds >= 0.0) else {
            let detail = "`Request-Timeout` is a number of seconds, such as 2.5";
            return Err(Error::new(ErrorCode::ParameterInvalid, detail));
        };
        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(REQUEST_TIMEOUT_MAX);
        let now = tokio::time::Instant::now().into_std();
        Ok(call.until(now + timeout.min(REQUEST_TIMEOUT_MAX)))
    }

    fn options(&self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ALLOW, self.allow());
        response
    }

    fn allow(&self) -> HeaderValue {
        let mut methods: Vec<&str> =
            self.routes.iter().map(|route| route.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.sort_unstable();
        methods.dedup();
        // Method names are legal in any header.
        HeaderValue::from_str(&methods.join(", ")).unwrap_or(HeaderValue::from_static(""))
    }
}

fn not_found() -> Error {
    Error::new(ErrorCode::NotFound, "there is nothing here; the API begins at /v1/channels")
}

/// How long the caller will wait for an answer, in seconds.
const REQUEST_TIMEOUT: &str = "request-timeout";
/// How long after its deadline a request is given up if its handler has not noticed.
const DEADLINE_GRACE: Duration = Duration::from_millis(500);
/// A longer time makes no difference to anybody.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests;
