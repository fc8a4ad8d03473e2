//! What a run is looked at with: its objects, and those that they wait for. It decides nothing.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Event, Pod};
use konductor_api::{Barrier, Gate, Participant, Run, Target, label, shown_item};
use konductor_operator::standing::State;
use konductor_operator::{Listed, RunObjects, explain};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Resource, ResourceExt};

use super::api;
use crate::exit::{Failure, NOT_FOUND};
use crate::read;
use crate::suggestion::suggested;
use crate::view::{indexes, title};

/// How many steps of Gates and Barriers of others are followed.
const OUTSIDE_ROUNDS: usize = 4;

/// Everything around a run that says why something waits.
pub(crate) async fn objects_of(
    client: &konductor::Client,
    run: &str,
) -> Result<RunObjects, Failure> {
    let of_run = ListParams::default().labels(&format!("{}={run}", label::RUN));
    let all = ListParams::default();
    let (jobs_api, gates_api) = (api::<Participant>(client), api(client));
    let (semaphores_api, leases_api) = (api(client), api(client));
    let barriers_api = api(client);
    let pods_api = api::<Pod>(client);
    let runs_api = api::<Run>(client);
    let (jobs, barriers, gates, semaphores, leases, pods, itself) = tokio::try_join!(
        read::list(&jobs_api, &of_run),
        read::list(&barriers_api, &of_run),
        read::list(&gates_api, &of_run),
        read::list(&semaphores_api, &all),
        read::list(&leases_api, &all),
        async { Ok(readable(read::list(&pods_api, &of_run).await)) },
        runs_api.get_opt(run),
    )?;
    let listed = Listed {
        run: itself,
        jobs,
        gates,
        barriers,
        semaphores,
        leases,
        pods,
        ..Listed::default()
    };
    Ok(completed(client, listed, &mut Reasons::default()).await)
}

/// Everything around a Job that says why it waits: that of its run, or what it waits for itself.
pub(crate) async fn objects_of_job(
    client: &konductor::Client,
    job: Participant,
) -> Result<RunObjects, Failure> {
    if let Some(run) = job.run() {
        return objects_of(client, run).await;
    }
    let of_job = ListParams::default().labels(&format!("{}={}", label::JOB_NAME, job.name()));
    let all = ListParams::default();
    let (semaphores_api, leases_api) = (api(client), api(client));
    let pods_api = api::<Pod>(client);
    let (semaphores, leases, pods) = tokio::try_join!(
        read::list(&semaphores_api, &all),
        read::list(&leases_api, &all),
        async { Ok(readable(read::list(&pods_api, &of_job).await)) },
    )?;
    let listed = Listed {
        jobs: vec![job],
        semaphores,
        leases,
        pods,
        ..Listed::default()
    };
    Ok(completed(client, listed, &mut Reasons::default()).await)
}

/// Reasons that no watch reports, as they were read last. Those that nothing has needed yet are not known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons {
    events: Option<Vec<Event>>,
    workloads: Option<Vec<serde_json::Value>>,
}

/// Adds to what was listed of a run what others have that explains it. Reasons that are known are not read again.
pub(crate) async fn completed(
    client: &konductor::Client,
    listed: Listed,
    reasons: &mut Reasons,
) -> RunObjects {
    let Listed {
        jobs,
        gates,
        barriers,
        pods,
        ..
    } = &listed;
    let (gates, barriers) = (by_name(gates.clone()), by_name(barriers.clone()));
    let (gates, barriers) = outside(client, jobs, gates, barriers).await;
    let Reasons { events, workloads } = reasons;
    let (events, workloads) = tokio::join!(
        cached_or(events, needs_events(jobs, pods), self::events(client)),
        cached_or(workloads, needs_workloads(jobs), self::workloads(client)),
    );
    RunObjects::from(Listed {
        gates: gates.into_values().collect(),
        barriers: barriers.into_values().collect(),
        events,
        workloads,
        ..listed
    })
}

type Named<K> = BTreeMap<String, K>;

