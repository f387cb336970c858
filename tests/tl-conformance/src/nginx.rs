use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::port::free_port;

/// nginx in front of a server, with its own defaults for everything about proxying. Dropping it
/// stops it.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
    port: u16,
    home: tempfile::TempDir,
}

impl Nginx {
    /// Starts it in front of the server on this port, and waits until it listens.
    pub fn start(upstream: u16) -> Self {
        Self::start_with("", &format!("proxy_pass http://127.0.0.1:{upstream};"))
    }

    /// Starts it for gRPC alone, as docs/operations.md says.
    pub fn start_grpc(upstream: u16) -> Self {
        Self::start_with(
            "http2",
            &format!("grpc_pass grpc://127.0.0.1:{upstream}; grpc_set_header Host $http_host;"),
        )
    }

    /// Starts it as a cache, set up as docs/rest.md says. It tells in `x-cache` where an answer is from.
    pub fn start_caching(upstream: u16) -> Self {
        let location = format!(
            "proxy_pass http://127.0.0.1:{upstream};
            proxy_cache events;
            proxy_set_header If-None-Match $http_if_none_match;
            add_header x-cache $upstream_cache_status;"
        );
        Self::start_with("", &location)
    }

    fn start_with(version: &str, location: &str) -> Self {
        let attempts = std::iter::repeat_with(|| Self::try_start(version, location));
        attempts.take(ATTEMPTS).flatten().next().expect("nginx finds its port taken every time")
    }

    /// Its address, such as `http://127.0.0.1:4711`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `None` if somebody else took its port.
    fn try_start(version: &str, location: &str) -> Option<Self> {
        let home = tempfile::tempdir().expect("a temporary directory");
        // Its worker has another user, who must get through to the files.
        let permissions = PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(home.path(), permissions).expect("the directory is ours");
        let port = free_port();
        let config = home.path().join("nginx.conf");
        std::fs::write(&config, configuration(port, version, location)).expect("it is written");
        let process = spawn(home.path(), &config);
        let mut nginx = Self { process, port, home };
        nginx.wait_until_listening().then_some(nginx)
    }

    /// It writes down its process id once it listens.
    fn wait_until_listening(&mut self) -> bool {
        let until = Instant::now() + START_TIMEOUT;
        while !self.home.path().join("nginx.pid").exists() {
            let ended = self.process.try_wait().expect("waits");
            let log = || std::fs::read_to_string(self.home.path().join("error.log"));
            let is_taken = || log().is_ok_and(|log| log.contains("Address already in use"));
            match ended {
                Some(_) if is_taken() => return false,
                Some(status) => panic!("nginx ended with {status}: {:?}", log()),
                None => assert!(Instant::now() < until, "nginx does not listen: {:?}", log()),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed at once, it would leave its worker behind.
        let id = self.process.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

fn spawn(home: &Path, config: &Path) -> Child {
    Command::new(PROGRAM)
        .args(["-p".as_ref(), home.as_os_str()])
        .args(["-c".as_ref(), config.as_os_str()])
        .args(["-e", "error.log"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx starts; `cargo xtask test` installs it")
}

/// Says where things are; all else is as nginx has it by itself.
fn configuration(port: u16, version: &str, location: &str) -> String {
    format!(
        "worker_processes 1;
        daemon off;
        pid nginx.pid;
        error_log error.log;
        events {{}}
        http {{
            access_log access.log;
            client_body_temp_path body;
            fastcgi_temp_path fastcgi;
            proxy_temp_path proxy;
            scgi_temp_path scgi;
            uwsgi_temp_path uwsgi;
            proxy_cache_path cache keys_zone=events:1m;
            server {{
                listen 127.0.0.1:{port} {version};
                location / {{ {location} }}
            }}
        }}"
    )
}

/// Where Debian has it; often not on the path of those who are not root.
const PROGRAM: &str = "/usr/sbin/nginx";
/// Starting takes it a few milliseconds; trying to get a port that is taken, two seconds.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Ports are hardly ever taken.
const ATTEMPTS: usize = 3;
