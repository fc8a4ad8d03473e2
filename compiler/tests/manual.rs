//! `docs/language.md` is true: every snippet compiles, or reports exactly the code it says. So
//! do the examples.
//!
//! What follows `kon` in a snippet's first line says what it is:
//! - nothing: a whole file;
//! - `pipeline`: what is in a pipeline; `stage`: what is in a stage;
//! - a path: a file that others import;
//! - `error CODE` or `warning CODE`, at the end: it reports this code and nothing else, and a block of text behind it has
//!   the message and the help. `BLESS=1` writes that block.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use konductor_compiler::{Compiled, Options, check};
use konductor_dsl::{Code, Severity, Source, SourceId, Sources, format};

struct Snippet {
    line: usize,
    info: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/language.md")).unwrap()
}

/// What kind of snippet it is, and which code it reports with which severity.
fn reports(info: &str) -> (&str, Option<(Severity, Code)>) {
    for (word, severity) in [("error ", Severity::Error), ("warning ", Severity::Warning)] {
        if let Some((kind, code)) = info.split_once(word) {
            return (kind.trim(), Some((severity, code.parse().unwrap())));
        }
    }
    (info, None)
}

fn snippets() -> Vec<Snippet> {
    let text = page();
    let mut snippets: Vec<Snippet> = Vec::new();
    let (mut is_inside, mut is_reported) = (false, false);
    for (index, line) in text.lines().enumerate() {
        match (is_inside, line.strip_prefix("```")) {
            (false, Some("text")) => is_reported = true,
            (false, Some(info)) if !is_reported => {
                let info = info
                    .strip_prefix("kon")
                    .unwrap_or_else(|| panic!("line {}: a snippet of another language", index + 1));
                snippets.push(Snippet {
                    line: index + 1,
                    info: info.trim().to_owned(),
                    text: String::new(),
                });
                is_inside = true;
            }
            (true, Some(_)) => is_inside = false,
            (false, Some(_)) => is_reported = false,
            (true, None) => {
                let snippet = snippets.last_mut().unwrap();
                snippet.text.push_str(line);
                snippet.text.push('\n');
            }
            (false, None) => {}
        }
    }
    assert!(snippets.len() >= 20, "only {} snippets", snippets.len());
    snippets
}

fn checked(name: &str, text: &str, read: &dyn Fn(&str) -> Result<String, String>) -> Compiled {
    let mut sources = Sources::default();
    sources.add(name, text);
    let mut options = Options::at("2026-01-31T02:03:04Z".parse().unwrap());
    options.read_import = read;
    check(sources, &options)
}

/// The codes that are reported, each once.
fn codes(compiled: &Compiled) -> Vec<Code> {
    let mut codes: Vec<Code> = compiled
        .diagnostics
        .iter()
        .map(|reported| reported.code)
        .collect();
    codes.dedup();
    codes
}

/// A snippet as a whole file.
fn whole(kind: &str, text: &str) -> String {
    let defaults = r#"defaults { image = "busybox:1.36" }"#;
    match kind {
        "" => text.to_owned(),
        "pipeline" => format!("pipeline p {{\n{defaults}\n{text}}}\n"),
        "stage" => format!("pipeline p {{\n{defaults}\nstage s {{\n{text}}}\n}}\n"),
        path => format!("import \"{path}\"\npipeline p {{\n{defaults}\nstage s {{}}\n}}\n"),
    }
}

