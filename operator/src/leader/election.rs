//! What a candidate does next, and whether it leads.
//!
//! What enters: the Lease as last seen, and the moments of a clock of one's own. What leaves: the next
//! step, and until when the candidate leads. What must never happen here: a look at the time of day,
//! which differs from machine to machine; two leaders at once.
//!
//! A holder leads for a while from *before* it sent what made it the holder, or renewed it. Nobody else
//! takes the Lease from it before that has lasted for longer, counted from *after* it was stored; and
//! each write names the version that it replaces. So it is enough that clocks go at the same rate.
//!
//! # Assumptions
//! Nobody but candidates writes the Lease. Who edits or deletes it by hand may have two leaders for a
//! moment, whose writes still have their own preconditions.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::clock::Moment;
use super::record::{Record, to_the_microsecond};

/// Who takes part, and its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) identity: String,
    /// How long the others wait for it: what it writes into the Lease.
    pub(crate) seconds: i32,
    /// How long it leads without another renewal.
    pub(crate) leads_for: Duration,
    pub(crate) renews_every: Duration,
}

/// A version of the Lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) record: Record,
    pub(crate) version: String,
}

/// Where the Lease stands, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Lease {
    /// It is not there. Who held it when it vanished may lead until then.
    Missing { held_until: Moment },
    /// It is there, and has said the same since then.
    There { seen: Seen, since: Moment },
}

/// What a candidate knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    lease: Lease,
    /// What became of the last write is not known, or it may be that something was missed.
    in_doubt: bool,
    /// The `acquireTime` by which this candidate knows its own record. Another one under its name is
    /// left by an earlier life, until one exists, and somebody else's later on.
    acquired: Option<Timestamp>,
    /// When the last write was sent that made it the holder, or renewed that.
    renewed: Option<Moment>,
}

/// A write, of which each names the version that it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Creates the Lease, as its holder.
    Create,
    /// Becomes the holder.
    Take,
    /// Stays the holder.
    Renew,
    /// Leaves it to whoever comes first.
    Release,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Look what is stored.
    Look,
    Write(Step),
    /// Nothing before this moment, or before the Lease changes.
    Wait(Option<Moment>),
}

/// What a candidate is and does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Until when it leads, where it does.
    pub(crate) leads_until: Option<Moment>,
    pub(crate) next: Next,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    step: Step,
    /// The version that it replaces; none where it creates.
    pub(crate) on: Option<String>,
    pub(crate) record: Record,
    /// Before it was sent.
    sent: Moment,
}

impl Default for View {
    /// Nothing is known yet.
    fn default() -> Self {
        Self {
            lease: Lease::Missing {
                held_until: Moment::ZERO,
            },
            in_doubt: true,
            acquired: None,
            renewed: None,
        }
    }
}

/// Decides what to do, and whether this candidate leads. A candidate that gives up does not lead, and only
/// releases what it holds.
pub(crate) fn decide(terms: &Terms, view: &View, gives_up: bool, now: Moment) -> Decision {
    let leads_until = view.renewed.map(|sent| sent + terms.leads_for);
    let leads_until = leads_until.filter(|end| now < *end && !gives_up);
    let next = match &view.lease {
        // It has never written a Lease that it could release.
        _ if gives_up && view.acquired.is_none() => Next::Wait(None),
        _ if view.in_doubt => Next::Look,
        Lease::There { seen, .. } if gives_up && view.wrote(terms, &seen.record) => {
            Next::Write(Step::Release)
        }
        _ if gives_up => Next::Wait(None),
        Lease::Missing { .. } if leads_until.is_some() => Next::Write(Step::Create),
        Lease::Missing { held_until } => at(*held_until, Step::Create, now),
        Lease::There { seen, since } => match &seen.record.holder {
            None => Next::Write(Step::Take),
            Some(_) if view.wrote(terms, &seen.record) => {
                let due = view.renewed.map(|sent| sent + terms.renews_every);
                at(due.unwrap_or_default(), Step::Renew, now)
            }
            // It was this one's before it was started again: nobody else leads.
            Some(holder) if *holder == terms.identity && view.acquired.is_none() => {
                Next::Write(Step::Take)
            }
            Some(_) => at(*since + seen.record.lasts(terms.seconds), Step::Take, now),
        },
    };
    Decision { leads_until, next }
}

