//! Benchmarks: `cargo xtask bench` lists them.
//!
//! Machines differ and are noisy, so each figure stands beside what the bare machine does in the same
//! run. The server runs alone on one core, whatever loads it on another.

mod bare;
mod bare_http;
mod busy;
mod catch_up_transports;
mod deep_pages;
mod fan_out;
mod figures;
mod http2_streams;
mod idle;
mod latency;
mod machine;
mod pages;
mod peers;
mod plot;
mod publish;
mod publish_websocket;
mod publishers;
mod readers;
mod report;
mod retention;
mod rpc;
mod schema;
mod segments;
mod sessions;
mod stopped_readers;
mod store;
mod tally;
mod transport;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Parser;

use figures::Figures;
use report::Report;
use transport::Transport;

/// All benchmarks, by name.
const BENCHES: &[Bench] = &[
    Bench {
        name: "catch-up",
        what: "reading one channel and patterns out of 10 GB in a million channels; fills the disk first",
        run: store::catch_up,
    },
    Bench {
        name: "catch-up-transports",
        what: "one reader of 100,000 events over each transport, against reading in one process",
        run: catch_up_transports::run,
    },
    Bench {
        name: "deep-pages",
        what: "page 10,000 of a channel in turns with page 1",
        run: deep_pages::run,
    },
    Bench {
        name: "fan-out-sse",
        what: "one channel to 1,000 Server-Sent Events subscribers",
        run: |runs| fan_out::run(Transport::Sse, fan_out::THOUSAND, runs),
    },
    Bench {
        name: "fan-out-sse-10000",
        what: "one channel to 10,000 Server-Sent Events subscribers",
        run: |runs| fan_out::run(Transport::Sse, fan_out::TEN_THOUSAND, runs),
    },
    Bench {
        name: "fan-out-websocket",
        what: "one channel to 1,000 WebSocket subscribers",
        run: |runs| fan_out::run(Transport::WebSocket, fan_out::THOUSAND, runs),
    },
    Bench {
        name: "fan-out-websocket-10000",
        what: "one channel to 10,000 WebSocket subscribers",
        run: |runs| fan_out::run(Transport::WebSocket, fan_out::TEN_THOUSAND, runs),
    },
    Bench {
        name: "http2-streams",
        what: "100,000 Server-Sent Events streams over HTTP/2: memory, and one event to all",
        run: http2_streams::run,
    },
    Bench {
        name: "idle",
        what: "memory and processor time of idle connections of each transport",
        run: idle::run,
    },
    Bench {
        name: "journal",
        what: "synced batches against a plain append + fdatasync of the same data",
        run: store::journal,
    },
    Bench {
        name: "latency",
        what: "from publishing over HTTP to the receipt, and to a subscriber",
        run: latency::run,
    },
    Bench {
        name: "open",
        what: "opening after kill -9: a million channels, 1 GB, 10 GB; fills the disk first",
        run: store::open,
    },
    Bench {
        name: "peers-fan-out",
        what: "one channel to 1,000 subscribers, by ours and other servers",
        run: peers::fan_out,
    },
    Bench {
        name: "peers-idle",
        what: "10,000 subscribers to whom nothing happens, by ours and other servers",
        run: peers::idle,
    },
    Bench {
        name: "peers-publish",
        what: "64 publishers, each waiting for its receipt, by ours and other servers",
        run: peers::publish,
    },
    Bench {
        name: "publish-http",
        what: "64 publishers over HTTP/1.1, each waiting for its receipt, in turns with hyper alone",
        run: publish::over_http,
    },
    Bench {
        name: "publish-in-process",
        what: "256 publishers on the engine and its journal, without a network",
        run: publish::in_process,
    },
    Bench {
        name: "publish-websocket",
        what: "4 WebSocket sessions, each with 512 publishes under way",
        run: publish_websocket::run,
    },
    Bench {
        name: "retention",
        what: "256 publishers on the engine while the store gives back what has expired",
        run: retention::run,
    },
    Bench {
        name: "rpc-echo",
        what: "gRPC calls that give a message back, on our listener in turns with connectrpc's own",
        run: rpc::echo,
    },
    Bench {
        name: "rpc-fan-out",
        what: "one channel to 1,000 gRPC streams, in turns with tonic on the same engine",
        run: rpc::fan_out,
    },
    Bench {
        name: "rpc-publish",
        what: "64 gRPC callers that publish, in turns with tonic on the same engine",
        run: rpc::publish,
    },
    Bench {
        name: "rpc-sizes",
        what: "what an event takes on the wire, in each form and packed",
        run: rpc::sizes,
    },
    Bench {
        name: "schema",
        what: "checking an order of 1 KiB with the schema of its type",
        run: schema::run,
    },
    Bench {
        name: "stopped-readers",
        what: "how late events are for 9,000 subscribers while 1,000 others have stopped to read",
        run: stopped_readers::run,
    },
];

