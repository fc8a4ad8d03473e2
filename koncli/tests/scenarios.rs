//! `examples/12-scenarios`: the same four things as manifests whose pods call koncli, and as pipelines.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use support::{Dev, copy_of, koncli, path_with, transcript};

/// A cluster whose steps begin in a folder of their own, and find `koncli` as in an image.
struct Stage {
    folder: tempfile::TempDir,
    dev: Dev,
}

impl Stage {
    fn set() -> Self {
        let folder = copy_of("12-scenarios");
        let program = Path::new(env!("CARGO_BIN_EXE_koncli"));
        let path = path_with(program.parent().unwrap());
        // As many pods at once as the largest scenario has, as pods that wait take up room.
        let dev = Dev::start_with(folder.path(), &["--jobs", "100"], &[("PATH", &path)]);
        Self { folder, dev }
    }

    /// Creates what a file has, in its order.
    async fn create(&self, file: &str) {
        let client = self.dev.client().await;
        let text = std::fs::read_to_string(self.folder.path().join(file)).unwrap();
        let objects: Vec<DynamicObject> = serde_saphyr::from_multiple(&text).unwrap();
        for object in objects {
            let types = object.types.as_ref().unwrap();
            let kind = GroupVersionKind::try_from(types).unwrap();
            let api: Api<DynamicObject> =
                Api::default_namespaced_with(client.clone(), &ApiResource::from_gvk(&kind));
            api.create(&PostParams::default(), &object).await.unwrap();
        }
    }

    /// Waits until a Job has ended well.
    fn completed(&self, job: &str) {
        let printed = self
            .dev
            .printed(&["wait", &format!("job/{job}"), "--timeout", "10m"]);
        assert!(printed.ends_with("exit code 0\n"), "{job}: {printed}");
    }

    fn lines(&self, log: &str) -> Vec<String> {
        lines(self.folder.path(), log)
    }
}

