//! The timeline of a Run: its spans by what is stored, and its critical path against a second way to find it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use konductor_api::{Participant, Run};
use konductor_core::timeline::{Row, Span, SpanKind, Timeline, timeline};
use konductor_core::{Listed, RunObjects};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const RUN: &str = "r";

fn read<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

/// So many seconds after the Run was created.
pub(crate) fn at(second: i64) -> Timestamp {
    crate::world::now() + SignedDuration::from_secs(second)
}

pub(crate) fn time(second: i64) -> String {
    at(second).to_string()
}

fn metadata(name: &str, stage: Option<&str>, created: i64) -> Value {
    let mut labels = json!({"konductor.io/run": RUN});
    if let Some(stage) = stage {
        labels["konductor.io/stage"] = stage.into();
    }
    json!({"name": name, "namespace": "ns", "uid": format!("uid-{name}"), "labels": labels,
           "creationTimestamp": time(created)})
}

pub(crate) fn run(finished: Option<i64>) -> Run {
    let phase = if finished.is_some() {
        "Succeeded"
    } else {
        "Running"
    };
    let mut run = json!({
        "metadata": {"name": RUN, "namespace": "ns", "uid": "uid-r", "creationTimestamp": time(0)},
        "spec": {"pipeline": "p", "jobs": 1, "attempt": 1},
        "status": {"phase": phase, "attempt": 1, "startedAt": time(0)},
    });
    if let Some(finished) = finished {
        run["status"]["finishedAt"] = time(finished).into();
    }
    read(run)
}

/// A Job that was created with its Run and is suspended.
pub(crate) fn job(stage: &str, annotations: Value) -> Value {
    let name = format!("{RUN}-{stage}");
    let mut metadata = metadata(&name, Some(stage), 0);
    metadata["annotations"] = annotations;
    json!({"metadata": metadata, "spec": {"suspend": true, "template": {}}})
}

/// A Job that was started then, and has completed.
pub(crate) fn complete(stage: &str, annotations: Value, (start, end): (i64, i64)) -> Value {
    let mut annotations = annotations;
    annotations["konductor.io/phase"] = "Running".into();
    let mut job = job(stage, annotations);
    job["spec"]["suspend"] = false.into();
    job["status"] = json!({
        "startTime": time(start), "completionTime": time(end),
        "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": time(end)}],
    });
    job
}

