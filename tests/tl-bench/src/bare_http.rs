//! What hyper alone does with the same requests: it reads each body, throws it away and answers.

use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::machine;

/// A server without anything behind it, on a thread of the server's core.
pub(crate) struct BareHttp {
    /// Where to connect.
    pub(crate) port: u16,
    serving: JoinHandle<Duration>,
    stop: oneshot::Sender<()>,
}

impl BareHttp {
    /// Serves until it is finished.
    pub(crate) fn start() -> Self {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket has this option");
        let port = listener.local_addr().expect("it is bound").port();
        let (stop, stopped) = oneshot::channel();
        let serving = std::thread::spawn(move || {
            machine::stay_on(machine::SERVER_CORE);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            LocalSet::new().block_on(&runtime, async {
                let listener = TcpListener::from_std(listener).expect("a socket");
                tokio::task::spawn_local(accept(listener));
                // Whoever could say it may have panicked.
                let _ = stopped.await;
            });
            machine::thread_time()
        });
        Self { port, serving, stop }
    }

    /// All the processor time it has had.
    pub(crate) fn finish(self) -> Duration {
        // It cannot have ended before.
        let _ = self.stop.send(());
        self.serving.join().expect("it does not panic")
    }
}

async fn accept(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.expect("somebody connects");
        stream.set_nodelay(true).expect("a socket has this option");
        tokio::task::spawn_local(serve(stream));
    }
}

async fn serve(stream: TcpStream) {
    let mut http1 = http1::Builder::new();
    // As in the server.
    http1.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    // A connection ends as its publisher likes.
    let _ = http1.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    while let Some(Ok(_thrown_away)) = body.frame().await {}
    let answer = Response::builder().status(201).header("content-type", "application/json");
    Ok(answer.body(Full::new(Bytes::from_static(RECEIPT))).expect("legal"))
}

/// As long as a receipt of the server.
const RECEIPT: &[u8] =
    br#"{"id":"01a1fbb3-285e-7d88-9f20-a1bda4928a78","cursor":"1qj994h4cwd9p1100000"}"#;
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
