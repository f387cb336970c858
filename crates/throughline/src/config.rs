use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{CliError, output};

/// Check a configuration, or describe what it can say.
#[derive(Args, Debug)]
pub(crate) struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read a configuration as the server would, and print what it amounts to.
    #[command(after_help = "Examples:
  throughline config check throughline.toml
  THROUGHLINE_LOG__LEVEL=debug throughline config check")]
    Check {
        /// The configuration file (TOML).
        file: Option<PathBuf>,
    },
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
}

impl Config {
    pub(crate) fn run(self) -> Result<(), CliError> {
        let text = match self.command {
            ConfigCommand::Check { file } => {
                let config = tl_server::Config::load(file.as_deref(), Vec::new())?;
                toml::to_string_pretty(&config).map_err(|it| CliError::Other(it.to_string()))?
            }
            ConfigCommand::Schema => {
                let schema = tl_server::Config::schema();
                serde_json::to_string_pretty(&schema)
                    .map_err(|it| CliError::Other(it.to_string()))?
            }
        };
        Ok(output::line(text.trim_end())?)
    }
}
