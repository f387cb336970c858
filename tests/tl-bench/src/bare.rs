//! What the bare machine does, with nothing of ours in between: the limits.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::machine;

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

/// Processor time of one `write` of so many bytes to a socket, among many sockets that each get one in
/// turn, as on the server's core; somebody on the other core reads them.
pub(crate) fn write_cost(sockets: usize, bytes: usize, writes: usize) -> Duration {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for _ in 0..sockets {
        near.push(TcpStream::connect(address).expect("connects"));
        far.push(listener.accept().expect("is connected").0);
    }
    let rounds = writes / sockets;
    let writer = std::thread::spawn(move || write_in_turn(near, bytes, rounds));
    machine::stay_on(machine::LOAD_CORE);
    let mut buffer = vec![0; bytes];
    for _ in 0..rounds {
        for socket in &mut far {
            socket.read_exact(&mut buffer).expect("it is written");
        }
    }
    writer.join().expect("it does not panic") / (rounds * sockets) as u32
}

fn write_in_turn(mut sockets: Vec<TcpStream>, bytes: usize, rounds: usize) -> Duration {
    machine::stay_on(machine::SERVER_CORE);
    let payload = vec![b'x'; bytes];
    let begun = machine::thread_time();
    for _ in 0..rounds {
        for socket in &mut sockets {
            socket.write_all(&payload).expect("it is read");
        }
    }
    machine::thread_time() - begun
}

/// As large as a segment.
const FULL_BYTES: usize = 64 * 1024 * 1024;
