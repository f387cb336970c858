//! One log through many rounds, and what is to be found in it after each.

use std::path::PathBuf;

use tl_client::TransportKind;
use tl_conformance::{Found, RunningServer, ServerOptions, check_order, lost, read_on};
use tl_model::After;

use crate::publishers::Told;

/// A log and how far it has been checked.
pub(crate) struct Log {
    data: PathBuf,
    config: String,
    checked: After,
    pub(crate) rounds: usize,
    pub(crate) receipts: usize,
    pub(crate) lost: usize,
}

impl Log {
    /// A new log, with events as safe as this durability makes them.
    pub(crate) fn new(data: PathBuf, durability: &str) -> Self {
        let rule = format!("[[rules]]\npattern = \">\"\ndurability = \"{durability}\"\n");
        // Small segments, so that making them is met often.
        let config = format!("[store]\nsegment_bytes = \"1MiB\"\n{rule}");
        Self { data, config, checked: After::Earliest, rounds: 0, receipts: 0, lost: 0 }
    }

    /// Starts the server on it.
    pub(crate) fn start(&self, under: &[&str]) -> RunningServer {
        RunningServer::start(&ServerOptions {
            config: self.config.clone(),
            data: Some(self.data.clone()),
            under: under.iter().map(|word| (*word).to_owned()).collect(),
            ..ServerOptions::default()
        })
    }

    /// Reads what was not checked yet.
    pub(crate) async fn read(&self, server: &RunningServer) -> (Vec<Found>, After) {
        read_on(&server.client(), self.checked, TransportKind::WebSocket).await
    }

    /// Starts the server and looks for every receipt, and for what readers have seen.
    pub(crate) async fn check(&mut self, told: &Told, seen: &[Found]) {
        let server = self.start(&[]);
        let (found, checked) = self.read(&server).await;
        server.kill();
        check_order(&found, self.rounds);
        assert!(found.starts_with(seen), "round {}: what was read is read again", self.rounds);
        self.checked = checked;
        self.lost += lost(&told.receipts, &found, self.rounds);
        self.receipts += told.receipts.len();
        self.rounds += 1;
    }
}
