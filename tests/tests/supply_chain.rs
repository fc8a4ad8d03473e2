//! What a release is made with: everything that is fetched is named by what it is, not by a word that may move.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// The words after `uses:` in a workflow.
fn actions(workflow: &str) -> Vec<&str> {
    let lines = workflow
        .lines()
        .map(|line| line.trim_start().trim_start_matches("- "));
    lines
        .filter_map(|line| line.strip_prefix("uses: "))
        .collect()
}

/// An action by its commit, with the version in a comment.
fn is_pinned(action: &str) -> bool {
    let Some((name, version)) = action.split_once(" # v") else {
        return false;
    };
    let commit = name.split_once('@').map(|(_, commit)| commit);
    commit.is_some_and(|commit| is_hex(commit, 40)) && !version.is_empty()
}

/// A base image by its digest, or none.
fn is_fixed(base: &str) -> bool {
    let image = base.split(' ').next().unwrap_or_default();
    let digest = image.split_once("@sha256:").map(|(_, digest)| digest);
    image == "scratch" || digest.is_some_and(|digest| is_hex(digest, 64))
}

#[test]
fn what_a_release_is_built_with_is_pinned() {
    let workflows = std::fs::read_dir(root().join(".github/workflows")).expect("workflows");
    let mut count = 0;
    for workflow in workflows {
        let path = workflow.expect("a file").path();
        let text = read(&path);
        assert!(
            text.contains("\npermissions: {}\n"),
            "{}: rights by default",
            path.display()
        );
        for action in actions(&text) {
            assert!(is_pinned(action), "{}: {action}", path.display());
            count += 1;
        }
    }
    assert!(count > 5, "{count} actions");
    let dockerfile = read(&root().join("image/Dockerfile"));
    let bases: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("FROM "))
        .collect();
    assert_eq!(
        bases.iter().filter(|base| !is_fixed(base)).count(),
        0,
        "{bases:?}"
    );
    assert_eq!(bases.len(), 2);
    let locked = read(&root().join("Cargo.lock"));
    let sources = locked
        .lines()
        .filter_map(|line| line.strip_prefix("source = "));
    let others: Vec<&str> = sources
        .filter(|source| *source != "\"registry+https://github.com/rust-lang/crates.io-index\"")
        .collect();
    assert_eq!(others, [""; 0], "crates from elsewhere");
}

#[test]
fn a_word_that_may_move_is_no_pin() {
    for action in [
        "actions/checkout@v4",
        "actions/checkout@main # v4",
        "actions/checkout",
    ] {
        assert!(!is_pinned(action), "{action}");
    }
    for base in ["rust:1.95", "rust:1.95@sha256:12", "debian AS build"] {
        assert!(!is_fixed(base), "{base}");
    }
}
