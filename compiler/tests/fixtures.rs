//! Every fixture: `ok_*.kon` compiles to its `.yaml`, `err_*.kon` reports exactly what its `.txt`
//! says, and `BLESS=1` rewrites the expected files; read the diff. Lines `# --set NAME=TEXT`, `# --run NAME` and
//! `# --store URL` at the top of a fixture are its command line.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "../../tests/bless.rs"]
mod bless;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use konductor_compiler::{Compiled, Options, check, compile};
use konductor_dsl::{CODES, Code, Diagnostic, Severity, Sources};

/// What fixtures and pages import.
fn read_import(path: &str) -> Result<String, String> {
    match path {
        "lib/circle.kon" => {
            Ok("import \"circle.kon\"\ntemplate round() { run = \"true\" }".to_owned())
        }
        _ => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
            std::fs::read_to_string(folder.join(path)).map_err(|_| "no such file".to_owned())
        }
    }
}

fn options(text: &str) -> Options<'_> {
    let mut options = Options::at("2026-01-31T02:03:04Z".parse().unwrap());
    options.read_import = &read_import;
    for line in text.lines() {
        if let Some(set) = line.strip_prefix("# --set ") {
            let (name, text) = set.split_once('=').unwrap();
            options.set.push((name.to_owned(), text.to_owned()));
        } else if let Some(run) = line.strip_prefix("# --run ") {
            options.run = Some(run.to_owned());
        } else if let Some(store) = line.strip_prefix("# --store ") {
            options.store = Some(store.to_owned());
        }
    }
    options
}

fn sources(text: &str) -> Sources {
    let mut sources = Sources::default();
    sources.add("test.kon", text);
    sources
}

fn render(sources: &Sources, diagnostics: &[Diagnostic]) -> String {
    let mut all = String::new();
    for reported in diagnostics {
        let severity = match reported.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        writeln!(all, "{severity}[{}]: {}", reported.code, reported.message).unwrap();
        for label in &reported.labels {
            let source = sources.get(label.span.source).unwrap();
            let (line, column) = source.line_column(label.span.start);
            let text = source.slice(label.span).lines().next().unwrap_or_default();
            let sign = if label.primary { "^" } else { "-" };
            writeln!(all, "  {line}:{column} {sign} `{text}` {}", label.text).unwrap();
        }
        if let Some(help) = &reported.help {
            writeln!(all, "  help: {help}").unwrap();
        }
    }
    all
}

fn rendered(compiled: &Compiled) -> String {
    render(&compiled.sources, &compiled.diagnostics)
}

/// The objects of the run, or those of the schedule.
fn yaml(compiled: Compiled) -> String {
    let run = compiled.manifests.map(|manifests| manifests.to_yaml());
    run.or(compiled.schedule.map(|schedule| schedule.to_yaml()))
        .unwrap()
}

fn fixtures(prefix: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    bless::fixtures(&folder, prefix)
}

#[test]
fn right_files_compile_to_the_expected_objects() {
    for path in fixtures("ok_") {
        let text = std::fs::read_to_string(&path).unwrap();
        let compiled = compile(sources(&text), &options(&text));
        assert_eq!(rendered(&compiled), "", "{}", path.display());
        bless::compare(&path.with_extension("yaml"), &yaml(compiled));
    }
}

#[test]
fn err_fixtures_report_every_mistake_in_source_order() {
    for path in fixtures("err_") {
        let text = std::fs::read_to_string(&path).unwrap();
        let compiled = compile(sources(&text), &options(&text));
        let errors = compiled.has_errors();
        assert_eq!(compiled.manifests.is_none(), errors, "{}", path.display());
        bless::compare(&path.with_extension("txt"), &rendered(&compiled));
    }
}

#[test]
fn same_input_gives_the_same_bytes() {
    for path in fixtures("ok_") {
        let text = std::fs::read_to_string(&path).unwrap();
        let yaml = || yaml(compile(sources(&text), &options(&text)));
        assert_eq!(yaml(), yaml(), "{}", path.display());
    }
}

