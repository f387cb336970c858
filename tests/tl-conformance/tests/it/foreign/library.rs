use serde_json::{Value, json};

use tl_conformance::Program;

/// A library for calls that others wrote, in a program of its own language. Messages are protobuf's own
/// JSON.
#[derive(Debug)]
pub(super) struct Library {
    pub(super) program: Program,
}

/// What has come of a call so far.
#[derive(Debug)]
pub(super) struct Heard {
    messages: Vec<Value>,
    is_over: bool,
    /// Its status, if it has failed.
    pub(super) error: Option<Value>,
}

impl Library {
    pub(super) fn new(program: Program) -> Self {
        Self { program }
    }

    /// Calls go to this address from now on.
    pub(super) fn connect(&mut self, protocol: &str, url: &str) {
        self.connect_with(protocol, url, &json!({}));
    }

    /// The same with what the library is to be told.
    pub(super) fn connect_with(&mut self, protocol: &str, url: &str, options: &Value) {
        self.program.call("connect", json!([protocol, url, options]));
    }

    /// A call with these messages and no more.
    pub(super) fn ask(&mut self, method: &str, messages: &Value) -> Heard {
        let heard = Heard::from(self.program.call("ask", json!([method, messages])));
        assert!(heard.is_over, "{method} does not end: {heard:?}");
        heard
    }

    /// Begins a call.
    pub(super) fn open(&mut self, method: &str, messages: &Value) {
        self.program.call("open", json!([method, messages]));
    }

    /// Begins a call that may take so long.
    pub(super) fn open_for(&mut self, method: &str, messages: &Value, timeout_ms: u64) {
        self.program.call("open", json!([method, messages, timeout_ms]));
    }

    /// Sends one more message.
    pub(super) fn say(&mut self, message: &Value) {
        self.program.call("say", json!([message]));
    }

    /// Says that no more messages come.
    pub(super) fn end(&mut self) {
        self.program.call("end", json!([]));
    }

    /// What has come, once a field has come so often; of `events` each counts.
    pub(super) fn heard(&mut self, field: &str, times: usize) -> Heard {
        self.program.call("heard", json!([field, times])).into()
    }

    /// What has come, once the call is over.
    pub(super) fn over(&mut self) -> Heard {
        let heard = Heard::from(self.program.call("over", json!([])));
        assert!(heard.is_over, "the call does not end: {heard:?}");
        heard
    }

    /// Leaves the call.
    pub(super) fn cancel(&mut self) {
        let left = Heard::from(self.program.call("cancel", json!([])));
        assert!(left.is_over, "the call does not end: {left:?}");
    }
}

impl Heard {
    /// The only message of a call that went well.
    pub(super) fn one(mut self) -> Value {
        assert!(self.error.is_none() && self.messages.len() == 1, "{self:?}");
        self.messages.remove(0)
    }

    /// The last message that has a field.
    pub(super) fn last(&self, field: &str) -> &Value {
        let message = self.messages.iter().rev().find_map(|message| message.get(field));
        message.unwrap_or_else(|| panic!("no {field} in {self:?}"))
    }

    /// All events of all messages.
    pub(super) fn events(&self) -> Vec<&Value> {
        self.messages.iter().flat_map(|message| list(&message["events"]["events"])).collect()
    }

    /// Its status, and why it was refused.
    pub(super) fn refusal(&self) -> (u64, &str) {
        let error = self.error.as_ref().unwrap_or_else(|| panic!("no error in {self:?}"));
        let code = error["code"].as_u64().expect("a code");
        let problem = &error["details"]["throughline.v1.Problem"];
        (code, problem["code"].as_str().unwrap_or_else(|| panic!("no problem in {self:?}")))
    }

    /// One of the details of its status.
    pub(super) fn detail(&self, name: &str) -> &Value {
        let error = self.error.as_ref().unwrap_or_else(|| panic!("no error in {self:?}"));
        error["details"].get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

impl From<Value> for Heard {
    fn from(mut told: Value) -> Self {
        let messages = list(&told["messages"]).to_vec();
        let is_over = told["isOver"].as_bool().expect("whether it is over");
        let error = Some(told["error"].take()).filter(|error| !error.is_null());
        Self { messages, is_over, error }
    }
}

/// Events to be published.
pub(super) fn events(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!({"id": id, "data": DATA})).collect()
}

/// What a field of events has in each of them.
pub(super) fn texts<'a>(events: &[&'a Value], field: &str) -> Vec<&'a str> {
    events.iter().map(|event| event[field].as_str().expect("a text")).collect()
}

/// A list; what is left out is an empty one.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The data of every event, `{"n":1}`: protobuf's JSON has bytes in base64.
pub(super) const DATA: &str = "eyJuIjoxfQ==";
