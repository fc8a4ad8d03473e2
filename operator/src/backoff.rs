//! How long to wait after an error. Success starts it over.

use std::time::Duration;

use kube::runtime::utils::Backoff;

/// The first wait.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait: an API server that is back is used again within this long.
const LONGEST: Duration = Duration::from_secs(3);

/// The wait before the `failures`-th attempt in a row: 50 ms, doubling, at most 3 s.
pub(crate) fn after(failures: u32) -> Duration {
    FIRST
        .saturating_mul(1 << failures.clamp(1, 16).saturating_sub(1))
        .min(LONGEST)
}

/// The same for a watch that breaks.
#[derive(Debug, Default)]
pub(crate) struct WatchBackoff {
    failures: u32,
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        Some(after(self.failures))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits = [1, 2, 3, 6, 7, 8, 1000].map(|n| after(n).as_millis());
        assert_eq!(waits, [50, 100, 200, 1600, 3000, 3000, 3000]);
    }
}
