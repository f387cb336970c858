use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use tl_model::limits::EVENT_DATA_BYTES_MAX;
use tl_model::{Channel, Error, ErrorCode, Event, Fingerprint, NewEvent, Position};
use tl_protocol::frame::Receipt;

use super::keys::Claim;
use crate::Receipts;
use crate::environment::Environment;

/// What is known of each event of a request before it is logged: its id and whether it goes to the
/// log, or why it was refused.
pub(crate) type Outcome<'a> = Result<(&'a str, bool), &'a Error>;

/// Where the records are.
pub(super) fn channel() -> Channel {
    Channel::parse(CHANNEL).expect("a legal name")
}

/// The record of a request. It is logged right behind the request's events.
///
/// # Errors
///
/// `batch_too_large` if ids and refusals do not fit.
pub(crate) fn record(
    claim: &Claim,
    outcomes: &[Outcome<'_>],
    environment: &dyn Environment,
) -> Result<NewEvent, Error> {
    let receipts = outcomes.iter().map(ReceiptJson::of).collect();
    let record = Record { key: hex(claim.name), fingerprint: hex(claim.fingerprint), receipts };
    // A record holds nothing that JSON cannot express.
    let data = serde_json::to_vec(&record).unwrap_or_default();
    if data.len() > EVENT_DATA_BYTES_MAX {
        let detail = "the ids and refusals of this batch are too much to be remembered with its \
                      idempotency key; send several smaller batches";
        return Err(Error::new(ErrorCode::BatchTooLarge, detail));
    }
    let (id, time) = (environment.new_id(), environment.now_text());
    let event = Event::builder(&id, SOURCE, TYPE).time(&time).data_content_type(JSON).data(&data);
    let event = event.build().expect("all attributes are legal");
    Ok(NewEvent { channel: channel(), event })
}

/// The name of the key and what was asked for.
pub(super) fn parse_key(event: &Event) -> Option<(Fingerprint, Fingerprint)> {
    let data = event.data()?;
    let record: KeyOfRecord<'_> = serde_json::from_slice(&data).ok()?;
    Some((unhex(&record.key)?, unhex(&record.fingerprint)?))
}

/// The receipts. `place` tells the place of the event so many places before the record.
pub(super) fn parse_receipts(event: &Event, place: impl Fn(u64) -> Position) -> Option<Receipts> {
    let data = event.data()?;
    let record: Record<'_> = serde_json::from_slice(&data).ok()?;
    let mut left = record.receipts.iter().filter(|receipt| receipt.is_logged).count() as u64;
    let receipts = record.receipts.into_iter().map(|receipt| {
        let at = receipt.is_logged.then(|| place(left));
        left -= u64::from(receipt.is_logged);
        match receipt.error {
            Some(error) => Err(error.read()),
            None => Ok(Receipt { id: receipt.id.into_owned(), at }),
        }
    });
    Some(receipts.collect())
}

#[derive(Deserialize, Serialize)]
struct Record<'a> {
    key: String,
    fingerprint: String,
    #[serde(borrow)]
    receipts: Vec<ReceiptJson<'a>>,
}

#[derive(Deserialize)]
struct KeyOfRecord<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    fingerprint: Cow<'a, str>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct ReceiptJson<'a> {
    #[serde(borrow, skip_serializing_if = "str::is_empty")]
    id: Cow<'a, str>,
    #[serde(rename = "logged", skip_serializing_if = "std::ops::Not::not")]
    is_logged: bool,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    error: Option<ErrorJson<'a>>,
}

#[derive(Deserialize, Serialize)]
struct ErrorJson<'a> {
    code: Cow<'a, str>,
    detail: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl<'a> ReceiptJson<'a> {
    fn of(outcome: &Outcome<'a>) -> Self {
        match *outcome {
            Ok((id, is_logged)) => Self { id: id.into(), is_logged, error: None },
            Err(error) => Self { error: Some(ErrorJson::of(error)), ..Self::default() },
        }
    }
}

impl<'a> ErrorJson<'a> {
    fn of(error: &'a Error) -> Self {
        Self {
            code: error.code.as_str().into(),
            detail: error.detail.as_ref().into(),
            retry_after_ms: error.retry_after.map(|wait| wait.as_millis() as u64),
        }
    }

    fn read(self) -> Error {
        let code = self.code.parse().unwrap_or(ErrorCode::Internal);
        let error = Error::new(code, self.detail.into_owned());
        match self.retry_after_ms {
            Some(wait) => error.retry_after(Duration::from_millis(wait)),
            None => error,
        }
    }
}

fn hex(fingerprint: Fingerprint) -> String {
    format!("{:032x}", u128::from_be_bytes(fingerprint.bytes()))
}

fn unhex(text: &str) -> Option<Fingerprint> {
    u128::from_str_radix(text, 16).ok().map(|number| number.to_be_bytes().into())
}

const CHANNEL: &str = "$sys.idempotency";
const SOURCE: &str = "/v1/channels/$sys.idempotency";
const TYPE: &str = "throughline.request.answered";
const JSON: &str = "application/json";
