use std::collections::BTreeMap;

/// A set of numbers that come nearly in order, kept as ranges: as small as its holes are few.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    /// From the first number of a range to the one behind its last.
    ranges: BTreeMap<u64, u64>,
}

impl Numbers {
    /// Adds a number; false if it was there already.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let before = self.ranges.range(..=number).next_back().map(|(&first, &end)| (first, end));
        if before.is_some_and(|(_, end)| number < end) {
            return false;
        }
        let end = self.ranges.remove(&(number + 1)).unwrap_or(number + 1);
        let first = before.filter(|(_, end)| *end == number).map_or(number, |(first, _)| first);
        self.ranges.insert(first, end);
        true
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.ranges.iter().map(|(first, end)| end - first).sum()
    }

    /// How many of these the others do not have.
    pub(super) fn missing_in(&self, others: &Self) -> u64 {
        self.len() - self.ranges.iter().map(|(&first, &end)| others.within(first, end)).sum::<u64>()
    }

    /// How many there are from a number to the one before another.
    fn within(&self, from: u64, to: u64) -> u64 {
        let reaching = self.ranges.range(..to).rev().take_while(|(_, end)| **end > from);
        reaching.map(|(first, end)| (*end).min(to) - (*first).max(from)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_comes_in_order_is_one_range() {
        let mut numbers = Numbers::default();
        assert!((0..1_000).all(|number| numbers.insert(number)));
        assert!(!numbers.insert(500));
        assert_eq!((numbers.len(), numbers.ranges.len()), (1_000, 1));
    }

    proptest! {
        #[test]
        fn lost_and_doubled_numbers_are_counted_exactly(
            expected in prop::collection::vec(0_u64..60, 0..80),
            came in prop::collection::vec(0_u64..60, 0..80),
        ) {
            let (mut left, mut right) = (Numbers::default(), Numbers::default());
            let doubled = expected.iter().filter(|number| !left.insert(**number)).count();
            for number in &came {
                right.insert(*number);
            }
            let (expected_set, came_set) =
                (HashSet::<u64>::from_iter(expected.clone()), HashSet::<u64>::from_iter(came));
            prop_assert_eq!(doubled, expected.len() - expected_set.len());
            prop_assert_eq!(left.len(), expected_set.len() as u64);
            let missing = expected_set.difference(&came_set).count() as u64;
            prop_assert_eq!(left.missing_in(&right), missing);
        }
    }
}
