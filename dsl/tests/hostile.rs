//! Text that wants to crash, to hang or to take all memory ends in diagnostics, soon.

use std::time::{Duration, Instant};

use konductor_dsl::limits::FILE_BYTES_MAX;
use konductor_dsl::{Code, Diagnostic, Source, SourceId, format, parse};

/// The size of the largest texts, and how soon they have to end. Others use this machine too, so
/// the bounds are far from what is usual; a square or a copy for each level would be beyond them.
const LONG: usize = if cfg!(debug_assertions) {
    FILE_BYTES_MAX / 16
} else {
    FILE_BYTES_MAX
};
const SOON: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 1 });

fn source(text: String) -> Source {
    Source {
        id: SourceId(0),
        name: "test.kon".to_owned(),
        text: text.into(),
    }
}

/// A piece again and again, up to the size of a file, between other text.
fn filled(before: &str, piece: &str, after: &str) -> String {
    let count = (LONG - before.len() - after.len()) / piece.len();
    format!("{before}{}{after}", piece.repeat(count))
}

/// What is told about a text, which has to be soon.
fn told(what: &str, text: String) -> Vec<Diagnostic> {
    let source = source(text);
    let started = Instant::now();
    let (_, told) = parse(&source);
    let elapsed = started.elapsed();
    assert!(elapsed < SOON, "{what}: {elapsed:?}");
    assert!(!told.is_empty(), "{what}: nothing is told");
    assert!(format(&source).is_err(), "{what}: it is laid out");
    told
}

#[test]
fn a_million_brackets_end_in_an_error_and_not_in_a_crash() {
    let places = [
        "",
        "pipeline p { x = ",
        "pipeline p { param x: ",
        "pipeline p { stage s when ",
        "pipeline p { stage s after ",
    ];
    let brackets = [
        "[", "{", "(", "any(", "list<", "a[", "x = [", "x = {", "!(", "}",
    ];
    for before in places {
        for bracket in brackets {
            let text = format!("{before}{}", bracket.repeat(1_000_000));
            told(&format!("{before}{bracket}"), text);
        }
    }
}

#[test]
fn nesting_that_is_closed_again_ends_in_an_error_too() {
    for (open, close) in [("[", "]"), ("(", ")"), ("{ x = ", "}")] {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        let text = format!("pipeline p {{ x = {open}1{close} }}");
        let told = told(&open[..1], text);
        assert!(told.iter().any(|one| one.code == Code::K0103), "{told:?}");
    }
}

#[test]
fn the_longest_lines_end_in_an_error() {
    let lines = [
        ("", "a", ""),
        ("", "a ", ""),
        ("", "\"", ""),
        ("", "$", ""),
        ("", "-", ""),
        ("", "é", ""),
        ("", "0", ""),
        ("pipeline p { x = \"", "a", ""),
        ("pipeline p { x = \"", "\\", ""),
        ("pipeline p { x = \"", "${a", ""),
        ("pipeline p { x = \"", "${a} ", ""),
        ("pipeline p { x = \"\"\"", "${a} ", ""),
        ("pipeline p { x = ", "-", " }"),
        ("pipeline p { # ", "}", ""),
    ];
    for (before, piece, after) in lines {
        told(&format!("{before}{piece}"), filled(before, piece, after));
    }
}

#[test]
fn slips_on_every_line_end_in_the_first_ones() {
    let lines = [
        "  stage s { run = \"x\n",
        "  stage s { run =\n",
        "  stage s {\n",
        "  stage s }\n",
        "  x = = 1\n",
        "  }\n",
        "  \"\"\"\n",
        "# \"\n \"\n",
    ];
    for line in lines {
        let told = told(line, filled("pipeline p {\n", line, ""));
        assert!(told.len() <= 50, "{line}: {}", told.len());
    }
}

#[test]
fn a_file_of_more_words_than_fit_into_memory_is_refused() {
    let text = format!("pipeline p {{ {} }}", "a = 1 ".repeat(2_000_000));
    let told = parse(&source(text)).1;
    let codes: Vec<Code> = told.iter().map(|one| one.code).collect();
    assert_eq!(codes, [Code::K0107]);
    let text = "a".repeat(FILE_BYTES_MAX + 1);
    let told = parse(&source(text)).1;
    let first = told.first().unwrap();
    assert_eq!((told.len(), first.code), (1, Code::K0107));
}

#[test]
fn what_is_told_of_is_never_cut_inside_of_a_character() {
    for shift in 0..4 {
        let hole = format!("${{a{}\u{1F600}", "b".repeat(14 + shift));
        let text = format!("pipeline p {{\n  stage s {{ run = \"\"\"{hole}\"\"\" }}\n}}\n");
        let told = told(&hole, text.clone());
        let [one] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(one.code, Code::K0106);
        let span = one.span();
        let shown = text.get(span.start as usize..span.end as usize);
        assert!(
            shown.is_some_and(|shown| hole.starts_with(shown)),
            "{one:?}"
        );
    }
}
