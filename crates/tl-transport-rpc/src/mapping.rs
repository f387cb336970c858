//! JSON as generated code has it: protobuf's own mapping, in which the data of an event is base64.
//!
//! All other JSON of this server has events as CloudEvents, which generated code does not know. Whoever
//! names the version of the Connect protocol, as generated code does and people leave out, speaks the
//! mapping. Its messages are made binary at the door, and answers JSON, so no method knows of it.

use std::collections::HashMap;

use connectrpc::dispatcher::{RequestStream, StreamingResult, UnaryResult};
use connectrpc::{
    CodecFormat, ConnectError, Dispatcher, EncodedBody, EncodedStream, MethodDescriptor, Payload,
    Protocol, RequestContext,
};
use futures_util::future::ready;
use futures_util::{FutureExt, StreamExt};
use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor};

use tl_transport::Bytes;
use tl_transport::http::Request;
use tl_transport::http::types::header::{HeaderName, HeaderValue};
use tl_transport::model::limits::FRAME_BYTES_MAX;
use tl_transport::model::{Error, ErrorCode};
use tl_transport::wire::DESCRIPTORS;
use tl_transport::wire::call::too_large;

use crate::error::failure;

/// Methods that are also called in the mapping.
pub(crate) struct Mapped<D> {
    methods: D,
    mappings: HashMap<String, Mapping>,
}

/// What a method is asked with, and what it answers with.
#[derive(Clone)]
struct Mapping {
    input: MessageDescriptor,
    output: MessageDescriptor,
}

impl<D> Mapped<D> {
    pub(crate) fn new(methods: D) -> Self {
        let pool = DescriptorPool::decode(DESCRIPTORS);
        let pool = pool.expect("the contract was compiled with all it imports");
        let services = SERVICES.iter().filter_map(|name| pool.get_service_by_name(name));
        let mapping = |method: prost_reflect::MethodDescriptor| {
            let path = format!("{}/{}", method.parent_service().full_name(), method.name());
            (path, Mapping { input: method.input(), output: method.output() })
        };
        let mappings = services.flat_map(|it| it.methods().map(mapping).collect::<Vec<_>>());
        Self { methods, mappings: mappings.collect() }
    }

    /// That of a call, if its client names the version of the protocol.
    fn mapping(
        &self,
        path: &str,
        request: &RequestContext,
        format: CodecFormat,
    ) -> Option<&Mapping> {
        let is_mapped = format == CodecFormat::Json
            && request.protocol() == Some(Protocol::Connect)
            && request.header(VERSION).is_some();
        if is_mapped { self.mappings.get(path) } else { None }
    }
}

impl<D: Dispatcher> Dispatcher for Mapped<D> {
    fn lookup(&self, path: &str) -> Option<MethodDescriptor> {
        self.methods.lookup(path)
    }

