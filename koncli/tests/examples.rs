//! Every example that runs alone does so, and ends as its README says.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::process::Output;

use support::{copy_of, examples, koncli, transcript};

/// Runs an example in a folder of its own; returns what it printed and a file that it left.
fn run(example: &str, set: &[&str], file: &str) -> (Output, String) {
    let folder = copy_of(example);
    let mut command = koncli();
    command.arg("run").arg(folder.path().join("pipeline.kon"));
    for parameter in set {
        command.args(["--set", parameter]);
    }
    let output = command.output().unwrap();
    let left = std::fs::read_to_string(folder.path().join(file)).unwrap_or_default();
    (output, left)
}

#[test]
fn every_example_ends_with_the_exit_code_of_its_readme() {
    let table: &[(&str, &[&str], i32)] = &[
        ("01-hello", &[], 0),
        ("02-sales", &[], 0),
        ("03-nightly-etl", &[], 0),
        ("03-nightly-etl", &["errors-max=10"], 1),
        ("03-nightly-etl", &["day=2026-03-15"], 1),
        ("04-map-reduce", &[], 0),
        ("05-migration", &[], 0),
        ("06-deployment", &[], 0),
        ("06-deployment", &["version=1.5.0-broken"], 1),
        ("07-matrix", &[], 0),
        ("08-schedule", &[], 0),
        ("10-failures", &[], 0),
        ("10-failures", &["up=first"], 0),
        ("10-failures", &["up=none"], 1),
        ("10-failures", &["strict=true"], 0),
        ("11-library", &[], 0),
        ("11-library", &["letters=a,g,x"], 0),
        ("13-gathered", &[], 0),
        ("14-files", &[], 0),
        ("15-listing", &[], 0),
        ("15-listing", &["sentence=a a a"], 0),
        ("16-samples", &[], 0),
        ("17-training", &[], 0),
        ("17-training", &["noise=50"], 0),
        ("18-release", &[], 0),
        ("18-release", &["systems=linux"], 0),
        ("19-requests", &[], 0),
        ("19-requests", &["days=0"], 0),
    ];
    for (example, set, code) in table {
        let (output, _) = run(example, set, "");
        assert_eq!(
            output.status.code(),
            Some(*code),
            "{example} {set:?}:\n{}",
            transcript(&output)
        );
    }
}

#[test]
fn the_words_are_counted_right_however_many_count_them() {
    let poem = std::fs::read_to_string(examples().join("04-map-reduce/raven.txt")).unwrap();
    let count = |word: &str| {
        let words = poem
            .split(|c: char| !c.is_ascii_alphabetic())
            .map(str::to_lowercase);
        words.filter(|other| other == word).count()
    };
    let (few, words) = run("04-map-reduce", &[], "out/words.txt");
    let (many, same) = run(
        "04-map-reduce",
        &["mappers=20", "reducers=5"],
        "out/words.txt",
    );
    assert_eq!((few.status.code(), many.status.code()), (Some(0), Some(0)));
    assert_eq!(words, same);
    for line in words.lines().take(3) {
        let mut fields: Vec<&str> = line.split_whitespace().collect();
        fields.sort_unstable();
        let [number, word] = fields.as_slice() else {
            panic!("{line}");
        };
        assert_eq!(number.parse(), Ok(count(word)), "{word}");
    }
}

#[test]
fn outputs_of_items_that_succeeded_are_gathered_in_their_order() {
    let (output, report) = run("13-gathered", &[], "out/report.txt");
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    assert_eq!(report, "shops: [30,30,30,30,30]\nregions: [90,60]\n");
    let open = ["closed=none", "regions=south,north-east"];
    let (output, report) = run("13-gathered", &open, "out/report.txt");
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    assert_eq!(report, "shops: [30,30,30,55,55,55]\nregions: [90,165]\n");
    let (output, report) = run("13-gathered", &["shops=[]"], "out/report.txt");
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    assert_eq!(report, "shops: []\nregions: [0,0]\n");
}

#[test]
fn files_pass_from_stage_to_stage_and_are_gathered() {
    let (output, report) = run("14-files", &[], "out/report.txt");
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    assert_eq!(report, "100 numbers, 5050 in all\nparts: [33,34,33]\n");
    let many = ["parts=7", "numbers=5"];
    let (output, report) = run("14-files", &many, "out/report.txt");
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    assert_eq!(report, "5 numbers, 15 in all\nparts: [0,1,1,1,1,1,0]\n");
}

