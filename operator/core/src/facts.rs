//! What was observed about other objects, and how fresh it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use konductor_api::{
    Arrival, Barrier, Claim, Gate, Lease, LedgerKind, ObjectName, Participant, Run, Semaphore,
    Subject, Target,
};

use crate::held::Held;
use crate::pod::job_uid as controlling_job;
use crate::waited_for::WaitedFor;

/// Something that a decision may need to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// One Job.
    Job(ObjectName),
    /// One Gate.
    Gate(ObjectName),
    /// One Barrier.
    Barrier(ObjectName),
    /// One Run.
    Run(ObjectName),
    /// One Claim.
    Claim(ObjectName),
    /// One Arrival.
    Arrival(ObjectName),
    /// One Semaphore.
    Semaphore(ObjectName),
    /// One Lease.
    Lease(ObjectName),
    /// One Pod.
    Pod(ObjectName),
    /// Every Job with these labels.
    JobsLabelled {
        /// Where.
        namespace: String,
        /// All of them.
        labels: BTreeMap<String, String>,
    },
    /// Every Job that names the Run of this name, by its label or as an owner, and that the watch has shown and not shown
    /// to be deleted. Always from the cache: a live read does not say whether a deletion is on its way.
    JobsShown(ObjectName),
    /// Every Job with these labels that the watch has shown to be deleted, as it was then; remembered
    /// for as long as something may need it. Always from memory.
    JobsGone {
        /// Where.
        namespace: String,
        /// All of them.
        labels: BTreeMap<String, String>,
    },
    /// The Jobs of this name that the watch has shown to be deleted, as in `JobsGone`, and the one that it still shows: a
    /// read may find that it is gone before the watch says so.
    JobGone(ObjectName),
    /// Every Job that arrives at this Barrier and that the watch has shown to be deleted.
    ArrivingGone(ObjectName),
    /// Every Job whose hold annotation names this ledger.
    JobsHolding {
        /// The ledger's kind.
        kind: LedgerKind,
        /// The ledger's place.
        name: ObjectName,
    },
    /// What the unfinished objects of a namespace name.
    WaitedFor(String),
    /// Every Claim on this ledger.
    ClaimsOn {
        /// The ledger's kind.
        kind: LedgerKind,
        /// The ledger's place.
        name: ObjectName,
    },
    /// Every Arrival that names this Barrier.
    ArrivalsAt(ObjectName),
    /// Every Run of this pipeline.
    RunsOf(ObjectName),
    /// Every Pod that the Job with this uid controls.
    PodsOf {
        /// The Job's namespace.
        namespace: String,
        /// The Job's uid.
        job_uid: String,
    },
    /// What the Jobs and pods of a namespace hold, by ledger. One live read answers all the ledgers that ask before it
    /// begins.
    HeldIn(String),
}

impl Fact {
    /// The namespace that it is about.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Job(name)
            | Self::Gate(name)
            | Self::Barrier(name)
            | Self::Run(name)
            | Self::Claim(name)
            | Self::Arrival(name)
            | Self::Semaphore(name)
            | Self::Lease(name)
            | Self::Pod(name)
            | Self::JobsHolding { name, .. }
            | Self::ClaimsOn { name, .. }
            | Self::ArrivalsAt(name)
            | Self::RunsOf(name)
            | Self::JobGone(name)
            | Self::JobsShown(name)
            | Self::ArrivingGone(name) => &name.namespace,
            Self::JobsLabelled { namespace, .. }
            | Self::JobsGone { namespace, .. }
            | Self::WaitedFor(namespace)
            | Self::HeldIn(namespace)
            | Self::PodsOf { namespace, .. } => namespace,
        }
    }

    /// Whether the answer takes a scan of all objects of its namespace: then one scan answers all that ask.
    pub fn is_scanned(&self) -> bool {
        matches!(self, Self::WaitedFor(_))
    }

    /// Whether only the operator's own memory has it: there is nothing to be read live.
    pub fn is_remembered(&self) -> bool {
        matches!(
            self,
            Self::JobsShown(_) | Self::JobsGone { .. } | Self::JobGone(_) | Self::ArrivingGone(_)
        )
    }
}

/// What a condition about this subject is judged by.
impl From<&Subject> for Fact {
    fn from(subject: &Subject) -> Self {
        match &subject.target {
            Target::Job(name) => Self::Job(subject.place(name)),
            Target::Jobs { labels, .. } => Self::JobsLabelled {
                namespace: subject.namespace.clone(),
                labels: labels.clone(),
            },
            Target::Barrier { name, .. } => Self::Barrier(subject.place(name)),
            Target::Gate(name) => Self::Gate(subject.place(name)),
            Target::Run(name) => Self::Run(subject.place(name)),
            Target::RunOf { pipeline, .. } => Self::RunsOf(subject.place(pipeline)),
        }
    }
}

/// How a fact was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// From the operator's cache, which may lag behind.
    Cached,
    /// From the API server, after the version of the object that is decided about was read.
    Live,
}

/// What must be observed before a decision can be made.
pub type Needs = BTreeMap<Fact, Freshness>;

