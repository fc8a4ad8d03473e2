//! What a pipeline needs that it does not bring along: Secrets and ConfigMaps, objects of others, and
//! people who approve. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};
use konductor_api::{Arrivals, Barrier, Gate, JobPhase, LedgerKind, Participant, Subject, Target};
use konductor_compiler::{Manifests, Object};

use crate::arguments::Given;
use crate::exit::Failure;

/// What has keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Store {
    Secret,
    Config,
}

/// A key of a Secret or ConfigMap; without a key, all of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) store: Store,
    pub(super) name: String,
    pub(super) key: Option<String>,
}

/// Kinds of objects that a pipeline waits for or uses, and does not create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OutsideKind {
    Gate,
    Barrier,
    Pipeline,
    Semaphore,
    Lease,
    Workspace,
}

/// An object that a pipeline waits for or uses, and does not create.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Outside {
    pub(super) kind: OutsideKind,
    /// Where it is another one.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// An approval that the run asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Approval {
    /// The Barrier's name.
    pub(super) barrier: String,
    /// The name in the file.
    pub(super) name: String,
    /// When this opens, it is asked for.
    pub(super) gate: Option<String>,
    /// How many people.
    pub(super) approvers: u32,
}

impl Approval {
    /// Whether a name on the command line is this approval's: in the file, or of its Barrier.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.name == name || self.barrier == name
    }

    /// Whether a flag approves it.
    pub(super) fn is_given(&self, given: &Given) -> bool {
        given.approve_all || given.approvals.iter().any(|name| self.is_named(name))
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// With the variables that are set by them.
    pub(super) entries: BTreeMap<Entry, BTreeSet<String>>,
    pub(super) outside: BTreeSet<Outside>,
    pub(super) approvals: Vec<Approval>,
    /// Whether it limits how many run at once, by its own Semaphores and Leases.
    pub(super) has_ledgers: bool,
    /// Stages with a container that runs its image's entrypoint.
    pub(super) entrypoints: BTreeSet<String>,
    /// The item before each item that starts behind it, by the names of their Jobs.
    pub(super) items_before: HashMap<String, String>,
}

impl OutsideKind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Barrier => "barrier",
            Self::Pipeline => "pipeline",
            Self::Semaphore => "semaphore",
            Self::Lease => "lease",
            Self::Workspace => "workspace",
        }
    }

    /// What can be assumed of it, as it is typed.
    pub(super) fn state(self) -> &'static str {
        match self {
            Self::Gate | Self::Barrier => "open",
            Self::Pipeline => "succeeded",
            Self::Semaphore => "1",
            Self::Lease => "free",
            Self::Workspace => "empty",
        }
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = self
            .namespace
            .as_ref()
            .map(|namespace| format!("{namespace}/"));
        let namespace = namespace.unwrap_or_default();
        write!(formatter, "{}/{namespace}{}", self.kind.word(), self.name)
    }
}

impl Needs {
    /// What the run of these manifests needs.
    pub(super) fn of(manifests: &Manifests) -> Self {
        let mut needs = Self::default();
        let mut own = BTreeSet::new();
        let mut own_barriers = Vec::new();
        let mut previous: Option<Participant> = None;
        for object in manifests.objects() {
            if !matches!(object, Object::Job(_)) {
                own.insert((object.kind(), object.name().to_owned()));
            }
            match object {
                Object::Job(job) => {
                    let job = Participant::of(*job);
                    needs.job(&job);
                    if job.phase.is_none() {
                        needs.item(previous.as_ref(), &job);
                        previous = Some(job);
                    }
                }
                Object::Gate(gate) => needs.gate(&gate),
                Object::Barrier(barrier) => own_barriers.push(barrier),
                Object::Semaphore(_) | Object::Lease(_) => needs.has_ledgers = true,
                _ => {}
            }
        }
        let approvals = own_barriers.into_iter();
        let approvals = approvals.filter_map(|barrier| approval(barrier, manifests.run_name()));
        needs.approvals = approvals.collect();
        needs.outside.retain(|outside| {
            let kind = match outside.kind {
                OutsideKind::Gate => "Gate",
                OutsideKind::Barrier => "Barrier",
                OutsideKind::Semaphore => "Semaphore",
                OutsideKind::Lease => "Lease",
                OutsideKind::Workspace => "PersistentVolumeClaim",
                OutsideKind::Pipeline => return true,
            };
            outside.namespace.is_some() || !own.contains(&(kind, outside.name.clone()))
        });
        needs
    }

    /// Notes which item starts before this one: what both wait for is the same, and neither takes turns with others.
    fn item(&mut self, previous: Option<&Participant>, job: &Participant) {
        let Some(previous) = previous else { return };
        let is_before = previous.stage() == job.stage()
            && previous.gate() == job.gate()
            && [previous, job].iter().all(|job| job.holds().is_empty());
        if let (true, Some(before), Some(name)) =
            (is_before, &previous.metadata.name, &job.metadata.name)
        {
            self.items_before.insert(name.clone(), before.clone());
        }
    }

    fn gate(&mut self, gate: &Gate) {
        self.outside.extend(gate.subjects().filter_map(outside_of));
    }

