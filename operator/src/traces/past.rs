//! What an operator remembers of its exports: which it is done with, and how long it rests.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use konductor_core::trace::TraceId;

use super::queue::Waiting;

/// How long exports rest after one that failed at first, and at most.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often a Run may fail while others are exported: what is wrong is not the collector then.
const TRIES_MAX: u32 = 10;
/// How many traces are remembered as done; one has 16 bytes.
const DONE_MAX: usize = 10_000;

/// What was exported, and what never will be.
#[derive(Debug)]
pub(super) struct Past {
    done: BTreeSet<TraceId>,
    /// The same, as they came.
    order: VecDeque<TraceId>,
    most: usize,
    exported: u64,
    rest: Duration,
}

impl Past {
    pub(super) fn new() -> Self {
        Self::with_room_for(DONE_MAX)
    }

    fn with_room_for(most: usize) -> Self {
        Self {
            done: BTreeSet::new(),
            order: VecDeque::new(),
            most,
            exported: 0,
            rest: REST.0,
        }
    }

    /// Whether an attempt of a Run was exported or given up, as far as that is remembered.
    pub(super) fn is_done(&self, trace: TraceId) -> bool {
        self.done.contains(&trace)
    }

    /// An attempt of a Run needs no export any more; the oldest one is forgotten for it.
    pub(super) fn is_done_with(&mut self, trace: TraceId) {
        if !self.done.insert(trace) {
            return;
        }
        self.order.push_back(trace);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.done.remove(&oldest);
        }
    }

    /// An export succeeded: the next failure is a first one.
    pub(super) fn succeeded(&mut self) {
        self.exported += 1;
        self.rest = REST.0;
    }

    /// An export failed for a reason that may pass. Returns how long to rest, or nothing if it is given up: it failed
    /// often enough while others were exported.
    pub(super) fn failed(&mut self, waiting: &mut Waiting) -> Option<Duration> {
        if self.exported > waiting.exported {
            waiting.exported = self.exported;
            waiting.tries += 1;
        }
        if waiting.tries >= TRIES_MAX {
            return None;
        }
        let rest = self.rest;
        self.rest = REST.1.min(rest * 2);
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use konductor_api::Run;
    use konductor_core::ObjectName;
    use serde_json::json;

    use super::*;

    fn trace(uid: &str, attempt: u32) -> TraceId {
        let run = json!({
            "metadata": {"name": "r", "namespace": "n", "uid": uid},
            "spec": {"pipeline": "p", "jobs": 1, "attempt": attempt},
        });
        let run: Run = serde_json::from_value(run).expect("a Run");
        TraceId::of(&run)
    }

    fn waiting() -> Waiting {
        Waiting {
            run: ObjectName::new("ns", "r"),
            tries: 0,
            exported: 0,
        }
    }

    #[test]
    fn an_attempt_that_is_done_is_remembered_and_the_oldest_forgotten() {
        let mut past = Past::with_room_for(2);
        for (uid, attempt) in [("a", 1), ("b", 1), ("b", 1), ("b", 2)] {
            past.is_done_with(trace(uid, attempt));
        }
        let known = [("a", 1), ("b", 1), ("b", 2), ("b", 3)];
        let known = known.map(|(uid, attempt)| past.is_done(trace(uid, attempt)));
        assert_eq!(known, [false, true, true, false]);
        assert_eq!((past.done.len(), past.order.len()), (2, 2));
    }

    #[test]
    fn exports_rest_longer_while_none_succeeds_and_give_up_none_then() {
        let mut past = Past::new();
        let mut waiting = waiting();
        let rests: Vec<u64> = (0..100)
            .map(|_| past.failed(&mut waiting).expect("a rest").as_secs())
            .collect();
        assert_eq!(rests[..7], [1, 2, 4, 8, 16, 32, 60]);
        assert_eq!(rests[99], 60);
        past.succeeded();
        assert_eq!(past.failed(&mut waiting), Some(REST.0));
    }

    #[test]
    fn a_run_that_fails_while_others_are_exported_is_given_up() {
        let mut past = Past::new();
        let mut waiting = waiting();
        for _ in 1..TRIES_MAX {
            past.succeeded();
            assert_eq!(past.failed(&mut waiting), Some(REST.0));
            // Nothing was exported in between.
            assert!(past.failed(&mut waiting).is_some());
        }
        past.succeeded();
        assert_eq!(past.failed(&mut waiting), None);
    }
}
