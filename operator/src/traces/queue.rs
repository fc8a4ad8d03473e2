//! A queue with a limit, in which each Run waits once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use konductor_core::ObjectName;
use tokio::sync::Notify;

/// A queue with a limit.
#[derive(Debug)]
pub(super) struct Queue {
    most: usize,
    inner: Mutex<Inner>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    order: VecDeque<Waiting>,
    known: BTreeSet<ObjectName>,
    overflowed: bool,
}

/// A Run that waits.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Waiting {
    pub(super) run: ObjectName,
    /// How often it failed after others had been exported.
    pub(super) tries: u32,
    /// How many others had been exported when it failed last.
    pub(super) exported: u64,
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            inner: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    /// Adds a Run that was not tried yet; one for which there is no room is forgotten.
    pub(super) fn push(&self, run: ObjectName) {
        self.push_again(Waiting {
            run,
            tries: 0,
            exported: 0,
        });
    }

    /// Puts a Run that failed behind all others; one for which there is no room is forgotten.
    pub(super) fn push_again(&self, waiting: Waiting) {
        let mut inner = self.inner();
        if inner.known.contains(&waiting.run) {
            return;
        }
        if inner.order.len() >= self.most {
            inner.overflowed = true;
            return;
        }
        inner.known.insert(waiting.run.clone());
        inner.order.push_back(waiting);
        self.arrived.notify_one();
    }

    /// Returns the Run that has waited longest. Who stops waiting for it takes none away.
    pub(super) async fn next(&self) -> Waiting {
        loop {
            let arrived = self.arrived.notified();
            if let Some(waiting) = self.pop() {
                return waiting;
            }
            arrived.await;
        }
    }

    fn pop(&self) -> Option<Waiting> {
        let mut inner = self.inner();
        let waiting = inner.order.pop_front()?;
        inner.known.remove(&waiting.run);
        Some(waiting)
    }

    /// Returns whether Runs were forgotten since that was last cleared.
    pub(super) fn has_overflowed(&self) -> bool {
        self.inner().overflowed
    }

    /// What was forgotten is looked for now.
    pub(super) fn clear_overflow(&self) {
        self.inner().overflowed = false;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic in between leaves at most a name that waits twice.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str) -> ObjectName {
        ObjectName::new("ns", name)
    }

    #[tokio::test]
    async fn a_queue_has_each_run_once_and_no_more_than_its_limit() {
        let queue = Queue::new(2);
        for name in ["a", "b", "a"] {
            queue.push(run(name));
        }
        assert!(!queue.has_overflowed());
        queue.push(run("c"));
        assert!(queue.has_overflowed());
        queue.clear_overflow();
        assert!(!queue.has_overflowed());
        let both = (queue.next().await.run, queue.next().await.run);
        assert_eq!(both, (run("a"), run("b")));
        let (next, ()) = futures::join!(queue.next(), async { queue.push(run("a")) });
        assert_eq!(next.run, run("a"));
    }

    #[tokio::test]
    async fn a_run_that_failed_goes_behind_the_others_and_keeps_its_tries() {
        let queue = Queue::new(3);
        queue.push(run("a"));
        queue.push(run("b"));
        let mut first = queue.next().await;
        first.tries = 2;
        queue.push_again(first.clone());
        assert_eq!(queue.next().await.run, run("b"));
        assert_eq!(queue.next().await, first);
    }
}
