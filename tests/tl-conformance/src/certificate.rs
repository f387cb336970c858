use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate for this machine that it has signed itself.
#[derive(Debug)]
pub struct Certificate {
    home: tempfile::TempDir,
    certificate: CertificateDer<'static>,
}

impl Certificate {
    /// A new one, with its key, in files.
    pub fn new() -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let home = tempfile::tempdir().expect("a temporary directory");
        let write = |name, text| std::fs::write(home.path().join(name), text);
        write("certificate.pem", made.cert.pem()).expect("it is written");
        write("key.pem", made.signing_key.serialize_pem()).expect("it is written");
        Self { certificate: made.cert.der().clone(), home }
    }

    /// What makes a server use it.
    pub fn config(&self) -> String {
        let (certificate, key) = (self.path(), self.home.path().join("key.pem"));
        format!("[listen.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n")
    }

    /// The file with the certificate.
    pub fn path(&self) -> PathBuf {
        self.home.path().join("certificate.pem")
    }

    /// What makes a client trust it, over these versions of TLS, and offer these protocols.
    pub fn client_config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("the versions are there");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// Connects to a port of this machine.
    pub async fn connect(
        &self,
        port: u16,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> TlsStream<TcpStream> {
        let connector = TlsConnector::from(Arc::new(self.client_config(versions, alpn)));
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
        let name = ServerName::try_from("localhost").expect("a name");
        connector.connect(name, stream).await.expect("the certificate is trusted")
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}
