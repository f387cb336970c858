use serde::Serialize;

use super::Load;
use super::latencies::{Latencies, Summary};
use super::numbers::Numbers;
use super::progress::per_second;
use super::publisher::Published;
use super::subscriber::Delivered;
use crate::output::grouped;

/// What a run has shown. Its JSON form is what `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) server: String,
    pub(super) channel: String,
    pub(super) load: Load,
    pub(super) published: Publishing,
    pub(super) delivered: Delivering,
    /// How many cores the load itself kept busy, of how many.
    pub(super) cores_busy: f64,
    pub(super) cores: usize,
    /// What to know before one believes the figures.
    pub(super) warnings: Vec<String>,
}

/// The publishers' side.
#[derive(Debug, Serialize)]
pub(super) struct Publishing {
    receipts: u64,
    refused: u64,
    #[serde(flatten)]
    pace: Pace,
    /// Why one event was refused.
    #[serde(skip)]
    refusal: Option<String>,
}

/// The subscribers' side.
#[derive(Debug, Serialize)]
pub(super) struct Delivering {
    deliveries: u64,
    lost: u64,
    duplicates: u64,
    gaps: u64,
    reconnects: u64,
    #[serde(flatten)]
    pace: Pace,
}

/// How fast events went.
#[derive(Debug, Serialize)]
struct Pace {
    seconds: f64,
    events_per_second: u64,
    bytes_per_second: u64,
    latency_us: Option<Summary>,
}

impl Report {
    /// Writes it down for people.
    pub(super) fn table(&self) -> String {
        let (published, delivered) = (&self.published, &self.delivered);
        let mut lines = vec![
            self.load(),
            format!("{:<12}{:>16}{:>16}{:>16}", "", "events", "a second", "MiB a second"),
            published.pace.row("receipts", published.receipts),
            delivered.pace.row("deliveries", delivered.deliveries),
            format!("{:<12}{:>16}", "lost", grouped(delivered.lost)),
            format!("{:<12}{:>16}", "duplicates", grouped(delivered.duplicates)),
            String::new(),
            format!("{:<12}{:>11}{:>11}{:>11}{:>11}", "ms", "p50", "p90", "p99", "max"),
            published.pace.latencies("receipt"),
            delivered.pace.latencies("delivery"),
        ];
        lines.extend(self.warnings.iter().map(|warning| format!("\n! {warning}")));
        lines.join("\n")
    }

    fn load(&self) -> String {
        let Load { publishers, subscribers, in_flight, size, .. } = self.load;
        let (publish_over, subscribe_over) = (self.load.publish_over, self.load.subscribe_over);
        let (busy, cores) = (self.cores_busy, self.cores);
        format!(
            "publishers  {publishers:>16} over {publish_over}, {in_flight} under way each, {} bytes\n\
             subscribers {subscribers:>16} over {subscribe_over}\n\
             busy cores  {busy:>16.1} of {cores}, with this load alone\n",
            grouped(size)
        )
    }

    /// What must not be: none if all is well.
    pub(super) fn failure(&self) -> Option<String> {
        let Delivering { lost, duplicates, .. } = self.delivered;
        if lost > 0 || duplicates > 0 {
            let (lost, duplicates) = (grouped(lost), grouped(duplicates));
            return Some(format!("deliveries lost: {lost}, duplicates: {duplicates}"));
        }
        if self.published.receipts > 0 {
            return None;
        }
        let refusal = self.published.refusal.as_deref().unwrap_or("no event had its turn");
        Some(format!("nothing was published: {refusal}"))
    }

    /// Finds what makes the figures say less than they seem to.
    pub(super) fn warn(&mut self) {
        let warnings = [self.busy(), self.too_slow(), self.refused(), self.gaps(), self.broken()];
        self.warnings = warnings.into_iter().flatten().collect();
    }

    fn busy(&self) -> Option<String> {
        let (busy, cores) = (self.cores_busy, self.cores);
        (busy > BUSY_SHARE * cores as f64).then(|| {
            format!(
                "the load itself kept {busy:.1} of {cores} cores busy, so it may be the limit: run \
                 it on another machine than the server, or on several"
            )
        })
    }

    fn too_slow(&self) -> Option<String> {
        let (rate, reached) = (self.load.rate, self.published.pace.events_per_second);
        ((reached as f64) < RATE_SHARE * rate as f64).then(|| {
            format!(
                "{} events a second were asked for and {} reached: more --publishers or a larger \
                 --in-flight may reach more",
                grouped(rate),
                grouped(reached)
            )
        })
    }

    fn refused(&self) -> Option<String> {
        let reason = self.published.refusal.as_ref()?;
        let refused = grouped(self.published.refused);
        Some(format!("events refused: {refused}, of which one because {reason}"))
    }

    fn gaps(&self) -> Option<String> {
        let gaps = self.delivered.gaps;
        (gaps > 0).then(|| {
            let gaps = grouped(gaps);
            format!(
                "gaps told: {gaps}; retention removes events of the channel before they are read"
            )
        })
    }

    fn broken(&self) -> Option<String> {
        let reconnects = self.delivered.reconnects;
        (reconnects > 0).then(|| format!("connections that subscribers lost: {reconnects}"))
    }
}

