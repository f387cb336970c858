//! Whatever is put as a schema, and whatever is checked with it, is told in time what is wrong with it.

#![no_main]

use libfuzzer_sys::fuzz_target;

use tl_model::limits::SCHEMA_FINDINGS_MAX;
use tl_schema::{Encoding, Kind, Schema};

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let kind = match kind {
        b'd' => Kind::Descriptors,
        b'p' => Kind::Proto,
        _ => Kind::JsonSchema,
    };
    // A schema, another version of it, and data.
    let mut parts = rest.splitn(3, |byte| *byte == 0);
    let mut parse = || Schema::parse(kind, None, parts.next().unwrap_or_default());
    let (old, new) = (parse(), parse());
    let data = parts.next().unwrap_or_default();
    if let Ok(schema) = &old {
        check(schema, data);
        assert_eq!(schema.is_additive_to(schema), Ok(()));
    }
    if let (Ok(old), Ok(new)) = (old, new) {
        let found = new.is_additive_to(&old).err().map_or(1, |reasons| reasons.len());
        assert!((1..=SCHEMA_FINDINGS_MAX).contains(&found));
    }
});

fn check(schema: &Schema, data: &[u8]) {
    for encoding in [Encoding::Json, Encoding::Protobuf, Encoding::Other] {
        if let Err(violations) = schema.check(data, encoding) {
            assert!((1..=SCHEMA_FINDINGS_MAX).contains(&violations.len()));
        }
    }
}
