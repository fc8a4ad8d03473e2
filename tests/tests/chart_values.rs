//! Every text that the chart's values take, with texts that mean something to YAML, to CEL, to templates or to a
//! shell: either the schema refuses it and names the value, or it stands in the objects as it was given. The values
//! are read from the schema, so a new one is tried, too. Needs helm, which is built with the real control plane.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use konductor_tests::cluster::{Wanted, wanted};
use konductor_tests::scenario::chart;
use serde_json::{Map, Value, json};

/// Texts that mean something to somebody. Words of YAML come first: what reads the objects may take them for
/// something else wherever they stand without quotes.
const WORDS: [&str; 11] = [
    "true", "null", "no", "on", "off", "yes", "y", "n", "123", "1e3", "0x1f",
];
const TEXTS: [&str; 34] = [
    "\"",
    "'",
    "\\",
    "a\"b'c\\d",
    "a\nb",
    "a\n\n",
    "\n",
    "a\n  b: c\n",
    " before",
    "behind ",
    "\t",
    "a\r\nb",
    "a: b",
    "a #b",
    "- a",
    "[a, b]",
    "{a: b}",
    "&a *b",
    "!!binary x",
    "---",
    "...",
    "%TAG",
    "@a",
    "`a`",
    "~",
    "{{ .Release.Name }}",
    "{{",
    "}}",
    "' || true || '",
    "x\"] || true || \"\" in [\"",
    "')) || ((true) || ('",
    "$(A) ${B}",
    "\u{2028}\u{feff}\u{1f680}",
    "--a=b",
];
const LONG: usize = 300;

/// What a chart's value takes a text for: its path in the values. `*` stands for a key that people choose, and `KEY`
/// at the end for that key itself.
type Leaf = Vec<String>;

/// Every place of the schema where people write a text.
fn leaves() -> Vec<Leaf> {
    let path = repository().join("charts/konductor/values.schema.json");
    let text = std::fs::read_to_string(path).expect("a schema");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    let mut leaves = Vec::new();
    collect(&schema, &schema, &mut Vec::new(), &mut leaves);
    leaves
}

fn collect(schema: &Value, node: &Value, path: &mut Vec<String>, leaves: &mut Vec<Leaf>) {
    if let Some(name) = node["$ref"].as_str() {
        let name = name.strip_prefix('#').expect("a reference to a definition");
        let definition = schema.pointer(name).expect("the definition exists");
        return collect(schema, definition, path, leaves);
    }
    for alternatives in ["allOf", "oneOf"] {
        for node in node[alternatives].as_array().into_iter().flatten() {
            collect(schema, node, path, leaves);
        }
    }
    let mut inner = |step: &str, node: &Value| {
        path.push(step.to_owned());
        collect(schema, node, path, leaves);
        path.pop();
    };
    let is = |kind: &str| node["type"] == kind;
    for (name, node) in node["properties"].as_object().into_iter().flatten() {
        inner(name, node);
    }
    let maps = node["patternProperties"].as_object().into_iter().flatten();
    for (_, node) in maps.filter(|(_, node)| node.is_object()) {
        inner("*", node);
        inner("KEY", &json!({"type": "string"}));
    }
    if is("array") {
        inner("0", node.get("items").unwrap_or(&Value::Null));
    }
    let is_open =
        is("object") && node.get("properties").is_none() && node.get("patternProperties").is_none();
    if is("string") || (is_open && path[0] != "global") {
        leaves.push(path.clone());
    }
}

