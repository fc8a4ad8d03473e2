//! What commands print with `-o json` has the fields that `docs/output.md` lists, and no other.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Dev, koncli};

/// Of the stages `a` and `b` one waits for what the other holds until the test creates a file.
const NIGHT: &str = r#"pipeline night {
  store { url = "file://STORE" }
  defaults { image = "busybox:1.36" }
  semaphore db { permits = 1 }
  lease schema { ttl = 30s }
  approval go {}
  stage a holding db, schema { run = "until [ -e released ]; do sleep 0.05; done" }
  stage each for n in ["x", "y"] after a.finished holding db {
    run = "echo \"${n}\" > \"${output.line}\""
    output line: file = "line.txt"
  }
  stage b holding db { run = "until [ -e released ]; do sleep 0.05; done" }
  stage split {
    run = "echo 'parts=[\"p\", \"q\"]' >> \"$KON_OUTPUT\"; mkdir \"${output.all}/sub\""
    output parts: list<string>
    output all: dir
  }
  stage count for part in split.parts { run = "echo \"${part}\"" }
  stage last after go { run = "true" }
}
"#;

const SMALL: &str = r#"pipeline small {
  defaults { image = "busybox:1.36" }
  stage part for n in ["x"] { run = "true" env { N = "${n}" } }
}
"#;

const SCHEDULED: &str = r#"pipeline weekly {
  schedule "0 0 29 2 *" { timezone = "Europe/Berlin" }
  stage work { image = "busybox:1.36" run = "true" }
}
"#;

/// The fields of a document as the page lists them, and whether each is in every document.
type Fields = BTreeMap<String, bool>;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/output.md");
    std::fs::read_to_string(path).unwrap()
}

fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    section.split("\n## ").next().unwrap()
}

/// The cells of the rows of a table, but for its head.
fn rows(section: &str) -> Vec<Vec<&str>> {
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// What stands in backticks.
fn words(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// A field that is not in every document is called absent.
fn add(fields: &mut Fields, cell: &str, meaning: &str) {
    let is_always_there = !meaning.contains("absent");
    fields.extend(words(cell).map(|field| (field.to_owned(), is_always_there)));
}

/// The fields of each kind of document.
fn listed(page: &str) -> BTreeMap<String, Fields> {
    let mut listed: BTreeMap<String, Fields> = BTreeMap::new();
    for heading in ["A run", "A graph", "A timeline"] {
        let fields = listed.entry(heading.to_owned()).or_default();
        let section = section(page, heading);
        // Said once for all fields.
        let text = section.replace('\n', " ");
        let all = match text.contains("A field is absent if there is nothing to say.") {
            true => "absent",
            false => "",
        };
        for row in rows(section) {
            add(fields, row[0], &format!("{}{all}", row[1]));
        }
    }
    for row in rows(section(page, "The others")) {
        let command = words(row[0]).next().unwrap();
        add(
            listed.entry(command.to_owned()).or_default(),
            row[1],
            row[2],
        );
    }
    listed
}

/// The fields that a document has, as the page writes them: `stages[].items[].job`.
fn printed(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                printed(value, &format!("{path}{dot}{field}"), paths);
            }
        }
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            for element in elements {
                printed(element, &format!("{path}[]"), paths);
            }
        }
        // An empty list has no fields; one of texts is a field.
        Value::Array(elements) if elements.is_empty() => {}
        _ => {
            paths.insert(path.to_owned());
        }
    }
}

/// Whether a field is missing at one of the places where it belongs.
fn lacks(value: &Value, field: &str) -> bool {
    let (name, rest) = field.split_once('.').unwrap_or((field, ""));
    let (name, is_list) = match name.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let value = match name {
        "" => value,
        _ => match value.get(name) {
            Some(value) => value,
            None => return true,
        },
    };
    match is_list {
        true => {
            let elements = value.as_array();
            elements.is_none_or(|elements| elements.iter().any(|element| lacks(element, rest)))
        }
        false => !rest.is_empty() && lacks(value, rest),
    }
}

/// What has been played: the commands, and the fields of each kind of document that were printed.
struct Law {
    listed: BTreeMap<String, Fields>,
    printed: BTreeMap<String, BTreeSet<String>>,
    commands: BTreeSet<String>,
}

impl Law {
    /// Holds a document against what is listed for it.
    fn hold(&mut self, command: &str, kind: &str, document: &Value) {
        self.commands.insert(command.to_owned());
        let fields = &self.listed[kind];
        let mut paths = BTreeSet::new();
        printed(document, "", &mut paths);
        for path in &paths {
            assert!(
                fields.contains_key(path),
                "`{command}` prints `{path}`, which the page does not list: {document:#}"
            );
        }
        for (field, is_always_there) in fields {
            assert!(
                !is_always_there || !lacks(document, field),
                "`{command}` does not print `{field}`: {document:#}"
            );
        }
        self.printed
            .entry(kind.to_owned())
            .or_default()
            .extend(paths);
    }

    fn output(&mut self, command: &str, kind: &str, output: &Output) {
        self.hold(command, kind, &document(output));
    }

    /// Objects have the fields of their kinds.
    fn objects(&mut self, command: &str, output: &Output) {
        self.commands.insert(command.to_owned());
        let document = document(output);
        let is_list = document["kind"] == "List";
        if is_list {
            let fields: BTreeSet<&str> = document
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(fields, BTreeSet::from(["apiVersion", "kind", "items"]));
        }
        let objects = match is_list {
            true => document["items"].as_array().unwrap().clone(),
            false => vec![document],
        };
        assert!(!objects.is_empty(), "{command}");
        for object in objects {
            for field in ["apiVersion", "kind", "metadata"] {
                assert!(!object[field].is_null(), "{command}: {field} of {object}");
            }
        }
    }
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let text = support::transcript(output);
        panic!("{error}: {text}")
    })
}

