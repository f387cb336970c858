use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tl_client::{Client, ClientBuilder};

/// How to start a server.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// A configuration file's text, beside what the harness sets itself.
    pub config: String,
    /// The port to listen on; 0 for any.
    pub port: u16,
    /// The directory of the log; without one, a temporary one.
    pub data: Option<PathBuf>,
    /// The only processor core it may use.
    pub core: Option<usize>,
    /// A program that starts it, with its arguments; it ends by becoming the server.
    pub under: Vec<String>,
}

/// The real server, in a process of its own. Dropping it kills that process.
#[derive(Debug)]
pub struct RunningServer {
    child: Child,
    urls: Vec<String>,
    log: PathBuf,
    _home: tempfile::TempDir,
}

impl RunningServer {
    /// Starts the server and waits until it listens.
    pub fn start(options: &ServerOptions) -> Self {
        Self::start_at(options, &[&format!("127.0.0.1:{}", options.port)])
    }

    /// Starts the server at these addresses, whatever port the options name.
    pub fn start_at(options: &ServerOptions, addresses: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let config = home.path().join("throughline.toml");
        std::fs::write(&config, &options.config).expect("the configuration is written");
        let data = options.data.clone().unwrap_or_else(|| home.path().join("data"));
        let log = home.path().join("server.log");
        let child = command(options)
            .env_remove("THROUGHLINE_SEED")
            .arg("serve")
            .args(["--config".as_ref(), config.as_os_str()])
            .args(["--data".as_ref(), data.as_os_str()])
            .args(addresses.iter().flat_map(|address| ["--listen", address]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("the server's log is made"))
            .spawn()
            .expect("the server starts");
        let mut server = Self { child, urls: Vec::new(), log, _home: home };
        server.urls = server.wait_until_listening(addresses.len());
        server
    }

    /// Its address, such as `http://127.0.0.1:4711`.
    pub fn url(&self) -> &str {
        &self.urls[0]
    }

    /// All its addresses.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A client for it.
    pub fn client(&self) -> Client {
        ClientBuilder::new(self.url()).build().expect("the address is legal")
    }

    /// Kills it at once, as a crash does (SIGKILL).
    pub fn kill(mut self) {
        self.child.kill().expect("the server is killed");
        self.child.wait().expect("the server ends");
    }

    /// Asks it to stop (SIGTERM).
    pub fn ask_to_stop(&self) {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        assert!(asked.success());
    }

    /// Asks it to stop (SIGTERM), waits until it has, and returns what it has logged.
    pub fn stop(mut self) -> String {
        self.ask_to_stop();
        let ended = wait_for(Duration::from_secs(30), || self.child.try_wait().expect("waits"));
        let status = ended.unwrap_or_else(|| panic!("it does not stop: {}", self.log()));
        assert!(status.success(), "{status}: {}", self.log());
        self.log()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_until_listening(&mut self, addresses: usize) -> Vec<String> {
        let listening = wait_for(Duration::from_secs(30), || {
            if let Some(status) = self.child.try_wait().expect("waits") {
                panic!("the server ended with {status}: {}", self.log());
            }
            let log = File::open(&self.log).expect("the log exists");
            let lines = BufReader::new(log).lines().map_while(Result::ok);
            let urls = lines.filter_map(|line| {
                let (_, rest) = line.split_once("listening on ")?;
                Some(rest.split('"').next().unwrap_or(rest).to_owned())
            });
            let urls: Vec<_> = urls.collect();
            (urls.len() == addresses).then_some(urls)
        });
        listening.unwrap_or_else(|| panic!("the server does not listen: {}", self.log()))
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(options: &ServerOptions) -> Command {
    let mut words = options.under.clone();
    if let Some(core) = options.core {
        words.extend(["taskset".into(), "--cpu-list".into(), core.to_string()]);
    }
    words.push(cargo_built("throughline").to_string_lossy().into_owned());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// A program of this workspace, built from its present source.
pub fn cargo_built(package: &str) -> PathBuf {
    static BUILT: OnceLock<std::sync::Mutex<Vec<String>>> = OnceLock::new();
    let mut built = BUILT.get_or_init(Default::default).lock().expect("building does not panic");
    let target = target_directory();
    if !built.iter().any(|name| name == package) {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", package]);
        if target.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "{package} is built");
        built.push(package.to_owned());
    }
    target.join(package)
}

/// The directory of what `cargo xtask test` has installed for the tests alone.
pub fn tools() -> PathBuf {
    target_directory().with_file_name("tools")
}

/// The directory of the programs of the profile that this program was built with.
fn target_directory() -> PathBuf {
    let program = std::env::current_exe().expect("the program knows itself");
    let directory = program.parent().expect("a program lies in a directory");
    match directory.ends_with("deps") {
        // Tests lie one level deeper.
        true => directory.parent().expect("and so on").to_owned(),
        false => directory.to_owned(),
    }
}

/// Looks again and again until there is something, or the time is up.
fn wait_for<T>(time: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + time;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= until {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
