//! `src/` is what the generator makes of `grammar.js`. `BLESS=1` writes it.

use std::fs;
use std::path::Path;
use std::process::Command;

use tree_sitter_generate::{OptLevel, generate_parser_in_directory, load_grammar_file};

use crate::{bless, folder};

/// The oldest layout of parsers that the generator writes: more editors read it than the newest.
const ABI: usize = 14;

#[test]
fn the_grammar_in_json_is_that_of_grammar_js() {
    if Command::new("node").arg("--version").output().is_err() {
        eprintln!("node is not installed; src/grammar.json is not compared with grammar.js");
        return;
    }
    let json = load_grammar_file(&folder().join("grammar.js"), Some("node")).unwrap();
    bless::compare(&folder().join("src/grammar.json"), &json);
}

#[test]
fn the_parser_is_that_of_the_grammar_in_json() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tree-sitter-konductor");
    let mut diagnostics = Vec::new();
    generate_parser_in_directory(
        folder(),
        Some(&out),
        Some(folder().join("src/grammar.json")),
        ABI,
        None,
        None,
        true,
        OptLevel::default(),
        &mut diagnostics,
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let diagnostics: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let files = [
        "parser.c",
        "node-types.json",
        "tree_sitter/alloc.h",
        "tree_sitter/array.h",
        "tree_sitter/parser.h",
    ];
    for file in files {
        let generated = fs::read_to_string(out.join(file)).unwrap();
        bless::compare(&folder().join("src").join(file), &generated);
    }
}

#[test]
fn its_version_is_that_of_konductor() {
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    for file in ["package.json", "tree-sitter.json"] {
        let text = fs::read_to_string(folder().join(file)).unwrap();
        assert!(text.contains(&version), "{file}: {version}");
    }
}
