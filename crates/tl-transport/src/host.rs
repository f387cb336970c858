//! Where rooms are mounted: finds the route for a request, or says why there is none.

mod origin;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{ALLOW, HeaderValue};
use ::http::{Method, StatusCode};
use axum::Router;
use axum::body::Body;
use axum::extract::RawPathParams;
use axum::extract::rejection::RawPathParamsRejection;
use axum::routing::any;
use futures_util::future::BoxFuture;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use tl_engine::Engine;
use tl_model::{Call, Error, ErrorCode};

use crate::http::detached::{self, Detached};
use crate::http::{Exchange, Request, Response, Room, Served, negotiate, problem_response};

pub use origin::Origins;

/// Something a room answers.
pub struct Route {
    /// The method. `HEAD` comes with `GET` by itself.
    pub method: Method,
    /// The path, with `{name}` for a segment that varies.
    pub path: &'static str,
    /// The media types it can answer with, the preferred first. Empty if it does not matter.
    pub produces: &'static [&'static str],
    /// Who answers.
    pub handler: Handler,
}

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
        Self { method, path, produces, handler }
    }
}

/// The other end of a connection; the listener puts it into every request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
}

/// Collects the routes of all rooms.
pub struct Host {
    engine: Engine,
    origins: Origins,
    tasks: TaskTracker,
    routes: Vec<Route>,
}

impl Host {
    /// A host without rooms. Web pages of other origins than the server's own may only use it if
    /// they are listed.
    pub fn new(engine: Engine, origins: Origins) -> Self {
        Self { engine, origins, tasks: TaskTracker::new(), routes: Vec::new() }
    }

    /// Adds a route.
    pub fn route(&mut self, route: Route) {
        self.routes.push(route);
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
        let (mut router, room) = (Router::new(), Room::default());
        for (path, routes) in paths {
            let (engine, tasks) = (self.engine.clone(), self.tasks.clone());
            let resource = Arc::new(Resource { routes, engine, tasks, room: room.clone() });
            let answer = move |params: Params, request: Request| {
                let resource = resource.clone();
                async move { resource.answer(params, request).await }
            };
            router = router.route(path, any(answer));
        }
        let router = router.fallback(|| async { problem_response(&not_found()) });
        HttpService { router, origins: Arc::new(self.origins), tasks: self.tasks }
    }
}

/// Answers every HTTP request of every room. Clones share everything.
#[derive(Clone)]
pub struct HttpService {
    router: Router,
    origins: Arc<Origins>,
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

    /// Answers one request. What takes long is left to the caller.
    pub async fn answer_detached(self, request: Request) -> (Response, Option<Detached>) {
        let origin = match self.origins.check(&request) {
            Ok(origin) => origin,
            Err(error) => return (problem_response(&error), None),
        };
        if let Some(preflight) = origin.preflight(&request) {
            return (preflight, None);
        }
        let mut response = match self.router.oneshot(request).await {
            Ok(response) => response,
            Err(infallible) => match infallible {},
        };
        origin.expose(response.headers_mut());
        let detached = detached::detach(&mut response).map(|detached| match detached {
            Detached::Later(later) => Detached::Later(Box::pin(async move {
                let mut response = later.await;
                origin.expose(response.headers_mut());
                response
            })),
            stream @ Detached::Stream(_) => stream,
        });
        (response, detached)
    }
}

/// The segments of a path that vary, unless they are not text.
type Params = Result<RawPathParams, RawPathParamsRejection>;

/// All routes of one path.
struct Resource {
    routes: Vec<Route>,
    engine: Engine,
    tasks: TaskTracker,
    room: Room,
}

impl Resource {
    async fn answer(&self, params: Params, request: Request) -> Response {
        let is_head = request.method() == Method::HEAD;
        if request.method() == Method::OPTIONS {
            return self.options();
        }
        let result = self.handle(params, request).await;
        let mut response = match result {
            Ok(response) => response,
            Err(error) => problem_response(&error),
        };
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, self.allow());
        }
        if is_head {
            let detached = detached::detach(&mut response);
            // The router tells the length of the body, and leaves the body itself out.
            response = detached::attach(response, detached).await;
        }
        response
    }

    async fn handle(&self, params: Params, request: Request) -> Result<Response, Error> {
        let params = params.map_err(|_| {
            Error::new(ErrorCode::ParameterInvalid, "the path is not UTF-8 when decoded")
        })?;
        let params = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let params = params.collect();
        let (route, served) = self.choose(&request)?;
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
        let method = match request.method() {
            &Method::HEAD => &Method::GET,
            method => method,
        };
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
