//! The same contract, engine and store under tonic and prost, with nothing else around them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt, TryFutureExt, stream};
use prost::Message;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

use tl_engine::{Engine, Options, Publish, Subscription, SystemEnvironment};
use tl_model::limits::HEARTBEAT;
use tl_model::{After, Call, Channel, LoggedEvent, NewEvent, Position, Selection};
use tl_protocol::subscription::{Credit, Delivery};
use tl_store_disk::{DiskStore, Options as StoreOptions};

pub(crate) async fn serve(listener: TcpListener, directory: PathBuf) {
    let store = DiskStore::open(&StoreOptions::new(directory)).expect("it opens");
    let engine = Engine::start(Arc::new(store), Arc::new(SystemEnvironment), Options::default());
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut server = Server::builder().http2_keepalive_interval(Some(HEARTBEAT));
    let server = server.add_service(Events(engine));
    server.serve_with_incoming(incoming).await.expect("it serves");
}

#[derive(Clone)]
struct Events(Engine);

impl NamedService for Events {
    const NAME: &'static str = "throughline.v1.EventService";
}

impl Service<http::Request<Body>> for Events {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let events = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/throughline.v1.EventService/Publish" => {
                    Grpc::new(ProstCodec::default()).unary(events, request).await
                }
                _ => Grpc::new(ProstCodec::default()).server_streaming(events, request).await,
            })
        })
    }
}

impl UnaryService<PublishRequest> for Events {
    type Response = PublishResponse;
    type Future = BoxFuture<'static, Result<Response<PublishResponse>, Status>>;

    fn call(&mut self, request: Request<PublishRequest>) -> Self::Future {
        let request = request.into_inner();
        let events = request.events.iter().map(|event| Ok(new_event(&request.channel, event)));
        let publish = Publish { events: events.collect(), ..Publish::default() };
        let receipts = self.0.publish(&Call::default(), publish);
        let failed = |error: tl_model::Error| Status::internal(error.to_string());
        Box::pin(receipts.map_err(failed).and_then(async move |receipts| {
            let receipts = receipts.into_iter().map(|receipt| {
                let receipt = receipt.expect("it is legal");
                let cursor = receipt.at.map(text).unwrap_or_default();
                Receipt { id: receipt.id, cursor }
            });
            Ok(Response::new(PublishResponse { receipts: receipts.collect() }))
        }))
    }
}

impl ServerStreamingService<SubscribeRequest> for Events {
    type Response = SubscribeResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<SubscribeRequest>) -> Self::Future {
        let channels = request.into_inner().channels;
        let selection = Selection::parse(channels.iter().map(String::as_str)).expect("legal");
        let call = Call::default();
        let subscription = self.0.subscribe(&call, selection, After::Earliest, Credit::Unlimited);
        let subscription = subscription.expect("it may subscribe");
        Box::pin(async move { Ok(Response::new(deliveries(subscription).boxed())) })
    }
}

fn deliveries(
    subscription: Subscription,
) -> impl Stream<Item = Result<SubscribeResponse, Status>> + Send {
    stream::unfold(subscription, |mut subscription| async move {
        loop {
            let delivery = subscription.next().await;
            if let Ok(Delivery::Events(events)) = delivery {
                let log = subscription.position();
                let event = |offset, previous, event| {
                    delivered(
                        event,
                        Position { offset, ..log },
                        Position { offset: previous, ..log },
                    )
                };
                let events = events.iter();
                let events =
                    events.map(|it| event(it.offset, it.previous, it.event.logged())).collect();
                let response = SubscribeResponse { events: Some(EventsFrame { events }) };
                return Some((Ok(response), subscription));
            }
        }
    })
}

fn new_event(channel: &str, event: &Event) -> NewEvent {
    let channel = Channel::parse(channel).expect("legal");
    let id = match event.id.is_empty() {
        true => tl_engine::Environment::new_id(&SystemEnvironment),
        false => event.id.clone(),
    };
    let source = format!("/v1/channels/{channel}");
    let time = match event.time.is_empty() {
        true => tl_engine::Environment::now_text(&SystemEnvironment),
        false => event.time.clone(),
    };
    let mut built = tl_model::Event::builder(&id, &source, "throughline.event").time(&time);
    if !event.data_content_type.is_empty() {
        built = built.data_content_type(&event.data_content_type);
    }
    if let Some(data) = &event.data {
        built = built.data(data);
    }
    NewEvent { channel, event: built.build().expect("legal") }
}

fn delivered(logged: &LoggedEvent, at: Position, previous: Position) -> Event {
    let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Event {
        id: logged.event.id().to_owned(),
        source: logged.event.source().to_owned(),
        event_type: logged.event.event_type().to_owned(),
        time: owned(logged.event.time()),
        data_content_type: owned(logged.event.data_content_type()),
        data: logged.event.data(),
        channel: logged.channel.as_str().to_owned(),
        cursor: text(at),
        previous: text(previous),
        ..Event::default()
    }
}

fn text(position: Position) -> String {
    position.cursor().as_str().to_owned()
}

#[derive(Clone, PartialEq, Message)]
struct PublishRequest {
    #[prost(string, tag = "1")]
    channel: String,
    #[prost(message, repeated, tag = "2")]
    events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
struct PublishResponse {
    #[prost(message, repeated, tag = "1")]
    receipts: Vec<Receipt>,
}

#[derive(Clone, PartialEq, Message)]
struct Receipt {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    cursor: String,
}

#[derive(Clone, PartialEq, Message)]
struct SubscribeRequest {
    #[prost(string, repeated, tag = "1")]
    channels: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct SubscribeResponse {
    #[prost(message, optional, tag = "4")]
    events: Option<EventsFrame>,
}

#[derive(Clone, PartialEq, Message)]
struct EventsFrame {
    #[prost(message, repeated, tag = "2")]
    events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    source: String,
    #[prost(string, tag = "3")]
    event_type: String,
    #[prost(string, tag = "4")]
    subject: String,
    #[prost(string, tag = "5")]
    time: String,
    #[prost(string, tag = "6")]
    data_content_type: String,
    #[prost(string, tag = "7")]
    data_schema: String,
    #[prost(map = "string, message", tag = "8")]
    extensions: HashMap<String, AttributeValue>,
    #[prost(bytes = "bytes", optional, tag = "9")]
    data: Option<Bytes>,
    #[prost(string, tag = "10")]
    channel: String,
    #[prost(string, tag = "11")]
    cursor: String,
    #[prost(string, tag = "12")]
    previous: String,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeValue {
    #[prost(string, tag = "3")]
    string: String,
}
