use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tl_model::{Error, ErrorCode, Fingerprint, Offset, Once, Principal};

/// Which keys have been used, and what for.
pub(crate) struct Keys {
    inner: Mutex<Inner>,
    span_ms: u64,
    keys_max: usize,
}

/// Keys are known by the fingerprint of who used them and of their text.
pub(crate) type Name = Fingerprint;

#[derive(Default)]
struct Inner {
    under_way: HashMap<Name, Fingerprint>,
    /// The oldest first. Each is forgotten whole, so that no key costs anything when its time is up.
    spans: VecDeque<Span>,
}

/// The keys used in one part of the window.
struct Span {
    number: u64,
    known: HashMap<Name, Known>,
}

/// A request that has had its effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    fingerprint: Fingerprint,
    /// The place of its record.
    at: Offset,
}

/// What becomes of a request.
pub(super) enum Begun {
    /// It was answered before; this is the place of the record.
    Answered(Offset),
    /// It is the first.
    First(Claim),
}

/// A key that is under way. Dropped without being settled, it is free again.
pub(crate) struct Claim {
    keys: Arc<Keys>,
    pub(crate) name: Name,
    pub(crate) fingerprint: Fingerprint,
}

impl Known {
    pub(super) fn new(fingerprint: Fingerprint, at: Offset) -> Self {
        Self { fingerprint, at }
    }
}

impl Keys {
    pub(crate) fn new(window: Duration, keys_max: usize) -> Self {
        let span_ms = (window.as_millis() as u64 / SPANS).max(1);
        Self { inner: Mutex::default(), span_ms, keys_max }
    }

    /// Claims a key, unless it has been used.
    pub(super) fn begin(
        self: &Arc<Self>,
        principal: &Principal,
        once: &Once,
        now_ms: u64,
    ) -> Result<Begun, Error> {
        let name = name(principal, once);
        let mut inner = self.inner(now_ms);
        if let Some(at) = inner.find(name, once.fingerprint)? {
            return Ok(Begun::Answered(at));
        }
        if inner.count() >= self.keys_max {
            let detail = "the server remembers as many idempotency keys as it may; publish without \
                          one, or let the operator raise `idempotency.keys_max`";
            return Err(Error::new(ErrorCode::LimitExceeded, detail));
        }
        inner.under_way.insert(name, once.fingerprint);
        Ok(Begun::First(Claim { keys: self.clone(), name, fingerprint: once.fingerprint }))
    }

    /// The place of the record, if the key has been used.
    pub(super) fn answered(
        &self,
        principal: &Principal,
        once: &Once,
        now_ms: u64,
    ) -> Result<Option<Offset>, Error> {
        self.inner(now_ms).find(name(principal, once), once.fingerprint)
    }

    /// Notes a request that had its effect some time ago.
    pub(super) fn learn(&self, name: Name, known: Known, logged_at_ms: u64, now_ms: u64) {
        let number = logged_at_ms / self.span_ms;
        if number + SPANS >= now_ms / self.span_ms {
            self.inner(now_ms).span(number).known.insert(name, known);
        }
    }

    /// What is known, without what is too old.
    fn inner(&self, now_ms: u64) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        let now = now_ms / self.span_ms;
        while inner.spans.front().is_some_and(|span| span.number + SPANS < now) {
            inner.spans.pop_front();
        }
        inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn find(&self, name: Name, fingerprint: Fingerprint) -> Result<Option<Offset>, Error> {
        if let Some(under_way) = self.under_way.get(&name) {
            return Err(if *under_way == fingerprint { in_use() } else { reused() });
        }
        match self.spans.iter().rev().find_map(|span| span.known.get(&name)) {
            Some(known) if known.fingerprint == fingerprint => Ok(Some(known.at)),
            Some(_) => Err(reused()),
            None => Ok(None),
        }
    }

    fn count(&self) -> usize {
        self.under_way.len() + self.spans.iter().map(|span| span.known.len()).sum::<usize>()
    }

    /// The part of the window with this number. The clock may have gone back.
    fn span(&mut self, number: u64) -> &mut Span {
        let place = self.spans.partition_point(|span| span.number < number);
        if self.spans.get(place).is_none_or(|span| span.number != number) {
            self.spans.insert(place, Span { number, known: HashMap::new() });
        }
        &mut self.spans[place]
    }
}

