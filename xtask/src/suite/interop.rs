//! gRPC's interoperability tests: what gRPC's own client for Go thinks of the server.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::service::Service;
use super::{about, home, target};
use crate::go;
use crate::run::{self, Result, cargo, command, output, say};

/// Runs all cases that need no cloud, without TLS and with it.
pub(crate) fn run() -> Result {
    let home = home("grpc-interop");
    go::install(&format!("{PACKAGE}@{VERSION}"), &home)?;
    let client = home.join("client");
    // Not a release build: this one has all its assertions.
    run::run(&mut cargo(&["build", "--package", "tl-testbench"]))?;
    let tls = home.join("tls");
    fs::create_dir_all(&tls).map_err(about(tls.display()))?;
    let mut failed = test(&client, &home, None)?;
    failed.extend(test(&client, &home, Some(&tls))?);
    let cases = CASES.len() * 2;
    say(&format!("{cases} cases, {} failed", failed.len()));
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("not passed: {}", failed.join(", "))),
    }
}

/// Names the cases that fail.
fn test(client: &Path, home: &Path, tls: Option<&Path>) -> Result<Vec<String>> {
    let mut serve = command(&target().join("debug/tl-testbench").to_string_lossy(), &["interop"]);
    if let Some(directory) = tls {
        serve.arg("--tls").arg(directory);
    }
    let service = Service::spawn(serve, home)?;
    let (_, port) = service.address().rsplit_once(':').ok_or("the service has no port")?;
    let over = if tls.is_some() { "TLS" } else { "TCP" };
    let mut failed = Vec::new();
    for case in CASES {
        let result = output(&mut call(client, port, tls, case));
        let verdict = if result.is_ok() { "passed" } else { "failed" };
        say(&format!("{over} {case:28} {verdict}"));
        if let Err(error) = result {
            say(&error);
            failed.push(format!("{case} over {over}"));
        }
    }
    Ok(failed)
}

fn call(client: &Path, port: &str, tls: Option<&Path>, case: &str) -> Command {
    let mut call = command("timeout", &[TIMEOUT_SECONDS]);
    call.arg(client).args(["--server_host", "localhost", "--server_port", port]);
    call.args(["--test_case", case]);
    if let Some(directory) = tls {
        call.args(["--use_tls", "--use_test_ca", "--ca_file"]);
        call.arg(directory.join("certificate.pem"));
    }
    call
}

const PACKAGE: &str = "google.golang.org/grpc/interop/client";
const VERSION: &str = "v1.85.0";
/// All but those about a cloud's credentials and load balancers.
const CASES: &[&str] = &[
    "cancel_after_begin",
    "cancel_after_first_response",
    "client_streaming",
    "custom_metadata",
    "empty_stream",
    "empty_unary",
    "large_unary",
    "ping_pong",
    "server_streaming",
    "special_status_message",
    "status_code_and_message",
    "timeout_on_sleeping_server",
    "unimplemented_method",
    "unimplemented_service",
];
/// For a case, which takes a moment.
const TIMEOUT_SECONDS: &str = "60";
