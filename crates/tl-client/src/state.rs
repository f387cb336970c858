use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, Url};

use tl_model::{Channel, Error, ErrorCode};
use tl_wire::draft::{Draft, Received};
use tl_wire::generated::throughline::v1::Receipt;
use tl_wire::{http_binding, json, merge_patch, receipts};

use crate::answer::{accepted, body};
use crate::client::{Client, Page, read_page};
use crate::error::ClientError;
use crate::write::ChangeOptions;

/// The state of channels: the latest event of each is its document.
impl Client {
    /// The document of a channel: its data, its attributes, and where it stands, which is what
    /// [`Condition::Last`](crate::Condition::Last) takes. `None` if there is none or it was deleted.
    ///
    /// # Errors
    ///
    /// The server refused, or could not be reached.
    pub async fn state(&self, channel: &str) -> Result<Option<Received>, ClientError> {
        let request = self.http.get(self.state_url(channel)?).header(ACCEPT, CLOUDEVENT);
        let body = match accepted(request).await {
            Err(ClientError::Refused(error)) if is_absent(&error) => return Ok(None),
            answer => body(answer?).await?,
        };
        let draft: Draft = json::read(&body).map_err(|error| senseless(&error))?;
        draft.receive().map(Some).map_err(|error| senseless(&error))
    }

    /// Puts a document in the place of the one that a channel has, or makes its first. Of the draft
    /// all attributes are used; extensions become text.
    ///
    /// # Errors
    ///
    /// The server refused it, or could not be reached; then it may have been logged all the same.
    pub async fn put_state(
        &self,
        channel: &str,
        document: &Draft,
        options: &ChangeOptions,
    ) -> Result<Receipt, ClientError> {
        let mut headers = HeaderMap::new();
        http_binding::write_draft(&mut headers, document)
            .map_err(|error| refused(ErrorCode::EventInvalid, &error))?;
        let data = document.data.clone().unwrap_or_default();
        let request = self.http.put(self.state_url(channel)?).headers(headers).body(data);
        self.change(request, options).await
    }

    /// Changes the document of a channel by a JSON merge patch (RFC 7396): members are replaced, and
    /// removed by `null`. Without a condition, what others change meanwhile is kept.
    ///
    /// # Errors
    ///
    /// `not_found` and `state_deleted` if there is no document, `state_invalid` if it is not JSON;
    /// the server refused it otherwise, or could not be reached; then it may have been logged all the
    /// same.
    pub async fn patch_state(
        &self,
        channel: &str,
        patch: impl Into<Bytes>,
        options: &ChangeOptions,
    ) -> Result<Receipt, ClientError> {
        let request = self.http.patch(self.state_url(channel)?);
        let request = request.header(CONTENT_TYPE, merge_patch::CONTENT_TYPE).body(patch.into());
        self.change(request, options).await
    }

    /// Deletes the document of a channel: subscribers get an event without data, with the extension
    /// `deleted`.
    ///
    /// # Errors
    ///
    /// `not_found` and `state_deleted` if there is no document; the server refused it otherwise, or
    /// could not be reached; then it may have been deleted all the same.
    pub async fn delete_state(
        &self,
        channel: &str,
        options: &ChangeOptions,
    ) -> Result<Receipt, ClientError> {
        self.change(self.http.delete(self.state_url(channel)?), options).await
    }

    /// A page of the documents of channels and patterns, in the order of their last changes, from
    /// behind a cursor or from `earliest`. The next page begins at [`Page::next`], until the log has
    /// nothing more.
    ///
    /// # Errors
    ///
    /// The server refused, or could not be reached.
    pub async fn documents(
        &self,
        channels: &[String],
        after: &str,
        limit: Option<usize>,
    ) -> Result<Page, ClientError> {
        let mut url = self.page_url("/v1/state", channels, after);
        if let Some(limit) = limit {
            url.query_pairs_mut().append_pair("limit", &limit.to_string());
        }
        read_page(accepted(self.http.get(url)).await?).await
    }

    async fn change(
        &self,
        request: RequestBuilder,
        options: &ChangeOptions,
    ) -> Result<Receipt, ClientError> {
        let body = self.write(request, options).await?;
        receipts::read_one(&body).map_err(|error| senseless(&error))
    }

    /// Another text than a channel's name would lead elsewhere.
    fn state_url(&self, channel: &str) -> Result<Url, ClientError> {
        let channel =
            Channel::parse(channel).map_err(|error| refused(ErrorCode::ChannelInvalid, &error))?;
        Ok(self.url(&format!("/v1/channels/{channel}/state")))
    }
}

fn is_absent(error: &Error) -> bool {
    matches!(error.code, ErrorCode::NotFound | ErrorCode::StateDeleted)
}

fn refused(code: ErrorCode, why: &dyn std::fmt::Display) -> ClientError {
    ClientError::Refused(Error::new(code, why.to_string()))
}

fn senseless(what: &dyn std::fmt::Display) -> ClientError {
    ClientError::Protocol(what.to_string())
}

/// The whole event, with its place.
const CLOUDEVENT: &str = "application/cloudevents+json";
