//! Mistakes that people make who come from other languages, by kind, each with what is reported.
//!
//! A file of `mistakes/` holds many, each behind a line `### WHAT IT IS`; without a `pipeline` of its own
//! it stands in one. The `.txt` beside it is what is reported, and `BLESS=1` rewrites it; read the diff.
//! The rule is one report that says what to type; `(2)` behind a heading is how many there are, if each
//! is about something else.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "../../tests/bless.rs"]
mod bless;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use konductor_compiler::{Compiled, Options, check};
use konductor_dsl::{Severity, Sources};

struct Mistake {
    heading: String,
    text: String,
}

impl Mistake {
    fn checked(&self) -> Compiled {
        let mut sources = Sources::default();
        sources.add("test.kon", &*self.text);
        check(
            sources,
            &Options::at("2026-01-31T02:03:04Z".parse().unwrap()),
        )
    }

    /// How many reports there are to be.
    fn count(&self) -> usize {
        let count = self.heading.rsplit_once(" (").map(|(_, rest)| rest);
        let count = count.and_then(|rest| rest.strip_suffix(')')?.parse().ok());
        count.unwrap_or(1)
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    bless::fixtures(&folder, "")
}

fn mistakes(file: &Path) -> Vec<Mistake> {
    let text = std::fs::read_to_string(file).unwrap();
    let pieces = text.split("### ").skip(1);
    let all = pieces.map(|piece| {
        let (heading, body) = piece.split_once('\n').unwrap();
        let begins = |line: &str| {
            let word = line.split_whitespace().next();
            matches!(word, Some("pipeline" | "template" | "import"))
        };
        let is_whole = heading.starts_with("file: ") || body.lines().any(begins);
        let body = body.trim_end();
        let text = match is_whole {
            true => format!("{body}\n"),
            false => format!("pipeline p {{\n  defaults {{ image = \"b:1\" }}\n{body}\n}}\n"),
        };
        Mistake {
            heading: heading.to_owned(),
            text,
        }
    });
    all.collect()
}

fn rendered(mistake: &Mistake, compiled: &Compiled) -> String {
    let mut all = format!("### {}\n", mistake.heading);
    for diagnostic in &compiled.diagnostics {
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        writeln!(
            all,
            "{severity}[{}]: {}",
            diagnostic.code, diagnostic.message
        )
        .unwrap();
        for label in &diagnostic.labels {
            let source = compiled.sources.get(label.span.source).unwrap();
            let line = source.line_column(label.span.start).0;
            let line = source.text.lines().nth(line - 1).unwrap_or_default();
            let marked = source.slice(label.span).lines().next().unwrap_or_default();
            let sign = if label.primary { '^' } else { '-' };
            let text = format!("  {sign} `{marked}` in `{}` {}", line.trim(), label.text);
            writeln!(all, "{}", text.trim_end()).unwrap();
        }
        if let Some(help) = &diagnostic.help {
            writeln!(all, "  help: {help}").unwrap();
        }
    }
    all
}

#[test]
fn every_mistake_is_reported_as_expected() {
    for file in files() {
        let all = mistakes(&file);
        let reports: Vec<String> = all
            .iter()
            .map(|mistake| rendered(mistake, &mistake.checked()))
            .collect();
        let reports = reports.join("\n");
        bless::compare(&file.with_extension("txt"), &reports);
    }
}

#[test]
fn every_mistake_has_one_report_that_says_what_to_type() {
    let mut wrong = String::new();
    let mut count = 0;
    for mistake in files().iter().flat_map(|file| mistakes(file)) {
        count += 1;
        let compiled = mistake.checked();
        let all = &compiled.diagnostics;
        let is_helped = all.iter().all(|diagnostic| diagnostic.help.is_some());
        if all.len() != mistake.count() || !is_helped {
            write!(wrong, "\n{}", rendered(&mistake, &compiled)).unwrap();
        }
    }
    assert!(count > 250, "{count} mistakes");
    assert_eq!(wrong, "");
}

#[test]
fn no_place_is_empty_or_cut_within_a_character() {
    for mistake in files().iter().flat_map(|file| mistakes(file)) {
        let compiled = mistake.checked();
        for diagnostic in &compiled.diagnostics {
            let at = diagnostic.span();
            let source = compiled.sources.get(at.source).unwrap();
            let marked = source.text.get(at.start as usize..at.end as usize);
            let is_at_the_end = at.start as usize >= source.text.trim_end().len();
            let is_about_the_file = at.end == 0;
            let is_empty = marked.is_none_or(str::is_empty);
            assert!(
                !is_empty || is_at_the_end || is_about_the_file,
                "{}: {diagnostic:?}",
                mistake.heading
            );
        }
    }
}
