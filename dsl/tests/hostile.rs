//! Text that wants to crash, to hang or to take all memory ends in diagnostics, soon.
#![expect(clippy::unwrap_used, reason = "a test")]

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

/// The diagnostics of a text, which must not take long.
fn reported(what: &str, text: String) -> Vec<Diagnostic> {
    let source = source(text);
    let started = Instant::now();
    let (_, reported) = parse(&source);
    let elapsed = started.elapsed();
    assert!(elapsed < SOON, "{what}: {elapsed:?}");
    assert!(!reported.is_empty(), "{what}: nothing is reported");
    assert!(format(&source).is_err(), "{what}: it is laid out");
    reported
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
            reported(&format!("{before}{bracket}"), text);
        }
    }
}

#[test]
fn nesting_that_is_closed_again_ends_in_an_error_too() {
    for (open, close) in [("[", "]"), ("(", ")"), ("{ x = ", "}")] {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        let text = format!("pipeline p {{ x = {open}1{close} }}");
        let reported = reported(&open[..1], text);
        assert!(
            reported
                .iter()
                .any(|diagnostic| diagnostic.code == Code::K0103),
            "{reported:?}"
        );
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
        reported(&format!("{before}{piece}"), filled(before, piece, after));
    }
}

#[test]
fn mistakes_on_every_line_report_only_the_first() {
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
        let reported = reported(line, filled("pipeline p {\n", line, ""));
        assert!(reported.len() <= 50, "{line}: {}", reported.len());
    }
}

#[test]
fn a_file_of_more_words_than_fit_into_memory_is_refused() {
    let text = format!("pipeline p {{ {} }}", "a = 1 ".repeat(2_000_000));
    let reported = parse(&source(text)).1;
    let codes: Vec<Code> = reported.iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(codes, [Code::K0107]);
    let text = "a".repeat(FILE_BYTES_MAX + 1);
    let reported = parse(&source(text)).1;
    let first = reported.first().unwrap();
    assert_eq!((reported.len(), first.code), (1, Code::K0107));
}

#[test]
fn spans_end_on_char_boundaries() {
    for shift in 0..4 {
        let hole = format!("${{a{}\u{1F600}", "b".repeat(14 + shift));
        let text = format!("pipeline p {{\n  stage s {{ run = \"\"\"{hole}\"\"\" }}\n}}\n");
        let reported = reported(&hole, text.clone());
        let [diagnostic] = reported.as_slice() else {
            panic!("{reported:?}");
        };
        assert_eq!(diagnostic.code, Code::K0106);
        let span = diagnostic.span();
        let shown = text.get(span.start as usize..span.end as usize);
        assert!(
            shown.is_some_and(|shown| hole.starts_with(shown)),
            "{diagnostic:?}"
        );
    }
}

/// Characters of one to four bytes: blanks that the language does not have, invisible ones, signs that
/// look like others, and letters.
const STRANGE: [&str; 24] = [
    "\u{a0}",
    "\u{2003}",
    "\u{2028}",
    "\u{85}",
    "\u{3000}",
    "\u{202f}",
    "\u{1680}",
    "\u{200b}",
    "\u{ad}",
    "\u{feff}",
    "“",
    "”",
    "‘",
    "–",
    "…",
    "é",
    "ß",
    "日本",
    "\u{1f680}",
    "e\u{301}",
    "\u{e000}",
    "\u{10ffff}",
    "\u{0}",
    "\r",
];
/// What slips are made of.
const SIGNS: [&str; 20] = [
    ":", "=", "- ", "{", "}", "\"", "'", "$", "${", "[", ",", "..", "//", "->", "\n", " ", "\t",
    "x", "1", "(",
];

/// The files of this repository that are pipelines.
fn real_files() -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = [
        "dsl/tests/fixtures",
        "dsl/tests/format",
        "compiler/tests/fixtures",
    ];
    let mut texts = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "kon") {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    assert!(texts.len() > 20);
    texts.sort();
    texts
}

/// As many as `KONDUCTOR_MUTATIONS` says, else what ends soon.
#[test]
fn strange_characters_in_real_files_never_end_in_a_crash() {
    let count = std::env::var("KONDUCTOR_MUTATIONS").ok();
    let count = count.map_or(4_000, |count| count.parse::<usize>().unwrap());
    let files = real_files();
    let mut state: u64 = 7;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..count {
        // A few lines: a whole file is read for nothing again and again.
        let file = &files[random(files.len())];
        let lines: Vec<&str> = file.split_inclusive('\n').collect();
        let first = random(lines.len());
        let mut text: String = lines[first..]
            .iter()
            .take(1 + random(12))
            .copied()
            .collect();
        if random(2) == 0 {
            text.insert_str(0, "pipeline p {\n");
        }
        for _ in 0..=random(3) {
            let at = text.floor_char_boundary(random(text.len() + 1));
            let end = text.ceil_char_boundary((at + random(3)).min(text.len()));
            let new = match random(3) {
                0 => format!(
                    "{}{}",
                    STRANGE[random(STRANGE.len())],
                    SIGNS[random(SIGNS.len())]
                ),
                1 => SIGNS[random(SIGNS.len())].to_owned(),
                _ => STRANGE[random(STRANGE.len())].to_owned(),
            };
            text.replace_range(at..end, &new);
        }
        let source = source(text);
        let played = std::panic::catch_unwind(|| {
            let (_, reported) = parse(&source);
            for reported in &reported {
                for label in &reported.labels {
                    let (start, end) = (label.span.start as usize, label.span.end as usize);
                    assert!(source.text.get(start..end).is_some(), "{reported:?}");
                }
            }
            // What is laid out is read as before.
            if let Ok(formatted) = format(&source) {
                assert!(format(&self::source(formatted)).is_ok());
            }
        });
        assert!(played.is_ok(), "round {round}: {:?}", source.text);
    }
}

/// What looks like a blank, a quote or a dash is named, wherever it stands.
#[test]
fn a_character_that_looks_like_another_is_named() {
    let table = [
        ("pipeline p {\u{a0}stage a { image = \"b:1\" } }", "U+00A0"),
        (
            "pipeline p { stage\u{2003}a { image = \"b:1\" } }",
            "U+2003",
        ),
        ("\u{3000}pipeline p { }", "U+3000"),
        ("pipeline p { stage a { timeout\u{a0}: 30m } }", "U+00A0"),
        ("pipeline p { stage a { run =\u{a0}\"x\" } }", "U+00A0"),
        ("pipeline p { stage a after b\u{85}{ } }", "U+0085"),
        (
            "pipeline p { stage a { run = \u{201c}echo hi\u{201d} } }",
            "U+201C",
        ),
        ("pipeline p { stage a after b,\u{2028} c { } }", "U+2028"),
        ("pipeline p { stage a for i in 0\u{2013}3 { } }", "U+2013"),
        ("pipeline p { stage\u{200b} a { } }", "U+200B"),
    ];
    for (text, name) in table {
        let reported = reported(name, text.to_owned());
        let named = reported
            .iter()
            .find(|reported| reported.code == Code::K0110);
        let named = named.unwrap_or_else(|| panic!("{text:?}: {reported:?}"));
        assert!(named.message.contains(name), "{text:?}: {named:?}");
        assert!(named.help.is_some(), "{text:?}");
    }
    // In texts and comments they stand for themselves.
    let text = "# \u{a0}\npipeline p { stage a { image = \"b:1\", run = \"\u{a0}“x”\" } }";
    let (_, reported) = parse(&source(text.to_owned()));
    assert_eq!(reported, []);
}
