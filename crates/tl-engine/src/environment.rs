use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What the engine cannot know by itself: the time, and chance. Simulations bring their own.
pub trait Environment: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// A random number.
    fn random(&self) -> u64;

    /// A new id for an event or a session: a UUID of version 7 (RFC 9562 §5.7), which sorts by time.
    fn new_id(&self) -> String {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.random().to_le_bytes());
        random[8..].copy_from_slice(&self.random().to_le_bytes()[..2]);
        let id = uuid::Builder::from_unix_timestamp_millis(self.now_ms(), &random);
        id.into_uuid().to_string()
    }

    /// The present time in RFC 3339.
    fn now_text(&self) -> String {
        let nanos = i128::from(self.now_ms()) * 1_000_000;
        let now = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
        now.and_then(|now| now.format(&Rfc3339).ok()).unwrap_or_default()
    }
}

/// The real time and chance.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn now_ms(&self) -> u64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        since_1970.map_or(0, |since| since.as_millis() as u64)
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Environment for Fixed {
        fn now_ms(&self) -> u64 {
            1_800_000_000_123
        }

        fn random(&self) -> u64 {
            0x0123_4567_89ab_cdef
        }
    }

    #[test]
    fn ids_and_times_follow_their_standards() {
        assert_eq!(Fixed.now_text(), "2027-01-15T08:00:00.123Z");
        assert_eq!(Fixed.new_id(), "01a3185c-507b-7fcd-ab89-67452301efcd");
        assert_ne!(SystemEnvironment.new_id(), SystemEnvironment.new_id());
    }
}
