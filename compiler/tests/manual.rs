//! `docs/language.md` is true: every snippet compiles, or reports exactly the code it says. So
//! do the examples.
//!
//! What follows `kon` in a snippet's first line says what it is:
//! - nothing: a whole file;
//! - `pipeline`: what is in a pipeline; `stage`: what is in a stage;
//! - a path: a file that others import;
//! - `error CODE`, at the end: it reports this code and nothing else.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use konductor_compiler::{Compiled, Options, check};
use konductor_dsl::{Code, Source, SourceId, Sources, format};

struct Snippet {
    line: usize,
    info: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn snippets() -> Vec<Snippet> {
    let text = std::fs::read_to_string(root().join("docs/language.md")).unwrap();
    let mut found: Vec<Snippet> = Vec::new();
    let mut is_inside = false;
    for (index, line) in text.lines().enumerate() {
        match (is_inside, line.strip_prefix("```")) {
            (false, Some(info)) => {
                let info = info
                    .strip_prefix("kon")
                    .unwrap_or_else(|| panic!("line {}: a snippet of another language", index + 1));
                found.push(Snippet {
                    line: index + 1,
                    info: info.trim().to_owned(),
                    text: String::new(),
                });
                is_inside = true;
            }
            (true, Some(_)) => is_inside = false,
            (true, None) => {
                let snippet = found.last_mut().unwrap();
                snippet.text.push_str(line);
                snippet.text.push('\n');
            }
            (false, None) => {}
        }
    }
    assert!(found.len() >= 20, "only {} snippets", found.len());
    found
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
        let (kind, code) = match info.split_once("error ") {
            Some((kind, code)) => (kind.trim(), vec![code.parse::<Code>().unwrap()]),
            None => (&**info, Vec::new()),
        };
        let defaults = r#"defaults { image = "busybox:1.36" }"#;
        let text = match kind {
            "" => text.clone(),
            "pipeline" => format!("pipeline p {{\n{defaults}\n{text}}}\n"),
            "stage" => format!("pipeline p {{\n{defaults}\nstage s {{\n{text}}}\n}}\n"),
            path => format!("import \"{path}\"\npipeline p {{\n{defaults}\nstage s {{}}\n}}\n"),
        };
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
