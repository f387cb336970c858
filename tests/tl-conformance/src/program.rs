use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::tools;

/// A program in another language that does one thing after the other, as it is told. It ends when this
/// is dropped.
#[derive(Debug)]
pub struct Program {
    process: Child,
    /// Taken away, so that the program sees the end of its input.
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    greeting: Value,
    home: tempfile::TempDir,
}

impl Program {
    /// Starts one of `tests/node`, and waits until it is ready.
    pub fn node(file: &str) -> Self {
        let directory = tests().join("node");
        let packages = directory.join("node_modules");
        assert!(packages.exists(), "its packages are missing; `cargo xtask test` installs them");
        Self::start("node".as_ref(), &directory.join(file))
    }

    /// Starts one of `tests/python`, and waits until it is ready.
    pub fn python(file: &str) -> Self {
        let python = tools().join("python/bin/python");
        assert!(python.exists(), "its packages are missing; `cargo xtask test` installs them");
        Self::start(&python, &tests().join("python").join(file))
    }

    fn start(interpreter: &Path, file: &Path) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut process = Command::new(interpreter)
            .arg(file)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("TMPDIR", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(home.path().join("log")).expect("its log is made"))
            .spawn()
            .expect("it starts; `cargo xtask test` installs what it needs");
        let input = process.stdin.take();
        let answers = lines(process.stdout.take().expect("its output is piped"));
        let mut program = Self { process, input, answers, greeting: Value::Null, home };
        program.greeting = program.answer("start");
        program
    }

    /// What it said of itself when it was ready.
    pub fn greeting(&self) -> &Value {
        &self.greeting
    }

    /// Lets it do something with a list of arguments, and waits for the result.
    pub fn call(&mut self, name: &str, args: Value) -> Value {
        let input = self.input.as_mut().expect("its input is open");
        let told = writeln!(input, "{}", json!([name, args]));
        told.unwrap_or_else(|error| panic!("{name}: {error}: {}", self.log()));
        self.answer(name)
    }

    fn answer(&self, name: &str) -> Value {
        let line = self.answers.recv_timeout(ANSWER_TIMEOUT);
        let line = line.unwrap_or_else(|error| panic!("{name}: {error}: {}", self.log()));
        let mut answer: Value = serde_json::from_str(&line).expect("an answer");
        if let Some(error) = answer["error"].as_str() {
            panic!("{name}: {error}");
        }
        answer["value"].take()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.input.take());
        // It may be in the middle of something.
        if self.answers.recv_timeout(END_TIMEOUT) != Err(RecvTimeoutError::Disconnected) {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

/// The lines of its output, until it ends.
fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
    });
    receiver
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Longer than the program itself waits for anything.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Closing a browser takes it a moment.
const END_TIMEOUT: Duration = Duration::from_secs(10);
