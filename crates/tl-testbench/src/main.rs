//! Services that suites written by others can judge, on the production stack.
//!
//! The suites speak protocols, not the contract: each service does with a protocol what its suite
//! expects, through the very listener, host and codecs that the server uses.

mod bench;
mod certificate;
mod connect;
mod echo;
mod interop;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tl_transport::Transport;

use bench::BenchError;
use echo::Echo;
use interop::Interop;

/// Starts one of the conformance services.
#[derive(Debug, Parser)]
#[command(name = "tl-testbench", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    service: Service,
}

#[derive(Debug, Subcommand)]
enum Service {
    /// Be a server under test of the Connect conformance suite, whose runner says the rest.
    Connect,
    /// Give every WebSocket message back, at /echo.
    Echo(ListenArgs),
    /// Answer gRPC's interoperability tests.
    Interop(ListenArgs),
}

/// Where to listen.
#[derive(Args, Debug)]
struct ListenArgs {
    /// An address with a port; 0 for any.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Serve TLS, with a certificate for localhost that is made in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    tls: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().service {
        Service::Connect => connect::serve().await,
        Service::Echo(args) => serve(&Echo, &args).await,
        Service::Interop(args) => serve(&Interop, &args).await,
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
    let tls = args.tls.as_deref().map(certificate::make).transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    bench::serve(transport, args.listen, tls, |address| {
        say(&format!("listening on {scheme}://{address}"));
        Ok(())
    })
    .await
}

fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What `build.rs` makes of `proto/`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    clippy::use_self,
    reason = "the .proto files hold the documentation; generated code keeps its own style"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/generated.rs"));
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
