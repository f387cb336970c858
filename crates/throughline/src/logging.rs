//! The server's own log, on standard error.

use std::io::{self, IsTerminal};

use tl_server::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

use crate::CliError;

/// Starts it.
pub(crate) fn start(config: &LogConfig) -> Result<(), CliError> {
    let filter = EnvFilter::try_new(&config.level).map_err(|error| {
        CliError::Other(format!("`log.level`: `{}` is no filter: {error}", config.level))
    })?;
    let is_json = match config.format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match is_json {
        true => log.json().flatten_event(true).with_current_span(false).try_init(),
        false => log.with_target(false).try_init(),
    };
    started.map_err(|error| CliError::Other(error.to_string()))
}
