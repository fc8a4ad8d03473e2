//! Which pods run, which wait, and which have to end.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::Node;
use super::pod::{PodLife, Stop};
use super::status;
use crate::removal::{SECRETS_FOLDER, remove_folder};
use crate::runner::cluster::{Change, uid, version};

/// How long a pod waits for the first pod of a Job that comes before its own.
const BEFORE_WITHIN: Duration = Duration::from_secs(2);

/// How far a pod has come.
enum Stage {
    /// It waits for a place, or for its scheduling gates.
    Waiting(Box<Pod>),
    Running {
        pod: Box<Pod>,
        stop: watch::Sender<Option<Stop>>,
    },
    /// None of its processes is left.
    Ended,
}

/// A pod of this node.
struct Resident {
    /// Where its files are.
    folder: PathBuf,
    stage: Stage,
}

/// A pod in the queue.
struct Queued {
    rank: u64,
    uid: String,
    since: Instant,
}

/// All pods of the node.
pub(super) struct Pods {
    node: Arc<Node>,
    /// By uid.
    residents: HashMap<String, Resident>,
    /// Waiting pods by their ranks.
    queue: VecDeque<Queued>,
    /// The names of Jobs of which a pod was started, if any Job comes before another.
    started: HashSet<String>,
    /// When a pod that waits for one before it does so no more.
    wake: Option<Instant>,
    /// The pods that run; each returns its uid.
    lives: JoinSet<String>,
}

