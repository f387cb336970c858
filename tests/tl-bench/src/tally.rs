//! Exact counts: what was published, and what each reader has.

use std::iter::Sum;
use std::ops::AddAssign;

use memchr::memmem;

/// How many events, and all their times added up, so that one lost and another one twice does not pass
/// for two.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    /// Events.
    pub(crate) events: u64,
    /// The sum of the times they carry.
    pub(crate) times: u64,
}

impl Tally {
    /// One event.
    pub(crate) fn one(at: u64) -> Self {
        Self { events: 1, times: at }
    }

    /// As much for each of so many.
    pub(crate) fn times(self, factor: u64) -> Self {
        let times = self.times.wrapping_mul(factor);
        Self { events: self.events * factor, times }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.events += more.events;
        self.times = self.times.wrapping_add(more.times);
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        let mut sum = Self::default();
        tallies.for_each(|tally| sum += tally);
        sum
    }
}

/// The data of an event: 128 bytes that say when it was published.
pub(crate) fn data(at: u64) -> String {
    format!("{{\"at\":\"{at:012}\",\"padding\":\"{:096}\"}}", 0)
}

/// Puts another time in the place of that of [`data`].
pub(crate) fn stamp(digits: &mut [u8], mut at: u64) {
    for digit in digits[..AT_DIGITS].iter_mut().rev() {
        *digit = b'0' + (at % 10) as u8;
        at /= 10;
    }
}

/// Where the digits of the first time stand.
pub(crate) fn digits_in(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, MARK).map(|mark| mark + MARK.len())
}

/// Finds the times of all events in a stream of bytes.
///
/// Events of one size follow each other at one distance, so the next is looked for there first: that
/// costs next to nothing, however long events are.
pub(crate) struct Times<'a> {
    bytes: &'a [u8],
    last: usize,
    next: usize,
    distance: usize,
    finder: &'a memmem::Finder<'static>,
}

impl<'a> Times<'a> {
    /// Those in these bytes. `finder` is [`finder`].
    pub(crate) fn new(bytes: &'a [u8], finder: &'a memmem::Finder<'static>) -> Self {
        Self { bytes, last: 0, next: 0, distance: 0, finder }
    }

    /// How many bytes are done with. What is left may be the beginning of something.
    pub(crate) fn done(&self) -> usize {
        self.next.max(self.bytes.len().saturating_sub(KEPT_BYTES_MAX))
    }

    fn mark(&self) -> Option<usize> {
        let guess = self.last + self.distance;
        let is_there =
            self.distance > 0 && self.bytes.get(guess..).is_some_and(|at| at.starts_with(MARK));
        if is_there {
            return Some(guess);
        }
        self.finder.find(&self.bytes[self.next..]).map(|found| self.next + found)
    }
}

impl Iterator for Times<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let found = self.mark()?;
        let digits = found + MARK.len();
        let at = self.bytes.get(digits..digits + AT_DIGITS)?;
        self.distance = match self.next {
            0 => 0,
            _ => found - self.last,
        };
        (self.last, self.next) = (found, digits + AT_DIGITS);
        Some(at.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }
}

/// What [`Times`] searches with; made once, as making it costs.
pub(crate) fn finder() -> memmem::Finder<'static> {
    memmem::Finder::new(MARK)
}

/// Where all that is measured goes.
pub(crate) const CHANNEL: &str = "bench";
/// The data of one event.
pub(crate) const DATA_BYTES: usize = 128;
/// What comes before the time in the data of every event.
const MARK: &[u8] = b"\"at\":\"";
/// Digits of the time.
pub(crate) const AT_DIGITS: usize = 12;
/// A mark and all digits but one.
pub(crate) const KEPT_BYTES_MAX: usize = MARK.len() + AT_DIGITS - 1;
