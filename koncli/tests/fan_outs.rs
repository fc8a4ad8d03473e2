//! A fan-out becomes an Indexed Job, or Jobs with a Barrier over them. How it ends is the same.
#![expect(
    clippy::disallowed_methods,
    reason = "all objects of this cluster are the test's own"
)]
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use support::{Dev, koncli, transcript};

/// How a run ended, and what its steps wrote, sorted.
#[derive(Debug, PartialEq)]
struct Ending {
    exit_code: Option<i32>,
    lines: Vec<String>,
}

/// Four items, and a stage for each way in which they can end together.
fn pipeline(over: &str, settings: &str, script: &str) -> String {
    format!(
        r#"pipeline fan {{
  defaults {{ image = "busybox:1.36" }}
  stage items for i in {over} {{
    {settings}
    run = """
      {script}
      echo "item ${{i}}" >> lines
    """
  }}
  stage well after items {{ run = "echo well >> lines", may-fail = true }}
  stage badly after items.failed {{ run = "echo badly >> lines" }}
  stage anyhow after items.finished {{ run = "echo anyhow >> lines" }}
}}
"#
    )
}

fn written(folder: &Path, text: &str) -> String {
    let file = folder.join("pipeline.kon");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// What the fan-out becomes: kinds and names.
fn shape(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), text);
    let output = koncli()
        .args(["compile", "-o", "name", &file])
        .output()
        .unwrap();
    let printed = transcript(&output);
    let of_items = printed.lines().filter(|line| line.contains("/fan-items"));
    of_items.map(str::to_owned).collect()
}

fn ending(text: &str) -> Ending {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), text);
    let output = koncli()
        .args(["run", &file])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let lines = std::fs::read_to_string(folder.path().join("lines")).unwrap_or_default();
    let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    lines.sort();
    Ending {
        exit_code: output.status.code(),
        lines,
    }
}

#[test]
fn a_fan_out_over_nothing_is_skipped_whatever_of_it_depends_on_the_item() {
    let ended = ending(
        r#"pipeline fan {
  defaults { image = "busybox:1.36" }
  param nothing: list<string> = []
  stage images for v in nothing { image = "busybox:${v}", run = "true" }
  stage nodes for v in nothing {
    run = "true"
    node { selector { slot = "${v}" }, tolerations = [{ key = "${v}", operator = "Equal", value = "x" }] }
    pod "hostname: ${v}"
  }
  stage last after images.skipped, nodes.skipped { run = "echo last >> lines" }
}
"#,
    );
    let expected = Ending {
        exit_code: Some(0),
        lines: vec!["last".to_owned()],
    };
    assert_eq!(ended, expected);
}

#[test]
fn an_indexed_job_and_jobs_with_a_barrier_end_alike() {
    let indexed = "0..<4";
    let single = "[0, 1, 2, 3]";
    let items = ["item 0", "item 1", "item 2", "item 3"];
    let fails = "if [ \"${i}\" -eq 2 ]; then exit 1; fi";
    let fails_once = "if [ \"${i}\" -eq 2 ] && ! [ -e tried ]; then touch tried; exit 1; fi";
    let but_one = ["item 0", "item 1", "item 3"];
    type Case<'a> = (&'a str, &'a str, &'a str, i32, &'a [&'a str], &'a [&'a str]);
    let table: [Case<'_>; 4] = [
        ("all succeed", "", "true", 0, &["anyhow", "well"], &items),
        ("one fails", "", fails, 1, &["anyhow", "badly"], &but_one),
        (
            "one may fail",
            "may-fail = true",
            fails,
            0,
            &["anyhow", "badly"],
            &but_one,
        ),
        (
            "one succeeds at its second attempt",
            "retries = 1",
            fails_once,
            0,
            &["anyhow", "well"],
            &items,
        ),
    ];
    for (name, settings, script, exit_code, stages, items) in table {
        let (one_job, many_jobs) = (
            pipeline(indexed, settings, script),
            pipeline(single, settings, script),
        );
        assert_eq!(shape(&one_job), ["job/fan-items"], "{name}");
        assert_eq!(
            shape(&many_jobs),
            [
                "barrier/fan-items",
                "job/fan-items-0",
                "job/fan-items-1",
                "job/fan-items-2",
                "job/fan-items-3"
            ],
            "{name}"
        );
        let mut lines: Vec<String> = stages
            .iter()
            .chain(items)
            .map(|s| (*s).to_owned())
            .collect();
        lines.sort();
        let expected = Ending {
            exit_code: Some(exit_code),
            lines,
        };
        assert_eq!(ending(&one_job), expected, "{name}: indexed");
        assert_eq!(ending(&many_jobs), expected, "{name}: a Job for each item");
    }
}

/// A Job for each item, and one Indexed Job; the items in source order.
fn fifteen_items() -> [(String, Vec<String>); 2] {
    let words: Vec<String> = (0..15).rev().map(|number| format!("i{number}")).collect();
    let numbers = (0..15).map(|number| number.to_string()).collect();
    [
        (format!("{words:?}"), words),
        ("0..<15".to_owned(), numbers),
    ]
}

/// The items, as their scripts wrote them.
fn written_items(folder: &Path) -> Vec<String> {
    let lines = std::fs::read_to_string(folder.join("lines")).unwrap_or_default();
    let items = lines.lines().filter_map(|line| line.strip_prefix("item "));
    items.map(str::to_owned).collect()
}

/// Whether the node has said so.
fn waits_for_a_place(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let mut conditions = status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
}

#[test]
fn items_start_in_source_order() {
    for (over, expected) in fifteen_items() {
        let folder = tempfile::tempdir().unwrap();
        let file = written(folder.path(), &pipeline(&over, "", "true"));
        let output = koncli()
            .args(["run", "--jobs", "1", &file])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let printed = transcript(&output);
        assert_eq!(written_items(folder.path()), expected, "{over}: {printed}");
    }
}

#[tokio::test]
async fn items_that_wait_for_a_place_in_a_cluster_start_in_source_order() {
    for (over, expected) in fifteen_items() {
        let folder = tempfile::tempdir().unwrap();
        let dev = Dev::start_with(folder.path(), &["--jobs", "1"], &[]);
        let apply = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            let printed = dev.printed(&["apply", file.to_str().unwrap()]);
            assert!(printed.ends_with("exit code 0\n"), "{printed}");
        };
        // The only place is taken until all items wait for it.
        apply("first.kon", FIRST);
        let held = folder.path().join("held");
        until("the place is taken", async || held.exists()).await;
        apply("fan.kon", &pipeline(&over, "", "true"));
        let pods: Api<Pod> = Api::default_namespaced(dev.client().await);
        until("all items wait", async || {
            let all = pods.list(&ListParams::default()).await.unwrap();
            all.iter().filter(|pod| waits_for_a_place(pod)).count() == 15
        })
        .await;
        std::fs::write(folder.path().join("go"), "").unwrap();
        let ended = dev.printed(&["wait", "run/fan"]);
        assert_eq!(ended, "exit code 0\n");
        assert_eq!(written_items(folder.path()), expected, "{over}");
    }
}

/// A stage that ends when it may.
const FIRST: &str = r#"pipeline first {
  stage first {
    image = "busybox:1.36"
    run = "touch held; until [ -e go ]; do sleep 0.05; done"
  }
}
"#;

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::task::yield_now().await;
    }
}
