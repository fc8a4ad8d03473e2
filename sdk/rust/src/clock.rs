//! A clock that runs while the machine sleeps: a TTL does too.

#[cfg(unix)]
pub(crate) use self::of_kernel::now;
#[cfg(not(unix))]
pub(crate) use self::of_std::now;

#[cfg(unix)]
mod of_kernel {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    /// On macOS the monotonic clock runs while the machine sleeps; elsewhere it stops.
    #[cfg(target_vendor = "apple")]
    const CLOCK: ClockId = ClockId::Monotonic;
    #[cfg(not(target_vendor = "apple"))]
    const CLOCK: ClockId = ClockId::Boottime;

    /// Returns the time since the machine was started, sleep included.
    pub(crate) fn now() -> Duration {
        let time = clock_gettime(CLOCK);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanos)
    }
}

#[cfg(any(not(unix), test))]
mod of_std {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant, SystemTime};

    static BEGUN: LazyLock<(Instant, SystemTime)> =
        LazyLock::new(|| (Instant::now(), SystemTime::now()));

    /// Returns the time since the first call, sleep included: if the monotonic clock stops during sleep,
    /// the wall clock does not; if the wall clock is set back, the monotonic clock is not.
    pub(crate) fn now() -> Duration {
        let (monotonic, wall) = *BEGUN;
        monotonic.elapsed().max(wall.elapsed().unwrap_or_default())
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn the_clock_of_other_platforms_never_runs_backwards() {
            let begun = super::now();
            assert!(super::now() >= begun);
        }
    }
}
