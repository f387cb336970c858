//! What is seen of a run while it goes on.

use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::run::Run;
use crate::output::grouped;

/// Keeps one line of a terminal up to date, for as long as it is polled.
pub(super) async fn draw(run: &Run) -> Infallible {
    let mut ticks = tokio::time::interval(FRAME);
    let is_terminal = io::stderr().is_terminal();
    let (mut receipts, mut deliveries) = (0, 0);
    let start_us = run.now_us();
    let mut before_us = start_us;
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let now_us = run.now_us();
        let rate = |count: u64| grouped(per_second(count, now_us - before_us));
        let (receipts_s, deliveries_s) =
            (rate(run.receipts() - receipts), rate(run.deliveries() - deliveries));
        (receipts, deliveries, before_us) = (run.receipts(), run.deliveries(), now_us);
        if is_terminal {
            let seconds = (now_us - start_us) as f64 / 1e6;
            show(&format!(
                "{seconds:5.1} s {receipts_s:>12} receipts/s {deliveries_s:>12} deliveries/s"
            ));
        }
    }
}

/// Takes the line away.
pub(super) fn clear() {
    if io::stderr().is_terminal() {
        show("");
    }
}

/// A count as so many a second.
pub(super) fn per_second(count: u64, time_us: u64) -> u64 {
    (u128::from(count) * 1_000_000 / u128::from(time_us.max(1))) as u64
}

/// Writes over what stands in the line. Nobody may be looking.
fn show(text: &str) {
    let mut out = io::stderr().lock();
    let _ = write!(out, "\r\x1b[2K{text}");
    let _ = out.flush();
}

/// Often enough to look alive, seldom enough to cost nothing.
const FRAME: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_right_for_any_count_and_time() {
        let cases = [(10, 2_000_000, 5), (1, 3_000_000, 0), (5, 0, 5_000_000)];
        for (count, time_us, rate) in cases {
            assert_eq!(per_second(count, time_us), rate);
        }
    }
}