fn at(moment: Moment, step: Step, now: Moment) -> Next {
    if now < moment {
        Next::Wait(Some(moment))
    } else {
        Next::Write(step)
    }
}

impl View {
    /// The Lease was read, after every answer so far; none, where it is not there.
    pub(crate) fn looked(&mut self, terms: &Terms, lease: Option<Seen>, now: Moment) {
        self.in_doubt = false;
        self.lease = match (lease, &self.lease) {
            (None, Lease::Missing { held_until }) => Lease::Missing {
                held_until: *held_until,
            },
            (None, Lease::There { seen, .. }) => {
                let another = seen.record.holder.is_some() && !self.wrote(terms, &seen.record);
                let lasts = seen.record.lasts(terms.seconds);
                Lease::Missing {
                    held_until: if another { now + lasts } else { now },
                }
            }
            // Somebody has changed what is no part of the election.
            (Some(lease), Lease::There { seen, since }) if seen.record == lease.record => {
                Lease::There {
                    seen: lease,
                    since: *since,
                }
            }
            (Some(lease), _) => {
                if !self.wrote(terms, &lease.record) {
                    self.renewed = None;
                }
                Lease::There {
                    seen: lease,
                    since: now,
                }
            }
        };
    }

    /// A watch has shown the Lease; it may lag behind what is known already. That it is gone has no
    /// version to compare, so the Lease is read.
    pub(crate) fn noticed(&mut self, terms: &Terms, lease: Option<Seen>, now: Moment) {
        let Some(lease) = lease else {
            return self.doubt();
        };
        match &self.lease {
            Lease::There { seen, .. } if is_known(&lease.version, &seen.version) => {}
            _ => {
                let in_doubt = self.in_doubt;
                self.looked(terms, Some(lease), now);
                self.in_doubt = in_doubt;
            }
        }
    }

    /// It may be that something was missed.
    pub(crate) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// Prepares a write; `time` is the time of day, which others only compare for equality.
    pub(crate) fn write(
        &mut self,
        step: Step,
        terms: &Terms,
        now: Moment,
        time: Timestamp,
    ) -> Write {
        let time = to_the_microsecond(time);
        let (before, on) = match &self.lease {
            Lease::Missing { .. } => (Record::default(), None),
            Lease::There { seen, .. } => (seen.record.clone(), Some(seen.version.clone())),
        };
        let same = before.holder.as_ref() == Some(&terms.identity);
        // Others see by it that it was renewed, also where the clock was set back.
        let renewed = match before.renewed {
            Some(last) if same => time.max(next(last)),
            _ => time,
        };
        let (acquired, transitions) = match step {
            Step::Create => (Some(time), 0),
            Step::Take if same => (Some(time), before.transitions),
            Step::Take => (Some(time), before.transitions.max(0).saturating_add(1)),
            Step::Renew | Step::Release => (before.acquired, before.transitions),
        };
        let releases = step == Step::Release;
        self.in_doubt = true;
        self.acquired = acquired;
        Write {
            step,
            on,
            record: Record {
                holder: (!releases).then(|| terms.identity.clone()),
                seconds: Some(if releases { 1 } else { terms.seconds }),
                acquired,
                renewed: Some(renewed),
                transitions,
            },
            sent: now,
        }
    }

    /// A write was stored as this version.
    pub(crate) fn answered(&mut self, write: Write, version: String) {
        self.in_doubt = false;
        self.renewed = (write.step != Step::Release).then_some(write.sent);
        self.lease = Lease::There {
            seen: Seen {
                record: write.record,
                version,
            },
            since: write.sent,
        };
    }

    /// Whether this candidate has written the record, or one that it renews.
    fn wrote(&self, terms: &Terms, record: &Record) -> bool {
        record.holder.as_ref() == Some(&terms.identity)
            && self.acquired.is_some()
            && record.acquired == self.acquired
    }
}

fn next(time: Timestamp) -> Timestamp {
    let microsecond = SignedDuration::from_micros(1);
    time.checked_add(microsecond).unwrap_or(time)
}

/// Whether a version is the one that is known, or one before it. What is no number can't be compared.
fn is_known(version: &str, latest: &str) -> bool {
    match (version.parse::<u64>(), latest.parse::<u64>()) {
        (Ok(version), Ok(latest)) => version <= latest,
        _ => version == latest,
    }
}

#[cfg(test)]
mod tests;
