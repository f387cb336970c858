use std::path::PathBuf;

use clap::Args;
use figment::value::Value;
use tokio::signal::unix::{SignalKind, signal};

use tl_server::{Config, Server};

use crate::{CliError, logging};

/// Start the server.
///
/// Without any configuration it listens on this machine only, and keeps its log in
/// ./throughline-data. Every setting can also be given in the configuration file or the environment;
/// `throughline config schema` describes them all.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline serve
  throughline serve --data /var/lib/throughline --listen 127.0.0.1:9000
  throughline serve --config throughline.toml
  THROUGHLINE_STORE__KIND=memory throughline serve

Stop it with Ctrl-C or SIGTERM: every client is told where to go on.")]
pub(crate) struct Serve {
    /// The configuration file (TOML).
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen; may be given several times.
    #[arg(short, long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// The directory of the log.
    #[arg(short, long, value_name = "DIRECTORY")]
    data: Option<String>,
    /// Serve everybody who can reach the server; needed to listen beyond this machine.
    #[arg(long)]
    allow_anonymous: bool,
    /// What the server logs about itself: error, warn, info, debug, trace, or a filter.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let config = Config::load(self.config.as_deref(), self.flags())?;
        logging::start(&config.log)?;
        let mut stop = Stop::new()?;
        let store = config.store.directory.display().to_string();
        let scheme = if config.listen.tls.is_some() { "https" } else { "http" };
        let server = Server::start(config).await?;
        for address in server.addresses() {
            tracing::info!("listening on {scheme}://{address}");
        }
        tracing::info!(store, cursors = format!("{}…", server.engine().cursor_prefix()), "ready");
        stop.wait().await;
        tracing::info!("stopping: telling every client where to go on");
        let engine = server.engine().clone();
        server.shutdown().await?;
        let stats = engine.stats();
        tracing::info!(events = stats.events, batches = stats.batches, "stopped");
        Ok(())
    }

    fn flags(&self) -> Vec<(String, Value)> {
        let mut flags = Vec::new();
        let mut set = |path: &str, value: Value| flags.push((path.to_owned(), value));
        if !self.listen.is_empty() {
            set("listen.addresses", Value::from(self.listen.clone()));
        }
        if let Some(data) = &self.data {
            set("store.directory", Value::from(data.as_str()));
        }
        if self.allow_anonymous {
            set("listen.allow_anonymous", Value::from(true));
        }
        if let Some(level) = &self.log_level {
            set("log.level", Value::from(level.as_str()));
        }
        flags
    }
}

/// The signals that ask the server to stop.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Self, CliError> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { interrupt, terminate })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
