use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use tl_client::NewSchema;

use crate::{CliError, ServerArgs, output};

/// Say what events of a type look like.
///
/// Once a type has a schema, events whose data breaks it are refused. A new version must accept
/// everything that the one before accepts.
#[derive(Args, Debug)]
pub(crate) struct Schema {
    #[command(subcommand)]
    command: SchemaCommand,
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    /// Ask whether a version would be taken, and as which.
    #[command(after_help = "Example:
  throughline schema check order.created order.json")]
    Check(Version),
    /// List the schemas: type, version, kind, time.
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Add a version, unless it is the same as the latest.
    #[command(after_help = "Examples:
  throughline schema put order.created order.json
  throughline schema put order.created shop.proto --message OrderCreated
  protoc --include_imports --descriptor_set_out=shop.binpb shop.proto
  throughline schema put order.created shop.binpb --message shop.OrderCreated")]
    Put(Version),
}

#[derive(Args, Debug)]
struct Version {
    /// The type of event.
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// The schema: a JSON Schema (.json), a protobuf source (.proto), or descriptors (.binpb, .desc,
    /// .pb).
    file: PathBuf,
    /// The protobuf message that is meant, if there are several.
    #[arg(long)]
    message: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

impl Schema {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        match self.command {
            SchemaCommand::Check(version) => version.check().await,
            SchemaCommand::List { server } => list(&server).await,
            SchemaCommand::Put(version) => version.put().await,
        }
    }
}

impl Version {
    async fn check(&self) -> Result<(), CliError> {
        let version = self.server.client()?.check_schema(&self.read()?).await?;
        Ok(output::line(&format!("{} version {}", version.event_type, version.version))?)
    }

    async fn put(&self) -> Result<(), CliError> {
        let put = self.server.client()?.put_schema(&self.read()?).await?;
        if !put.is_new {
            output::note("it is the same as the latest version");
        }
        let version = put.version;
        Ok(output::line(&format!("{} version {}", version.event_type, version.version))?)
    }

    fn read(&self) -> Result<NewSchema, CliError> {
        let content_type = content_type(&self.file)?;
        let path = || self.file.display().to_string();
        let source =
            std::fs::read(&self.file).map_err(|source| CliError::File { path: path(), source })?;
        let (event_type, message) = (self.event_type.clone(), self.message.clone());
        Ok(NewSchema { event_type, content_type, message, source: source.into() })
    }
}

async fn list(server: &ServerArgs) -> Result<(), CliError> {
    for version in server.client()?.schemas().await? {
        let time = version.time.unwrap_or_default();
        output::line(&format!(
            "{}\t{}\t{}\t{time}",
            version.event_type, version.version, version.kind
        ))?;
    }
    Ok(())
}

/// The kind of a schema, by the ending of its file.
fn content_type(file: &Path) -> Result<&'static str, CliError> {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("json") => Ok("application/schema+json"),
        Some("proto") => Ok("text/x-protobuf"),
        Some("binpb" | "desc" | "pb") => Ok("application/x-protobuf"),
        _ => {
            let file = file.display();
            let text = format!("{file}: a schema is a file that ends in .json, .proto or .binpb");
            Err(CliError::Other(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_tells_the_kind() {
        let kind = |file: &str| content_type(Path::new(file)).ok();
        assert_eq!(kind("a/order.json"), Some("application/schema+json"));
        assert_eq!(kind("order.proto"), Some("text/x-protobuf"));
        assert_eq!(kind("order.binpb"), Some("application/x-protobuf"));
        assert_eq!(kind("order"), None);
    }
}
