//! How long one event takes on an idle server: to its receipt, and to a subscriber.

use std::time::Instant;

use tokio::task::LocalSet;

use crate::bare::BareLog;
use crate::figures::Figures;
use crate::http::{DATA_BYTES, Publisher};
use crate::publish::start_server;
use crate::subscriber::{Deliveries, Transport};
use crate::{Runs, machine};

/// One publisher and one subscriber at a time.
pub(crate) fn run(_: &Runs) -> Figures {
    let home = tempfile::tempdir().expect("a temporary directory");
    machine::stay_on(machine::LOAD_CORE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut figures = Figures::default();
    let bare = BareLog::new(home.path(), DATA_BYTES).latencies(EVENTS);
    figures.note_latencies("bare append + fdatasync", bare);
    LocalSet::new().block_on(&runtime, measure(&mut figures));
    figures
}

async fn measure(figures: &mut Figures) {
    for transport in [Transport::Sse, Transport::WebSocket] {
        let server = start_server();
        let epoch = Instant::now();
        let mut publisher = Publisher::connect(server.port(), epoch).await;
        publisher.publish().await;
        let deliveries = Deliveries::new(epoch);
        deliveries.subscribe(server.port(), transport).await;
        deliveries.take(1).await;
        let mut receipts = Vec::new();
        for _ in 0..EVENTS {
            let begun = Instant::now();
            publisher.publish().await;
            receipts.push(begun.elapsed().as_micros() as u32);
        }
        let received = deliveries.take(EVENTS).await;
        figures.note_latencies("publish to receipt", receipts);
        figures.note_latencies(&format!("publish to {transport:?} subscriber"), received.latencies);
    }
}

const EVENTS: usize = 2_000;
