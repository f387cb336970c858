use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use tl_model::Epoch;
use tl_server::Config;
use tl_server::listener::{ListenOptions, Listener, TlsError};
use tl_store::MemoryStore;
use tl_transport::engine::{Engine, Environment, Options, SystemEnvironment};
use tl_transport::{Host, HttpService, Origins, Transport};

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("{address} cannot be listened on: {source}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Serves a single transport as the server would, and never ends once it listens.
pub(crate) async fn serve(
    transport: &dyn Transport,
    address: SocketAddr,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), BenchError> {
    let engine = engine();
    let options = Arc::new(ListenOptions::new(&Config::default(), &engine)?);
    let listener =
        Listener::bind(address).map_err(|source| BenchError::Bind { address, source })?;
    listening(listener.address());
    let (never, connections) = (CancellationToken::new(), TaskTracker::new());
    listener.serve(options, service(transport, engine), never, connections).await;
    Ok(())
}

/// Its log is empty.
fn engine() -> Engine {
    let environment = Arc::new(SystemEnvironment);
    let store = Arc::new(MemoryStore::new(Epoch::from_random(environment.random())));
    Engine::start(store, environment, Options::default())
}

/// The host has nothing but this transport.
fn service(transport: &dyn Transport, engine: Engine) -> HttpService {
    let mut host = Host::new(engine, Origins::new(Vec::new()));
    transport.mount(&mut host);
    host.into_service()
}
