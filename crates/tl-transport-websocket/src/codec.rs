//! WebSocket frames (RFC 6455 §5), without a socket.
//!
//! The decoder takes bytes as they arrive and gives whole messages; it joins fragments, unmasks,
//! checks UTF-8 as it comes and refuses whatever the RFC forbids, with the close code that says why.

use bytes::{Buf, Bytes, BytesMut};

/// What a peer has sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// Bytes.
    Binary(Bytes),
    /// The peer ends the connection, perhaps saying why.
    Close(Option<CloseCode>),
    /// To be answered with the same bytes.
    Ping(Bytes),
    /// Answers a ping.
    Pong,
    /// Text: legal UTF-8.
    Text(Bytes),
}

/// Why a connection ends (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// All is said.
    pub const NORMAL: Self = Self(1000);
    /// The server or the page goes away.
    pub const GOING_AWAY: Self = Self(1001);
    /// A frame breaks the RFC.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A text message is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A message is larger than the limit.
    pub const TOO_BIG: Self = Self(1009);
    /// The server restarts: come back (registered with IANA).
    pub const SERVICE_RESTART: Self = Self(1012);

    /// A code that may be sent: registered for the wire, or free for applications.
    fn parse(code: u16) -> Option<Self> {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(code))
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// What a peer has done wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CodecError {
    /// A frame breaks the RFC.
    #[error("{0}")]
    Protocol(&'static str),
    /// A message is larger than the limit.
    #[error("the message is too large")]
    TooLarge,
    /// A text is not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
}

impl CodecError {
    /// The code to close with.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Protocol(_) => CloseCode::PROTOCOL_ERROR,
            Self::TooLarge => CloseCode::TOO_BIG,
            Self::Utf8 => CloseCode::INVALID_PAYLOAD,
        }
    }
}

/// Reads what a client sends. It holds no memory between messages.
#[derive(Debug)]
pub struct Decoder {
    message_bytes_max: usize,
    frame: Option<FrameHeader>,
    /// Bytes of the present frame's payload that have been taken.
    taken: usize,
    message: Option<Fragments>,
}

/// A message of which some fragments have come.
#[derive(Debug)]
struct Fragments {
    is_text: bool,
    payload: BytesMut,
    /// How much of the payload is known to be UTF-8.
    checked: usize,
}

#[derive(Clone, Copy, Debug)]
struct FrameHeader {
    is_final: bool,
    opcode: Opcode,
    mask: [u8; 4],
    len: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

impl Decoder {
    /// A decoder that refuses larger messages.
    pub fn new(message_bytes_max: usize) -> Self {
        Self { message_bytes_max, frame: None, taken: 0, message: None }
    }

    /// Takes from the bytes that have arrived; `None` until more arrive.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Message>, CodecError> {
        loop {
            let header = match self.frame {
                Some(header) => header,
                None => match read_header(bytes)? {
                    Some(header) => self.begin(header)?,
                    None => return Ok(None),
                },
            };
            let message = match header.opcode.is_control() {
                true => self.decode_control(header, bytes)?,
                false => self.decode_data(header, bytes)?,
            };
            if message.is_some() || self.frame.is_some() {
                return Ok(message);
            }
        }
    }

    /// How many bytes of the present frame have not arrived; a hint for the next read.
    pub fn wanted(&self) -> usize {
        self.frame.map_or(0, |header| header.len - self.taken)
    }

