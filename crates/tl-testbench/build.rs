//! Compiles the suites' messages. `protox` reads the .proto files, so no protoc is needed.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use prost::Message;

const GENERATED: [&str; 2] = ["conformance.proto", "interop.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(GENERATED, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("suites.binpb");
    let mut file = File::create(&out)?;
    file.write_all(&descriptors.encode_to_vec())?;
    // buffa asks cargo to watch this file. Dated back, it never makes its own script stale.
    file.set_modified(SystemTime::UNIX_EPOCH)?;
    buffa_build::Config::new()
        .files(&GENERATED)
        .includes(&["proto"])
        .descriptor_set(&out)
        .generate_json(true)
        .generate_views(false)
        .preserve_unknown_fields(false)
        .use_bytes_type()
        .include_file("generated.rs")
        .compile()
}
