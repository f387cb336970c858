use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode, Url};

use tl_wire::schemas::{self, SchemaVersion};

use crate::answer::{accepted, body};
use crate::client::Client;
use crate::error::ClientError;

/// A version that a type's schema is to have.
#[derive(Clone, Debug)]
pub struct NewSchema {
    /// The type of event.
    pub event_type: String,
    /// How it is written: `application/schema+json`, `text/x-protobuf` for the source of a .proto file,
    /// `application/x-protobuf` for descriptors.
    pub content_type: &'static str,
    /// The protobuf message that is meant; needed if there are several.
    pub message: Option<String>,
    /// The text, or the descriptors.
    pub source: Bytes,
}

/// What has become of it.
#[derive(Clone, Debug)]
pub struct PutSchema {
    /// The version it is.
    pub version: SchemaVersion,
    /// Whether that is a new one, and not the same as the latest.
    pub is_new: bool,
}

impl Client {
    /// The latest version of every schema.
    ///
    /// # Errors
    ///
    /// The server could not be reached.
    pub async fn schemas(&self) -> Result<Vec<SchemaVersion>, ClientError> {
        let response = accepted(self.http.get(self.url("/v1/schemas"))).await?;
        schemas::read_many(&body(response).await?)
            .map_err(|error| ClientError::Protocol(error.to_string()))
    }

    /// Adds a version to a type's schema, unless it is the same as the latest.
    ///
    /// # Errors
    ///
    /// The server refused it, or could not be reached.
    pub async fn put_schema(&self, new: &NewSchema) -> Result<PutSchema, ClientError> {
        self.send_schema(Method::PUT, self.schema_url(&new.event_type, None), new).await
    }

    /// Whether the server would take a version, and as which.
    ///
    /// # Errors
    ///
    /// The server would refuse it, or could not be reached.
    pub async fn check_schema(&self, new: &NewSchema) -> Result<SchemaVersion, ClientError> {
        let url = self.schema_url(&new.event_type, Some("check"));
        self.send_schema(Method::POST, url, new).await.map(|put| put.version)
    }

    async fn send_schema(
        &self,
        method: Method,
        mut url: Url,
        new: &NewSchema,
    ) -> Result<PutSchema, ClientError> {
        if let Some(message) = &new.message {
            url.query_pairs_mut().append_pair("message", message);
        }
        let request = self.http.request(method, url).header(CONTENT_TYPE, new.content_type);
        let response = accepted(request.body(new.source.clone())).await?;
        let is_new = response.status() == StatusCode::CREATED;
        let version = schemas::read_one(&body(response).await?)
            .map_err(|error| ClientError::Protocol(error.to_string()))?;
        Ok(PutSchema { version, is_new })
    }

    fn schema_url(&self, event_type: &str, then: Option<&str>) -> Url {
        let mut url = self.url("/v1/schemas");
        // Only addresses without a path, such as `mailto:`, have no segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(event_type).extend(then);
        }
        url
    }
}
