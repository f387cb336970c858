//! The command line: starts the server, and talks to one.

mod bench;
mod config;
mod demo;
mod logging;
mod output;
mod publish;
mod schema;
mod serve;
mod state;
mod store;
mod subscribe;
mod write;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use mimalloc::MiMalloc;
use tl_client::{Client, ClientBuilder};

/// What idle connections leave behind is given back to the system, and not left in holes.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Publish an event once; it is logged durably, in order, and reaches every client over whichever
/// transport suits it. Any client can leave one transport and go on from the same cursor on another.
#[derive(Debug, Parser)]
#[command(name = "throughline", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // Without comments of their own, so that help shows those of what they hold, as a whole.
    Serve(serve::Serve),
    Publish(publish::Publish),
    Subscribe(subscribe::Subscribe),
    Schema(schema::Schema),
    State(state::State),
    Store(store::Store),
    Config(config::Config),
    Bench(bench::Bench),
    Demo(demo::Demo),
}

/// Which server to talk to.
#[derive(Args, Debug)]
struct ServerArgs {
    /// The server's address.
    #[arg(long, env = "THROUGHLINE_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// Also trust the certificates in this file (PEM).
    #[arg(long, value_name = "FILE")]
    ca_file: Option<std::path::PathBuf>,
}

impl ServerArgs {
    fn client(&self) -> Result<Client, CliError> {
        let mut builder = ClientBuilder::new(&self.server);
        if let Some(path) = &self.ca_file {
            builder = builder.ca_file(path);
        }
        Ok(builder.build()?)
    }
}

/// What went wrong, in words for whoever typed the command.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("{0}")]
    Client(#[from] tl_client::ClientError),
    #[error("{0}")]
    Config(#[from] tl_server::config::ConfigError),
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    #[error("{0}")]
    Log(#[from] tl_model::Error),
    #[error("{0}")]
    Other(String),
    #[error("{0}")]
    Output(#[from] std::io::Error),
    #[error("{0}")]
    Start(#[from] tl_server::StartError),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => serve.run().await,
        Command::Publish(publish) => publish.run().await,
        Command::Subscribe(subscribe) => subscribe.run().await,
        Command::Schema(schema) => schema.run().await,
        Command::State(state) => Box::pin(state.run()).await,
        Command::Store(store) => store.run().await,
        Command::Config(config) => config.run(),
        Command::Bench(bench) => Box::pin(bench.run()).await,
        Command::Demo(demo) => Box::pin(demo.run()).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has had enough: no reason to complain.
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_tells_more_than_what_a_command_is_called() {
        let cli = Cli::command();
        for name in ["bench", "demo", "publish", "schema", "serve", "state", "store", "subscribe"] {
            let command = cli.find_subcommand(name).expect("it exists");
            let text = |about: Option<&clap::builder::StyledStr>| about.map(ToString::to_string);
            let (short, long) = (text(command.get_about()), text(command.get_long_about()));
            assert!(long.is_some_and(|long| long.len() > short.map_or(0, |it| it.len())), "{name}");
        }
    }
}
