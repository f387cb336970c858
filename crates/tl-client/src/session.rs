use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};
use tokio_util::task::AbortOnDropHandle;

use tl_model::{Error, ErrorCode, Form};
use tl_wire::draft::Draft;
use tl_wire::frame::{read_server, write_client};
use tl_wire::generated::throughline::v1 as contract;
use tl_wire::generated::throughline::v1::{Receipt, client_frame, server_frame};

use crate::answer::in_time;
use crate::client::{Client, PublishOptions};
use crate::error::ClientError;
use crate::write::{Condition, is_for_now, repeated};

/// A two-way session to publish over: many publishes can be under way at once, and are logged in the
/// order in which they were made.
#[derive(Clone, Debug)]
pub struct Session {
    client: Client,
    form: Form,
    link: Arc<Mutex<Link>>,
}

impl Session {
    pub(crate) async fn open(client: &Client, form: Form) -> Result<Self, ClientError> {
        let link = Arc::new(Mutex::new(Link::open(client, form).await?));
        Ok(Self { client: client.clone(), form, link })
    }

    /// Publishes events and waits for their receipts, one each, in order.
    ///
    /// With an idempotency key they are published again, a few times, if they were not answered, and
    /// if the connection was lost, over a new one: behind what was published after them.
    ///
    /// # Errors
    ///
    /// The session has ended; the events may have been logged all the same. With an idempotency key
    /// they can be published again to find out, here or over HTTP.
    pub async fn publish(
        &self,
        channel: &str,
        events: Vec<Draft>,
        options: PublishOptions,
    ) -> Result<Vec<Receipt>, ClientError> {
        let PublishOptions { atomic, ephemeral, condition, idempotency_key: key } = options;
        let publish = contract::Publish {
            channel: channel.to_owned(),
            events,
            atomic,
            ephemeral,
            conditions: conditions(channel, condition),
            idempotency_key: key.as_ref().map_or_else(String::new, |key| key.as_str().to_owned()),
            ..contract::Publish::default()
        };
        if key.is_none() {
            let link = lock(&self.link).clone();
            return link.publish(publish).await;
        }
        let attempt = || async {
            let receipts = self.link().await?.publish(publish.clone()).await?;
            match refused_for_now(&receipts) {
                Some(error) => Err(ClientError::Refused(error)),
                None => Ok(receipts),
            }
        };
        repeated(key.as_ref(), attempt).await
    }

    /// The connection, or a new one if it is lost.
    async fn link(&self) -> Result<Link, ClientError> {
        let link = lock(&self.link).clone();
        if !link.has_ended() {
            return Ok(link);
        }
        let link = Link::open(&self.client, self.form).await?;
        *lock(&self.link) = link.clone();
        Ok(link)
    }
}

/// A condition as requests carry it.
pub(crate) fn conditions(channel: &str, condition: Condition) -> Vec<contract::Condition> {
    let last = match condition {
        Condition::Any => return Vec::new(),
        Condition::Absent => String::new(),
        Condition::Last(place) => place.cursor().to_string(),
    };
    vec![contract::Condition { channel: channel.to_owned(), last }]
}

/// Why a whole request was refused, if it may be answered otherwise in a moment. Every event of it
/// says so.
fn refused_for_now(receipts: &[Receipt]) -> Option<Error> {
    let error = |receipt: &Receipt| problem(receipt.error.as_option()).ok();
    let errors: Option<Vec<_>> = receipts.iter().map(error).collect();
    errors?.into_iter().find(is_for_now)
}

/// The connection of a session, with whoever waits for an answer.
#[derive(Clone, Debug)]
struct Link {
    frames: mpsc::Sender<client_frame::Frame>,
    waiting: Arc<Mutex<Waiting>>,
    next_request: Arc<AtomicU32>,
    _task: Arc<AbortOnDropHandle<()>>,
}

type Waiting = HashMap<u32, oneshot::Sender<Result<Vec<Receipt>, ClientError>>>;

impl Link {
    async fn open(client: &Client, form: Form) -> Result<Self, ClientError> {
        let socket = Socket::connect(client, form).await?;
        let (frames, outgoing) = mpsc::channel(FRAMES_AHEAD);
        let waiting = Arc::new(Mutex::new(Waiting::new()));
        let task = tokio::spawn(run(socket, outgoing, waiting.clone()));
        let task = Arc::new(AbortOnDropHandle::new(task));
        Ok(Self { frames, waiting, next_request: Arc::new(AtomicU32::new(1)), _task: task })
    }

    fn has_ended(&self) -> bool {
        self.frames.is_closed()
    }

