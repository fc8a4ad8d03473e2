//! The pause between attempts.

use std::time::Duration;

/// The first pause; each one is twice as long as the one before, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause: so soon a server that is back is used again.
pub(crate) const LONGEST: Duration = Duration::from_secs(2);

/// Pauses that get longer. Their jitter keeps those that a restart of the API server has interrupted
/// from all coming back in the same moment.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    pub(crate) async fn pause(&mut self) {
        let half = self.0 / 2;
        let random = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
        self.0 = (self.0 * 2).min(LONGEST);
        tokio::time::sleep(half + half.mul_f64(random)).await;
    }
}
