//! Both grammars accept the same files: every `.kon` file of the repository, what the fuzzers have found, and thousands
//! that a generator wrote, half of them with mistakes.

use std::fs;
use std::path::{Path, PathBuf};

use konductor_grammar::{KonductorParser, Rule};
use pest::Parser as _;

use crate::mutate::mutated;
use crate::{folder, generate, parse};

const GENERATED: u64 = 10_000;

fn repository() -> PathBuf {
    folder().join("../../..").canonicalize().unwrap()
}

/// Every `.kon` file below a folder, sorted, without what builds have left.
fn files(folder: &Path, paths: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            files(&path, paths);
        } else if name.ends_with(".kon") {
            paths.push(path);
        }
    }
}

/// Whether the compiler's grammar and this one accept a text.
fn verdicts(text: &str) -> (bool, bool) {
    let compiler = KonductorParser::parse(Rule::file, text).is_ok();
    (compiler, !parse(text).root_node().has_error())
}

/// Fails with the first texts about which the grammars disagree.
fn assert_agreement<'a>(
    texts: impl Iterator<Item = (String, std::borrow::Cow<'a, str>)>,
) -> [u64; 2] {
    let mut counts = [0, 0];
    let mut disagreements = Vec::new();
    for (name, text) in texts {
        let (compiler, editor) = verdicts(&text);
        counts[usize::from(compiler)] += 1;
        if compiler != editor {
            let tree = parse(&text).root_node().to_sexp();
            disagreements.push(format!(
                "{name}: the compiler's grammar accepts it: {compiler}; tree-sitter: {editor}\n{text}\n{tree}"
            ));
        }
    }
    let count = disagreements.len();
    disagreements.sort_by_key(String::len);
    disagreements.truncate(5);
    assert!(
        count == 0,
        "{count} disagreements\n{}",
        disagreements.join("\n\n")
    );
    counts
}

#[test]
fn every_file_of_the_repository_has_a_tree_without_errors_if_the_compiler_reads_it() {
    let mut paths = Vec::new();
    files(&repository(), &mut paths);
    let texts = paths.iter().map(|path| {
        let text = fs::read_to_string(path).unwrap();
        (path.display().to_string(), text.into())
    });
    let [rejected, accepted] = assert_agreement(texts);
    assert!(
        accepted > 50 && rejected > 5,
        "{accepted} accepted, {rejected} rejected"
    );
}

#[test]
fn what_the_fuzzers_have_found_is_accepted_or_rejected_by_both_grammars() {
    let seeds = fs::read_dir(repository().join("fuzz/seeds")).unwrap();
    let texts: Vec<String> = seeds
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok())
        // tree-sitter takes a NUL for the end of a token.
        .filter(|text| !text.contains('\0'))
        .collect();
    let [rejected, accepted] = assert_agreement(
        texts
            .iter()
            .map(|text| ("a seed".to_owned(), text.as_str().into())),
    );
    assert!(
        accepted > 50 && rejected > 50,
        "{accepted} accepted, {rejected} rejected"
    );
}

#[test]
fn generated_files_are_accepted_or_rejected_by_both_grammars() {
    let mut paths = Vec::new();
    files(&repository(), &mut paths);
    let written: Vec<String> = paths
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let texts = (0..GENERATED).map(|seed| {
        let text = match usize::try_from(seed).unwrap() {
            seed if seed % 4 == 3 => written[seed / 4 % written.len()].clone(),
            _ => generate::file(seed),
        };
        let text = match seed % 2 {
            0 => text,
            _ => mutated(&text, seed),
        };
        (format!("seed {seed}"), text.into())
    });
    let [rejected, accepted] = assert_agreement(texts);
    println!("{accepted} accepted, {rejected} rejected");
    assert_eq!(rejected + accepted, GENERATED);
    assert!(rejected > GENERATED / 4, "only {rejected} are rejected");
}