    fn begin(&mut self, header: FrameHeader) -> Result<FrameHeader, CodecError> {
        match (header.opcode, &self.message) {
            (Opcode::Continuation, None) => {
                return Err(CodecError::Protocol("a continuation without a beginning"));
            }
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(CodecError::Protocol("a new message within another"));
            }
            (Opcode::Text | Opcode::Binary, None) => {
                let is_text = header.opcode == Opcode::Text;
                self.message = Some(Fragments { is_text, payload: BytesMut::new(), checked: 0 });
            }
            _ => {}
        }
        let before = self.message.as_ref().map_or(0, |message| message.payload.len());
        let len = before.saturating_add(header.len);
        if !header.opcode.is_control() && len > self.message_bytes_max {
            return Err(CodecError::TooLarge);
        }
        self.frame = Some(header);
        self.taken = 0;
        Ok(header)
    }

    /// Control frames are short and taken whole; they may come between fragments.
    fn decode_control(
        &mut self,
        header: FrameHeader,
        bytes: &mut BytesMut,
    ) -> Result<Option<Message>, CodecError> {
        if bytes.len() < header.len {
            return Ok(None);
        }
        let mut payload = bytes.split_to(header.len);
        unmask(&mut payload, header.mask, 0);
        self.frame = None;
        Ok(Some(match header.opcode {
            Opcode::Close => Message::Close(read_close(&payload)?),
            Opcode::Ping => Message::Ping(Bytes::copy_from_slice(&payload)),
            _ => Message::Pong,
        }))
    }

    /// Data is taken as it comes, so that what is wrong is noticed at once.
    fn decode_data(
        &mut self,
        header: FrameHeader,
        bytes: &mut BytesMut,
    ) -> Result<Option<Message>, CodecError> {
        let count = (header.len - self.taken).min(bytes.len());
        let mut piece = bytes.split_to(count);
        unmask(&mut piece, header.mask, self.taken);
        self.taken += count;
        let is_whole = self.taken == header.len;
        let message = self.message.as_mut().expect("begun with the frame");
        match message.payload.is_empty() && is_whole {
            // A message in one piece is a part of what was read.
            true => message.payload = piece,
            // Memory grows with what has come, not with what the header says will come.
            false => message.payload.extend_from_slice(&piece),
        }
        message.check_text(is_whole && header.is_final)?;
        if !is_whole {
            return Ok(None);
        }
        self.frame = None;
        if !header.is_final {
            return Ok(None);
        }
        let message = self.message.take().expect("begun with the frame");
        let payload = message.payload.freeze();
        Ok(Some(if message.is_text { Message::Text(payload) } else { Message::Binary(payload) }))
    }
}

impl Fragments {
    fn check_text(&mut self, is_end: bool) -> Result<(), CodecError> {
        if !self.is_text {
            return Ok(());
        }
        match std::str::from_utf8(&self.payload[self.checked..]) {
            Ok(_) => self.checked = self.payload.len(),
            // The beginning of a character whose rest is still to come.
            Err(error) if error.error_len().is_none() && !is_end => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(CodecError::Utf8),
        }
        Ok(())
    }
}

impl Opcode {
    fn parse(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    fn is_control(self) -> bool {
        self as u8 >= 0x8
    }
}

/// What a server's frame begins with; it is not masked.
pub struct ServerHeader {
    bytes: [u8; 10],
    len: usize,
}

impl ServerHeader {
    /// Of a whole text or binary message.
    pub fn message(is_text: bool, payload: usize) -> Self {
        Self::new(if is_text { Opcode::Text } else { Opcode::Binary }, payload)
    }

    /// Of a close frame.
    pub fn close(payload: usize) -> Self {
        Self::new(Opcode::Close, payload)
    }

    /// Of a ping without content.
    pub fn ping() -> Self {
        Self::new(Opcode::Ping, 0)
    }