impl Claim {
    /// The request has had its effect, and its record is at this place.
    pub(crate) fn settle(self, at: Offset, logged_at_ms: u64) {
        let number = logged_at_ms / self.keys.span_ms;
        let known = Known::new(self.fingerprint, at);
        // The claim is given up right behind this, so that there is no time at which neither holds.
        self.keys.lock().span(number).known.insert(self.name, known);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.keys.lock().under_way.remove(&self.name);
    }
}

fn name(principal: &Principal, once: &Once) -> Name {
    let principal = match principal {
        Principal::Anonymous => "anonymous",
    };
    Fingerprint::of([principal.as_bytes(), once.key.as_str().as_bytes()])
}

fn in_use() -> Error {
    let detail = "the first request with this idempotency key is not answered yet; send it again \
                  in a moment";
    Error::new(ErrorCode::KeyInUse, detail).retry_after(IN_USE_RETRY)
}

fn reused() -> Error {
    let detail = "this idempotency key was used for another request; a new request needs a new key, \
                  and a repeated one must be the same to the byte";
    Error::new(ErrorCode::KeyReused, detail)
}

/// Parts of the window: a key is known for as many of them, and for the rest of the one it was used in.
const SPANS: u64 = 24;
/// A publish takes a few milliseconds.
const IN_USE_RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tl_model::IdempotencyKey;

    use super::*;

    fn keys(keys_max: usize) -> Arc<Keys> {
        Arc::new(Keys::new(DAY, keys_max))
    }

    fn once(key: &str, asks_for: &str) -> Once {
        let key = IdempotencyKey::parse(key).expect("a key");
        Once { key, fingerprint: Fingerprint::of([asks_for.as_bytes()]) }
    }

    fn begin(keys: &Arc<Keys>, key: &str, asks_for: &str, now_ms: u64) -> Result<Begun, ErrorCode> {
        let begun = keys.begin(&Principal::Anonymous, &once(key, asks_for), now_ms);
        begun.map_err(|error| error.code)
    }

    fn claim(keys: &Arc<Keys>, key: &str, now_ms: u64) -> Claim {
        match begin(keys, key, "a", now_ms) {
            Ok(Begun::First(claim)) => claim,
            Ok(Begun::Answered(at)) => panic!("it was answered at {at}"),
            Err(code) => panic!("{code}"),
        }
    }

    #[test]
    fn a_key_is_claimed_then_known_then_forgotten() {
        let keys = keys(10);
        let first = claim(&keys, "k", 0);
        assert!(matches!(begin(&keys, "k", "a", 0), Err(ErrorCode::KeyInUse)));
        assert!(matches!(begin(&keys, "k", "b", 0), Err(ErrorCode::KeyReused)));
        first.settle(Offset::new(7), 0);
        let day_ms = DAY.as_millis() as u64;
        for now_ms in [0, day_ms] {
            let again = begin(&keys, "k", "a", now_ms);
            assert!(matches!(again, Ok(Begun::Answered(at)) if at == Offset::new(7)));
            assert!(matches!(begin(&keys, "k", "b", now_ms), Err(ErrorCode::KeyReused)));
        }
        let later = day_ms + day_ms / SPANS;
        drop(claim(&keys, "k", later));
        assert_eq!(keys.lock().spans.len(), 0, "nothing is left of it");
    }

    #[test]
    fn a_key_without_an_effect_is_free_again() {
        let keys = keys(10);
        drop(claim(&keys, "k", 0));
        drop(claim(&keys, "k", 0));
    }

    #[test]
    fn no_more_keys_are_known_than_the_limit() {
        let keys = keys(2);
        claim(&keys, "a", 0).settle(Offset::new(1), 0);
        let under_way = claim(&keys, "b", 0);
        assert!(matches!(begin(&keys, "c", "a", 0), Err(ErrorCode::LimitExceeded)));
        drop(under_way);
        drop(claim(&keys, "c", 0));
    }

    #[test]
    fn old_records_are_not_learnt() {
        let (keys, day_ms) = (keys(10), DAY.as_millis() as u64);
        let known = Known::new(Fingerprint::of([]), Offset::new(1));
        keys.learn(Fingerprint::of([&b"old"[..]]), known, 0, 2 * day_ms);
        keys.learn(Fingerprint::of([&b"new"[..]]), known, day_ms, 2 * day_ms);
        assert_eq!(keys.lock().count(), 1);
    }

    const DAY: Duration = Duration::from_secs(86_400);
}
