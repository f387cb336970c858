//! Blocks do not depend on the pieces in which a stream arrives, and are those of the standard.

#![no_main]

use libfuzzer_sys::fuzz_target;

use tl_fuzz::cut;
use tl_wire::sse::{Block, Parser};

fuzz_target!(|input: &[u8]| {
    let (stream, pieces) = cut(input);
    let expected = Expected::of(stream);
    check(&expected, &[stream]);
    check(&expected, &pieces);
});

fn check(expected: &Expected, pieces: &[&[u8]]) {
    let mut parser = Parser::new();
    let mut blocks = Vec::new();
    let mut fed = 0;
    for piece in pieces {
        parser.feed(piece).expect("no line is that long");
        blocks.extend(std::iter::from_fn(|| parser.next_block()));
        fed += piece.len();
        assert_eq!(parser.last_id(), expected.last_id(fed), "after {fed} bytes");
    }
    assert_eq!(blocks, expected.blocks);
    assert_eq!(parser.retry_ms(), expected.retry_ms);
}

/// What the standard (HTML §9.2.6) makes of a whole stream.
#[derive(Default)]
struct Expected {
    blocks: Vec<Block>,
    /// How far the stream was read each time the last id was set, and to what.
    ids: Vec<(usize, String)>,
    retry_ms: Option<u64>,
    name: String,
    data: String,
    id: String,
}

impl Expected {
    fn of(stream: &[u8]) -> Self {
        let mut expected = Self::default();
        let mut start = if stream.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
        while let Some(len) = stream[start..].iter().position(|b| matches!(b, b'\n' | b'\r')) {
            let end = start + len;
            expected.take_line(&String::from_utf8_lossy(&stream[start..end]), end + 1);
            start = end + if stream[end..].starts_with(b"\r\n") { 2 } else { 1 };
        }
        expected
    }

    /// The id to resume from when so much of the stream has come: that of the last whole block.
    fn last_id(&self, fed: usize) -> &str {
        let reached = self.ids.iter().take_while(|(end, _)| *end <= fed);
        reached.last().map_or("", |(_, id)| id)
    }

    fn take_line(&mut self, line: &str, end: usize) {
        if line.is_empty() {
            return self.dispatch(end);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => self.data = format!("{}{value}\n", self.data),
            "event" => self.name = value.to_owned(),
            "id" if !value.contains('\0') => self.id = value.to_owned(),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry_ms = value.parse().ok().or(self.retry_ms);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, end: usize) {
        self.ids.push((end, self.id.clone()));
        let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        if let Some(data) = data.strip_suffix('\n') {
            self.blocks.push(Block { name, data: data.to_owned(), id: self.id.clone() });
        }
    }
}
