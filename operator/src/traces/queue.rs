//! The Runs that wait to be exported: which is next, when one that failed is tried again, and which never are.
//!
//! What enters: Runs that have ended, and how each try ended. What leaves: the Run to try next, or when that will be.
//! What must never happen here: a Run that fails and keeps another one waiting; a queue that grows without a limit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use konductor_core::ObjectName;
use konductor_core::trace::TraceId;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How long one that failed waits at first, and at most.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How many there are at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many Runs wait. Those that come then are looked for in the cache later.
    pub(super) waiting: usize,
    /// How many traces are remembered as given up; one has 16 bytes, twice.
    pub(super) given_up: usize,
}

/// The Runs that wait, and a bell that rings when one is added.
#[derive(Debug)]
pub(super) struct Queue {
    order: Mutex<Order>,
    added: Notify,
}

/// A Run that waits.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Waiting {
    pub(super) run: ObjectName,
    /// The trace of the attempt that has ended.
    pub(super) trace: TraceId,
    /// How often its export failed.
    failures: u32,
    /// From when on it may be tried.
    from: Instant,
}

/// What to do next.
#[derive(Debug, PartialEq)]
enum Next {
    Try(Waiting),
    /// Nothing may be tried before.
    WaitUntil(Instant),
    /// Nothing waits.
    Idle,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            order: Mutex::new(Order::new(limits)),
            added: Notify::new(),
        }
    }

    /// Adds a Run that has ended, unless it waits, is being tried or was given up.
    pub(super) fn push(&self, run: ObjectName, trace: TraceId) {
        if self.order().push(run, trace, Instant::now()) {
            self.added.notify_one();
        }
    }

    /// Waits for the Run to try next, and takes it out. Its try ends with one of the functions below.
    pub(super) async fn next(&self) -> Waiting {
        loop {
            let added = self.added.notified();
            // The lock is released before the waits below.
            let next = self.order().take(Instant::now());
            match next {
                Next::Try(waiting) => return waiting,
                Next::WaitUntil(time) => tokio::select! {
                    () = added => {}
                    () = sleep_until(time) => {}
                },
                Next::Idle => added.await,
            }
        }
    }

    /// The Run was exported.
    pub(super) fn succeeded(&self) {
        self.order().succeeded();
    }

    /// The Run needs no export.
    pub(super) fn settled(&self) {
        self.order().trying = None;
    }

    /// The export failed for a reason that may pass. Returns how long the Run rests at least.
    pub(super) fn failed(&self, waiting: Waiting) -> Duration {
        self.order().failed(waiting, Instant::now())
    }

    /// The export failed for good.
    pub(super) fn gave_up(&self, trace: TraceId) {
        self.order().gave_up(trace);
    }

    /// Returns whether Runs were forgotten, once, when there is room for them.
    pub(super) fn takes_overflow(&self) -> bool {
        self.order().takes_overflow()
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        // A panic in between leaves at most a Run that is tried twice.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is tried when: a value that only its functions change, at times that they are given.
///
/// Runs are tried in the order in which they may be: one that was not tried yet from when it was added, one that failed
/// after a rest of its own, which grows with its failures. So a Run that always fails takes one try of the others'
/// time for each of its rests. Retries also rest together, longer with each failure until an export succeeds: while the
/// collector is away, there is one retry a minute, however many Runs wait.
#[derive(Debug)]
struct Order {
    limits: Limits,
    waiting: BTreeMap<ObjectName, Waiting>,
    trying: Option<TraceId>,
    /// How many tries failed since one succeeded.
    failures: u32,
    /// Before it, none that failed is tried again.
    retries_from: Option<Instant>,
    overflowed: bool,
    given_up: BTreeSet<TraceId>,
    /// The same, oldest first.
    given_up_order: VecDeque<TraceId>,
}

impl Order {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: BTreeMap::new(),
            trying: None,
            failures: 0,
            retries_from: None,
            overflowed: false,
            given_up: BTreeSet::new(),
            given_up_order: VecDeque::new(),
        }
    }

    /// Adds a Run; returns whether it was added. One for which there is no room is forgotten.
    fn push(&mut self, run: ObjectName, trace: TraceId, now: Instant) -> bool {
        let waits = self.waiting.get(&run).map(|waiting| waiting.trace);
        if [waits, self.trying].contains(&Some(trace)) || self.given_up.contains(&trace) {
            return false;
        }
        if waits.is_none() && self.waiting.len() >= self.limits.waiting {
            self.overflowed = true;
            return false;
        }
        let waiting = Waiting {
            run: run.clone(),
            trace,
            failures: 0,
            from: now,
        };
        self.waiting.insert(run, waiting);
        true
    }

    /// From when on a Run may be tried.
    fn from(&self, waiting: &Waiting) -> Instant {
        let retries_from = self.retries_from.filter(|_| waiting.failures > 0);
        retries_from.map_or(waiting.from, |from| from.max(waiting.from))
    }

    fn take(&mut self, now: Instant) -> Next {
        let waiting = self.waiting.values();
        let first = waiting.min_by_key(|waiting| (self.from(waiting), waiting.from));
        let Some(first) = first.cloned() else {
            return Next::Idle;
        };
        let from = self.from(&first);
        if from > now {
            return Next::WaitUntil(from);
        }
        self.waiting.remove(&first.run);
        self.trying = Some(first.trace);
        Next::Try(first)
    }

    fn succeeded(&mut self) {
        self.trying = None;
        self.failures = 0;
        self.retries_from = None;
    }

    fn failed(&mut self, mut waiting: Waiting, now: Instant) -> Duration {
        self.trying = None;
        self.retries_from = Some(now + rest(self.failures));
        self.failures += 1;
        let rest = rest(waiting.failures);
        waiting.failures += 1;
        waiting.from = now + rest;
        if self.waiting.contains_key(&waiting.run) {
            // A later attempt has ended meanwhile.
        } else if self.waiting.len() < self.limits.waiting {
            self.waiting.insert(waiting.run.clone(), waiting);
        } else {
            self.overflowed = true;
        }
        rest
    }

    fn gave_up(&mut self, trace: TraceId) {
        self.trying = None;
        if self.given_up.insert(trace) {
            self.given_up_order.push_back(trace);
        }
        if self.given_up_order.len() > self.limits.given_up
            && let Some(oldest) = self.given_up_order.pop_front()
        {
            self.given_up.remove(&oldest);
        }
    }

    fn takes_overflow(&mut self) -> bool {
        let has_room = self.waiting.len() <= self.limits.waiting / 2;
        has_room && std::mem::take(&mut self.overflowed)
    }
}

