use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Stands before a server and cuts the first connections off when an answer comes that has a certain
/// text: the server has done what it was asked, and the client cannot know.
#[derive(Debug)]
pub struct Cutter {
    port: u16,
    _task: AbortOnDropHandle<()>,
}

impl Cutter {
    /// Before the server on a port, for so many connections.
    pub async fn before(server: u16, text: &'static str, connections: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listens");
        let port = listener.local_addr().expect("an address").port();
        let task = tokio::spawn(async move {
            let mut passing = tokio::task::JoinSet::new();
            for number in 0.. {
                let (client, _) = listener.accept().await.expect("accepts");
                let text = (number < connections).then_some(text);
                passing.spawn(pass(client, server, text));
            }
        });
        Self { port, _task: AbortOnDropHandle::new(task) }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Passes on what both sides say, until the server says this.
async fn pass(mut client: TcpStream, server: u16, text: Option<&str>) {
    let address = (Ipv4Addr::LOCALHOST, server);
    let mut server = TcpStream::connect(address).await.expect("the server is there");
    let Some(text) = text else {
        // It ends as either side wants it.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let down = async {
        let mut said = Vec::new();
        while from_server.read_buf(&mut said).await.is_ok_and(|count| count > 0) {
            if String::from_utf8_lossy(&said).contains(text) {
                return;
            }
            if to_client.write_all(&said).await.is_err() {
                return;
            }
            said.clear();
        }
    };
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        () = down => {}
    }
}
