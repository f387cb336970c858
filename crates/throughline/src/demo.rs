mod board;
mod publisher;
mod reader;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;

use tl_client::{Client, TransportKind};
use tl_server::Server;
use tl_server::config::{Config, ListenConfig, StoreConfig};

use crate::{CliError, output};
use board::Board;

/// Watch events reach every transport, and subscribers change transports without losing any.
///
/// Starts a server of its own on a temporary directory, publishes, and attaches one reader to each
/// transport. Every few seconds a reader is cut off and goes on over the next transport, from the
/// cursor of the last event it had. At the end all readers must have seen the same.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline demo
  throughline demo --seconds 60 --rate 200")]
pub(crate) struct Demo {
    /// How long to publish.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Events a second.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rate: u64,
}

impl Demo {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let home = tempfile::tempdir()?;
        let server = Server::start(config(home.path().join("data"))).await?;
        let url = format!("http://{}", server.addresses()[0]);
        let board = Arc::new(Board::new());
        introduce(&url, self.rate);
        let shown = Box::pin(self.show(&url, &board)).await;
        let stopped = server.shutdown().await;
        shown?;
        stopped?;
        board.verdict()
    }

    /// Publishes, reads and draws until all that was published has been read by everybody.
    async fn show(&self, url: &str, board: &Arc<Board>) -> Result<(), CliError> {
        let client = Client::new(url)?;
        let mut tasks = JoinSet::new();
        for number in 0..TransportKind::ALL.len() {
            tasks.spawn(reader::run(client.clone(), number, board.clone()));
        }
        let interval = Duration::from_secs(1) / self.rate as u32;
        let publishing =
            publisher::run(&client, Duration::from_secs(self.seconds), interval, board);
        let reading = async {
            while let Some(ended) = tasks.join_next().await {
                ended.map_err(|error| CliError::Other(error.to_string()))??;
            }
            Ok::<_, CliError>(())
        };
        let drawing = draw(board);
        tokio::select! {
            both = async { tokio::try_join!(publishing, reading) } => drop(both?),
            drawn = drawing => drawn?,
            _ = tokio::signal::ctrl_c() => return Err(CliError::Other("interrupted".into())),
        }
        board.draw()
    }
}

async fn draw(board: &Board) -> Result<(), CliError> {
    loop {
        board.draw()?;
        tokio::time::sleep(FRAME).await;
    }
}

fn introduce(url: &str, rate: u64) {
    output::note(&format!(
        "A server at {url} logs {rate} events a second. Each reader has one transport; now and then \n\
         it is cut off and goes on over the next one, from the cursor of its last event. Meanwhile, try:\n  \
         curl -N -H 'Accept: text/event-stream' '{url}/v1/events?channel=demo.%3E'\n"
    ));
}

/// Nothing but what the demo needs: this machine only, any port.
fn config(directory: std::path::PathBuf) -> Config {
    let addresses = vec![([127, 0, 0, 1], 0).into()];
    Config {
        listen: ListenConfig { addresses, ..ListenConfig::default() },
        store: StoreConfig { directory, ..StoreConfig::default() },
        ..Config::default()
    }
}

/// Often enough to look alive.
const FRAME: Duration = Duration::from_millis(100);
