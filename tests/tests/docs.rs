//! The pages of `docs/` are true: links lead somewhere, tables are those of the CRDs, examples are
//! accepted. What their commands print is played by `transcripts.rs`, and by the scenarios of a real
//! cluster.

#[path = "../bless.rs"]
mod bless;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use konductor_compiler::{Object, Options, compile};
use konductor_dsl::Sources;
use konductor_tests::cluster::Cluster;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, ResourceExt};
use regex::Regex;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All pages, of everything: `target` and hidden folders have none.
fn pages(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            pages(&path, paths);
        } else if name.ends_with(".md") {
            paths.push(path);
        }
    }
}

/// A page without what stands in blocks of code.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The anchors of a page's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| bless::anchor(line.trim_start_matches('#').trim()))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("a pattern");
    let mut all = Vec::new();
    pages(&root(), &mut all);
    let mut checked = 0;
    let mut broken = String::new();
    for page in all {
        let text = read(&page);
        for captures in link.captures_iter(&prose(&text)) {
            let target = &captures[1];
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => page.clone(),
                file => page.parent().expect("a folder").join(file),
            };
            let has_anchor = || anchor.is_empty() || anchors(&read(&file)).contains(anchor);
            if !file.exists() || !has_anchor() {
                let _ = writeln!(broken, "{}: {target}", page.display());
            }
        }
    }
    assert!(checked > 40, "only {checked} links");
    assert_eq!(broken, "");
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let docs = root().join("docs");
    let summary = read(&docs.join("SUMMARY.md"));
    let mut all = Vec::new();
    pages(&docs, &mut all);
    let names = all.iter().map(|page| {
        page.strip_prefix(&docs)
            .expect("a page")
            .display()
            .to_string()
    });
    let missing: Vec<_> = names
        .filter(|name| name != "SUMMARY.md" && !summary.contains(&format!("({name})")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn llms_txt_lists_every_page_of_the_book() {
    let docs = root().join("docs");
    let link = Regex::new(r"\(([a-z/-]+\.md)\)").expect("a pattern");
    let pages = |name: &str| -> BTreeSet<String> {
        let text = read(&docs.join(name));
        let targets = link
            .captures_iter(&text)
            .map(|captures| captures[1].to_owned());
        targets.collect()
    };
    assert_eq!(pages("llms.txt"), pages("SUMMARY.md"));
}

/// Pages whose snippets other tests check: `compiler/tests/manual.rs`, `transcripts.rs`.
const CHECKED_ELSEWHERE: [&str; 4] = [
    "language.md",
    "scenarios.md",
    "start.md",
    "troubleshooting.md",
];

/// Blocks of a page that begin with this word; the rest of that line, and the text.
fn blocks<'a>(text: &'a str, word: &str) -> Vec<(&'a str, &'a str)> {
    let fence = format!("\n```{word}");
    let rests = text.split(fence.as_str()).skip(1);
    let split = rests.filter_map(|rest| {
        let (info, rest) = rest.split_once('\n')?;
        Some((info.trim(), rest.split("```").next()?))
    });
    split.collect()
}

#[test]
fn pipelines_in_the_docs_compile_without_a_warning() {
    let docs = root().join("docs");
    let mut all = vec![root().join("README.md")];
    pages(&docs, &mut all);
    let mut checked = 0;
    for page in all {
        let name = page.file_name().expect("a name").to_string_lossy();
        // The pages of diagnostics are those of `dsl/codes`.
        if CHECKED_ELSEWHERE.contains(&&*name) || page.starts_with(docs.join("diagnostics")) {
            continue;
        }
        for (info, text) in blocks(&read(&page), "kon") {
            let file = match info {
                "" => text.to_owned(),
                "pipeline" => format!(
                    "pipeline snippet {{\n  defaults {{ image = \"busybox:1.36\" }}\n{text}}}\n"
                ),
                other => panic!("{name}: ```kon {other}"),
            };
            let mut sources = Sources::default();
            sources.add("snippet.kon", file);
            let compiled = compile(
                sources,
                &Options::at("2026-01-31T02:00:00Z".parse().expect("a time")),
            );
            assert_eq!(compiled.diagnostics, [], "{name}:\n{text}");
            checked += 1;
        }
    }
    assert!(checked >= 7, "only {checked} snippets");
}

/// Everything in the repository that may define a test: its text.
fn sources_of_tests(folder: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            sources_of_tests(&path, sources);
        } else if name.ends_with(".rs") || name.ends_with(".go") {
            sources.push_str(&read(&path));
        }
    }
}

