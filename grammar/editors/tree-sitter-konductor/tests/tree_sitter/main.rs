//! The tree-sitter grammar: it accepts what the compiler's grammar accepts and nothing else, its generated files are
//! those of `grammar.js`, and its trees and colours are the ones listed.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "../../../../../tests/bless.rs"]
mod bless;
#[path = "../../../../../dsl/tests/generate/mod.rs"]
mod generate;

mod agreement;
mod corpus;
mod generated;
mod mutate;
mod queries;

use std::path::PathBuf;

use tree_sitter::{Parser, Tree};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn parse(text: &str) -> Tree {
    let mut parser = Parser::new();
    let language = tree_sitter_konductor::LANGUAGE.into();
    parser.set_language(&language).unwrap();
    parser.parse(text, None).unwrap()
}