/// Adds the Gates and Barriers of others that a run waits for, as far as they may be read.
async fn outside(
    client: &konductor::Client,
    jobs: &[Participant],
    mut gates: Named<Gate>,
    mut barriers: Named<Barrier>,
) -> (Named<Gate>, Named<Barrier>) {
    let mut looked_up = BTreeSet::new();
    for _ in 0..OUTSIDE_ROUNDS {
        let own = gates.values().flat_map(Gate::subjects);
        let own = own.filter(|subject| !subject.is_foreign);
        let of_jobs = jobs.iter().filter_map(Participant::gate);
        let of_barriers = barriers
            .values()
            .filter_map(|barrier| barrier.spec.gate.as_deref());
        let named = of_jobs.chain(of_barriers);
        let named = named.map(|gate| Target::Gate(gate.to_owned()));
        let named: Vec<Target> = named.chain(own.map(|subject| subject.target)).collect();
        let (mut new_gates, mut new_barriers) = (BTreeSet::new(), BTreeSet::new());
        for target in named {
            match target {
                Target::Gate(name) if !gates.contains_key(&name) => {
                    new_gates.insert(name);
                }
                Target::Barrier { name, .. } if !barriers.contains_key(&name) => {
                    new_barriers.insert(name);
                }
                _ => {}
            }
        }
        new_gates.retain(|name| looked_up.insert(format!("gate/{name}")));
        new_barriers.retain(|name| looked_up.insert(format!("barrier/{name}")));
        if new_gates.is_empty() && new_barriers.is_empty() {
            break;
        }
        let (gates_api, barriers_api) = (api::<Gate>(client), api::<Barrier>(client));
        let gate_reads = join_all(new_gates.iter().map(|name| gates_api.get_opt(name)));
        let barrier_reads = join_all(new_barriers.iter().map(|name| barriers_api.get_opt(name)));
        let (gate_reads, barrier_reads) = tokio::join!(gate_reads, barrier_reads);
        gates.extend(by_name(
            gate_reads.into_iter().flatten().flatten().collect(),
        ));
        barriers.extend(by_name(
            barrier_reads.into_iter().flatten().flatten().collect(),
        ));
    }
    (gates, barriers)
}

/// What may be read; to look at a run needs no right on what only explains it.
fn readable<K>(objects: Result<Vec<K>, kube::Error>) -> Vec<K> {
    objects.unwrap_or_default()
}

/// Returns what is cached; otherwise it is read, if it is needed.
async fn cached_or<K: Clone>(
    cached: &mut Option<Vec<K>>,
    is_needed: bool,
    read: impl Future<Output = Vec<K>>,
) -> Vec<K> {
    match cached {
        _ if !is_needed => Vec::new(),
        Some(cached) => cached.clone(),
        None => cached.insert(read.await).clone(),
    }
}

/// Warnings explain what was started and does not run.
fn needs_events(jobs: &[Participant], pods: &[Pod]) -> bool {
    let started = |job: &&Participant| State::of(job) == State::Running;
    let runs = |pod: &&Pod| !explain::is_pending(&[pod]);
    jobs.iter().filter(started).count() > pods.iter().filter(runs).count()
}

/// Kueue's Workloads explain a Job in one of its queues.
fn needs_workloads(jobs: &[Participant]) -> bool {
    let queued = |job: &Participant| job.queue().is_some() && !State::of(job).has_ended();
    jobs.iter().any(queued)
}

/// Warnings of the namespace.
async fn events(client: &konductor::Client) -> Vec<Event> {
    let warnings = ListParams::default().fields("type=Warning");
    readable(read::list(&api::<Event>(client), &warnings).await)
}

/// Kueue's Workloads of the namespace.
async fn workloads(client: &konductor::Client) -> Vec<serde_json::Value> {
    let mut workloads = Vec::new();
    // Kueue serves one of them, or both.
    for version in ["v1beta2", "v1beta1"] {
        let kind = GroupVersionKind::gvk("kueue.x-k8s.io", version, "Workload");
        let resource = ApiResource::from_gvk(&kind);
        let url = DynamicObject::url_path(&resource, Some(client.namespace()));
        workloads = readable(read::list_values(client.kube().clone(), url).await);
        if !workloads.is_empty() {
            break;
        }
    }
    workloads
}

/// A stage, or one of its items, as koncli prints them: `read`, `read[a]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meant<'a> {
    pub(super) stage: &'a str,
    pub(super) item: Option<&'a str>,
}

