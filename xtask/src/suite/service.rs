//! Servers under test, started and stopped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{about, home, target};
use crate::run::{self, Result, cargo, command};

/// A server in a process of its own. Dropping it kills that process.
pub(crate) struct Service {
    child: Child,
    log: PathBuf,
    address: String,
}

impl Service {
    /// Builds the service for a suite, starts it and waits until it listens.
    pub(crate) fn start(name: &str, suite: &str) -> Result<Self> {
        run::run(&mut cargo(&["build", "--release", "--package", "tl-testbench"]))?;
        let program = target().join("release/tl-testbench");
        let serve = command(&program.to_string_lossy(), &[name, "--listen", "127.0.0.1:0"]);
        Self::spawn(serve, &home(suite))
    }

    /// Starts a program that says in its log where it listens, and waits until it does.
    pub(crate) fn spawn(mut program: Command, home: &Path) -> Result<Self> {
        fs::create_dir_all(home).map_err(about(home.display()))?;
        let log = home.join("service.log");
        let child = program
            .stdin(Stdio::null())
            .stderr(File::create(&log).map_err(about(log.display()))?)
            .spawn()
            .map_err(about(program.get_program().display()))?;
        let mut service = Self { child, log, address: String::new() };
        service.address = service.wait_until_listening()?;
        Ok(service)
    }

    /// Where it listens, such as `127.0.0.1:4711`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    fn wait_until_listening(&mut self) -> Result<String> {
        let until = Instant::now() + START_TIMEOUT;
        while Instant::now() < until {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let mut lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let listening =
                lines.find_map(|line| line.split_once("listening on ")?.1.split_once("://"));
            if let Some((_, address)) = listening {
                // A log in JSON goes on behind it.
                return Ok(address.trim_end().split('"').next().unwrap_or(address).to_owned());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the service ended with {status}: {log}"));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Err("the service does not listen".into())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// It has nothing to load; even a busy machine is quicker.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at the log.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
