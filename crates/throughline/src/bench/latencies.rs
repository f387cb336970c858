use hdrhistogram::Histogram;
use serde::Serialize;

/// How long things took, in microseconds, in constant space.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    histogram: Histogram<u64>,
    max_us: u64,
}

/// What is said of latencies: percentiles to within 1 %, and the longest of all.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new(DIGITS).expect("so many digits are supported");
        Self { histogram, max_us: 0 }
    }
}

impl Latencies {
    pub(super) fn record(&mut self, latency_us: u64) {
        // Nothing takes longer than what can be told from it.
        let latency_us = latency_us.min(LONGEST_US);
        self.histogram.record(latency_us).expect("the histogram grows up to the longest");
        self.max_us = self.max_us.max(latency_us);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("the histogram grows up to the longest");
        self.max_us = self.max_us.max(other.max_us);
    }

    /// None if nothing was recorded.
    pub(super) fn summary(&self) -> Option<Summary> {
        let at = |share| self.histogram.value_at_quantile(share).min(self.max_us);
        let summary = Summary { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: self.max_us };
        (!self.histogram.is_empty()).then_some(summary)
    }
}

/// Keeps a histogram small enough for every one of thousands of subscribers.
const DIGITS: u8 = 2;
/// A day: no run is longer.
const LONGEST_US: u64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_within_a_hundredth() {
        let (mut all, mut odd) = (Latencies::default(), Latencies::default());
        (1..=5_000).for_each(|step| all.record(step * 20));
        (1..=5_000).for_each(|step| odd.record(step * 20 - 10));
        all.merge(&odd);
        let summary = all.summary().expect("something was recorded");
        let figures = [(summary.p50, 50_000), (summary.p90, 90_000), (summary.p99, 99_000)];
        for (figure, right) in figures {
            assert!(figure.abs_diff(right) <= right / 100, "{figure} instead of {right}");
        }
        assert_eq!(summary.max, 100_000);
    }

    #[test]
    fn nothing_recorded_has_no_percentiles() {
        assert_eq!(Latencies::default().summary(), None);
    }

    #[test]
    fn no_latency_is_too_long() {
        let mut latencies = Latencies::default();
        latencies.record(u64::MAX);
        assert_eq!(latencies.summary().map(|it| it.max), Some(LONGEST_US));
    }
}
