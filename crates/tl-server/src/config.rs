//! What operators write.
//!
//! A setting is taken from the first of these that has it: command-line flags, environment variables
//! (`THROUGHLINE_STORE__DIRECTORY` for `store.directory`), the configuration file, the default.

mod rules;
mod units;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use tl_model::limits::{
    AGE_GRACE, CONNECTIONS_MAX, HEARTBEAT, HTTP2_STREAMS_MAX, IDEMPOTENCY_KEYS_MAX,
    IDEMPOTENCY_WINDOW, WAIT_MAX,
};

pub use rules::{DurabilityConfig, RetentionConfig, RuleConfig, SchemasConfig};
pub use units::{ByteCount, HumanDuration};

/// The whole configuration.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen and whom to serve.
    pub listen: ListenConfig,
    /// Where the log is kept.
    pub store: StoreConfig,
    /// Long-lived connections.
    pub connections: ConnectionsConfig,
    /// Polling over plain HTTP.
    pub polling: PollingConfig,
    /// Requests that may be repeated.
    pub idempotency: IdempotencyConfig,
    /// How the server stops.
    pub drain: DrainConfig,
    /// gRPC, gRPC-Web and Connect.
    pub rpc: RpcConfig,
    /// What holds for which channels. Every rule whose pattern matches applies; where two speak of
    /// the same thing, the later one holds.
    pub rules: Vec<RuleConfig>,
    /// The server's own log.
    pub log: LogConfig,
}

/// Where to listen and whom to serve.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// Addresses with ports. Only this machine can reach the default ones.
    pub addresses: Vec<SocketAddr>,
    /// Allows addresses that other machines can reach, although nobody has to say who they are:
    /// everybody who reaches the server may publish and read everything.
    pub allow_anonymous: bool,
    /// Origins of web pages that may use the server besides its own, such as
    /// `https://app.example.com`; `*` for all.
    pub origins: Vec<String>,
    /// Connections served at once; more have to wait.
    pub connections_max: usize,
    /// Encrypts every connection.
    pub tls: Option<TlsConfig>,
}

/// A certificate and its key.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// A file with the certificate chain in PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// A file with the private key in PEM.
    pub key: PathBuf,
}

/// Where the log is kept.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// On disk, or in memory for trying things out.
    pub kind: StoreKind,
    /// The directory of the store on disk; made if it does not exist.
    pub directory: PathBuf,
    /// The size of the journal's files: the unit in which space is given back.
    pub segment_bytes: ByteCount,
    /// Space on the disk that is left free: publishing is refused before it is taken, reading goes on.
    pub reserve_bytes: ByteCount,
}

/// The kinds of stores.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Embedded, in a directory.
    #[default]
    Disk,
    /// Gone when the server stops.
    Memory,
}

/// Long-lived connections.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionsConfig {
    /// Silence after which a heartbeat is sent. A peer that stays silent for two is taken for dead.
    pub heartbeat: HumanDuration,
    /// Age at which a connection of HTTP/2 is ended, give or take a tenth by chance, so that its client
    /// connects anew, perhaps elsewhere. Without it, connections grow as old as their clients want.
    pub age_max: Option<HumanDuration>,
    /// What is left then of a connection is cut off after this time.
    pub age_grace: HumanDuration,
    /// Streams that one connection of HTTP/2 may have open.
    pub streams_max: u32,
}

/// Polling over plain HTTP.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PollingConfig {
    /// The longest wait of a long poll; longer ones are cut to it.
    pub wait_max: HumanDuration,
}

/// Requests that may be repeated.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdempotencyConfig {
    /// How long an idempotency key is known, at the least.
    pub window: HumanDuration,
    /// Keys known at once; each takes about 80 bytes of memory. More are refused.
    pub keys_max: usize,
}

/// gRPC, gRPC-Web and Connect.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RpcConfig {
    /// Whether clients may ask the server what methods and messages there are, as `grpcurl` does.
    pub reflection: bool,
}

/// How the server stops.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainConfig {
    /// How long connections may take to end.
    pub grace: HumanDuration,
    /// Over how long clients are told to spread their reconnects.
    pub reconnect_within: HumanDuration,
}

/// The server's own log.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Text for people, JSON for machines.
    pub format: LogFormat,
    /// What is logged: a level such as "info", or a filter such as "tl_engine=debug,info".
    pub level: String,
}

