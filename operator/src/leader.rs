//! One of several operators leads; the others wait.

use jiff::Timestamp;
use kube::Client;
use kube_lease_manager::{LeaseCreateMode, LeaseManagerBuilder};
use tokio::sync::watch;

use crate::options::Error;
use crate::telemetry::{Phase, Telemetry};

/// The name of the `coordination.k8s.io` Lease by which operators agree, and by which clients see
/// that one is there.
pub const LEADER_LEASE: &str = "konductor-operator";

/// How several operators agree on one.
#[derive(Clone, Debug)]
pub struct LeaderElection {
    /// Where the Lease is: the operator's own namespace.
    pub namespace: String,
    /// Who this operator is: its pod's name, with something random where names repeat.
    pub identity: String,
    /// After this many seconds without renewal, another operator leads.
    pub duration_seconds: u64,
    /// A renewal is tried this many seconds before.
    pub grace_seconds: u64,
}

impl LeaderElection {
    /// Election in a namespace, with the usual times: another leads at most 15 s after a leader is
    /// gone without a word, and as soon as it looks after one that stopped in order.
    pub fn new(namespace: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            identity: identity.into(),
            duration_seconds: 15,
            grace_seconds: 5,
        }
    }
}

/// Does `work` whenever this operator leads, until told to stop. The Lease is given back then.
pub(crate) async fn lead<Work>(
    client: Client,
    election: &LeaderElection,
    telemetry: &Telemetry,
    mut stopped: watch::Receiver<bool>,
    work: impl Fn(watch::Receiver<bool>) -> Work,
) -> Result<(), Error>
where
    Work: Future<Output = ()>,
{
    let failed = |message: String| Error::LeaderElection {
        namespace: election.namespace.clone(),
        name: LEADER_LEASE.to_owned(),
        message,
    };
    let manager = LeaseManagerBuilder::new(client, LEADER_LEASE)
        .with_namespace(&election.namespace)
        .with_identity(&election.identity)
        .with_duration(election.duration_seconds)
        .with_grace(election.grace_seconds)
        .with_create_mode(LeaseCreateMode::AutoCreate)
        .build()
        .await
        .map_err(|error| failed(error.to_string()))?;
    let (mut leads, election_task) = manager.watch().await;
    loop {
        telemetry.enter(Phase::StandingBy);
        tokio::select! {
            changed = leads.wait_for(|leads| *leads) => if changed.is_err() { break },
            _ = stopped.wait_for(|stop| *stop) => break,
        }
        tracing::info!(identity = election.identity, at = %Timestamp::now(), "leads");
        let (stop, stopping) = watch::channel(false);
        let working = work(stopping);
        tokio::pin!(working);
        let go_on = tokio::select! {
            () = &mut working => false,
            lost = leads.wait_for(|leads| !*leads) => lost.is_ok(),
            _ = stopped.wait_for(|stop| *stop) => false,
        };
        // What is being written is finished under its own preconditions.
        let _ = stop.send(true);
        working.await;
        tracing::info!(identity = election.identity, "leads no longer");
        if !go_on {
            break;
        }
    }
    let stopped_in_order = *stopped.borrow();
    drop(leads);
    match election_task.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if !stopped_in_order => Err(failed(error.to_string())),
        Err(error) if !stopped_in_order => Err(failed(error.to_string())),
        _ => Ok(()),
    }
}
