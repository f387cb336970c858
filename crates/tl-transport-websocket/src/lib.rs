//! WebSocket sessions.
//!
//! `GET /v1/session` with an upgrade (HTTP/1.1, RFC 6455) or an extended CONNECT (HTTP/2, RFC 8441).
//! The subprotocol chooses the form of the frames: `throughline.v1.json` in text messages, which is
//! also what a client gets that asks for none, or `throughline.v1.protobuf` in binary messages. What
//! the frames say is the contract's, and the same on every two-way carrier.
//!
//! | close code | meaning |
//! | --- | --- |
//! | 1000 | the client's own |
//! | 1001 | the client gave no sign of life |
//! | 1002, 1007 | a frame broke the protocol, a text was not UTF-8 |
//! | 1009 | a message was larger than a frame may be |
//! | 1012 | to be continued elsewhere; a `goingAway` frame has said when to come back and where to resume |

mod carrier;
pub mod codec;
pub mod handshake;
pub mod socket;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use tl_transport::http::types::Method;
use tl_transport::http::{Exchange, Response, problem_response};
use tl_transport::model::limits::{FRAME_BYTES_MAX, HEARTBEAT};
use tl_transport::model::{Call, Error, ErrorCode, Form};
use tl_transport::session::{SessionOptions, drive};
use tl_transport::{Engine, Host, Replay, Route, Transport};

use carrier::WebSocketCarrier;
use socket::WebSocket;

/// The room.
#[derive(Clone, Copy, Debug)]
pub struct WebSockets {
    /// How sessions behave.
    pub session: SessionOptions,
}

impl Default for WebSockets {
    fn default() -> Self {
        let session = SessionOptions {
            heartbeat: HEARTBEAT,
            reconnect_within: Duration::from_secs(10),
            drain_grace: Duration::from_secs(5),
        };
        Self { session }
    }
}

impl Transport for WebSockets {
    fn mount(&self, host: &mut Host) {
        let options = Arc::new(self.session);
        for method in [Method::GET, Method::CONNECT] {
            let options = options.clone();
            let open = move |exchange| std::future::ready(open(exchange, options.clone()));
            host.route(Route::new(method, "/v1/session", &[], open));
        }
    }
}

/// Frames in JSON.
pub const JSON: &str = "throughline.v1.json";
/// Frames in protobuf.
pub const PROTOBUF: &str = "throughline.v1.protobuf";

fn open(mut exchange: Exchange, options: Arc<SessionOptions>) -> Result<Response, Error> {
    exchange.query().finish()?;
    let subprotocol = handshake::subprotocol(exchange.headers(), &[JSON, PROTOBUF])?;
    let form = if subprotocol == Some(PROTOBUF) { Form::Protobuf } else { Form::Json };
    let response = match handshake::agree(&exchange.request, subprotocol) {
        Err(error) if error.code == ErrorCode::UpgradeRequired => {
            let mut response = problem_response(&error);
            handshake::advise(response.headers_mut());
            return Ok(response);
        }
        agreed => agreed?,
    };
    let upgrade = hyper::upgrade::on(&mut exchange.request);
    let (engine, call) = (exchange.engine.clone(), exchange.call.clone());
    let (leaving, tasks) = (exchange.leaving(), exchange.tasks());
    exchange.spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let session = Opened { form, engine, call, options, leaving };
        // A task of its own: this one, and what hyper has put around the connection, would be held as
        // long as the session.
        match upgraded.downcast::<TokioIo<Replay<TcpStream>>>() {
            Ok(parts) => {
                let stream = parts.io.into_inner().unread(parts.read_buf);
                tasks.spawn(session.run(stream));
            }
            Err(upgraded) => drop(tasks.spawn(session.run(TokioIo::new(upgraded)))),
        }
    });
    Ok(response)
}

/// A session whose connection stands.
struct Opened {
    form: Form,
    engine: Engine,
    call: Call,
    options: Arc<SessionOptions>,
    leaving: CancellationToken,
}

impl Opened {
    fn run<S>(self, stream: S) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { form, engine, call, options, leaving } = self;
        let socket = WebSocket::new(stream, FRAME_BYTES_MAX);
        let carrier = WebSocketCarrier { socket, form };
        let session = drive(carrier, form, &engine, call, options, leaving);
        session.then(|ended| async {
            match ended {
                Ok(carrier) => carrier.socket.finish().await,
                Err(error) => tracing::debug!(%error, "a session has ended"),
            }
        })
    }
}
