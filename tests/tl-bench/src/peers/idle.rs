//! What a subscriber costs in memory while nothing happens.

use std::time::Duration;

use super::audience::open;
use super::contender::Contender;
use super::server::Server;
use super::{CONTENDERS, asked, on_the_load_core};
use crate::Runs;
use crate::figures::Figures;

/// Weighs all servers, one after the other.
pub(crate) fn run(_: &Runs) -> Figures {
    let mut figures = Figures::default();
    for contender in asked(CONTENDERS, |it| it.name) {
        on_the_load_core(weigh(contender, &mut figures));
    }
    figures
}

async fn weigh(contender: &Contender, figures: &mut Figures) {
    let (server, opening) = ((contender.start)(), (contender.opening)());
    let empty = settled_memory(&server).await;
    let mut subscribers = Vec::with_capacity(SUBSCRIBERS);
    for _ in 0..SUBSCRIBERS {
        subscribers.push(open(server.port, &opening).await);
    }
    let full = settled_memory(&server).await;
    let each = full.saturating_sub(empty) as f64 / KIB / SUBSCRIBERS as f64;
    figures.note(format!("{}: server's memory for a subscriber, KiB", contender.name), each);
    let empty = empty as f64 / KIB / KIB;
    figures.note(format!("{}: server's memory without any, MiB", contender.name), empty);
}

/// The memory once it has stopped changing, or after a while.
async fn settled_memory(server: &Server) -> u64 {
    let mut memory = server.memory();
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let before = std::mem::replace(&mut memory, server.memory());
        if before.abs_diff(memory) * 1_000 < memory {
            break;
        }
    }
    memory
}

const SUBSCRIBERS: usize = 10_000;
const KIB: f64 = 1024.0;
const LOOKS: u32 = 20;
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
