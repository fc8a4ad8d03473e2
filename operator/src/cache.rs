//! The operator's cache: one watch for each kind, and the index over them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus,
};
use konductor_api::lenient::Shape;
use konductor_api::{
    Arrival, Barrier, Claim, Gate, Holder, HolderKind, Lease, LedgerKind, Participant, Run,
    Semaphore,
};
use konductor_core::ObjectName;
use kube::runtime::reflector;
use kube::runtime::reflector::Store;
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::abridged::Abridge;
use crate::backoff::{WATCH_LONGEST, WatchBackoff};
use crate::gone::Gone;
use crate::index::{Index, Refers, Watched};
use crate::memory::Memory;
use crate::needed::{Needed, Read};
use crate::options::{Clock, Options};
use crate::reference::reference;
use crate::telemetry::{Gauged, Telemetry, asked_since};
use crate::undecodable::Undecodables;
use crate::watch::{self, Failure, Observer};

/// What the watches have shown so far. It may lag behind the API server, never run ahead of it.
pub(crate) struct Cache {
    pub(crate) jobs: Store<Participant>,
    pub(crate) pods: Store<Pod>,
    pub(crate) arrivals: Store<Arrival>,
    pub(crate) barriers: Store<Barrier>,
    pub(crate) claims: Store<Claim>,
    pub(crate) gates: Store<Gate>,
    pub(crate) leases: Store<Lease>,
    pub(crate) runs: Store<Run>,
    pub(crate) semaphores: Store<Semaphore>,
    pub(crate) gone: Arc<Gone>,
    index: Arc<Mutex<Index>>,
}

impl Cache {
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    /// Since when a holder has asked its ledger, as far as the cache shows it.
    pub(crate) fn asked_since(&self, namespace: &str, holder: &Holder) -> Option<Timestamp> {
        let name = ObjectName::new(namespace, &holder.name);
        match holder.kind {
            HolderKind::Claim => {
                let claim = self.claims.get(&reference(&name))?;
                let created = claim.metadata.creation_timestamp.as_ref()?;
                Some(created.0)
            }
            HolderKind::Job => {
                let job = self.jobs.get(&reference(&name))?;
                let gate = job.gate().map(|gate| job.beside(gate));
                let gate = gate.and_then(|gate| self.gates.get(&reference(&gate)));
                asked_since(&job, gate.as_deref())
            }
        }
    }

    /// Whether there is such an object.
    pub(crate) fn has(&self, kind: Watched, name: &ObjectName) -> bool {
        match kind {
            Watched::Job => self.jobs.get(&reference(name)).is_some(),
            Watched::Pod => self.pods.get(&reference(name)).is_some(),
            Watched::Arrival => self.arrivals.get(&reference(name)).is_some(),
            Watched::Barrier => self.barriers.get(&reference(name)).is_some(),
            Watched::Claim => self.claims.get(&reference(name)).is_some(),
            Watched::Gate => self.gates.get(&reference(name)).is_some(),
            Watched::Lease => self.leases.get(&reference(name)).is_some(),
            Watched::Run => self.runs.get(&reference(name)).is_some(),
            Watched::Semaphore => self.semaphores.get(&reference(name)).is_some(),
        }
    }
}

impl Gauged for Cache {
    fn holds(&self, kind: LedgerKind, ledger: &ObjectName, holder: &str) -> bool {
        let holders = match kind {
            LedgerKind::Semaphore => {
                let semaphore = self.semaphores.get(&reference(ledger));
                semaphore.and_then(|semaphore| Some(semaphore.status.as_ref()?.holders.clone()))
            }
            LedgerKind::Lease => {
                let lease = self.leases.get(&reference(ledger));
                lease.and_then(|lease| Some(lease.status.as_ref()?.holders.clone()))
            }
        };
        holders
            .unwrap_or_default()
            .iter()
            .any(|other| other.uid == holder)
    }