/// Waits until the run's document has a text.
fn until_status_has(dev: &Dev, run: &str, text: &str) -> Output {
    let begun = Instant::now();
    loop {
        let output = dev.koncli(&["status", run, "-o", "json"]);
        if String::from_utf8_lossy(&output.stdout).contains(text) {
            return output;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited for {text} in {}",
            support::transcript(&output)
        );
        std::thread::yield_now();
    }
}

#[test]
fn each_field_of_every_document_is_in_the_docs_and_each_listed_one_is_printed() {
    let page = page();
    let mut law = Law {
        listed: listed(&page),
        printed: BTreeMap::new(),
        commands: BTreeSet::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| -> String {
        let file = folder.path().join(name);
        let store = folder.path().join("store").display().to_string();
        std::fs::write(&file, text.replace("STORE", &store)).unwrap();
        file.display().to_string()
    };
    let night = written("night.kon", NIGHT);
    let small = written("small.kon", SMALL);
    let weekly = written("weekly.kon", SCHEDULED);
    let wrong = SMALL.replace(
        "  stage",
        "  stage last after prat { run = \"true\" }\n  stage",
    );
    let wrong = written("wrong.kon", &wrong);

    // Without a cluster.
    let alone = |arguments: &[&str]| {
        let arguments = arguments.iter().chain(&["-o", "json"]);
        koncli().args(arguments).output().unwrap()
    };
    law.output("check", "check", &alone(&["check", &wrong]));
    law.output("explain", "explain", &alone(&["explain", "K0201"]));
    law.output("explain", "explain", &alone(&["explain", "gate"]));
    law.output("version", "version", &alone(&["version"]));
    law.output("run", "A run", &alone(&["run", &small]));
    law.output("graph", "A graph", &alone(&["graph", &night]));
    law.output("graph", "A graph", &alone(&["graph", &weekly]));
    law.objects("compile", &alone(&["compile", &night]));
    law.objects("compile", &alone(&["compile", &weekly]));
    law.objects("crds", &alone(&["crds"]));
    law.objects("install", &alone(&["install", "--dry-run"]));

    let dev = Dev::start(folder.path());
    let asked = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().chain(&["-o", "json"]).copied().collect();
        dev.koncli(&arguments)
    };
    law.output("diff", "diff", &asked(&["diff", &night]));
    law.output("apply", "apply", &asked(&["apply", &night]));
    law.output("apply", "apply", &asked(&["apply", &weekly]));
    law.output("diff", "diff", &asked(&["diff", &night]));
    let status = until_status_has(&dev, "night", "\"holders\"");
    law.output("status", "A run", &status);
    law.output("why", "why", &asked(&["why", "night"]));
    law.output("why", "why", &asked(&["why", "night", "last"]));
    law.output("timeline", "A timeline", &asked(&["timeline", "night"]));
    law.output("doctor", "doctor", &asked(&["doctor"]));
    for kind in ["barrier", "gate", "semaphore", "lease"] {
        let listed = asked(&[kind, "list"]);
        let name = document(&listed)["items"][0]["metadata"]["name"].clone();
        law.objects(&format!("{kind} list"), &listed);
        let object = asked(&[kind, "get", name.as_str().unwrap()]);
        law.objects(&format!("{kind} get"), &object);
    }

    written("released", "");
    dev.printed(&["approve", "night-go"]);
    assert_eq!(
        dev.printed(&["wait", "run/night", "--timeout", "2m"]),
        "exit code 0\n"
    );
    law.output("status", "A run", &asked(&["status", "night"]));
    law.output("timeline", "A timeline", &asked(&["timeline", "night"]));
    law.output("graph", "A graph", &asked(&["graph", "night"]));
    law.output("files", "files", &asked(&["files", "night"]));
    let logs = asked(&["logs", "night"]);
    let timed = asked(&["logs", "night", "--timestamps"]);
    for lines in [logs, timed] {
        let text = String::from_utf8(lines.stdout).unwrap();
        assert!(!text.is_empty());
        for line in text.lines() {
            law.hold("logs", "logs", &serde_json::from_str(line).unwrap());
        }
    }
    let waited = asked(&["apply", &small, "--wait"]);
    law.output("apply", "A run", &waited);
    let schedule = asked(&["schedules", "weekly"]);
    law.output("schedules", "schedules NAME", &schedule);
    assert_eq!(document(&schedule)["slots"][0]["state"], "due");
    law.objects("schedules", &asked(&["schedules"]));
    law.objects("runs", &asked(&["runs"]));
    law.objects("status", &asked(&["status"]));

    for (kind, fields) in &law.listed {
        // koncli's own tests have one of each field of these.
        if ["A graph", "A timeline"].contains(&kind.as_str()) {
            continue;
        }
        let fields: BTreeSet<String> = fields.keys().cloned().collect();
        assert_eq!(law.printed.get(kind), Some(&fields), "{kind}");
    }
    let options = section(&page, "Which options a command takes");
    let takes_json = rows(options).into_iter().filter(|row| {
        let formats = row.last().unwrap().split(", ");
        formats.into_iter().any(|format| format == "json")
    });
    let takes_json = takes_json.map(|row| words(row[0]).next().unwrap().to_owned());
    let mut takes_json: BTreeSet<String> = takes_json.collect();
    // In the table it stands without --dry-run.
    takes_json.insert("install".to_owned());
    assert_eq!(law.commands, takes_json);
}