/// A pod of a Job: created, started and ended then.
pub(crate) fn pod(
    stage: &str,
    number: u32,
    created: i64,
    ran: Option<(i64, Option<i64>)>,
    failed: bool,
) -> Value {
    let name = format!("{RUN}-{stage}-{number}");
    let mut metadata = metadata(&name, Some(stage), created);
    metadata["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "Job", "controller": true,
        "name": format!("{RUN}-{stage}"), "uid": format!("uid-{RUN}-{stage}"),
    }]);
    let (phase, state) = match ran {
        None => (
            "Pending",
            json!({"waiting": {"reason": "ContainerCreating"}}),
        ),
        Some((start, None)) => ("Running", json!({"running": {"startedAt": time(start)}})),
        Some((start, Some(end))) => (
            if failed { "Failed" } else { "Succeeded" },
            json!({"terminated": {
                "exitCode": i32::from(failed), "startedAt": time(start), "finishedAt": time(end),
            }}),
        ),
    };
    json!({"metadata": metadata, "status": {"phase": phase, "containerStatuses": [{
        "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    }]}})
}

pub(crate) fn gate(name: &str, mode: &str, conditions: Value, opened: Option<i64>) -> Value {
    let phase = if opened.is_some() { "Open" } else { "Waiting" };
    let verdict = if opened.is_some() { "Met" } else { "Pending" };
    let statuses = conditions.as_array().unwrap().iter();
    let statuses: Vec<Value> = statuses
        .map(|_| json!({"target": "", "verdict": verdict}))
        .collect();
    let mut status = json!({"phase": phase, "conditionStatuses": statuses});
    if let Some(opened) = opened {
        status["openedAt"] = time(opened).into();
        status["finishedAt"] = time(opened).into();
    }
    json!({"metadata": metadata(name, None, 0), "spec": {"mode": mode, "conditions": conditions},
           "status": status})
}

pub(crate) fn condition(kind: &str, name: &str, state: &str) -> Value {
    json!({"type": kind, "name": name, "state": state})
}

pub(crate) fn behind(gate: &str) -> Value {
    json!({ "konductor.io/gate": gate })
}

#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) jobs: Vec<Value>,
    pub(crate) gates: Vec<Value>,
    pub(crate) barriers: Vec<Value>,
    pub(crate) semaphores: Vec<Value>,
    pub(crate) pods: Vec<Value>,
}

impl Objects {
    pub(crate) fn timeline(self, run: &Run, now: i64) -> Timeline {
        timeline(run, &self.around(run), at(now))
    }

    /// The same, as they are listed.
    pub(crate) fn around(self, run: &Run) -> RunObjects {
        fn all<T: DeserializeOwned>(objects: Vec<Value>) -> Vec<T> {
            objects.into_iter().map(read).collect()
        }
        RunObjects::from(Listed {
            run: Some(run.clone()),
            jobs: all::<Participant>(self.jobs),
            gates: all(self.gates),
            barriers: all(self.barriers),
            semaphores: all(self.semaphores),
            pods: all(self.pods),
            ..Listed::default()
        })
    }
}

/// A row's spans as `kind on start-end`, in seconds from the begin.
fn spans(row: &Row) -> Vec<String> {
    let second = |time: Timestamp| time.duration_since(at(0)).as_secs();
    let spans = row.spans.iter().map(|span: &Span| {
        let on = span.on.as_deref().map(|on| format!(" {on}"));
        let end = span.end.map(second).map(|end| end.to_string());
        format!(
            "{}{} {}-{}",
            span.kind.word(),
            on.unwrap_or_default(),
            second(span.start),
            end.unwrap_or_default()
        )
    });
    spans.collect()
}

fn of_stage<'a>(timeline: &'a Timeline, stage: &str) -> &'a Row {
    timeline.rows.iter().find(|row| row.stage == stage).unwrap()
}

/// `b` follows `a`, queues for a Semaphore, fails once, and is tried again.
#[test]
fn job_goes_from_its_gate_over_its_permits_and_its_pods_to_its_end() {
    let mut annotations = behind("r-b");
    annotations["konductor.io/hold"] = "lease/l, semaphore/db=2".into();
    annotations["konductor.io/held"] = "lease/l, semaphore/db=2".into();
    annotations["konductor.io/times"] =
        format!("lease/l {}, semaphore/db {}", time(12), time(30)).into();
    let timeline = Objects {
        jobs: vec![
            complete("a", json!({}), (1, 10)),
            complete("b", annotations, (31, 60)),
        ],
        gates: vec![gate(
            "r-b",
            "All",
            json!([condition("Job", "r-a", "Complete")]),
            Some(11),
        )],
        pods: vec![
            pod("a", 1, 1, Some((2, Some(9))), false),
            pod("b", 1, 31, Some((33, Some(40))), true),
            pod("b", 2, 50, Some((51, Some(59))), false),
        ],
        ..Objects::default()
    }
    .timeline(&run(Some(62)), 1000);
    assert_eq!(
        spans(of_stage(&timeline, "a")),
        ["starting 0-1", "pending 1-2", "running 2-10"]
    );
    let b = of_stage(&timeline, "b");
    assert_eq!(
        spans(b),
        [
            "waiting stage a 0-11",
            "queued lease/l 11-12",
            "queued semaphore/db 12-30",
            "starting 30-31",
            "pending 31-33",
            "running 33-40",
            "backoff 40-50",
            "pending 50-51",
            "running 51-60",
        ]
    );
    assert_eq!(b.spans[0].outcome, Some("opened"));
    assert_eq!(b.spans[5].outcome, Some("failed"));
    assert_eq!(b.spans[5].reason, "exit code 1");
    assert_eq!(b.spans[8].outcome, Some("succeeded"));
    assert!(
        timeline
            .rows
            .iter()
            .all(|row| row.critical && row.note.is_none())
    );
    assert_eq!(
        timeline.summary,
        "29 % of the run's time waited for semaphore/db, 26 % ran stage b, 16 % waited to retry stage b"
    );
    let words: Vec<&str> = timeline
        .shares
        .iter()
        .map(|share| share.what.as_str())
        .collect();
    assert!(words.contains(&"passed between stages"), "{words:?}");
    assert!(words.contains(&"passed after the last stage"), "{words:?}");
}

/// A time that is not stored is not invented: spans cover more, and rows say so.
#[test]
fn what_nobody_has_stored_is_said_to_be_missing() {
    let held = |stage| {
        let mut annotations = behind("go");
        annotations["konductor.io/hold"] = "semaphore/db".into();
        complete(stage, annotations, (20, 30))
    };
    let phase = |phase: &str| json!({ "konductor.io/phase": phase });
    let mut stopped =
        json!({"konductor.io/phase": "Cancelled", "konductor.io/reason": "Cancelled: x"});
    stopped["konductor.io/times"] =
        format!("ran {} {}, ended {}", time(2), time(9), time(9)).into();
    let mut waited = phase("Cancelled");
    waited["konductor.io/times"] = format!("ended {}", time(8)).into();
    let mut paused = phase("Running");
    paused["konductor.io/times"] = format!("ran {} {}", time(2), time(9)).into();
    let mut by_others = job("others", phase("Running"));
    by_others["status"] = json!({"conditions": [
        {"type": "Suspended", "status": "True", "lastTransitionTime": time(7)},
    ]});
    let timeline = Objects {
        jobs: vec![
            held("forgotten"),
            job("cancelled", phase("Cancelled")),
            job("stopped", stopped),
            job("waited", waited),
            complete("paused", paused, (15, 25)),
            by_others,
        ],
        gates: vec![gate("go", "All", json!([]), Some(5))],
        pods: vec![pod("paused", 1, 16, Some((17, Some(25))), false)],
        ..Objects::default()
    }
    .timeline(&run(Some(30)), 1000);
    let row = |stage| {
        let row = of_stage(&timeline, stage);
        (spans(row), row.note.as_deref())
    };
    assert_eq!(
        row("forgotten"),
        (
            vec![
                "waiting gate/go 0-5".to_owned(),
                "queued semaphore/db 5-20".to_owned(),
                "started 20-30".to_owned(),
            ],
            Some("its pods are gone, so nothing says when its first container started")
        )
    );
    assert_eq!(
        row("cancelled"),
        (vec![], Some("when it ended is not stored"))
    );
    assert_eq!(
        row("stopped"),
        (
            vec!["starting 0-2".to_owned(), "started 2-9".to_owned()],
            None
        )
    );
    assert_eq!(row("waited"), (vec!["starting 0-8".to_owned()], None));
    assert_eq!(
        row("paused"),
        (
            vec![
                "starting 0-2".to_owned(),
                "started 2-9".to_owned(),
                "paused 9-15".to_owned(),
                "pending 15-17".to_owned(),
                "running 17-25".to_owned(),
            ],
            None
        )
    );
    assert_eq!(
        row("others"),
        (
            vec!["started 0-7".to_owned(), "paused 7-30".to_owned()],
            Some("somebody suspended it while it ran; when it had started is not stored")
        )
    );
}

/// While a Run lasts, so do its spans, and the path ends where somebody looks.
#[test]
fn run_that_lasts_has_open_spans() {
    let mut holding = behind("r-b");
    holding["konductor.io/hold"] = "semaphore/db".into();
    holding["konductor.io/phase"] = "Queued".into();
    let approval = json!({"metadata": metadata("r-go", None, 0),
        "spec": {"expected": 1, "arrivals": "Verified", "gate": "r-asked"},
        "status": {"phase": "Waiting", "startedAt": time(10)}});
    let lasts = |objects: Objects| objects.timeline(&run(None), 40);
    let a = || complete("a", json!({}), (0, 10));
    let after_a = || json!([condition("Job", "r-a", "Complete")]);
    let queued = lasts(Objects {
        jobs: vec![a(), job("b", holding)],
        gates: vec![gate("r-b", "All", after_a(), Some(11))],
        semaphores: vec![json!({"metadata": metadata("db", None, 0), "spec": {"permits": 1}})],
        ..Objects::default()
    });
    assert_eq!(
        spans(of_stage(&queued, "b")),
        ["waiting stage a 0-11", "queued semaphore/db 11-"]
    );
    assert_eq!(
        queued.summary,
        "73 % of the time so far waited for semaphore/db, 25 % ran stage a or waited for its pods, \
         2 % passed between stages"
    );
    let at_approval = lasts(Objects {
        jobs: vec![a(), job("b", behind("r-b"))],
        gates: vec![
            gate("r-asked", "All", after_a(), Some(10)),
            gate(
                "r-b",
                "All",
                json!([
                    condition("Job", "r-a", "Complete"),
                    condition("Barrier", "r-go", "Open")
                ]),
                None,
            ),
        ],
        barriers: vec![approval],
        ..Objects::default()
    });
    assert_eq!(
        spans(of_stage(&at_approval, "b")),
        ["waiting stage a 0-10", "approval approval go 10-"]
    );
    assert_eq!(at_approval.end, None);
    assert_eq!(at_approval.critical_path.last().unwrap().end, at(40));
}

/// Pods of an Indexed Job run side by side: what one of them does hides what the others don't.
#[test]
fn pods_that_overlap_are_one_span() {
    let timeline = Objects {
        jobs: vec![complete("a", json!({}), (0, 30))],
        pods: vec![
            pod("a", 1, 0, Some((2, Some(10))), true),
            pod("a", 2, 0, Some((5, Some(20))), false),
            pod("a", 3, 12, Some((15, Some(30))), false),
        ],
        ..Objects::default()
    }
    .timeline(&run(Some(30)), 1000);
    assert_eq!(
        spans(of_stage(&timeline, "a")),
        ["pending 0-2", "running 2-30"]
    );
}

#[test]
fn container_that_restarts_backs_off() {
    let mut restarted = pod("a", 1, 0, Some((12, Some(20))), false);
    let container = &mut restarted["status"]["containerStatuses"][0];
    container["restartCount"] = 1.into();
    container["lastState"] = json!({"terminated": {
        "exitCode": 1, "startedAt": time(2), "finishedAt": time(4),
    }});
    let mut often = restarted.clone();
    often["status"]["startTime"] = time(1).into();
    often["status"]["containerStatuses"][0]["restartCount"] = 5.into();
    for (pod, expected) in [
        (
            restarted,
            vec![
                "pending 0-2",
                "running 2-4",
                "backoff 4-12",
                "running 12-20",
            ],
        ),
        (
            often,
            vec![
                "pending 0-1",
                "started 1-2",
                "running 2-4",
                "backoff 4-12",
                "running 12-20",
            ],
        ),
    ] {
        let timeline = Objects {
            jobs: vec![complete("a", json!({}), (0, 20))],
            pods: vec![pod],
            ..Objects::default()
        }
        .timeline(&run(Some(20)), 1000);
        assert_eq!(spans(of_stage(&timeline, "a")), expected);
    }
}

/// The record of a Run whose Jobs were deleted has their ends, and no times.
#[test]
fn deleted_job_has_a_row_without_times() {
    let job = complete("a", json!({}), (0, 10));
    let mut recorded_job = job.clone();
    recorded_job["kind"] = "Job".into();
    recorded_job["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "konductor.io/v1", "kind": "Run", "name": RUN, "uid": "uid-r",
    }]);
    let mut of_run = serde_json::to_value(run(None)).unwrap();
    of_run.as_object_mut().unwrap().remove("status");
    let recorded = crate::world::recorded(of_run, [&recorded_job]);
    let mut run: Run = read(recorded);
    let status = run.status.as_mut().unwrap();
    status.finished_at = Some(read(json!(time(20))));
    let timeline = Objects::default().timeline(&run, 20);
    let row = of_stage(&timeline, "a");
    assert_eq!(spans(row), [""; 0]);
    assert_eq!(
        row.note.as_deref(),
        Some("its Job was deleted, and its times with it")
    );
    assert_eq!(
        timeline.critical_path.len(),
        1,
        "{:?}",
        timeline.critical_path
    );
}

