//! Labels whose number is bounded, although users choose their values.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// How many values have series of their own: each has up to 42, and a Prometheus that scrapes 100,000 is busy.
pub(super) const VALUES_MAX: usize = 100;

/// The values that have series of their own: the first [`VALUES_MAX`] that are seen.
#[derive(Debug)]
pub(super) struct Bounded<L>(Mutex<BTreeSet<L>>);

impl<L> Default for Bounded<L> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<L: Clone + Ord> Bounded<L> {
    /// Returns the label itself if it has series of its own, and `other` for what comes later.
    pub(super) fn label(&self, label: L, other: impl FnOnce() -> L) -> L {
        // A set that somebody panicked with is still a set.
        let mut labels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if labels.contains(&label) {
            return label;
        }
        if labels.len() == VALUES_MAX {
            return other();
        }
        labels.insert(label.clone());
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_values_have_series_of_their_own() {
        let bounded = Bounded::default();
        let label = |value: usize| bounded.label(value, || usize::MAX);
        let first: Vec<usize> = (0..VALUES_MAX).map(label).collect();
        assert_eq!(first, (0..VALUES_MAX).collect::<Vec<_>>());
        assert_eq!((label(VALUES_MAX), label(3)), (usize::MAX, 3));
    }
}
