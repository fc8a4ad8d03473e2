//! Diagnostics in SARIF 2.1.0, the format of code scanning.

use konductor_dsl::{Code, Diagnostic, Fix, Severity, Sources, Span};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::Files;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
const HOME: &str = "https://github.com/LogicIQ/konductor";
/// The characters of a path that a URI has as `%20` and the like.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// What was found in some files, as one run of a tool.
#[derive(Default)]
pub(crate) struct Log {
    /// The codes that were reported; results refer to them by their places.
    codes: Vec<Code>,
    results: Vec<Value>,
}

impl Log {
    /// Adds what was reported about some files.
    pub(crate) fn add(&mut self, sources: &Sources, diagnostics: &[Diagnostic]) {
        let files = Files::of(sources);
        for diagnostic in diagnostics {
            let index = self.codes.iter().position(|code| *code == diagnostic.code);
            let rule = index.unwrap_or_else(|| {
                self.codes.push(diagnostic.code);
                self.codes.len() - 1
            });
            self.results.push(result(&files, sources, diagnostic, rule));
        }
    }

    /// Returns the whole file.
    pub(crate) fn json(&self) -> Value {
        let rules = self.codes.iter().map(|code| {
            json!({
                "id": code.name(),
                "shortDescription": {"text": code.title()},
                // GitHub demands it.
                "fullDescription": {"text": first_paragraph(code.page())},
                "help": {
                    "text": format!("`koncli explain {code}` explains it."),
                    "markdown": code.page(),
                },
            })
        });
        let rules: Vec<Value> = rules.collect();
        json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {
                    "name": "koncli",
                    "version": env!("CARGO_PKG_VERSION"),
                    "informationUri": HOME,
                    "rules": rules,
                }},
                // Columns count characters, whatever plane they are of.
                "columnKind": "unicodeCodePoints",
                "results": self.results,
            }],
        })
    }
}

/// The first paragraph of a page, below its title.
fn first_paragraph(page: &str) -> String {
    let paragraph = page.split("\n\n").nth(1).unwrap_or_default();
    paragraph.replace('\n', " ")
}

fn result(files: &Files<'_>, sources: &Sources, diagnostic: &Diagnostic, rule: usize) -> Value {
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let text = match &diagnostic.help {
        Some(help) => format!("{}\n{help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let others = diagnostic.labels.iter().filter(|label| !label.primary);
    let others = others.enumerate().map(|(id, label)| {
        let mut location = location(files, label.span);
        location["id"] = id.into();
        location["message"] = json!({"text": label.text});
        location
    });
    let mut result = json!({
        "ruleId": diagnostic.code.name(),
        "ruleIndex": rule,
        "level": level,
        "message": {"text": text},
        "locations": [location(files, diagnostic.span())],
        "relatedLocations": others.collect::<Vec<_>>(),
    });
    let fixes: Vec<Value> = diagnostic
        .fixes
        .iter()
        .map(|fix| self::fix(files, sources, fix))
        .collect();
    if !fixes.is_empty() {
        result["fixes"] = fixes.into();
    }
    result
}

fn location(files: &Files<'_>, span: Span) -> Value {
    json!({"physicalLocation": {
        "artifactLocation": artifact(files, span),
        "region": region(files, span),
    }})
}

fn artifact(files: &Files<'_>, span: Span) -> Value {
    let name = files.get(span.source).map(|file| file.source.name.as_str());
    json!({"uri": uri(name.unwrap_or_default())})
}

fn region(files: &Files<'_>, span: Span) -> Value {
    let Some(file) = files.get(span.source) else {
        return json!({"startLine": 1});
    };
    let (start, end) = (file.line_column(span.start), file.line_column(span.end));
    json!({
        "startLine": start.0,
        "startColumn": start.1,
        "endLine": end.0,
        "endColumn": end.1,
    })
}

/// A fix, which changes one file: a diagnostic's fixes stay in the file that it is about.
fn fix(files: &Files<'_>, sources: &Sources, fix: &Fix) -> Value {
    let edits = fix.text_edits(sources);
    let at = edits.first().map(|edit| edit.span).unwrap_or_default();
    let replacements = edits.iter().map(|edit| {
        json!({
            "deletedRegion": region(files, edit.span),
            "insertedContent": {"text": edit.text},
        })
    });
    json!({
        "description": {"text": fix.message},
        "artifactChanges": [{
            "artifactLocation": artifact(files, at),
            "replacements": replacements.collect::<Vec<_>>(),
        }],
    })
}

/// A path as a reference of URIs: relative to where the tool runs, or a whole one.
fn uri(path: &str) -> String {
    let encoded = utf8_percent_encode(path, ENCODED);
    let has_drive = path.as_bytes().get(1..3) == Some(b":/");
    match path.starts_with('/') {
        true => format!("file://{encoded}"),
        false if has_drive => format!("file:///{encoded}"),
        false => encoded.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use konductor_compiler::{Options, check};

    use super::*;

    fn log(name: &str, text: &str) -> Value {
        let mut sources = Sources::default();
        sources.add(name, text);
        let compiled = check(sources, &Options::at(jiff::Timestamp::UNIX_EPOCH));
        let mut log = Log::default();
        log.add(&compiled.sources, &compiled.diagnostics);
        log.json()
    }

    #[test]
    fn a_result_has_its_rule_its_places_and_its_fix() {
        let text = "pipeline p {\n  stage a { image = \"a:1\", retreis = 1 }\n}\n";
        let log = log("my flows/p.kon", text);
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0]["id"], "K0203");
        let region = json!({"startLine": 2, "startColumn": 28, "endLine": 2, "endColumn": 35});
        let expected = json!([{
            "ruleId": "K0203",
            "ruleIndex": 0,
            "level": "error",
            "message": {"text": "`retreis` is not an attribute here\nwrite `retries`"},
            "locations": [{"physicalLocation": {
                "artifactLocation": {"uri": "my%20flows/p.kon"},
                "region": region,
            }}],
            "relatedLocations": [],
            "fixes": [{
                "description": {"text": "write `retries`"},
                "artifactChanges": [{
                    "artifactLocation": {"uri": "my%20flows/p.kon"},
                    "replacements": [{
                        "deletedRegion": region,
                        "insertedContent": {"text": "retries"},
                    }],
                }],
            }],
        }]);
        assert_eq!(run["results"], expected);
    }

    #[test]
    fn every_code_is_described() {
        for code in konductor_dsl::CODES {
            let text = first_paragraph(code.page());
            assert!(
                text.ends_with(['.', ':', ')']) && !text.contains('\n'),
                "{code}: {text}"
            );
        }
    }

    #[test]
    fn paths_are_references_of_uris() {
        let table = [
            ("a/b.kon", "a/b.kon"),
            ("/a/b.kon", "file:///a/b.kon"),
            ("C:/a/b.kon", "file:///C%3A/a/b.kon"),
            ("a b/ü#.kon", "a%20b/%C3%BC%23.kon"),
        ];
        for (path, expected) in table {
            assert_eq!(uri(path), expected);
        }
    }
}
