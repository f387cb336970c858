//! HTTP/2 as a good client speaks it, and as a bad one does.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

use crate::raw::RawSocket;
use crate::web_socket::RawWebSocket;

/// A connection of HTTP/2 by a good client.
#[derive(Clone, Debug)]
pub struct Http2Client {
    requests: SendRequest<Bytes>,
}

impl Http2Client {
    /// Begins on this stream, without asking first.
    pub async fn open<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = h2::client::Builder::new();
        builder.initial_max_send_streams(1);
        let (requests, connection) = builder.handshake(stream).await.expect("HTTP/2 is spoken");
        // How it ends shows in the requests.
        tokio::spawn(async move { drop(connection.await) });
        let mut client = Self { requests };
        // The server's settings have come with the first answer.
        let live = client.request(Request::get("http://localhost/health/live"), b"").await;
        assert_eq!(live.expect("an answer").status(), 200);
        client
    }

    /// Makes a request.
    pub async fn request(
        &mut self,
        request: http::request::Builder,
        body: &'static [u8],
    ) -> Result<Response<RecvStream>, h2::Error> {
        let request = request.body(()).expect("a request");
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut stream) = requests.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(Bytes::from_static(body), true)?;
        }
        response.await
    }

    /// Makes a request of which the body does not end.
    pub async fn request_without_end(
        &mut self,
        request: http::request::Builder,
        body: &'static [u8],
    ) -> Result<Response<RecvStream>, h2::Error> {
        let request = request.body(()).expect("a request");
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut stream) = requests.send_request(request, false)?;
        stream.send_data(Bytes::from_static(body), false)?;
        let response = response.await;
        drop(stream);
        response
    }

    /// Whether the server offers extended CONNECT.
    pub fn offers_extended_connect(&self) -> bool {
        self.requests.is_extended_connect_protocol_enabled()
    }

    /// Opens a session by an extended CONNECT (RFC 8441).
    pub async fn open_web_socket(&mut self, subprotocol: &str) -> RawWebSocket<DuplexStream> {
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri("http://localhost/v1/session")
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", subprotocol);
        let request = request.body(()).expect("a request");
        let mut requests = self.requests.clone().ready().await.expect("the connection is alive");
        let (response, sending) = requests.send_request(request, false).expect("it is sent");
        let response = response.await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["sec-websocket-protocol"], subprotocol);
        RawWebSocket::over(joined(sending, response.into_body()))
    }
}

/// All of a body as text.
pub async fn text_of(mut body: RecvStream) -> Result<String, h2::Error> {
    let mut text = Vec::new();
    while let Some(data) = next_data(&mut body).await {
        text.extend_from_slice(&data?);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The next piece of a body, with room made for another.
pub async fn next_data(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let data = body.data().await?;
    if let Ok(data) = &data {
        // Fails only for a stream that has ended.
        let _ = body.flow_control().release_capacity(data.len());
    }
    Some(data)
}

/// One stream of bytes out of the two halves of one of HTTP/2.
fn joined(mut sending: SendStream<Bytes>, mut receiving: RecvStream) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut reader, mut writer) = tokio::io::split(far);
    tokio::spawn(async move {
        while let Some(Ok(data)) = next_data(&mut receiving).await {
            if writer.write_all(&data).await.is_err() {
                return;
            }
        }
        drop(writer.shutdown().await);
    });
    tokio::spawn(async move {
        let mut read = BytesMut::new();
        while reader.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
            if sending.send_data(read.split().freeze(), false).is_err() {
                return;
            }
        }
        drop(sending.send_data(Bytes::new(), true));
    });
    near
}

/// A connection of HTTP/2 on which a test sends any frame, legal or not.
#[derive(Debug)]
pub struct RawHttp2 {
    /// What lies below.
    pub socket: RawSocket,
}

/// A frame of HTTP/2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Http2Frame {
    /// What it is (RFC 9113 §6).
    pub kind: u8,
    /// What it says of itself.
    pub flags: u8,
    /// Whose it is.
    pub stream: u32,
    /// What it carries.
    pub payload: Bytes,
}

impl RawHttp2 {
    /// Sends the preface and empty settings.
    pub async fn open(port: u16) -> Self {
        let mut socket = RawSocket::connect(port).await;
        socket.send(PREFACE).await;
        socket.send(http2_frame(SETTINGS, 0, 0, b"")).await;
        Self { socket }
    }

    /// The next frame; `None` if the connection ends.
    pub async fn next(&mut self) -> Option<Http2Frame> {
        let mut head = self.socket.read(9).await?;
        let len = head.get_uint(3) as usize;
        let (kind, flags, stream) = (head.get_u8(), head.get_u8(), head.get_u32());
        let payload = self.socket.read(len).await?.freeze();
        Some(Http2Frame { kind, flags, stream, payload })
    }
}

/// A frame as it travels.
pub fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> BytesMut {
    let mut frame = BytesMut::with_capacity(9 + payload.len());
    frame.put_uint(payload.len() as u64, 3);
    frame.put_slice(&[kind, flags]);
    frame.put_u32(stream);
    frame.put_slice(payload);
    frame
}

/// The headers of a GET that asks for an event stream.
pub fn stream_header_block(path: &str) -> Vec<u8> {
    let mut block = header_block(path);
    // accept, which does not go into the table either.
    block.extend_from_slice(&[0x0f, 4, 17]);
    block.extend_from_slice(b"text/event-stream");
    block
}

/// The headers of a GET of a short path, compressed (RFC 7541).
pub fn header_block(path: &str) -> Vec<u8> {
    // :method GET, :scheme http, :authority x, :path as given; none goes into the table.
    let mut block = vec![0x82, 0x86, 0x01, 1, b'x', 0x04, path.len() as u8];
    block.extend_from_slice(path.as_bytes());
    block
}

/// RFC 9113 §3.4.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A part of a body.
pub const DATA: u8 = 0;
/// A request.
pub const HEADERS: u8 = 1;
/// An old way to say what matters more.
pub const PRIORITY: u8 = 2;
/// The end of a stream before its time.
pub const RST_STREAM: u8 = 3;
/// What a side can do.
pub const SETTINGS: u8 = 4;
/// To be answered.
pub const PING: u8 = 6;
/// The end of the connection.
pub const GOAWAY: u8 = 7;
/// Room for more.
pub const WINDOW_UPDATE: u8 = 8;
/// More headers.
pub const CONTINUATION: u8 = 9;
/// Nothing more of this stream follows.
pub const END_STREAM: u8 = 0x1;
/// No more headers follow.
pub const END_HEADERS: u8 = 0x4;
