//! The server's own accept loop.
//!
//! One port speaks HTTP/1.1 and HTTP/2, the latter by prior knowledge or, over TLS, by ALPN. The
//! first bytes of a connection are read here: they tell the version, and a client that is too slow
//! with its first request is cut off before anything is set up for it. What was read is
//! [replayed](Replay) to hyper.

mod http1;
mod http2;
mod malformed;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use hyper::server::conn;
use hyper_util::rt::TokioTimer;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use tl_engine::Engine;
use tl_model::limits::{
    HEADERS_BYTES_MAX, HEADERS_MAX, HEADERS_TIMEOUT, HEARTBEATS_DEAD, IDLE_TIMEOUT, SEND_BYTES_MAX,
};
use tl_transport::http::detached::Detached;
use tl_transport::http::{Request, Response};
use tl_transport::{HttpService, Replay};

use crate::config::Config;

pub use tls::TlsError;

/// What holds for all connections.
pub struct ListenOptions {
    tls: Option<TlsAcceptor>,
    heartbeat: Duration,
    permits: Arc<Semaphore>,
    http1: conn::http1::Builder,
    http2: http2::Options,
}

/// A socket that listens.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl ListenOptions {
    /// Reads the certificate, if there is one.
    pub fn new(config: &Config, engine: &Engine) -> Result<Self, TlsError> {
        let heartbeat = config.connections.heartbeat.0;
        let mut http1 = conn::http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIMEOUT)
            .max_headers(HEADERS_MAX)
            .max_header_size(HEADERS_BYTES_MAX)
            .max_buf_size(SEND_BYTES_MAX);
        Ok(Self {
            tls: config.listen.tls.as_ref().map(tls::acceptor).transpose()?,
            heartbeat,
            permits: Arc::new(Semaphore::new(config.listen.connections_max)),
            http1,
            http2: http2::Options::new(&config.connections, engine),
        })
    }
}

impl Listener {
    /// Binds an address.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from_std(socket.into())?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until it is to stop. Above the limit of connections it waits for one to
    /// end; the system keeps some more waiting.
    pub async fn serve(
        self,
        options: Arc<ListenOptions>,
        service: HttpService,
        stopping: CancellationToken,
        connections: TaskTracker,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&options) => accepted,
                () = stopping.cancelled() => return,
            };
            let (stream, address, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of files, most likely: others have to end first.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connection = Connection {
                options: options.clone(),
                service: service.clone(),
                stopping: stopping.clone(),
                connections: connections.clone(),
                address,
                permit,
            };
            connections.spawn(async move {
                if let Err(error) = connection.serve(stream).await {
                    tracing::debug!(%address, %error, "a connection has ended");
                }
            });
        }
    }

    async fn accept(
        &self,
        options: &ListenOptions,
    ) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = options.permits.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, address) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        // The kernel gives up a peer that leaves what was sent to it unacknowledged; heartbeats see
        // to it that something is.
        socket.set_tcp_user_timeout(Some(options.heartbeat * HEARTBEATS_DEAD))?;
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(options.heartbeat))?;
        Ok((stream, address, permit))
    }
}

/// One accepted connection.
struct Connection {
    options: Arc<ListenOptions>,
    service: HttpService,
    stopping: CancellationToken,
    connections: TaskTracker,
    address: SocketAddr,
    /// Held until the connection ends.
    permit: OwnedSemaphorePermit,
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error("it had reached its age, and something was left on it after the grace period")]
    Aged,
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the client was too slow")]
    TooSlow,
}

impl Connection {
    async fn serve(self, stream: TcpStream) -> Result<(), ConnectionError> {
        match &self.options.tls {
            None => self.sniff(stream).await,
            Some(acceptor) => {
                let accepting = acceptor.accept(stream);
                let stream = in_time(accepting).await??;
                self.sniff(stream).await
            }
        }
    }

    /// Reads the head of the first request, or the preface of HTTP/2.
    async fn sniff<S: Io>(self, mut stream: S) -> Result<(), ConnectionError> {
        let mut read = BytesMut::new();
        let Some(version) = in_time(version(&mut stream, &mut read)).await?? else {
            return Ok(());
        };
        let stream = Replay::new(stream, read.freeze());
        match version {
            Version::Http1 => self.serve_http1(stream, None).await,
            // Boxed, so that connections of HTTP/1.1 are no larger for it.
            Version::Http2 => Box::pin(self.serve_http2(stream)).await,
        }
    }
}

/// Answers one request. What takes long is left to the caller.
async fn answer(service: HttpService, request: Request) -> (Response, Option<Detached>) {
    match malformed::refusal(&request) {
        Some(refusal) => (service.refuse(request.headers(), refusal).await, None),
        None => service.answer_detached(request).await,
    }
}

/// A connection's byte stream.
trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for S {}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    Http1,
    Http2,
}

impl Version {
    /// The version of what a connection begins with; `None` until enough of it has arrived: the
    /// whole head of a request, or as much as a head may have.
    fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(HTTP2_PREFACE) {
            return Some(Self::Http2);
        }
        if HTTP2_PREFACE.starts_with(bytes) {
            return None;
        }
        // Empty lines before a request are passed over (RFC 9112 §2.2).
        let request = bytes.trim_ascii_start();
        let is_head = request.windows(4).any(|four| four == b"\r\n\r\n");
        (is_head || bytes.len() >= HEADERS_BYTES_MAX).then_some(Self::Http1)
    }
}

/// Reads until the version is known; `None` if the client leaves before.
async fn version<S: Io>(stream: &mut S, read: &mut BytesMut) -> io::Result<Option<Version>> {
    loop {
        if let Some(version) = Version::of(read) {
            return Ok(Some(version));
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

async fn in_time<T>(step: impl Future<Output = T>) -> Result<T, ConnectionError> {
    tokio::time::timeout(HEADERS_TIMEOUT, step).await.map_err(|_| ConnectionError::TooSlow)
}

/// RFC 9113 §3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Connections the system keeps while the server is busy accepting others.
const BACKLOG: i32 = 4_096;
/// A moment in which connections can end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_version() {
        assert_eq!(Version::of(b""), None);
        assert_eq!(Version::of(b"PRI * HTTP/2.0\r\n\r\n"), None);
        assert_eq!(Version::of(HTTP2_PREFACE), Some(Version::Http2));
        assert_eq!(Version::of(b"PUT / HTTP/1.1\r\n"), None);
        assert_eq!(Version::of(b"PUT / HTTP/1.1\r\n\r\nbody"), Some(Version::Http1));
        assert_eq!(Version::of(b"\r\n\r\n\r\n"), None);
        assert_eq!(Version::of(&[b'x'; HEADERS_BYTES_MAX]), Some(Version::Http1));
    }
}
