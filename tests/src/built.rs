//! Programs that tests start, built from this tree.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Cargo as a person calls it. What it tells a test about itself would make build scripts run again,
/// and most of what there is be built again after them.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo
}

/// The path of an example of the Rust SDK, with the features that `cargo test --workspace` unifies.
pub fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let built = cargo()
            .args(["build", "--quiet", "--workspace", "--examples"])
            .status();
        assert!(
            built.expect("cargo runs").success(),
            "the examples do not build"
        );
        // target/PROFILE/deps/test-hash
        let test = std::env::current_exe().expect("this test");
        let target = test.ancestors().nth(3).map(Path::to_owned);
        target.expect("target").join("debug/examples")
    });
    folder.join(name)
}
