//! One event concerns a few objects: it finds them, and queues them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::stream::select_all;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::limits::HOLDERS_MAX;
use konductor_api::{
    Barrier, Claim, ClaimPhase, Gate, Holder, HolderKind, Lease, LedgerKind, Participant, Role,
    Run, RunOutcome, Semaphore, condition,
};
use konductor_core::run::newly_recorded;
use konductor_core::{ObjectName, barrier_end, gate_end, job_end, job_uid, named_runs, run_end};
use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::cache::{Cache, Seen, Watches};
use crate::index::{Key, Refers, Watched, released};
use crate::reference::reference;
use crate::scans::Scans;
use crate::telemetry::{Phase, Telemetry};

/// Where objects wait for their turn. A queue holds each object once: the scheduler behind it sees
/// to that.
#[derive(Clone)]
pub(crate) struct Senders {
    jobs: UnboundedSender<ObjectRef<Participant>>,
    barriers: UnboundedSender<ObjectRef<Barrier>>,
    claims: UnboundedSender<ObjectRef<Claim>>,
    gates: UnboundedSender<ObjectRef<Gate>>,
    leases: UnboundedSender<ObjectRef<Lease>>,
    runs: UnboundedSender<ObjectRef<Run>>,
    semaphores: UnboundedSender<ObjectRef<Semaphore>>,
    scans: Arc<Scans>,
    telemetry: Telemetry,
}

/// The other ends.
pub(crate) struct Receivers {
    pub(crate) jobs: UnboundedReceiver<ObjectRef<Participant>>,
    pub(crate) barriers: UnboundedReceiver<ObjectRef<Barrier>>,
    pub(crate) claims: UnboundedReceiver<ObjectRef<Claim>>,
    pub(crate) gates: UnboundedReceiver<ObjectRef<Gate>>,
    pub(crate) leases: UnboundedReceiver<ObjectRef<Lease>>,
    pub(crate) runs: UnboundedReceiver<ObjectRef<Run>>,
    pub(crate) semaphores: UnboundedReceiver<ObjectRef<Semaphore>>,
}

/// The queues of the kinds that are decided about. An Arrival is its Barrier's business, a Pod its Job's.
pub(crate) struct Queues {
    pub(crate) senders: Senders,
    pub(crate) receivers: Receivers,
}

impl Queues {
    pub(crate) fn new(telemetry: &Telemetry, scans: &Arc<Scans>) -> Self {
        let (jobs, jobs_out) = unbounded();
        let (barriers, barriers_out) = unbounded();
        let (claims, claims_out) = unbounded();
        let (gates, gates_out) = unbounded();
        let (leases, leases_out) = unbounded();
        let (runs, runs_out) = unbounded();
        let (semaphores, semaphores_out) = unbounded();
        Self {
            senders: Senders {
                jobs,
                barriers,
                claims,
                gates,
                leases,
                runs,
                semaphores,
                scans: Arc::clone(scans),
                telemetry: telemetry.clone(),
            },
            receivers: Receivers {
                jobs: jobs_out,
                barriers: barriers_out,
                claims: claims_out,
                gates: gates_out,
                leases: leases_out,
                runs: runs_out,
                semaphores: semaphores_out,
            },
        }
    }
}

impl Senders {
    pub(crate) fn send(&self, kind: Watched, name: &ObjectName) {
        match kind {
            Watched::Job => self.push(&self.jobs, reference(name)),
            Watched::Barrier => self.push(&self.barriers, reference(name)),
            Watched::Gate => self.push(&self.gates, reference(name)),
            Watched::Lease => self.push(&self.leases, reference(name)),
            Watched::Run => self.push(&self.runs, reference(name)),
            Watched::Semaphore => self.push(&self.semaphores, reference(name)),
            Watched::Claim => self.push(&self.claims, reference(name)),
            Watched::Arrival | Watched::Pod => {}
        }
    }

    fn push<K: Refers + Resource>(
        &self,
        queue: &UnboundedSender<ObjectRef<K>>,
        object: ObjectRef<K>,
    ) {
        self.telemetry.queued(K::KIND);
        let namespace = object.namespace.as_deref().unwrap_or_default();
        self.scans.forget(K::KIND, namespace, &object.name);
        // A closed queue means that the operator stops.
        let _ = queue.unbounded_send(object);
    }
}

