//! What the bare machine does, with nothing of ours in between: the limits.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
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
