//! Objects that somebody deletes: any one at any moment of its life, and Jobs by a TTL.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{
    Arrival, Barrier, Claim, Gate, Lease, Participant, Run, Semaphore, job_ended, label,
};
use konductor_core::run::recorded_end;
use konductor_local::{ApiServer, Event, Record};
use kube::api::DeleteParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::NAMESPACE;
use super::faults::Link;
use super::plan::{Fault, Plan};

/// What the compiler calls the values that a pod reads, before their number.
const INPUT: &str = "konductor.io/in-";
/// How often it is looked whether something is to be deleted.
const LOOKS_EVERY: Duration = Duration::from_millis(5);

/// Deletes what a plan says; never ready.
pub(super) async fn delete(api: ApiServer, client: Client, plan: Plan, links: Vec<Arc<Link>>) {
    let ttl = plan.faults.iter().find_map(|fault| match fault {
        Fault::Ttl { after_ms } => Some(Duration::from_millis(*after_ms)),
        _ => None,
    });
    let mut due: Vec<Fault> = plan.faults.iter().copied().filter(deletes).collect();
    if due.is_empty() && ttl.is_none() {
        return std::future::pending().await;
    }
    let mut seen = Seen::default();
    let mut records_seen = 0;
    let mut expiring: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        let records = api.history(records_seen);
        for record in &records {
            seen.count(record);
            for fault in due.extract_if(.., |fault| seen.is_at(fault)) {
                if let Fault::Delete { down: true, .. } | Fault::DeleteJob { down: true, .. } =
                    fault
                {
                    links.iter().for_each(|link| link.crash_now());
                    // The crash is noticed before anything else is done.
                    tokio::task::yield_now().await;
                }
                delete_object(&client, record).await;
            }
            if let Some(ttl) = ttl.filter(|_| has_ended(record)) {
                expiring
                    .entry(name(record))
                    .or_insert_with(|| Instant::now() + ttl);
            }
        }
        records_seen += records.len();
        let now = Instant::now();
        for (job, _) in expiring.extract_if(.., |_, at| *at <= now) {
            remove::<Job>(&client, &job).await;
        }
        tokio::time::sleep(LOOKS_EVERY).await;
    }
}

fn deletes(fault: &Fault) -> bool {
    matches!(fault, Fault::Delete { .. } | Fault::DeleteJob { .. })
}

/// What was stored so far.
#[derive(Default)]
struct Seen {
    versions: u64,
    /// How many versions each Job had, in the order of their creation.
    jobs: Vec<(String, u64)>,
    /// The place of the Job in that order which the last version is about.
    last: Option<usize>,
}

impl Seen {
    fn count(&mut self, record: &Record) {
        self.versions += 1;
        self.last = None;
        if job(record).is_none() {
            return;
        }
        let name = name(record);
        let place = self.jobs.iter().position(|(job, _)| *job == name);
        let place = place.unwrap_or_else(|| {
            self.jobs.push((name, 0));
            self.jobs.len() - 1
        });
        self.jobs[place].1 += 1;
        self.last = Some(place);
    }

    /// Whether the last version is the one that a fault names.
    fn is_at(&self, fault: &Fault) -> bool {
        match fault {
            Fault::Delete { nth, .. } => *nth == self.versions,
            Fault::DeleteJob { job, version, .. } => self
                .last
                .is_some_and(|place| place as u64 + 1 == *job && self.jobs[place].1 == *version),
            _ => false,
        }
    }
}

fn name(record: &Record) -> String {
    let name = record.event.object()["metadata"]["name"].as_str();
    name.unwrap_or_default().to_owned()
}

fn job(record: &Record) -> Option<Participant> {
    let is_job = record.resource.plural == "jobs";
    let is_there = !matches!(record.event, Event::Deleted(_));
    let object = (**record.event.object()).clone();
    (is_job && is_there).then(|| serde_json::from_value(object).expect("a Job"))
}

fn has_ended(record: &Record) -> bool {
    job(record).is_some_and(|job| job_ended(&job).is_some())
}

async fn delete_object(client: &Client, record: &Record) {
    let name = name(record);
    match record.resource.plural.to_string().as_str() {
        "jobs" => remove::<Job>(client, &name).await,
        "pods" => remove::<Pod>(client, &name).await,
        "gates" => remove::<Gate>(client, &name).await,
        "barriers" => remove::<Barrier>(client, &name).await,
        "runs" => remove::<Run>(client, &name).await,
        "semaphores" => remove::<Semaphore>(client, &name).await,
        "leases" => remove::<Lease>(client, &name).await,
        "claims" => remove::<Claim>(client, &name).await,
        "arrivals" => remove::<Arrival>(client, &name).await,
        // Events and definitions: nobody waits for those.
        _ => {}
    }
}

async fn remove<K>(client: &Client, name: &str)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), NAMESPACE);
    // It may be gone already.
    let _ = api.delete(name, &DeleteParams::background()).await;
}

/// What a history says about the Jobs of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobHistory {
    /// Of each Job, in the order of their creation: its name, and of every version whether it had ended by then.
    pub versions: Vec<(String, Vec<bool>)>,
    /// How many pods each Job had.
    pub pods: BTreeMap<String, usize>,
    /// What each pod was given to read: its Job, and the values.
    pub inputs: Vec<(String, BTreeMap<String, String>)>,
    /// In which order the first pod of each Job was created.
    pub order: Vec<String>,
    /// The Jobs that were deleted, in that order.
    pub deleted: Vec<Deleted>,
}

/// A Job that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Its name.
    pub job: String,
    /// Whether it had ended.
    pub had_ended: bool,
    /// Whether its Run had recorded that by then.
    pub is_recorded: bool,
}

/// Reads what happened to the Jobs.
pub(super) fn job_history(records: &[Record]) -> JobHistory {
    let mut history = JobHistory::default();
    let mut seen = BTreeSet::new();
    let mut run = None;
    for record in records {
        if let Some(job) = job(record) {
            let ended = konductor_core::job_end(&job).is_some();
            let name = name(record);
            match history.versions.iter_mut().find(|(job, _)| *job == name) {
                Some((_, versions)) => versions.push(ended),
                None => history.versions.push((name, vec![ended])),
            }
        }
        if record.resource.plural == "runs" {
            let object = (**record.event.object()).clone();
            run = Some(serde_json::from_value::<Run>(object).expect("a Run"));
        }
        if record.resource.plural == "jobs" && matches!(record.event, Event::Deleted(_)) {
            let object = (**record.event.object()).clone();
            let job: Participant = serde_json::from_value(object).expect("a Job");
            let recorded = run.as_ref().and_then(|run| recorded_end(run, &job));
            history.deleted.push(Deleted {
                job: name(record),
                had_ended: konductor_core::job_end(&job).is_some(),
                is_recorded: recorded.is_some(),
            });
        }
        let is_pod = record.resource.plural == "pods";
        if is_pod && matches!(record.event, Event::Added(_)) {
            let labels = &record.event.object()["metadata"]["labels"];
            let job = labels[label::JOB_NAME].as_str().unwrap_or_default();
            *history.pods.entry(job.to_owned()).or_default() += 1;
            let annotations = record.event.object()["metadata"]["annotations"].as_object();
            let inputs = annotations
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| {
                    let key = key.strip_prefix(INPUT)?;
                    Some((key.to_owned(), value.as_str()?.to_owned()))
                });
            history.inputs.push((job.to_owned(), inputs.collect()));
            if seen.insert(job.to_owned()) {
                history.order.push(job.to_owned());
            }
        }
    }
    history
}