#[test]
fn every_test_that_an_invariant_names_exists() {
    let mut sources = String::new();
    sources_of_tests(&root(), &mut sources);
    let text = read(&root().join("docs/invariants.md"));
    let name = Regex::new("`([^`]+)`").expect("a pattern");
    let mut checked = 0;
    for invariant in text.split("- **Invariant:**").skip(1) {
        let (_, tests) = invariant.split_once("*`").expect("tests of an invariant");
        let tests = format!("`{tests}");
        for captures in name.captures_iter(&tests) {
            let name = &captures[1];
            let exists = match name.contains(['/', '.']) {
                true => {
                    let fixtures = root().join("compiler/tests/fixtures").join(name);
                    root().join(name).exists() || fixtures.exists()
                }
                false => sources.contains(&format!("fn {name}(")),
            };
            assert!(exists, "{name} does not exist:{invariant}");
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} tests");
}

/// Whether a test of this name is defined: a function, a trial of a harness, or a function of Go.
fn is_defined(sources: &str, name: &str) -> bool {
    let shapes = [
        format!("fn {name}("),
        format!("\"{name}\","),
        format!("func {name}("),
    ];
    shapes.iter().any(|shape| sources.contains(shape))
}

#[test]
fn every_attack_of_the_security_page_has_a_test_that_exists() {
    let mut sources = String::new();
    sources_of_tests(&root(), &mut sources);
    let text = read(&root().join("docs/security.md"));
    let name = Regex::new("`([a-z0-9]+(?:_[a-z0-9]+){3,}|Test[A-Z][A-Za-z]+)`").expect("a pattern");
    let mut checked = 0;
    for captures in name.captures_iter(&text) {
        assert!(
            is_defined(&sources, &captures[1]),
            "{} does not exist",
            &captures[1]
        );
        checked += 1;
    }
    assert!(checked > 80, "only {checked} tests");
    let (_, table) = text.split_once("<!-- attacks -->").expect("a table");
    let (table, _) = table.split_once("<!-- end -->").expect("its end");
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let rows: Vec<&str> = rows
        .skip(1)
        .filter(|line| !line.starts_with("|--"))
        .collect();
    assert!(rows.len() > 35, "only {} attacks", rows.len());
    for row in rows {
        assert!(name.is_match(row), "no test: {row}");
    }
}

#[test]
fn every_path_that_a_page_for_contributors_names_exists() {
    let path = Regex::new(r"`([a-z_./-]+/[a-z_./-]*)`").expect("a pattern");
    let mut checked = 0;
    for page in [
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
        "docs/own-code.md",
        "docs/glossary.md",
        "local/README.md",
    ] {
        let text = prose(&read(&root().join(page)));
        for captures in path.captures_iter(&text) {
            let target = &captures[1];
            let inside = target.split('/').next().expect("a folder");
            // A path within a folder that the sentence names, or an output of a build.
            if !root().join(inside).exists() || inside == "target" {
                continue;
            }
            assert!(root().join(target).exists(), "{page}: {target}");
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} paths");
}

/// The fields of a kind's spec and status, as a table.
fn fields(crd: &Value) -> String {
    let mut table = "\n| field | type | | |\n|---|---|---|---|\n".to_owned();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    for part in ["spec", "status"] {
        let required = schema[part]["required"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let properties = schema[part]["properties"].as_object();
        for (name, field) in properties.into_iter().flatten() {
            let values = field["enum"].as_array();
            let values = values.map(|values| {
                let words = values.iter().filter_map(Value::as_str);
                words.collect::<Vec<_>>().join(" \\| ")
            });
            let kind = values.unwrap_or_else(|| field["type"].as_str().unwrap_or("any").to_owned());
            let note = match &field["default"] {
                _ if required.contains(&name.as_str().into()) => "required".to_owned(),
                Value::Null => String::new(),
                Value::String(text) => format!("default {text}"),
                Value::Array(_) => String::new(),
                default if part == "spec" => format!("default {default}"),
                _ => String::new(),
            };
            let text = field["description"].as_str().unwrap_or_default();
            let text = text.replace('\n', " ");
            let _ = writeln!(table, "| `{part}.{name}` | {kind} | {note} | {text} |");
        }
    }
    table.push('\n');
    table
}

/// The reasons, with their doc comments.
fn reasons() -> String {
    let source = read(&root().join("api/src/condition.rs"));
    let reason = Regex::new("/// ([^\n]*)\n    pub const [A-Z_]+: &str = \"([A-Za-z]+)\"");
    let reason = reason.expect("a pattern");
    let mut table = "\n| reason | |\n|---|---|\n".to_owned();
    let (_, source) = source.split_once("pub mod reason").expect("reasons");
    for captures in reason.captures_iter(source) {
        let _ = writeln!(table, "| `{}` | {} |", &captures[2], &captures[1]);
    }
    table.push('\n');
    table
}

#[test]
fn the_tables_of_the_primitives_are_those_of_the_crds() {
    let page = root().join("docs/primitives.md");
    let text = read(&page);
    let crds: Vec<Value> = konductor_api::crds()
        .iter()
        .map(|crd| serde_json::to_value(crd).expect("JSON"))
        .collect();
    let marker = Regex::new(r"(?s)<!-- (fields of (\w+)|reasons) -->\n.*?<!-- end -->");
    let marker = marker.expect("a pattern");
    let mut seen = Vec::new();
    let expected = marker.replace_all(&text, |captures: &regex::Captures<'_>| {
        let table = match captures.get(2) {
            None => reasons(),
            Some(kind) => {
                seen.push(kind.as_str().to_owned());
                let is_kind = |crd: &&Value| crd["spec"]["names"]["kind"] == kind.as_str();
                fields(crds.iter().find(is_kind).expect("a kind"))
            }
        };
        format!("<!-- {} -->\n{table}<!-- end -->", &captures[1])
    });
    let expected = expected.into_owned();
    assert_eq!(seen.len(), crds.len(), "each kind has its table: {seen:?}");
    bless::compare(&page, &expected);
}

/// A pipeline with everything that a schedule's pods need a right for.
fn scheduled(overlap: &str) -> Vec<Object> {
    let mut sources = Sources::default();
    let text = format!(
        r#"pipeline night {{
  schedule "0 3 * * *" {{ timezone = "Europe/Berlin", overlap = {overlap} }}
  semaphore source {{ permits = 2 }}
  lease schema {{ ttl = 1m }}
  workspace data {{ size = 1Gi }}
  defaults {{ image = "busybox:1.36" }}
  stage first holding source, schema {{ run = "true" mount data at "/data" }}
}}
"#
    );
    sources.add("night.kon", text);
    let now = "2026-01-31T02:00:00Z".parse().expect("a time");
    let compiled = compile(sources, &Options::at(now));
    let schedule = compiled.schedule;
    let schedule = schedule.unwrap_or_else(|| panic!("{:#?}", compiled.diagnostics));
    schedule.objects().to_vec()
}

