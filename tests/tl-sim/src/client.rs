use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use tokio::time::{Instant, timeout_at};

use tl_model::{Form, Offset, Position};
use tl_wire::frame::{read_server, write_client};
use tl_wire::generated::throughline::v1 as contract;
use tl_wire::generated::throughline::v1::{client_frame, server_frame};

use crate::network::{End, Item};
use crate::world::{World, lock};

/// A client's side of a session, over a link that breaks when its time has come.
pub(crate) struct Client {
    world: Arc<World>,
    end: Option<End>,
    form: Form,
    breaks_at: Instant,
    /// Whether the server will not notice.
    vanishes: bool,
}

impl Client {
    pub(crate) fn new(world: Arc<World>, (end, form): (End, Form), mut random: Rng) -> Self {
        let breaks_at = Instant::now() + Duration::from_millis(random.u64(1..LINK_MS_MAX));
        Self { world, end: Some(end), form, breaks_at, vanishes: random.u8(..4) == 0 }
    }

    pub(crate) fn say(&mut self, frame: impl Into<client_frame::Frame>) {
        let frame = contract::ClientFrame { frame: Some(frame.into()) };
        let message = Bytes::from(write_client(self.form, &frame));
        if let Some(end) = &mut self.end {
            end.send(Item::Message(message));
        }
    }

    /// What the server says next; `None` once the session is over.
    pub(crate) async fn next(&mut self) -> Option<server_frame::Frame> {
        loop {
            let is_calm = self.world.is_calm();
            let end = self.end.as_mut()?;
            let item = match timeout_at(self.breaks_at, end.next()).await {
                Ok(item) => item,
                Err(_) if is_calm => {
                    self.breaks_at += Duration::from_secs(3_600);
                    continue;
                }
                Err(_) => return self.break_off(),
            };
            match item? {
                Item::Message(message) => return self.read(&message),
                Item::Ping => end.send(Item::Pong),
                Item::Pong => {}
                Item::Close => return None,
            }
        }
    }

    fn read(&self, message: &[u8]) -> Option<server_frame::Frame> {
        let frame = read_server(self.form, message).map_err(|error| error.to_string());
        let frame = frame.and_then(|it| it.frame.ok_or_else(|| "an empty frame".to_owned()));
        frame.map_err(|error| self.world.check("client", Err(error))).ok()
    }

    fn break_off(&mut self) -> Option<server_frame::Frame> {
        let mut end = self.end.take()?;
        self.world.count(|it| it.cuts += 1);
        match self.vanishes {
            true => lock(&self.world.vanished).push(end),
            false => end.cut(),
        }
        None
    }
}

/// The offset in a cursor that the server gave.
pub(crate) fn offset(cursor: &str) -> Result<Offset, String> {
    let position = cursor.parse::<Position>();
    position.map(|it| it.offset).map_err(|error| format!("{cursor}: {error}"))
}

/// Some links break before anything was said over them, some live as long as the run.
const LINK_MS_MAX: u64 = 12_000;
