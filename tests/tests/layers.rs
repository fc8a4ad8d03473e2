//! Which crate uses which: the rooms of ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

/// What each crate may use, of ours and of the libraries that make a room what it is.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("konductor-grammar", &[]),
    ("tree-sitter-konductor", &["konductor-grammar"]),
    ("konductor-dsl", &["konductor-grammar"]),
    ("konductor-api", &[]),
    ("konductor-compiler", &["konductor-api", "konductor-dsl"]),
    ("konductor-core", &["konductor-api"]),
    ("konductor-operator", &["konductor-api", "konductor-core"]),
    ("konductor-step", &["konductor-api"]),
    ("konductor-local", &["konductor-api"]),
    ("konductor-lsp", &["konductor-compiler", "konductor-dsl"]),
    ("konductor-web", &["konductor-core"]),
    ("konductor", &["konductor-api"]),
    (
        "koncli",
        &[
            "konductor",
            "konductor-api",
            "konductor-compiler",
            "konductor-dsl",
            "konductor-local",
            "konductor-lsp",
            "konductor-operator",
            "konductor-step",
            "konductor-web",
        ],
    ),
    (
        "konductor-tests",
        &[
            "konductor",
            "konductor-api",
            "konductor-compiler",
            "konductor-core",
            "konductor-dsl",
            "konductor-local",
            "konductor-operator",
        ],
    ),
];

/// What a crate must not use although others do.
const FORBIDDEN: [(&str, &[&str]); 8] = [
    (
        "konductor-dsl",
        &["k8s-openapi", "kube", "petgraph", "tokio"],
    ),
    ("konductor-compiler", &["kube", "pest", "tokio"]),
    ("konductor-api", &["tokio"]),
    (
        "konductor-core",
        &["futures", "kube", "rand", "tokio", "uuid"],
    ),
    ("konductor-step", &["k8s-openapi", "kube"]),
    ("konductor-local", &["kube"]),
    ("konductor-lsp", &["kube", "pest", "tokio"]),
    ("konductor-web", &["k8s-openapi", "kube"]),
];

/// Where annotations are read as text outside of `konductor-api`'s `Participant`, with what they are of.
const DOORS: [(&str, &str); 13] = [
    ("koncli/src/apply.rs", "the hash of any object's content"),
    ("koncli/src/command/schedules.rs", "the slot of a Run"),
    ("koncli/src/command/slot.rs", "the slot of a Run"),
    ("koncli/src/command/status.rs", "the slot of a Run"),
    ("koncli/src/journal.rs", "the retry of a Run"),
    (
        "koncli/src/manifests.rs",
        "a manifest that may not be a Job",
    ),
    (
        "operator/core/src/gate/clause.rs",
        "the condition of a Gate as its author wrote it",
    ),
    (
        "operator/core/src/gate/judged.rs",
        "whom any object permits to wait for it",
    ),
    (
        "operator/core/src/ledger/queue.rs",
        "the place of a Claim or Job in its queue",
    ),
    ("operator/core/src/owner.rs", "the nonce of any object"),
    (
        "operator/core/src/pod.rs",
        "what a pod says that its Job holds",
    ),
    ("operator/core/src/slot.rs", "the slot of a Run"),
    (
        "operator/core/src/words.rs",
        "the items that a Barrier is about",
    ),
];

#[test]
fn what_a_job_says_about_itself_is_read_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = r"\b(?:parse_holds|parse_declared_outputs|job_phase)\(|\.(?:get|contains_key)\(\s*&?(?:annotation::|label::(?:ROLE|ITEM|MAY_FAIL|KUEUE_QUEUE)\b)";
    let read = Regex::new(read).expect("a pattern");
    let mut readers = BTreeSet::new();
    for room in ["koncli/src", "operator/core/src", "operator/src"] {
        for path in sources(&root.join(room)) {
            let text = fs::read_to_string(&path).expect("a source");
            let product = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            let inside = path.strip_prefix(&root).expect("it is inside");
            let name = inside.to_string_lossy().into_owned();
            if read.is_match(product) && !name.ends_with("tests.rs") {
                readers.insert(name);
            }
        }
    }
    // A door that is no longer used must go, too.
    let listed = DOORS.iter().map(|(name, _)| (*name).to_owned());
    assert_eq!(readers, listed.collect());
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            paths.extend(sources(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            paths.push(path);
        }
    }
    paths
}

#[test]
fn crates_use_only_what_their_room_allows() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name").to_owned();
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let normal = dependencies
            .iter()
            .filter(|dependency| dependency["kind"].is_null());
        let names =
            normal.map(|dependency| dependency["name"].as_str().expect("a name").to_owned());
        uses.insert(name, names.collect());
    }
    let ours: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        uses.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        ours,
        "the crates"
    );
    for (name, allowed) in ALLOWED {
        for used in uses[name]
            .iter()
            .filter(|used| ours.contains(used.as_str()))
        {
            assert!(
                allowed.contains(&used.as_str()),
                "{name} must not use {used}"
            );
        }
    }
    for (name, forbidden) in FORBIDDEN {
        for used in forbidden {
            assert!(!uses[name].contains(*used), "{name} must not use {used}");
        }
    }
}

/// Where the core adds by other means than `deadline::passes`, and why it may.
const EXACT_TIMES: [(&str, &str); 9] = [
    ("deadline.rs", "it is the one place"),
    (
        "job/item_outputs.rs",
        "when the outputs of items are saved early is no promise",
    ),
    ("job/resumed.rs", "a pause between two starts is no promise"),
    (
        "job/start.rs",
        "since when starts are refused is in memory, exactly",
    ),
    ("job/waiting.rs", "when a reason is said is no promise"),
    (
        "ledger/expiry.rs",
        "a renewal counts from when it was seen, exactly",
    ),
    ("ledger/grant.rs", "a token is no time"),
    ("ledger/waiting.rs", "when a reason is said is no promise"),
    ("run.rs", "a grace for those who create Jobs is no promise"),
];

/// Objects keep whole seconds: a limit that counts from one of them is up to a second early unless it is rounded up.
#[test]
fn time_limits_of_stored_times_are_computed_in_one_place() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../operator/core/src");
    let mut adding = BTreeSet::new();
    for path in sources(&core) {
        let text = fs::read_to_string(&path).expect("a source");
        // `timeout` is a duration, and so is the sum.
        if text
            .replace("timeout.checked_add(", "")
            .contains(".checked_add(")
        {
            let name = path.strip_prefix(&core).expect("it is inside");
            adding.insert(name.to_string_lossy().into_owned());
        }
    }
    let expected: BTreeSet<String> = EXACT_TIMES
        .iter()
        .map(|(file, _)| (*file).to_owned())
        .collect();
    assert_eq!(adding, expected, "use deadline::passes");
}
