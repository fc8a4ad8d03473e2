//! The example with everything in it, run line by line: `compiler/tests/fixtures/ok_nightly.kon`, with
//! small programs in place of what it calls.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use support::{Dev, koncli, path_with, transcript};

/// What the pipeline calls. Each writes what it was called with into `calls`.
const PROGRAMS: [(&str, &str); 6] = [
    ("migrate", "echo \"migrate $*\" >> calls"),
    (
        "extract",
        // Two rows of eu, one of us, and none of ap.
        "echo \"extract $1 $2 $3 $4 $DB_URL\" >> calls\n\
         case $4 in eu) printf 'a\\nb\\n' ;; us) echo c ;; *) ;; esac > \"$6\"",
    ),
    (
        "clean",
        "echo \"clean $(wc -l < \"$2\") of ${2##*/}\" >> calls",
    ),
    ("load", "echo \"load $*\" >> calls"),
    ("python", "echo \"python $*\" >> calls"),
    ("page", "echo \"page $*\" >> calls"),
];

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiler/tests/fixtures")
}

/// Writes the programs, the pipeline, what it imports, and the pipeline that it waits for.
fn furnish(folder: &Path) {
    for subfolder in ["bin", "lib"] {
        std::fs::create_dir(folder.join(subfolder)).unwrap();
    }
    for (name, script) in PROGRAMS {
        let program = folder.join("bin").join(name);
        std::fs::write(&program, format!("#!/bin/sh\nset -eu\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (from, to) in [
        ("ok_nightly.kon", "nightly.kon"),
        ("lib/python.kon", "lib/python.kon"),
    ] {
        std::fs::copy(fixtures().join(from), folder.join(to)).unwrap();
    }
    let rates = "pipeline currency-rates {\n  stage fetch { image = \"busybox:1.36\", run = \"true\" }\n}\n";
    std::fs::write(folder.join("rates.kon"), rates).unwrap();
}

/// The calls of each program, in the order in which programs were first called; those of one program
/// sorted.
fn calls(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("calls")).unwrap_or_default();
    let mut programs: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        let program = line.split(' ').next().unwrap();
        match programs.iter_mut().find(|(name, _)| *name == program) {
            Some((_, lines)) => lines.push(line),
            None => programs.push((program, vec![line])),
        }
    }
    let printed = |line: &str| match line.split_once(" --fence ") {
        // What a first token is, is the API server's affair.
        Some((call, token)) if token.parse::<u64>().is_ok() => format!("{call} --fence TOKEN"),
        _ => line.to_owned(),
    };
    let sorted = programs.into_iter().flat_map(|(_, mut lines)| {
        lines.sort_unstable();
        lines
    });
    sorted.map(printed).collect()
}

async fn create_secret(dev: &Dev) {
    let mut secret = Secret {
        data: Some(BTreeMap::from([(
            "url".to_owned(),
            ByteString(b"db://sales".to_vec()),
        )])),
        ..Secret::default()
    };
    secret.metadata.name = Some("warehouse".to_owned());
    let secrets: Api<Secret> = Api::default_namespaced(dev.client().await);
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
}

#[tokio::test]
async fn every_line_of_the_large_example_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    furnish(folder.path());
    let path = path_with(&folder.path().join("bin"));
    let dev = Dev::start_with(folder.path(), &[], &[("PATH", &path)]);
    create_secret(&dev).await;
    let file = |name: &str| folder.path().join(name).display().to_string();
    let succeed = |arguments: &[&str]| {
        let printed = dev.printed(arguments);
        assert!(
            printed.ends_with("exit code 0\n"),
            "{arguments:?}: {printed}"
        );
    };
    succeed(&["apply", &file("rates.kon"), "--wait"]);
    succeed(&[
        "apply",
        &file("nightly.kon"),
        "--run",
        "nightly-etl",
        "--set",
        "target=prod",
        "--set",
        "shards=3",
        "--set",
        "day=2026-01-31",
    ]);
    // The approval counts from when everything is loaded: two people, and then it is published.
    succeed(&["wait", "barrier/nightly-etl-load", "--timeout", "10m"]);
    for person in ["ada", "grace"] {
        let output = koncli()
            .args(["approve", "nightly-etl-sign-off"])
            .env("KUBECONFIG", &dev.kubeconfig)
            .env("USER", person)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    }
    succeed(&["wait", "run/nightly-etl", "--timeout", "10m"]);
    assert_eq!(
        calls(folder.path()),
        [
            "migrate --to head --fence TOKEN",
            "extract --day 2026-01-31 --region ap db://sales",
            "extract --day 2026-01-31 --region eu db://sales",
            "extract --day 2026-01-31 --region us db://sales",
            // Nothing of ap, as it has no rows.
            "clean 1 of us",
            "clean 2 of eu",
            "load --shard 0 --of 3",
            "load --shard 1 --of 3",
            "load --shard 2 --of 3",
            "python -m publish",
        ]
    );
    let skipped = |job: &str| {
        let printed = dev.printed(&[
            "wait",
            &format!("job/{job}"),
            "--for",
            "Skipped",
            "--timeout",
            "0",
        ]);
        assert_eq!(printed, "exit code 0\n", "{job}");
    };
    skipped("nightly-etl-clean-ap");
    skipped("nightly-etl-page");
}
