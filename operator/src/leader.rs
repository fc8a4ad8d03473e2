//! One of several operators leads; the others wait.
//!
//! The election is our own: the crates there are compare clocks of different machines, or look at the
//! Lease only now and then, so that a standby learns late that it was released.

mod candidate;
mod clock;
mod election;
#[cfg(test)]
mod model;
mod record;

use std::time::Duration;

use kube::Client;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use self::candidate::{Candidate, Standing};
use self::election::Terms;
use self::record::SECONDS_MAX;
use crate::options::{Error, Options};
use crate::telemetry::{Phase, Telemetry};

/// The usual name of the `coordination.k8s.io` Lease by which operators agree, and by which clients see
/// that an operator is there.
pub const LEADER_LEASE: &str = "konductor-operator";

/// How long a leader that stops waits for what is under way.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// How several operators agree on one.
///
/// Clocks may differ, as long as they go at the same rate: nobody compares the time of day.
#[derive(Clone, Debug)]
pub struct LeaderElection {
    /// Where the Lease is: the operator's own namespace.
    pub namespace: String,
    /// The Lease's name. Operators that work in different namespaces, and whose Leases are in the same one, need
    /// different names.
    pub lease: String,
    /// Who this operator is: its pod's name, with something random where names repeat. No two may
    /// have the same at the same time: one that starts under the name that leads takes over at once,
    /// as what was started again.
    pub identity: String,
    /// After this many seconds without renewal, another operator leads; at most an hour.
    pub duration_seconds: u64,
    /// A leader that could not renew stops this many seconds before; at least one, and fewer than the
    /// duration. It renews twice in the time that is left.
    pub grace_seconds: u64,
}

impl LeaderElection {
    /// Election in a namespace, with the usual times: another leads 15 s after a leader is gone
    /// without a word, and at once after one that stopped in order. A leader renews every 5 s.
    pub fn new(namespace: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            lease: LEADER_LEASE.to_owned(),
            identity: identity.into(),
            duration_seconds: 15,
            grace_seconds: 5,
        }
    }

    fn terms(&self) -> Result<Terms, Error> {
        let (duration, grace) = (self.duration_seconds, self.grace_seconds);
        if self.identity.is_empty() {
            return Err(self.failed("this operator has no name; give it one that no other has"));
        }
        let seconds = i32::try_from(duration).ok();
        let seconds =
            seconds.filter(|seconds| *seconds <= SECONDS_MAX && (1..duration).contains(&grace));
        let seconds = seconds.ok_or_else(|| {
            self.failed(&format!(
                "it can't last {duration} s with a grace of {grace} s; let it last at most \
                 {SECONDS_MAX} s, with a grace of at least 1 s and less than that"
            ))
        })?;
        let leads_for = Duration::from_secs(duration - grace);
        Ok(Terms {
            identity: self.identity.clone(),
            seconds,
            leads_for,
            renews_every: leads_for / 2,
        })
    }

    fn failed(&self, message: &str) -> Error {
        Error::LeaderElection {
            namespace: self.namespace.clone(),
            name: self.lease.clone(),
            message: message.to_owned(),
        }
    }
}

/// Does `work` whenever this operator leads, until asked to stop. The Lease is released when what was
/// under way has ended.
pub(crate) async fn lead<Work>(
    client: Client,
    election: &LeaderElection,
    options: &Options,
    mut stopped: watch::Receiver<bool>,
    work: impl Fn(watch::Receiver<bool>) -> Work,
) -> Result<(), Error>
where
    Work: Future<Output = ()>,
{
    let terms = election.terms()?;
    let identity = &election.identity;
    let candidate = Candidate::new(client, election, terms, options.clock.clone());
    let (sender, mut standing) = watch::channel(Standing::NotKnown);
    let (resign, resigned) = oneshot::channel();
    // It renews whatever the work is at, and ends with this future.
    let mut campaign = JoinSet::new();
    campaign.spawn(candidate.run(sender, resigned));
    loop {
        let leads = tokio::select! {
            leads = until_it_leads(&mut standing, &options.telemetry) => leads,
            _ = stopped.wait_for(|stop| *stop) => None,
        };
        let Some(leads) = leads else { break };
        tracing::info!(identity, at = %options.clock.now(), "became leader");
        let (stop, stopping) = watch::channel(false);
        let working = work(stopping);
        tokio::pin!(working);
        let continues = tokio::select! {
            () = &mut working => false,
            lost = standing.wait_for(|standing| *standing != leads) => lost.is_ok(),
            _ = stopped.wait_for(|stop| *stop) => false,
        };
        // What is being written is finished under its own preconditions. What doesn't end, because its
        // connection is frozen, is dropped: that is no worse than a crash, and this operator stands by.
        let _ = stop.send(true);
        if tokio::time::timeout(STOPS_WITHIN, working).await.is_err() {
            tracing::warn!(identity, "requests in flight did not end in time; dropped");
        }
        tracing::info!(identity, "stopped leading");
        if !continues {
            break;
        }
    }
    let _ = resign.send(());
    match campaign.join_next().await {
        Some(Ok(Err(refused))) => Err(election.failed(&format!(
            "{refused}; check that the operator may create, get, list, watch and patch \
             leases.coordination.k8s.io there"
        ))),
        Some(Err(panicked)) => Err(election.failed(&panicked.to_string())),
        Some(Ok(Ok(()))) | None => Ok(()),
    }
}

/// Waits until this operator leads; `None` if the candidate has ended.
async fn until_it_leads(
    standing: &mut watch::Receiver<Standing>,
    telemetry: &Telemetry,
) -> Option<Standing> {
    loop {
        let now = *standing.borrow_and_update();
        match now {
            Standing::NotKnown => {}
            Standing::StandsBy => telemetry.enter(Phase::StandingBy),
            Standing::Leads(_) => return Some(now),
        }
        standing.changed().await.ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_elect_nobody_are_refused() {
        let election = |duration_seconds, grace_seconds| LeaderElection {
            duration_seconds,
            grace_seconds,
            ..LeaderElection::new("team", "one")
        };
        let table = [
            (15, 5),
            (2, 1),
            (3600, 3599),
            (15, 0),
            (5, 5),
            (0, 0),
            (3601, 1),
            (u64::MAX, 5),
        ];
        let accepted = table.map(|(duration, grace)| election(duration, grace).terms().is_ok());
        assert_eq!(
            accepted,
            [true, true, true, false, false, false, false, false]
        );
        let usual = LeaderElection::new("team", "one").terms().unwrap();
        assert_eq!(
            (usual.leads_for.as_secs(), usual.renews_every.as_secs()),
            (10, 5)
        );
        let error = election(5, 5).terms().unwrap_err();
        assert_eq!(
            error.to_string(),
            "leader election by lease team/konductor-operator failed: it can't last 5 s with a grace \
             of 5 s; let it last at most 3600 s, with a grace of at least 1 s and less than that"
        );
        let nameless = LeaderElection::new("team", "").terms().unwrap_err();
        assert_eq!(
            nameless.to_string(),
            "leader election by lease team/konductor-operator failed: this operator has no name; give \
             it one that no other has"
        );
    }
}