/// Those that take minutes and of which one run is like another.
const RUN_ONCE: &[&str] = &["catch-up", "http2-streams", "idle", "open", "stopped-readers"];

/// A benchmark.
struct Bench {
    name: &'static str,
    what: &'static str,
    run: fn(&Runs) -> Figures,
}

/// How often and how long to measure.
#[derive(clap::Args, Clone, Copy, Debug)]
struct Runs {
    /// Runs of each benchmark, of which the median, the least and the most are shown. With `all`, those
    /// that take minutes are run once.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// Measures, and prints tables.
#[derive(Parser)]
#[command(name = "cargo xtask bench", max_term_width = 100)]
struct Cli {
    /// Which; `all` for all but those beside other servers. Without a name they are listed.
    names: Vec<String>,
    #[command(flatten)]
    runs: Runs,
    /// Writes the figures into a file, too, in JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measures nothing, but draws what such files hold into a directory, in SVG.
    #[arg(long, value_names = ["DIRECTORY", "FILE"], num_args = 2..)]
    plot: Option<Vec<String>>,
    /// Fills a store, for the benchmarks that need a large one.
    #[arg(long, hide = true, num_args = 2)]
    fill: Option<Vec<String>>,
    /// Opens a store, in a process of its own.
    #[arg(long, hide = true)]
    open: Option<PathBuf>,
}

fn main() -> io::Result<()> {
    let cli = Cli::parse();
    if let Some([directory, shape]) = cli.fill.as_deref() {
        store::fill_and_wait(directory.into(), shape);
    }
    if let Some(directory) = &cli.open {
        store::open_and_tell(directory.clone());
    }
    let mut out = io::stdout().lock();
    if let Some([directory, files @ ..]) = cli.plot.as_deref() {
        for drawn in plot::draw(directory.as_ref(), files)? {
            writeln!(out, "{}", drawn.display())?;
        }
        return Ok(());
    }
    if cli.names.is_empty() {
        for bench in BENCHES {
            writeln!(out, "{:<24} {}", bench.name, bench.what)?;
        }
        return Ok(());
    }
    measure(&cli, &mut out)
}

/// Measures what is asked for.
fn measure(cli: &Cli, out: &mut impl Write) -> io::Result<()> {
    let is_asked = |bench: &&Bench| {
        // Those beside other servers need these to be installed.
        let is_one_of_all = !bench.name.starts_with("peers-");
        cli.names.iter().any(|name| name == bench.name || (name == "all" && is_one_of_all))
    };
    let mut report = Report::begin();
    writeln!(out, "{}", report.machine)?;
    for bench in BENCHES.iter().filter(is_asked) {
        let Bench { name, what, run } = bench;
        writeln!(out, "\n{name}: {what}\n")?;
        let is_one_enough = cli.names == ["all"] && RUN_ONCE.contains(name);
        let mut figures = Figures::default();
        for _ in 0..if is_one_enough { 1 } else { cli.runs.runs } {
            figures.add(alone(*run, cli.runs));
        }
        writeln!(out, "{figures}")?;
        report.add(name, what, &figures);
        // Also of what follows, something may fail.
        cli.json.as_deref().map(|file| report.write(file)).transpose()?;
    }
    Ok(())
}

/// Runs on a thread of its own, as a benchmark ties its thread to a core.
fn alone(run: fn(&Runs) -> Figures, runs: Runs) -> Figures {
    let measured = std::thread::spawn(move || run(&runs)).join();
    measured.expect("a benchmark that panics has said why")
}