/// Polls the watches forever, and queues what each event concerns.
pub(crate) async fn route(watches: Watches, queues: Senders, cache: &Cache) {
    let router = Router {
        queues,
        cache,
        said: Mutex::default(),
        full: Mutex::default(),
    };
    let kinds = watches.len();
    let mut events = select_all(watches);
    let mut listed = BTreeSet::new();
    while let Some(seen) = events.next().await {
        match seen {
            Seen::Listed(kind) => {
                listed.insert(kind);
                // Until every kind was listed, the cache would show objects as missing.
                if listed.len() == kinds {
                    router.queues.telemetry.enter(Phase::Working);
                    router.everything();
                }
            }
            _ if listed.len() < kinds => {}
            Seen::Job(job) => router.job(&job),
            Seen::Pod(pod) => router.pod(&pod),
            Seen::Arrival(arrival) => router.referred(&*arrival),
            Seen::Claim(claim) => router.claim(&claim),
            Seen::Barrier(barrier) => router.ending(&*barrier, barrier_end(&barrier).is_some()),
            Seen::Gate(gate) => router.ending(&*gate, gate_end(&gate).is_some()),
            Seen::Run(run) => router.run(&run),
            Seen::Lease(lease) => {
                let holders = lease
                    .status
                    .as_ref()
                    .map(|status| status.holders.as_slice());
                let observed = lease
                    .status
                    .as_ref()
                    .and_then(|status| status.observed_generation);
                router.ledger(&*lease, holders.unwrap_or_default(), observed);
            }
            Seen::Semaphore(semaphore) => {
                let holders = semaphore
                    .status
                    .as_ref()
                    .map(|status| status.holders.as_slice());
                let status = semaphore.status.as_ref();
                let observed = status.and_then(|status| status.observed_generation);
                router.ledger(&*semaphore, holders.unwrap_or_default(), observed);
            }
        }
    }
}

struct Router<'a> {
    queues: Senders,
    cache: &'a Cache,
    /// What each Run's status said last about its Jobs, by uid.
    said: Mutex<HashMap<String, Said>>,
    /// The ledgers that list as many holders as they can.
    full: Mutex<HashSet<Key>>,
}

/// What a Run's status says about its Jobs, as far as others wait for it.
#[derive(Clone, Default, PartialEq)]
struct Said {
    /// How many were deleted.
    deleted: u32,
    /// Whether it waits for others at all.
    outcome: Option<RunOutcome>,
    record: String,
}

