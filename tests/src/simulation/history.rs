//! What must never happen, read off the whole history of stored versions.
//!
//! Each check knows nothing of how the operator decides: it looks at what was stored, in order, and
//! at what else was stored by then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{
    Arrival, ArrivalOutcome, Barrier, BarrierPhase, Claim, ClaimPhase, ConditionState, Gate,
    GateMode, GatePhase, Holder, HolderKind, JobPhase, Lease, LedgerKind, Participant, Run,
    RunPhase, Semaphore, Target, annotation, job_ended, job_phase, label, parse_holds,
};
use konductor_core::job_uid;
use konductor_local::{Event, Record};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How many versions are shown of a history that broke a rule.
const TAIL: usize = 60;

/// Everything as it is stored after some record.
#[derive(Default)]
struct Stored {
    /// By plural and name.
    objects: BTreeMap<(String, String), Arc<Value>>,
    /// The last version of each Job that was deleted, by name.
    deleted_jobs: BTreeMap<String, Arc<Value>>,
    /// Jobs that were Complete once, Barriers and Gates that were open once.
    succeeded_once: BTreeSet<(String, String)>,
    /// The highest token that each Lease's name ever had, over all its lives.
    tokens: BTreeMap<String, i64>,
    /// How often each Job, by uid, was started from the beginning.
    starts: BTreeMap<String, u32>,
}

fn plural(record: &Record) -> String {
    record.resource.plural.to_string()
}

