//! The Connect conformance suite: gRPC, gRPC-Web and Connect, case by case.

use std::fs::{self, File};
use std::path::Path;

use super::{about, home, target};
use crate::go;
use crate::run::{self, Result, cargo, command, say};

/// Runs all cases of what the server has.
pub(crate) fn run() -> Result {
    let home = home("connect");
    go::install(&format!("{PACKAGE}@{VERSION}"), &home)?;
    let runner = home.join("connectconformance");
    // Not a release build: this one has all its assertions.
    run::run(&mut cargo(&["build", "--package", "tl-testbench"]))?;
    let (features, log) = (home.join("features.yaml"), home.join("runner.log"));
    fs::write(&features, FEATURES).map_err(about(features.display()))?;
    let ended = test(&runner, &features, &log);
    let said = fs::read_to_string(&log).map_err(about(log.display()))?;
    say(&said);
    ended.and_then(|()| judge(&said))
}

fn test(runner: &Path, features: &Path, log: &Path) -> Result {
    let into = File::create(log).map_err(about(log.display()))?;
    say(&format!("what it prints is in {}", log.display()));
    let mut test = command("timeout", &[TIMEOUT_SECONDS]);
    test.arg(runner).args(["--mode", "server", "--verbose", "--conf"]).arg(features);
    test.arg("--").arg(target().join("debug/tl-testbench")).arg("connect").stdout(into);
    run::run(&mut test)
}

/// The runner itself fails if a case has; that it has run them all is to be seen here.
fn judge(said: &str) -> Result {
    let cases = said.lines().find_map(|line| line.strip_prefix("Total cases: "));
    match cases.and_then(|cases| cases.parse().ok()) {
        Some(CASES) => Ok(()),
        cases => Err(format!("{} cases were run instead of {CASES}", cases.unwrap_or(0))),
    }
}

const PACKAGE: &str = "connectrpc.com/conformance/cmd/connectconformance";
const VERSION: &str = "v1.0.5";
/// How many cases there are of these features in this version.
const CASES: usize = 5_504;
/// What the server has. What is not named here is not there: HTTP/3, certificates of clients, and other
/// compressions.
const FEATURES: &str = "\
features:
  versions: [HTTP_VERSION_1, HTTP_VERSION_2]
  protocols: [PROTOCOL_CONNECT, PROTOCOL_GRPC, PROTOCOL_GRPC_WEB]
  codecs: [CODEC_PROTO, CODEC_JSON]
  compressions: [COMPRESSION_IDENTITY, COMPRESSION_GZIP, COMPRESSION_ZSTD]
  streamTypes:
    - STREAM_TYPE_UNARY
    - STREAM_TYPE_CLIENT_STREAM
    - STREAM_TYPE_SERVER_STREAM
    - STREAM_TYPE_HALF_DUPLEX_BIDI_STREAM
    - STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM
  supportsH2c: true
  supportsTls: true
  supportsTlsClientCerts: false
  supportsTrailers: true
  supportsHalfDuplexBidiOverHttp1: true
  supportsConnectGet: true
  supportsMessageReceiveLimit: true
";
/// All cases take 5 minutes on a busy machine; one that hangs is to be noticed.
const TIMEOUT_SECONDS: &str = "1800";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_was_not_run_is_noticed() {
        assert_eq!(judge("Total cases: 5504\n5504 passed, 0 failed\n"), Ok(()));
        let fewer = judge("Total cases: 62\n62 passed, 0 failed\n");
        assert_eq!(fewer, Err("62 cases were run instead of 5504".into()));
        assert_eq!(judge(""), Err("0 cases were run instead of 5504".into()));
    }
}
