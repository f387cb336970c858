//! What the methods and messages are, told to whoever asks (gRPC Server Reflection, v1 and v1alpha).

use connectrpc::Router;
use connectrpc_reflection::{Reflector, install};

use tl_transport::Host;
use tl_transport::wire::DESCRIPTORS;

use crate::mount;

/// Mounts both versions.
pub(crate) fn mount(host: &mut Host) {
    let reflector = Reflector::from_descriptor_set_bytes(DESCRIPTORS);
    let reflector = reflector.expect("the contract was compiled with all it imports");
    let service = mount::service(install(Router::new(), reflector));
    for name in NAMES {
        mount::mount(host, name, &service);
    }
}

const NAMES: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];