fn name_of(value: &Value) -> String {
    value["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("the API server stores what fits its schema")
}

impl Stored {
    fn all<T: DeserializeOwned>(&self, plural: &str) -> Vec<T> {
        let of_kind = self.objects.iter().filter(|((kind, _), _)| kind == plural);
        of_kind.map(|(_, value)| read(value)).collect()
    }

    fn get<T: DeserializeOwned>(&self, plural: &str, name: &str) -> Option<T> {
        let value = self.objects.get(&(plural.to_owned(), name.to_owned()))?;
        Some(read(value))
    }

    /// All Jobs, also those that were deleted and not created again.
    fn jobs_ever(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = self.all("jobs");
        let gone = self.deleted_jobs.iter();
        let gone = gone.filter(|(name, _)| {
            !self
                .objects
                .contains_key(&("jobs".to_owned(), (*name).clone()))
        });
        jobs.extend(gone.map(|(_, value)| read::<Job>(value)));
        jobs
    }

    fn has_succeeded(&self, plural: &str, name: &str) -> bool {
        self.succeeded_once
            .contains(&(plural.to_owned(), name.to_owned()))
    }
}

/// Checks a whole history.
///
/// # Errors
/// The first thing that must never happen, and did, with the version that shows it.
pub(super) fn check(records: &[Record]) -> Result<(), String> {
    let mut stored = Stored::default();
    for record in records {
        let new = record.event.object();
        let key = (plural(record), name_of(new));
        let old = stored.objects.get(&key).cloned();
        let result = match &record.event {
            Event::Deleted(_) => Ok(()),
            Event::Added(_) | Event::Modified(_) => {
                version(&mut stored, &key.0, old.as_deref(), new)
            }
        };
        result
            .map_err(|why| format!("version {} of {}/{}: {why}", record.revision, key.0, key.1))?;
        match &record.event {
            Event::Deleted(object) => {
                if key.0 == "jobs" {
                    let name = key.1.clone();
                    stored.deleted_jobs.insert(name, Arc::clone(object));
                }
                stored.objects.remove(&key)
            }
            Event::Added(object) | Event::Modified(object) => {
                stored.objects.insert(key, Arc::clone(object))
            }
        };
    }
    Ok(())
}

/// One version of an object, beside everything else as it is stored.
fn version(
    stored: &mut Stored,
    plural: &str,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), String> {
    match plural {
        "semaphores" => {
            let (old, new): (Option<Semaphore>, Semaphore) = (old.map(read), read(new));
            let before = old.and_then(|old| Some(old.status?.holders));
            let now = new.status.map(|status| status.holders).unwrap_or_default();
            stays_within(new.spec.permits, before.as_deref(), &now)?;
            never_releases_a_working_holder(stored, &before.unwrap_or_default(), &now)
        }
        "leases" => {
            let name = name_of(new);
            let (old, new): (Option<Lease>, Lease) = (old.map(read), read(new));
            let before = old.and_then(|old| Some(old.status?.holders));
            let status = new.status.unwrap_or_default();
            stays_within(1, before.as_deref(), &status.holders)?;
            let before = before.unwrap_or_default();
            token_rises(stored, &name, &before, &status.holders, status.token)?;
            never_releases_a_working_holder(stored, &before, &status.holders)
        }
        "jobs" => {
            let (old, new): (Option<Participant>, Participant) = (old.map(read), read(new));
            items(old.as_ref(), &new)?;
            job(stored, old.as_deref().cloned(), &new)
        }
        "pods" => pods_at_once(stored, old.is_none(), &read(new)),
        "gates" => gate(stored, old.map(read), &read(new)),
        "barriers" => barrier(stored, old.map(read), &read(new)),
        "runs" => run(stored, old.map(read), &read(new)),
        _ => Ok(()),
    }
}

fn sum(holders: &[Holder]) -> u32 {
    holders.iter().map(|holder| holder.permits).sum()
}

/// 1: No version grants more than its permits, nor more than the version before where that did.
/// The first version of a ledger may enter those that hold of one of this name.
fn stays_within(permits: u32, before: Option<&[Holder]>, now: &[Holder]) -> Result<(), String> {
    let Some(before) = before else { return Ok(()) };
    if sum(now) > permits && sum(now) > sum(before) {
        return Err(format!("{} of {permits} permits are granted", sum(now)));
    }
    let uids: BTreeSet<&str> = now.iter().map(|holder| holder.uid.as_str()).collect();
    if uids.len() < now.len() {
        return Err("somebody holds twice".to_owned());
    }
    Ok(())
}

/// 2: A token never falls, and rises with each new holder, also across deletion.
fn token_rises(
    stored: &mut Stored,
    name: &str,
    before: &[Holder],
    now: &[Holder],
    token: Option<i64>,
) -> Result<(), String> {
    let highest = stored.tokens.get(name).copied();
    let held_before = |holder: &Holder| before.iter().any(|other| other.uid == holder.uid);
    let adopted = before.is_empty() && highest.is_some() && highest == token;
    if now.iter().any(|holder| !held_before(holder)) && !adopted && token <= highest {
        return Err(format!(
            "a new holder has token {token:?} after {highest:?}"
        ));
    }
    if let Some(token) = token {
        if highest.is_some_and(|highest| token < highest) {
            return Err(format!("token {token} after {highest:?}"));
        }
        stored.tokens.insert(name.to_owned(), token);
    }
    Ok(())
}

/// 3: A permit is not free while a pod of its Job still works, nor while its Claim is granted and
/// was notified of nothing else.
fn never_releases_a_working_holder(
    stored: &Stored,
    before: &[Holder],
    now: &[Holder],
) -> Result<(), String> {
    for held in before {
        if now.iter().any(|holder| holder.uid == held.uid) {
            continue;
        }
        match held.kind {
            HolderKind::Job => {
                let at_work = stored.all::<Pod>("pods").into_iter().find(|pod| {
                    let labels = pod.metadata.labels.as_ref();
                    labels.and_then(|all| all.get(label::JOB_UID)) == Some(&held.uid) && !ended(pod)
                });
                if let Some(pod) = at_work {
                    let pod = pod.metadata.name.unwrap_or_default();
                    return Err(format!("job/{} lost it while pod/{pod} works", held.name));
                }
            }
            HolderKind::Claim => {
                let claim = stored.get::<Claim>("claims", &held.name);
                let holds = claim.is_some_and(|claim| {
                    claim.metadata.uid.as_ref() == Some(&held.uid)
                        && claim.metadata.deletion_timestamp.is_none()
                        && claim.status.is_some_and(|s| s.phase == ClaimPhase::Granted)
                });
                if holds {
                    return Err(format!("claim/{} lost it and was not notified", held.name));
                }
            }
        }
    }
    Ok(())
}

fn ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn annotated<'a>(job: &'a Job, key: &str) -> Option<&'a str> {
    job.metadata
        .annotations
        .as_ref()?
        .get(key)
        .map(String::as_str)
}

fn suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