#[test]
fn later_attempt_begins_with_the_retry() {
    let mut run = run(Some(100));
    run.spec.attempt = 2;
    let status = run.status.as_mut().unwrap();
    status.attempt = 2;
    status.started_at = Some(read(json!(time(60))));
    let mut again = complete("b", json!({"konductor.io/attempt": "2"}), (62, 100));
    again["metadata"]["creationTimestamp"] = time(60).into();
    let timeline = Objects {
        jobs: vec![complete("a", json!({}), (1, 10)), again],
        ..Objects::default()
    }
    .timeline(&run, 1000);
    assert_eq!(timeline.start, at(60));
    let a = of_stage(&timeline, "a");
    assert_eq!((spans(a), a.critical), (vec![], false));
    assert_eq!(a.note.as_deref(), Some("it ended in an earlier attempt"));
    assert_eq!(
        spans(of_stage(&timeline, "b")),
        ["starting 60-62", "started 62-100"]
    );
}

/// Numbers that look random, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((mixed ^ (mixed >> 31)) % limit).unwrap()
    }
}

/// A Job of a run that was made up: what it waits for, and when what happened to it.
#[derive(Debug, Default)]
struct Made {
    name: String,
    /// The Jobs that it waits for.
    before: Vec<usize>,
    /// When what it waits for had ended.
    ready: i64,
    end: i64,
    /// How long it was in each kind.
    kinds: BTreeMap<&'static str, i64>,
}

