use std::time::Duration;

/// How long to wait before the next attempt: a random time below a bound that doubles with every
/// failure, so that clients that failed together do not come back together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// An attempt has failed. `chance` is any random number; `asked` is what the server asked for,
    /// which goes before what the client would do.
    pub(crate) fn after_failure(&mut self, asked: Option<Duration>, chance: u64) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let share = chance as f64 / u64::MAX as f64;
        match asked {
            Some(asked) => asked.min(LONGEST_ASKED) + FIRST.mul_f64(share),
            None => LEAST + bound.mul_f64(share),
        }
    }

    /// An attempt has worked.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

const LEAST: Duration = Duration::from_millis(20);
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(20);
const DOUBLINGS_MAX: u32 = 10;
/// A server may ask for more patience than that; who waits here may not have it.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_bounded_and_begin_anew() {
        let mut backoff = Backoff::default();
        let longest: Vec<_> =
            (0..12).map(|_| backoff.after_failure(None, u64::MAX).as_millis()).collect();
        assert_eq!(&longest[..4], [220, 420, 820, 1_620]);
        assert_eq!(longest[11], 20_020);
        assert_eq!(backoff.after_failure(None, 0), LEAST);
        backoff.reset();
        assert_eq!(backoff.after_failure(None, u64::MAX).as_millis(), 220);
    }

    #[test]
    fn what_the_server_asks_for_comes_first() {
        let mut backoff = Backoff::default();
        let asked = Some(Duration::from_secs(7));
        assert_eq!(backoff.after_failure(asked, 0), Duration::from_secs(7));
        assert_eq!(backoff.after_failure(asked, u64::MAX), Duration::from_millis(7_200));
    }
}
