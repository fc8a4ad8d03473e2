//! `tests/benches/publish.py` makes the tables of `docs/benchmarks.md` from lines of JSON: here, from an example.

#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

#[path = "../bless.rs"]
mod bless;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches")
}

/// What the script prints for a file of lines; `None` without Python.
fn tables(lines: &Path) -> Option<Output> {
    let mut python = Command::new("python3");
    let command = python.arg(folder().join("publish.py")).arg("--tables");
    let output = command.arg(lines).output();
    if output.is_err() {
        println!("skipped: python3 is not installed");
    }
    output.ok()
}

#[test]
fn the_tables_of_the_benchmarks_show_each_row_and_whether_its_target_is_held() {
    let Some(output) = tables(&folder().join("example.jsonl")) else {
        return;
    };
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    let text = String::from_utf8(output.stdout).expect("text");
    bless::compare(&folder().join("example.md"), &text);
}

#[test]
fn figures_of_a_smaller_scale_are_not_published() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = folder.path().join("lines.jsonl");
    let example = std::fs::read_to_string(self::folder().join("example.jsonl")).expect("lines");
    std::fs::write(&lines, example.replace("\"scale\": 1.0", "\"scale\": 0.01")).expect("a file");
    let Some(output) = tables(&lines) else {
        return;
    };
    let printed = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(
        printed
            .contains("P1 is of the scale 0.01, which is for trying only; measure without --scale"),
        "{printed}"
    );
}
