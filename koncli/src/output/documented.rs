//! The fields of documents for programs, and what `docs/output.md` lists of them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// Returns the keys of a document, as the page writes them: `rows[].spans[].kind`.
pub(crate) fn keys(document: &Value) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    collect(document, "", &mut paths);
    paths
}

fn collect(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
    let has_fields = |value: &Value| value.is_object() || value.is_array();
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                collect(value, &path, paths);
            }
        }
        Value::Array(items) if items.is_empty() || items.iter().any(has_fields) => {
            for item in items {
                collect(item, &format!("{path}[]"), paths);
            }
        }
        _ => {
            paths.insert(path.to_owned());
        }
    }
}

/// Returns the fields that the table of a section lists.
pub(crate) fn documented(section: &str) -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/output.md");
    let page = std::fs::read_to_string(file).expect("docs/output.md");
    let title = format!("\n## {section}\n");
    let (_, section) = page.split_once(&title).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let listed = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    listed.map(str::to_owned).collect()
}
