//! `test/corpus`: the tree of each construct, in the files that `tree-sitter test` reads. `BLESS=1` writes the trees.

use std::fmt::Write as _;
use std::fs;

use crate::{bless, folder, parse};

const LINE: &str = "==================";

/// Lays out a tree as `tree-sitter test --update` does: one node on a line, with its field.
fn laid_out(sexp: &str) -> String {
    let mut out = String::new();
    let mut depth = 0;
    for word in sexp.split(' ') {
        if word.starts_with('(') {
            if !out.is_empty() && !out.ends_with(": ") {
                write!(out, "\n{}", "  ".repeat(depth)).unwrap();
            }
            depth += 1;
        } else if word.ends_with(':') {
            write!(out, "\n{}", "  ".repeat(depth)).unwrap();
        } else {
            out.push(' ');
        }
        out.push_str(word);
        if word.ends_with(':') {
            out.push(' ');
        }
        depth -= word.matches(')').count();
    }
    out
}

#[test]
fn each_construct_has_the_tree_that_is_listed() {
    let mut files: Vec<_> = fs::read_dir(folder().join("test/corpus"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 2);
    let separator = format!("{LINE}\n");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut corpus = String::new();
        let mut parts = text.split(&*separator).skip(1);
        while let (Some(title), Some(case)) = (parts.next(), parts.next()) {
            let source = case.split("\n---\n").next().unwrap();
            let tree = parse(&format!("{source}\n"));
            let has_error = tree.root_node().has_error();
            assert_eq!(
                has_error,
                title.contains(":error"),
                "{}: {title}",
                file.display()
            );
            let tree = laid_out(&tree.root_node().to_sexp());
            writeln!(corpus, "{LINE}\n{title}{LINE}\n{source}\n---\n\n{tree}\n").unwrap();
        }
        bless::compare(&file, &corpus);
    }
}
