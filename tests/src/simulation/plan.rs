//! What goes wrong, as data that can be written on a command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

use super::faults::{Injected, SLOW_EVENT, SLOW_WRITE, WatchFault, WriteFault};

/// What goes wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where uids and delays come from.
    pub seed: u64,
    /// How many operators run, each as if it were alone.
    pub operators: usize,
    /// The longest that a watch event may be under way: how stale a cache can be.
    pub delay_ms: u64,
    /// Single faults.
    pub faults: Vec<Fault>,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// At an operator's n-th write, counted from 1.
    Write {
        /// Which operator, from 0.
        operator: usize,
        /// Which one, from 1.
        nth: u64,
        /// What becomes of it.
        fault: WriteFault,
    },
    /// At an operator's n-th watch event, counted from 1.
    Watch {
        /// Which operator, from 0.
        operator: usize,
        /// Which one, from 1.
        nth: u64,
        /// What becomes of it.
        fault: WatchFault,
    },
    /// An operator stands still, as by SIGSTOP.
    Pause {
        /// Which operator, from 0.
        operator: usize,
        /// When, in milliseconds from the beginning.
        at_ms: u64,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// An operator's clock jumps.
    Clock {
        /// Which operator, from 0.
        operator: usize,
        /// When, in milliseconds from the beginning.
        at_ms: u64,
        /// By how many milliseconds.
        by_ms: i64,
    },
    /// Somebody deletes the object that the n-th stored version is about, as soon as it is stored.
    Delete {
        /// Which version, from 1.
        nth: u64,
        /// Whether every operator is away meanwhile.
        down: bool,
    },
    /// Somebody deletes a Job as soon as it has this version.
    DeleteJob {
        /// Which Job, in the order of their creation, from 1.
        job: u64,
        /// Which version of it, from 1.
        version: u64,
        /// Whether every operator is away meanwhile.
        down: bool,
    },
    /// Somebody gives every Job a TTL: it is deleted so long after its end.
    Ttl {
        /// How long, in milliseconds.
        after_ms: u64,
    },
    /// The API server forgets its history, so that watches get 410.
    Compact {
        /// When, in milliseconds from the beginning.
        at_ms: u64,
    },
}

impl Plan {
    /// Nothing goes wrong.
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            operators: 1,
            delay_ms: 0,
            faults: Vec::new(),
        }
    }

    /// One thing goes wrong.
    pub fn with(fault: Fault) -> Self {
        Self {
            faults: vec![fault],
            ..Self::calm(1)
        }
    }

    /// Several things go wrong, as chance has it; `writes` is how many writes there are to fail.
    pub fn random(seed: u64, writes: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let operators = if chance.u8(..4) == 0 { 2 } else { 1 };
        let delay_ms = [0, 0, 20, 500, 5000][chance.usize(..5)];
        let count = chance.usize(1..=6);
        let faults = (0..count).map(|_| {
            let operator = chance.usize(..operators);
            let at_ms = chance.u64(..60_000);
            match chance.u8(..10) {
                0..=4 => Fault::Write {
                    operator,
                    nth: chance.u64(1..=writes.max(1)),
                    fault: WriteFault::ALL[chance.usize(..WriteFault::ALL.len())],
                },
                5..=6 => Fault::Watch {
                    operator,
                    nth: chance.u64(1..=writes.max(1) * 2),
                    fault: WatchFault::ALL[chance.usize(..WatchFault::ALL.len())],
                },
                7 => Fault::Pause {
                    operator,
                    at_ms,
                    for_ms: chance.u64(1..60_000),
                },
                8 => Fault::Clock {
                    operator,
                    at_ms,
                    by_ms: chance.i64(-600_000..600_000),
                },
                _ => Fault::Compact { at_ms },
            }
        });
        let faults = faults.collect();
        Self {
            seed,
            operators,
            delay_ms,
            faults,
        }
    }

    pub(super) fn of_operator(&self, index: usize) -> Vec<Fault> {
        let faults = self.faults.iter().copied();
        faults
            .filter(|fault| match fault {
                Fault::Write { operator, .. }
                | Fault::Watch { operator, .. }
                | Fault::Pause { operator, .. }
                | Fault::Clock { operator, .. } => *operator == index,
                Fault::Delete { .. }
                | Fault::DeleteJob { .. }
                | Fault::Ttl { .. }
                | Fault::Compact { .. } => false,
            })
            .collect()
    }

    pub(super) fn delay(&self) -> (u64, Duration) {
        (self.seed, Duration::from_millis(self.delay_ms))
    }

    /// When the last operator that was stopped continues.
    pub(super) fn last_pause_ends(&self) -> Duration {
        let ends = self.faults.iter().map(|fault| match fault {
            Fault::Pause { at_ms, for_ms, .. } => Duration::from_millis(at_ms + for_ms),
            _ => Duration::ZERO,
        });
        // Pauses do not overlap: one that is due during another follows it.
        ends.sum()
    }

    /// How long what happens may take to be known, and acted upon in a few steps.
    pub(super) fn longest_delay(&self) -> Duration {
        let slow = self.faults.iter().map(|fault| match fault {
            Fault::Watch {
                fault: WatchFault::Slow,
                ..
            } => SLOW_EVENT,
            Fault::Write {
                fault: WriteFault::Slow,
                ..
            } => SLOW_WRITE,
            _ => Duration::ZERO,
        });
        slow.sum::<Duration>() + Duration::from_millis(self.delay_ms) * 8
    }

    /// What else has gone wrong when so much time has passed: clocks that jumped, histories that
    /// were forgotten, events that came late, operators that did not know of each other.
    pub(super) fn injected(&self, passed: Duration) -> Injected {
        let due = |at_ms: &u64| passed >= Duration::from_millis(*at_ms);
        let mut injected = Injected::new();
        let mut inject = |what: &str| *injected.entry(what.to_owned()).or_default() += 1;
        for fault in &self.faults {
            match fault {
                Fault::Clock { at_ms, .. } if due(at_ms) => inject("Clock"),
                Fault::Compact { at_ms } if due(at_ms) => inject("Compact"),
                _ => {}
            }
        }
        if self.delay_ms > 0 {
            inject("late events");
        }
        if self.operators > 1 {
            inject("two operators");
        }
        injected
    }

    pub(super) fn compactions(&self) -> Vec<Duration> {
        let mut times: Vec<Duration> = self
            .faults
            .iter()
            .filter_map(|fault| match fault {
                Fault::Compact { at_ms } => Some(Duration::from_millis(*at_ms)),
                _ => None,
            })
            .collect();
        times.sort_unstable();
        times
    }
}

