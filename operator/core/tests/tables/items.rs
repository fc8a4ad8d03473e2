//! Tables of a Job whose items are known only at run time: its size, its start, its end, and what its items wrote.

use crate::world::{World, controller, ended, job, now, object, recorded, says_why, short};
use jiff::SignedDuration;
use konductor_api::Participant;
use konductor_core::{End, Fact, Write, job, job_end};
use serde_json::{Value, json};

/// The Job that writes the list.
fn split(parts: &str) -> Value {
    let annotations = json!({
        "konductor.io/outputs-declared": "parts: list<string>, sizes?: list<{id: string, n: int}>",
        "konductor.io/outputs": json!({"parts": parts}).to_string(),
    });
    of_run("split", annotations, ended("Complete"))
}

pub(crate) fn of_run(stage: &str, annotations: Value, rest: Value) -> Value {
    let mut job = job(&format!("r-{stage}"), annotations, rest);
    job["metadata"]["labels"] = json!({
        "konductor.io/run": "r", "konductor.io/stage": stage, "konductor.io/role": "main",
    });
    job["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "uid-r"}]);
    job
}

/// The Job that goes over it.
fn count(items: Value) -> Value {
    let annotations = json!({
        "konductor.io/gate": "ready", "konductor.io/items": items.to_string(),
    });
    let spec = json!({"completionMode": "Indexed", "completions": 1, "parallelism": 1});
    of_run("count", annotations, json!({"spec": spec}))
}

fn parts() -> Value {
    json!({"of": "r-split/parts"})
}

fn gate() -> Value {
    object(
        "Gate",
        "ready",
        json!({"spec": {}, "status": {"phase": "Open"}}),
    )
}

fn world<'a>(jobs: impl IntoIterator<Item = &'a Value>) -> World {
    let jobs: Vec<&Value> = jobs.into_iter().collect();
    let run = json!({"spec": {"pipeline": "p", "jobs": jobs.len()}});
    let run = recorded(object("Run", "r", run), jobs.iter().copied());
    World::of(jobs.into_iter().cloned().chain([gate(), run]))
}

fn decide(job: &Value, world: &World) -> (Vec<Write>, Vec<Fact>) {
    let job: Participant = serde_json::from_value(job.clone()).unwrap();
    let (decision, live) = world.decide(|facts| job::decide(&job, facts, now()));
    says_why(&job, &decision);
    (decision.before, live)
}

