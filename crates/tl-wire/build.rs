//! Compiles the contract. `protox` reads the .proto files, so no protoc is needed.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use prost::Message;

/// `event.proto` is compiled for its descriptor only: its Rust type is written by hand, because its
/// JSON form is CloudEvents' own.
const GENERATED: [&str; 8] = [
    "grpc/health/v1/health.proto",
    "throughline/v1/admin.proto",
    "throughline/v1/attribute.proto",
    "throughline/v1/events.proto",
    "throughline/v1/page.proto",
    "throughline/v1/schemas.proto",
    "throughline/v1/session.proto",
    "throughline/v1/state.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(GENERATED, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("throughline.v1.binpb");
    let mut file = File::create(&out)?;
    file.write_all(&descriptors.encode_to_vec())?;
    // buffa asks cargo to watch this file. Dated back, it never makes its own script stale.
    file.set_modified(SystemTime::UNIX_EPOCH)?;
    buffa_build::Config::new()
        .files(&GENERATED)
        .includes(&["proto"])
        .descriptor_set(&out)
        .extern_path(".throughline.v1.Event", "crate::draft::Draft")
        .generate_json(true)
        .generate_views(false)
        .preserve_unknown_fields(false)
        .use_bytes_type()
        .include_file("generated.rs")
        .compile()
}
