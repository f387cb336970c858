//! A link between a client and the server: messages take their time, and it can break at any moment.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use fastrand::Rng;
use tokio::time::{Instant, Sleep, sleep_until};

use tl_engine::{Script, Sent, Sink};
use tl_model::{Epoch, Form, SharedEvent};
use tl_transport::protocol::frame::SubscriptionId;
use tl_transport::protocol::session::CloseReason;
use tl_transport::protocol::subscription::Delivered;
use tl_transport::session::{Carrier, CarrierError, Incoming};
use tl_wire::frame::write_events;
use tl_wire::outbox::Outbox;

use crate::world::lock;

/// What travels over a link.
pub(crate) enum Item {
    Message(Bytes),
    Ping,
    Pong,
    Close,
}

/// One end of a link. Dropping it ends the link once the other end has got what is under way.
pub(crate) struct End {
    reader: Reader,
    writer: Writer,
}

/// The two ends of a new link. Each message takes up to so long.
pub(crate) fn link(random: &mut Rng, delay_ms_max: u64) -> (End, End) {
    let (one, other) = (Pipe::shared(), Pipe::shared());
    let mut end = |reads: &Arc<Mutex<Pipe>>, writes: &Arc<Mutex<Pipe>>| End {
        reader: Reader { pipe: reads.clone(), timer: Box::pin(sleep_until(Instant::now())) },
        writer: Writer { pipe: writes.clone(), random: random.fork(), delay_ms_max },
    };
    (end(&one, &other), end(&other, &one))
}

impl End {
    /// Sends at once; whoever calls sees to it that this is not too much.
    pub(crate) fn send(&mut self, item: Item) {
        self.writer.push(item);
    }

    /// The next item; `None` once the link has ended.
    pub(crate) async fn next(&mut self) -> Option<Item> {
        std::future::poll_fn(|cx| self.reader.poll_next(cx)).await.ok()
    }

    /// Breaks the link. What is under way is lost, both ways.
    pub(crate) fn cut(&mut self) {
        lock(&self.reader.pipe).cut();
        lock(&self.writer.pipe).cut();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        lock(&self.reader.pipe).cut();
        lock(&self.writer.pipe).close();
    }
}

/// One direction of a link.
struct Pipe {
    items: VecDeque<(Instant, Item)>,
    bytes: usize,
    state: State,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Open,
    Closed,
    Cut,
}

impl Pipe {
    fn shared() -> Arc<Mutex<Self>> {
        let (items, state) = (VecDeque::new(), State::Open);
        Arc::new(Mutex::new(Self { items, bytes: 0, state, reader: None, writer: None }))
    }

    fn close(&mut self) {
        if self.state == State::Open {
            self.state = State::Closed;
        }
        self.wake();
    }

    fn cut(&mut self) {
        self.state = State::Cut;
        self.items.clear();
        self.wake();
    }

    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

struct Reader {
    pipe: Arc<Mutex<Pipe>>,
    timer: Pin<Box<Sleep>>,
}

impl Reader {
    /// The next item once it has arrived; an error once there will be none.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Item>> {
        loop {
            let mut pipe = lock(&self.pipe);
            pipe.reader = Some(cx.waker().clone());
            let arrives_at = match pipe.items.front() {
                Some((at, _)) => *at,
                None if pipe.state == State::Open => return Poll::Pending,
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
            if arrives_at > Instant::now() {
                drop(pipe);
                self.timer.as_mut().reset(arrives_at);
                ready!(self.timer.as_mut().poll(cx));
                continue;
            }
            let (_, item) = pipe.items.pop_front().expect("it has just been looked at");
            pipe.bytes -= item.len();
            if let Some(writer) = pipe.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Ok(item));
        }
    }
}

#[derive(Clone)]
struct Writer {
    pipe: Arc<Mutex<Pipe>>,
    random: Rng,
    delay_ms_max: u64,
}

