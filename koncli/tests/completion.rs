//! Completion, in a real shell, and the name by which kubectl finds koncli.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use support::{Dev, koncli};

/// What bash offers after these words, with koncli's own script.
fn offered(dev: &Dev, words: &[&str]) -> Vec<String> {
    let program = env!("CARGO_BIN_EXE_koncli");
    let script = format!(
        "source <(\"{program}\" completion bash)\n\
         COMP_WORDS=(\"{program}\" \"$@\"); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))\n\
         _koncli\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash")
        .args(["-euc", &script, "bash"])
        .args(words)
        .env("KUBECONFIG", &dev.kubeconfig)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(str::to_owned)
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn bash_is_offered_what_is_in_the_cluster_now() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = folder.path().join("pipeline.kon");
    let text = "pipeline night {\n  stage extract { image = \"busybox:1.36\" exec = [\"true\"] }\n  \
                stage load after extract { image = \"busybox:1.36\" exec = [\"true\"] }\n}\n";
    std::fs::write(&file, text).unwrap();
    dev.printed(&["apply", &file.display().to_string(), "--wait"]);
    dev.printed(&["barrier", "create", "workers", "--expected", "2"]);
    dev.printed(&["barrier", "create", "writers", "--expected", "2"]);
    let table: [(&[&str], &[&str]); 9] = [
        (&["status", ""], &["night"]),
        (&["why", "night", ""], &["extract", "load"]),
        (&["retry", "night", "--from", "l"], &["load"]),
        (&["barrier", "wait", "wor"], &["workers"]),
        (&["barrier", "delete", ""], &["workers", "writers"]),
        (&["-n", "kube-system", "barrier", "wait", ""], &[]),
        (&["wait", "barrier/wr"], &["barrier/writers"]),
        (&["stat"], &["status"]),
        (&["logs", "night", "--ti"], &["--timestamps"]),
    ];
    for (words, expected) in table {
        let begun = Instant::now();
        // It gives up after two seconds, so as not to keep a shell waiting.
        loop {
            let now = offered(&dev, words);
            if now == expected {
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{words:?}: {now:?}"
            );
        }
    }
    // Without a cluster there are no names, and no error in anybody's command line.
    let gone = koncli()
        .args(["__complete", "--", "--kubeconfig", "gone", "status", ""])
        .output()
        .unwrap();
    assert_eq!(support::transcript(&gone), "exit code 0\n");
}

#[test]
fn kubectl_finds_koncli_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("kubectl-konductor");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_koncli"), &link).unwrap();
    let help = Command::new(&link)
        .args(["status", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(
        help.contains("\nUsage: kubectl konductor status [OPTIONS]"),
        "{help}"
    );
    let version = Command::new(&link).arg("version").output().unwrap();
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        concat!("koncli ", env!("CARGO_PKG_VERSION"), "\n")
    );
    // And asks it what could come next.
    let completer = folder.path().join("kubectl_complete-konductor");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_koncli"), &completer).unwrap();
    let offered = Command::new(&completer).arg("sem").output().unwrap();
    assert_eq!(
        support::transcript(&offered),
        "semaphore\tManage semaphores: at most n at once\nexit code 0\n"
    );
}