impl Pods {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            residents: HashMap::new(),
            queue: VecDeque::new(),
            started: HashSet::new(),
            wake: None,
            lives: JoinSet::new(),
        }
    }

    /// Runs pods until `stopped` says how long they may take to end.
    pub(super) async fn run(mut self, mut stopped: oneshot::Receiver<Duration>) {
        let grace = loop {
            let (mut pods, pods_version) = self.node.cluster.list::<Pod>();
            let changes = self.node.cluster.watch::<Pod>(pods_version);
            pods.sort_by_key(|pod| {
                let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
                (created, version(pod))
            });
            self.see_list(pods);
            tokio::select! {
                // An error means that the kubelet was dropped: its processes go at once.
                grace = &mut stopped => break grace.unwrap_or_default(),
                () = self.follow(changes) => {
                    tracing::debug!("the kubelet's watch ended: listing again");
                }
            }
        };
        self.queue.clear();
        for resident in self.residents.values() {
            if let Stage::Running { stop, .. } = &resident.stage {
                stop.send_replace(Some(Stop::Shutdown { grace }));
            }
        }
        while let Some(ended) = self.lives.join_next().await {
            self.see_end(ended);
        }
        if let Err(error) = self.node.guard.close() {
            tracing::warn!(%error, "the guard of the kubelet's processes did not end");
        }
    }

    async fn follow(&mut self, changes: impl Stream<Item = Change<Pod>>) {
        let mut changes = std::pin::pin!(changes);
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(Change::Set(pod)) => self.see(pod),
                    Some(Change::Gone(pod)) => self.see_gone(uid(&pod)),
                    None => return,
                },
                () = sleep_until(self.wake.unwrap_or_else(Instant::now)), if self.wake.is_some() => {
                    self.start_waiting();
                }
                Some(ended) = self.lives.join_next() => self.see_end(ended),
            }
        }
    }

    fn see_list(&mut self, pods: Vec<Pod>) {
        let listed: HashSet<&str> = pods.iter().map(uid).collect();
        let uids = self.residents.keys();
        let lost: Vec<String> = uids
            .filter(|uid| !listed.contains(uid.as_str()))
            .cloned()
            .collect();
        lost.iter().for_each(|uid| self.see_gone(uid));
        pods.into_iter().for_each(|pod| self.see(pod));
    }

    fn see(&mut self, pod: Pod) {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        if node.is_some_and(|node| !node.is_empty() && node != self.node.options.node_name) {
            return;
        }
        let deleted = pod.metadata.deletion_timestamp.is_some();
        match self
            .residents
            .get_mut(uid(&pod))
            .map(|resident| &mut resident.stage)
        {
            None => self.admit(pod),
            Some(Stage::Waiting(_)) if deleted => self.give_up(&pod),
            Some(Stage::Waiting(waiting)) => {
                **waiting = pod;
                self.start_waiting();
            }
            Some(Stage::Running { stop, .. }) if deleted => {
                let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
                let grace = Duration::from_secs(seconds.try_into().unwrap_or(0));
                stop.send_replace(Some(Stop::Deleted { grace }));
            }
            Some(Stage::Running { .. }) => {}
            Some(Stage::Ended) => self.remove_if_deleted(&pod),
        }
    }

    /// Decides on a pod that was not known.
    fn admit(&mut self, pod: Pod) {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let policy = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.restart_policy.as_deref());
        match phase {
            Some("Succeeded" | "Failed") => {
                self.settle(&pod);
                self.remove_if_deleted(&pod);
            }
            _ if pod.metadata.deletion_timestamp.is_some() => self.give_up(&pod),
            Some("Running") if policy == Some("Never") => {
                self.settle(&pod);
                let message = "The runner ended while the pod was running, and its processes too";
                self.node.write_status(&pod, |before, _| {
                    status::failed_unseen(before, "ContainerStatusUnknown", message)
                });
            }
            _ => {
                let uid = uid(&pod).to_owned();
                let folder = self.node.pod_folder(&pod);
                self.enqueue(&pod);
                let stage = Stage::Waiting(Box::new(pod));
                self.residents
                    .insert(uid.clone(), Resident { folder, stage });
                self.start_waiting();
                self.report_waiting(&uid);
            }
        }
    }

    /// Takes a pod into the queue, behind those of its rank.
    fn enqueue(&mut self, pod: &Pod) {
        let job = job_of(pod);
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let options = &self.node.options;
        let owner = job.and_then(|name| self.node.cluster.get::<Job>(namespace, name));
        let rank = owner.map_or(0, |job| (options.rank)(&job));
        let at = self.queue.partition_point(|other| other.rank <= rank);
        let queued = Queued {
            rank,
            uid: uid(pod).to_owned(),
            since: Instant::now(),
        };
        self.queue.insert(at, queued);
    }

    /// Until when a pod waits for the start of the first pod of the Job before its own.
    fn waits_until(&self, pod: &Pod, since: Instant) -> Option<Instant> {
        let before = self.node.options.before.get(job_of(pod)?)?;
        let until = since + BEFORE_WITHIN;
        (!self.started.contains(before) && until > Instant::now()).then_some(until)
    }

    /// Starts waiting pods as long as there are places.
    fn start_waiting(&mut self) {
        self.wake = None;
        let mut at = 0;
        while self.lives.len() < self.places() {
            let Some(queued) = self.queue.get(at) else {
                break;
            };
            let Some(Resident {
                stage: Stage::Waiting(pod),
                ..
            }) = self.residents.get(&queued.uid)
            else {
                self.queue.remove(at);
                continue;
            };
            if is_gated(pod) {
                at += 1;
                continue;
            }
            if let Some(until) = self.waits_until(pod, queued.since) {
                self.wake = Some(self.wake.map_or(until, |wake| wake.min(until)));
                at += 1;
                continue;
            }
            if let Some(queued) = self.queue.remove(at) {
                self.start(queued.uid);
                if !self.node.options.before.is_empty() {
                    // What waited for this one may be in front of it.
                    at = 0;
                }
            }
        }
    }

    /// Starts a pod that waits.
    fn start(&mut self, uid: String) {
        let Some(resident) = self.residents.get_mut(&uid) else {
            return;
        };
        let (stop, stopped) = watch::channel(None);
        let stage = std::mem::replace(&mut resident.stage, Stage::Ended);
        if let Stage::Waiting(pod) = stage {
            if !self.node.options.before.is_empty() {
                self.started.extend(job_of(&pod).map(str::to_owned));
            }
            self.node.cluster.bind(&pod, &self.node.options.node_name);
            let life = PodLife::new(self.node.clone(), (*pod).clone());
            resident.stage = Stage::Running { pod, stop };
            self.lives.spawn(async move {
                life.run(stopped).await;
                uid
            });
        }
    }

    fn places(&self) -> usize {
        self.node.options.pods_max.get()
    }

    /// Writes into the status of a pod that could not be started why not.
    fn report_waiting(&self, uid: &str) {
        let stage = self.residents.get(uid).map(|resident| &resident.stage);
        let Some(Stage::Waiting(pod)) = stage else {
            return;
        };
        let (reason, message) = if is_gated(pod) {
            (
                Some("SchedulingGated"),
                "Scheduling is blocked due to non-empty scheduling gates".into(),
            )
        } else {
            let places = self.places();
            match self.node.options.pods_max_option {
                // A limit that somebody has set is no fault of a scheduler.
                Some(option) => (None, format!("waits for one of {option} {places}")),
                None => (
                    Some("Unschedulable"),
                    format!("No place is free: at most {places} pods run at once"),
                ),
            }
        };
        self.node.write_status(pod, |before, now| {
            status::unscheduled(before, reason, &message, now)
        });
    }

    /// Ends a pod that never ran.
    fn give_up(&mut self, pod: &Pod) {
        self.settle(pod);
        let message = "The pod was deleted before it was started";
        self.node.write_status(pod, |before, _| {
            status::failed_unseen(before, "NeverStarted", message)
        });
        self.remove_if_deleted(pod);
    }

    fn settle(&mut self, pod: &Pod) {
        let folder = self.node.pod_folder(pod);
        self.residents.insert(
            uid(pod).into(),
            Resident {
                folder,
                stage: Stage::Ended,
            },
        );
    }

    /// A pod's processes are gone, and its place is free.
    fn see_end(&mut self, ended: Result<String, JoinError>) {
        match ended {
            Ok(uid) => {
                let resident = self.residents.get_mut(&uid);
                let stage =
                    resident.map(|resident| std::mem::replace(&mut resident.stage, Stage::Ended));
                if let Some(Stage::Running { pod, stop }) = stage {
                    match &*stop.borrow() {
                        Some(Stop::Deleted { .. }) => self.node.remove(&pod),
                        Some(Stop::Gone) => self.forget(&uid),
                        Some(Stop::Shutdown { .. }) | None => {}
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the task of a pod failed"),
        }
        self.start_waiting();
    }

    fn see_gone(&mut self, uid: &str) {
        match self.residents.get(uid).map(|resident| &resident.stage) {
            Some(Stage::Running { stop, .. }) => {
                stop.send_replace(Some(Stop::Gone));
            }
            _ => self.forget(uid),
        }
    }

    /// Removes what was kept of a pod that does not exist any more.
    fn forget(&mut self, uid: &str) {
        if let Some(resident) = self.residents.remove(uid) {
            self.node.logs.forget(uid);
            // A pod that never ran has no folder.
            // It is tried again with all the rest.
            let _ = remove_folder(&resident.folder.join(SECRETS_FOLDER));
            if let Err(left) = remove_folder(&resident.folder) {
                (self.node.options.report)(&format!("warning: {left}"));
            }
        }
    }

    fn remove_if_deleted(&self, pod: &Pod) {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        // With no grace left, only a finalizer keeps it, and that is somebody else's.
        if pod.metadata.deletion_timestamp.is_some() && grace > 0 {
            self.node.remove(pod);
        }
    }
}

/// The name of the Job that owns a pod.
fn job_of(pod: &Pod) -> Option<&str> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners
        .find(|owner| owner.kind == "Job")
        .map(|owner| owner.name.as_str())
}

fn is_gated(pod: &Pod) -> bool {
    let gates = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.scheduling_gates.as_ref());
    gates.is_some_and(|gates| !gates.is_empty())
}
