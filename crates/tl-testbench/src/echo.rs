use std::future::poll_fn;
use std::io;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use tl_transport::http::types::Method;
use tl_transport::http::{Exchange, Response};
use tl_transport::model::Error;
use tl_transport::wire::outbox::Outbox;
use tl_transport::{Bytes, Host, Route, Transport};
use tl_transport_websocket::codec::Message;
use tl_transport_websocket::handshake;
use tl_transport_websocket::socket::WebSocket;

/// Gives every WebSocket message back.
pub(crate) struct Echo;

impl Transport for Echo {
    fn mount(&self, host: &mut Host) {
        for method in [Method::GET, Method::CONNECT] {
            host.route(Route::new(method, "/echo", &[], |exchange| async { open(exchange) }));
        }
    }
}

fn open(mut exchange: Exchange) -> Result<Response, Error> {
    let response = handshake::agree(&exchange.request, None)?;
    let upgrade = hyper::upgrade::on(&mut exchange.request);
    exchange.spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        // Whoever breaks the connection notices it by himself.
        let _ = echo(WebSocket::new(TokioIo::new(upgraded), MESSAGE_BYTES_MAX)).await;
    });
    Ok(response)
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocket<S>) -> io::Result<()> {
    loop {
        let message = poll_fn(|cx| socket.poll_message(cx)).await?;
        match &message {
            Message::Text(text) => give_back(&mut socket, true, text),
            Message::Binary(bytes) => give_back(&mut socket, false, bytes),
            Message::Close(_) | Message::Ping(_) | Message::Pong => {}
        }
        poll_fn(|cx| socket.poll_flush(cx)).await?;
        if let Message::Close(_) = message {
            socket.finish().await;
            return Ok(());
        }
    }
}

fn give_back<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocket<S>,
    is_text: bool,
    payload: &Bytes,
) {
    let mut message = Outbox::new();
    message.put_shared(payload);
    socket.queue(is_text, &mut message);
}

/// The suites send messages of up to 16 MiB.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