#[test]
fn a_list_that_is_found_at_run_time_is_gone_over() {
    let (output, report) = run("15-listing", &[], "out/report.txt");
    let printed = transcript(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert_eq!(report, "letters: [1,6,5,4,6,3,4,3], 32 in all\n");
    assert!(printed.contains("count[before]"), "{printed}");
    assert!(printed.contains("b: before has 6 letters"), "{printed}");
    // Without items there is nothing to report.
    let (output, report) = run("15-listing", &["sentence="], "out/report.txt");
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    assert_eq!(report, "");
}

#[test]
fn samples_of_a_table_become_items_with_their_names() {
    let (output, report) = run("16-samples", &[], "out/report.txt");
    let printed = transcript(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert_eq!(report, include_str!("examples/16-samples.txt"));
    assert!(printed.contains("measure[brain-2]"), "{printed}");
}

#[test]
fn a_model_is_published_only_above_the_threshold() {
    let (output, card) = run("17-training", &[], "out/model/card.txt");
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    assert_eq!(card, "trained for 20 epochs in training\naccuracy 0.960\n");
    let (output, card) = run("17-training", &["noise=50"], "out/model/card.txt");
    let printed = transcript(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(
        printed.contains("not published: accuracy 0.490 is below 0.9"),
        "{printed}"
    );
    assert_eq!(card, "");
}

#[test]
fn programs_of_a_matrix_become_one_release_and_stay_executable() {
    let (output, index) = run("18-release", &[], "out/1.4.0/index.txt");
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    let expected = "hello-1.4.0-linux-amd64: 40 bytes\n\
                    hello-1.4.0-linux-arm64: 40 bytes\n\
                    hello-1.4.0-macos-amd64: 40 bytes\n\
                    hello-1.4.0-macos-arm64: 40 bytes\n\
                    hello-1.4.0-windows-amd64: 42 bytes\n";
    assert_eq!(index, expected);
}

#[test]
fn the_files_of_a_folder_that_is_listed_at_run_time_are_counted() {
    let (output, table) = run("19-requests", &[], "out/table.txt");
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    let expected = "335 2 /search\n305 4 /\n297 6 /login\n283 2 /about\n280 1 /cart\n\
                    of [300,300,300,300,300] requests\n";
    assert_eq!(table, expected);
    let (output, table) = run("19-requests", &["days=0"], "out/table.txt");
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    assert_eq!(table, "");
}

#[test]
fn every_example_is_checked_without_a_word_and_laid_out_as_fmt_does() {
    let mut files = Vec::new();
    for folder in std::fs::read_dir(examples()).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|extension| extension == "kon") {
                files.push(file);
            }
        }
    }
    assert!(files.len() >= 12, "{files:?}");
    let checked = koncli().arg("check").args(&files).output().unwrap();
    assert_eq!(transcript(&checked), "exit code 0\n");
    let formatted = koncli()
        .args(["fmt", "--check"])
        .args(&files)
        .output()
        .unwrap();
    assert_eq!(transcript(&formatted), "exit code 0\n");
}

#[test]
fn fmt_formats_and_check_only_reports() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.kon");
    let untidy = "pipeline a {\n      stage b { image=\"x\", run=\"true\" } # why\n}\n";
    std::fs::write(&file, untidy).unwrap();
    let printed = koncli()
        .args(["fmt", "--check"])
        .arg(&file)
        .output()
        .unwrap();
    let shown = file.display();
    assert_eq!(
        transcript(&printed),
        format!(
            "{shown}\nerror: 1 file is laid out differently\n  \
             help: `koncli fmt` without --check lays them out\nexit code 1\n"
        )
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), untidy);
    let done = koncli().arg("fmt").arg(&file).output().unwrap();
    assert_eq!(
        transcript(&done),
        format!("formatted {shown}\nexit code 0\n")
    );
    let tidy = "pipeline a {\n  stage b { image = \"x\", run = \"true\" }  # why\n}\n";
    assert_eq!(std::fs::read_to_string(&file).unwrap(), tidy);
    let again = koncli().arg("fmt").arg(&file).output().unwrap();
    assert_eq!(transcript(&again), "exit code 0\n");
}

#[test]
fn a_graph_is_drawn_as_text_mermaid_and_dot() {
    let file = examples().join("01-hello/pipeline.kon");
    let drawn = |drawing: &str| {
        let output = koncli()
            .arg("graph")
            .arg(&file)
            .args(["--as", drawing])
            .output()
            .unwrap();
        transcript(&output)
    };
    assert_eq!(
        drawn("text"),
        "STAGE  AFTER  HOLDING\ngreet\ncount  greet\nexit code 0\n"
    );
    assert_eq!(
        drawn("mermaid"),
        "flowchart LR\n  n0[\"greet\"]\n  n1[\"count\"]\n  n0 --> n1\nexit code 0\n"
    );
    assert_eq!(
        drawn("dot"),
        "digraph \"hello\" {\n  rankdir=LR;\n  n0 [label=\"greet\", shape=box];\n  \
         n1 [label=\"count\", shape=box];\n  n0 -> n1;\n}\nexit code 0\n"
    );
}

#[test]
fn manifests_are_refused_where_an_api_server_or_the_operator_would() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"apiVersion: konductor.io/v1
kind: Gate
metadata: {name: ready, namespace: prod}
spec:
  conditions:
    - {type: Jub, name: extract, state: Complete}
  timeout: 2 hours
  tmeout: 2h
