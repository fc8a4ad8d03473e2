//! A Run as a trace: its spans, with ids that are made of uids.

use konductor_api::{Participant, Run};
use konductor_core::trace::{SpanId, SpanOf, Trace, TraceSpan, trace};
use serde_json::{Value, json};

use crate::timeline::{Objects, at, behind, complete, condition, gate, pod, run, time};

fn of(run: &Run, objects: Objects) -> Trace {
    trace(run, &objects.around(run), at(1000))
}

/// A span as `name start-end`, in seconds from the begin, below its parent's.
fn shown(trace: &Trace, span: &TraceSpan) -> String {
    let parent = |id: SpanId| trace.spans.iter().find(|other| other.id == id);
    let mut path = span.name.clone();
    let mut above = span.parent;
    while let Some(id) = above {
        let parent = parent(id).expect("its parent comes before it");
        path = format!("{} / {path}", parent.name);
        above = parent.parent;
    }
    let second = |time: jiff::Timestamp| time.duration_since(at(0)).as_secs();
    let failed = if span.failure.is_some() {
        " failed"
    } else {
        ""
    };
    format!("{path} {}-{}{failed}", second(span.start), second(span.end))
}

fn attribute<'a>(span: &'a TraceSpan, name: &str) -> Option<&'a str> {
    let mut attributes = span.attributes.iter().filter(|(key, _)| *key == name);
    attributes.next().map(|(_, value)| value.as_str())
}

/// `b` follows `a`, and fails once.
fn two_stages() -> Objects {
    Objects {
        jobs: vec![
            complete("a", json!({}), (1, 10)),
            complete("b", behind("r-b"), (12, 60)),
        ],
        gates: vec![gate(
            "r-b",
            "All",
            json!([condition("Job", "r-a", "Complete")]),
            Some(11),
        )],
        pods: vec![
            pod("a", 1, 1, Some((2, Some(9))), false),
            pod("b", 1, 12, Some((13, Some(40))), true),
            pod("b", 2, 50, Some((51, Some(59))), false),
        ],
        ..Objects::default()
    }
}

#[test]
fn trace_has_a_span_for_the_run_each_stage_and_each_part_of_it() {
    let run = run(Some(62));
    let trace = of(&run, two_stages());
    let spans: Vec<String> = trace.spans.iter().map(|span| shown(&trace, span)).collect();
    assert_eq!(
        spans,
        [
            "RUN p 0-62",
            "RUN p / a 0-10",
            "RUN p / a / starting 0-1",
            "RUN p / a / pending 1-2",
            "RUN p / a / running 2-10",
            "RUN p / b 0-60",
            "RUN p / b / waiting 0-11",
            "RUN p / b / starting 11-12",
            "RUN p / b / pending 12-13",
            "RUN p / b / running 13-40 failed",
            "RUN p / b / backoff 40-50",
            "RUN p / b / pending 50-51",
            "RUN p / b / running 51-60",
        ]
    );
    let mut ids: Vec<SpanId> = trace.spans.iter().map(|span| span.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "no two spans have one id");
    let (root, b) = (&trace.spans[0], &trace.spans[5]);
    assert_eq!((root.of, b.of), (SpanOf::Run, SpanOf::Stage));
    assert_eq!(attribute(root, "cicd.pipeline.result"), Some("success"));
    assert_eq!(attribute(root, "konductor.run.name"), Some("r"));
    assert_eq!(attribute(b, "cicd.pipeline.task.name"), Some("b"));
    assert_eq!(attribute(b, "cicd.pipeline.task.run.id"), Some("uid-r-b"));
    assert_eq!(
        attribute(b, "cicd.pipeline.task.run.result"),
        Some("success")
    );
    let waiting = &trace.spans[6];
    assert_eq!(attribute(waiting, "konductor.waits_for"), Some("stage a"));
    let resource = [
        ("cicd.pipeline.name", "p".to_owned()),
        ("cicd.pipeline.run.id", "uid-r".to_owned()),
        ("k8s.namespace.name", "ns".to_owned()),
    ];
    assert_eq!(trace.resource, resource);
}

/// Whoever exports it again exports the same, and a retry is another trace.
#[test]
fn ids_are_made_of_uids_and_of_the_attempt() {
    let first = run(Some(62));
    let trace = of(&first, two_stages());
    // They must not change with a version: a container has its parent's already.
    assert_eq!(trace.id.to_string(), "d245dc3657fff58d509ff12f370f2731");
    assert_eq!(trace.spans[1].id.to_string(), "5bd785680553eb59");
    assert_eq!(of(&first, two_stages()), trace);
    let mut again = first.clone();
    again.spec.attempt = 2;
    assert_ne!(of(&again, two_stages()).id, trace.id);
    let mut other = first;
    other.metadata.uid = Some("another".to_owned());
    assert_ne!(of(&other, two_stages()).id, trace.id);
}