impl Router<'_> {
    /// Everything that is decided about.
    fn everything(&self) {
        fn all<K>(queues: &Senders, store: &Store<K>, queue: &UnboundedSender<ObjectRef<K>>)
        where
            K: Refers + Resource<DynamicType = ()> + Clone + 'static,
        {
            for object in store.state() {
                queues.push(queue, ObjectRef::from_obj(&*object));
            }
        }
        self.queues.scans.forget_all();
        // A ledger that has vanished between two lists has no event of its own.
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        full.clear();
        drop(full);
        for semaphore in self.cache.semaphores.state() {
            let holders = semaphore.status.as_ref().map(|status| status.holders.len());
            let key = Key::Named(Watched::Semaphore, ObjectName::of(&semaphore.metadata));
            self.note_full(&key, holders.unwrap_or_default() >= HOLDERS_MAX);
        }
        all(&self.queues, &self.cache.jobs, &self.queues.jobs);
        all(&self.queues, &self.cache.barriers, &self.queues.barriers);
        all(&self.queues, &self.cache.claims, &self.queues.claims);
        all(&self.queues, &self.cache.gates, &self.queues.gates);
        all(&self.queues, &self.cache.leases, &self.queues.leases);
        all(&self.queues, &self.cache.runs, &self.queues.runs);
        all(
            &self.queues,
            &self.cache.semaphores,
            &self.queues.semaphores,
        );
    }

    fn referring(&self, key: &Key, kinds: &[Watched]) {
        for kind in kinds {
            let names = match kind {
                Watched::Job => self.jobs_in_order(key),
                _ => self.cache.index().referring(key, *kind),
            };
            for name in names {
                self.queues.send(*kind, &name);
            }
        }
    }

    /// The Jobs that refer to it, as their pipeline has them: items that wait for the same begin in this order.
    fn jobs_in_order(&self, key: &Key) -> Vec<ObjectName> {
        let mut names = self.cache.index().referring(key, Watched::Job);
        by_ordinal(&mut names, &self.cache.jobs);
        names
    }

    /// What this object names: an Arrival's Barrier, a Claim's ledger.
    fn referred<K: Refers>(&self, object: &K) {
        for key in object.keys() {
            if let Key::Named(kind, name) = key {
                self.queues.send(kind, &name);
            }
        }
    }

    /// The object itself, and the Gates with a condition on it, whatever kinds conditions name.
    fn itself(&self, kind: Watched, name: &ObjectName) {
        self.queues.send(kind, name);
        self.referring(&Key::Named(kind, name.clone()), &[Watched::Gate]);
    }

    /// The object itself, and the waiters for it.
    fn object<K: Refers + Resource<DynamicType = ()>>(&self, object: &K) {
        let name = ObjectName::of(object.meta());
        self.itself(K::KIND, &name);
        let key = Key::Named(K::KIND, name);
        self.referring(&key, &[Watched::Job, Watched::Barrier]);
    }

    /// A Gate or a Barrier.
    fn ending<K: Refers + Resource<DynamicType = ()>>(&self, object: &K, has_ended: bool) {
        self.object(object);
        let is_gone = !self.cache.has(K::KIND, &ObjectName::of(object.meta()));
        self.names(object, !is_gone && !has_ended);
    }

    /// What an object names. If it waits, the last scan may not have seen that. If it does not wait any more, perhaps
    /// nothing does, and a TTL deletes what it names.
    fn names<K: Refers>(&self, object: &K, waits: bool) {
        for key in object.keys() {
            let Key::Named(kind @ (Watched::Gate | Watched::Barrier | Watched::Run), name) = key
            else {
                continue;
            };
            match waits {
                true => self.queues.scans.forget(kind, &name.namespace, &name.name),
                false => self.queues.send(kind, &name),
            }
        }
    }

    fn claim(&self, claim: &Claim) {
        self.itself(Watched::Claim, &ObjectName::of(&claim.metadata));
        self.referred(claim);
    }

    fn job(&self, job: &Participant) {
        let name = ObjectName::of(&job.metadata);
        self.queues.send(Watched::Job, &name);
        // Its Run and its ledgers; also a ledger that still has it although its annotation changed.
        for key in job.keys() {
            if let Key::Named(kind @ (Watched::Run | Watched::Lease | Watched::Semaphore), name) =
                key
            {
                self.queues.send(kind, &name);
            }
        }
        let is_gone = !self.cache.has(Watched::Job, &name);
        self.names(job, !is_gone && job_end(job).is_none());
        self.cache.gone.forget_pods(job);
        let key = Key::Named(Watched::Job, name.clone());
        self.referring(&key, &[Watched::Lease, Watched::Semaphore]);
        self.waiting(job);
    }

    /// Those that wait for a Job: Gates, Barriers, and where it is gone, the Barrier at which it had to
    /// arrive.
    fn waiting(&self, job: &Participant) {
        let name = ObjectName::of(&job.metadata);
        let key = Key::Named(Watched::Job, name.clone());
        self.referring(&key, &[Watched::Gate]);
        if self.cache.jobs.get(&reference(&name)).is_none() {
            for key in job.keys() {
                if let Key::Named(kind @ Watched::Barrier, name) = key {
                    self.queues.send(kind, &name);
                }
            }
        }
        for (label, value) in job.metadata.labels.iter().flatten() {
            let key = Key::Labelled(name.namespace.clone(), label.clone(), value.clone());
            self.referring(&key, &[Watched::Gate, Watched::Barrier]);
        }
    }

    /// A pod matters when it has ended or is gone; a Claim's also when it is new.
    fn pod(&self, pod: &Pod) {
        let name = ObjectName::of(&pod.metadata);
        let claims = self
            .cache
            .index()
            .referring(&Key::Named(Watched::Pod, name.clone()), Watched::Claim);
        for claim in claims {
            if let Some(claim) = self.cache.claims.get(&reference(&claim)) {
                self.referred(&*claim);
            }
        }
        let Some(uid) = job_uid(pod) else { return };
        let gone = self.cache.pods.get(&ObjectRef::from_obj(pod)).is_none();
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        if !gone && !matches!(phase, Some("Succeeded" | "Failed")) {
            return;
        }
        let key = Key::Uid(uid.to_owned());
        self.referring(&key, &[Watched::Lease, Watched::Semaphore]);
        if let Some(job) = self.cache.gone.job_of(pod) {
            self.job(&job);
        }
        let jobs = self.cache.index().referring(&key, Watched::Job);
        for job in jobs {
            let Some(job) = self.cache.jobs.get(&reference(&job)) else {
                continue;
            };
            for run in named_runs(&job.metadata) {
                self.queues.send(Watched::Run, &job.beside(run));
            }
            self.queues
                .send(Watched::Job, &ObjectName::of(&job.metadata));
        }
    }

    fn run(&self, run: &Run) {
        let name = ObjectName::of(&run.metadata);
        self.itself(Watched::Run, &name);
        self.referring(&Key::Pipeline(pipeline(run)), &[Watched::Gate]);
        self.jobs_of_run(run, &name);
        // Its waiting Jobs look at `pause` and `cancel`, so they are asked when the spec changed.
        let observed = run
            .status
            .as_ref()
            .and_then(|status| status.observed_generation);
        if observed != run.metadata.generation {
            self.referring(&Key::Named(Watched::Run, name), &[Watched::Job]);
        }
    }

    /// What a Run says about Jobs that are missing decides for the waiters for them, and one that it has recorded may
    /// start.
    fn jobs_of_run(&self, run: &Run, name: &ObjectName) {
        if run_end(run).is_some() {
            self.cache.gone.forget_run(run);
        }
        for job in self.cache.gone.newly_recorded(run) {
            self.waiting(&job);
        }
        let status = run.status.clone().unwrap_or_default();
        let says = Said {
            deleted: status.deleted,
            outcome: status.outcome,
            record: status.record,
        };
        let uid = run.metadata.uid.clone().unwrap_or_default();
        let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_gone = self.cache.runs.get(&reference(name)).is_none();
        let said = match is_gone {
            true => all.remove(&uid),
            false => all.insert(uid, says.clone()),
        };
        drop(all);
        let said = said.unwrap_or_default();
        if is_gone || says == said {
            return;
        }
        if says.record != said.record {
            self.recorded(run, name, &said.record);
        }
        if (says.deleted, says.outcome) != (said.deleted, said.outcome) {
            let key = Key::OfRun(name.clone());
            self.referring(&key, &[Watched::Gate, Watched::Barrier]);
            if says.outcome.is_some() {
                self.finally_jobs(name);
            }
        }
    }

    /// The Jobs that a Run has recorded now: they may start, or queue at their ledgers.
    fn recorded(&self, run: &Run, name: &ObjectName, earlier: &str) {
        let key = Key::Named(Watched::Run, name.clone());
        for name in self.jobs_in_order(&key) {
            let Some(job) = self.cache.jobs.get(&reference(&name)) else {
                continue;
            };
            if job.may_start() && job.is_suspended() && newly_recorded(earlier, run, &job) {
                self.queues.send(Watched::Job, &name);
                for (kind, ledger) in job.ledgers() {
                    self.queues.send(kind.into(), &job.beside(ledger));
                }
            }
        }
    }

    /// The finally Jobs of a Run: what is in their way may be gone.
    fn finally_jobs(&self, run: &ObjectName) {
        let key = Key::Named(Watched::Run, run.clone());
        for name in self.cache.index().referring(&key, Watched::Job) {
            let job = self.cache.jobs.get(&reference(&name));
            if job.is_some_and(|job| job.role == Role::Finally) {
                self.queues.send(Watched::Job, &name);
            }
        }
    }

    /// A ledger, the Jobs that it has entered, and what they ask for next. Those that wait say why, and that
    /// changes where it is new, changed or gone.
    fn ledger<K>(&self, ledger: &K, holders: &[Holder], observed: Option<i64>)
    where
        K: Refers + Resource<DynamicType = ()>,
    {
        let name = ObjectName::of(ledger.meta());
        self.itself(K::KIND, &name);
        let kind = match K::KIND {
            Watched::Lease => LedgerKind::Lease,
            _ => LedgerKind::Semaphore,
        };
        let own = Key::Named(K::KIND, name.clone());
        let is_gone = !self.cache.has(K::KIND, &name);
        let is_full = !is_gone && holders.len() >= HOLDERS_MAX;
        let was_full = self.note_full(&own, is_full);
        if is_gone || observed != ledger.meta().generation {
            self.referring(&own, &[Watched::Job, Watched::Claim]);
        } else if is_full || was_full {
            self.claims_beside_a_full_ledger(&own, is_full);
        }
        self.referring(&released(kind, &name), &[Watched::Job]);
        for held in holders.iter().filter(|held| held.kind == HolderKind::Job) {
            let job = ObjectName::new(&name.namespace, &held.name);
            self.queues.send(Watched::Job, &job);
            let job = self.cache.jobs.get(&reference(&job));
            for hold in job.iter().flat_map(|job| job.holds()) {
                let other = ObjectName::new(&name.namespace, &hold.name);
                if other != name {
                    self.queues.send(hold.kind.into(), &other);
                }
            }
        }
    }
}