impl Writer {
    fn push(&mut self, item: Item) {
        let delay = Duration::from_millis(self.random.u64(0..=self.delay_ms_max));
        let mut pipe = lock(&self.pipe);
        if pipe.state != State::Open {
            return;
        }
        // Nothing overtakes what was sent before it.
        let earliest = pipe.items.back().map_or_else(Instant::now, |(at, _)| *at);
        pipe.bytes += item.len();
        pipe.items.push_back((earliest.max(Instant::now() + delay), item));
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
    }

    /// Ready once the link takes more.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.pipe);
        if pipe.state == State::Cut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if pipe.bytes < LINK_BYTES_MAX {
            return Poll::Ready(Ok(()));
        }
        pipe.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Ping | Self::Pong | Self::Close => 1,
        }
    }
}

/// The server's end, as its sessions see it.
pub(crate) struct SimulatedCarrier {
    end: End,
    form: Form,
    out: Arc<Mutex<Out>>,
}

/// What waits for the link: queued by the session, and by lanes that serve it.
struct Out {
    writer: Writer,
    queued: VecDeque<Item>,
    unsent: usize,
    served_at: Option<Instant>,
}

impl SimulatedCarrier {
    pub(crate) fn new(end: End, form: Form) -> Self {
        let writer = end.writer.clone();
        let out = Out { writer, queued: VecDeque::new(), unsent: 0, served_at: None };
        Self { end, form, out: Arc::new(Mutex::new(out)) }
    }
}

impl Out {
    fn queue(&mut self, item: Item) {
        self.unsent += item.len();
        self.queued.push_back(item);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.queued.is_empty() {
            ready!(self.writer.poll_room(cx))?;
            if let Some(item) = self.queued.pop_front() {
                self.unsent -= item.len();
                self.writer.push(item);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Carrier for SimulatedCarrier {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Result<Poll<Incoming>, CarrierError> {
        let Poll::Ready(item) = self.end.reader.poll_next(cx)? else { return Ok(Poll::Pending) };
        Ok(Poll::Ready(match item {
            Item::Message(message) => Incoming::Message(message),
            Item::Ping | Item::Pong => Incoming::Alive,
            Item::Close => Incoming::Ended,
        }))
    }

    fn queue_message(&mut self, message: &mut Outbox) {
        let bytes = message.copy_to_bytes(message.remaining());
        lock(&self.out).queue(Item::Message(bytes));
    }

    fn queue_probe(&mut self) {
        lock(&self.out).queue(Item::Ping);
    }

    fn queue_close(&mut self, _: CloseReason) {
        lock(&self.out).queue(Item::Close);
    }

    fn unsent(&self) -> usize {
        lock(&self.out).unsent
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, CarrierError> {
        Ok(match lock(&self.out).poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed?),
            Poll::Pending => Poll::Pending,
        })
    }

    fn lane(&self, subscription: SubscriptionId) -> Option<(Arc<dyn Sink>, Script)> {
        let variant = u64::from(subscription.0) << 1 | self.form as u64;
        let script = Script { name: "simulated", variant, write: write_run };
        Some((Arc::new(SimulatedSink(self.out.clone())), script))
    }

    fn served_at(&self) -> Option<std::time::Instant> {
        lock(&self.out).served_at.map(Into::into)
    }
}

fn write_run(events: &[Delivered<Arc<SharedEvent>>], epoch: Epoch, variant: u64) -> Bytes {
    let form = if variant & 1 == 0 { Form::Json } else { Form::Protobuf };
    let mut frame = Outbox::new();
    write_events(form, SubscriptionId((variant >> 1) as u32), events, epoch, &mut frame);
    frame.take_all()
}

/// Where a lane writes for a session.
struct SimulatedSink(Arc<Mutex<Out>>);

impl Sink for SimulatedSink {
    fn send(&self, bytes: &Bytes, now: Instant) -> Sent {
        let mut out = lock(&self.0);
        if out.unsent > 0 {
            return Sent::Refused;
        }
        out.queue(Item::Message(bytes.clone()));
        out.served_at = Some(now);
        match out.poll_flush(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Sent::All,
            Poll::Ready(Err(_)) | Poll::Pending => Sent::Waits,
        }
    }
}

/// What a link holds before its writer has to wait, as the buffers of two sockets would.
const LINK_BYTES_MAX: usize = 8 * 1024;
