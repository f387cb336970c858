use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use tl_engine::{Engine, Options, SystemEnvironment};
use tl_model::Error;
use tl_store_disk::OpenError;
use tl_transport::{Host, HttpService, Origins, Transport};

use crate::config::Config;
use crate::health::Health;
use crate::listener::{ListenOptions, Listener, TlsError};
use crate::{stores, transports};

/// A server that listens.
pub struct Server {
    engine: Engine,
    service: HttpService,
    addresses: Vec<SocketAddr>,
    config: Config,
    stopping: CancellationToken,
    connections: TaskTracker,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{address} cannot be listened on: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// What the log says of requests answered before cannot be read.
    #[error(transparent)]
    Recover(Error),
    /// The schemas of events cannot be read from the log.
    #[error("the schemas cannot be read: {0}")]
    Schemas(Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Server {
    /// Opens the store, starts the engine, mounts the transports and listens.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let store_config = config.store.clone();
        let opening = tokio::task::spawn_blocking(move || stores::open(&store_config));
        let store = opening.await.expect("opening a store does not panic")?;
        let environment = Arc::new(SystemEnvironment);
        let options = Options {
            rules: config.rules(),
            idempotency_window: config.idempotency.window.0,
            idempotency_keys_max: config.idempotency.keys_max,
        };
        let engine = Engine::start(store, environment, options);
        engine.recover().await.map_err(StartError::Recover)?;
        engine.load_schemas().await.map_err(StartError::Schemas)?;
        let service = host(&config, &engine).into_service();
        Self::listen(config, engine, service).await
    }

    /// Where it listens, with the ports it was given.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The engine below all transports.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Stops: takes nothing new, tells every client when and where to go on, waits for them within
    /// the grace period, and closes the log.
    ///
    /// # Errors
    ///
    /// `store_failed` if the log could not be closed.
    pub async fn shutdown(self) -> Result<(), Error> {
        self.stopping.cancel();
        self.engine.drain();
        self.connections.close();
        let ended = async {
            self.connections.wait().await;
            self.service.idle().await;
        };
        if tokio::time::timeout(self.config.drain.grace.0, ended).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "the grace period is over");
        }
        self.engine.close().await
    }

    async fn listen(
        config: Config,
        engine: Engine,
        service: HttpService,
    ) -> Result<Self, StartError> {
        let options = Arc::new(ListenOptions::new(&config, &engine)?);
        let (stopping, connections) = (CancellationToken::new(), TaskTracker::new());
        let mut addresses = Vec::new();
        for &address in &config.listen.addresses {
            let listener = match Listener::bind(address) {
                Ok(listener) => listener,
                // A machine without IPv6 still has the other default address.
                Err(source)
                    if source.kind() == io::ErrorKind::AddrNotAvailable && address.is_ipv6() =>
                {
                    tracing::warn!(%address, "there is no IPv6 here");
                    continue;
                }
                Err(source) => return Err(StartError::Bind { address, source }),
            };
            addresses.push(listener.address());
            let (options, service) = (options.clone(), service.clone());
            let (stopping, connections) = (stopping.clone(), connections.clone());
            tokio::spawn(listener.serve(options, service, stopping, connections));
        }
        Ok(Self { engine, service, addresses, config, stopping, connections })
    }
}

/// All that the server answers over HTTP.
pub(crate) fn host(config: &Config, engine: &Engine) -> Host {
    let mut host = Host::new(engine.clone(), Origins::new(config.listen.origins.clone()));
    Health.mount(&mut host);
    transports::mount(config, &mut host);
    host
}
