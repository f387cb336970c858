//! A server under test of the Connect conformance suite.
//!
//! The suite's runner starts it, says on its standard input how it is to listen, reads on its standard
//! output where it does, and kills it in the end. Each message has its length before it.

mod methods;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use buffa::Message;
use buffa::type_registry::{TypeRegistry, set_type_registry};
use bytes::Bytes;

use tl_transport::{Host, Transport};
use tl_transport_rpc::mount;

use crate::bench::{self, BenchError};
use crate::certificate;
use crate::generated::connectrpc::conformance::v1::{
    ServerCompatRequest, ServerCompatResponse, register_types,
};

/// Serves as the runner asks for, until it kills the process.
pub(crate) async fn serve() -> Result<(), BenchError> {
    let request = read(io::stdin().lock())?;
    let directory = tempfile::tempdir()?;
    let credentials = request.server_creds.as_option().filter(|_| request.use_tls);
    let tls = credentials.map(|it| certificate::write(directory.path(), &it.cert, &it.key));
    let certificate = credentials.map(|it| it.cert.clone());
    let service = Conformance { message_bytes_max: request.message_receive_limit };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    bench::serve(&service, any, tls.transpose()?, |address| {
        // The key was read, and whoever kills the process leaves no time to tidy up.
        drop(directory);
        write(io::stdout().lock(), address, certificate.unwrap_or_default())
    })
    .await
}

/// The suite's service.
struct Conformance {
    /// 0 for the server's own bound.
    message_bytes_max: u32,
}

impl Transport for Conformance {
    fn mount(&self, host: &mut Host) {
        // With them, messages within messages are written as JSON, too.
        let mut types = TypeRegistry::new();
        register_types(&mut types);
        set_type_registry(types);
        let service = mount::service(methods::all());
        let service = match self.message_bytes_max {
            0 => service,
            bytes => service.with_limits(mount::limits(bytes as usize)),
        };
        mount::mount(host, PATH, &service);
    }
}

fn read(mut input: impl Read) -> io::Result<ServerCompatRequest> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let mut message = vec![0; u32::from_be_bytes(length) as usize];
    input.read_exact(&mut message)?;
    ServerCompatRequest::decode_from_slice(&message).map_err(io::Error::other)
}

fn write(mut output: impl Write, address: SocketAddr, pem_cert: Bytes) -> io::Result<()> {
    let (host, port) = (address.ip().to_string(), address.port().into());
    let message = ServerCompatResponse { host, port, pem_cert }.encode_to_vec();
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    output.write_all(&length.to_be_bytes())?;
    output.write_all(&message)?;
    output.flush()
}

const PATH: &str = "connectrpc.conformance.v1.ConformanceService";
