//! Reading what the index has found, checking every byte.

use bytes::Bytes;

use tl_model::{LoggedEvent, Offset};
use tl_store::{Page, ReadError};

use crate::format::read_record;
use crate::index::{Piece, Plan};

/// Reads the pieces of a plan. Files are read on a thread where blocking is allowed.
pub(crate) async fn read(plan: Plan) -> Result<Page, ReadError> {
    let Plan { gap, read_to, reached_end, pieces } = plan;
    if pieces.is_empty() {
        return Ok(Page { gap, events: Vec::new(), read_to, reached_end });
    }
    let load = tokio::task::spawn_blocking(move || load(&pieces));
    let events = load.await.map_err(|error| ReadError::Io(error.to_string()))??;
    Ok(Page { gap, events, read_to, reached_end })
}

fn load(pieces: &[Piece]) -> Result<Vec<LoggedEvent>, ReadError> {
    let mut events = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Memory(record) => parse(record.clone(), Offset::START, &mut events)?,
            Piece::Disk { file, position, length, first } => {
                let mut buffer = vec![0; *length as usize];
                file.read_at(&mut buffer, u64::from(*position))
                    .map_err(|error| ReadError::Io(error.to_string()))?;
                parse(Bytes::from(buffer), *first, &mut events)?;
            }
        }
    }
    Ok(events)
}

/// The events of neighbouring records; they share the buffer.
fn parse(
    mut records: Bytes,
    mut expected: Offset,
    events: &mut Vec<LoggedEvent>,
) -> Result<(), ReadError> {
    while !records.is_empty() {
        let (event, length) = read_record(&records).ok_or_else(|| damaged(expected))?;
        if event.offset < expected {
            return Err(damaged(expected));
        }
        expected = event.offset.next();
        events.push(event);
        records = records.slice(length..);
    }
    Ok(())
}

fn damaged(offset: Offset) -> ReadError {
    let reason = "its checksum does not match what is stored".to_owned();
    ReadError::Damaged { offset, reason }
}
