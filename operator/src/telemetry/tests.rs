use konductor_api::{Gate, Participant};
use konductor_core::ObjectName;
use serde_json::{Value, json};

use super::gauges::waiting;
use super::*;

#[test]
fn metrics_have_the_names_and_types_that_the_docs_list() {
    let text = Telemetry::default().metrics_text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types: Vec<&str> = types.collect();
    let of_process = |line: &&str| line.starts_with("process_");
    assert!(types.iter().any(of_process));
    let types: Vec<&str> = types.into_iter().filter(|line| !of_process(line)).collect();
    assert_eq!(
        types,
        [
            "controller_runtime_reconcile counter",
            "controller_runtime_reconcile_errors counter",
            "controller_runtime_reconcile_time_seconds histogram",
            "controller_runtime_active_workers gauge",
            "controller_runtime_max_concurrent_reconciles gauge",
            "workqueue_adds counter",
            "workqueue_depth gauge",
            "workqueue_queue_duration_seconds histogram",
            "workqueue_work_duration_seconds histogram",
            "workqueue_retries counter",
            "workqueue_unfinished_work_seconds gauge",
            "workqueue_longest_running_processor_seconds gauge",
            "konductor_build info",
            "konductor_watch_failures counter",
            "konductor_watch_stalls counter",
            "konductor_writes counter",
            "konductor_wait_duration_seconds histogram",
            "konductor_hold_duration_seconds histogram",
            "konductor_failed_starts counter",
        ],
        "what has no series is left out"
    );
    let telemetry = exercised();
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
    let takes_time = [
        "time_seconds_sum",
        "work_duration_seconds_sum",
        "_age_",
        "process_",
    ];
    let sums: Vec<&str> = sums
        .filter(|line| !takes_time.iter().any(|part| line.contains(part)))
        .filter(|line| !line.contains("queue_duration_seconds_sum{name"))
        .filter(|line| !line.starts_with("controller_runtime_max"))
        .filter(|line| !is_zero(line) || line.contains("leading"))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    let build = format!(r#"konductor_build_info{{version="{version}"}} 1"#);
    assert_eq!(
        sums,
        [
            r#"controller_runtime_reconcile_total{controller="gate",result="error"} 1"#,
            r#"controller_runtime_reconcile_errors_total{controller="gate"} 1"#,
            r#"controller_runtime_reconcile_time_seconds_count{controller="gate"} 1"#,
            r#"workqueue_adds_total{name="gate"} 1"#,
            r#"workqueue_queue_duration_seconds_count{name="gate"} 1"#,
            r#"workqueue_work_duration_seconds_count{name="gate"} 1"#,
            r#"workqueue_retries_total{name="gate"} 1"#,
            &build,
            r#"konductor_watch_failures_total{kind="Gate"} 1"#,
            r#"konductor_watch_backoff_seconds{kind="Gate"} 2.5"#,
            r#"konductor_undecodable_objects{kind="Gate"} 2"#,
            r#"konductor_writes_total{kind="Gate"} 1"#,
            r#"konductor_wait_duration_seconds_sum{kind="Gate"} 86400.0"#,
            r#"konductor_wait_duration_seconds_count{kind="Gate"} 1"#,
            r#"konductor_hold_duration_seconds_sum{kind="Lease"} 86400.0"#,
            r#"konductor_hold_duration_seconds_count{kind="Lease"} 1"#,
            r#"konductor_queue_duration_seconds_sum{kind="Lease",namespace="n",name="l"} 86400.0"#,
            r#"konductor_queue_duration_seconds_count{kind="Lease",namespace="n",name="l"} 1"#,
            r#"konductor_run_duration_seconds_sum{namespace="n",pipeline="p",outcome="Succeeded"} 86400.0"#,
            r#"konductor_run_duration_seconds_count{namespace="n",pipeline="p",outcome="Succeeded"} 1"#,
            r#"konductor_failed_starts_total{reason="StartRefused"} 1"#,
            r#"konductor_leading{watched_namespace="n"} 1"#,
        ]
    );
}

/// One on which everything has happened once.
fn exercised() -> Telemetry {
    let telemetry = Telemetry::default();
    telemetry.watches(Some("n"));
    telemetry.enter(Phase::Working);
    drop(telemetry.awaits_turn(Watched::Gate));
    drop(telemetry.reconciling(Watched::Gate));
    telemetry.queued(Watched::Gate);
    telemetry.retried(Watched::Gate);
    let failure = Failure::TooEarly;
    telemetry.watch_broke(Watched::Gate, &failure, Duration::from_millis(2500));
    telemetry.undecodable(Watched::Gate, 2);
    telemetry.wrote(Watched::Gate);
    telemetry.ended("StartRefused");
    telemetry.ended("Cancelled");
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
        since: Some(Time(later)),
    };
    let both = [holder];
    let lease = (LedgerKind::Lease, &ObjectName::new("n", "l"));
    let asked_since = |_: &Holder| Some(created);
    telemetry.ledger(lease, None, &both, later, asked_since);
    telemetry.ledger(lease, Some(&both), &both, later, asked_since);
    telemetry.ledger(lease, Some(&both), &[], later + DAY, asked_since);
    let mut run = run(None);
    let ended = RunStatus {
        phase: RunPhase::Succeeded,
        started_at: Some(Time(created)),
        finished_at: Some(Time(later)),
        ..RunStatus::default()
    };
    telemetry.run(&run, &ended);
    run.status = Some(ended.clone());
    telemetry.run(&run, &ended);
    let running = RunStatus::default();
    telemetry.run(&run, &running);
    telemetry
}

