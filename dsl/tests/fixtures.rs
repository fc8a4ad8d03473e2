//! Every fixture: `ok_*` parses without a word, `err_*` reports exactly what its `.txt` says.
//! `BLESS=1` rewrites the expected texts; read the diff.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "../../tests/bless.rs"]
mod bless;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use konductor_dsl::{CODES, Diagnostic, Source, SourceId, parse};

fn source(text: &str) -> Source {
    Source {
        id: SourceId(0),
        name: "test.kon".into(),
        text: text.into(),
    }
}

fn render(source: &Source, diagnostics: &[Diagnostic]) -> String {
    let mut all = String::new();
    for reported in diagnostics {
        let at = |offset| {
            let (line, column) = source.line_column(offset);
            format!("{line}:{column}")
        };
        let severity = format!("{:?}", reported.severity).to_lowercase();
        writeln!(all, "{severity}[{}]: {}", reported.code, reported.message).unwrap();
        for label in &reported.labels {
            let (start, end) = (at(label.span.start), at(label.span.end));
            let text = source.slice(label.span).lines().next().unwrap_or_default();
            writeln!(all, "  {start}-{end} `{text}` {}", label.text).unwrap();
        }
        if let Some(help) = &reported.help {
            writeln!(all, "  help: {help}").unwrap();
        }
    }
    all
}

fn fixtures(prefix: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    bless::fixtures(&folder, prefix)
}

#[test]
fn ok_fixtures_have_no_diagnostics() {
    for path in fixtures("ok_") {
        let source = source(&std::fs::read_to_string(&path).unwrap());
        let (file, diagnostics) = parse(&source);
        assert_eq!(render(&source, &diagnostics), "", "{}", path.display());
        assert!(
            !file.pipelines.is_empty() || !file.templates.is_empty(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn err_fixtures_report_every_mistake_in_source_order() {
    for path in fixtures("err_") {
        let source = source(&std::fs::read_to_string(&path).unwrap());
        let reported = render(&source, &parse(&source).1);
        bless::compare(&path.with_extension("txt"), &reported);
    }
}

#[test]
fn every_code_of_the_syntax_has_a_page_whose_example_triggers_it() {
    for code in CODES.iter().filter(|code| code.name() < "K0110") {
        let page = code.page();
        assert!(
            page.starts_with(&format!("# {code}: {}", code.title())),
            "{code}: its title"
        );
        if code.name() == "K0107" {
            // Its example would have 20 MiB; `hostile.rs` has one.
            continue;
        }
        let example = page
            .split("```kon\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let source = source(example.unwrap_or_else(|| panic!("{code} has no example")));
        let reported: Vec<&str> = parse(&source)
            .1
            .iter()
            .map(|diagnostic| diagnostic.code.name())
            .collect();
        assert!(
            reported.contains(&code.name()),
            "{code}: its example reports {reported:?}"
        );
    }
}