#[test]
fn results_are_those_of_the_conventions() {
    let ended = |phase: &str, outcome: &str| -> Run {
        let mut ended = serde_json::to_value(run(Some(62))).expect("JSON");
        ended["status"]["phase"] = phase.into();
        ended["status"]["outcome"] = outcome.into();
        ended["status"]["conditions"] = json!([{
            "type": "Succeeded", "status": "False", "reason": "StageFailed",
            "message": "stage a failed", "lastTransitionTime": time(62),
        }]);
        serde_json::from_value(ended).expect("a Run")
    };
    for (phase, outcome, result, failure) in [
        ("Succeeded", "Succeeded", "success", None),
        ("Failed", "Failed", "failure", Some("stage a failed")),
        ("Cancelled", "Cancelled", "cancellation", None),
        ("Failed", "TimedOut", "timeout", Some("stage a failed")),
    ] {
        let trace = of(&ended(phase, outcome), two_stages());
        let root = &trace.spans[0];
        assert_eq!(attribute(root, "cicd.pipeline.result"), Some(result));
        assert_eq!(root.failure.as_deref(), failure, "{phase}");
        let kind = failure.map(|_| "StageFailed");
        assert_eq!(attribute(root, "error.type"), kind);
    }
}

/// What ended in an earlier attempt has no time in this one.
#[test]
fn stage_without_a_time_has_no_span() {
    let mut retried = serde_json::to_value(run(Some(200))).expect("JSON");
    retried["spec"]["attempt"] = 2.into();
    retried["status"]["attempt"] = 2.into();
    retried["status"]["startedAt"] = time(100).into();
    let retried: Run = serde_json::from_value(retried).expect("a Run");
    let objects = Objects {
        jobs: vec![
            complete("a", json!({}), (1, 10)),
            complete("b", json!({}), (110, 120)),
        ],
        ..Objects::default()
    };
    let trace = of(&retried, objects);
    let stages = trace.spans.iter().filter(|span| span.of == SpanOf::Stage);
    let stages: Vec<&str> = stages.map(|span| span.name.as_str()).collect();
    assert_eq!(stages, ["b"]);
}

/// The parent that a container is given is the span of its stage.
#[test]
fn container_is_given_the_span_of_its_stage_if_traces_are_exported() {
    use crate::world::{World, now, recorded};
    let metadata = json!({
        "name": "r-a", "namespace": "ns", "uid": "uid-r-a",
        "labels": {"konductor.io/run": "r", "konductor.io/stage": "a"},
        "creationTimestamp": time(0),
        "ownerReferences": [{
            "apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "uid-r",
        }],
    });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": metadata, "spec": {"suspend": true, "template": {}},
    });
    let open = json!({
        "apiVersion": "konductor.io/v1", "kind": "Run",
        "metadata": {"name": "r", "namespace": "ns", "uid": "uid-r", "creationTimestamp": time(0)},
        "spec": {"pipeline": "p", "jobs": 1, "attempt": 1},
    });
    let open = recorded(open, [&job]);
    let participant: Participant = serde_json::from_value(job.clone()).expect("a Job");
    let parent_of = |traces: bool| -> Value {
        let mut world = World::of([open.clone(), job.clone()]);
        world.facts.traces = traces;
        let (decision, _) =
            world.decide(|facts| konductor_core::job::decide(&participant, facts, now()));
        let [konductor_core::Write::Patch { body, .. }] = decision.before.as_slice() else {
            panic!("{:?}", decision.before);
        };
        assert_eq!(body["spec"]["suspend"], false);
        let template = &body["spec"]["template"]["metadata"]["annotations"];
        template["konductor.io/traceparent"].clone()
    };
    assert_eq!(parent_of(false), Value::Null);
    let run: Run = serde_json::from_value(open.clone()).expect("a Run");
    let jobs = vec![complete("a", json!({}), (1, 10))];
    let trace = of(
        &run,
        Objects {
            jobs,
            ..Objects::default()
        },
    );
    let expected = format!("00-{}-{}-01", trace.id, trace.spans[1].id);
    assert_eq!(parent_of(true), expected);
}