    /// Of a pong.
    pub fn pong(payload: usize) -> Self {
        Self::new(Opcode::Pong, payload)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn new(opcode: Opcode, payload: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = FINAL | opcode as u8;
        let len = match payload {
            0..=125 => {
                bytes[1] = payload as u8;
                2
            }
            126..=0xffff => {
                bytes[1] = LEN_16;
                bytes[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = LEN_64;
                bytes[2..].copy_from_slice(&(payload as u64).to_be_bytes());
                10
            }
        };
        Self { bytes, len }
    }
}

fn read_header(bytes: &mut BytesMut) -> Result<Option<FrameHeader>, CodecError> {
    let [first, second, ..] = **bytes else { return Ok(None) };
    let is_final = first & FINAL != 0;
    if first & RESERVED != 0 {
        return Err(CodecError::Protocol("reserved bits are set"));
    }
    let opcode = Opcode::parse(first & 0xf).ok_or(CodecError::Protocol("unknown opcode"))?;
    if second & MASKED == 0 {
        return Err(CodecError::Protocol("a client's frame must be masked"));
    }
    let short = second & 0x7f;
    if opcode.is_control() && (short > CONTROL_BYTES_MAX || !is_final) {
        return Err(CodecError::Protocol("a control frame is short and whole"));
    }
    let long = match short {
        LEN_16 => 2,
        LEN_64 => 8,
        _ => 0,
    };
    if bytes.len() < 2 + long + 4 {
        return Ok(None);
    }
    bytes.advance(2);
    let len = match short {
        LEN_16 => u64::from(bytes.get_u16()),
        LEN_64 => bytes.get_u64(),
        short => u64::from(short),
    };
    let mut mask = [0; 4];
    bytes.copy_to_slice(&mut mask);
    let len = usize::try_from(len).map_err(|_| CodecError::TooLarge)?;
    Ok(Some(FrameHeader { is_final, opcode, mask, len }))
}

fn read_close(payload: &[u8]) -> Result<Option<CloseCode>, CodecError> {
    match payload {
        [] => Ok(None),
        [high, low, reason @ ..] => {
            std::str::from_utf8(reason).map_err(|_| CodecError::Utf8)?;
            let code = CloseCode::parse(u16::from_be_bytes([*high, *low]));
            code.map(Some).ok_or(CodecError::Protocol("this close code may not be sent"))
        }
        [_] => Err(CodecError::Protocol("half a close code")),
    }
}

/// Undoes the mask (§5.3) of a piece that begins so many bytes into the payload.
fn unmask(piece: &mut [u8], mut mask: [u8; 4], position: usize) {
    mask.rotate_left(position % 4);
    let wide = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let (words, rest) = piece.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const LEN_16: u8 = 126;
const LEN_64: u8 = 127;
const CONTROL_BYTES_MAX: u8 = 125;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client's frame.
    fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let header = ServerHeader::new(Opcode::Text, payload.len());
        let mut bytes = header.as_bytes().to_vec();
        bytes[0] = first;
        bytes[1] |= MASKED;
        bytes.extend_from_slice(&mask);
        let mut masked = payload.to_vec();
        for (index, byte) in masked.iter_mut().enumerate() {
            *byte ^= mask[index % 4];
        }
        bytes.extend_from_slice(&masked);
        bytes
    }

    fn decode(frames: &[Vec<u8>]) -> Result<Vec<Message>, CodecError> {
        decode_pieces(frames.concat().chunks(usize::MAX))
    }

    fn decode_pieces<'a>(
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<Message>, CodecError> {
        let mut decoder = Decoder::new(70_000);
        let mut bytes = BytesMut::new();
        let mut messages = Vec::new();
        for piece in pieces {
            bytes.extend_from_slice(piece);
            while let Some(message) = decoder.decode(&mut bytes)? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    const MASK: [u8; 4] = [1, 2, 3, 4];
    const TEXT: u8 = FINAL | 1;
    const BINARY: u8 = FINAL | 2;
    const CLOSE: u8 = FINAL | 8;
    const PING: u8 = FINAL | 9;
    const PONG: u8 = FINAL | 10;

    fn text(text: &str) -> Message {
        Message::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn messages_come_whole() {
        let frames =
            [frame(TEXT, b"hi", MASK), frame(BINARY, b"\xff", MASK), frame(PONG, b"x", MASK)];
        let expected = [text("hi"), Message::Binary(Bytes::from_static(b"\xff")), Message::Pong];
        assert_eq!(decode(&frames).expect("legal"), expected);
        let empty = [frame(TEXT, b"", MASK), frame(1, b"", MASK), frame(FINAL, b"", MASK)];
        assert_eq!(decode(&empty).expect("legal"), [text(""), text("")]);
    }

    #[test]
    fn fragments_are_joined_and_control_frames_come_between() {
        let euro = "€".as_bytes();
        let frames = [
            frame(1, &euro[..1], MASK),
            frame(PING, b"p", MASK),
            frame(0, &euro[1..2], MASK),
            frame(FINAL, &euro[2..], MASK),
        ];
        let expected = [Message::Ping(Bytes::from_static(b"p")), text("€")];
        assert_eq!(decode(&frames).expect("legal"), expected);
    }

    #[test]
    fn close_frames_carry_legal_codes() {
        let close = |payload: &[u8]| decode(&[frame(CLOSE, payload, MASK)]);
        assert_eq!(close(b"").expect("legal"), [Message::Close(None)]);
        let normal = [Message::Close(Some(CloseCode::NORMAL))];
        assert_eq!(close(b"\x03\xe8bye").expect("legal"), normal);
        assert!(close(b"\x03").is_err());
        assert_eq!(close(b"\x03\xe8\xff"), Err(CodecError::Utf8));
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            assert!(close(&code.to_be_bytes()).is_err(), "{code}");
        }
    }

    #[test]
    fn what_the_rfc_forbids_is_refused() {
        let refused = |bytes: Vec<u8>| decode(&[bytes]).expect_err("refused");
        let protocol = |bytes: Vec<u8>| assert!(matches!(refused(bytes), CodecError::Protocol(_)));
        protocol(frame(TEXT | 0x40, b"", MASK));
        protocol(frame(FINAL | 3, b"", MASK));
        protocol(frame(FINAL | 11, b"", MASK));
        protocol(frame(FINAL, b"x", MASK));
        protocol([frame(1, b"x", MASK), frame(TEXT, b"x", MASK)].concat());
        protocol(frame(9, b"", MASK));
        protocol(frame(PING, &[0; 126], MASK));
        protocol(vec![TEXT, 0]);
        assert_eq!(refused(frame(TEXT, b"\xff", MASK)), CodecError::Utf8);
        assert_eq!(refused(frame(1, b"\xc0", MASK)), CodecError::Utf8, "noticed before the end");
        assert_eq!(refused(frame(TEXT, &"€".as_bytes()[..2], MASK)), CodecError::Utf8);
        assert_eq!(refused(frame(BINARY, &vec![0; 70_001], MASK)), CodecError::TooLarge);
        let half = vec![0; 40_000];
        let halves = [frame(2, &half, MASK), frame(FINAL, &half, MASK)].concat();
        assert_eq!(refused(halves), CodecError::TooLarge);
        let endless = [vec![BINARY, MASKED | LEN_64], vec![0xff; 8], vec![0; 4]].concat();
        assert_eq!(refused(endless), CodecError::TooLarge);
        let endless = [vec![FINAL, MASKED | LEN_64], vec![0xff; 8], vec![0; 4]].concat();
        assert_eq!(refused([frame(2, b"x", MASK), endless].concat()), CodecError::TooLarge);
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            payloads in prop::collection::vec(("\\PC{0,200}", any::<[u8; 4]>()), 1..5),
            size in 1..40usize,
        ) {
            let frames: Vec<_> =
                payloads.iter().map(|(text, mask)| frame(TEXT, text.as_bytes(), *mask)).collect();
            let expected: Vec<_> = payloads.iter().map(|(it, _)| text(it)).collect();
            let bytes = frames.concat();
            prop_assert_eq!(decode_pieces(bytes.chunks(size)).expect("legal"), expected);
        }

        #[test]
        fn any_bytes_are_refused_or_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..100), size in 1..20usize,
        ) {
            let _ = decode_pieces(bytes.chunks(size));
        }

        #[test]
        fn lengths_are_written_as_they_are_read(len in 0..70_000usize) {
            let header = ServerHeader::message(false, len);
            let mut bytes = BytesMut::from(header.as_bytes());
            bytes[1] |= MASKED;
            bytes.extend_from_slice(&MASK);
            let read = read_header(&mut bytes).expect("legal").expect("whole");
            prop_assert_eq!((read.len, read.is_final, bytes.len()), (len, true, 0));
        }
    }
}
