//! A clock that is never set, and that runs while the machine sleeps: a lease does too.

use std::time::Duration;

#[cfg(unix)]
pub(crate) use self::of_kernel::now;
#[cfg(not(unix))]
pub(crate) use self::of_std::now;

/// A moment: the time since the machine was started, sleep included.
pub(crate) type Moment = Duration;

/// The runtime's timers stand still while the machine sleeps, so the clock is looked at this often.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// Waits until a moment; forever without one.
pub(crate) async fn reaches(moment: Option<Moment>) {
    let Some(moment) = moment else {
        return std::future::pending().await;
    };
    while let Some(left) = moment.checked_sub(now()).filter(|left| !left.is_zero()) {
        tokio::time::sleep(left.min(LOOKS_EVERY)).await;
    }
}

#[cfg(unix)]
mod of_kernel {
    use rustix::time::{ClockId, clock_gettime};

    use super::{Duration, Moment};

    /// On macOS the monotonic clock runs while the machine sleeps; elsewhere it stops.
    #[cfg(target_vendor = "apple")]
    const CLOCK: ClockId = ClockId::Monotonic;
    #[cfg(not(target_vendor = "apple"))]
    const CLOCK: ClockId = ClockId::Boottime;

    /// Returns the moment.
    pub(crate) fn now() -> Moment {
        let time = clock_gettime(CLOCK);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanos)
    }
}

#[cfg(not(unix))]
mod of_std {
    use std::sync::LazyLock;
    use std::time::Instant;

    use super::Moment;

    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

    /// Returns the moment: the clock of Windows runs while the machine sleeps.
    pub(crate) fn now() -> Moment {
        BEGUN.elapsed()
    }
}