/// 4: A Job starts once, with its Gate open and its holds in the ledgers, and not after its end.
fn job(stored: &mut Stored, old: Option<Job>, new: &Job) -> Result<(), String> {
    let name = new.metadata.name.clone().unwrap_or_default();
    if job_ended(new) == Some(true) {
        stored.succeeded_once.insert(("jobs".to_owned(), name));
    }
    let Some(old) = old else { return Ok(()) };
    if !suspended(&old) || suspended(new) {
        return Ok(());
    }
    match job_phase(&old) {
        None | Some(JobPhase::Waiting | JobPhase::Queued) => {}
        Some(JobPhase::Paused) => return Ok(()),
        Some(phase) => return Err(format!("it was {phase:?}, and is started")),
    }
    let uid = new.metadata.uid.clone().unwrap_or_default();
    let starts = stored.starts.entry(uid.clone()).or_default();
    *starts += 1;
    if *starts > 1 {
        return Err("it is started again".to_owned());
    }
    if let Some(gate) = annotated(&old, annotation::GATE) {
        let phase = stored
            .get::<Gate>("gates", gate)
            .and_then(|gate| Some(gate.status?.phase));
        if phase != Some(GatePhase::Open) {
            return Err(format!("it is started, and gate/{gate} is {phase:?}"));
        }
    }
    let holds = parse_holds(annotated(&old, annotation::HOLD).unwrap_or_default());
    for hold in holds.unwrap_or_default() {
        let holders = match hold.kind {
            LedgerKind::Semaphore => {
                let semaphore = stored.get::<Semaphore>("semaphores", &hold.name);
                semaphore.and_then(|semaphore| Some(semaphore.status?.holders))
            }
            LedgerKind::Lease => {
                let lease = stored.get::<Lease>("leases", &hold.name);
                lease.and_then(|lease| Some(lease.status?.holders))
            }
        };
        if !holders
            .unwrap_or_default()
            .iter()
            .any(|holder| holder.uid == uid)
        {
            return Err(format!("it is started without {}/{}", hold.kind, hold.name));
        }
    }
    Ok(())
}

/// 9: A Job whose items are known only at run time gets its list and its size once, before its start, and keeps both.
fn items(old: Option<&Participant>, new: &Participant) -> Result<(), String> {
    let Some(Ok(items)) = &new.items else {
        return Ok(());
    };
    let spec = new.spec.clone().unwrap_or_default();
    let count = new.item_names().len();
    let parallel = items
        .parallel
        .map_or(count, |most| count.min(most as usize));
    let is = |number: Option<i32>, expected: usize| {
        number.and_then(|n| usize::try_from(n).ok()) == Some(expected)
    };
    if let Some(old_list) = old.and_then(|old| old.item_list())
        && new.item_list() != Some(old_list)
    {
        return Err(format!(
            "its list was {old_list}, and is {:?}",
            new.item_list()
        ));
    }
    if count > 0 && !is(spec.completions, count) {
        return Err(format!(
            "it has {count} items, and {:?} completions",
            spec.completions
        ));
    }
    if new.is_suspended() {
        return Ok(());
    }
    match count > 0 && is(spec.parallelism, parallel) {
        true => Ok(()),
        false => Err(format!(
            "it runs with {count} items, {:?} at once",
            spec.parallelism
        )),
    }
}

/// 10: No more items of a Job are at work at once than it may have.
fn pods_at_once(stored: &Stored, is_new: bool, pod: &Pod) -> Result<(), String> {
    let job = job_uid(pod).filter(|_| is_new && !ended(pod));
    let Some(job) = job else { return Ok(()) };
    let jobs: Vec<Participant> = stored.all("jobs");
    let owner = jobs.iter().find(|other| other.uid() == job);
    let items = owner.and_then(|owner| owner.items.as_ref()?.as_ref().ok());
    let Some(most) = items.and_then(|items| items.parallel) else {
        return Ok(());
    };
    let pods: Vec<Pod> = stored.all("pods");
    let others = pods
        .iter()
        .filter(|other| job_uid(other) == Some(job) && !ended(other));
    match others.count() < most as usize {
        true => Ok(()),
        false => Err(format!("its Job has {most} others at work already")),
    }
}