fn lines(folder: &Path, log: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("out").join(log)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Runs a pipeline of the scenarios with no cluster; returns the lines of what it wrote.
fn run(pipeline: &str, log: &str) -> Vec<String> {
    let folder = copy_of("12-scenarios");
    let file = folder.path().join(pipeline);
    let output = koncli().arg("run").arg(file).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    lines(folder.path(), log)
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// Ten extracts, and then five transforms.
fn assert_staged(lines: Vec<String>) {
    let all = |what: &str, count: usize| -> Vec<String> {
        sorted((0..count).map(|i| format!("{what} {i}")).collect())
    };
    assert_eq!(lines.len(), 15, "{lines:?}");
    let (first, then) = lines.split_at(10);
    assert_eq!(sorted(first.to_vec()), all("extract", 10));
    assert_eq!(sorted(then.to_vec()), all("transform", 5));
}

/// Each of so many begins and ends, and never more than `most` at once.
fn assert_limited(lines: Vec<String>, count: usize, most: usize) {
    let mut working = 0;
    let mut ended = BTreeMap::new();
    for line in &lines {
        let (what, index) = line.split_once(' ').unwrap();
        match what {
            "begin" => working += 1,
            _ => {
                working -= 1;
                *ended.entry(index.parse::<usize>().unwrap()).or_insert(0) += 1;
            }
        }
        assert!(working <= most, "{lines:?}");
    }
    assert_eq!(ended, (0..count).map(|index| (index, 1)).collect());
}

#[tokio::test]
async fn transforms_wait_for_every_extract() {
    let stage = Stage::set();
    stage.create("etl-stages.yaml").await;
    stage.completed("transform");
    assert_staged(stage.lines("etl.log"));
    assert_staged(run("etl-stages.kon", "etl.log"));
}

#[tokio::test]
async fn a_job_runs_after_the_two_that_it_depends_on() {
    let stage = Stage::set();
    stage.create("job-dependencies.yaml").await;
    stage.completed("processing-job");
    for mut lines in [
        stage.lines("jobs.log"),
        run("job-dependencies.kon", "jobs.log"),
    ] {
        assert_eq!(lines.pop().as_deref(), Some("processed"));
        assert_eq!(sorted(lines), ["cleaned", "validated"]);
    }
}

#[tokio::test]
async fn ten_of_a_hundred_work_at_once() {
    let stage = Stage::set();
    // A koncli for each of a hundred pods takes a small machine minutes; thirty wait as well.
    let file = stage.folder.path().join("batch-limit.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let fewer = text.replace("completions: 100", "completions: 30");
    let fewer = fewer.replace("parallelism: 100", "parallelism: 30");
    assert_ne!(fewer, text);
    std::fs::write(&file, fewer).unwrap();
    stage.create("batch-limit.yaml").await;
    stage.completed("batch");
    assert_limited(stage.lines("batch.log"), 30, 10);
    assert_limited(run("batch-limit.kon", "batch.log"), 100, 10);
}

#[tokio::test]
async fn a_report_is_left_out_while_another_runs() {
    let stage = Stage::set();
    let file = stage.folder.path().join("daily-report.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    // The first report ends when the second was left out, and its schedule adds none.
    let held = text.replace("sleep 2", "until [ -e released ]; do sleep 0.05; done");
    let held = held.replace("0 * * * *", "0 0 29 2 *");
    assert!(held.contains("released") && held.contains("29 2"), "{text}");
    std::fs::write(&file, held).unwrap();
    stage.create("daily-report.yaml").await;
    let client = stage.dev.client().await;
    // What the CronJob controller creates at its slots.
    let cron_jobs: Api<CronJob> = Api::default_namespaced(client.clone());
    let cron_job = cron_jobs.get("daily-report").await.unwrap();
    let template = cron_job.spec.job_template;
    let jobs: Api<Job> = Api::default_namespaced(client);
    let slot = async |name: &str| {
        let mut job = Job {
            spec: template.spec.clone(),
            ..Job::default()
        };
        job.metadata.name = Some(name.to_owned());
        jobs.create(&PostParams::default(), &job).await.unwrap();
    };
    slot("at-one").await;
    let begun = Instant::now();
    while stage.lines("report.log").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never began");
        tokio::task::yield_now().await;
    }
    slot("at-two").await;
    stage.completed("at-two");
    std::fs::write(stage.folder.path().join("released"), "").unwrap();
    stage.completed("at-one");
    // And when it is over, the next one has its turn.
    slot("at-three").await;
    stage.completed("at-three");
    let lines = stage.lines("report.log");
    let words = lines.iter().map(|line| {
        let (pod, what) = line.split_once(' ').unwrap();
        (pod.rsplit_once('-').unwrap().0, what)
    });
    assert_eq!(
        words.collect::<Vec<_>>(),
        [
            ("at-one", "begins"),
            ("at-one", "ends"),
            ("at-three", "begins"),
            ("at-three", "ends")
        ]
    );
}

#[test]
fn runs_of_one_pipeline_take_turns_at_its_lease() {
    let stage = Stage::set();
    let file = stage.folder.path().join("daily-report.kon");
    let file = file.to_str().unwrap();
    for run in ["first", "second"] {
        let printed = stage.dev.printed(&["apply", file, "--run", run]);
        assert!(printed.ends_with("exit code 0\n"), "{printed}");
    }
    for run in ["first", "second"] {
        let printed = stage
            .dev
            .printed(&["wait", &format!("run/{run}"), "--timeout", "10m"]);
        assert!(printed.ends_with("exit code 0\n"), "{printed}");
    }
    let lines = stage.lines("report.log");
    let turn = |run: &str| [format!("{run} begins"), format!("{run} ends")];
    let orders = [
        [turn("first"), turn("second")].concat(),
        [turn("second"), turn("first")].concat(),
    ];
    assert!(orders.contains(&lines), "{lines:?}");
}
