//! The konductor pipeline language for [tree-sitter](https://tree-sitter.github.io).
//!
//! What enters: nothing. What leaves: the language, and the queries that editors colour and fold by. What must never
//! happen here: meaning. `konductor-grammar` is what the compiler reads by; the tests compare the two.

use tree_sitter_language::LanguageFn;

unsafe extern "C" {
    fn tree_sitter_konductor() -> *const ();
}

/// The language, for `tree_sitter::Parser::set_language`.
// SAFETY: the generated parser returns a static, as `LanguageFn` demands.
pub const LANGUAGE: LanguageFn = unsafe { LanguageFn::from_raw(tree_sitter_konductor) };

/// The query that colours a file.
pub const HIGHLIGHTS_QUERY: &str = include_str!("../../queries/highlights.scm");

/// The query that finds the shell and the YAML in a file.
pub const INJECTIONS_QUERY: &str = include_str!("../../queries/injections.scm");

/// The query that connects a name with its declaration.
pub const LOCALS_QUERY: &str = include_str!("../../queries/locals.scm");

/// The query that finds what can be folded.
pub const FOLDS_QUERY: &str = include_str!("../../queries/folds.scm");