    fn job(&mut self, job: &Participant) {
        if let Some(gate) = job.gate() {
            self.outside(OutsideKind::Gate, gate);
        }
        for hold in job.holds() {
            let kind = match hold.kind {
                LedgerKind::Semaphore => OutsideKind::Semaphore,
                LedgerKind::Lease => OutsideKind::Lease,
            };
            self.outside(kind, &hold.name);
        }
        let pod = job
            .spec
            .as_ref()
            .and_then(|spec| spec.template.spec.as_ref());
        let Some(pod) = pod else { return };
        let runs_entrypoint = |container: &Container| {
            let words = [&container.command, &container.args];
            words.into_iter().flatten().all(Vec::is_empty)
        };
        let is_skipped = job.phase == Some(JobPhase::Skipped);
        if !is_skipped && pod.containers.iter().any(runs_entrypoint) {
            self.entrypoints.insert(job.stage().to_owned());
        }
        self.pod(pod);
    }

    /// Returns the error for stages that can't be run as processes, which have no image; `None` if all can.
    pub(super) fn refused_as_processes(&self) -> Option<Failure> {
        if self.entrypoints.is_empty() {
            return None;
        }
        let lines = self.entrypoints.iter().map(|stage| {
            format!("\n  stage {stage} has neither `run` nor `exec`: a process has no image whose entrypoint could run")
        });
        let lines: String = lines.collect();
        let message = format!("the pipeline can't run here, so nothing was started{lines}");
        Some(
            Failure::usage(message)
                .help("write `run` or `exec`, or use --runtime docker or podman"),
        )
    }

    fn pod(&mut self, pod: &PodSpec) {
        let init = pod.init_containers.iter().flatten();
        init.chain(&pod.containers)
            .for_each(|container| self.container(container));
        pod.volumes
            .iter()
            .flatten()
            .for_each(|volume| self.volume(volume));
    }

    fn container(&mut self, container: &Container) {
        for variable in container.env.iter().flatten() {
            let Some(from) = &variable.value_from else {
                continue;
            };
            let secret = from.secret_key_ref.as_ref();
            if let Some(secret) = secret.filter(|secret| secret.optional != Some(true)) {
                let variable = Some(variable.name.as_str());
                self.entry(Store::Secret, &secret.name, Some(&secret.key), variable);
            }
            let config = from.config_map_key_ref.as_ref();
            if let Some(config) = config.filter(|config| config.optional != Some(true)) {
                let variable = Some(variable.name.as_str());
                self.entry(Store::Config, &config.name, Some(&config.key), variable);
            }
        }
        for from in container.env_from.iter().flatten() {
            let secret = from.secret_ref.as_ref();
            if let Some(secret) = secret.filter(|secret| secret.optional != Some(true)) {
                self.entry(Store::Secret, &secret.name, None, None);
            }
            let config = from.config_map_ref.as_ref();
            if let Some(config) = config.filter(|config| config.optional != Some(true)) {
                self.entry(Store::Config, &config.name, None, None);
            }
        }
    }

    fn volume(&mut self, volume: &Volume) {
        let (mut secrets, mut configs) = (Vec::new(), Vec::new());
        let whole = volume.secret.as_ref();
        if let Some(secret) = whole.filter(|secret| secret.optional != Some(true)) {
            secrets.push((
                secret.secret_name.clone().unwrap_or_default(),
                &secret.items,
            ));
        }
        let whole = volume.config_map.as_ref();
        if let Some(config) = whole.filter(|config| config.optional != Some(true)) {
            configs.push((config.name.clone(), &config.items));
        }
        let projected = volume.projected.iter();
        for source in projected.flat_map(|projected| projected.sources.iter().flatten()) {
            let part = source.secret.as_ref();
            if let Some(secret) = part.filter(|secret| secret.optional != Some(true)) {
                secrets.push((secret.name.clone(), &secret.items));
            }
            let part = source.config_map.as_ref();
            if let Some(config) = part.filter(|config| config.optional != Some(true)) {
                configs.push((config.name.clone(), &config.items));
            }
        }
        for (store, objects) in [(Store::Secret, secrets), (Store::Config, configs)] {
            for (name, items) in objects {
                let keys: Vec<&str> = items.iter().flatten().map(|item| &*item.key).collect();
                if keys.is_empty() {
                    self.entry(store, &name, None, None);
                }
                for key in keys {
                    self.entry(store, &name, Some(key), None);
                }
            }
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            self.outside(OutsideKind::Workspace, &claim.claim_name);
        }
    }

    fn entry(&mut self, store: Store, name: &str, key: Option<&str>, variable: Option<&str>) {
        let entry = Entry {
            store,
            name: name.to_owned(),
            key: key.map(str::to_owned),
        };
        let variables = self.entries.entry(entry).or_default();
        variables.extend(variable.map(str::to_owned));
    }

    fn outside(&mut self, kind: OutsideKind, name: &str) {
        self.outside.insert(Outside {
            kind,
            namespace: None,
            name: name.to_owned(),
        });
    }
}

fn outside_of(subject: Subject) -> Option<Outside> {
    let (kind, name) = match subject.target {
        Target::Gate(name) => (OutsideKind::Gate, name),
        Target::Barrier { name, .. } => (OutsideKind::Barrier, name),
        Target::RunOf { pipeline, .. } => (OutsideKind::Pipeline, pipeline),
        Target::Job(_) | Target::Jobs { .. } | Target::Run(_) => return None,
    };
    Some(Outside {
        kind,
        namespace: subject.is_foreign.then_some(subject.namespace),
        name,
    })
}

fn approval(barrier: Barrier, run: &str) -> Option<Approval> {
    let spec = barrier.spec;
    let barrier = barrier.metadata.name?;
    let own = barrier
        .strip_prefix(run)
        .and_then(|rest| rest.strip_prefix('-'));
    (spec.arrivals == Arrivals::Verified).then(|| Approval {
        name: own.unwrap_or(&barrier).to_owned(),
        barrier: barrier.clone(),
        gate: spec.gate,
        approvers: spec.expected,
    })
}