/// The forms of the server's own log.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// One line of text for each entry.
    Text,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Other machines could reach the server, and nobody has said that they may.
    #[error(
        "{0} can be reached from other machines, and nobody has to say who they are; listen on \
         127.0.0.1, or set `listen.allow_anonymous = true` if everybody may publish and read"
    )]
    Exposed(SocketAddr),
    /// A setting makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Nothing to listen on.
    #[error("`listen.addresses` is empty; name an address such as \"127.0.0.1:8080\"")]
    NoAddress,
    /// A file, variable or flag cannot be read as configuration.
    #[error("{0}")]
    Unreadable(#[from] Box<figment::Error>),
}

impl Config {
    /// Reads the file, if one is named, and the environment, with `flags` on top: settings by their
    /// paths, such as `store.directory`.
    pub fn load(
        file: Option<&Path>,
        flags: Vec<(String, figment::value::Value)>,
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            figment = figment.merge(Toml::file_exact(file));
        }
        figment = figment.merge(Env::prefixed("THROUGHLINE_").split("__"));
        for (path, value) in flags {
            figment = figment.merge((path, value));
        }
        let config: Self = figment.extract().map_err(Box::new)?;
        config.check()?;
        Ok(config)
    }

    /// The JSON Schema of the configuration file.
    pub fn schema() -> schemars::Schema {
        schemars::schema_for!(Self)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.listen.addresses.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        let exposed = self.listen.addresses.iter().find(|address| !address.ip().is_loopback());
        if let Some(address) = exposed.filter(|_| !self.listen.allow_anonymous) {
            return Err(ConfigError::Exposed(*address));
        }
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.store.segment_bytes.0) {
            let [least, most] = [SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX].map(ByteCount);
            let text = format!("`store.segment_bytes` is at least {least} and at most {most}");
            return Err(ConfigError::Invalid(text));
        }
        self.connections.check().map_err(|text| ConfigError::Invalid(text.to_owned()))?;
        rules::parse(&self.rules).map(|_| ()).map_err(ConfigError::Invalid)
    }

    /// The rules as the engine wants them. A configuration that was loaded has legal ones.
    pub(crate) fn rules(&self) -> tl_model::Rules {
        rules::parse(&self.rules).unwrap_or_default()
    }
}

impl ConnectionsConfig {
    fn check(&self) -> Result<(), &'static str> {
        if self.heartbeat.0 < HEARTBEAT_MIN {
            return Err("`connections.heartbeat` is at least 1s");
        }
        if self.age_max.is_some_and(|age| age.0 < AGE_MIN) {
            return Err("`connections.age_max` is at least 1s; leave it out for no limit");
        }
        if self.streams_max == 0 {
            return Err("`connections.streams_max` is at least 1");
        }
        Ok(())
    }
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            addresses: vec![
                SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, PORT)),
            ],
            allow_anonymous: false,
            origins: Vec::new(),
            connections_max: CONNECTIONS_MAX,
            tls: None,
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            kind: StoreKind::default(),
            directory: PathBuf::from("throughline-data"),
            segment_bytes: ByteCount(64 * 1024 * 1024),
            reserve_bytes: ByteCount(256 * 1024 * 1024),
        }
    }
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self {
            heartbeat: HumanDuration(HEARTBEAT),
            age_max: None,
            age_grace: HumanDuration(AGE_GRACE),
            streams_max: HTTP2_STREAMS_MAX,
        }
    }
}

impl Default for PollingConfig {
    fn default() -> Self {
        Self { wait_max: HumanDuration(WAIT_MAX) }
    }
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self { window: HumanDuration(IDEMPOTENCY_WINDOW), keys_max: IDEMPOTENCY_KEYS_MAX }
    }
}

impl Default for DrainConfig {
    fn default() -> Self {
        let seconds = |count| HumanDuration(Duration::from_secs(count));
        Self { grace: seconds(10), reconnect_within: seconds(10) }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: "info".to_owned() }
    }
}

const PORT: u16 = 8080;
/// Smaller segments would mostly be headers and renames.
const SEGMENT_BYTES_MIN: u64 = 64 * 1024;
/// Larger ones would be read whole into memory to be indexed, and given back late.
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// More often would be load without use.
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);
/// Younger connections would do little but begin.
const AGE_MIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
