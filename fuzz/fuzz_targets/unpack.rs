//! No more comes out of a packed body than is taken, and what was packed comes back.

#![no_main]

use libfuzzer_sys::fuzz_target;

use tl_model::ErrorCode;
use tl_transport::testkit::{packed, unpacked};

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    let coding = CODINGS[usize::from(*choice) % CODINGS.len()];
    match unpacked(coding, body, BYTES_MAX) {
        Ok(bytes) => assert!(bytes.len() <= BYTES_MAX),
        Err(error) => assert!(
            matches!(error.code, ErrorCode::BodyTooLarge | ErrorCode::ParameterInvalid),
            "{error:?}"
        ),
    }
    let again = unpacked(coding, &packed(coding, body), body.len());
    assert_eq!(again.expect("it was packed here"), body);
});

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];
/// Small enough that inputs reach it.
const BYTES_MAX: usize = 10_000;