impl Router<'_> {
    /// Takes note of whether a ledger lists as many holders as it can; returns whether it did before.
    fn note_full(&self, ledger: &Key, is_full: bool) -> bool {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        match is_full {
            true => !full.insert(ledger.clone()),
            false => full.remove(ledger),
        }
    }

    /// Claims that say that the ledger is full, or have to.
    fn claims_beside_a_full_ledger(&self, ledger: &Key, is_full: bool) {
        for name in self.cache.index().referring(ledger, Watched::Claim) {
            let claim = self.cache.claims.get(&reference(&name));
            let status = claim.as_ref().and_then(|claim| claim.status.as_ref());
            let conditions = status.iter().flat_map(|status| &status.conditions);
            let says_so = conditions
                .into_iter()
                .any(|condition| condition.reason == condition::reason::LEDGER_FULL);
            let waits = status.is_none_or(|status| status.phase == ClaimPhase::Queued);
            if waits && says_so != is_full {
                self.queues.send(Watched::Claim, &name);
            }
        }
    }
}

fn pipeline(run: &Run) -> ObjectName {
    ObjectName::new(ObjectName::of(&run.metadata).namespace, &run.spec.pipeline)
}

fn by_ordinal(names: &mut [ObjectName], jobs: &Store<Participant>) {
    names.sort_by_cached_key(|name| {
        let job = jobs.get(&reference(name));
        job.and_then(|job| job.ordinal).unwrap_or(u32::MAX)
    });
}

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector, watcher};
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_that_wait_for_the_same_are_queued_in_the_order_of_their_pipeline() {
        let (jobs, mut writer) = reflector::store();
        for (name, ordinal) in [("hash-1", "1"), ("hash-10", "10"), ("hash-2", "2")] {
            let job = json!({"metadata": {
                "namespace": "n", "name": name, "annotations": {"konductor.io/ordinal": ordinal},
            }});
            let job: Participant = serde_json::from_value(job).expect("a Job");
            writer.apply_watcher_event(&watcher::Event::Apply(job));
        }
        let name = |name| ObjectName::new("n", name);
        // The one that is unknown came from elsewhere.
        let mut names = ["else", "hash-1", "hash-10", "hash-2"].map(name);
        by_ordinal(&mut names, &jobs);
        assert_eq!(names, ["hash-1", "hash-2", "hash-10", "else"].map(name));
    }
}
