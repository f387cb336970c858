use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use connectrpc::dispatcher::{RequestStream, StreamingResult, UnaryResult};
use connectrpc::{
    CodecFormat, ConnectError, Dispatcher, MethodDescriptor, Payload, RequestContext, Response,
    Server,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use tl_engine::{Engine, Environment, Options, SystemEnvironment};
use tl_model::Epoch;
use tl_model::limits::HEARTBEAT;
use tl_server::Config;
use tl_server::listener::{ListenOptions, Listener};
use tl_store::MemoryStore;
use tl_transport::{Host, Origins};
use tl_transport_rpc::mount;

/// On the server's own listener, host and limits.
pub(crate) async fn ours(listening: impl FnOnce(SocketAddr)) {
    let environment = Arc::new(SystemEnvironment);
    let store = Arc::new(MemoryStore::new(Epoch::from_random(environment.random())));
    let engine = Engine::start(store, environment, Options::default());
    let options = ListenOptions::new(&Config::default(), &engine).expect("without TLS");
    let mut host = Host::new(engine, Origins::default());
    mount::mount(&mut host, "bench.Echo", &mount::service(Echo));
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    listening(listener.address());
    let (never, connections) = (CancellationToken::new(), TaskTracker::new());
    listener.serve(Arc::new(options), host.into_service(), never, connections).await;
}

/// On the library's own, with the same limits and pings.
pub(crate) async fn theirs(listener: TcpListener) {
    let server = Server::from_listener(listener).with_http2_keepalive_interval(HEARTBEAT);
    server.serve_with_service(mount::service(Echo)).await.expect("it serves");
}

struct Echo;

impl Dispatcher for Echo {
    fn lookup(&self, path: &str) -> Option<MethodDescriptor> {
        (path == "bench.Echo/Echo").then(|| MethodDescriptor::unary(false))
    }

    fn call_unary(
        &self,
        _: &str,
        _: RequestContext,
        message: Payload,
        _: CodecFormat,
    ) -> UnaryResult {
        Box::pin(async move { Ok(Response::new(message.encoded()?.into())) })
    }

    fn call_server_streaming(
        &self,
        _: &str,
        _: RequestContext,
        _: bytes::Bytes,
        _: CodecFormat,
    ) -> StreamingResult {
        Box::pin(async { Err(nothing_else()) })
    }

    fn call_client_streaming(
        &self,
        _: &str,
        _: RequestContext,
        _: RequestStream,
        _: CodecFormat,
    ) -> UnaryResult {
        Box::pin(async { Err(nothing_else()) })
    }

    fn call_bidi_streaming(
        &self,
        _: &str,
        _: RequestContext,
        _: RequestStream,
        _: CodecFormat,
    ) -> StreamingResult {
        Box::pin(async { Err(nothing_else()) })
    }
}

fn nothing_else() -> ConnectError {
    ConnectError::unimplemented("there is nothing but one echo for one message")
}