/// Makes up a run: its objects as a cluster would have stored them, and what really happened.
fn make(numbers: &mut Numbers) -> (Vec<Made>, Objects, i64) {
    let (mut made, mut objects): (Vec<Made>, Objects) = Default::default();
    // By stage: its Jobs.
    let mut stages: Vec<Vec<usize>> = Vec::new();
    for stage in 0..=numbers.below(6) {
        let stage_name = format!("s{stage}");
        let mut after: Vec<usize> = (0..stages.len()).filter(|_| numbers.below(3) > 0).collect();
        after.truncate(3);
        let any = after.len() > 1 && numbers.below(4) == 0;
        let items = [1, 1, 1, 2, 3][usize::try_from(numbers.below(5)).unwrap()];
        let mut own = Vec::new();
        let gate_name = format!("r-{stage_name}");
        let mut conditions = Vec::new();
        let met: Vec<i64> = after
            .iter()
            .map(|before| {
                stages[*before]
                    .iter()
                    .map(|job| made[*job].end)
                    .max()
                    .unwrap()
            })
            .collect();
        for before in &after {
            let jobs = &stages[*before];
            let labels =
                json!({"konductor.io/run": RUN, "konductor.io/stage": format!("s{before}")});
            conditions.push(match jobs.as_slice() {
                [only] => condition("Job", &made[*only].name, "Complete"),
                many if numbers.below(2) == 0 => json!({
                    "type": "Job", "state": "Complete", "count": many.len(),
                    "selector": {"matchLabels": labels},
                }),
                many => {
                    let name = format!("r-s{before}");
                    let end = many.iter().map(|job| made[*job].end).max().unwrap();
                    objects.barriers.push(json!({
                        "metadata": metadata(&name, None, 0),
                        "spec": {"expected": many.len(), "jobs": {"matchLabels": labels}},
                        "status": {"phase": "Open", "openedAt": time(end), "finishedAt": time(end)},
                    }));
                    condition("Barrier", &name, "Open")
                }
            });
        }
        let ready = match any {
            true => met.iter().min().copied().unwrap_or(0),
            false => met.iter().max().copied().unwrap_or(0),
        };
        // With `any`, the path goes over the stage that was first.
        let bounding = after.iter().zip(&met);
        let bounding = bounding.filter(|(_, end)| !any || **end == ready);
        let bounding: Vec<usize> = bounding
            .flat_map(|(stage, _)| stages[*stage].clone())
            .collect();
        let opened = ready + numbers.below(3);
        let has_gate = !after.is_empty();
        if has_gate {
            let mode = if any { "Any" } else { "All" };
            objects
                .gates
                .push(gate(&gate_name, mode, json!(conditions), Some(opened)));
        }
        for item in 0..items {
            let title = match items {
                1 => stage_name.clone(),
                _ => format!("{stage_name}-{item}"),
            };
            let mut job = made_up(
                numbers,
                &title,
                if has_gate { opened } else { 0 },
                &mut objects,
            );
            job.before.clone_from(&bounding);
            job.ready = ready;
            if has_gate && opened > 0 {
                job.kinds.insert("waiting", opened);
            }
            let stored = objects.jobs.last_mut().unwrap();
            stored["metadata"]["labels"]["konductor.io/stage"] = stage_name.clone().into();
            if has_gate {
                stored["metadata"]["annotations"]["konductor.io/gate"] = gate_name.clone().into();
            }
            if items > 1 {
                stored["metadata"]["annotations"]["konductor.io/item"] = item.to_string().into();
            }
            own.push(made.len());
            made.push(job);
        }
        stages.push(own);
    }
    let last = made.iter().map(|job| job.end).max().unwrap();
    let tail = numbers.below(3);
    (made, objects, last + tail)
}