#[test]
fn a_wrong_snippet_is_followed_by_what_is_reported() {
    let read = |_: &str| Err("no such file".to_owned());
    let mut expected = BTreeMap::new();
    for Snippet { line, info, text } in snippets() {
        let (kind, Some((severity, code))) = reports(&info) else {
            continue;
        };
        let compiled = checked("manual.kon", &whole(kind, &text), &read);
        let diagnostic = compiled
            .diagnostics
            .iter()
            .find(|diagnostic| diagnostic.code == code);
        let diagnostic = diagnostic.unwrap_or_else(|| panic!("line {line}: no {code}"));
        assert_eq!(diagnostic.severity, severity, "line {line}");
        let word = if diagnostic.is_error() {
            "error"
        } else {
            "warning"
        };
        let help = diagnostic
            .help
            .iter()
            .map(|help| format!("  help: {help}\n"));
        let help: String = help.collect();
        let shown = format!("{word}[{code}]: {}\n{help}", diagnostic.message);
        expected.insert(line, format!("\n```text\n{shown}```\n"));
    }
    assert!(
        expected.len() >= 8,
        "only {} wrong snippets",
        expected.len()
    );
    let page = page();
    let lines: Vec<&str> = page.lines().collect();
    let (mut written, mut index, mut wrong) = (String::new(), 0, None);
    while let Some(line) = lines.get(index) {
        index += 1;
        written.push_str(line);
        written.push('\n');
        if line.starts_with("```kon") {
            wrong = expected.get(&index);
        } else if *line == "```"
            && let Some(text) = wrong.take()
        {
            written.push_str(text);
            if lines.get(index..index + 2) == Some(&["", "```text"][..]) {
                let block = lines.iter().skip(index + 2);
                index += 3 + block.take_while(|line| **line != "```").count();
            }
        }
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(root().join("docs/language.md"), written).unwrap();
    } else {
        assert_eq!(page, written, "BLESS=1 rewrites it");
    }
}

#[test]
fn every_snippet_of_the_manual_compiles_or_reports_its_code() {
    let snippets = snippets();
    let files: BTreeMap<&str, &str> = snippets
        .iter()
        .filter(|snippet| snippet.info.ends_with(".kon"))
        .map(|snippet| (&*snippet.info, &*snippet.text))
        .collect();
    let read = |path: &str| {
        let text = files.get(path).map(|text| (*text).to_owned());
        text.ok_or_else(|| "no such file".to_owned())
    };
    for Snippet { line, info, text } in &snippets {
        let (kind, code) = reports(info);
        let code: Vec<Code> = code.into_iter().map(|(_, code)| code).collect();
        let text = whole(kind, text);
        let compiled = checked("manual.kon", &text, &read);
        let reported: Vec<Code> = codes(&compiled)
            .into_iter()
            // A part of a file may declare what only the rest would use.
            .filter(|reported| kind.is_empty() || reported.name() != "K0601")
            .collect();
        assert_eq!(reported, code, "line {line}: {:#?}", compiled.diagnostics);
    }
}

#[test]
fn snippets_of_the_manual_are_in_formatted_form() {
    for Snippet { line, info, text } in snippets() {
        let (before, after) = match info.split_whitespace().next() {
            Some("pipeline") => (vec!["pipeline p {"], vec!["}"]),
            Some("stage") => (vec!["pipeline p {", "  stage s {"], vec!["  }", "}"]),
            _ => (Vec::new(), Vec::new()),
        };
        let indent = "  ".repeat(before.len());
        let indented = |line: &str| match line.is_empty() {
            true => String::new(),
            false => format!("{indent}{line}"),
        };
        let inner = text.lines().map(indented);
        let before = before.into_iter().map(str::to_owned);
        let after = after.into_iter().map(str::to_owned);
        let lines: Vec<String> = before.chain(inner).chain(after).collect();
        let whole = lines.join("\n") + "\n";
        let source = Source {
            id: SourceId(0),
            name: "manual.kon".to_owned(),
            text: whole.as_str().into(),
        };
        assert_eq!(format(&source).unwrap(), whole, "line {line}");
    }
}

#[test]
fn every_example_is_checked_without_a_word() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        let read = |path: &str| {
            std::fs::read_to_string(folder.join(path)).map_err(|error| error.to_string())
        };
        for file in std::fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|extension| extension == "kon") {
                let text = std::fs::read_to_string(&file).unwrap();
                let compiled = checked("pipeline.kon", &text, &read);
                assert_eq!(compiled.diagnostics, [], "{}", file.display());
                count += 1;
            }
        }
    }
    assert!(count >= 12, "only {count} examples");
}