/// The objects that answer a fact: none or one where it names one object.
#[derive(Clone, Debug)]
pub enum Objects {
    /// Jobs.
    Jobs(Vec<Arc<Participant>>),
    /// Gates.
    Gates(Vec<Arc<Gate>>),
    /// Barriers.
    Barriers(Vec<Arc<Barrier>>),
    /// Runs.
    Runs(Vec<Arc<Run>>),
    /// Claims.
    Claims(Vec<Arc<Claim>>),
    /// Arrivals.
    Arrivals(Vec<Arc<Arrival>>),
    /// Semaphores.
    Semaphores(Vec<Arc<Semaphore>>),
    /// Leases.
    Leases(Vec<Arc<Lease>>),
    /// Pods.
    Pods(Vec<Arc<Pod>>),
    /// What unfinished objects name.
    WaitedFor(Arc<WaitedFor>),
    /// What Jobs and pods hold.
    Held(Arc<Held>),
}

/// Everything that was observed so far for one decision.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    seen: BTreeMap<Fact, (Freshness, Objects)>,
    /// The renewal of each granted Claim that the operator has seen last, by uid, and when it first
    /// saw it, on its own clock.
    pub renewals_seen: BTreeMap<String, (Option<MicroTime>, Timestamp)>,
    /// Since when the API server refuses to start the Job that is decided about, and its words.
    pub start_refused: Option<(Timestamp, String)>,
    /// How long pods may be unable to start where their Job does not say.
    pub pending_timeout: Option<SignedDuration>,
    /// Whether Runs are exported as traces, so that containers are given their place in one.
    pub traces: bool,
}

impl Facts {
    /// Records the answer to a fact. A live answer is never replaced by a cached one.
    pub fn record(&mut self, fact: Fact, freshness: Freshness, mut objects: Objects) {
        if let (Fact::PodsOf { job_uid, .. }, Objects::Pods(pods)) = (&fact, &mut objects) {
            // Whoever observes finds them by a label, which anybody may write.
            pods.retain(|pod| controlling_job(pod) == Some(job_uid));
        }
        match self.seen.get(&fact) {
            Some((seen_freshness, _)) if *seen_freshness > freshness => {}
            _ => {
                self.seen.insert(fact, (freshness, objects));
            }
        }
    }

    /// Forgets the answers, so that each is observed again.
    pub fn forget_observed(&mut self) {
        self.seen.clear();
    }

    /// Asks for several facts at once, so that they are read together.
    ///
    /// # Errors
    /// Those that are not known as freshly as that.
    pub fn require(&self, facts: impl IntoIterator<Item = (Fact, Freshness)>) -> Result<(), Needs> {
        let missing: Needs = facts
            .into_iter()
            .filter(|(fact, freshness)| !self.knows(fact, *freshness))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing)
        }
    }

    /// Whether a fact was observed as freshly as that.
    pub fn knows(&self, fact: &Fact, freshness: Freshness) -> bool {
        self.seen
            .get(fact)
            .is_some_and(|(seen_freshness, _)| *seen_freshness >= freshness)
    }

    fn objects(&self, fact: Fact, freshness: Freshness) -> Result<&Objects, Needs> {
        match self.seen.get(&fact) {
            Some((seen_freshness, objects)) if *seen_freshness >= freshness => Ok(objects),
            _ => Err(Needs::from([(fact, freshness)])),
        }
    }

    /// What the unfinished objects of a namespace name, read live.
    ///
    /// # Errors
    /// What must be observed first.
    pub(crate) fn waited_for(&self, namespace: &str) -> Result<&WaitedFor, Needs> {
        let fact = Fact::WaitedFor(namespace.to_owned());
        match self.objects(fact.clone(), Freshness::Live)? {
            Objects::WaitedFor(names) => Ok(names),
            _ => Err(Needs::from([(fact, Freshness::Live)])),
        }
    }

    /// What the Jobs and pods of a namespace hold, read live.
    ///
    /// # Errors
    /// What must be observed first.
    pub(crate) fn held(&self, namespace: &str) -> Result<&Held, Needs> {
        let fact = Fact::HeldIn(namespace.to_owned());
        match self.objects(fact.clone(), Freshness::Live)? {
            Objects::Held(held) => Ok(held),
            _ => Err(Needs::from([(fact, Freshness::Live)])),
        }
    }
}

macro_rules! accessors {
    ($($one:ident, $many:ident, $fact:ident, $objects:ident, $type:ty;)*) => {
        impl Facts {
            $(
                /// The object of this name, where there is one.
                ///
                /// # Errors
                /// The need, where it was not observed as freshly as that.
                pub fn $one(
                    &self,
                    name: &ObjectName,
                    freshness: Freshness,
                ) -> Result<Option<&Arc<$type>>, Needs> {
                    Ok(self.$many(Fact::$fact(name.clone()), freshness)?.first())
                }

                /// The objects that answer this fact.
                ///
                /// # Errors
                /// The need, where it was not observed as freshly as that.
                pub fn $many(
                    &self,
                    fact: Fact,
                    freshness: Freshness,
                ) -> Result<&[Arc<$type>], Needs> {
                    match self.objects(fact, freshness)? {
                        Objects::$objects(objects) => Ok(objects),
                        _ => Ok(&[]),
                    }
                }
            )*
        }
    };
}

accessors! {
    job, jobs, Job, Jobs, Participant;
    gate, gates, Gate, Gates, Gate;
    barrier, barriers, Barrier, Barriers, Barrier;
    run, runs, Run, Runs, Run;
    claim, claims, Claim, Claims, Claim;
    arrival, arrivals, Arrival, Arrivals, Arrival;
    semaphore, semaphores, Semaphore, Semaphores, Semaphore;
    lease, leases, Lease, Leases, Lease;
    pod, pods, Pod, Pods, Pod;
}
