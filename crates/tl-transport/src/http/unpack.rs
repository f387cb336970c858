use std::io::{self, Read, Write};

use brotli_decompressor::BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use tl_model::{Error, ErrorCode};

use super::Coding;
use super::body::{Room, Taken, too_large};

/// Unpacks a body piece by piece, and stops at the first byte too many: however little a body is when
/// it is packed, it takes no more memory than one that is sent as it is.
pub(crate) fn unpack(
    coding: Coding,
    packed: &[u8],
    bytes_max: usize,
    room: &Room,
) -> Result<(Bytes, Taken), Error> {
    let mut unpacked =
        Unpacked { bytes: Vec::new(), taken: Taken::default(), bytes_max, room, refusal: None };
    let copied = match coding {
        Coding::Brotli => copy(brotli(packed), &mut unpacked),
        Coding::Gzip => copy(MultiGzDecoder::new(packed), &mut unpacked),
        Coding::Zstd => zstd(packed).and_then(|reader| copy(reader, &mut unpacked)),
    };
    match (unpacked.refusal, copied) {
        (Some(refusal), _) => Err(refusal),
        (None, Ok(())) => Ok((unpacked.bytes.into(), unpacked.taken)),
        (None, Err(_)) => Err(not_packed(coding)),
    }
}

fn brotli(packed: &[u8]) -> impl Read {
    let mut reader = brotli_decompressor::Decompressor::new(packed, PIECE_BYTES);
    // A window beyond the standard's (RFC 7932 §9.1) takes up to a gigabyte.
    reader.set_parameter(BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
    reader
}

fn zstd(packed: &[u8]) -> io::Result<impl Read> {
    let mut reader = zstd::stream::read::Decoder::with_buffer(packed)?;
    reader.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(reader)
}

fn copy(mut reader: impl Read, unpacked: &mut Unpacked<'_>) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match reader.read(&mut piece)? {
            // Brotli says only when asked again that something stands behind its end.
            0 => return reader.read(&mut piece).map(drop),
            len => unpacked.write_all(&piece[..len])?,
        }
    }
}

/// What has been unpacked, within its bounds.
struct Unpacked<'a> {
    bytes: Vec<u8>,
    taken: Taken,
    bytes_max: usize,
    room: &'a Room,
    /// Why there may be no more of it.
    refusal: Option<Error>,
}

impl Unpacked<'_> {
    fn make_room(&mut self, len: usize) -> Result<(), Error> {
        if len > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        self.room.make(&mut self.taken, len)
    }
}

impl Write for Unpacked<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if let Err(refusal) = self.make_room(self.bytes.len() + piece.len()) {
            self.refusal = Some(refusal);
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn not_packed(coding: Coding) -> Error {
    let detail = format!("the body is not what its `Content-Encoding` says: {}", coding.name());
    Error::new(ErrorCode::ParameterInvalid, detail)
}

/// As much as is unpacked at once.
const PIECE_BYTES: usize = 16 * 1024;
/// RFC 9659: what is sent over HTTP needs no window beyond 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pack::packed;

    fn code(coding: Coding, body: &[u8], bytes_max: usize) -> Result<usize, ErrorCode> {
        let unpacked = unpack(coding, body, bytes_max, &Room::default());
        unpacked.map(|(bytes, _)| bytes.len()).map_err(|error| error.code)
    }

    #[test]
    fn what_is_packed_comes_back_within_its_bounds() {
        let plain = b"{\"total\": 12.50}\n".repeat(10_000);
        for coding in Coding::ALL {
            let small = packed(coding, &plain).expect("packs");
            assert!(small.len() < plain.len() / 20, "{coding:?}: {}", small.len());
            let (bytes, _) =
                unpack(coding, &small, plain.len(), &Room::default()).expect("unpacks");
            assert_eq!(bytes, plain, "{coding:?}");
            let refused = code(coding, &small, plain.len() - 1);
            assert_eq!(refused, Err(ErrorCode::BodyTooLarge), "{coding:?}");
        }
    }

    #[test]
    fn what_is_not_packed_as_it_says_is_refused() {
        for coding in Coding::ALL {
            let whole = packed(coding, &b"whole".repeat(100)).expect("packs");
            let cut = &whole[..whole.len() - 1];
            let more = [&whole[..], b"more"].concat();
            for body in [&b""[..], b"plain text", cut, &more] {
                let refused = code(coding, body, 1_000);
                assert_eq!(refused, Err(ErrorCode::ParameterInvalid), "{coding:?}: {body:?}");
            }
        }
    }

    #[test]
    fn windows_beyond_the_standard_are_refused() {
        // A large window of 2^30 bytes, and then nothing but its end.
        let brotli = [0x11, 0x1e, 0x03];
        assert_eq!(code(Coding::Brotli, &brotli, 100), Err(ErrorCode::ParameterInvalid));
        // The frame says that it needs 2^31 bytes.
        let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        assert_eq!(code(Coding::Zstd, &zstd, 100), Err(ErrorCode::ParameterInvalid));
    }

    #[test]
    fn what_is_unpacked_counts_in_the_room_of_all_bodies() {
        let room = Room::default();
        let bomb = packed(Coding::Zstd, &vec![0; 40 * 1024 * 1024]).expect("packs");
        let first = unpack(Coding::Zstd, &bomb, usize::MAX, &room).expect("there is room");
        let refused = unpack(Coding::Zstd, &bomb, usize::MAX, &room).map(drop);
        assert_eq!(refused.map_err(|error| error.code), Err(ErrorCode::Overloaded));
        drop(first);
        assert!(unpack(Coding::Zstd, &bomb, usize::MAX, &room).is_ok());
    }
}
