//! Programs that tests start, built from this tree.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// `koncli`: the one that `KONCLI` names, else built here.
pub fn koncli() -> PathBuf {
    if let Some(named) = std::env::var_os("KONCLI") {
        return named.into();
    }
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    // By a test of its own, with the features that `cargo test --workspace` unifies: else half of what
    // it depends on would be built a second time.
    BUILT
        .get_or_init(|| build(&["test", "--no-run", "--test", "run"]).join("koncli"))
        .clone()
}

/// An example of the Rust SDK.
pub fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| build(&["build", "--examples"]).join("examples"))
        .join(name)
}

/// Builds with cargo; the folder of what is built.
fn build(arguments: &[&str]) -> PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells this test about its package would tell build scripts that theirs has changed:
    // half of everything would be built again, now and the next time.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name == "OUT_DIR"
        {
            cargo.env_remove(&*name);
        }
    }
    let built = cargo
        .args(arguments)
        .args(["--quiet", "--workspace"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "cargo {arguments:?}: {built}");
    let test = std::env::current_exe().expect("this test");
    // target/PROFILE/deps/test-hash
    let target = test.ancestors().nth(3).map(Path::to_owned);
    target.expect("target").join("debug")
}
