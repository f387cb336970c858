//! What the server is measured beside: other servers that do the same, each in a process of its own.

mod echo;
mod tonic;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use tokio::net::TcpListener;

/// That of the server.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Serves on a free port, and says which.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    peer: Peer,
}

#[derive(Subcommand)]
enum Peer {
    /// Gives every message back, on the server's own listener.
    EchoOurs,
    /// Gives every message back, on the server that comes with connectrpc.
    EchoTheirs,
    /// Publishes and subscribes with the engine, under tonic.
    Tonic {
        /// The directory of its log.
        directory: PathBuf,
    },
}

#[tokio::main]
async fn main() {
    match Cli::parse().peer {
        Peer::EchoOurs => echo::ours(say).await,
        Peer::EchoTheirs => echo::theirs(listen().await).await,
        Peer::Tonic { directory } => tonic::serve(listen().await, directory).await,
    }
}

async fn listen() -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    say(listener.local_addr().expect("it is bound"));
    listener
}

fn say(address: SocketAddr) {
    // Whoever started it reads it.
    let _ = writeln!(io::stdout(), "{}", address.port());
}
