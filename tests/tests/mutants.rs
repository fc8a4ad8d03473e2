//! The mutants in `tests/mutants` are run on demand; here only that they still fit the product.

use std::path::Path;
use std::process::Command;

#[test]
fn every_mutant_still_applies_and_says_what_catches_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().expect("the root");
    let mut checked = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(root.join("tests/mutants")).expect("mutants") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_none_or(|extension| extension != "patch")
        {
            continue;
        }
        checked += 1;
        let text = std::fs::read_to_string(&path).expect("a patch");
        let lines: Vec<&str> = text.lines().take(3).collect();
        let head = matches!(lines[..], [breaks, caught_by, ""]
            if breaks.starts_with("Breaks: ") && caught_by.starts_with("Caught-by: cargo test "));
        // A source archive has no repository; inside another one, git would skip the patch and say
        // nothing.
        let applies = Command::new("git")
            .args(["apply", "--check"])
            .arg(&path)
            .env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(&root))
            .current_dir(&root)
            .output()
            .expect("git runs");
        if !head || !applies.status.success() {
            let words = String::from_utf8_lossy(&applies.stderr).into_owned();
            wrong.push(format!("{}: {words}", path.display()));
        }
    }
    assert!(checked >= 14, "only {checked} mutants were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