/// 5: What has ended stays as it is; a Gate does not open before its conditions are met.
fn gate(stored: &mut Stored, old: Option<Gate>, new: &Gate) -> Result<(), String> {
    let phase = |gate: &Gate| {
        gate.status
            .as_ref()
            .map(|status| status.phase)
            .unwrap_or_default()
    };
    let before = old.as_ref().map(phase).unwrap_or_default();
    let now = phase(new);
    if before != GatePhase::Waiting && before != now {
        return Err(format!("it was {before:?} and is {now:?}"));
    }
    if now != GatePhase::Open || before == now {
        return Ok(());
    }
    let name = new.metadata.name.clone().unwrap_or_default();
    stored.succeeded_once.insert(("gates".to_owned(), name));
    // Those conditions that names alone decide.
    let namespace = new.metadata.namespace.as_deref().unwrap_or_default();
    let by_name = new.spec.conditions.iter().filter_map(|condition| {
        let (plural, target) = match (condition.subject(namespace).target, condition.state) {
            (Target::Job(name), ConditionState::Complete) => ("jobs", name),
            (Target::Barrier { name, .. }, ConditionState::Open) => ("barriers", name),
            (Target::Gate(name), ConditionState::Open) => ("gates", name),
            _ => return None,
        };
        let has_succeeded = stored.has_succeeded(plural, &target);
        Some((plural, target, has_succeeded))
    });
    let by_name: Vec<_> = by_name.collect();
    let unmet = by_name.iter().find(|(_, _, met)| !met);
    match (new.spec.mode, unmet) {
        (GateMode::All, Some((plural, target, _))) => {
            Err(format!("it opened, and {plural}/{target} never succeeded"))
        }
        (GateMode::Any, _)
            if by_name.len() == new.spec.conditions.len()
                && !by_name.is_empty()
                && by_name.iter().all(|(_, _, met)| !met) =>
        {
            Err("it opened, and no condition was met".to_owned())
        }
        _ => Ok(()),
    }
}

/// 6: An arrival counts once, and a Barrier opens when enough have arrived.
fn barrier(stored: &mut Stored, old: Option<Barrier>, new: &Barrier) -> Result<(), String> {
    let phase = |barrier: &Barrier| {
        barrier
            .status
            .as_ref()
            .map(|status| status.phase)
            .unwrap_or_default()
    };
    let before = old.as_ref().map(phase).unwrap_or_default();
    let now = phase(new);
    if before != BarrierPhase::Waiting && before != now {
        return Err(format!("it was {before:?} and is {now:?}"));
    }
    if now != BarrierPhase::Open || before == now {
        return Ok(());
    }
    let name = new.metadata.name.clone().unwrap_or_default();
    stored
        .succeeded_once
        .insert(("barriers".to_owned(), name.clone()));
    let arrived: BTreeSet<String> = match &new.spec.jobs {
        None => {
            let arrivals = stored.all::<Arrival>("arrivals").into_iter();
            let of_this = arrivals.filter(|arrival| arrival.spec.barrier == name);
            of_this
                .filter(|arrival| arrival.spec.outcome == ArrivalOutcome::Succeeded)
                .map(|arrival| arrival.spec.holder)
                .collect()
        }
        Some(selector) => {
            let jobs = stored.jobs_ever().into_iter().filter(|job| {
                let labels = job.metadata.labels.clone().unwrap_or_default();
                selector
                    .match_labels
                    .iter()
                    .all(|(key, value)| labels.get(key).is_some_and(|label| *label == value.0))
                    && job_ended(job) == Some(true)
            });
            jobs.filter_map(|job| job.metadata.name).collect()
        }
    };
    let needed = match &new.spec.jobs {
        None => new.spec.quorum.unwrap_or(new.spec.expected),
        // Of a fan-out, some may be skipped.
        Some(_) => new.spec.quorum.unwrap_or(1),
    };
    if arrived.len() < needed as usize {
        return Err(format!("it opened with {} of {needed}", arrived.len()));
    }
    Ok(())
}