impl Fault {
    /// How much the clock is off, once it has jumped.
    pub(super) fn clock_offset(&self, passed: Duration) -> SignedDuration {
        match self {
            Self::Clock { at_ms, by_ms, .. } if passed >= Duration::from_millis(*at_ms) => {
                SignedDuration::from_millis(*by_ms)
            }
            _ => SignedDuration::ZERO,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write {
                operator,
                nth,
                fault,
            } => write!(formatter, "write:{operator}:{nth}:{fault:?}"),
            Self::Watch {
                operator,
                nth,
                fault,
            } => write!(formatter, "watch:{operator}:{nth}:{fault:?}"),
            Self::Pause {
                operator,
                at_ms,
                for_ms,
            } => write!(formatter, "pause:{operator}:{at_ms}:{for_ms}"),
            Self::Clock {
                operator,
                at_ms,
                by_ms,
            } => write!(formatter, "clock:{operator}:{at_ms}:{by_ms}"),
            Self::Delete { nth, down } => write!(formatter, "delete:{nth}:{down}"),
            Self::DeleteJob { job, version, down } => {
                write!(formatter, "delete-job:{job}:{version}:{down}")
            }
            Self::Ttl { after_ms } => write!(formatter, "ttl:{after_ms}"),
            Self::Compact { at_ms } => write!(formatter, "compact:{at_ms}"),
        }
    }
}

/// `seed=7 operators=1 delay=0 write:0:12:CrashAfter …`
impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            operators,
            delay_ms,
            faults,
        } = self;
        write!(
            formatter,
            "seed={seed} operators={operators} delay={delay_ms}"
        )?;
        faults
            .iter()
            .try_for_each(|fault| write!(formatter, " {fault}"))
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self::calm(0);
        for word in text.split_whitespace() {
            let bad = || format!("`{word}` is no part of a plan");
            match word.split_once('=') {
                Some(("seed", value)) => plan.seed = value.parse().map_err(|_| bad())?,
                Some(("operators", value)) => plan.operators = value.parse().map_err(|_| bad())?,
                Some(("delay", value)) => plan.delay_ms = value.parse().map_err(|_| bad())?,
                Some(_) => return Err(bad()),
                None => plan.faults.push(fault(word).ok_or_else(bad)?),
            }
        }
        Ok(plan)
    }
}

fn fault(word: &str) -> Option<Fault> {
    let parts: Vec<&str> = word.split(':').collect();
    Some(match parts.as_slice() {
        ["write", operator, nth, name] => Fault::Write {
            operator: operator.parse().ok()?,
            nth: nth.parse().ok()?,
            fault: named(&WriteFault::ALL, name)?,
        },
        ["watch", operator, nth, name] => Fault::Watch {
            operator: operator.parse().ok()?,
            nth: nth.parse().ok()?,
            fault: named(&WatchFault::ALL, name)?,
        },
        ["pause", operator, at, for_] => Fault::Pause {
            operator: operator.parse().ok()?,
            at_ms: at.parse().ok()?,
            for_ms: for_.parse().ok()?,
        },
        ["clock", operator, at, by] => Fault::Clock {
            operator: operator.parse().ok()?,
            at_ms: at.parse().ok()?,
            by_ms: by.parse().ok()?,
        },
        ["delete", nth, down] => Fault::Delete {
            nth: nth.parse().ok()?,
            down: down.parse().ok()?,
        },
        ["delete-job", job, version, down] => Fault::DeleteJob {
            job: job.parse().ok()?,
            version: version.parse().ok()?,
            down: down.parse().ok()?,
        },
        ["ttl", after] => Fault::Ttl {
            after_ms: after.parse().ok()?,
        },
        ["compact", at] => Fault::Compact {
            at_ms: at.parse().ok()?,
        },
        _ => return None,
    })
}

fn named<T: Copy + fmt::Debug>(all: &[T], name: &str) -> Option<T> {
    all.iter()
        .copied()
        .find(|candidate| format!("{candidate:?}") == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_is_written() {
        for seed in 0..500 {
            let plan = Plan::random(seed, 40);
            assert_eq!(plan.to_string().parse(), Ok(plan));
        }
        for fault in [
            Fault::Delete { nth: 7, down: true },
            Fault::DeleteJob {
                job: 3,
                version: 2,
                down: false,
            },
            Fault::Ttl { after_ms: 1000 },
        ] {
            let plan = Plan::with(fault);
            assert_eq!(plan.to_string().parse(), Ok(plan));
        }
    }
}