---
apiVersion: batch/v1
kind: Job
metadata:
  name: process
  annotations:
    konductor.io/gate: ready
    konductor.io/hold: lease/x, batch
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: busybox}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
"#;
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    let output = koncli()
        .args(["check", "all.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(
        transcript(&output),
        r#"Deployment/web is not checked: konductor has nothing to do with it
error[K0508]

  × Gate/ready: spec.conditions[0].type: Unsupported value: "Jub": supported values: "Job",
  │ "Barrier", "Gate", "Run"
   ╭─[all.yaml:6:14]
 5 │   conditions:
 6 │     - {type: Jub, name: extract, state: Complete}
   ·              ───
 7 │   timeout: 2 hours
   ╰────

error[K0508]

  × Gate/ready: spec.timeout: Invalid value: "2 hours": spec.timeout in body should match '^([0-
  │ 9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$'
   ╭─[all.yaml:7:12]
 6 │     - {type: Jub, name: extract, state: Complete}
 7 │   timeout: 2 hours
   ·            ───────
 8 │   tmeout: 2h
   ╰────

error[K0507]

  × Gate/ready has a field that its kind does not have: spec.tmeout
   ╭─[all.yaml:8:3]
 7 │   timeout: 2 hours
 8 │   tmeout: 2h
   ·   ──────
 9 │ ---
   ╰────
  help: correct its name, or remove it

error[K0508]

  × Job/process would start at once and wait for nothing
    ╭─[all.yaml:15:5]
 14 │   annotations:
 15 │     konductor.io/gate: ready
    ·     ─────────────────
 16 │     konductor.io/hold: lease/x, batch
    ╰────
  help: write `suspend: true` into the Job's spec: the operator starts it

error[K0508]

  × Job/process: konductor.io/hold: "batch" is not a hold: write semaphore/NAME, semaphore/
  │ NAME=PERMITS or lease/NAME
    ╭─[all.yaml:16:24]
 15 │     konductor.io/gate: ready
 16 │     konductor.io/hold: lease/x, batch
    ·                        ──────────────
 17 │ spec:
    ╰────

5 errors
exit code 2
"#
    );
    std::fs::write(folder.path().join("all.yaml"), "a: [1\nb: }\n").unwrap();
    let output = koncli()
        .args(["check", "all.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(
        transcript(&output),
        r#"error[K0506]

  × this is not YAML: illegal placement of ':' indicator
   ╭─[all.yaml:2:2]
 1 │ a: [1
 2 │ b: }
   ·  ─
   ╰────
  help: check the indentation, and put texts with `: ` or `#` in quotes

1 error
exit code 2
"#
    );
}

#[test]
fn the_example_of_every_kind_is_a_manifest_that_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let kinds = [
        "barrier",
        "gate",
        "semaphore",
        "lease",
        "claim",
        "arrival",
        "run",
        "job",
    ];
    for kind in kinds {
        let page = koncli().args(["explain", kind]).output().unwrap();
        let page = String::from_utf8(page.stdout).unwrap();
        let (_, example) = page.split_once("```yaml\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let file = folder.path().join("example.yaml");
        std::fs::write(&file, example).unwrap();
        let checked = koncli().arg("check").arg(&file).output().unwrap();
        assert_eq!(transcript(&checked), "exit code 0\n", "{kind}");
    }
    let near = koncli().args(["explain", "barier"]).output().unwrap();
    assert_eq!(
        transcript(&near),
        "error: barier is neither a code of a diagnostic nor a kind\n  help: did you mean \
         barrier?\nexit code 2\n"
    );
}

#[test]
fn what_install_would_install_are_manifests_in_the_namespace_that_was_asked_for() {
    let output = koncli()
        .args(["install", "--dry-run", "-n", "team", "-o", "name"])
        .output()
        .unwrap();
    let transcript = transcript(&output);
    let names: Vec<&str> = transcript.lines().collect();
    let (namespace, rest) = names.split_first().unwrap();
    assert_eq!(*namespace, "namespace/team");
    let (end, rest) = rest.split_last().unwrap();
    assert_eq!(*end, "exit code 0");

    // The CRDs come before whatever needs them, and everything the chart renders follows.
    let crds = rest
        .iter()
        .take_while(|name| name.starts_with("customresourcedefinition/"))
        .count();
    assert_eq!(crds, 7, "{transcript}");
    let rendered: Vec<String> = documents(include_str!("../install.yaml"))
        .into_iter()
        .filter(|name| !name.starts_with("namespace/"))
        .collect();
    assert!(rendered.contains(&"deployment/konductor".to_owned()));
    assert_eq!(rest[crds..], rendered);
}

/// `kind/name` of each document of a file that Helm rendered.
fn documents(rendered: &str) -> Vec<String> {
    rendered
        .split("\n---\n")
        .filter_map(|document| {
            let kind = document
                .lines()
                .find_map(|line| line.strip_prefix("kind: "))?;
            let name = document
                .lines()
                .find_map(|line| line.strip_prefix("  name: "))?
                .trim_matches('"');
            Some(format!("{}/{name}", kind.to_lowercase()))
        })
        .collect()
}
