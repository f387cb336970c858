//! Certificates that only a test trusts, in files, from which the listener reads them.

use std::fs;
use std::io;
use std::path::Path;

use tl_server::config::TlsConfig;

/// Makes a certificate for localhost, and its key.
pub(crate) fn make(directory: &Path) -> io::Result<TlsConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    write(directory, made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes())
}

/// Writes down a certificate and its key, both in PEM.
pub(crate) fn write(directory: &Path, certificate: &[u8], key: &[u8]) -> io::Result<TlsConfig> {
    let files = TlsConfig {
        certificate: directory.join("certificate.pem"),
        key: directory.join("key.pem"),
    };
    fs::write(&files.certificate, certificate)?;
    fs::write(&files.key, key)?;
    Ok(files)
}