fn body(writes: &[Write]) -> &Value {
    match writes {
        [Write::Patch { body, .. }] => {
            let metadata = &body["metadata"];
            assert!(metadata["uid"].is_string() && metadata["resourceVersion"].is_string());
            body
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                match value {
                    Value::Null => drop(into.shift_remove(key)),
                    _ => merge(into.entry(key).or_insert(Value::Null), value),
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// The Job after a patch.
pub(crate) fn after(job: &Value, writes: &[Write]) -> Value {
    let mut after = job.clone();
    merge(&mut after, body(writes));
    after
}

fn list_of(job: &Value) -> &Value {
    &job["spec"]["template"]["metadata"]["annotations"]["konductor.io/items"]
}

#[test]
fn a_job_gets_its_size_and_its_list_before_it_starts() {
    for (items, parallelism) in [
        (parts(), 3),
        (json!({"of": "r-split/parts", "parallel": 2}), 2),
        (json!({"of": "r-split/parts", "parallel": 9, "max": 3}), 3),
    ] {
        let (split, count) = (split(r#"["a", "b","c"]"#), count(items));
        let world = world([&split, &count]);
        let (writes, live) = decide(&count, &world);
        let size = body(&writes);
        assert_eq!(size["spec"]["completions"], 3);
        assert_eq!(size["spec"]["parallelism"], 3);
        assert_eq!(size["spec"].get("suspend"), None);
        assert_eq!(size["metadata"].get("annotations"), None);
        let read = |fact: &Fact| matches!(fact, Fact::Job(name) if name.name == "r-split");
        assert!(live.iter().any(read), "the list is read live: {live:?}");

        let sized = after(&count, &writes);
        assert_eq!(list_of(&sized), r#"["a","b","c"]"#);
        let (writes, _) = decide(&sized, &world);
        assert_eq!(short(&writes), ["Job/r-count Running suspend=false"]);
        let start = body(&writes);
        assert_eq!(start["spec"]["parallelism"], parallelism);
        assert_eq!(start["spec"].get("completions"), None);
        let started = after(&sized, &writes);
        assert_eq!(list_of(&started), r#"["a","b","c"]"#);
        assert_eq!(decide(&started, &world).0, []);
    }
}

/// Between the two writes, somebody may have crashed, or have written the size back.
#[test]
fn a_list_that_a_job_was_given_once_stays() {
    let (first, other) = (split(r#"["a","b","c"]"#), split(r#"["x"]"#));
    let work = count(parts());
    let (writes, _) = decide(&work, &world([&first, &work]));
    let sized = after(&work, &writes);
    for source in [vec![&other], vec![]] {
        let world = world(source.into_iter().chain([&sized]));
        let (writes, _) = decide(&sized, &world);
        assert_eq!(short(&writes), ["Job/r-count Running suspend=false"]);
        assert_eq!(body(&writes)["spec"]["parallelism"], 3);
        assert_eq!(list_of(&after(&sized, &writes)), r#"["a","b","c"]"#);

        let mut applied_again = sized.clone();
        applied_again["spec"]["completions"] = 1.into();
        applied_again["spec"]["parallelism"] = 1.into();
        let (writes, _) = decide(&applied_again, &world);
        assert_eq!(body(&writes)["spec"]["completions"], 3);
        assert_eq!(after(&applied_again, &writes), sized);
    }
}

/// Its list was that of another run.
#[test]
fn a_copy_of_a_job_with_items_goes_over_its_own_list() {
    let mut copy = count(parts());
    copy["metadata"]["generation"] = 1.into();
    copy["metadata"]["annotations"]["konductor.io/phase"] = "Running".into();
    copy["spec"]["completions"] = 2.into();
    copy["spec"]["template"] =
        json!({"metadata": {"annotations": {"konductor.io/items": r#"["x","y"]"#}}});
    let split = split(r#"["a","b","c"]"#);
    let world = world([&split, &copy]);
    let mut resumed = copy.clone();
    resumed["metadata"]["annotations"]["konductor.io/completed-indexes"] = "0".into();
    let resumed = after(&resumed, &decide(&resumed, &world).0);
    assert_eq!(list_of(&resumed), r#"["x","y"]"#);
    let new = after(&copy, &decide(&copy, &world).0);
    assert!(list_of(&new).is_null(), "{new}");
    assert!(new["metadata"]["annotations"]["konductor.io/phase"].is_null());
    let sized = after(&new, &decide(&new, &world).0);
    assert_eq!(list_of(&sized), r#"["a","b","c"]"#);
    assert_eq!(sized["spec"]["completions"], 3);
}

#[test]
fn a_job_without_items_is_skipped_and_one_with_a_wrong_list_fails() {
    let of = "output parts of stage split";
    let many: Vec<u32> = (0..1_001).collect();
    let long: Vec<String> = (0..9)
        .map(|n| format!("{n}{}", "x".repeat(8_000)))
        .collect();
    let table = [
        (
            parts(),
            "[]".to_owned(),
            "Skipped",
            "its fan-out has no items".to_owned(),
        ),
        (
            parts(),
            r#"["a","b","a"]"#.to_owned(),
            "Failed",
            format!("InvalidItems: {of} has the item \"a\" twice, as the elements 1 and 3"),
        ),
        (
            json!({"of": "r-split/parts", "max": 2}),
            "[1,2,3]".to_owned(),
            "Failed",
            format!("InvalidItems: {of} has 3 elements; at most 2 may be items"),
        ),
        (
            parts(),
            json!(many).to_string(),
            "Failed",
            format!("InvalidItems: {of} has 1001 elements; at most 1000 may be items"),
        ),
        (
            parts(),
            "[[1]]".to_owned(),
            "Failed",
            format!(
                "InvalidItems: {of} has an element 1 that is neither a scalar nor a record of scalars"
            ),
        ),
        (
            parts(),
            json!(long).to_string(),
            "Failed",
            format!("InvalidItems: {of} has 72037 bytes; items may have 65536 together"),
        ),
        (
            json!({"of": "r-split/sizes"}),
            "[]".to_owned(),
            "Unreached",
            "output sizes of stage split was not written".to_owned(),
        ),
        (
            json!({"of": "r-split/sizes", "default": "[]"}),
            "[1]".to_owned(),
            "Skipped",
            "its fan-out has no items".to_owned(),
        ),
        (
            json!({"of": "r-other/parts"}),
            "[]".to_owned(),
            "Unreached",
            "output parts of job/r-other was not written".to_owned(),
        ),
    ];
    for (items, list, phase, why) in table {
        let (split, count) = (split(&list), count(items));
        let (writes, _) = decide(&count, &world([&split, &count]));
        let annotations = &body(&writes)["metadata"]["annotations"];
        assert_eq!(annotations["konductor.io/phase"], phase, "{list}");
        assert_eq!(annotations["konductor.io/reason"], why);
        assert_eq!(body(&writes)["spec"].get("suspend"), None);
    }
}

#[test]
fn records_have_their_fields_in_the_order_of_their_declaration() {
    let mut split = split("[]");
    let written = json!({"sizes": r#"[{"n":1,"id":"x"},{"id":"y","n":1}]"#});
    split["metadata"]["annotations"]["konductor.io/outputs"] = written.to_string().into();
    let count = count(json!({"of": "r-split/sizes"}));
    let (writes, _) = decide(&count, &world([&split, &count]));
    let sized = after(&count, &writes);
    assert_eq!(list_of(&sized), r#"[{"id":"x","n":1},{"id":"y","n":1}]"#);
    let sized: Participant = serde_json::from_value(sized).unwrap();
    assert_eq!(sized.item_names(), ["x", "y"]);
}

#[test]
fn items_that_can_t_be_read_are_reported_and_start_nothing() {
    let mut not_indexed = count(parts());
    not_indexed["spec"]["completionMode"] = Value::Null;
    for (count, why) in [
        (count(json!({"of": "split"})), "names no list"),
        (
            not_indexed,
            "only a Job with completionMode: Indexed has items",
        ),
    ] {
        let (writes, _) = decide(&count, &world([&split("[1]"), &count]));
        let annotations = &body(&writes)["metadata"]["annotations"];
        assert_eq!(annotations["konductor.io/phase"], "Waiting");
        let reason = annotations["konductor.io/reason"].as_str().unwrap();
        assert!(
            reason.starts_with("konductor.io/items: ") && reason.contains(why),
            "{reason}"
        );
    }
}

#[test]
fn a_job_that_somebody_starts_without_its_items_says_so() {
    let mut work = count(parts());
    work["spec"]["suspend"] = false.into();
    let (writes, _) = decide(&work, &world([&split("[1]"), &work]));
    let reason = &body(&writes)["metadata"]["annotations"]["konductor.io/reason"];
    let expected = "runs without its items: it was not suspended; create it with `suspend: true`";
    assert_eq!(reason, expected);
}

/// `count` over `a`, `b` and `c`, which declares outputs and has run.
fn counted(completed: &str, rest: Value) -> Value {
    let mut work = count(parts());
    merge(
        &mut work,
        &json!({
            "metadata": {"annotations": {
                "konductor.io/phase": "Running",
                "konductor.io/outputs-declared": "n: int, tag?: string",
            }},
            "spec": {"suspend": false, "completions": 3, "template": {"metadata": {
                "annotations": {"konductor.io/items": r#"["a","b","c"]"#},
            }}},
            "status": {"completedIndexes": completed},
        }),
    );
    merge(&mut work, &rest);
    work
}

fn pod(index: usize, phase: &str, message: &str, ended: SignedDuration) -> Value {
    let code = if phase == "Succeeded" { 0 } else { 3 };
    let ended = now() - ended;
    object(
        "Pod",
        &format!("pod-{index}-{phase}"),
        json!({
            "metadata": {
                "ownerReferences": [controller("uid-r-count")],
                "labels": {"batch.kubernetes.io/job-completion-index": index.to_string()},
            },
            "status": {"phase": phase, "containerStatuses": [{
                "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {
                    "exitCode": code, "message": message, "finishedAt": ended.to_string(),
                }},
            }]},
        }),
    )
}

fn succeeded(index: usize, message: &str) -> Value {
    pod(index, "Succeeded", message, SignedDuration::ZERO)
}

fn with_pods(job: &Value, pods: impl IntoIterator<Item = Value>) -> World {
    let mut world = world([job]);
    for pod in pods {
        world.cached.add(pod.clone());
        world.live.add(pod);
    }
    world
}

#[test]
fn outputs_of_items_are_stored_in_the_order_of_their_indexes_before_the_job_counts_as_ended() {
    let kept = json!({"metadata": {"annotations": {
        "konductor.io/outputs-kept": r#"1 {"n":"[null,20,null]","tag":"[null,\"x\",null]"}"#,
    }}});
    let failed = pod(1, "Failed", "no disk\n", SignedDuration::ZERO);
    let lost = "InvalidOutputs: pods were deleted before they were read: stage count[b]";
    let table = [
        (
            counted("0-2", ended("Complete")),
            vec![
                succeeded(2, "n=3"),
                failed.clone(),
                succeeded(0, "n=01\ntag=x"),
                succeeded(1, "n=2"),
            ],
            (
                "Complete",
                None,
                Some(r#"{"n":"[1,2,3]","tag":"[\"x\",null,null]"}"#),
            ),
        ),
        (
            counted("0-2", ended("Complete")),
            vec![
                succeeded(2, "n=3"),
                succeeded(0, "n=1"),
                succeeded(1, "n=two\n"),
            ],
            (
                "Failed",
                Some("InvalidOutputs: stage count[b]: n=\"two\" is not of type int"),
                Some(r#"{"n":"[1,null,3]","tag":"[null,null,null]"}"#),
            ),
        ),
        (
            counted("0-2", ended("Complete")),
            vec![succeeded(2, "n=3"), succeeded(0, "n=1")],
            (
                "Failed",
                Some(lost),
                Some(r#"{"n":"[1,null,3]","tag":"[null,null,null]"}"#),
            ),
        ),
        // What was kept counts, whatever became of the pod.
        (
            counted("0-2", {
                let mut rest = ended("Complete");
                merge(&mut rest, &kept);
                rest
            }),
            vec![
                succeeded(2, "n=3"),
                succeeded(0, "n=1"),
                succeeded(1, "n=2"),
            ],
            (
                "Complete",
                None,
                Some(r#"{"n":"[1,20,3]","tag":"[null,\"x\",null]"}"#),
            ),
        ),
        // A Job that failed has the outputs of those that succeeded.
        (
            counted("0,2", ended("Failed")),
            vec![succeeded(2, "n=3"), failed, succeeded(0, "n=1")],
            (
                "Failed",
                Some("item b: exit code 3: no disk"),
                Some(r#"{"n":"[1,null,3]","tag":"[null,null,null]"}"#),
            ),
        ),
    ];
    for (job, pods, (phase, reason, outputs)) in table {
        let before: Participant = serde_json::from_value(job.clone()).unwrap();
        assert_eq!(job_end(&before), None, "its outputs are not stored");
        let world = with_pods(&job, pods);
        let (writes, _) = decide(&job, &world);
        let annotations = &body(&writes)["metadata"]["annotations"];
        assert_eq!(annotations["konductor.io/phase"], phase);
        assert_eq!(annotations["konductor.io/reason"].as_str(), reason);
        assert_eq!(annotations["konductor.io/outputs"].as_str(), outputs);
        let stored = after(&job, &writes);
        let kept = &stored["metadata"]["annotations"]["konductor.io/outputs-kept"];
        match reason.filter(|reason| reason.starts_with("InvalidOutputs")) {
            Some(_) => assert_eq!(kept, "0,2 {}", "the items that they are of"),
            None => assert_eq!(kept, &Value::Null, "it is not needed any more"),
        }
        let end = match phase {
            "Complete" => End::Succeeded,
            _ => End::Failed,
        };
        let typed: Participant = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(job_end(&typed), Some(end));
        assert_eq!(decide(&stored, &world).0, []);
    }
}

#[test]
fn outputs_of_items_have_a_limit_in_all() {
    let pods = (0..3).map(|index| succeeded(index, &format!("n=1\ntag={}", "x".repeat(4_000))));
    let many = |size: usize| {
        let tags: Vec<Value> = (0..3).map(|_| "y".repeat(size).into()).collect();
        let kept = json!({"n": "[1,1,1]", "tag": json!(tags).to_string()});
        json!({"metadata": {"annotations": {
            "konductor.io/outputs-kept": format!("0-2 {kept}"),
        }}})
    };
    let mut rest = ended("Complete");
    merge(&mut rest, &many(22_000));
    let job = counted("0-2", rest);
    let (writes, _) = decide(&job, &with_pods(&job, pods));
    let expected = "InvalidOutputs: those of all items are 66040 bytes, of which tag is 66010; at most 65536 fit, \
                    without those of stage count[c]";
    let annotations = &body(&writes)["metadata"]["annotations"];
    assert_eq!(annotations["konductor.io/reason"], expected);
    let tags = json!(["y".repeat(22_000), "y".repeat(22_000), null]).to_string();
    let outputs = json!({"n": "[1,1,null]", "tag": tags}).to_string();
    assert_eq!(annotations["konductor.io/outputs"], outputs);
    assert_eq!(annotations["konductor.io/outputs-kept"], "0,1 {}");
    assert_eq!(
        gathered(&after(&job, &writes), "count[*]/n"),
        Ok("[1,1]".to_owned())
    );
}

#[test]
fn outputs_of_items_are_kept_while_the_others_run() {
    let seconds = SignedDuration::from_secs;
    let pods = |ago: [i64; 2]| {
        let messages = ["n=1", "n=3\ntag=z"];
        let indexes = [0, 2].into_iter().zip(messages).zip(ago);
        indexes.map(|((index, message), ago)| pod(index, "Succeeded", message, seconds(ago)))
    };
    let job = counted("0,2", json!({}));
    let typed: Participant = serde_json::from_value(job.clone()).unwrap();
    // Nothing is written for each of them.
    let world = with_pods(&job, pods([29, 5]));
    let (decision, _) = world.decide(|facts| job::decide(&typed, facts, now()));
    assert_eq!(decision.before, []);
    assert_eq!(decision.wake, Some(now() + seconds(1)));
    let world = with_pods(&job, pods([30, 5]));
    let (writes, live) = decide(&job, &world);
    let kept = &body(&writes)["metadata"]["annotations"]["konductor.io/outputs-kept"];
    assert_eq!(kept, r#"0,2 {"n":"[1,null,3]","tag":"[null,null,\"z\"]"}"#);
    assert!(live.iter().any(|fact| matches!(fact, Fact::PodsOf { .. })));
    assert_eq!(decide(&after(&job, &writes), &world).0, []);
    let paused = json!({
        "metadata": {"annotations": {"konductor.io/phase": "Paused"}}, "spec": {"suspend": true},
    });
    let job = counted("0,2", paused);
    let (writes, _) = decide(&job, &with_pods(&job, pods([30, 5])));
    let kept_while_paused = &body(&writes)["metadata"]["annotations"];
    assert_eq!(&kept_while_paused["konductor.io/outputs-kept"], kept);
}

#[test]
fn an_item_with_wrong_outputs_keeps_no_other_from_being_kept_and_fails_the_job_at_its_end() {
    let seconds = SignedDuration::from_secs;
    let wrong = || pod(1, "Succeeded", "n=two\n", seconds(60));
    let kept = |writes: &[Write]| -> Option<String> {
        let writes = (!writes.is_empty()).then(|| body(writes))?;
        let kept = writes["metadata"]["annotations"]["konductor.io/outputs-kept"].as_str();
        kept.map(str::to_owned)
    };
    for (completed, others, expected) in [
        // It alone costs no write, and no live read.
        ("1", vec![], None),
        ("0,1", vec![pod(0, "Succeeded", "n=1", seconds(29))], None),
        (
            "0,1",
            vec![pod(0, "Succeeded", "n=1", seconds(30))],
            Some(r#"0 {"n":"[1,null,null]","tag":"[null,null,null]"}"#),
        ),
        (
            "0-2",
            vec![
                pod(0, "Succeeded", "n=1", seconds(30)),
                pod(2, "Succeeded", "n=3\ntag=z", seconds(5)),
            ],
            Some(r#"0,2 {"n":"[1,null,3]","tag":"[null,null,\"z\"]"}"#),
        ),
    ] {
        let job = counted(completed, json!({}));
        let world = with_pods(&job, others.into_iter().chain([wrong()]));
        let (writes, live) = decide(&job, &world);
        assert_eq!(kept(&writes).as_deref(), expected, "{completed}");
        assert_eq!(live.is_empty(), expected.is_none(), "{completed}");
        if expected.is_some() {
            assert_eq!(decide(&after(&job, &writes), &world).0, []);
        }
    }
    // The verdict at the end says what is wrong.
    let annotations = json!({"konductor.io/outputs-kept":
        r#"0,2 {"n":"[1,null,3]","tag":"[null,null,\"z\"]"}"#});
    let mut rest = ended("Complete");
    merge(
        &mut rest,
        &json!({"metadata": {"annotations": annotations}}),
    );
    let job = counted("0-2", rest);
    let (writes, _) = decide(&job, &with_pods(&job, [wrong()]));
    let annotations = &body(&writes)["metadata"]["annotations"];
    assert_eq!(annotations["konductor.io/phase"], "Failed");
    let expected = "InvalidOutputs: stage count[b]: n=\"two\" is not of type int";
    assert_eq!(annotations["konductor.io/reason"], expected);
}

/// What a reader of the items' outputs starts with, or why it does not start.
fn gathered(count: &Value, reads: &str) -> Result<String, String> {
    let inputs = json!({"in-0": reads}).to_string();
    let annotations = json!({"konductor.io/gate": "ready", "konductor.io/inputs": inputs});
    let reader = of_run("total", annotations, json!({}));
    let (writes, _) = decide(&reader, &world([count, &reader]));
    let annotations = &body(&writes)["metadata"]["annotations"];
    match annotations["konductor.io/phase"].as_str() {
        Some("Running") => {
            let template = &body(&writes)["spec"]["template"]["metadata"]["annotations"];
            Ok(template["konductor.io/in-0"].as_str().unwrap().to_owned())
        }
        _ => Err(annotations["konductor.io/reason"]
            .as_str()
            .unwrap()
            .to_owned()),
    }
}

#[test]
fn outputs_of_items_are_gathered_from_their_job() {
    let stored = |completed: &str, phase: &str, end: &str, outputs: Option<&str>| {
        let mut rest = if end.is_empty() {
            json!({})
        } else {
            ended(end)
        };
        let mut annotations = json!({"konductor.io/phase": phase});
        if let Some(outputs) = outputs {
            annotations["konductor.io/outputs"] = outputs.into();
        }
        merge(
            &mut rest,
            &json!({"metadata": {"annotations": annotations}}),
        );
        counted(completed, rest)
    };
    let all = r#"{"n":"[1,null,3]","tag":"[null,null,\"z\"]"}"#;
    let complete = || stored("0,2", "Failed", "Failed", Some(all));
    let ok = |list: &str| Ok(list.to_owned());
    let wrong = |why: &str| Err(why.to_owned());
    for (count, reads, expected) in [
        (complete(), "count[*]/n", ok("[1,3]")),
        (complete(), "count[*]/tag = y", ok(r#"["y","z"]"#)),
        (
            complete(),
            "count[*]/tag",
            wrong("stage count[a] wrote no output tag"),
        ),
        (stored("", "Skipped", "", None), "count[*]/n", ok("[]")),
        (stored("", "Cancelled", "", None), "count[*]/n", ok("[]")),
        (
            stored("0", "Cancelled", "", None),
            "count[*]/n",
            wrong("stage count has not ended"),
        ),
        (
            stored("0", "Cancelled", "", Some("not JSON")),
            "count[*]/n",
            wrong("stage count[a] wrote no output n"),
        ),
        (
            stored("0", "Cancelled", "", Some(r#"{"n":"not JSON"}"#)),
            "count[*]/n",
            wrong("stage count: what its items wrote was not read"),
        ),
        (
            stored("0-2", "Running", "Complete", None),
            "count[*]/n",
            wrong("stage count has not ended"),
        ),
    ] {
        assert_eq!(gathered(&count, reads), expected, "{reads}");
    }
    // They can be the items of another Job.
    let annotations = json!({
        "konductor.io/gate": "ready", "konductor.io/items": r#"{"of": "count[*]/n"}"#,
    });
    let spec = json!({"completionMode": "Indexed", "completions": 1});
    let next = of_run("next", annotations, json!({"spec": spec}));
    let count = complete();
    let (writes, _) = decide(&next, &world([&count, &next]));
    assert_eq!(list_of(&after(&next, &writes)), "[1,3]");
}
