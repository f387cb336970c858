use std::time::Instant;

/// On whose behalf, and until when, something is done. Every call into the engine carries one.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Who asks.
    pub principal: Principal,
    /// When the caller stops caring; work on its behalf ends then.
    pub deadline: Option<Instant>,
}

impl Call {
    /// The same call with a deadline no later than this one.
    #[must_use]
    pub fn until(mut self, deadline: Instant) -> Self {
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        self
    }
}

/// Who asks. Rights are decided from it, in one place of the engine.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub enum Principal {
    /// A client that has not said who it is.
    #[default]
    Anonymous,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_deadline_only_moves_closer() {
        let now = Instant::now();
        let soon = now + Duration::from_secs(1);
        let later = now + Duration::from_secs(2);
        assert_eq!(Call::default().until(later).until(soon).deadline, Some(soon));
        assert_eq!(Call::default().until(soon).until(later).deadline, Some(soon));
    }
}