/// A text as it is written at a leaf: objects of Kubernetes' own, about which the chart knows nothing, get it as a
/// member.
fn written(leaf: &[String], text: &str) -> Value {
    let is_member = |name: &str| leaf.iter().any(|step| step == name);
    let mut value = match leaf.last().map(String::as_str) {
        Some("KEY") => json!({text: "v"}),
        Some("0")
            if !["operatorUsers", "extraArgs", "watchNamespaces"]
                .iter()
                .any(|name| is_member(name)) =>
        {
            json!([{"name": text}])
        }
        Some("0") => json!([text]),
        Some("*") => json!({"k": text}),
        Some(name) => json!({name: text}),
        None => Value::Null,
    };
    let open = [
        "resources",
        "affinity",
        "podSecurityContext",
        "containerSecurityContext",
        "strategy",
        "dnsConfig",
    ];
    if let [name] = leaf
        && open.contains(&name.as_str())
    {
        value = json!({name: {"k": text}});
    }
    for step in leaf.iter().rev().skip(1) {
        value = json!({step: value});
    }
    value
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// JSON that is YAML, too, whatever the texts hold.
fn ascii(values: &Value) -> String {
    let mut text = String::new();
    for c in values.to_string().chars() {
        // YAML has no pairs of surrogates.
        match (c.is_ascii() && c != '\x7f') || c > '\u{ffff}' {
            true => text.push(c),
            false => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    text
}

struct Helm {
    program: std::path::PathBuf,
    folder: tempfile::TempDir,
}

impl Helm {
    /// Renders the chart with texts at some leaves, and everything switched on.
    fn template<'a>(&self, texts: impl Iterator<Item = (&'a Leaf, String)>) -> Output {
        let mut values = json!({
            "crds": {"install": false},
            "networkPolicy": {"create": true},
            "metrics": {
                "serviceMonitor": {"create": true},
                "rules": {"enabled": true},
                "dashboard": {"enabled": true},
            },
            "policies": {"boundHolders": true},
        });
        for (leaf, text) in texts {
            merge(&mut values, written(leaf, &text));
        }
        let file = self.folder.path().join("values.json");
        std::fs::write(&file, ascii(&values)).expect("values are written");
        Command::new(&self.program)
            .args(["template", "true", "charts/konductor", "--namespace", "123"])
            .args(["--kube-version", "1.36.0", "--values"])
            .arg(file)
            .current_dir(repository())
            .output()
            .expect("helm runs")
    }
}

/// The objects of a rendered chart.
fn objects(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).expect("UTF-8");
    let parsed: Vec<Value> = serde_saphyr::from_multiple(text)
        .unwrap_or_else(|error| panic!("the chart renders no YAML: {error}\n{text}"));
    let objects = parsed.into_iter().filter(|object| !object.is_null());
    objects.collect()
}

/// What a leaf holds where its place in the objects is looked for: a text that nothing else holds.
fn marker(number: usize) -> String {
    format!("zq{number}qz")
}