impl Publishing {
    /// Adds up what all publishers have done since the start.
    pub(super) fn of(all: &[Published], start_us: u64, size: u64) -> Self {
        let receipts = all.iter().map(|it| it.receipts.len()).sum();
        let last_us = all.iter().map(|it| it.last_us).max();
        let time_us = last_us.unwrap_or_default().saturating_sub(start_us);
        Self {
            receipts,
            refused: all.iter().map(|it| it.refused).sum(),
            pace: Pace::of(receipts, size, time_us, all.iter().map(|it| &it.latencies)),
            refusal: all.iter().find_map(|it| it.refusal.clone()),
        }
    }
}

impl Delivering {
    /// Adds up what all subscribers were given since the start, and what they were not.
    pub(super) fn of(all: &[Delivered], receipts: &[Numbers], start_us: u64, size: u64) -> Self {
        let deliveries = all.iter().map(|it| it.deliveries).sum();
        let last_us = all.iter().map(|it| it.last_us).max();
        let time_us = last_us.unwrap_or_default().saturating_sub(start_us);
        Self {
            deliveries,
            lost: all.iter().map(|it| it.lost(receipts)).sum(),
            duplicates: all.iter().map(|it| it.duplicates).sum(),
            gaps: all.iter().map(|it| it.gaps).sum(),
            reconnects: all.iter().map(|it| it.reconnects).sum(),
            pace: Pace::of(deliveries, size, time_us, all.iter().map(|it| &it.latencies)),
        }
    }
}

impl Pace {
    fn of<'a>(
        events: u64,
        size: u64,
        time_us: u64,
        latencies: impl Iterator<Item = &'a Latencies>,
    ) -> Self {
        let mut total = Latencies::default();
        latencies.for_each(|latencies| total.merge(latencies));
        Self {
            seconds: time_us as f64 / 1e6,
            events_per_second: per_second(events, time_us),
            bytes_per_second: per_second(events * size, time_us),
            latency_us: total.summary(),
        }
    }

    fn row(&self, name: &str, events: u64) -> String {
        let mib = self.bytes_per_second as f64 / f64::from(1024 * 1024);
        let (events, pace) = (grouped(events), grouped(self.events_per_second));
        format!("{name:<12}{events:>16}{pace:>16}{mib:>16.2}")
    }

    fn latencies(&self, name: &str) -> String {
        let Some(Summary { p50, p90, p99, max }) = self.latency_us else {
            return format!("{name:<12}{:>11}", "–");
        };
        let [p50, p90, p99, max] = [p50, p90, p99, max].map(|it| it as f64 / 1e3);
        format!("{name:<12}{p50:>11.3}{p90:>11.3}{p99:>11.3}{max:>11.3}")
    }
}

/// Above that, events wait for the load and not for the server.
const BUSY_SHARE: f64 = 0.8;
/// A rate is reached up to what the last event takes.
const RATE_SHARE: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::super::subscriber::delivered;
    use super::*;

    /// A publisher whose events have all come, and one subscriber that was given these.
    fn report(events: &[(u32, u64)]) -> Report {
        let mut one = Published { last_us: 2_001_000, ..Published::default() };
        for number in 0..1_000 {
            one.receipts.insert(number);
            one.latencies.record(500);
        }
        let receipts = [one.receipts.clone()];
        let load = Load {
            publishers: 1,
            subscribers: 1,
            rate: 0,
            size: 1_024,
            in_flight: 1,
            publish_over: "http",
            subscribe_over: "sse",
        };
        Report {
            server: "http://localhost:8080".into(),
            channel: "bench.test".into(),
            load,
            published: Publishing::of(&[one], 1_000, 1_024),
            delivered: Delivering::of(&[delivered(events)], &receipts, 1_000, 1_024),
            cores_busy: 0.5,
            cores: 2,
            warnings: Vec::new(),
        }
    }

    fn all() -> Vec<(u32, u64)> {
        (0..1_000).map(|number| (0, number)).collect()
    }

    #[test]
    fn the_table_says_what_was_counted() {
        let expected = "\
publishers                 1 over http, 1 under way each, 1,024 bytes
subscribers                1 over sse
busy cores               0.5 of 2, with this load alone

\x20                     events        a second    MiB a second
receipts               1,000             500            0.49
deliveries             1,000         500,000          488.28
lost                       0
duplicates                 0

ms                  p50        p90        p99        max
receipt           0.500      0.500      0.500      0.500
delivery          2.000      2.000      2.000      2.000";
        assert_eq!(report(&all()).table(), expected);
    }

    #[test]
    fn anything_lost_or_doubled_is_a_failure() {
        assert_eq!(report(&all()).failure(), None);
        let events = [&all()[1..], &[(0, 7), (0, 7)]].concat();
        let failure = report(&events).failure().expect("it is one");
        assert_eq!(failure, "deliveries lost: 1, duplicates: 2");
    }

    #[test]
    fn who_looks_at_figures_of_the_load_itself_is_warned() {
        let mut report = report(&all());
        report.warn();
        assert_eq!(report.warnings, Vec::<String>::new());
        report.cores_busy = 1.9;
        report.load.rate = 1_000;
        report.warn();
        assert!(report.warnings[0].contains("kept 1.9 of 2 cores busy"), "{:?}", report.warnings);
        assert!(report.warnings[1].contains("1,000 events a second"), "{:?}", report.warnings);
        assert!(report.table().contains("\n! the load itself"), "{}", report.table());
    }
}
