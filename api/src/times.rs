//! When a Job got what it waited for, when it was stopped and when it ended: what Kubernetes does not keep.
//!
//! A ledger forgets when it granted a permit as soon as the Job leaves it, and a suspension clears a Job's
//! `startTime`. The operator writes these times into the patches with which it starts, suspends or ends a Job anyway.

use std::fmt;

use jiff::Timestamp;

/// Stops that are kept of one Job: of one that is paused more often, the last.
const RAN_MAX: usize = 8;

/// The times of one Job, as [`crate::annotation::TIMES`] has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When each ledger granted what the Job asks of it: `semaphore/db`, and when; in the order of taking.
    pub granted: Vec<(String, Timestamp)>,
    /// From when to when the Job was started, for each time that it was suspended afterwards.
    pub ran: Vec<(Timestamp, Timestamp)>,
    /// When the operator ended the Job.
    pub ended: Option<Timestamp>,
}

impl Times {
    /// Reads the annotation. What is no time is left out: anybody may write an annotation.
    pub fn parse(text: &str) -> Self {
        let mut times = Self::default();
        for entry in text.split(',') {
            let words: Vec<&str> = entry.split_whitespace().collect();
            match words.as_slice() {
                ["ran", from, to] => {
                    if let (Ok(from), Ok(to)) = (from.parse(), to.parse()) {
                        times.ran.push((from, Timestamp::max(from, to)));
                    }
                }
                ["ended", at] => times.ended = at.parse().ok(),
                [ledger, at] if ledger.contains('/') => {
                    if let Ok(at) = at.parse() {
                        times.granted.push(((*ledger).to_owned(), at));
                    }
                }
                _ => {}
            }
        }
        times
    }

    /// Returns when a ledger granted, such as `semaphore/db`.
    pub fn granted_by(&self, ledger: &str) -> Option<Timestamp> {
        let mut granted = self.granted.iter();
        granted
            .find(|(name, _)| name == ledger)
            .map(|(_, time)| *time)
    }
}

/// As the annotation has them: `semaphore/db 2026-01-31T03:00:00Z, ran FROM TO, ended TIME`; empty without any.
impl fmt::Display for Times {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let granted = self.granted.iter();
        let granted = granted.map(|(ledger, time)| format!("{ledger} {time}"));
        let skipped = self.ran.len().saturating_sub(RAN_MAX);
        let ran = self.ran.iter().skip(skipped);
        let ran = ran.map(|(from, to)| format!("ran {from} {to}"));
        let ended = self.ended.iter().map(|time| format!("ended {time}"));
        let entries: Vec<String> = granted.chain(ran).chain(ended).collect();
        formatter.write_str(&entries.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_were_written_and_what_is_no_time_is_left_out() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let times = Times {
            granted: vec![
                ("lease/a".to_owned(), at(5)),
                ("semaphore/b".to_owned(), at(9)),
            ],
            ran: vec![(at(10), at(20)), (at(30), at(45))],
            ended: Some(at(45)),
        };
        let text = times.to_string();
        assert_eq!(
            text,
            "lease/a 1970-01-01T00:00:05Z, semaphore/b 1970-01-01T00:00:09Z, \
             ran 1970-01-01T00:00:10Z 1970-01-01T00:00:20Z, \
             ran 1970-01-01T00:00:30Z 1970-01-01T00:00:45Z, ended 1970-01-01T00:00:45Z"
        );
        assert_eq!(Times::parse(&text), times);
        assert_eq!(times.granted_by("semaphore/b"), Some(at(9)));
        assert_eq!(times.granted_by("semaphore/c"), None);
        for text in ["", "ran x y", "ended", "semaphore/b soon", "a b c d, ,,"] {
            assert_eq!(Times::parse(text), Times::default(), "{text:?}");
        }
        let backwards = Times::parse("ran 1970-01-01T00:00:20Z 1970-01-01T00:00:10Z");
        assert_eq!(backwards.ran, [(at(20), at(20))]);
    }

    #[test]
    fn of_many_stops_the_last_are_kept() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let times = Times {
            ran: (0..50).map(|n| (at(n * 10), at(n * 10 + 5))).collect(),
            ..Times::default()
        };
        let kept = Times::parse(&times.to_string()).ran;
        assert_eq!(kept.len(), RAN_MAX);
        assert_eq!(kept.last(), times.ran.last());
    }
}
