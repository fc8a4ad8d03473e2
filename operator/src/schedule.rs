//! When which object of a kind is reconciled: each at once, never twice at the same time.
//!
//! What enters: objects, as often as events concern them. What leaves: a reconcile after each. What must never happen
//! here: two reconciles of an object at the same time, an event that no reconcile follows, or work that grows with the
//! number of those that wait.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use tokio_util::time::delay_queue::{DelayQueue, Key};

/// A longer wait ends after this: timers have an end, and a reconcile that comes early waits again.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// For so many objects room is kept.
const ROOM: usize = 1024;

/// Says that a reconcile looks at its object only from now on, so that events up to here need no other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Begun(Arc<AtomicBool>);

impl Begun {
    /// The object is looked at from now on.
    pub(crate) fn mark(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_marked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Where an object stands.
enum Place {
    /// Its reconcile is under way, and whether another follows it.
    UnderWay { begun: Begun, again: bool },
    /// It is looked at again after a while.
    Later(Key),
}

/// Reconciles each object that is asked for, and again after the time that its reconcile returns. Ends when nothing
/// more is asked for, and all reconciles that were under way then have ended.
///
/// # Guarantees
/// After an object was asked for, a reconcile of it is begun. An object is reconciled by one at a time. What waits for
/// a time, or inside its reconcile, costs nothing until it is woken.
pub(crate) async fn schedule<T, R>(
    objects: impl Stream<Item = T> + Unpin,
    reconcile: impl Fn(T, Begun) -> R,
) where
    T: Clone + Eq + Hash,
    R: Future<Output = Option<Duration>>,
{
    let mut objects = objects.fuse();
    let mut is_over = false;
    let mut places: HashMap<T, Place> = HashMap::new();
    let mut under_way = FuturesUnordered::new();
    let mut later: DelayQueue<T> = DelayQueue::new();
    loop {
        // What was needed for thousands of objects is not kept for a few.
        if places.capacity() > ROOM && places.len() < places.capacity() / 8 {
            places.shrink_to(ROOM);
        }
        if later.capacity() > ROOM && later.len() < later.capacity() / 8 {
            // The keys that were given out stay valid.
            later.compact();
        }
        let object = tokio::select! {
            // What has happened is taken in first: one reconcile answers all of it.
            biased;
            next = objects.next(), if !is_over => match next {
                Some(object) => object,
                None => {
                    is_over = true;
                    continue;
                }
            },
            // Before what has ended: a time limit is kept although there is always something that has.
            Some(due) = later.next(), if !is_over => {
                let object = due.into_inner();
                places.remove(&object);
                object
            }
            Some((object, wait)) = under_way.next() => {
                let wait: Option<Duration> = wait;
                match (places.remove(&object), wait) {
                    (Some(Place::UnderWay { again: true, .. }), _) if !is_over => object,
                    (_, Some(wait)) if !is_over => {
                        let key = later.insert(object.clone(), wait.min(LONGEST));
                        places.insert(object, Place::Later(key));
                        continue;
                    }
                    _ => continue,
                }
            }
            else => return,
        };
        match places.get_mut(&object) {
            Some(Place::UnderWay { begun, again }) => *again |= begun.is_marked(),
            place => {
                if let Some(Place::Later(key)) = place {
                    later.remove(key);
                }
                let begun = Begun::default();
                let reconciled = reconcile(object.clone(), begun.clone());
                let its = object.clone();
                under_way.push(reconciled.map(|wait| (its, wait)));
                let place = Place::UnderWay {
                    begun,
                    again: false,
                };
                places.insert(object, place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;

    use futures::channel::mpsc::{UnboundedSender, unbounded};
    use futures::channel::oneshot;
    use futures::poll;
    use tokio::time::Instant;

    use super::*;

    type Reconcile = (&'static str, Begun, oneshot::Sender<Option<Duration>>);

    /// Plays a script beside a schedule; `begun` are the reconciles that it began, each until the script ends it.
    async fn beside<Doing: Future<Output = ()>>(
        doing: impl FnOnce(UnboundedSender<&'static str>, Began) -> Doing,
    ) {
        let (ask, objects) = unbounded();
        let began = Began::default();
        let reconcile = |object, begun: Begun| {
            let (end, ended) = oneshot::channel();
            began.0.borrow_mut().push((object, begun, end));
            async move { ended.await.expect("the script ends it") }
        };
        tokio::select! {
            biased;
            () = doing(ask, began.clone()) => {}
            () = schedule(objects, reconcile) => panic!("it ends before the script"),
        }
    }

    #[derive(Clone, Default)]
    struct Began(std::rc::Rc<RefCell<Vec<Reconcile>>>);

    impl Began {
        /// The reconciles that were begun since this was asked last, once nothing moves any more.
        async fn since(&self) -> Vec<Reconcile> {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            std::mem::take(&mut *self.0.borrow_mut())
        }

        async fn only(&self) -> Reconcile {
            let mut all = self.since().await;
            assert_eq!(all.len(), 1, "{:?}", names(&all));
            all.remove(0)
        }
    }

    fn names(all: &[Reconcile]) -> Vec<&'static str> {
        all.iter().map(|(name, ..)| *name).collect()
    }

    #[tokio::test]
    async fn an_object_is_reconciled_once_for_all_events_before_it_is_looked_at() {
        let script = |ask: UnboundedSender<_>, began: Began| async move {
            for _ in 0..3 {
                ask.unbounded_send("a").expect("open");
            }
            let (_, begun, end) = began.only().await;
            // It waits for its turn, and looks at its object after that.
            ask.unbounded_send("a").expect("open");
            assert!(began.since().await.is_empty());
            begun.mark();
            end.send(None).expect("it waits");
            assert!(began.since().await.is_empty());
        };
        beside(script).await;
    }

    #[tokio::test]
    async fn an_event_during_a_reconcile_is_followed_by_another_one() {
        let script = |ask: UnboundedSender<_>, began: Began| async move {
            ask.unbounded_send("a").expect("open");
            let (_, begun, end) = began.only().await;
            begun.mark();
            ask.unbounded_send("a").expect("open");
            ask.unbounded_send("a").expect("open");
            // Others don't wait for it, and it is not reconciled twice at the same time.
            ask.unbounded_send("b").expect("open");
            let (other, _, _under_way) = began.only().await;
            assert_eq!(other, "b");
            end.send(Some(Duration::from_secs(60))).expect("it waits");
            let (again, begun, end) = began.only().await;
            assert_eq!(again, "a");
            begun.mark();
            end.send(None).expect("it waits");
            assert!(began.since().await.is_empty());
        };
        beside(script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_is_looked_at_again_after_its_time_unless_an_event_comes_first() {
        let script = |ask: UnboundedSender<_>, began: Began| async move {
            ask.unbounded_send("a").expect("open");
            let (_, begun, end) = began.only().await;
            begun.mark();
            end.send(Some(Duration::from_secs(10))).expect("it waits");
            assert!(began.since().await.is_empty());
            tokio::time::advance(Duration::from_secs(4)).await;
            ask.unbounded_send("a").expect("open");
            let (_, begun, end) = began.only().await;
            begun.mark();
            end.send(Some(Duration::from_secs(10))).expect("it waits");
            // The first time is forgotten.
            assert!(began.since().await.is_empty());
            tokio::time::advance(Duration::from_secs(9)).await;
            assert!(began.since().await.is_empty());
            tokio::time::advance(Duration::from_millis(1001)).await;
            let (_, _, end) = began.only().await;
            // A time that no timer can wait for is no reason to panic.
            end.send(Some(Duration::MAX)).expect("it waits");
            assert!(began.since().await.is_empty());
        };
        beside(script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_is_begun_in_the_moment_of_its_event() {
        let script = |ask: UnboundedSender<_>, began: Began| async move {
            let asked_at = Instant::now();
            ask.unbounded_send("a").expect("open");
            let (_, _, end) = began.only().await;
            assert_eq!(asked_at.elapsed(), Duration::ZERO);
            end.send(None).expect("it waits");
        };
        beside(script).await;
    }

    #[tokio::test]
    async fn at_the_end_what_is_under_way_is_finished_and_nothing_is_begun() {
        let (ask, objects) = unbounded();
        let (end, ended) = oneshot::channel();
        let ended = RefCell::new(Some(ended));
        let reconcile = |_, begun: Begun| {
            begun.mark();
            let ended = ended.borrow_mut().take().expect("it is begun once");
            async move { ended.await.expect("an end") }
        };
        let mut running = pin!(schedule(objects, reconcile));
        ask.unbounded_send("a").expect("open");
        assert!(poll!(&mut running).is_pending());
        ask.unbounded_send("a").expect("open");
        drop(ask);
        assert!(poll!(&mut running).is_pending());
        end.send(Some(Duration::from_secs(1))).expect("it waits");
        assert!(poll!(&mut running).is_ready());
    }

    #[tokio::test]
    async fn those_that_wait_are_not_polled_until_they_are_woken() {
        let (ask, objects) = unbounded();
        let polls = RefCell::new(0);
        let reconcile = |_, _| {
            std::future::poll_fn(|_| {
                *polls.borrow_mut() += 1;
                std::task::Poll::<Option<Duration>>::Pending
            })
        };
        let mut running = pin!(schedule(objects, reconcile));
        for object in 0..1000 {
            ask.unbounded_send(object).expect("open");
            assert!(poll!(&mut running).is_pending());
        }
        assert_eq!(*polls.borrow(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_is_up_is_taken_in_before_what_has_ended() {
        let script = |ask: UnboundedSender<_>, began: Began| async move {
            ask.unbounded_send("limit").expect("open");
            let (_, _, limit) = began.only().await;
            ask.unbounded_send("busy").expect("open");
            let (_, begun, busy) = began.only().await;
            begun.mark();
            ask.unbounded_send("busy").expect("open");
            assert!(began.since().await.is_empty());
            limit.send(Some(Duration::ZERO)).expect("it waits");
            busy.send(None).expect("it waits");
            assert_eq!(names(&began.since().await), ["limit", "busy"]);
        };
        beside(script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_are_looked_at_again_although_memory_is_freed() {
        const ALL: usize = 8 * ROOM;
        let (ask, objects) = unbounded();
        let begun = RefCell::new(vec![0; ALL]);
        let reconcile = |object: usize, _| {
            let times = &mut begun.borrow_mut()[object];
            *times += 1;
            // Few wait for long, and all others only once.
            let wait = match (object < 3, *times) {
                (true, 1) => Some(100),
                (false, 1) => Some(1),
                _ => None,
            };
            std::future::ready(wait.map(Duration::from_secs))
        };
        let script = async {
            for object in 0..ALL {
                ask.unbounded_send(object).expect("open");
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(begun.borrow()[..4], [1, 1, 1, 2]);
            // An event comes before its time.
            ask.unbounded_send(0).expect("open");
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(begun.borrow()[..4], [2, 1, 1, 2]);
            tokio::time::sleep(Duration::from_secs(100)).await;
        };
        tokio::select! {
            () = script => {}
            () = schedule(objects, reconcile) => panic!("it ends before the script"),
        }
        assert_eq!(*begun.borrow(), vec![2; ALL]);
    }
}
