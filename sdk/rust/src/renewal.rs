//! When a grant is renewed, and when it is lost.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Bounds a pause: timers may stand still while the machine sleeps, the clock does not.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The least that an attempt is given, where so much is left.
const ATTEMPT_MIN: Duration = Duration::from_secs(1);

/// What an attempt to renew has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewed {
    Held,
    TakenBack,
    NotKnown,
}

/// How a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is held until then, by the clock that counts TTLs.
    Until(Duration),
    /// It is held no longer, and why.
    Lost(&'static str),
}

/// What keeps a grant: it is renewed at a third of its TTL, and lost at 4/5 of it.
pub(crate) struct Renewal<N, S> {
    pub(crate) ttl: Duration,
    pub(crate) now: N,
    pub(crate) send: S,
}

impl<N, S, F> Renewal<N, S>
where
    N: Fn() -> Duration,
    S: FnMut() -> F,
    F: Future<Output = Renewed>,
{
    /// Renews until it is lost. `confirmed` is when that was sent which was answered last: the
    /// operator counts from some moment after, and as early as that, however late the answer came.
    pub(crate) async fn run(mut self, mut confirmed: Duration, report: watch::Sender<Standing>) {
        let mut due = confirmed + self.ttl / 3;
        loop {
            let sent = (self.now)();
            let left = self.end(confirmed).saturating_sub(sent);
            if left.is_zero() {
                report.send_replace(Standing::Lost("it was not renewed in time"));
                return;
            }
            if sent < due {
                sleep((due - sent).min(left).min(LOOK_EVERY)).await;
                continue;
            }
            match self.attempt(left).await {
                Renewed::Held => {
                    (confirmed, due) = (sent, sent + self.ttl / 3);
                    report.send_replace(Standing::Until(self.end(confirmed)));
                }
                Renewed::TakenBack => {
                    let why = "the operator took it back, or its claim was deleted";
                    report.send_replace(Standing::Lost(why));
                    return;
                }
                Renewed::NotKnown => due = (self.now)() + self.ttl / 30,
            }
        }
    }

    /// When a grant ends whose last confirmed renewal was sent then.
    pub(crate) fn end(&self, confirmed: Duration) -> Duration {
        confirmed + self.ttl * 4 / 5
    }

    /// One attempt, which must leave time for another.
    pub(crate) async fn attempt(&mut self, left: Duration) -> Renewed {
        let length = left.min((self.ttl / 6).max(ATTEMPT_MIN));
        let attempt = timeout(length, (self.send)()).await;
        attempt.unwrap_or(Renewed::NotKnown)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::Instant;

    use super::*;

    const HELD: (Renewed, u64) = (Renewed::Held, 0);
    const SILENCE: (Renewed, u64) = (Renewed::NotKnown, 3600);
    const REFUSED: (Renewed, u64) = (Renewed::NotKnown, 0);

    /// What the API server answers, each after so many seconds, the last one over and over; when the
    /// renewals are sent, in seconds; and when it is lost, and why.
    struct Case {
        claim: &'static str,
        answers: &'static [(Renewed, u64)],
        until: u64,
        sent: &'static [u64],
        lost: Option<(u64, &'static str)>,
    }

    const LATE: &str = "it was not renewed in time";

    const CASES: [Case; 6] = [
        Case {
            claim: "renewals that are confirmed keep it",
            answers: &[HELD],
            until: 45,
            sent: &[10, 20, 30, 40],
            lost: None,
        },
        Case {
            claim: "one that hangs is given up, and tried again",
            answers: &[SILENCE, HELD],
            until: 26,
            sent: &[10, 16, 26],
            lost: None,
        },
        Case {
            claim: "without an answer it is lost at 4/5",
            answers: &[SILENCE],
            until: 60,
            sent: &[10, 16, 22],
            lost: Some((24, LATE)),
        },
        Case {
            claim: "the TTL counts from before the renewal was sent, not from its answer",
            answers: &[(Renewed::Held, 4), SILENCE],
            until: 60,
            sent: &[10, 20, 26, 32],
            lost: Some((34, LATE)),
        },
        Case {
            claim: "taken back is lost at once",
            answers: &[HELD, (Renewed::TakenBack, 0)],
            until: 60,
            sent: &[10, 20],
            lost: Some((20, "the operator took it back, or its claim was deleted")),
        },
        Case {
            claim: "refusals are tried again at a thirtieth",
            answers: &[REFUSED],
            until: 14,
            sent: &[10, 11, 12, 13, 14],
            lost: None,
        },
    ];

    #[tokio::test(start_paused = true)]
    async fn a_renewal_is_sent_at_a_third_and_lost_at_four_fifths() {
        for case in CASES {
            let begun = Instant::now();
            let sent = Arc::new(Mutex::new(Vec::new()));
            let noting = Arc::clone(&sent);
            let renewal = Renewal {
                ttl: Duration::from_secs(30),
                now: move || begun.elapsed(),
                send: move || {
                    let mut sent = noting.lock().expect("not poisoned");
                    let at = sent.len().min(case.answers.len() - 1);
                    sent.push(begun.elapsed());
                    async move {
                        sleep(Duration::from_secs(case.answers[at].1)).await;
                        case.answers[at].0
                    }
                },
            };
            let (report, standing) = watch::channel(Standing::Until(Duration::ZERO));
            let until = Duration::from_secs(case.until) + Duration::from_millis(100);
            let _ = timeout(until, renewal.run(Duration::ZERO, report)).await;
            let lost = match *standing.borrow() {
                Standing::Until(_) => None,
                Standing::Lost(why) => Some((begun.elapsed().as_secs(), why)),
            };
            let sent = sent.lock().expect("not poisoned");
            let sent: Vec<_> = sent.iter().map(Duration::as_secs).collect();
            assert_eq!((lost, &sent[..]), (case.lost, case.sent), "{}", case.claim);
        }
    }

    /// The machine sleeps for an hour, and its timers with it, 5 minutes after the beginning.
    #[tokio::test(start_paused = true)]
    async fn a_loss_is_noticed_within_a_second_of_waking() {
        let begun = Instant::now();
        let asleep_at = Duration::from_secs(300) + Duration::from_millis(1);
        let renewal = Renewal {
            ttl: Duration::from_secs(3600),
            now: move || match begun.elapsed() {
                awake if awake < asleep_at => awake,
                awake => awake + Duration::from_secs(3600),
            },
            send: async || Renewed::Held,
        };
        let (report, standing) = watch::channel(Standing::Until(Duration::ZERO));
        renewal.run(Duration::ZERO, report).await;
        let noticed = begun.elapsed().as_secs();
        assert_eq!((noticed, *standing.borrow()), (301, Standing::Lost(LATE)));
    }
}
