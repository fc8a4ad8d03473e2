//! What a test expects is a whole file, which `BLESS=1` rewrites; read the diff.
//!
//! Included by its path, because the crates that use it have no crate in common.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Whether expected files are to be rewritten.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// Compares a file with what was found, or writes that there.
#[track_caller]
pub(crate) fn compare(file: &Path, actual: &str) {
    let place = file.display();
    if is_wanted() {
        let folder = file.parent().map(std::fs::create_dir_all);
        let created = folder.unwrap_or(Ok(()));
        created.unwrap_or_else(|error| panic!("{place}: {error}"));
        std::fs::write(file, actual).unwrap_or_else(|error| panic!("{place}: {error}"));
        return;
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    if expected == actual {
        return;
    }
    let lines = expected.lines().zip(actual.lines());
    let same = lines.take_while(|(expected, actual)| expected == actual);
    let same = same.count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("the end").to_owned();
    panic!(
        "{place}:{} is out of date; `just bless` rewrites it\nexpected: {}\n   found: {}\nfound as a whole:\n{actual}",
        same + 1,
        line(&expected),
        line(actual),
    );
}

/// Compares all files of a folder with what was found, by name; a file that was not found is out of date, too.
#[track_caller]
pub(crate) fn compare_folder(folder: &Path, texts: &BTreeMap<String, String>) {
    if is_wanted() {
        let place = folder.display();
        std::fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    for (name, text) in texts {
        compare(&folder.join(name), text);
    }
    let entries = std::fs::read_dir(folder).expect("a folder of expected files");
    for entry in entries {
        let file = entry.expect("an entry").path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if texts.contains_key(&*name) {
            continue;
        }
        let place = file.display();
        assert!(
            is_wanted(),
            "{place} is out of date; `just bless` deletes it"
        );
        std::fs::remove_file(&file).unwrap_or_else(|error| panic!("{place}: {error}"));
    }
}

/// The anchor of a heading, as GitHub and mdBook make it.
pub(crate) fn anchor(title: &str) -> String {
    let title = title.to_lowercase();
    let kept = title.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    });
    kept.collect()
}

/// The `.kon` files of a folder whose names begin so, sorted.
pub(crate) fn fixtures(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of fixtures");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(prefix) && name.ends_with(".kon")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}
