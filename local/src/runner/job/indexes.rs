//! Sets of completion indexes, as a Job's status writes them: `0-3,5`.
//!
//! Text and single indexes enter, the set and its shortest text leave. The set
//! is kept as intervals, so that a status claiming `0-2147483647` costs nothing.

use std::fmt;

/// A set of completion indexes, none below zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes {
    /// Inclusive, ascending, neither touching nor overlapping.
    intervals: Vec<(i32, i32)>,
}

impl Indexes {
    /// Reads `text`, leaving out what is malformed and what lies at or above `completions`:
    /// an index may have been completed before the Job was scaled down.
    pub(super) fn parse(text: &str, completions: i32) -> Self {
        let mut indexes = Self::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
                let last = last.min(completions.saturating_sub(1));
                if 0 <= first && first <= last {
                    indexes.insert_interval(first, last);
                }
            }
        }
        indexes
    }

    /// Adds one index.
    pub(super) fn insert(&mut self, index: i32) {
        self.insert_interval(index, index);
    }

    /// Adds every index of `other`.
    pub(super) fn extend(&mut self, other: &Self) {
        for &(first, last) in &other.intervals {
            self.insert_interval(first, last);
        }
    }

    /// Whether `index` is in the set.
    pub(super) fn contains(&self, index: i32) -> bool {
        self.interval_ending_at_or_after(index)
            .is_some_and(|(first, _)| first <= index)
    }

    /// The number of indexes in the set.
    pub(super) fn len(&self) -> i32 {
        self.intervals.iter().fold(0, |sum: i32, (first, last)| {
            sum.saturating_add(last.saturating_sub(*first))
                .saturating_add(1)
        })
    }

    /// The number of indexes that are in both sets.
    pub(super) fn count_common(&self, other: &Self) -> i32 {
        let mut common = 0_i32;
        for &(first, last) in &self.intervals {
            for &(other_first, other_last) in &other.intervals {
                let (from, to) = (first.max(other_first), last.min(other_last));
                if from <= to {
                    common = common.saturating_add(to - from).saturating_add(1);
                }
            }
        }
        common
    }

    /// The lowest `count` indexes below `completions` that are not in the set.
    pub(super) fn first_missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let mut missing = Vec::new();
        let mut candidate = 0;
        while missing.len() < count && candidate < completions {
            match self.interval_ending_at_or_after(candidate) {
                Some((first, last)) if first <= candidate => candidate = last.saturating_add(1),
                _ => {
                    missing.push(candidate);
                    candidate += 1;
                }
            }
        }
        missing
    }

    fn interval_ending_at_or_after(&self, index: i32) -> Option<(i32, i32)> {
        let position = self.intervals.partition_point(|&(_, last)| last < index);
        self.intervals.get(position).copied()
    }

    fn insert_interval(&mut self, first: i32, last: i32) {
        let begin = self
            .intervals
            .partition_point(|&(_, l)| l.saturating_add(1) < first);
        let end = self
            .intervals
            .partition_point(|&(f, _)| f <= last.saturating_add(1));
        let merged = self.intervals[begin..end]
            .iter()
            .fold((first, last), |(low, high), &(f, l)| {
                (low.min(f), high.max(l))
            });
        self.intervals.splice(begin..end, [merged]);
    }
}

impl FromIterator<i32> for Indexes {
    fn from_iter<I: IntoIterator<Item = i32>>(indexes: I) -> Self {
        let mut set = Self::default();
        for index in indexes {
            set.insert(index);
        }
        set
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, &(first, last)) in self.intervals.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_written_as_short_as_kubernetes_writes_it() {
        let cases: &[(&[i32], &str)] = &[
            (&[], ""),
            (&[4], "4"),
            (&[3, 4], "3,4"),
            (&[1, 3, 4, 5, 7], "1,3-5,7"),
            (&[7, 5, 3, 4, 1, 2, 0, 6], "0-7"),
        ];
        for (indexes, text) in cases {
            let set: Indexes = indexes.iter().copied().collect();
            assert_eq!(set.to_string(), *text);
            assert_eq!(Indexes::parse(text, 100), set);
            assert_eq!(set.len(), i32::try_from(indexes.len()).unwrap());
        }
    }

    #[test]
    fn parse_leaves_out_what_is_malformed_or_out_of_range() {
        let cases = [
            ("0-2,x,9", "0-2"),
            ("3-1", ""),
            ("-4", ""),
            ("2-2147483647", "2-4"),
            ("5", ""),
        ];
        for (text, kept) in cases {
            assert_eq!(Indexes::parse(text, 5).to_string(), kept, "{text}");
        }
    }

    #[test]
    fn first_missing_skips_what_is_there() {
        let set = Indexes::parse("0,2-4,6", 9);
        assert_eq!(set.first_missing(3, 9), [1, 5, 7]);
        assert_eq!(set.first_missing(9, 9), [1, 5, 7, 8]);
        assert_eq!(set.first_missing(9, 6), [1, 5]);
        assert_eq!(set.first_missing(0, 9), [0_i32; 0]);
    }

    #[test]
    fn membership_and_intersection_agree_with_the_text() {
        let set = Indexes::parse("1,3-5,7", 9);
        let inside: Vec<i32> = (0..9).filter(|index| set.contains(*index)).collect();
        assert_eq!(inside, [1, 3, 4, 5, 7]);
        assert_eq!(set.count_common(&Indexes::parse("0-3,7,8", 9)), 3);
    }
}
