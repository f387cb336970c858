//! How long one event takes on an idle server: to its receipt, and to a subscriber.

use std::time::Instant;

use crate::bare::{BareCrowd, BareLog};
use crate::figures::{self, Figures};
use crate::publish::start_server;
use crate::publishers::Publisher;
use crate::readers::Readers;
use crate::tally::{CHANNEL, DATA_BYTES, Tally};
use crate::transport::{Transport, Wish, connect};
use crate::{Runs, machine};

/// One publisher and one subscriber at a time, in turns with the bare disk.
pub(crate) fn run(_: &Runs) -> Figures {
    machine::stay_on(machine::LOAD_CORE);
    let mut figures = Figures::default();
    for transport in [Transport::Sse, Transport::WebSocket] {
        let Latencies { receipts, deliveries, growing, full } = measure(transport);
        let [bare, bare_full] = [&growing, &full].map(|latencies| figures::share(latencies, 0.5));
        let (receipt, delivery) =
            (figures::share(&receipts, 0.5), figures::share(&deliveries, 0.5));
        figures.note_latencies("bare append + fdatasync", growing);
        figures.note_latencies("bare write + fdatasync in a file written full before", full);
        figures.note_latencies("publish to receipt", receipts);
        figures.note_latencies(&format!("publish to {transport:?} subscriber"), deliveries);
        figures.note("p50 to the receipt: times the bare append", receipt / bare);
        let name = format!("p50 to {transport:?} subscriber: times the bare");
        figures.note(format!("{name} append"), delivery / bare);
        figures.note(format!("{name} write in a full file"), delivery / bare_full);
    }
    figures
}

/// In microseconds.
#[derive(Default)]
struct Latencies {
    receipts: Vec<u32>,
    deliveries: Vec<u32>,
    growing: Vec<u32>,
    full: Vec<u32>,
}

fn measure(transport: Transport) -> Latencies {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut growing = BareLog::new(home.path(), DATA_BYTES);
    // The journal's files are like this one: a sync changes nothing but data.
    let full = BareCrowd::in_a_full_file(home.path(), 1, DATA_BYTES);
    let (server, epoch) = (start_server(), Instant::now());
    let mut publisher = Publisher::connect(server.port(), epoch);
    let mut published = publisher.publish();
    let mut readers = Readers::start(epoch);
    let mut stream = connect(server.port());
    let wish = Wish { channels: &[CHANNEL], after: "earliest" };
    transport.ask(wish, &mut stream).expect("the server takes it");
    let who = readers.add(vec![stream], 1);
    readers.receive(who.clone(), published);
    let mut latencies = Latencies::default();
    for _ in 0..TURNS {
        latencies.receipts.extend((0..TURN).map(|_| timed_publish(&mut publisher, &mut published)));
        latencies.deliveries.extend(readers.receive(who.clone(), published).latencies);
        latencies.growing.extend(growing.latencies(TURN));
        latencies.full.extend(full.latencies(TURN));
    }
    latencies
}

fn timed_publish(publisher: &mut Publisher, published: &mut Tally) -> u32 {
    let begun = Instant::now();
    *published += publisher.publish();
    begun.elapsed().as_micros() as u32
}

const TURNS: usize = 10;
/// Events of a turn.
const TURN: usize = 200;
