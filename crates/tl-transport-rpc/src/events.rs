//! Publishing and reading.

use std::task::Poll;
use std::time::Duration;

use connectrpc::EncodedStream;
use connectrpc::dispatcher::RequestStream;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};

use tl_transport::engine::{self, Receipt};
use tl_transport::model::limits::{FRAME_BYTES_MAX, SESSION_PUBLISHES_MAX};
use tl_transport::model::{Error, ErrorCode, Form};
use tl_transport::protocol::frame;
use tl_transport::protocol::subscription::Credit;
use tl_transport::reading::{Found, Wanted};
use tl_transport::session::queue;
use tl_transport::wire::call::{self, Detail, Published};

use crate::calls::{Asked, Context, Handler, Method, answer};
use crate::error::Refusal;
use crate::{session, subscribe};

pub(crate) const METHODS: &[Method] = &[
    Method {
        path: "throughline.v1.EventService/Publish",
        handler: Handler::Unary(|asked| answer(publish(asked))),
    },
    Method {
        path: "throughline.v1.EventService/PublishMany",
        handler: Handler::ClientStream(|context, messages| answer(publish_many(context, messages))),
    },
    Method {
        path: "throughline.v1.EventService/Read",
        handler: Handler::Query(|asked| answer(read(asked))),
    },
    Method { path: "throughline.v1.EventService/Session", handler: Handler::Bidi(session::open) },
    Method {
        path: "throughline.v1.EventService/Subscribe",
        handler: Handler::ServerStream(subscribe),
    },
];

async fn publish(Asked { context, message }: Asked) -> Result<Vec<u8>, Refusal> {
    let publish = call::read_publish(context.form, &message, &context.stamp())?;
    drop(message);
    let answer = queue(&context.engine, &context.call, publish).await?;
    let (receipts, is_replayed) = (answer.receipts, answer.is_replayed);
    match nothing_published(&receipts) {
        Some(error) => Err(refused(error, &receipts)),
        None => Ok(call::write_published(context.form, &receipts, is_replayed)),
    }
}

/// Why the first event was refused, if all were.
fn nothing_published(receipts: &[Result<Receipt, Error>]) -> Option<&Error> {
    let all_refused = receipts.iter().all(Result::is_err);
    receipts.first().filter(|_| all_refused)?.as_ref().err()
}

/// The failure of a call that has published nothing. What is wrong with each of several events goes with
/// it.
fn refused(error: &Error, receipts: &[Result<Receipt, Error>]) -> Refusal {
    let refusal = Refusal::from(error.clone());
    if receipts.len() == 1 {
        return refusal;
    }
    let value = call::write_published(Form::Protobuf, receipts, false);
    refusal.with(Detail { name: "throughline.v1.PublishResponse", value })
}

/// Publishes message by message. Receipts are waited for while the next messages come, in the order in
/// which they were queued.
async fn publish_many(context: Context, mut messages: RequestStream) -> Result<Vec<u8>, Refusal> {
    let (mut under_way, mut bytes) = (UnderWay::new(), 0);
    let (mut published, mut is_ended) = (Published::default(), false);
    loop {
        let has_room = under_way.len() < SESSION_PUBLISHES_MAX && bytes < UNDER_WAY_BYTES_MAX;
        tokio::select! {
            biased;
            Some((len, answer)) = under_way.next() => {
                bytes -= len;
                count(&mut published, &answer?.receipts);
            }
            () = context.leaving.0.cancelled(), if !is_ended => {
                return leave(under_way, published).await;
            }
            message = messages.next(), if !is_ended && has_room => match message {
                Some(message) => {
                    let message = message?;
                    let publish = call::read_publish(context.form, &message, &context.stamp())?;
                    let answering = queue_in_time(&context, publish).await;
                    let len = message.len();
                    bytes += len;
                    under_way.push_back(answering.map(move |answer| (len, answer)).boxed());
                }
                None => is_ended = true,
            },
            else => break,
        }
    }
    Ok(call::write_published_many(context.form, &published))
}

/// Queues a publish. While the server takes nothing more, whoever sends is held back.
async fn queue_in_time(context: &Context, publish: frame::Publish) -> Answering {
    loop {
        let mut answer = queue(&context.engine, &context.call, publish.clone()).boxed();
        match futures_util::poll!(&mut answer) {
            Poll::Ready(Err(error)) if error.code == ErrorCode::Overloaded => {
                tokio::time::sleep(error.retry_after.unwrap_or(PAUSE)).await;
            }
            Poll::Ready(answered) => return std::future::ready(answered).boxed(),
            Poll::Pending => return answer,
        }
    }
}

/// What is under way is waited for; the client is told what came of it, and to send the rest elsewhere.
async fn leave(mut under_way: UnderWay, mut published: Published) -> Result<Vec<u8>, Refusal> {
    while let Some((_, answer)) = under_way.next().await {
        count(&mut published, &answer?.receipts);
    }
    let detail = "this connection is about to end; the details say what was published, send the rest \
                  over another one";
    let value = call::write_published_many(Form::Protobuf, &published);
    let refusal = Refusal::from(Error::new(ErrorCode::Draining, detail));
    Err(refusal.with(Detail { name: "throughline.v1.PublishManyResponse", value }))
}

fn count(published: &mut Published, receipts: &[Result<Receipt, Error>]) {
    for receipt in receipts {
        match receipt {
            Ok(receipt) => {
                published.published += 1;
                published.last = receipt.at.or(published.last);
            }
            Err(error) => {
                if published.refusals.len() < REFUSALS_MAX {
                    let index = published.published + published.refused;
                    published.refusals.push((index, error.clone()));
                }
                published.refused += 1;
            }
        }
    }
}

async fn read(Asked { context, message }: Asked) -> Result<Vec<u8>, Refusal> {
    let call::Read { selection, after, events_max, wait } =
        call::read_read(context.form, &message)?;
    drop(message);
    let Context { engine, call, form, rpc, leaving } = context;
    let leaving = leaving.token();
    let wanted = Wanted { engine, call, selection, after, events_max, leaving };
    let found = wanted.events().await?;
    let found = match found.is_empty() && !wait.is_zero() {
        true => wanted.wait_behind(found.next, wait.min(rpc.wait_max)).await?,
        false => found,
    };
    Ok(page(form, &found))
}

/// A page in the form of a call's answer.
pub(crate) fn page(form: Form, found: &Found) -> Vec<u8> {
    found.write(|page| match form {
        Form::Json => page.write(),
        Form::Protobuf => page.write_protobuf(),
    })
}

fn subscribe(Asked { context, message }: Asked) -> Result<EncodedStream, Refusal> {
    let (selection, after) = call::read_subscribe(context.form, &message)?;
    let engine = &context.engine;
    let subscription = engine.subscribe(&context.call, selection, after, Credit::Unlimited)?;
    Ok(subscribe::stream(&context, subscription))
}

/// Publishes whose receipts are waited for, each with the bytes of its message.
type UnderWay = FuturesOrdered<BoxFuture<'static, (usize, Answered)>>;
type Answering = BoxFuture<'static, Answered>;
type Answered = Result<engine::Answer, Error>;

/// Bytes of messages whose receipts are waited for: a little of what may wait for the log.
const UNDER_WAY_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// Before what was not taken is queued again.
const PAUSE: Duration = Duration::from_millis(100);

/// Enough to see what is wrong with the others.
const REFUSALS_MAX: usize = 100;
