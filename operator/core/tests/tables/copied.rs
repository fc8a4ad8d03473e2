//! Tables of Jobs that were created from a stored copy of another one.

use crate::interference::{body, decide, semaphore};
use crate::world::{World, job};
use konductor_core::Write;
use serde_json::{Value, json};

#[test]
fn a_job_that_was_created_from_a_stored_copy_is_a_new_job() {
    let copied = |annotations: Value, rest: Value| {
        let mut copy = job("work", annotations, json!({"metadata": {"generation": 1}}));
        for (key, value) in rest.as_object().unwrap() {
            copy["spec"][key] = value.clone();
        }
        copy
    };
    let running = json!({
        "konductor.io/gate": "closed", "konductor.io/hold": "semaphore/batch",
        "konductor.io/held": "semaphore/batch", "konductor.io/phase": "Running",
        "konductor.io/reason": "suspended", "konductor.io/times": "ended 2026-03-01T11:00:00Z",
    });
    let phase = |phase: &str| json!({"konductor.io/gate": "closed", "konductor.io/phase": phase});
    let written = json!({
        "konductor.io/outputs-declared": "rows", "konductor.io/outputs": "{\"rows\":\"1\"}",
        "konductor.io/phase": "Complete",
    });
    let runs = json!({"suspend": false});
    let table: [(Value, Value, &[&str]); 9] = [
        (
            running.clone(),
            json!({}),
            &["phase", "reason", "held", "times"],
        ),
        (running, runs.clone(), &["phase", "reason", "held", "times"]),
        (phase("Running"), json!({}), &["phase"]),
        (phase("Paused"), json!({}), &["phase"]),
        (written, runs.clone(), &["phase", "outputs"]),
        // What the operator writes on a Job that it has not started.
        (phase("Waiting"), json!({}), &[]),
        (phase("Cancelled"), json!({}), &[]),
        (phase("Skipped"), json!({}), &[]),
        // It was created without `suspend: true`, and that is said already.
        (phase("Running"), runs, &[]),
    ];
    for (annotations, spec, expected) in table {
        let copy = copied(annotations, spec);
        let removed = |copy: &Value| {
            let decision = decide(copy, &World::of([copy.clone(), semaphore(1, &[])]));
            let Some(Write::Patch { body, .. }) = decision.before.first() else {
                return Vec::new();
            };
            let annotations = body["metadata"]["annotations"].as_object().unwrap();
            let phase = annotations.get("konductor.io/phase");
            let is_forgotten = phase.is_some_and(Value::is_null);
            assert!(!is_forgotten || body["spec"].is_null(), "{body}");
            let nulls = annotations.iter().filter(|(_, value)| value.is_null());
            nulls
                .map(|(key, _)| key["konductor.io/".len()..].to_owned())
                .collect()
        };
        assert_eq!(removed(&copy), expected, "{copy}");
        // One whose spec was changed may have been started.
        let mut started = copy.clone();
        started["metadata"]["generation"] = 2.into();
        assert!(
            !removed(&started).contains(&"phase".to_owned()),
            "{started}"
        );
        let mut in_kueue = copy;
        in_kueue["metadata"]["labels"] = json!({"kueue.x-k8s.io/queue-name": "batch"});
        assert!(
            !removed(&in_kueue).contains(&"phase".to_owned()),
            "{in_kueue}"
        );
    }
}

/// What a start of the first one has written into the pod template would count as defaults.
#[test]
fn a_copy_has_the_pod_template_from_before_the_start_of_the_first() {
    let stored = json!({
        "konductor.io/gate": "closed", "konductor.io/phase": "Running",
        "konductor.io/inputs": r#"{"in-0": "gone/rows", "in-1": "gone/size"}"#,
        "konductor.io/presets": r#"{"konductor.io/in-1": "7"}"#,
    });
    let template = json!({
        "annotations": {
            "konductor.io/in-0": "42", "konductor.io/in-1": "8", "konductor.io/held": "lease/db",
            "konductor.io/guard": "started", "konductor.io/traceparent": "00-1-2-01",
            "token.konductor.io/db": "3", "example.com/own": "x",
        },
        "labels": {"konductor.io/held": "true", "example.com/own": "x"},
    });
    let restored = json!({
        "annotations": {
            "konductor.io/in-0": null, "konductor.io/in-1": "7", "konductor.io/held": null,
            "konductor.io/guard": "waiting", "konductor.io/traceparent": null,
            "token.konductor.io/db": null,
        },
        "labels": {"konductor.io/held": null},
    });
    // The pod template of a Job that runs can't be changed.
    for (suspend, expected) in [(true, restored), (false, Value::Null)] {
        let rest = json!({
            "metadata": {"generation": 1},
            "spec": {"suspend": suspend, "template": {"metadata": template}},
        });
        let copy = job("work", stored.clone(), rest);
        let decision = decide(&copy, &World::of([copy.clone()]));
        let body = body(&decision);
        let annotations = &body["metadata"]["annotations"];
        assert_eq!(annotations.get("konductor.io/presets"), Some(&Value::Null));
        let template = body
            .pointer("/spec/template/metadata")
            .unwrap_or(&Value::Null);
        assert_eq!(*template, expected, "suspend: {suspend}");
    }
}
