//! The alerts and the dashboard, with what a real Prometheus makes of them.
//!
//! What needs `prometheus` and `promtool` (Debian's package `prometheus`) is ignored by name where they are missing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use konductor_operator::{Options, Telemetry};
use konductor_tests::built::koncli;
use konductor_tests::cluster::Cluster;
use konductor_tests::kubelet::{Script, play};
use konductor_tests::observed::{Collector, Server, folder_of, free_port, prometheus, traces};
use konductor_tests::operator::OperatorProcess;
use konductor_tests::scenario::pipeline::{compiled, create, stage, until_ended};
use libtest_mimic::{Arguments, Trial};
use regex::Regex;
use serde_json::Value;
use tokio::runtime::Runtime;

const RULES: &str = "charts/konductor/files/rules.yaml";
const DASHBOARD: &str = "charts/konductor/files/dashboard.json";
const CASES: &str = "tests/prometheus/alerts.yaml";

/// Fan-out that queues for a permit, and a stage that fails once in a while.
const PIPELINE: &str = r#"
pipeline observed {
  semaphore s { permits = 1 }
  defaults { image = "busybox:1.36" }
  stage a for i in 0..<2 holding s { run = "echo ${i}" }
  stage b after a { run = "echo b"  retries = 0  may-fail = true }
}
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let binaries = folder_of("prometheus").filter(|folder| folder.join("promtool").is_file());
    let is_missing = binaries.is_none();
    let test = |name: &str, run: fn()| {
        Trial::test(name, move || {
            run();
            Ok(())
        })
    };
    let with_prometheus = |name: &str, run: fn(&Path)| {
        let binaries = binaries.clone();
        let trial = Trial::test(name, move || {
            run(&binaries.expect("Prometheus"));
            Ok(())
        });
        trial.with_ignored_flag(is_missing)
    };
    let trials = vec![
        test(
            "every_metric_that_an_alert_the_dashboard_or_the_docs_name_exists",
            every_metric_exists,
        ),
        test(
            "every_alert_has_a_runbook_and_cases_in_which_it_fires_and_does_not",
            every_alert_has_a_runbook_and_cases,
        ),
        with_prometheus(
            "alerts_are_right_and_fire_when_their_cause_is_true",
            promtool,
        ),
        with_prometheus(
            "every_panel_of_the_dashboard_has_data_and_a_missing_leader_is_noticed",
            real_prometheus,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let name = r"\b(?:konductor|controller_runtime|workqueue|rest_client|process)_[a-z_]+\b";
    let name = Regex::new(name).expect("a pattern");
    name.find_iter(text)
        .map(|metric| metric.as_str().to_owned())
        .collect()
}

fn panels() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let panels = dashboard["panels"].as_array().cloned().unwrap_or_default();
    let queries = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let title = text(&panel["title"]);
        targets
            .into_iter()
            .map(move |target| (title.clone(), text(&target["expr"])))
    });
    queries.collect()
}