    fn counts(&self) -> Vec<(Watched, usize)> {
        vec![
            (Watched::Job, self.jobs.len()),
            (Watched::Pod, self.pods.len()),
            (Watched::Arrival, self.arrivals.len()),
            (Watched::Barrier, self.barriers.len()),
            (Watched::Claim, self.claims.len()),
            (Watched::Gate, self.gates.len()),
            (Watched::Lease, self.leases.len()),
            (Watched::Run, self.runs.len()),
            (Watched::Semaphore, self.semaphores.len()),
        ]
    }
    fn claims(&self) -> Vec<Arc<Claim>> {
        self.claims.state()
    }

    fn jobs(&self) -> Vec<Arc<Participant>> {
        self.jobs.state()
    }

    fn gate(&self, name: &ObjectName) -> Option<Arc<Gate>> {
        self.gates.get(&reference(name))
    }

    fn leases(&self) -> Vec<Arc<Lease>> {
        self.leases.state()
    }

    fn runs(&self) -> Vec<Arc<Run>> {
        self.runs.state()
    }

    fn semaphores(&self) -> Vec<Arc<Semaphore>> {
        self.semaphores.state()
    }
}

fn lock(index: &Mutex<Index>) -> MutexGuard<'_, Index> {
    // A panic in between would leave a referrer half indexed; the next event of it repairs that.
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that a watch has shown, after the cache and the index have taken it in.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Job(Arc<Participant>),
    Pod(Arc<Pod>),
    Arrival(Arc<Arrival>),
    Barrier(Arc<Barrier>),
    Claim(Arc<Claim>),
    Gate(Arc<Gate>),
    Lease(Arc<Lease>),
    Run(Arc<Run>),
    Semaphore(Arc<Semaphore>),
    /// Everything of a kind was listed: at the start, and after a watch that had fallen behind.
    /// Deletions in between have no event of their own.
    Listed(Watched),
}

/// The watches of every kind. They run only while they are polled.
pub(crate) type Watches = Vec<BoxStream<'static, Seen>>;

/// Makes the cache and the watches that fill it.
pub(crate) fn watch(
    client: &Client,
    options: &Options,
    memory: &Arc<Memory>,
    undecodables: &Arc<Undecodables>,
) -> (Cache, Watches) {
    let index = Arc::new(Mutex::new(Index::default()));
    let gone = Arc::new(Gone::default());
    let watching = Watching {
        client,
        options,
        index: &index,
        gone: &gone,
        memory,
        undecodables,
    };
    let (jobs, jobs_watch) = watching.kind(Seen::Job, Abridge::abridge);
    let (pods, pods_watch) = watching.kind(Seen::Pod, keep_what_matters);
    let (arrivals, arrivals_watch) = watching.kind(Seen::Arrival, Abridge::abridge);
    let (barriers, barriers_watch) = watching.kind(Seen::Barrier, Abridge::abridge);
    let (claims, claims_watch) = watching.kind(Seen::Claim, Abridge::abridge);
    let (gates, gates_watch) = watching.kind(Seen::Gate, Abridge::abridge);
    let (leases, leases_watch) = watching.kind(Seen::Lease, Abridge::abridge);
    let (runs, runs_watch) = watching.kind(Seen::Run, Abridge::abridge);
    let (semaphores, semaphores_watch) = watching.kind(Seen::Semaphore, Abridge::abridge);
    gone.know(runs.clone());
    let watches = vec![
        jobs_watch,
        pods_watch,
        arrivals_watch,
        barriers_watch,
        claims_watch,
        gates_watch,
        leases_watch,
        runs_watch,
        semaphores_watch,
    ];
    let cache = Cache {
        jobs,
        pods,
        arrivals,
        barriers,
        claims,
        gates,
        leases,
        runs,
        semaphores,
        gone,
        index,
    };
    (cache, watches)
}

