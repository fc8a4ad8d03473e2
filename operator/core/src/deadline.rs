//! When a time limit passes that counts from a time which an object has.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Objects keep whole seconds, cut off: what counts from one of them may have happened almost a second later.
const CUT_OFF: SignedDuration = SignedDuration::from_secs(1);

/// The first moment at which `limit` has certainly passed since a time that an object has: up to a second late, and
/// never early. `None` if that is beyond what a timestamp can say.
pub(crate) fn passes(since: &Time, limit: SignedDuration) -> Option<Timestamp> {
    let limit = limit.checked_add(CUT_OFF)?;
    since.0.checked_add(limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use konductor_api::condition::whole_second;

    #[test]
    fn limit_is_never_early_and_at_most_a_second_late() {
        let limit = SignedDuration::from_millis(1_500);
        for millis in (0..2_000).step_by(7) {
            let happened = Timestamp::from_millisecond(1_767_225_600_000 + millis).expect("a time");
            let kept = Time(whole_second(happened));
            let passes = passes(&kept, limit).expect("a time");
            let took = passes.duration_since(happened);
            assert!(took > limit, "{millis}: {took:#}");
            assert!(took <= limit + CUT_OFF, "{millis}: {took:#}");
        }
        assert_eq!(passes(&Time(Timestamp::MAX), limit), None);
        assert_eq!(passes(&Time(Timestamp::MIN), SignedDuration::MAX), None);
    }
}