impl<'a> Meant<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let split = text.strip_suffix(']').and_then(|text| text.split_once('['));
        match split {
            Some((stage, item)) => Self {
                stage,
                item: Some(item),
            },
            None => Self {
                stage: text,
                item: None,
            },
        }
    }

    /// Whether a Job is meant. One Indexed Job has all the items of its stage.
    pub(super) fn is_of(self, job: &Participant) -> bool {
        job.label(label::STAGE) == Some(self.stage)
            && self
                .item
                .is_none_or(|item| is_item(job, item) || self.index_in(job).is_some())
    }

    /// Which item of an Indexed Job is meant, by what it is called or by its index.
    pub(super) fn index_in(self, job: &Participant) -> Option<usize> {
        let name = shown_item(self.item?);
        let named = job.item_names().iter().position(|item| *item == name);
        named.or_else(|| {
            let total = usize::try_from(indexes(job)?.total).ok()?;
            let index = self.item?.parse::<usize>().ok()?;
            (index < total).then_some(index)
        })
    }
}

impl fmt::Display for Meant<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item {
            Some(item) => write!(formatter, "{}[{}]", self.stage, shown_item(item)),
            None => formatter.write_str(self.stage),
        }
    }
}

/// Whether a Job is of this item, written in full or as it is shown.
fn is_item(job: &Participant, item: &str) -> bool {
    let own = job.item();
    own.is_some_and(|own| own == item || shown_item(own) == item)
}

/// Makes sure that a run has a stage or an item; while its Jobs are still being created, nobody knows.
pub(super) fn expect(run: &Run, objects: &RunObjects, meant: Meant<'_>) -> Result<(), Failure> {
    let jobs = run.spec.jobs.saturating_add(run.spec.finally_jobs) as usize;
    let participants: Vec<&Participant> = objects.jobs_and_gone().collect();
    match objects.jobs().len() < jobs || participants.iter().any(|job| meant.is_of(job)) {
        true => Ok(()),
        false => Err(none_such(&run.name_any(), meant, &participants)),
    }
}

/// Returns the error that a run has no such stage or item, and which one may be meant.
pub(super) fn none_such<J: Borrow<Participant>>(
    run: &str,
    meant: Meant<'_>,
    jobs: &[J],
) -> Failure {
    let jobs = || jobs.iter().map(Borrow::borrow);
    let of_stage = |job: &&Participant| job.label(label::STAGE) == Some(meant.stage);
    let (kind, name, candidates): (_, _, BTreeSet<String>) = match jobs().any(|job| of_stage(&job))
    {
        true => (
            "item",
            meant.to_string(),
            jobs().filter(of_stage).flat_map(item_titles).collect(),
        ),
        false => {
            let stages = jobs().filter_map(|job: &Participant| job.label(label::STAGE));
            (
                "stage",
                meant.stage.to_owned(),
                stages.map(str::to_owned).collect(),
            )
        }
    };
    let ranged = jobs().filter(of_stage).find_map(last_index);
    let near = konductor_dsl::did_you_mean(&name, candidates.iter().map(String::as_str));
    let help = match (ranged, near) {
        (Some(last), _) => format!("its items are {0}[0] to {0}[{last}]", meant.stage),
        (None, Some(near)) => format!("did you mean {near}?"),
        (None, None) => {
            let status = suggested(format!("koncli status {run}"));
            format!("{status} lists its {kind}s")
        }
    };
    Failure::new(NOT_FOUND, format!("run/{run} has no {kind} {name}")).help(help)
}

/// How the items of a Job are called: one, or those of the list of an Indexed Job.
fn item_titles(job: &Participant) -> Vec<String> {
    let title = title(job);
    let names = job.item_names();
    if names.is_empty() {
        return vec![title];
    }
    let names = names.iter().map(|name| format!("{title}[{name}]"));
    names.collect()
}

/// The last index of an Indexed Job whose items are a range: they have no other names.
fn last_index(job: &Participant) -> Option<i32> {
    let indexes = indexes(job).filter(|_| job.items.is_none())?;
    indexes.total.checked_sub(1).filter(|last| *last >= 0)
}

