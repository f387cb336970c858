use bytes::Bytes;

use tl_model::limits::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use tl_model::{Error, ErrorCode, Offset, Selection};
use tl_store::Read;

use crate::Engine;
use crate::read::read_error;

impl Engine {
    /// Reads the schemas that the log holds. Until then nothing is checked, so it comes before the
    /// first publish.
    ///
    /// # Errors
    ///
    /// `store_failed`.
    pub async fn load_schemas(&self) -> Result<(), Error> {
        let _turn = self.shared.schemas.turn.lock().await;
        self.read_schemas().await
    }

    /// The text of the version at a place.
    pub(super) async fn read_source(&self, offset: Offset) -> Result<Option<Bytes>, Error> {
        let selection = Selection::from(super::channel());
        let read = Read { selection, after: offset.previous(), events_max: 1, bytes_max: 1 };
        let page = self.read_store(read).await.map_err(read_error)?;
        let version = page.events.into_iter().find(|event| event.offset == offset);
        Ok(version.and_then(|version| version.event.data()))
    }

    /// Reads on behind what has been read. Only for whoever has the turn.
    pub(super) async fn read_schemas(&self) -> Result<(), Error> {
        loop {
            let before = self.shared.schemas.table();
            let read = Read {
                selection: Selection::from(super::channel()),
                after: before.read_to,
                events_max: PAGE_EVENTS_MAX,
                bytes_max: PAGE_BYTES_MAX,
            };
            let page = self.shared.store.read(read).await.map_err(read_error)?;
            let events = page.events.into_iter();
            let events: Vec<_> = events.map(|it| (it.clone(), self.position(it.offset))).collect();
            let mut table = before.as_ref().clone();
            table.read_to = page.read_to;
            let add = move || {
                table.add(&events);
                table
            };
            // Getting many schemas ready takes longer than a task may.
            let table = tokio::task::spawn_blocking(add).await.map_err(stopped)?;
            self.shared.schemas.replace(table);
            if page.reached_end {
                return Ok(());
            }
        }
    }
}

/// The runtime is being shut down.
pub(super) fn stopped(_: tokio::task::JoinError) -> Error {
    Error::new(ErrorCode::Internal, "the server has stopped working on this schema")
}