/// Of a pod, only who controls it, whether it has ended, and what it wrote when it succeeded: there may be
/// many.
fn keep_what_matters(pod: &mut Pod) {
    let status = pod.status.take().unwrap_or_default();
    let succeeded = status.phase.as_deref() == Some("Succeeded");
    let keep = |all: Option<Vec<ContainerStatus>>,
                what: fn(&ContainerStatus) -> ContainerStatus| {
        let all = all.filter(|_| succeeded)?;
        Some(all.iter().map(what).collect())
    };
    pod.status = Some(PodStatus {
        phase: status.phase,
        container_statuses: keep(status.container_statuses, last_words),
        // How many there are decides how long the last words of one can be.
        init_container_statuses: keep(status.init_container_statuses, name_of),
        ephemeral_container_statuses: keep(status.ephemeral_container_statuses, name_of),
        ..PodStatus::default()
    });
    pod.spec = None;
    pod.metadata.labels = None;
}

fn name_of(container: &ContainerStatus) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        ..ContainerStatus::default()
    }
}

/// Of a container, what it wrote when it ended.
fn last_words(container: &ContainerStatus) -> ContainerStatus {
    let state = container.state.as_ref();
    let terminated = state.and_then(|state| state.terminated.as_ref());
    ContainerStatus {
        state: Some(ContainerState {
            terminated: terminated.map(|ended| ContainerStateTerminated {
                exit_code: ended.exit_code,
                message: ended.message.clone(),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        }),
        ..name_of(container)
    }
}

struct Watching<'a> {
    client: &'a Client,
    options: &'a Options,
    index: &'a Arc<Mutex<Index>>,
    gone: &'a Arc<Gone>,
    memory: &'a Arc<Memory>,
    undecodables: &'a Arc<Undecodables>,
}

impl Watching<'_> {
    fn kind<K>(
        &self,
        seen: fn(Arc<K>) -> Seen,
        strip: fn(&mut K),
    ) -> (Store<K>, BoxStream<'static, Seen>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Refers
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
        K::DynamicType: Hash + Eq + Clone,
        Needed: Shape<K>,
    {
        let api: Api<Read<K>> = match &self.options.namespace {
            None => Api::all(self.client.clone()),
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
        };
        let (reader, mut writer) = reflector::store();
        let store = reader.clone();
        let sinks = Sinks {
            index: Arc::clone(self.index),
            gone: Arc::clone(self.gone),
            memory: Arc::clone(self.memory),
            clock: self.options.clock.clone(),
        };
        let mut before = Vec::new();
        let mut decoder = Decoder {
            undecodables: Arc::clone(self.undecodables),
            left_out: Vec::new(),
        };
        let progress = Progress {
            kind: K::KIND,
            telemetry: self.options.telemetry.clone(),
        };
        let lasts = self.options.watches_last;
        let backoff = WatchBackoff::new(K::KIND.word(), WATCH_LONGEST);
        let events = watch::watch(api, None, lasts, backoff, progress).filter_map(move |event| {
            let event = event.ok().and_then(|event| decoder.decode(event, &store));
            let took = event.and_then(|event| {
                let event = event.modify(strip);
                writer.apply_watcher_event(&event);
                take_in(event, &store, &mut before, &sinks)
            });
            std::future::ready(
                took.map(|took| took.map(Arc::new).map_or(Seen::Listed(K::KIND), seen)),
            )
        });
        (reader, events.boxed())
    }
}

/// How the watch of a kind goes, as the metrics and the log show it.
struct Progress {
    kind: Watched,
    telemetry: Telemetry,
}

impl Observer for Progress {
    fn heard(&self) {
        self.telemetry.heard(self.kind);
    }

    fn failed(&self, failure: &Failure, wait: std::time::Duration) {
        self.telemetry.watch_broke(self.kind, failure, wait);
        tracing::warn!(kind = self.kind.word(), error = %failure, ?wait, "watch failed; retrying");
    }
}

/// Leaves out what can't be decoded.
struct Decoder {
    undecodables: Arc<Undecodables>,
    /// The uids of those that the present list has left out.
    left_out: Vec<String>,
}

impl Decoder {
    /// The event without what can't be decoded. An object that could be decoded before is as good as
    /// gone: after a restart nothing would be known of it either.
    fn decode<K>(&mut self, event: Event<Read<K>>, store: &Store<K>) -> Option<Event<K>>
    where
        K: Resource<DynamicType = ()> + Refers + Clone + 'static,
        K::DynamicType: Hash + Eq + Clone,
    {
        let (listing, object) = match event {
            Event::Init => {
                self.left_out.clear();
                return Some(Event::Init);
            }
            Event::InitDone => {
                self.undecodables.listed(K::KIND, &self.left_out);
                return Some(Event::InitDone);
            }
            Event::InitApply(object) => (true, object),
            Event::Apply(object) => (false, object),
            Event::Delete(object) => {
                self.undecodables
                    .forget(K::KIND, object.meta().uid.as_deref());
                let cached = store.get(&reference(&ObjectName::of(object.meta())));
                let cached = cached.map(|cached| (*cached).clone());
                return object.decoded().ok().or(cached).map(Event::Delete);
            }
        };
        match object.decoded() {
            Ok(object) => {
                self.undecodables
                    .forget(K::KIND, object.meta().uid.as_deref());
                Some(match listing {
                    true => Event::InitApply(object),
                    false => Event::Apply(object),
                })
            }
            Err(undecodable) => {
                self.undecodables.found::<K>(K::KIND, &undecodable);
                self.left_out.extend(undecodable.metadata.uid.clone());
                // A list replaces all that is known when it is done.
                let name = Some(ObjectName::of(&undecodable.metadata)).filter(|_| !listing)?;
                let cached = store.get(&reference(&name))?;
                Some(Event::Delete((*cached).clone()))
            }
        }
    }
}

/// What an event is taken into, beside the cache.
struct Sinks {
    index: Arc<Mutex<Index>>,
    gone: Arc<Gone>,
    memory: Arc<Memory>,
    clock: Clock,
}

/// Brings the index and what is gone up to date. The outer `None` is an event that shows nothing yet;
/// the inner one says that everything was listed. `before` is what was known before that.
fn take_in<K>(
    event: Event<K>,
    store: &Store<K>,
    before: &mut Vec<Arc<K>>,
    sinks: &Sinks,
) -> Option<Option<K>>
where
    K: Resource<DynamicType = ()> + Refers + Clone + 'static,
    K::DynamicType: Hash + Eq + Clone,
{
    match event {
        Event::Init => {
            *before = store.state();
            None
        }
        Event::InitApply(_) => None,
        Event::InitDone => {
            let all = store.state();
            let alive: BTreeSet<ObjectName> = all
                .iter()
                .map(|object| ObjectName::of(object.meta()))
                .collect();
            let mut index = lock(&sinks.index);
            // These have no event of their own.
            for object in std::mem::take(before) {
                let now = store.get(&reference(&ObjectName::of(object.meta())));
                if now.is_none_or(|now| now.meta().uid != object.meta().uid) {
                    sinks
                        .memory
                        .forget(object.meta().uid.as_deref().unwrap_or_default());
                    object.was_deleted(&sinks.gone, &index);
                }
            }
            index.retain(K::KIND, &alive);
            let now = sinks.clock.now();
            for object in all {
                object.was_shown(&sinks.memory, now);
                index.set((K::KIND, ObjectName::of(object.meta())), object.keys());
            }
            Some(None)
        }
        Event::Apply(object) => {
            object.was_shown(&sinks.memory, sinks.clock.now());
            lock(&sinks.index).set((K::KIND, ObjectName::of(object.meta())), object.keys());
            Some(Some(object))
        }
        Event::Delete(object) => {
            let mut index = lock(&sinks.index);
            sinks
                .memory
                .forget(object.meta().uid.as_deref().unwrap_or_default());
            object.was_deleted(&sinks.gone, &index);
            index.remove(&(K::KIND, ObjectName::of(object.meta())));
            Some(Some(object))
        }
    }
}

#[cfg(test)]
mod tests {
    use konductor_api::{JobPhase, job_phase};
    use konductor_core::job::with_outputs;
    use serde_json::json;

    use super::*;

    #[test]
    fn last_words_that_were_cut_are_not_believed_of_a_pod_that_is_gone_either() {
        let ended = |name: &str, message: &str| {
            json!({
                "name": name, "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "message": message}},
            })
        };
        // Six containers share what the kubelet keeps of a pod: 2,048 bytes each.
        let init: Vec<_> = (0..5).map(|n| ended(&format!("init-{n}"), "")).collect();
        for (bytes, phase) in [(2047, JobPhase::Complete), (2048, JobPhase::Failed)] {
            let words = format!("rows={}", "7".repeat(bytes - "rows=".len()));
            let pod = json!({"metadata": {"name": "p"}, "status": {
                "phase": "Succeeded",
                "containerStatuses": [ended("main", &words)],
                "initContainerStatuses": init,
            }});
            let mut pod: Pod = serde_json::from_value(pod).expect("a pod");
            let job: Participant = serde_json::from_value(json!({
                "metadata": {"name": "work", "annotations": {"konductor.io/outputs-declared": "rows"}},
                "status": {"conditions": [{"type": "Complete", "status": "True"}]},
            }))
            .expect("a Job");
            let live = with_outputs(job.clone(), &[Arc::new(pod.clone())]);
            assert_eq!(job_phase(&live), Some(phase));
            keep_what_matters(&mut pod);
            assert_eq!(with_outputs(job, &[Arc::new(pod)]), live, "{bytes}");
        }
    }

    fn sinks(now: Timestamp) -> Sinks {
        Sinks {
            index: Arc::default(),
            gone: Arc::default(),
            memory: Arc::default(),
            clock: Clock::new(move || now),
        }
    }

    fn granted_claim() -> Claim {
        let claim = json!({
            "apiVersion": "konductor.io/v1", "kind": "Claim",
            "metadata": {"name": "c", "namespace": "n", "uid": "u", "resourceVersion": "7"},
            "spec": {
                "target": {"kind": "Lease", "name": "l"},
                "holder": "h",
                "renewTime": "2026-01-01T00:00:00.000000Z",
            },
            "status": {"phase": "Granted"},
        });
        serde_json::from_value(claim).expect("a Claim")
    }

    #[test]
    fn a_renewal_is_timed_from_the_moment_in_which_the_watch_has_shown_it() {
        let (shown, decided) = (
            Timestamp::UNIX_EPOCH,
            Timestamp::from_second(5).expect("it is"),
        );
        let sinks = sinks(shown);
        let (store, _) = reflector::store();
        take_in(
            Event::Apply(granted_claim()),
            &store,
            &mut Vec::new(),
            &sinks,
        );
        let seen = sinks.memory.renewal_seen(&granted_claim(), decided);
        assert_eq!(seen.expect("it is granted").1, shown);
    }

    #[test]
    fn what_a_list_does_not_show_any_more_is_forgotten() {
        let sinks = sinks(Timestamp::UNIX_EPOCH);
        let (store, mut writer) = reflector::store();
        let mut before = Vec::new();
        let mut show = |event: Event<Claim>| {
            writer.apply_watcher_event(&event);
            take_in(event, &store, &mut before, &sinks);
        };
        show(Event::Init);
        show(Event::InitApply(granted_claim()));
        show(Event::InitDone);
        sinks.memory.remember_written("u", Some("9"));
        assert!(sinks.memory.is_stale("u", Some("7")));
        show(Event::Init);
        show(Event::InitDone);
        assert!(!sinks.memory.is_stale("u", Some("7")));
    }
}