fn by_name<K: Resource>(objects: Vec<K>) -> BTreeMap<String, K> {
    objects
        .into_iter()
        .map(|object| (object.name_any(), object))
        .collect()
}

#[cfg(test)]
mod tests {
    use konductor_api::annotation;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn reasons_are_read_once_and_only_when_they_are_needed() {
        let mut cached = None;
        for (is_needed, expected) in [(false, vec![]), (true, vec![1]), (true, vec![1])] {
            let next = cached.as_ref().map_or(1, |_| 2);
            let read = cached_or(&mut cached, is_needed, async { vec![next] }).await;
            assert_eq!(read, expected);
        }
        assert_eq!(cached, Some(vec![1]));
    }

    #[test]
    fn a_stage_or_an_item_is_meant_as_it_is_printed() {
        let job = |item: Option<&str>, completions: Option<i32>| -> Participant {
            let mut annotations = json!({});
            if let Some(item) = item {
                annotations[annotation::ITEM] = item.into();
            }
            let mode = completions.map(|_| "Indexed");
            serde_json::from_value(json!({
                "metadata": {"name": "r", "labels": {label::STAGE: "read"}, "annotations": annotations},
                "spec": {"completions": completions, "completionMode": mode, "template": {}},
            }))
            .expect("a Job")
        };
        let (item, range) = (job(Some("a[1]"), None), job(None, Some(3)));
        for (text, of_item, of_range) in [
            ("read", true, true),
            ("read[a[1]]", true, false),
            ("read[a]", false, false),
            ("read[2]", false, true),
            ("read[3]", false, false),
            ("write[2]", false, false),
        ] {
            let meant = Meant::of(text);
            assert_eq!(
                (meant.is_of(&item), meant.is_of(&range)),
                (of_item, of_range),
                "{text}"
            );
            assert_eq!(meant.to_string(), text);
        }
    }

    #[test]
    fn an_item_that_does_not_exist_is_answered_with_those_that_do() {
        let job = |annotations: serde_json::Value, list: &str| -> Participant {
            serde_json::from_value(json!({
                "metadata": {
                    "name": "r", "labels": {label::STAGE: "read"}, "annotations": annotations,
                },
                "spec": {
                    "completions": 3, "completionMode": "Indexed",
                    "template": {"metadata": {"annotations": {annotation::ITEMS: list}}},
                },
            }))
            .expect("a Job")
        };
        let range = job(json!({}), "");
        let list = job(
            json!({annotation::ITEMS: "{\"of\": \"r-split/parts\"}"}),
            "[\"north\", \"south\", \"west\"]",
        );
        for (job, text, expected) in [
            (&range, "read[9]", "its items are read[0] to read[2]"),
            (&list, "read[nort]", "did you mean read[north]?"),
            (
                &list,
                "read[antarctica]",
                "`koncli status r` lists its items",
            ),
        ] {
            let failure = none_such("r", Meant::of(text), &[job]);
            assert_eq!(failure.help.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_item_is_meant_by_its_name_in_full_as_it_is_shown_and_by_its_index() {
        let long = "x".repeat(70);
        let cut = shown_item(&long);
        let list = json!(["a", "b\nc", long]).to_string();
        let job: Participant = serde_json::from_value(json!({
            "metadata": {
                "name": "r", "labels": {label::STAGE: "read"},
                "annotations": {annotation::ITEMS: "{\"of\": \"r-split/parts\"}"},
            },
            "spec": {
                "completions": 3, "completionMode": "Indexed",
                "template": {"metadata": {"annotations": {annotation::ITEMS: list}}},
            },
        }))
        .expect("a Job");
        for (item, expected) in [
            ("a", Some(0)),
            ("b\nc", Some(1)),
            ("b\\nc", Some(1)),
            (long.as_str(), Some(2)),
            (cut.as_str(), Some(2)),
            ("2", Some(2)),
            ("3", None),
            ("c", None),
        ] {
            let text = format!("read[{item}]");
            let meant = Meant::of(&text);
            assert_eq!(meant.index_in(&job), expected, "{item}");
            assert_eq!(meant.is_of(&job), expected.is_some(), "{item}");
        }
    }
}