/// The objects with texts in place of markers.
fn filled_in(node: &Value, texts: &BTreeMap<String, String>) -> Value {
    let fill = |text: &str| {
        if let Some(list) = operators(text) {
            let list = filled_in(&list, texts);
            return cel_with(text, &list);
        }
        let filled = texts.iter().fold(text.to_owned(), |text, (marker, value)| {
            text.replace(marker, value)
        });
        Value::String(filled)
    };
    match node {
        Value::String(text) => fill(text),
        Value::Array(items) => items.iter().map(|item| filled_in(item, texts)).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| {
                let key = texts
                    .iter()
                    .fold(key.clone(), |key, (marker, text)| key.replace(marker, text));
                (key, filled_in(value, texts))
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

const IN: &str = "request.userInfo.username in ";

/// The list of the operator's users in a CEL expression, which is written as JSON.
fn operators(expression: &str) -> Option<Value> {
    let (_, list) = expression.split_once(IN)?;
    let mut values = serde_json::Deserializer::from_str(list).into_iter();
    values.next()?.ok()
}

/// The expression with a list in a form of its own, so that two ways to write a character are one.
fn cel_with(expression: &str, list: &Value) -> Value {
    let (before, after) = expression.split_once(IN).expect("it has the list");
    let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
    values.next();
    let rest = &after[values.byte_offset()..];
    json!({"before": before, "list": list, "behind": rest})
}

/// Tries one text everywhere. Returns the leaves that take it.
fn take(helm: &Helm, leaves: &[Leaf], text: &str) -> BTreeSet<usize> {
    let all = leaves.iter().map(|leaf| (leaf, text.to_owned()));
    let output = helm.template(all);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let taken: BTreeSet<usize> = (0..leaves.len())
        .filter(|number| {
            let steps = leaves[*number].iter().filter(|step| *step != "KEY");
            let pointer: String = steps
                .map(|step| format!("/{step}").replace('*', "k"))
                .collect();
            // A value is named with its path, and a key with the path of its map.
            let names = [format!("at '{pointer}':"), format!("at '{pointer}' ")];
            !names.iter().any(|name| said.contains(name))
        })
        .collect();
    let of_taken = |text: &dyn Fn(usize) -> String| {
        let texts: Vec<_> = taken
            .iter()
            .map(|number| (&leaves[*number], text(*number)))
            .collect();
        let output = helm.template(texts.into_iter());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{text:?} is neither refused by name nor taken: {said}",
            text = text(0)
        );
        output
    };
    let rendered = of_taken(&|_| text.to_owned());
    let texts = taken
        .iter()
        .map(|number| (marker(*number), text.to_owned()))
        .collect();
    let expected = of_taken(&marker);
    let expected: Vec<Value> = objects(&expected)
        .iter()
        .map(|object| filled_in(object, &texts))
        .collect();
    let nothing = BTreeMap::new();
    let actual: Vec<Value> = objects(&rendered)
        .iter()
        .map(|object| filled_in(object, &nothing))
        .collect();
    for (actual, expected) in actual.iter().zip(&expected) {
        assert_eq!(actual, expected, "with {text:?} everywhere");
    }
    assert_eq!(actual.len(), expected.len(), "with {text:?} everywhere");
    if WORDS.contains(&text) {
        let printed = String::from_utf8_lossy(&rendered.stdout).into_owned();
        let bare = [format!(": {text}"), format!("- {text}")];
        // Booleans and numbers of the chart's own.
        let own = [
            "automount",
            "honorLabels",
            "hostNetwork",
            "allowPrivilegeEscalation",
            "readOnlyRootFilesystem",
            "runAsNonRoot",
        ];
        let mut lines = printed
            .lines()
            .filter(|line| bare.iter().any(|bare| line.ends_with(bare)));
        let line = lines.find(|line| !own.iter().any(|name| line.contains(name)));
        assert_eq!(line, None, "YAML reads this as something else than a text");
    }
    taken
}

#[test]
fn every_text_of_the_charts_values_is_refused_by_name_or_stays_as_it_is() {
    if wanted() != Wanted::Real {
        eprintln!("skipped: helm is built with a real control plane");
        return;
    }
    let helm = Helm {
        program: chart::program(),
        folder: tempfile::tempdir().expect("a folder"),
    };
    let leaves = leaves();
    assert!(leaves.len() >= 35, "{leaves:?}");
    let long = "x".repeat(LONG);
    let texts = WORDS.into_iter().chain(TEXTS).chain([long.as_str()]);
    let mut taken = BTreeMap::<usize, usize>::new();
    let mut tried = 0;
    for text in texts {
        tried += 1;
        for leaf in take(&helm, &leaves, text) {
            *taken.entry(leaf).or_default() += 1;
        }
    }
    println!("{tried} texts for each of {} values:", leaves.len());
    for (number, leaf) in leaves.iter().enumerate() {
        let taken = taken.get(&number).copied().unwrap_or_default();
        println!(
            "{}: {taken} taken, {} refused",
            leaf.join("."),
            tried - taken
        );
    }
    // What Kubernetes takes any text for is taken; what it doesn't is refused before anything is installed.
    let count = |path: &str| {
        let number = leaves.iter().position(|leaf| leaf.join(".") == path);
        taken.get(&number.expect(path)).copied().unwrap_or_default()
    };
    assert_eq!(count("podAnnotations.*"), tried);
    assert_eq!(count("extraArgs.0"), tried);
    assert!(count("policies.operatorUsers.0") >= 30);
    for path in [
        "fullnameOverride",
        "image.digest",
        "commonLabels.*",
        "serviceAccount.name",
    ] {
        assert!(count(path) <= WORDS.len(), "{path}");
    }
}