/// 7: The end of a Run is not early, and stays.
fn run(stored: &Stored, old: Option<Run>, new: &Run) -> Result<(), String> {
    let phase = |run: &Run| {
        run.status
            .as_ref()
            .map(|status| status.phase)
            .unwrap_or_default()
    };
    let ends = |phase| {
        matches!(
            phase,
            RunPhase::Succeeded | RunPhase::Failed | RunPhase::Cancelled
        )
    };
    let before = old.as_ref().map(phase).unwrap_or_default();
    let now = phase(new);
    let attempt = |run: &Run| run.status.as_ref().map_or(0, |status| status.attempt);
    let is_retry = attempt(new) > old.as_ref().map_or(0, attempt);
    if ends(before) && before != now && !is_retry {
        return Err(format!("it was {before:?} and is {now:?}"));
    }
    if !ends(now) || before == now {
        return Ok(());
    }
    let name = new.metadata.name.clone().unwrap_or_default();
    let is_of_run = |job: &Job| {
        let labels = job.metadata.labels.as_ref();
        labels.and_then(|all| all.get(label::RUN)) == Some(&name)
    };
    let ever = stored.jobs_ever().into_iter().filter(is_of_run).count();
    let expected = new.spec.jobs + new.spec.finally_jobs;
    if ever != expected as usize {
        return Err(format!(
            "it ended, and {ever} of {expected} Jobs had existed"
        ));
    }
    let jobs = stored.all::<Job>("jobs").into_iter().filter(is_of_run);
    let jobs: Vec<Job> = jobs.collect();
    let over = |job: &Job| {
        job_ended(job).is_some()
            || matches!(
                job_phase(job),
                Some(
                    JobPhase::Skipped
                        | JobPhase::Unreached
                        | JobPhase::Cancelled
                        | JobPhase::Failed
                )
            )
    };
    match jobs.iter().find(|job| !over(job)) {
        Some(job) => {
            let job = job.metadata.name.clone().unwrap_or_default();
            Err(format!("it ended before job/{job}"))
        }
        None => Ok(()),
    }
}

/// 8: At the end, nobody holds who is gone or has ended.
///
/// # Errors
/// The grant that leaks.
pub(super) fn nothing_leaks(records: &[Record]) -> Result<(), String> {
    let mut last: BTreeMap<(String, String), &Record> = BTreeMap::new();
    for record in records {
        last.insert((plural(record), name_of(record.event.object())), record);
    }
    let alive = |plural: &str, name: &str| {
        let record = last.get(&(plural.to_owned(), name.to_owned()))?;
        match &record.event {
            Event::Deleted(_) => None,
            Event::Added(object) | Event::Modified(object) => Some(Arc::clone(object)),
        }
    };
    for (plural, name) in last
        .keys()
        .filter(|(plural, _)| plural == "semaphores" || plural == "leases")
    {
        let Some(ledger) = alive(plural, name) else {
            continue;
        };
        let holders: Vec<Holder> = match ledger["status"].get("holders") {
            Some(holders) => read(holders),
            None => continue,
        };
        for held in holders {
            let of_kind = match held.kind {
                HolderKind::Job => "jobs",
                HolderKind::Claim => "claims",
            };
            let still = alive(of_kind, &held.name).is_some_and(|holder| {
                let same = holder["metadata"]["uid"] == held.uid.as_str();
                same && match held.kind {
                    HolderKind::Job => job_ended(&read::<Job>(&holder)).is_none(),
                    HolderKind::Claim => holder["status"]["phase"] == "Granted",
                }
            });
            if !still {
                return Err(format!(
                    "{plural}/{name} is still held by {of_kind}/{}",
                    held.name
                ));
            }
        }
    }
    Ok(())
}

/// The end of a history, a line a version.
pub(super) fn tail(records: &[Record]) -> String {
    let mut text = String::new();
    for record in records.iter().skip(records.len().saturating_sub(TAIL)) {
        let object = record.event.object();
        let what = match &record.event {
            Event::Added(_) => "added",
            Event::Modified(_) => "modified",
            Event::Deleted(_) => "deleted",
        };
        let annotations = &object["metadata"]["annotations"];
        let _ = writeln!(
            text,
            "  {:>5} {what:<8} {}/{} phase={} suspend={} {}",
            record.revision,
            record.resource.plural,
            name_of(object),
            annotations
                .get(annotation::PHASE)
                .unwrap_or(&object["status"]["phase"]),
            object["spec"]["suspend"],
            if record.resource.plural == "runs" {
                object["status"].to_string()
            } else if record.resource.plural == "events" {
                format!(
                    "{} {}{}",
                    object["reason"], object["message"], object["note"]
                )
            } else {
                object["status"]
                    .get("holders")
                    .map_or_else(String::new, |holders| {
                        let names = holders.as_array().into_iter().flatten();
                        let names: Vec<&str> =
                            names.filter_map(|holder| holder["name"].as_str()).collect();
                        format!("holders={names:?}")
                    })
            },
        );
    }
    text
}