/// A Job that has all that it waits for then.
fn made_up(numbers: &mut Numbers, title: &str, opened: i64, objects: &mut Objects) -> Made {
    let mut made = Made {
        name: format!("{RUN}-{title}"),
        ..Made::default()
    };
    let mut now = opened;
    let mut spend = |kind: &'static str, seconds: i64, now: &mut i64| {
        if seconds > 0 {
            *made.kinds.entry(kind).or_default() += seconds;
        }
        *now += seconds;
        *now
    };
    let mut annotations = json!({});
    if numbers.below(3) == 0 {
        let granted = spend("queued", numbers.below(20), &mut now);
        annotations["konductor.io/hold"] = "semaphore/db".into();
        annotations["konductor.io/held"] = "semaphore/db".into();
        annotations["konductor.io/times"] = format!("semaphore/db {}", time(granted)).into();
    }
    let start = spend("starting", numbers.below(2), &mut now);
    for number in 0..=numbers.below(2) {
        let created = now;
        if number > 0 {
            // The pod before failed.
            let last = objects.pods.last_mut().unwrap();
            last["status"]["phase"] = "Failed".into();
            last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = 1.into();
            spend("backoff", 1 + numbers.below(10), &mut now);
        }
        let created = if number > 0 { now } else { created };
        let begun = spend("pending", numbers.below(5), &mut now);
        let ended = spend("running", 1 + numbers.below(30), &mut now);
        let number = u32::try_from(number).unwrap();
        objects.pods.push(pod(
            title,
            number,
            created,
            Some((begun, Some(ended))),
            false,
        ));
    }
    // The Job controller needs a moment to see it.
    let end = spend("running", numbers.below(2), &mut now);
    objects
        .jobs
        .push(complete(title, annotations, (start, end)));
    made.end = end;
    made
}

