//! How long to wait after an error. Success starts it over.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;

/// The first wait.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait where nobody answers: an API server that is back is used again within this long.
pub(crate) const LONGEST: Duration = Duration::from_secs(3);
/// The longest wait of a watch, which costs a whole list each time.
pub(crate) const WATCH_LONGEST: Duration = Duration::from_secs(30);
/// A list after which nothing fails for this long has worked.
const STEADY: Duration = Duration::from_secs(10);

/// The wait before the `failures`-th attempt in a row: 50 ms, doubling, at most 3 s, and up to a quarter
/// shorter, so that objects which failed together don't return together. Those with different words differ.
pub(crate) fn after(failures: u32, word: &str) -> Duration {
    spread(doubled(failures).min(LONGEST), hash(word), failures)
}

fn doubled(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.clamp(1, 16).saturating_sub(1))
}

/// The waits of a watch that fails: 50 ms, doubling up to the longest, each up to a quarter shorter
/// than that, so that watches which broke together don't return together.
///
/// Only a list that succeeded starts it over, and only if the watch after it then works for a while:
/// an API server that lists and refuses to watch would otherwise be asked without a pause. What nobody answered is
/// counted by itself: it cost no list, and says nothing about those to come.
#[derive(Debug)]
pub(crate) struct WatchBackoff {
    seed: u64,
    longest: Duration,
    failures: u32,
    unanswered: u32,
    listed: Option<Instant>,
}

impl WatchBackoff {
    /// The waits of one watch; those with different words differ.
    pub(crate) fn new(word: &str, longest: Duration) -> Self {
        Self {
            seed: hash(word),
            longest,
            failures: 0,
            unanswered: 0,
            listed: None,
        }
    }

    /// Counts a request that no API server answered; returns how long to wait.
    pub(crate) fn unanswered(&mut self) -> Duration {
        self.unanswered = self.unanswered.saturating_add(1);
        let wait = doubled(self.unanswered).min(LONGEST);
        spread(wait, self.seed, self.unanswered)
    }

    /// Takes note of a list that succeeded.
    pub(crate) fn listed(&mut self, now: Instant) {
        self.unanswered = 0;
        self.listed = Some(now);
    }

    /// Counts what an API server refused or broke off; returns how long to wait.
    pub(crate) fn failed(&mut self, now: Instant) -> Duration {
        self.unanswered = 0;
        if self
            .listed
            .is_some_and(|listed| now.saturating_duration_since(listed) >= STEADY)
        {
            self.failures = 0;
        }
        // A list counts once: what fails again and again after it is not excused by it.
        if self.failures == 0 {
            self.listed = None;
        }
        self.failures = self.failures.saturating_add(1);
        let wait = doubled(self.failures).min(self.longest);
        spread(wait, self.seed, self.failures)
    }
}

/// A wait that is up to a quarter shorter, the same for the same seed and count.
fn spread(wait: Duration, seed: u64, failures: u32) -> Duration {
    let share = u32::try_from(hash(&(seed, failures)) % 256).unwrap_or_default();
    wait - wait / 4 * share / 256
}

fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let longest = [50, 100, 200, 1600, 3000, 3000, 3000].map(Duration::from_millis);
        let waits = |uid: &str| [1, 2, 3, 6, 7, 8, 1000].map(|n| after(n, uid));
        for (wait, longest) in waits("a").into_iter().zip(longest) {
            assert!(wait <= longest && wait >= longest * 3 / 4, "{wait:?}");
        }
        assert_eq!(waits("a"), waits("a"));
        assert_ne!(waits("a"), waits("b"));
    }

    #[test]
    fn waits_of_a_watch_rise_to_half_a_minute_and_differ_between_watches() {
        let now = Instant::now();
        let waits = |word| {
            let mut backoff = WatchBackoff::new(word, WATCH_LONGEST);
            std::array::from_fn::<_, 14, _>(|_| backoff.failed(now))
        };
        let [jobs, pods] = ["Job", "Pod"].map(waits);
        assert_ne!(jobs, pods);
        for (attempt, wait) in jobs.into_iter().enumerate() {
            let longest = Duration::from_millis(50 << attempt).min(WATCH_LONGEST);
            assert!(
                wait <= longest && wait >= longest * 3 / 4,
                "{attempt}: {wait:?}"
            );
        }
    }

    #[test]
    fn only_a_list_that_holds_starts_the_waits_over() {
        let mut now = Instant::now();
        let mut backoff = WatchBackoff::new("Job", WATCH_LONGEST);
        for _ in 0..12 {
            backoff.failed(now);
        }
        // It lists, and fails again at once.
        backoff.listed(now);
        assert!(backoff.failed(now) > Duration::from_secs(20));
        backoff.listed(now);
        now += STEADY;
        assert!(backoff.failed(now) <= FIRST);
        assert!(backoff.failed(now) > FIRST, "one list excuses one failure");
    }
}
