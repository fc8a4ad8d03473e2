use konductor_api::Participant;
use konductor_core::ObjectName;
use serde_json::{Value, json};

use super::gauges::waiting;
use super::*;

#[test]
fn metrics_have_the_names_and_types_that_the_docs_list() {
    let text = Telemetry::default().metrics_text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types: Vec<&str> = types.collect();
    assert_eq!(
        types,
        [
            "konductor_reconcile counter",
            "konductor_reconcile_duration_seconds histogram",
            "konductor_queue_adds counter",
            "konductor_watch_failures counter",
            "konductor_watch_stalls counter",
            "konductor_writes counter",
            "konductor_wait_duration_seconds histogram",
            "konductor_hold_duration_seconds histogram",
            "konductor_run_duration_seconds histogram",
            "konductor_leading gauge",
        ],
        "gauges without a series are left out"
    );

    let telemetry = Telemetry::default();
    drop(telemetry.reconciling(Watched::Gate));
    telemetry.queued(Watched::Gate);
    let failure = Failure::TooEarly;
    telemetry.watch_broke(Watched::Gate, &failure, Duration::from_millis(2500));
    telemetry.undecodable(Watched::Gate, 2);
    telemetry.wrote(Watched::Gate);
    let (created, later) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + DAY);
    let meta = ObjectMeta {
        creation_timestamp: Some(Time(created)),
        ..ObjectMeta::default()
    };
    telemetry.waited(Watched::Gate, &meta, later);
    let holder = Holder {
        kind: konductor_api::HolderKind::Claim,
        name: "c".into(),
        uid: "u".into(),
        holder: "h".into(),
        permits: 1,
        since: Some(Time(created)),
    };
    let both = [holder];
    telemetry.ledger(LedgerKind::Lease, None, &both, created);
    telemetry.ledger(LedgerKind::Lease, Some(&both), &both, created);
    telemetry.ledger(LedgerKind::Lease, Some(&both), &[], later);
    let mut run = RunStatus {
        phase: RunPhase::Succeeded,
        started_at: Some(Time(created)),
        finished_at: Some(Time(later)),
        ..RunStatus::default()
    };
    telemetry.run(None, &run);
    telemetry.run(Some(&run.clone()), &run);
    run.phase = RunPhase::Running;
    telemetry.run(None, &run);
    let text = telemetry.metrics_text();
    let docs = include_str!("../../../docs/operations.md");
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let name = sample.split(['{', ' ']).next().unwrap_or_default();
        let ends = ["_bucket", "_sum", "_count"];
        let name = ends
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        assert!(
            docs.contains(&format!("`{name}`")),
            "{name} is not in docs/operations.md"
        );
    }
    let sums = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket"));
    let sums: Vec<&str> = sums
        .filter(|line| !line.contains("reconcile_duration") && !line.contains("_age_"))
        .filter(|line| !is_zero(line) || line.contains("active") || line.contains("leading"))
        .collect();
    assert_eq!(
        sums,
        [
            r#"konductor_reconcile_total{kind="Gate",result="error"} 1"#,
            r#"konductor_reconcile_active{kind="Gate"} 0"#,
            r#"konductor_queue_adds_total{kind="Gate"} 1"#,
            r#"konductor_watch_failures_total{kind="Gate"} 1"#,
            r#"konductor_watch_backoff_seconds{kind="Gate"} 2.5"#,
            r#"konductor_undecodable_objects{kind="Gate"} 2"#,
            r#"konductor_writes_total{kind="Gate"} 1"#,
            r#"konductor_wait_duration_seconds_sum{kind="Gate"} 86400.0"#,
            r#"konductor_wait_duration_seconds_count{kind="Gate"} 1"#,
            r#"konductor_hold_duration_seconds_sum{kind="Lease"} 86400.0"#,
            r#"konductor_hold_duration_seconds_count{kind="Lease"} 1"#,
            r#"konductor_run_duration_seconds_sum{outcome="Succeeded"} 86400.0"#,
            r#"konductor_run_duration_seconds_count{outcome="Succeeded"} 1"#,
            "konductor_leading 0",
        ]
    );
}

fn is_zero(sample: &str) -> bool {
    sample.ends_with(" 0") || sample.ends_with(" 0.0")
}

/// `increase()` sees only what has a sample before its first event.
#[test]
fn counters_begin_at_zero() {
    let text = Telemetry::default().metrics_text();
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(samples.iter().all(|sample| is_zero(sample)), "{text}");
    for expected in [
        r#"konductor_reconcile_total{kind="Run",result="error"} 0"#,
        r#"konductor_reconcile_total{kind="Job",result="conflict"} 0"#,
        r#"konductor_queue_adds_total{kind="Semaphore"} 0"#,
        r#"konductor_watch_failures_total{kind="Pod"} 0"#,
        r#"konductor_watch_stalls_total{kind="Arrival"} 0"#,
        r#"konductor_writes_total{kind="Claim"} 0"#,
        r#"konductor_wait_duration_seconds_count{kind="Job"} 0"#,
        r#"konductor_hold_duration_seconds_count{kind="Lease"} 0"#,
        r#"konductor_run_duration_seconds_count{outcome="Failed"} 0"#,
    ] {
        assert!(samples.contains(&expected), "{expected}\n{text}");
    }
}

#[test]
fn a_queue_has_the_jobs_that_ask_for_permits_whether_they_have_a_gate_or_not() {
    let job = |name: &str, annotations: Value, suspend: bool| -> Arc<Participant> {
        let mut annotations = annotations;
        annotations["konductor.io/hold"] = "semaphore/batch, lease/schema".into();
        let job = json!({
            "metadata": {"name": name, "namespace": "n", "uid": name, "annotations": annotations},
            "spec": {"suspend": suspend, "template": {}},
        });
        Arc::new(serde_json::from_value(job).expect("a Job"))
    };
    let gate = "konductor.io/gate";
    let phase = "konductor.io/phase";
    let jobs = [
        job("by-hand", json!({}), true),
        job("gate-passed", json!({gate: "g", phase: "Queued"}), true),
        job("behind-its-gate", json!({gate: "g"}), true),
        job("started", json!({phase: "Running"}), false),
        job("cancelled", json!({phase: "Cancelled"}), true),
    ];
    let schema_is_held =
        |kind, _: &ObjectName, uid: &str| kind == LedgerKind::Lease && uid == "by-hand";
    let lengths = waiting(&[], &jobs, schema_is_held).into_iter();
    let lengths: Vec<_> = lengths
        .map(|(ledger, length)| (ledger.name, length))
        .collect();
    assert_eq!(lengths, [("schema".to_owned(), 1), ("batch".to_owned(), 2)]);
}

#[test]
fn an_operator_is_ready_when_it_works_or_would_take_over() {
    let telemetry = Telemetry::default();
    let phases = [
        Phase::Starting,
        Phase::StandingBy,
        Phase::Listing,
        Phase::Working,
    ];
    let ready = phases.map(|phase| {
        telemetry.enter(phase);
        telemetry.is_ready()
    });
    assert_eq!(ready, [false, true, false, true]);
}

const DAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