/// Every chain of Jobs that follow each other, with the time that each took after what it waited for.
fn chains(made: &[Made], last: usize) -> Vec<(i64, Vec<usize>)> {
    let own = made[last].end - made[last].ready;
    if made[last].before.is_empty() {
        return vec![(own, vec![last])];
    }
    let before = made[last].before.iter().flat_map(|job| chains(made, *job));
    before
        .map(|(length, mut jobs)| {
            jobs.push(last);
            (length + own, jobs)
        })
        .collect()
}

/// The longest path through a run, found by looking at every path, is as long as the run, and the critical path is one of
/// the longest.
#[test]
fn critical_path_is_a_longest_path_of_each_of_500_random_runs() {
    let mut numbers = Numbers(21);
    let (mut unique, mut jobs) = (0, 0);
    for case in 0..500 {
        let (made, objects, end) = make(&mut numbers);
        jobs += made.len();
        let timeline = objects.timeline(&run(Some(end)), 10_000);
        let all = (0..made.len()).flat_map(|job| chains(&made, job));
        let all: Vec<(i64, Vec<usize>)> = all.collect();
        let longest = all.iter().map(|(length, _)| *length).max().unwrap();
        let last = made.iter().map(|job| job.end).max().unwrap();
        assert_eq!(longest, last, "case {case}: every path was looked at");

        let mut on_path: Vec<usize> = timeline
            .rows
            .iter()
            .filter(|row| row.critical)
            .map(|row| made.iter().position(|job| job.name == row.job).unwrap())
            .collect();
        on_path.sort_unstable();
        let candidates: Vec<&Vec<usize>> = all
            .iter()
            .filter(|(length, _)| *length == longest)
            .map(|(_, jobs)| jobs)
            .collect();
        assert!(
            candidates.contains(&&on_path),
            "case {case}: {on_path:?} is none of {candidates:?}\n{made:#?}\n{timeline:#?}"
        );
        unique += usize::from(candidates.len() == 1);
        check(&timeline, end, case);
        for job in &made {
            let row = timeline
                .rows
                .iter()
                .find(|row| row.job == job.name)
                .unwrap();
            let mut kinds: BTreeMap<&str, i64> = BTreeMap::new();
            for span in &row.spans {
                let length = span.end.unwrap().duration_since(span.start).as_secs();
                *kinds.entry(span.kind.word()).or_default() += length;
            }
            assert_eq!(kinds, job.kinds, "case {case}: {job:?}\n{row:#?}");
        }
    }
    assert!(unique > 250 && jobs > 2000, "{unique} {jobs}");
}