/// The rest after so many failures: twice as long after each, up to a minute.
fn rest(failures: u32) -> Duration {
    let (first, longest) = REST;
    longest.min(first.saturating_mul(1 << failures.min(16)))
}

#[cfg(test)]
mod tests {
    use konductor_api::Run;
    use serde_json::json;

    use super::*;

    const LIMITS: Limits = Limits {
        waiting: 4,
        given_up: 2,
    };

    fn run(name: &str) -> ObjectName {
        ObjectName::new("ns", name)
    }

    fn trace(name: &str, attempt: u32) -> TraceId {
        let run = json!({
            "metadata": {"name": name, "namespace": "ns", "uid": name},
            "spec": {"pipeline": "p", "jobs": 1, "attempt": attempt},
        });
        TraceId::of(&serde_json::from_value::<Run>(run).expect("a Run"))
    }

    /// What happens to an order.
    enum Event {
        Push(&'static str),
        /// The first attempt of this Run is tried, and so on.
        Tries(&'static str),
        Succeeds,
        /// It rests for so many seconds.
        Fails(u64),
        GivesUp,
        /// Nothing is tried before this second.
        WaitsUntil(u64),
        Idle,
    }

    use Event::*;

    /// Plays events, each at its second.
    fn play(events: &[(u64, Event)]) -> Order {
        let begin = Instant::now();
        let at = |second: u64| begin + Duration::from_secs(second);
        let mut order = Order::new(LIMITS);
        let mut tried: Option<Waiting> = None;
        for (index, (second, event)) in events.iter().enumerate() {
            let now = at(*second);
            let mut taken = || tried.take().expect("one is tried");
            match event {
                Push(name) => {
                    order.push(run(name), trace(name, 1), now);
                }
                Tries(name) => {
                    let next = order.take(now);
                    let Next::Try(waiting) = next else {
                        panic!("event {index}: {next:?}")
                    };
                    assert_eq!(waiting.run, run(name), "event {index}");
                    tried = Some(waiting);
                }
                Succeeds => {
                    taken();
                    order.succeeded();
                }
                Fails(rest) => {
                    let rests = order.failed(taken(), now);
                    assert_eq!(rests.as_secs(), *rest, "event {index}");
                }
                GivesUp => order.gave_up(taken().trace),
                WaitsUntil(second) => {
                    let expected = Next::WaitUntil(at(*second));
                    assert_eq!(order.take(now), expected, "event {index}");
                }
                Idle => assert_eq!(order.take(now), Next::Idle, "event {index}"),
            }
        }
        order
    }

    #[test]
    fn a_run_that_fails_keeps_no_other_waiting() {
        play(&[
            (0, Push("bad")),
            (1, Push("good")),
            (1, Push("fine")),
            (1, Tries("bad")),
            (2, Fails(1)),
            (2, Tries("fine")),
            (2, Succeeds),
            (2, Tries("good")),
            (3, Succeeds),
            (3, Tries("bad")),
            (3, Fails(2)),
            (3, WaitsUntil(5)),
            // One that comes now is tried at once, although a retry would rest.
            (4, Push("late")),
            (4, Tries("late")),
            (4, Succeeds),
            (4, WaitsUntil(5)),
            (5, Tries("bad")),
            (5, Fails(4)),
        ]);
    }

    #[test]
    fn a_run_rests_longer_with_each_failure_and_up_to_a_minute() {
        let rests: Vec<u64> = (0..8).map(|failures| rest(failures).as_secs()).collect();
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(rest(u32::MAX), REST.1);
    }

    #[test]
    fn while_the_collector_is_away_runs_are_retried_one_after_another() {
        play(&[
            (0, Push("a")),
            (0, Push("b")),
            (0, Push("c")),
            (0, Tries("a")),
            (0, Fails(1)),
            (0, Tries("b")),
            (0, Fails(1)),
            (0, Tries("c")),
            (0, Fails(1)),
            // Three failed, so the first retry rests for four seconds, and the next one for eight.
            (0, WaitsUntil(4)),
            (4, Tries("a")),
            (4, Fails(2)),
            (4, WaitsUntil(12)),
            // It is there again: the others follow at once.
            (12, Tries("b")),
            (12, Succeeds),
            (12, Tries("c")),
            (12, Succeeds),
            (12, Tries("a")),
            (12, Succeeds),
            (12, Idle),
        ]);
    }

    #[test]
    fn a_run_waits_once_and_not_while_it_is_tried_or_after_it_was_given_up() {
        let mut order = play(&[
            (0, Push("a")),
            (0, Push("a")),
            (0, Tries("a")),
            (0, Push("a")),
            (0, Idle),
            (0, GivesUp),
            (0, Push("a")),
            (0, Idle),
            // The oldest of three is forgotten.
            (0, Push("b")),
            (0, Tries("b")),
            (0, GivesUp),
            (0, Push("c")),
            (0, Tries("c")),
            (0, GivesUp),
            (0, Push("a")),
            (0, Push("b")),
            (0, Tries("a")),
            (0, Succeeds),
            (0, Idle),
        ]);
        assert_eq!(order.given_up.len(), order.given_up_order.len());
        // Another attempt is another trace.
        let now = Instant::now();
        assert!(order.push(run("b"), trace("b", 2), now));
        assert!(!order.push(run("b"), trace("b", 2), now));
        let Next::Try(second) = order.take(now) else {
            panic!("nothing waits")
        };
        assert!(order.push(run("b"), trace("b", 3), now), "it ended again");
        order.failed(second, now);
        let Next::Try(third) = order.take(now) else {
            panic!("nothing waits")
        };
        assert_eq!((third.trace, third.failures), (trace("b", 3), 0));
    }

    #[test]
    fn what_has_no_room_is_looked_for_when_half_of_the_others_are_gone() {
        let names = ["a", "b", "c", "d", "e"];
        let events = names.map(|name| (0, Push(name)));
        let mut order = play(&events);
        assert_eq!(order.waiting.len(), LIMITS.waiting);
        let now = Instant::now();
        assert!(matches!(order.take(now), Next::Try(_)));
        assert!(!order.takes_overflow());
        assert!(matches!(order.take(now), Next::Try(_)));
        assert!(order.takes_overflow() && !order.takes_overflow());
        // One that fails when all places are taken is forgotten, too.
        let Next::Try(tried) = order.take(now) else {
            panic!("nothing waits")
        };
        for name in ["f", "g", "h"] {
            assert!(order.push(run(name), trace(name, 1), now));
        }
        order.failed(tried, now);
        assert_eq!(order.waiting.len(), LIMITS.waiting);
        assert!(order.overflowed);
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_wakes_up_when_a_run_is_added_and_when_a_rest_is_over() {
        let queue = Queue::new(LIMITS);
        let add = async { queue.push(run("a"), trace("a", 1)) };
        let (first, ()) = futures::join!(queue.next(), add);
        assert_eq!(first.run, run("a"));
        let begin = Instant::now();
        let rest = queue.failed(first);
        let again = queue.next().await;
        assert_eq!(again.run, run("a"));
        assert!(begin.elapsed() >= rest, "{:?}", begin.elapsed());
        queue.settled();
        let add = async { queue.push(run("a"), trace("a", 1)) };
        let (once_more, ()) = futures::join!(queue.next(), add);
        assert_eq!(once_more.failures, 0);
    }
}
