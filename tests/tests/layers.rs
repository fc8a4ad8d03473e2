//! Which crate uses which: the rooms of ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What each crate may use, of ours and of the libraries that make a room what it is.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("konductor-grammar", &[]),
    ("konductor-dsl", &["konductor-grammar"]),
    ("konductor-api", &[]),
    ("konductor-compiler", &["konductor-api", "konductor-dsl"]),
    ("konductor-core", &["konductor-api"]),
    ("konductor-operator", &["konductor-api", "konductor-core"]),
    ("konductor-local", &["konductor-api"]),
    ("konductor", &["konductor-api"]),
    (
        "koncli",
        &[
            "konductor",
            "konductor-api",
            "konductor-compiler",
            "konductor-dsl",
            "konductor-local",
            "konductor-operator",
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
const FORBIDDEN: [(&str, &[&str]); 5] = [
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
    ("konductor-local", &["kube"]),
];

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
        let normal = dependencies.iter().filter(|one| one["kind"].is_null());
        let names = normal.map(|one| one["name"].as_str().expect("a name").to_owned());
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
