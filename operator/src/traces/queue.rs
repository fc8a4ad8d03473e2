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
    order: VecDeque<ObjectName>,
    known: BTreeSet<ObjectName>,
    overflowed: bool,
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            inner: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    /// Adds a Run; one for which there is no room is forgotten.
    pub(super) fn push(&self, run: ObjectName) {
        let mut inner = self.inner();
        if inner.known.contains(&run) {
            return;
        }
        if inner.order.len() == self.most {
            inner.overflowed = true;
            return;
        }
        inner.known.insert(run.clone());
        inner.order.push_back(run);
        self.arrived.notify_one();
    }

    /// Returns the Run that has waited longest.
    pub(super) async fn next(&self) -> ObjectName {
        loop {
            let arrived = self.arrived.notified();
            if let Some(run) = self.pop() {
                return run;
            }
            arrived.await;
        }
    }

    fn pop(&self) -> Option<ObjectName> {
        let mut inner = self.inner();
        let run = inner.order.pop_front()?;
        inner.known.remove(&run);
        Some(run)
    }

    /// Returns whether Runs were forgotten, once, when the queue is empty.
    pub(super) fn takes_overflow(&self) -> bool {
        let mut inner = self.inner();
        inner.order.is_empty() && std::mem::take(&mut inner.overflowed)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic in between leaves at most a name that waits twice.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_has_each_run_once_and_no_more_than_its_limit() {
        let queue = Queue::new(2);
        let run = |name| ObjectName::new("ns", name);
        for name in ["a", "b", "a", "c"] {
            queue.push(run(name));
        }
        assert!(!queue.takes_overflow(), "it is not empty");
        assert_eq!(
            (queue.next().await, queue.next().await),
            (run("a"), run("b"))
        );
        assert!(queue.takes_overflow() && !queue.takes_overflow());
        let (next, ()) = futures::join!(queue.next(), async { queue.push(run("a")) });
        assert_eq!(next, run("a"));
    }
}
