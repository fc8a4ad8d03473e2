//! What somebody looks at, kept up to date by watches. Nothing is watched that no page is about.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Barrier, Claim, Gate, Lease, Participant, Run, Semaphore, label};
use konductor_web::{Address, Problem};
use kube::ResourceExt;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::model::problem;
use crate::read::{self, Stored};

/// What a page is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Runs,
    Run(String),
    Primitives,
    Schedules,
}

impl Subject {
    pub(super) fn of(address: &Address) -> Self {
        match address {
            Address::Runs(_) => Self::Runs,
            Address::Run(run, _) | Address::Stage(run, _, _) => Self::Run(run.clone()),
            Address::Primitives => Self::Primitives,
            Address::Schedules => Self::Schedules,
        }
    }
}

/// Objects of one kind.
struct State<K> {
    objects: BTreeMap<String, Arc<K>>,
    /// What is listed, until the list is complete.
    listing: BTreeMap<String, Arc<K>>,
    /// Whether a list was complete, or why there is none.
    listed: Option<Result<(), Problem>>,
}

/// Objects of one kind, kept by a watch.
pub(super) struct Kept<K> {
    state: Arc<Mutex<State<K>>>,
    changed: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl<K> Drop for Kept<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K: Stored + Sync> Kept<K> {
    fn start(
        client: &konductor::Client,
        config: watcher::Config,
        changed: &watch::Sender<u64>,
    ) -> Self {
        let state = Arc::new(Mutex::new(State {
            objects: BTreeMap::new(),
            listing: BTreeMap::new(),
            listed: None,
        }));
        let mut events = read::watch::<K>(client.kube().clone(), client.namespace(), config);
        let (kept, sender) = (Arc::clone(&state), changed.clone());
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let is_new = {
                    let mut state = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    state.take(event)
                };
                if is_new {
                    sender.send_modify(|version| *version += 1);
                }
            }
        });
        Self {
            state,
            changed: changed.clone(),
            task,
        }
    }

    /// The objects, once they are listed.
    pub(super) async fn all(&self) -> Result<Vec<Arc<K>>, Problem> {
        let mut changes = self.changed.subscribe();
        loop {
            {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                match &state.listed {
                    Some(Ok(())) => return Ok(state.objects.values().cloned().collect()),
                    Some(Err(problem)) => return Err(problem.clone()),
                    None => {}
                }
            }
            // This has a sender itself: it never ends with an error.
            let _ = changes.changed().await;
        }
    }
}

impl<K: Stored> State<K> {
    /// Takes an event in; returns whether there is something new to show.
    fn take(&mut self, event: watcher::Result<Event<K>>) -> bool {
        match event {
            Ok(Event::Init) => {
                self.listing.clear();
                false
            }
            Ok(Event::InitApply(object)) => {
                self.listing.insert(object.name_any(), Arc::new(object));
                false
            }
            Ok(Event::InitDone) => {
                self.objects = std::mem::take(&mut self.listing);
                self.listed = Some(Ok(()));
                true
            }
            Ok(Event::Apply(object)) => {
                self.objects.insert(object.name_any(), Arc::new(object));
                true
            }
            Ok(Event::Delete(object)) => {
                self.objects.remove(&object.name_any());
                true
            }
            Err(
                watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error),
            ) => {
                let problem = problem(error.into());
                let is_new = self.listed.as_ref() != Some(&Err(problem.clone()));
                self.listed = Some(Err(problem));
                is_new
            }
            // It lists again by itself.
            Err(_) => false,
        }
    }
}

/// Everything that pages about one subject show.
pub(super) struct Watched {
    changed: watch::Sender<u64>,
    pub(super) runs: Option<Kept<Run>>,
    pub(super) jobs: Option<Kept<Participant>>,
    pub(super) pods: Option<Kept<Pod>>,
    pub(super) gates: Option<Kept<Gate>>,
    pub(super) barriers: Option<Kept<Barrier>>,
    pub(super) semaphores: Option<Kept<Semaphore>>,
    pub(super) leases: Option<Kept<Lease>>,
    pub(super) claims: Option<Kept<Claim>>,
    pub(super) schedules: Option<Kept<CronJob>>,
}

