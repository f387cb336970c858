//! Services that suites written by others can judge, on the production stack.
//!
//! The suites speak protocols, not the contract: each service does with a protocol what its suite
//! expects, through the very listener, host and codecs that the server uses.

mod bench;
mod echo;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tl_transport::Transport;

use bench::BenchError;
use echo::Echo;

/// Starts one of the conformance services.
#[derive(Debug, Parser)]
#[command(name = "tl-testbench", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    service: Service,
}

#[derive(Debug, Subcommand)]
enum Service {
    /// Give every WebSocket message back, at /echo.
    Echo(ListenArgs),
}

/// Where to listen.
#[derive(Args, Debug)]
struct ListenArgs {
    /// An address with a port; 0 for any.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().service {
        Service::Echo(args) => serve(&Echo, &args).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Serves until the process is killed.
async fn serve(transport: &dyn Transport, args: &ListenArgs) -> Result<(), BenchError> {
    bench::serve(transport, args.listen, |address| say(&format!("listening on http://{address}")))
        .await
}

fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
