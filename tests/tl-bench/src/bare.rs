//! What the bare machine does, with nothing of ours in between: the limits.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::machine;
use crate::tally::{self, Tally};

/// Appends and syncs a file in the simplest way, again and again.
pub(crate) struct BareLog {
    file: File,
    batch: Vec<u8>,
}

impl BareLog {
    /// Begins a file in this directory; so many bytes are appended each time.
    pub(crate) fn new(directory: &Path, batch_bytes: usize) -> Self {
        let file = File::create(directory.join("bare-log")).expect("the file is made");
        Self { file, batch: vec![b'x'; batch_bytes] }
    }

    /// Appends for a while; returns how often in a second.
    pub(crate) fn rate(&mut self, time: Duration) -> f64 {
        let (begun, mut appended) = (Instant::now(), 0);
        while begun.elapsed() < time {
            self.append();
            appended += 1;
        }
        f64::from(appended) / begun.elapsed().as_secs_f64()
    }

    /// Appends so often; returns how long each took, in microseconds.
    pub(crate) fn latencies(&mut self, appends: usize) -> Vec<u32> {
        let timed = |_| {
            let begun = Instant::now();
            self.append();
            begun.elapsed().as_micros() as u32
        };
        (0..appends).map(timed).collect()
    }

    fn append(&mut self) {
        self.file.write_all(&self.batch).expect("the disk has room");
        self.file.sync_data().expect("the disk works");
    }
}

/// Threads that each append one record after the other and sync it for themselves, as a server does
/// that has a thread for every publisher. Syncs of one file may be under way at once; what the operating
/// system makes of that counts.
pub(crate) struct BareCrowd {
    threads: usize,
    logs: Vec<CrowdLog>,
    record: Vec<u8>,
}

struct CrowdLog {
    file: File,
    end: AtomicU64,
    /// Where it begins again.
    len: u64,
}

impl BareCrowd {
    /// All append to one file, which grows.
    pub(crate) fn in_one_file(directory: &Path, threads: usize, record_bytes: usize) -> Self {
        let logs = vec![CrowdLog::growing(&directory.join(format!("bare-crowd-of-{threads}")))];
        Self { threads, logs, record: vec![b'x'; record_bytes] }
    }

    /// All write to one file that was written full before, so that a sync changes no metadata.
    pub(crate) fn in_a_full_file(directory: &Path, threads: usize, record_bytes: usize) -> Self {
        let logs = vec![CrowdLog::full(&directory.join("bare-crowd-full"))];
        Self { threads, logs, record: vec![b'x'; record_bytes] }
    }

    /// Each appends to a file of its own.
    pub(crate) fn in_a_file_each(directory: &Path, threads: usize, record_bytes: usize) -> Self {
        let name = |number| directory.join(format!("bare-crowd-{number}"));
        let logs = (0..threads).map(|number| CrowdLog::growing(&name(number))).collect();
        Self { threads, logs, record: vec![b'x'; record_bytes] }
    }

    /// All append for a while; returns how often in a second, all together.
    pub(crate) fn rate(&self, time: Duration) -> f64 {
        let ready = &Barrier::new(self.threads);
        std::thread::scope(|scope| {
            let begin = |log| scope.spawn(move || self.rate_of_one(log, ready, time));
            let logs = self.logs.iter().cycle().take(self.threads);
            let threads: Vec<_> = logs.map(begin).collect();
            let rates = threads.into_iter().map(|thread| thread.join().expect("the disk works"));
            rates.sum()
        })
    }

    /// One appends so often; returns how long each took, in microseconds.
    pub(crate) fn latencies(&self, appends: usize) -> Vec<u32> {
        let timed = |_| {
            let begun = Instant::now();
            self.logs[0].append(&self.record);
            begun.elapsed().as_micros() as u32
        };
        (0..appends).map(timed).collect()
    }

    fn rate_of_one(&self, log: &CrowdLog, ready: &Barrier, time: Duration) -> f64 {
        ready.wait();
        let (begun, mut appended) = (Instant::now(), 0);
        while begun.elapsed() < time {
            log.append(&self.record);
            appended += 1;
        }
        f64::from(appended) / begun.elapsed().as_secs_f64()
    }
}

impl CrowdLog {
    fn growing(path: &Path) -> Self {
        let file = File::create(path).expect("the file is made");
        Self { file, end: AtomicU64::new(0), len: u64::MAX }
    }

    fn full(path: &Path) -> Self {
        let mut file = File::create(path).expect("the file is made");
        file.write_all(&vec![0; FULL_BYTES]).expect("the disk has room");
        file.sync_all().expect("the disk works");
        Self { file, end: AtomicU64::new(0), len: FULL_BYTES as u64 }
    }

    fn append(&self, record: &[u8]) {
        let at = self.end.fetch_add(record.len() as u64, Ordering::Relaxed) % self.len;
        self.file.write_all_at(record, at).expect("the disk has room");
        self.file.sync_data().expect("the disk works");
    }
}

/// A loop that writes events to sockets at a steady rate and does nothing else, on the server's core.
pub(crate) struct BareFanOut {
    /// Where to connect.
    pub(crate) port: u16,
    writing: JoinHandle<(Vec<TcpStream>, Written)>,
}

/// What was written to each socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// The events.
    pub(crate) tally: Tally,
    /// The processor time of the loop.
    pub(crate) spent: Duration,
}

impl BareFanOut {
    /// Waits for so many connections, then writes so many events of so many bytes to all of them. Events
    /// carry the time since `epoch`.
    pub(crate) fn start(sockets: usize, shape: SteadyEvents, epoch: Instant) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let writing = std::thread::spawn(move || {
            machine::stay_on(machine::SERVER_CORE);
            let accept = |_| listener.accept().expect("somebody connects").0;
            let mut sockets: Vec<_> = (0..sockets).map(accept).collect();
            let written = shape.write(&mut sockets, epoch);
            (sockets, written)
        });
        Self { port, writing }
    }

    /// Waits until all has been written. The sockets stay open as long as what comes with it.
    pub(crate) fn finish(self) -> (Vec<TcpStream>, Written) {
        self.writing.join().expect("it does not panic")
    }
}

/// Events of one size at a steady rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SteadyEvents {
    pub(crate) events: u64,
    pub(crate) bytes: usize,
    /// How many are written at once.
    pub(crate) together: u64,
    /// From one write to the next; without one, as fast as they are taken.
    pub(crate) pause: Duration,
}

impl SteadyEvents {
    fn write(&self, sockets: &mut [TcpStream], epoch: Instant) -> Written {
        let (begun, before) = (Instant::now(), machine::thread_time());
        let mut tally = Tally::default();
        for number in 0..self.events / self.together {
            let due = begun + self.pause * number as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let at = epoch.elapsed().as_micros() as u64;
            let mut event = tally::data(at).into_bytes();
            event.resize(self.bytes, b'x');
            let events = event.repeat(self.together as usize);
            for socket in &mut *sockets {
                socket.write_all(&events).expect("it is read");
            }
            tally += Tally::one(at).times(self.together);
        }
        Written { tally, spent: machine::thread_time() - before }
    }
}

/// As large as a segment.
const FULL_BYTES: usize = 64 * 1024 * 1024;
