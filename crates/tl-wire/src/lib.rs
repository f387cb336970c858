//! Every form in which events and frames travel.
//!
//! The contract is the protobuf package `throughline.v1`, in `proto/`. Its binary form and its JSON
//! form carry the [frames](frame) of the two-way protocol and the messages of [calls](call). An event on its own is a CloudEvent:
//!
//! - [`draft`] is an event as somebody wrote it down, with parts that may be missing or wrong;
//! - [`json`] is the CloudEvents JSON format, used in every JSON answer and frame;
//! - [`http_binding`] is the CloudEvents HTTP binding: attributes as headers, data as body;
//! - [`sse`] is the event stream format;
//! - [`batch`], [`page`], [`query`], [`receipts`] and [`problem`] are the bodies of plain HTTP.
//!
//! Nothing here decides anything: codecs turn bytes into checked values and back.

pub mod batch;
pub mod call;
pub mod draft;
pub mod fingerprint;
pub mod frame;
pub mod http_binding;
pub mod json;
pub mod merge_patch;
pub mod outbox;
pub mod page;
pub mod problem;
mod protobuf;
pub mod query;
pub mod receipts;
pub mod schemas;
pub mod sse;
mod whitespace;

/// The contract as protobuf describes itself: a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/throughline.v1.binpb"));

/// What `build.rs` makes of `proto/`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    clippy::use_self,
    reason = "the .proto files hold the documentation; generated code keeps its own style"
)]
pub mod generated {
    include!(concat!(env!("OUT_DIR"), "/generated.rs"));
}