/// Whatever a run is, its path fills its whole time, and no row has a gap.
fn check(timeline: &Timeline, end: i64, case: usize) {
    let mut cursor = timeline.start;
    for segment in &timeline.critical_path {
        assert_eq!(segment.start, cursor, "case {case}: {timeline:#?}");
        assert!(segment.end > segment.start);
        cursor = segment.end;
    }
    assert_eq!(cursor, at(end), "case {case}: {timeline:#?}");
    let shares: f64 = timeline.shares.iter().map(|share| share.seconds).sum();
    let percents: u32 = timeline.shares.iter().map(|share| share.percent).sum();
    assert_eq!(percents, 100, "case {case}");
    assert!(
        (shares - timeline.makespan().as_secs_f64()).abs() < 1e-6,
        "case {case}"
    );
    for row in &timeline.rows {
        for pair in row.spans.windows(2) {
            assert_eq!(pair[0].end, Some(pair[1].start), "case {case}: {row:#?}");
        }
        for kind in [SpanKind::Started, SpanKind::Ending, SpanKind::Paused] {
            assert!(
                row.spans.iter().all(|span| span.kind != kind),
                "case {case}"
            );
        }
    }
}

/// Ten thousand Jobs behind ten thousand Gates that name one stage: no look through all of them for each.
#[test]
fn timeline_of_ten_thousand_jobs_takes_seconds() {
    let mut objects = Objects::default();
    let labels = json!({"konductor.io/run": RUN, "konductor.io/stage": "a"});
    objects.barriers.push(json!({
        "metadata": metadata("r-a", None, 0),
        "spec": {"expected": 5000, "jobs": {"matchLabels": labels}},
        "status": {"phase": "Open", "openedAt": time(10), "finishedAt": time(10)},
    }));
    for item in 0..5_000 {
        let mut first = complete(&format!("a-{item}"), json!({}), (0, 10));
        first["metadata"]["labels"]["konductor.io/stage"] = "a".into();
        objects.jobs.push(first);
        let name = format!("r-b-{item}");
        let conditions = json!([condition("Barrier", "r-a", "Open")]);
        objects.gates.push(gate(&name, "All", conditions, Some(11)));
        let mut second = complete(&format!("b-{item}"), behind(&name), (11, 20));
        second["metadata"]["labels"]["konductor.io/stage"] = "b".into();
        objects.jobs.push(second);
    }
    let begun = std::time::Instant::now();
    let timeline = objects.timeline(&run(Some(20)), 1000);
    assert_eq!(timeline.rows.len(), 10_000);
    assert!(begun.elapsed() < std::time::Duration::from_secs(60));
}