/// What a schedule's Role allows: resource, and whether only those of its own pipeline; then the verbs.
fn granted(overlap: &str) -> BTreeMap<(String, String), String> {
    let objects = scheduled(overlap).into_iter();
    let mut roles = objects.filter_map(|object| match object {
        Object::Role(role) => Some(role),
        _ => None,
    });
    let rules = roles.next().expect("a Role").rules.expect("rules");
    let rights = rules.into_iter().map(|rule| {
        let [group] = &rule.api_groups.expect("groups")[..] else {
            panic!("one group in a rule")
        };
        let [resource] = &rule.resources.expect("resources")[..] else {
            panic!("one resource in a rule")
        };
        let resource = match group.as_str() {
            "" => format!("`{resource}`"),
            group => format!("`{resource}.{group}`"),
        };
        let names = rule.resource_names.unwrap_or_default();
        assert!(
            names.iter().all(|name| name.starts_with("night")),
            "{names:?}"
        );
        let which = if names.is_empty() { "any" } else { "its own" };
        ((resource, which.to_owned()), rule.verbs.join(", "))
    });
    rights.collect()
}

#[test]
fn the_table_of_a_schedule_s_rights_is_what_its_role_allows() {
    let text = read(&root().join("docs/security.md"));
    let (_, table) = text
        .split_once("<!-- rights of a schedule -->\n")
        .expect("a table");
    let (table, _) = table.split_once("<!-- end -->").expect("its end");
    for (column, overlap) in ["allow", "skip", "replace"].into_iter().enumerate() {
        let rows = table.lines().skip(2).map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            assert!(!cells[5].is_empty(), "{row} says what for");
            let verbs = cells[2 + column].to_owned();
            ((cells[0].to_owned(), cells[1].to_owned()), verbs)
        });
        let documented = rows.filter(|(_, verbs)| !verbs.is_empty()).collect();
        assert_eq!(granted(overlap), documented, "overlap = {overlap}");
    }
}

/// The examples of pages that nobody plays.
#[tokio::test]
async fn every_example_of_a_primitive_is_accepted() {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("docs").await;
    let text = read(&root().join("docs/primitives.md"));
    let blocks = text.split("```yaml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let mut kinds = BTreeSet::new();
    for block in blocks {
        let object: DynamicObject =
            serde_saphyr::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
        let types = object.types.clone().expect("a kind");
        let gvk = GroupVersionKind::gvk("konductor.io", "v1", &types.kind);
        let resource = ApiResource::from_gvk(&gvk);
        let api: Api<DynamicObject> =
            Api::namespaced_with(cluster.client.clone(), &namespace, &resource);
        let created = api.create(&PostParams::default(), &object).await;
        let created = created.unwrap_or_else(|error| panic!("{error}: {block}"));
        // Nothing was dropped as unknown.
        let spec = &object.data["spec"];
        let stored = &created.data["spec"];
        for (field, value) in spec.as_object().into_iter().flatten() {
            assert!(
                !stored[field].is_null(),
                "{}: {field}: {value}",
                created.name_any()
            );
        }
        kinds.insert(types.kind);
    }
    let all = konductor_api::crds()
        .into_iter()
        .map(|crd| crd.spec.names.kind);
    assert_eq!(kinds, all.collect(), "each kind has an example");
}
