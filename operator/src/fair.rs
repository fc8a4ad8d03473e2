//! Turns that namespaces share fairly, so that one tenant can't keep the others waiting.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::oneshot;

/// How many objects of one kind are reconciled at once: enough to keep an API server busy, few
/// enough to leave it some air. Namespaces share them fairly.
pub(crate) const RECONCILES_AT_ONCE: usize = 32;
/// How many Claims say at once what they wait for. Thousands may have to in the same second, and those that are granted
/// meanwhile need not: grants come first.
pub(crate) const CLAIMS_AT_ONCE: usize = 4;

/// A limited number of turns.
///
/// # Guarantees
/// At most so many are out at once, and of these at most three quarters in one namespace. A namespace
/// that waits gets a turn after each other one that waits has had one, however many wait there.
#[derive(Clone, Debug)]
pub(crate) struct Fair(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// How many one namespace may have.
    share: usize,
    out: BTreeMap<String, usize>,
    waiting: BTreeMap<String, VecDeque<oneshot::Sender<()>>>,
    /// Who has had a turn last: the next one is behind it.
    last: String,
}

/// One turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    fair: Fair,
    namespace: String,
}

impl Fair {
    /// So many turns.
    pub(crate) fn new(turns: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: turns,
            share: (turns * 3 / 4).max(1),
            out: BTreeMap::new(),
            waiting: BTreeMap::new(),
            last: String::new(),
        })))
    }

    /// Waits for a turn of this namespace.
    pub(crate) async fn turn(&self, namespace: &str) -> Turn {
        let granted = {
            let mut state = self.lock();
            let (sender, receiver) = oneshot::channel();
            let waiting = state.waiting.entry(namespace.to_owned()).or_default();
            waiting.push_back(sender);
            state.grant();
            receiver
        };
        let turn = Waiting {
            fair: self.clone(),
            namespace: namespace.to_owned(),
            granted: Some(granted),
        };
        turn.wait().await
    }

    fn give_up(&self, namespace: &str) {
        let mut state = self.lock();
        state.free += 1;
        if let Some(out) = state.out.get_mut(namespace) {
            *out -= 1;
            if *out == 0 {
                state.out.remove(namespace);
            }
        }
        state.grant();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in between can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A waiter. One that is dropped after its turn was granted passes it on.
struct Waiting {
    fair: Fair,
    namespace: String,
    granted: Option<oneshot::Receiver<()>>,
}

impl Waiting {
    async fn wait(mut self) -> Turn {
        if let Some(granted) = &mut self.granted {
            // The sender is dropped only after it was used.
            let _ = granted.await;
        }
        self.granted = None;
        Turn {
            fair: self.fair.clone(),
            namespace: std::mem::take(&mut self.namespace),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(mut granted) = self.granted.take() {
            // From here on no turn is granted to it.
            granted.close();
            let had_its_turn = matches!(granted.try_recv(), Ok(Some(())));
            if had_its_turn {
                self.fair.give_up(&self.namespace);
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.fair.give_up(&self.namespace);
    }
}

impl State {
    fn grant(&mut self) {
        while self.free > 0 {
            let Some(namespace) = self.next() else { return };
            let Some(waiting) = self.waiting.get_mut(&namespace) else {
                return;
            };
            let sender = waiting.pop_front();
            if waiting.is_empty() {
                self.waiting.remove(&namespace);
            }
            // Who has gone away meanwhile takes no turn.
            if sender.is_some_and(|sender| sender.send(()).is_ok()) {
                self.free -= 1;
                *self.out.entry(namespace.clone()).or_default() += 1;
                self.last = namespace;
            }
        }
    }

    /// The first namespace behind the last one that may have another turn.
    fn next(&self) -> Option<String> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let may = |(namespace, _): &(&String, _)| {
            self.out.get(*namespace).copied().unwrap_or_default() < self.share
        };
        let behind = self
            .waiting
            .range::<str, _>((Excluded(self.last.as_str()), Unbounded));
        let before = self
            .waiting
            .range::<str, _>((Unbounded, Included(self.last.as_str())));
        behind.chain(before).find(may).map(|(name, _)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, poll};

    use super::*;

    #[tokio::test]
    async fn one_namespace_leaves_room_for_others() {
        let fair = Fair::new(8);
        let mut turns = Vec::new();
        for _ in 0..6 {
            turns.push(fair.turn("hostile").await);
        }
        let mut seventh = Box::pin(fair.turn("hostile"));
        assert!(poll!(&mut seventh).is_pending());
        let other = fair.turn("other").now_or_never().expect("room for others");
        drop(other);
        assert!(poll!(&mut seventh).is_pending(), "that was not its turn");
        turns.pop();
        assert!(poll!(&mut seventh).is_ready());
    }

    #[tokio::test]
    async fn namespaces_that_wait_take_turns_however_many_wait_in_one() {
        let fair = Fair::new(1);
        let held = fair.turn("a").await;
        let mut waiting: Vec<_> = (0..1000).map(|_| Box::pin(fair.turn("a"))).collect();
        for turn in &mut waiting {
            assert!(poll!(turn).is_pending());
        }
        let mut b = Box::pin(fair.turn("b"));
        assert!(poll!(&mut b).is_pending());
        drop(held);
        assert!(poll!(&mut b).is_ready(), "b is next, before the thousand");
        assert!(poll!(&mut waiting[0]).is_ready());
    }

    #[tokio::test]
    async fn who_no_longer_waits_keeps_nobody_waiting() {
        let fair = Fair::new(1);
        let held = fair.turn("a").await;
        let mut gone = Box::pin(fair.turn("a"));
        assert!(poll!(&mut gone).is_pending());
        let mut granted = Box::pin(fair.turn("a"));
        assert!(poll!(&mut granted).is_pending());
        drop(gone);
        drop(held);
        // It has its turn, and goes away without having seen it.
        drop(granted);
        assert!(fair.turn("b").now_or_never().is_some());
    }
}