/// A Run of pipeline p in namespace n, created then.
fn run(created: Option<Timestamp>) -> Run {
    let run = json!({
        "metadata": {"name": "r", "namespace": "n", "creationTimestamp": created},
        "spec": {"pipeline": "p", "jobs": 1},
    });
    serde_json::from_value(run).expect("a Run")
}

/// What a scrape during work shows.
#[test]
fn work_under_way_has_an_age() {
    let telemetry = Telemetry::default();
    let work = [Watched::Run, Watched::Run].map(|kind| telemetry.reconciling(kind));
    let _waits = telemetry.awaits_turn(Watched::Run);
    let text = telemetry.metrics_text();
    let value = |name: &str| {
        let sample = text.lines().find_map(|line| line.strip_prefix(name));
        let sample = sample.unwrap_or_else(|| panic!("{name}\n{text}"));
        sample.trim().parse::<f64>().expect("a number")
    };
    let active = r#"controller_runtime_active_workers{controller="run"}"#;
    assert_eq!(value(active), 2.0);
    assert_eq!(value(r#"workqueue_depth{name="run"}"#), 1.0);
    let longest = value(r#"workqueue_longest_running_processor_seconds{name="run"}"#);
    let all = value(r#"workqueue_unfinished_work_seconds{name="run"}"#);
    assert!(longest > 0.0 && all > longest, "{longest} of {all}");
    drop(work);
    let text = telemetry.metrics_text();
    let idle = r#"workqueue_unfinished_work_seconds{name="run"} 0.0"#;
    assert!(text.contains(idle), "{text}");
}

/// What the operator knows, without an API server.
#[derive(Default)]
struct Known(Vec<Arc<Run>>);

impl Gauged for Known {
    fn counts(&self) -> Vec<(Watched, usize)> {
        Vec::new()
    }
    fn claims(&self) -> Vec<Arc<konductor_api::Claim>> {
        Vec::new()
    }
    fn jobs(&self) -> Vec<Arc<Participant>> {
        Vec::new()
    }
    fn gate(&self, _: &ObjectName) -> Option<Arc<Gate>> {
        None
    }
    fn leases(&self) -> Vec<Arc<konductor_api::Lease>> {
        Vec::new()
    }
    fn runs(&self) -> Vec<Arc<Run>> {
        self.0.clone()
    }
    fn semaphores(&self) -> Vec<Arc<konductor_api::Semaphore>> {
        Vec::new()
    }
    fn holds(&self, _: LedgerKind, _: &ObjectName, _: &str) -> bool {
        false
    }
}

#[test]
fn runs_that_have_not_ended_are_counted_and_the_oldest_has_an_age() {
    let now = Timestamp::UNIX_EPOCH + DAY;
    let hour = jiff::SignedDuration::from_hours(1);
    let mut ended = run(Some(Timestamp::UNIX_EPOCH));
    ended.status = Some(RunStatus {
        phase: RunPhase::Failed,
        finished_at: Some(Time(now)),
        attempt: 1,
        ..RunStatus::default()
    });
    let runs = [ended, run(Some(now - hour)), run(Some(now))];
    let cache = Known(runs.into_iter().map(Arc::new).collect());
    let telemetry = Telemetry::default();
    telemetry.look_at(Some(&cache), now);
    let pipeline = Pipeline {
        namespace: "n".to_owned(),
        pipeline: "p".to_owned(),
    };
    let metrics = telemetry.metrics();
    let count = metrics.unfinished_runs.get_or_create(&pipeline).get();
    let age = metrics.oldest_run.get_or_create(&pipeline).get();
    assert_eq!((count, age), (2, 3600.0));
}

#[tokio::test]
async fn requests_are_counted_by_how_they_were_answered() {
    let answers = tower::service_fn(|request: http::Request<kube::client::Body>| {
        let code = match request.uri().path() {
            "/lost" => return std::future::ready(Err(tower::BoxError::from("no answer"))),
            "/gone" => 410,
            _ => 200,
        };
        let answer = http::Response::builder().status(code);
        std::future::ready(answer.body(kube::client::Body::empty()).map_err(Into::into))
    });
    let telemetry = Telemetry::default();
    let client = telemetry.counting(kube::Client::new(answers, "default"));
    for path in ["/lost", "/gone", "/there"] {
        let request = http::Request::get(path).body(kube::client::Body::empty());
        let answer = client.send(request.expect("a request")).await;
        assert_eq!(answer.is_err(), path == "/lost");
    }
    let text = telemetry.metrics_text();
    for code in ["<error>", "410", "200"] {
        let expected = format!(r#"rest_client_requests_total{{code="{code}",method="GET"}} 1"#);
        assert!(text.contains(&expected), "{expected}\n{text}");
    }
}

fn is_zero(sample: &str) -> bool {
    sample.ends_with(" 0") || sample.ends_with(" 0.0")
}

/// `increase()` sees only what has a sample before its first event.
#[test]
fn counters_begin_at_zero() {
    let text = Telemetry::default().metrics_text();
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let says_what_is = ["process_", "konductor_build_info", "controller_runtime_max"];
    let counts = |sample: &&&str| !says_what_is.iter().any(|name| sample.starts_with(name));
    assert!(
        samples.iter().filter(counts).all(|sample| is_zero(sample)),
        "{text}"
    );
    for expected in [
        r#"controller_runtime_reconcile_total{controller="run",result="error"} 0"#,
        r#"controller_runtime_reconcile_total{controller="job",result="requeue"} 0"#,
        r#"workqueue_adds_total{name="semaphore"} 0"#,
        r#"konductor_watch_failures_total{kind="Pod"} 0"#,
        r#"konductor_watch_stalls_total{kind="Arrival"} 0"#,
        r#"konductor_writes_total{kind="Claim"} 0"#,
        r#"konductor_wait_duration_seconds_count{kind="Job"} 0"#,
        r#"konductor_hold_duration_seconds_count{kind="Lease"} 0"#,
        r#"konductor_failed_starts_total{reason="PendingTimedOut"} 0"#,
    ] {
        assert!(samples.contains(&expected), "{expected}\n{text}");
    }
    // What a user has named begins when it is first seen.
    let telemetry = Telemetry::default();
    telemetry.run(&run(None), &RunStatus::default());
    let lease = (LedgerKind::Lease, &ObjectName::new("n", "l"));
    telemetry.ledger(lease, None, &[], Timestamp::UNIX_EPOCH, |_| None);
    let text = telemetry.metrics_text();
    for expected in [
        r#"konductor_run_duration_seconds_count{namespace="n",pipeline="p",outcome="Failed"} 0"#,
        r#"konductor_queue_duration_seconds_count{kind="Lease",namespace="n",name="l"} 0"#,
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn a_queue_has_the_jobs_that_ask_for_permits_whether_they_have_a_gate_or_not() {
    let job = |name: &str, annotations: Value, suspend: bool| -> Arc<Participant> {
        let mut annotations = annotations;
        annotations["konductor.io/hold"] = "semaphore/batch, lease/schema".into();
        let created = Timestamp::UNIX_EPOCH;
        let job = json!({
            "metadata": {"name": name, "namespace": "n", "uid": name, "annotations": annotations,
                "creationTimestamp": created},
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
    let opened = Timestamp::UNIX_EPOCH + DAY;
    let gate = |_: &ObjectName| {
        let gate = json!({
            "metadata": {"name": "g", "namespace": "n"}, "spec": {"conditions": []},
            "status": {"phase": "Open", "openedAt": opened, "conditions": []},
        });
        Some(Arc::new(serde_json::from_value(gate).expect("a Gate")))
    };
    let queues = waiting(&[], &jobs, schema_is_held, gate).into_iter();
    let queues: Vec<_> = queues
        .map(|(ledger, queue)| (ledger.name, queue.length, queue.oldest))
        .collect();
    // The one by hand asks since its creation, the other since its Gate has opened.
    assert_eq!(
        queues,
        [
            ("schema".to_owned(), 1, Some(opened)),
            ("batch".to_owned(), 2, Some(Timestamp::UNIX_EPOCH))
        ]
    );
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
