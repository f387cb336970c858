//! The methods, and how a call finds its own.

use std::collections::HashMap;
use std::sync::Arc;

use connectrpc::dispatcher::{RequestStream, StreamingResult, UnaryResult};
use connectrpc::{
    CodecFormat, ConnectError, Dispatcher, EncodedStream, MethodDescriptor, Payload,
    RequestContext, Response,
};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use tl_transport::engine::Engine;
use tl_transport::http::Room;
use tl_transport::model::limits::QUERY_BYTES_MAX;
use tl_transport::model::{Call, Form};
use tl_transport::{Bytes, EngineStamp, Leaving};

use crate::bounds::counted;
use crate::error::{Refusal, failure};
use crate::{Rpc, admin, events, health, mount, schemas, state};

/// All methods, by service.
pub(crate) const METHODS: &[&[Method]] =
    &[admin::METHODS, events::METHODS, health::METHODS, schemas::METHODS, state::METHODS];

/// The names of all services, each once.
pub(crate) fn services() -> impl Iterator<Item = &'static str> {
    let of = |methods: &&'static [Method]| Some(methods.first()?.path.split_once('/')?.0);
    METHODS.iter().filter_map(of)
}

/// A method of a service.
pub(crate) struct Method {
    /// `package.Service/Method`.
    pub(crate) path: &'static str,
    pub(crate) handler: Handler,
}

/// How a method answers.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// One message for one, and nothing is changed by it.
    Query(fn(Asked) -> UnaryResult),
    /// One message for one.
    Unary(fn(Asked) -> UnaryResult),
    /// One message for many.
    ClientStream(fn(Context, RequestStream) -> UnaryResult),
    /// Many messages for one.
    ServerStream(fn(Asked) -> Result<EncodedStream, Refusal>),
    /// Many messages for many.
    Bidi(fn(Context, RequestStream) -> EncodedStream),
}

/// Answers a call with a message.
pub(crate) fn answer(
    message: impl Future<Output = Result<Vec<u8>, Refusal>> + Send + 'static,
) -> UnaryResult {
    Box::pin(async move { Ok(Response::new(Bytes::from(message.await?).into())) })
}

/// What a call is done with.
pub(crate) struct Context {
    pub(crate) engine: Engine,
    /// On whose behalf, and until when.
    pub(crate) call: Call,
    /// Of all its messages.
    pub(crate) form: Form,
    pub(crate) rpc: Rpc,
    /// Is cancelled once the client is to go on elsewhere.
    pub(crate) leaving: Leaving,
}

/// A call with the one message it has.
pub(crate) struct Asked {
    pub(crate) context: Context,
    /// Counts as a body in memory until it is dropped.
    pub(crate) message: Bytes,
}

impl Context {
    /// What fills in events whose publisher has left something out.
    pub(crate) fn stamp(&self) -> EngineStamp<'_> {
        EngineStamp(&self.engine)
    }
}

/// All methods on an engine.
pub(crate) struct Calls {
    engine: Engine,
    /// For connections that do not end before the server does.
    draining: Leaving,
    rpc: Rpc,
    room: Room,
    methods: HashMap<&'static str, Handler>,
}

impl Calls {
    pub(crate) fn new(engine: Engine, rpc: Rpc, room: Room) -> Self {
        let methods = METHODS.iter().copied().flatten();
        let methods = methods.map(|method| (method.path, method.handler)).collect();
        let draining = Leaving(Arc::new(engine.draining()));
        Self { engine, draining, rpc, room, methods }
    }

    fn context(&self, request: &RequestContext, format: CodecFormat) -> Context {
        let call = Call { deadline: request.deadline(), ..Call::default() };
        let form = match format {
            CodecFormat::Json => Form::Json,
            _ => Form::Protobuf,
        };
        let leaving = request.extensions().get::<Leaving>().unwrap_or(&self.draining).clone();
        Context { engine: self.engine.clone(), call, form, rpc: self.rpc, leaving }
    }

    fn handler(&self, path: &str) -> Option<Handler> {
        self.methods.get(path).copied()
    }
}

impl Dispatcher for Calls {
    fn lookup(&self, path: &str) -> Option<MethodDescriptor> {
        Some(match self.handler(path)? {
            Handler::Query(_) => {
                MethodDescriptor::unary(true).with_limits(mount::limits(QUERY_BYTES_MAX))
            }
            Handler::Unary(_) => MethodDescriptor::unary(false),
            Handler::ClientStream(_) => MethodDescriptor::client_streaming(),
            Handler::ServerStream(_) => MethodDescriptor::server_streaming(),
            Handler::Bidi(_) => MethodDescriptor::bidi_streaming(),
        })
    }

    fn call_unary(
        &self,
        path: &str,
        request: RequestContext,
        message: Payload,
        format: CodecFormat,
    ) -> UnaryResult {
        let (Some(Handler::Query(handler) | Handler::Unary(handler)), Ok(message)) =
            (self.handler(path), message.encoded())
        else {
            return unknown(path);
        };
        let context = self.context(&request, format);
        match self.room.keep(message) {
            Ok(message) => handler(Asked { context, message }),
            Err(error) => ready(Err(failure(&error))).boxed(),
        }
    }

    fn call_server_streaming(
        &self,
        path: &str,
        request: RequestContext,
        message: Bytes,
        format: CodecFormat,
    ) -> StreamingResult {
        let Some(Handler::ServerStream(handler)) = self.handler(path) else {
            return unknown(path);
        };
        let context = self.context(&request, format);
        stream(handler(Asked { context, message }), &request)
    }

    fn call_client_streaming(
        &self,
        path: &str,
        request: RequestContext,
        messages: RequestStream,
        format: CodecFormat,
    ) -> UnaryResult {
        let Some(Handler::ClientStream(handler)) = self.handler(path) else {
            return unknown(path);
        };
        let context = self.context(&request, format);
        handler(context, counted(messages, self.room.clone()))
    }

    fn call_bidi_streaming(
        &self,
        path: &str,
        request: RequestContext,
        messages: RequestStream,
        format: CodecFormat,
    ) -> StreamingResult {
        let Some(Handler::Bidi(handler)) = self.handler(path) else {
            return unknown(path);
        };
        let context = self.context(&request, format);
        stream(Ok(handler(context, counted(messages, self.room.clone()))), &request)
    }
}

/// Every subscriber of an event would have it packed anew, so streams are packed only for those who pack
/// what they send.
fn stream(stream: Result<EncodedStream, Refusal>, request: &RequestContext) -> StreamingResult {
    let packs = if is_packed(request) { None } else { Some(false) };
    let response = stream.map(|stream| Response::new(stream).compress(packs));
    ready(response.map_err(ConnectError::from)).boxed()
}

fn is_packed(request: &RequestContext) -> bool {
    let mut codings = ENCODING_HEADERS.iter().filter_map(|name| request.header(*name));
    codings.any(|coding| coding != "identity")
}

fn unknown<T: Send + 'static>(path: &str) -> BoxFuture<'static, Result<T, ConnectError>> {
    ready(Err(ConnectError::unimplemented(format!("there is no method {path}")))).boxed()
}

/// In which clients say how they pack the messages of a stream.
const ENCODING_HEADERS: [&str; 2] = ["grpc-encoding", "connect-content-encoding"];