fn every_metric_exists() {
    let runtime = Runtime::new().expect("threads");
    let exists = runtime.block_on(async {
        let cluster = Cluster::embedded().await;
        let namespace = cluster.namespace("metrics").await;
        let telemetry = Telemetry::default();
        let collector = Collector::start(None).await;
        let options = Options {
            namespace: Some(namespace.clone()),
            telemetry: telemetry.clone(),
            traces: Some(traces(&collector.url).await),
            ..Options::default()
        };
        let client = cluster.client.clone();
        let operator = tokio::spawn(konductor_operator::run(
            client,
            options,
            std::future::pending(),
        ));
        let (_never, released) = tokio::sync::watch::channel(false);
        let _kubelet = play(&cluster.client, &namespace, move |pod| {
            match stage(pod).as_str() {
                "c" => Script::until(&released),
                _ => Script::succeed(),
            }
        });
        create(&cluster, &namespace, &compiled(PIPELINE)).await;
        until_ended(&cluster, &namespace, "observed").await;
        // Only what has not ended is counted by pipeline.
        let open = "pipeline another { stage c { image = \"busybox:1.36\"  run = \"echo c\" } }";
        create(&cluster, &namespace, &compiled(open)).await;
        let begun = Instant::now();
        loop {
            let text = telemetry.metrics_text();
            if text.contains(r#"konductor_unfinished_runs{namespace="#)
                && text.contains("konductor_watch_last_answer_age_seconds{")
            {
                operator.abort();
                return text;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{text}");
            tokio::task::yield_now().await;
        }
    });
    let samples = exists.lines().filter(|line| !line.starts_with('#'));
    let mut exists: BTreeSet<String> = samples
        .map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned())
        .collect();
    // What goes wrong only sometimes, and what the docs call a histogram by its own name.
    let histograms: Vec<String> = exists
        .iter()
        .filter_map(|name| name.strip_suffix("_bucket").map(str::to_owned))
        .collect();
    exists.extend(histograms);
    let sometimes = [
        "konductor_watch_backoff_seconds",
        "konductor_undecodable_objects",
    ];
    exists.extend(sometimes.map(str::to_owned));
    let mut named = names(&read(RULES));
    for (_, query) in panels() {
        named.extend(names(&query));
    }
    let page = read("docs/operations.md");
    let tables = page.lines().filter(|line| line.starts_with("| `"));
    let cells = tables.filter_map(|line| line.split('|').nth(1));
    named.extend(cells.flat_map(names));
    assert!(named.len() > 40, "{named:?}");
    let missing: Vec<_> = named.difference(&exists).collect();
    assert!(missing.is_empty(), "{missing:?} of {exists:?}");
}

/// The names of the alerts.
fn alerts() -> Vec<String> {
    let rules = read(RULES);
    let lines = rules.lines().map(str::trim);
    let names = lines.filter_map(|line| line.strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

fn every_alert_has_a_runbook_and_cases() {
    let (page, cases, rules) = (read("docs/operations.md"), read(CASES), read(RULES));
    let alerts = alerts();
    assert!(alerts.len() >= 9, "{alerts:?}");
    for alert in alerts {
        let (_, rest) = rules
            .split_once(&format!("- alert: {alert}\n"))
            .expect("its rule");
        let rule = rest.split("- alert: ").next().unwrap_or_default();
        assert!(
            page.contains(&format!("\n### {alert}\n")),
            "{alert} has no section"
        );
        let anchor = format!("docs/operations.md#{}\n", alert.to_lowercase());
        assert!(rule.contains(&anchor), "{alert}: {rule}");
        for part in ["severity: ", "summary: ", "description: "] {
            assert!(rule.contains(part), "{alert} has no {part}");
        }
        let quiet = format!("alertname: {alert}, eval_time: 26h, exp_alerts: []");
        assert!(
            cases.contains(&quiet),
            "{alert} has no case in which all is well"
        );
        let fires = Regex::new(&format!(
            r"alertname: {alert}\s+eval_time: \S+\s+exp_alerts:\s+(?:- |\[)"
        ));
        let fires = fires.expect("a pattern").is_match(&cases);
        assert!(fires, "{alert} has no case in which it fires");
    }
}

fn promtool(binaries: &Path) {
    for arguments in [["check", "rules", RULES], ["test", "rules", CASES]] {
        let output = Command::new(binaries.join("promtool"))
            .args(arguments)
            .current_dir(root())
            .output()
            .expect("promtool runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

fn real_prometheus(binaries: &Path) {
    let runtime = Runtime::new().expect("threads");
    runtime.block_on(async {
        let cluster = Cluster::embedded().await;
        let ports = [free_port(), free_port()];
        let mut operators: Vec<OperatorProcess> = ports
            .iter()
            .map(|port| OperatorProcess::start_observed(&cluster.kubeconfig, *port, None))
            .collect();
        // The same alerts, but nobody waits for minutes.
        let minutes = Regex::new(r"(?m)^        for: \S+$").expect("a pattern");
        let rules = read(RULES);
        let rules = minutes.replace_all(&rules, "        for: 1s");
        let prometheus = prometheus(binaries, &ports, &rules).await;
        let leaders = query("sum(konductor_leading)");
        prometheus
            .until(&leaders, |answer| value(answer) == Some(1.0))
            .await;
        let up = query("count(up{job=\"konductor\"} == 1)");
        prometheus
            .until(&up, |answer| value(answer) == Some(2.0))
            .await;
        let failing = query(r#"ALERTS{alertname="KonductorRunsFailing", alertstate="firing"}"#);
        let look = async {
            every_panel_has_data(&prometheus).await;
            let of_pipeline = |answer: &str| answer.contains(r#""pipeline":"fails""#);
            prometheus.until(&failing, of_pipeline).await
        };
        let alerts = tokio::select! {
            () = load(&cluster) => panic!("it never ends"),
            alerts = look => alerts,
        };
        assert!(!alerts.contains(r#""pipeline":"works""#), "{alerts}");
        let firing = query(r#"ALERTS{alertname="KonductorNoLeader", alertstate="firing"}"#);
        assert_eq!(
            value(&prometheus.get(&firing).await.expect("an answer")),
            None
        );
        operators.clear();
        let is_firing = |answer: &str| value(answer).is_some();
        prometheus.until(&firing, is_firing).await;
    });
}

/// Runs pipelines one after another, of which one kind fails.
async fn load(cluster: &Cluster) {
    let namespace = cluster.namespace("load").await;
    let _kubelet = play(&cluster.client, &namespace, |pod| {
        match stage(pod).as_str() {
            "b" => Script::fail(),
            _ => Script::succeed().lasting(Duration::from_millis(300)),
        }
    });
    for number in 0.. {
        for pipeline in ["works", "fails"] {
            let mut text = PIPELINE.replace("pipeline observed", &format!("pipeline {pipeline}"));
            if pipeline == "fails" {
                text = text.replace("  may-fail = true", "");
            }
            let file = cluster.folder().join(format!("{pipeline}.kon"));
            std::fs::write(&file, text).expect("a file");
            let run = format!("{pipeline}-{number}");
            let applied = tokio::process::Command::new(koncli())
                .args(["apply", "--namespace", &namespace, "--run", &run])
                .arg("--kubeconfig")
                .arg(&cluster.kubeconfig)
                .arg(&file)
                .output()
                .await
                .expect("koncli starts");
            assert!(applied.status.success(), "{applied:?}");
            until_ended(cluster, &namespace, &run).await;
        }
    }
}

/// Waits until the query of each panel has a number.
async fn every_panel_has_data(prometheus: &Server) {
    let panels = panels();
    assert!(panels.len() >= 25, "{}", panels.len());
    for (title, expression) in panels {
        let expression = expression
            .replace("$__rate_interval", "20s")
            .replace("$namespace", ".*");
        assert!(!expression.contains('$'), "{expression}");
        let begun = Instant::now();
        let path = query(&expression);
        loop {
            let answer = prometheus.get(&path).await.unwrap_or_default();
            if value(&answer).is_some_and(|value| !value.is_nan()) {
                break;
            }
            let waited = begun.elapsed();
            assert!(
                waited < Duration::from_secs(60),
                "{title}: {expression}: {answer}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The path of an instant query.
fn query(expression: &str) -> String {
    let escaped: String = expression
        .bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect();
    format!("/api/v1/query?query={escaped}")
}

/// The first number of an answer that has one, NaN only if there is no other.
fn value(answer: &str) -> Option<f64> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    assert_eq!(answer["status"], "success", "{answer}");
    let results = answer["data"]["result"].as_array()?;
    let values = results
        .iter()
        .filter_map(|series| series["value"][1].as_str()?.parse::<f64>().ok());
    values.reduce(|first, next| if first.is_nan() { next } else { first })
}