    async fn publish(&self, publish: contract::Publish) -> Result<Vec<Receipt>, ClientError> {
        let request = self.next_request.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        lock(&self.waiting).insert(request, sender);
        let publish = contract::Publish { request, ..publish };
        let ended = || ClientError::Connection("the session has ended".into());
        self.frames.send(publish.into()).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Sends frames and hands out answers until either side ends the session.
async fn run(
    socket: Socket,
    mut outgoing: mpsc::Receiver<client_frame::Frame>,
    waiting: Arc<Mutex<Waiting>>,
) {
    let Socket { mut sink, mut stream, form } = socket;
    let write = async {
        while let Some(frame) = outgoing.recv().await {
            sink.feed(message(form, frame)).await?;
            // Whatever else is ready leaves in the same write.
            while let Ok(frame) = outgoing.try_recv() {
                sink.feed(message(form, frame)).await?;
            }
            sink.flush().await?;
        }
        Ok::<_, tungstenite::Error>(())
    };
    let read = async {
        while let Ok(frame) = next_frame(&mut stream, form).await {
            answer(frame, &waiting);
        }
    };
    tokio::select! {
        _ = write => {}
        () = read => {}
    }
    // In this order: whoever is not among the waiting when they are told cannot send any more.
    drop(outgoing);
    lock(&waiting).clear();
}

fn answer(frame: server_frame::Frame, waiting: &Mutex<Waiting>) {
    let (request, result) = match frame {
        server_frame::Frame::Receipts(receipts) => (receipts.request, Ok(receipts.receipts)),
        server_frame::Frame::Error(error) => {
            let Some(request) = error.request else { return };
            let refused = problem(error.problem.as_option()).map(ClientError::Refused);
            (request, Err(refused.unwrap_or_else(|senseless| senseless)))
        }
        _ => return,
    };
    if let Some(sender) = lock(waiting).remove(&request) {
        drop(sender.send(result));
    }
}

/// A WebSocket that speaks the contract.
pub(crate) struct Socket {
    sink: SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>,
    stream: SplitStream<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    form: Form,
}

impl Socket {
    pub(crate) async fn connect(client: &Client, form: Form) -> Result<Self, ClientError> {
        let mut url = client.url("/v1/session");
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        // Both schemes are of the same kind, so this cannot fail.
        let _ = url.set_scheme(scheme);
        let mut request = url.as_str().into_client_request()?;
        let subprotocol = match form {
            Form::Json => "throughline.v1.json",
            Form::Protobuf => "throughline.v1.protobuf",
        };
        let value = HeaderValue::from_static(subprotocol);
        request.headers_mut().insert("sec-websocket-protocol", value);
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let connector = Some(Connector::Rustls(client.tls.clone()));
        let connecting = connect_async_tls_with_config(request, Some(config), true, connector);
        // Connecting needs kilobytes that the connection does not.
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, Box::pin(connecting)).await;
        let (socket, _) =
            connected.map_err(|_| ClientError::Connection("no answer in time".into()))??;
        let (sink, stream) = socket.split();
        Ok(Self { sink, stream, form })
    }

    pub(crate) async fn send(&mut self, frame: client_frame::Frame) -> Result<(), ClientError> {
        Ok(self.sink.send(message(self.form, frame)).await?)
    }

    pub(crate) async fn next(&mut self) -> Result<server_frame::Frame, ClientError> {
        next_frame(&mut self.stream, self.form).await
    }
}

/// The next frame; pings are answered on the way.
async fn next_frame(
    stream: &mut SplitStream<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    form: Form,
) -> Result<server_frame::Frame, ClientError> {
    loop {
        let bytes = match in_time(stream.try_next()).await? {
            None => return Err(ClientError::Connection("the server ended the session".into())),
            Some(Message::Text(text)) => Bytes::from(text),
            Some(Message::Binary(bytes)) => bytes,
            Some(Message::Close(close)) => {
                let reason = close.map_or_else(String::new, |close| close.to_string());
                return Err(ClientError::Connection(format!("closed {reason}")));
            }
            Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
        };
        let frame =
            read_server(form, &bytes).map_err(|it| ClientError::Protocol(it.to_string()))?;
        // A frame of a newer server says nothing to this client.
        if let Some(frame) = frame.frame {
            return Ok(frame);
        }
    }
}

/// The error that a problem tells.
pub(crate) fn problem(problem: Option<&contract::Problem>) -> Result<Error, ClientError> {
    let senseless = || ClientError::Protocol("an error without a known code".into());
    let problem = problem.ok_or_else(senseless)?;
    let code: ErrorCode = problem.code.parse().map_err(|()| senseless())?;
    let error = Error::new(code, problem.detail.clone());
    Ok(match problem.retry_after_ms {
        Some(wait) => error.retry_after(Duration::from_millis(wait.into())),
        None => error,
    })
}

fn message(form: Form, frame: client_frame::Frame) -> Message {
    let bytes = write_client(form, &contract::ClientFrame { frame: Some(frame) });
    match form {
        Form::Json => Message::text(String::from_utf8(bytes).unwrap_or_default()),
        Form::Protobuf => Message::binary(bytes),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const FRAMES_AHEAD: usize = 1_024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The library's own default is 128 KiB for every connection.
const READ_BUFFER_BYTES: usize = 16 * 1024;