impl Watched {
    pub(super) fn start(client: &konductor::Client, subject: &Subject) -> Self {
        let (changed, _) = watch::channel(0);
        let all = watcher::Config::default;
        let (is_run, is_primitives) = (
            matches!(subject, Subject::Run(_)),
            *subject == Subject::Primitives,
        );
        let of_run = match subject {
            Subject::Run(run) => all().labels(&format!("{}={run}", label::RUN)),
            _ => all(),
        };
        let runs = match subject {
            Subject::Run(run) => Some(all().fields(&format!("metadata.name={run}"))),
            Subject::Runs | Subject::Schedules => Some(all()),
            Subject::Primitives => None,
        };
        let kept = &changed;
        let when = |is_needed: bool, config: &watcher::Config| is_needed.then(|| config.clone());
        Self {
            runs: runs.map(|config| Kept::start(client, config, kept)),
            jobs: when(is_run, &of_run).map(|config| Kept::start(client, config, kept)),
            pods: when(is_run, &of_run).map(|config| Kept::start(client, config, kept)),
            gates: when(is_run || is_primitives, &of_run)
                .map(|config| Kept::start(client, config, kept)),
            barriers: when(is_run || is_primitives, &of_run)
                .map(|config| Kept::start(client, config, kept)),
            semaphores: when(is_run || is_primitives, &all())
                .map(|config| Kept::start(client, config, kept)),
            leases: when(is_run || is_primitives, &all())
                .map(|config| Kept::start(client, config, kept)),
            claims: when(is_primitives, &all()).map(|config| Kept::start(client, config, kept)),
            schedules: when(*subject == Subject::Schedules, &all())
                .map(|config| Kept::start(client, config, kept)),
            changed,
        }
    }

    /// Rises with each change.
    pub(super) fn version(&self) -> u64 {
        *self.changed.borrow()
    }

    /// What notices changes from now on.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// The objects of a kind; none of one that is not watched.
pub(super) async fn all<K: Stored + Sync>(kept: &Option<Kept<K>>) -> Result<Vec<Arc<K>>, Problem> {
    match kept {
        Some(kept) => kept.all().await,
        None => Ok(Vec::new()),
    }
}

/// The same by value, for those who take objects apart.
pub(super) async fn owned<K: Stored + Sync>(kept: &Option<Kept<K>>) -> Result<Vec<K>, Problem> {
    let all = all(kept).await?;
    Ok(all.iter().map(|object| K::clone(object)).collect())
}

#[cfg(test)]
mod tests {
    use konductor_api::SemaphoreSpec;

    use super::*;

    #[test]
    fn a_list_replaces_what_was_known_only_when_it_is_complete() {
        let semaphore = |name: &str| {
            let spec = SemaphoreSpec {
                permits: 1,
                order: Default::default(),
            };
            Semaphore::new(name, spec)
        };
        let mut state = State {
            objects: BTreeMap::new(),
            listing: BTreeMap::new(),
            listed: None,
        };
        let names = |state: &State<Semaphore>| state.objects.keys().cloned().collect::<Vec<_>>();
        assert!(!state.take(Ok(Event::Init)));
        assert!(!state.take(Ok(Event::InitApply(semaphore("a")))));
        assert_eq!((names(&state), state.listed.is_some()), (vec![], false));
        assert!(state.take(Ok(Event::InitDone)));
        assert!(state.take(Ok(Event::Apply(semaphore("b")))));
        assert_eq!(names(&state), ["a", "b"]);
        // The watch has broken off, and lists again.
        assert!(!state.take(Ok(Event::Init)));
        assert!(!state.take(Ok(Event::InitApply(semaphore("c")))));
        assert_eq!(names(&state), ["a", "b"]);
        assert!(state.take(Ok(Event::InitDone)));
        assert_eq!(names(&state), ["c"]);
        assert!(state.take(Ok(Event::Delete(semaphore("c")))));
        assert_eq!(names(&state), Vec::<String>::new());
    }
}