#[test]
fn what_is_written_reads_back_as_the_same_objects() {
    for path in fixtures("ok_") {
        let text = std::fs::read_to_string(&path).unwrap();
        let Some(manifests) = compile(sources(&text), &options(&text)).manifests else {
            continue;
        };
        let objects: Vec<serde_json::Value> = manifests
            .objects()
            .map(|object| serde_json::to_value(object).unwrap())
            .collect();
        let yaml: Vec<serde_json::Value> =
            serde_saphyr::from_multiple(&manifests.to_yaml()).unwrap();
        assert_eq!(yaml, objects, "{}", path.display());
        let json: serde_json::Value = serde_json::from_str(&manifests.to_json()).unwrap();
        assert_eq!(
            json["items"],
            serde_json::Value::from(objects),
            "{}",
            path.display()
        );
        assert_eq!(manifests.len(), yaml.len(), "{}", path.display());
    }
}

fn example(code: Code) -> (String, Vec<Code>) {
    let page = code.page();
    let example = page
        .split("```kon\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let text = example
        .unwrap_or_else(|| panic!("{code} has no example"))
        .to_owned();
    let compiled = compile(sources(&text), &options(&text));
    let reported = compiled
        .diagnostics
        .iter()
        .map(|reported| reported.code)
        .collect();
    (text, reported)
}

#[test]
fn every_code_has_a_page_whose_example_triggers_it_alone() {
    for code in CODES.iter().copied().filter(|code| code.name() >= "K0200") {
        let page = code.page();
        assert!(
            page.starts_with(&format!("# {code}: {}\n", code.title())),
            "{code}: its title"
        );
        let (text, reported) = example(code);
        assert!(
            reported.iter().all(|other| *other == code),
            "{code}: {reported:?}\n{text}"
        );
        assert!(
            !reported.is_empty(),
            "{code}: its example has no diagnostic\n{text}"
        );
    }
}

#[test]
fn every_code_has_one_rule_file_with_its_title() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules");
    let mut heads: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .map(|text| text.lines().next().unwrap().to_owned())
        .collect();
    heads.sort();
    let codes = CODES.iter().filter(|code| code.name() >= "K0200");
    let expected: Vec<String> = codes
        .map(|code| format!("//! {code}: {}.", code.title()))
        .collect();
    assert_eq!(heads, expected);
}

#[test]
fn every_diagnostic_reads_as_expected() {
    let mut table = String::new();
    for code in CODES.iter().copied().filter(|code| code.name() >= "K0200") {
        let (text, _) = example(code);
        let compiled = compile(sources(&text), &options(&text));
        writeln!(table, "{}", rendered(&compiled)).unwrap();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    bless::compare(&folder.join("diagnostics.txt"), &table);
}

#[test]
fn what_a_page_says_to_write_instead_compiles_without_a_word() {
    for code in CODES.iter().copied().filter(|code| code.name() >= "K0200") {
        let instead = code
            .page()
            .split("```kon\n")
            .nth(2)
            .and_then(|rest| rest.split("```").next());
        let text = instead.unwrap_or_else(|| panic!("{code} does not say what to write"));
        let compiled = compile(sources(text), &options(text));
        assert_eq!(rendered(&compiled), "", "{code}\n{text}");
    }
}

#[test]
fn a_parameter_without_a_value_is_no_mistake_when_checking() {
    let text = r#"pipeline p {
        param regions: list<string>
        defaults { image = "busybox:1.36" }
        stage a for r in regions { run = "echo \"${r}\"" }
        stage b after a["eu"] { run = "true" }
    }"#;
    let checked = check(sources(text), &options(text));
    assert_eq!(rendered(&checked), "");
    assert!(checked.manifests.is_none());
    assert_eq!(checked.graph.unwrap().nodes[0].items, None);
    assert!(compile(sources(text), &options(text)).has_errors());
}
