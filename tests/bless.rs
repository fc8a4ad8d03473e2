//! What a test expects is a whole file, which `BLESS=1` rewrites; read the diff.
//!
//! Included by its path, because the crates that use it have no crate in common.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};

/// Whether expected files are to be rewritten.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// Compares a file with what was found, or writes that there.
#[track_caller]
pub(crate) fn compare(file: &Path, found: &str) {
    let place = file.display();
    if is_wanted() {
        std::fs::write(file, found).unwrap_or_else(|error| panic!("{place}: {error}"));
        return;
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    if expected == found {
        return;
    }
    let lines = expected.lines().zip(found.lines());
    let same = lines.take_while(|(expected, found)| expected == found);
    let same = same.count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("the end").to_owned();
    panic!(
        "{place}:{} is out of date; `just bless` rewrites it\nexpected: {}\n   found: {}\nfound as a whole:\n{found}",
        same + 1,
        line(&expected),
        line(found),
    );
}

/// The `.kon` files of a folder whose names begin so, sorted.
pub(crate) fn fixtures(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of fixtures");
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(prefix) && name.ends_with(".kon")
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{}", folder.display());
    found
}
