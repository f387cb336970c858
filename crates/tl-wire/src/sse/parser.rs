//! Reading an event stream, as a client.

use tl_model::limits::{EVENT_ATTRIBUTES_BYTES_MAX, EVENT_DATA_BYTES_MAX};

/// Cuts a stream into blocks, whatever pieces it arrives in.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
    scanned: usize,
    is_begun: bool,
    ended_with_cr: bool,
    name: String,
    data: String,
    /// The id that holds once the present block is whole.
    id: String,
    /// The id of the last block that was whole.
    dispatched_id: String,
    /// The id of the block that was taken last.
    taken_id: String,
    retry_ms: Option<u64>,
    blocks: std::collections::VecDeque<Block>,
}

/// A block that the stream has dispatched.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Block {
    /// The name; empty for a plain event.
    pub name: String,
    /// The data lines, joined.
    pub data: String,
    /// The last id seen.
    pub id: String,
}

/// A line longer than any event may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the event stream has a line of more than {LINE_BYTES_MAX} bytes")]
pub struct TooLong;

impl Parser {
    /// A parser at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a piece of the stream.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.buffer.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(len) = self.buffer[self.scanned..].iter().position(|b| is_line_end(*b)) {
            let end = self.scanned + len;
            let is_lf_of_crlf = end == start && self.ended_with_cr && self.buffer[end] == b'\n';
            self.ended_with_cr = self.buffer[end] == b'\r';
            if !is_lf_of_crlf {
                let line = String::from_utf8_lossy(&self.buffer[start..end]).into_owned();
                let is_first = !std::mem::replace(&mut self.is_begun, true);
                let without_mark = line.strip_prefix('\u{feff}').filter(|_| is_first);
                self.take_line(without_mark.unwrap_or(&line));
            }
            start = end + 1;
            self.scanned = start;
        }
        self.buffer.drain(..start);
        self.scanned = self.buffer.len();
        if self.buffer.len() > LINE_BYTES_MAX { Err(TooLong) } else { Ok(()) }
    }

    /// The next block that is complete.
    pub fn next_block(&mut self) -> Option<Block> {
        let block = self.blocks.pop_front()?;
        self.taken_id.clone_from(&block.id);
        Some(block)
    }

    /// The id to resume from, once the block that was taken last is handled. Heartbeats move it on
    /// as well.
    pub fn last_id(&self) -> &str {
        if self.blocks.is_empty() { &self.dispatched_id } else { &self.taken_id }
    }

    /// How long the server asked to wait before reconnecting.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    fn take_line(&mut self, line: &str) {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry_ms = value.parse().ok().or(self.retry_ms);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        self.dispatched_id.clone_from(&self.id);
        if data.pop().is_some() {
            self.blocks.push_back(Block { name, data, id: self.id.clone() });
        }
    }
}

/// Joins the parts of large events.
#[derive(Debug, Default)]
pub struct Joiner {
    parts: String,
}

impl Joiner {
    /// Takes a block; gives it back unless it is a part, or with all parts once the last has come.
    pub fn join(&mut self, mut block: Block) -> Option<Block> {
        match block.name.as_str() {
            "part" if self.parts.len() < LINE_BYTES_MAX => {
                self.parts.push_str(&block.data);
                None
            }
            "part" => None,
            "last-part" => {
                block.name.clear();
                block.data.insert_str(0, &std::mem::take(&mut self.parts));
                Some(block)
            }
            _ => Some(block),
        }
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The largest event in base64, with its attributes.
const LINE_BYTES_MAX: usize = EVENT_DATA_BYTES_MAX * 2 + EVENT_ATTRIBUTES_BYTES_MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks(pieces: &[&[u8]]) -> Vec<(String, String, String)> {
        let mut parser = Parser::new();
        pieces.iter().for_each(|piece| parser.feed(piece).expect("short"));
        let blocks = std::iter::from_fn(|| parser.next_block());
        blocks.map(|block| (block.name, block.data, block.id)).collect()
    }

    fn block(name: &str, data: &str, id: &str) -> (String, String, String) {
        (name.into(), data.into(), id.into())
    }

    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(
            blocks(&[b"data: YHOO\ndata: +2\ndata: 10\n\n"]),
            [block("", "YHOO\n+2\n10", "")]
        );
        let stream = b": test stream\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n";
        let expected = [block("", "first", "1"), block("", "second", ""), block("", " third", "")];
        assert_eq!(blocks(&[stream]), expected);
        assert_eq!(
            blocks(&[b"data\n\ndata\ndata\n\ndata:"]),
            [block("", "", ""), block("", "\n", "")]
        );
        assert_eq!(blocks(&[b"\xef\xbb\xbfdata: x\r\rdata: y\r\n\r\n"]).len(), 2);
    }

    #[test]
    fn an_id_without_data_wakes_nobody_but_is_remembered() {
        let mut parser = Parser::new();
        parser.feed(b": heartbeat\nid: 7\n\nretry: 20\nretry: x\nretry: +5\n\n").expect("short");
        assert_eq!(parser.next_block(), None);
        assert_eq!((parser.last_id(), parser.retry_ms()), ("7", Some(20)));
    }

    #[test]
    fn the_id_to_resume_from_is_that_of_the_block_taken_last() {
        let mut parser = Parser::new();
        parser.feed(b"id: 1\ndata: x\n\nid: 2\ndata: y\n\nid: 3\n\n").expect("short");
        let ids = std::iter::from_fn(|| parser.next_block().map(|_| parser.last_id().to_owned()));
        assert_eq!(ids.collect::<Vec<_>>(), ["1", "3"]);
    }

    #[test]
    fn a_block_that_was_cut_off_is_read_again() {
        let mut parser = Parser::new();
        parser.feed(b"id: 1\ndata: x\n\nid: 2\ndata: y\n").expect("short");
        assert!(parser.next_block().is_some());
        assert_eq!((parser.next_block(), parser.last_id()), (None, "1"));
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::new();
        let chunk = vec![b'x'; 1024 * 1024];
        assert_eq!((0..4).find_map(|_| parser.feed(&chunk).err()), Some(TooLong));
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            stream in "((data|event|id): ?[a-c]{0,3}(\n|\r\n|\r)|:x\n|\n){0,12}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let whole = blocks(&[stream.as_bytes()]);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> =
                cuts.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(blocks(&pieces), whole);
        }
    }
}
