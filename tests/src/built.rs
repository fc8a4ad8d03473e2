//! Programs that tests start, built from this tree.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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

/// What the tests of the Python SDK import.
const PYTHON_NEEDS: &str = "import sys, httpcore, pytest, yaml; assert sys.version_info >= (3, 10)";

/// A Python that can run the Python SDK and its tests: the one of `KONDUCTOR_PYTHON`, of `target/python`, which
/// `sdk/python/check` makes, or of the system.
pub fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python");
    let named = std::env::var_os("KONDUCTOR_PYTHON").map(PathBuf::from);
    let mut candidates = named.into_iter().chain([venv, "python3".into()]);
    candidates.find(|python| {
        let checked = Command::new(python)
            .args(["-c", PYTHON_NEEDS])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        checked.is_ok_and(|status| status.success())
    })
}

/// Builds with cargo; the folder of what is built.
fn build(arguments: &[&str]) -> PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // With the variables that cargo sets for this test's package, build scripts believe that theirs has changed:
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