    fn call_unary(
        &self,
        path: &str,
        request: RequestContext,
        message: Payload,
        format: CodecFormat,
    ) -> UnaryResult {
        let Some(mapping) = self.mapping(path, &request, format) else {
            return self.methods.call_unary(path, request, message, format);
        };
        match message.encoded().and_then(|message| mapping.read(&message)) {
            Ok(message) => {
                let message = Payload::new(message, BINARY);
                mapping.write(self.methods.call_unary(path, request, message, BINARY))
            }
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn call_server_streaming(
        &self,
        path: &str,
        request: RequestContext,
        message: Bytes,
        format: CodecFormat,
    ) -> StreamingResult {
        let Some(mapping) = self.mapping(path, &request, format) else {
            return self.methods.call_server_streaming(path, request, message, format);
        };
        match mapping.read(&message) {
            Ok(message) => mapping
                .write_all(self.methods.call_server_streaming(path, request, message, BINARY)),
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn call_client_streaming(
        &self,
        path: &str,
        request: RequestContext,
        messages: RequestStream,
        format: CodecFormat,
    ) -> UnaryResult {
        let Some(mapping) = self.mapping(path, &request, format) else {
            return self.methods.call_client_streaming(path, request, messages, format);
        };
        let messages = mapping.read_all(messages);
        mapping.write(self.methods.call_client_streaming(path, request, messages, BINARY))
    }

    fn call_bidi_streaming(
        &self,
        path: &str,
        request: RequestContext,
        messages: RequestStream,
        format: CodecFormat,
    ) -> StreamingResult {
        let Some(mapping) = self.mapping(path, &request, format) else {
            return self.methods.call_bidi_streaming(path, request, messages, format);
        };
        let messages = mapping.read_all(messages);
        mapping.write_all(self.methods.call_bidi_streaming(path, request, messages, BINARY))
    }
}

/// Names the version in a header where the address does, as it does for `GET`.
pub(crate) fn name_version(request: &mut Request) {
    let mut parameters = request.uri().query().unwrap_or_default().split('&');
    if parameters.any(|parameter| parameter.starts_with("connect=")) {
        request.headers_mut().insert(VERSION, HeaderValue::from_static("1"));
    }
}

impl Mapping {
    /// A message in the binary form.
    fn read(&self, json: &[u8]) -> Result<Bytes, ConnectError> {
        if json.len() > FRAME_BYTES_MAX {
            return Err(failure(&too_large()));
        }
        if parts(json) > PARTS_MAX {
            let detail = format!(
                "a message in JSON has at most {PARTS_MAX} parts; publish fewer events at once, or \
                 send protobuf"
            );
            return Err(failure(&Error::new(ErrorCode::BodyTooLarge, detail)));
        }
        let message = self.deserialize(json).map_err(|error| {
            let detail = format!("the message is not what protobuf has in JSON: {error}");
            failure(&Error::new(ErrorCode::MessageInvalid, detail))
        })?;
        Ok(message.encode_to_vec().into())
    }

    fn deserialize(&self, json: &[u8]) -> serde_json::Result<DynamicMessage> {
        // A newer client may have more to say.
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        let (input, mut json) = (self.input.clone(), serde_json::Deserializer::from_slice(json));
        let message = DynamicMessage::deserialize_with_options(input, &mut json, &options)?;
        json.end()?;
        Ok(message)
    }

    /// The messages of a stream in the binary form.
    fn read_all(&self, messages: RequestStream) -> RequestStream {
        let mapping = self.clone();
        messages.map(move |message| mapping.read(&message?)).boxed()
    }

    /// An answer in JSON.
    fn write(&self, answer: UnaryResult) -> UnaryResult {
        let mapping = self.clone();
        let write = async move {
            let mut answer = answer.await?;
            answer.body = mapping.serialize(answer.body)?;
            Ok(answer)
        };
        write.boxed()
    }

    /// The messages of a stream in JSON.
    fn write_all(&self, answer: StreamingResult) -> StreamingResult {
        let mapping = self.clone();
        let write = async move {
            let write = move |message: Result<_, _>| mapping.serialize(message?);
            let answer = answer.await?;
            Ok(answer.map_body(|messages| Box::pin(messages.map(write)) as EncodedStream))
        };
        write.boxed()
    }

    fn serialize(&self, message: EncodedBody) -> Result<EncodedBody, ConnectError> {
        let message = DynamicMessage::decode(self.output.clone(), message.into_contiguous());
        let json = message.ok().and_then(|message| serde_json::to_vec(&message).ok());
        let json = json.ok_or_else(|| ConnectError::internal("the answer has no form in JSON"))?;
        Ok(Bytes::from(json).into())
    }
}

/// What a message has of members and elements, or somewhat more.
fn parts(json: &[u8]) -> usize {
    let (mut parts, mut is_in_text, mut is_escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_in_text,
            b'"' => is_in_text = !is_in_text,
            b',' | b'{' | b'[' if !is_in_text => parts += 1,
            _ => {}
        }
    }
    parts
}

/// The form in which methods get to see what is called in the mapping.
const BINARY: CodecFormat = CodecFormat::Proto;
/// Those whose messages have events.
const SERVICES: [&str; 2] = ["throughline.v1.EventService", "throughline.v1.StateService"];
const VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
/// Each takes some hundred bytes of memory, however short its text. A thousand events with thirty
/// attributes have as many.
const PARTS_MAX: usize = 64 * 1024;
