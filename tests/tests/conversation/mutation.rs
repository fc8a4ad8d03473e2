//! Every manifest with every field broken in every way: what validation says to each.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::speak::Request;

/// A conversation for each manifest, as dry runs: nothing is stored. The first is valid.
pub(crate) fn conversations(manifests: &str) -> BTreeMap<String, Vec<Request>> {
    let manifests: Vec<Value> = serde_saphyr::from_multiple(manifests).expect("manifests");
    let conversations = manifests.iter().map(|manifest| {
        let kind = manifest["kind"].as_str().expect("a kind").to_lowercase();
        let path = format!(
            "POST /apis/konductor.io/v1/namespaces/{{ns}}/{kind}s?dryRun=All&fieldValidation=Strict"
        );
        let broken = std::iter::once(manifest.clone()).chain(mutations(manifest));
        let requests = broken.map(|manifest| Request::new(path.clone(), manifest));
        (format!("broken-{kind}"), requests.collect())
    });
    conversations.collect()
}

/// Each field below `spec` without its value, with one of another type, and at the edges.
fn mutations(manifest: &Value) -> Vec<Value> {
    let mut pointers = Vec::new();
    fields(&manifest["spec"], "/spec", &mut pointers);
    let mut broken = Vec::new();
    for pointer in pointers {
        let value = manifest.pointer(&pointer).expect("a field");
        for other in others(value) {
            let mut mutation = manifest.clone();
            *mutation.pointer_mut(&pointer).expect("a field") = other;
            broken.push(mutation);
        }
        let (parent, name) = pointer.rsplit_once('/').expect("a path");
        let mut without = manifest.clone();
        match without.pointer_mut(parent) {
            Some(Value::Object(fields)) => {
                fields.remove(name);
            }
            Some(Value::Array(values)) => {
                values.remove(name.parse().expect("an index"));
            }
            other => panic!("{parent}: {other:?}"),
        }
        broken.push(without);
    }
    let mut unknown = manifest.clone();
    unknown["spec"]["unknown"] = json!(1);
    broken.push(unknown);
    broken
}

fn fields(value: &Value, pointer: &str, pointers: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        Value::Array(values) => (0..)
            .map(|index: usize| index.to_string())
            .zip(values)
            .collect(),
        _ => Vec::new(),
    };
    for (name, value) in children {
        let pointer = format!("{pointer}/{name}");
        fields(value, &pointer, pointers);
        pointers.push(pointer);
    }
}

/// Values that are probably wrong there.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::String(_) => vec![
            json!(""),
            json!("Not A Name!"),
            json!(7),
            json!(null),
            json!("x".repeat(300)),
        ],
        Value::Number(_) => vec![
            json!(-1),
            json!(0),
            json!(1_000_001),
            json!(1.5),
            json!("1"),
            json!(null),
        ],
        Value::Bool(_) => vec![json!("true"), json!(null)],
        Value::Array(_) => vec![json!([]), json!({}), json!([{}]), json!(["x"])],
        Value::Object(_) => vec![json!({}), json!([]), json!("x"), json!(null)],
        Value::Null => Vec::new(),
    }
}
