//! The item of a pod, picked from the list of its Job. Pure.

use konductor_api::ItemSpec;
use serde_json::Value;

/// Characters of an item in a key.
const SLUG_MAX: usize = 40;

/// The item of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Names and values of the variables that the command gets.
    pub(crate) variables: Vec<(String, String)>,
    /// Its name in keys, which begins with its index, so that names have the order of the items.
    pub(crate) slug: String,
}

/// Picks the item of an index.
///
/// # Errors
/// If the list, the index or the item is not what the Job was made for; in words.
pub(crate) fn pick(spec: &ItemSpec, list: &str, index: &str) -> Result<Item, String> {
    let list: Value = serde_json::from_str(list)
        .map_err(|error| format!("the list of items is no JSON: {error}"))?;
    let Value::Array(items) = list else {
        return Err("the list of items is no JSON array".to_owned());
    };
    let number: usize = index
        .parse()
        .map_err(|_| format!("the index {index:?} of the pod is no number"))?;
    let Some(item) = items.get(number) else {
        let count = items.len();
        return Err(format!("there is no item {number}: the list has {count}"));
    };
    let mut variables = Vec::with_capacity(spec.variables.len());
    for variable in &spec.variables {
        let part = match &variable.field {
            None => item,
            Some(field) => item
                .get(field)
                .ok_or_else(|| format!("item {number} has no field {field}: it is {item}"))?,
        };
        variables.push((variable.name.clone(), text(part)));
    }
    // Of a record, the first field is what it is called.
    let name = match item {
        Value::Object(fields) => fields.values().next().map(text).unwrap_or_default(),
        other => text(other),
    };
    Ok(Item {
        variables,
        slug: slug(number, &name),
    })
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn slug(number: usize, name: &str) -> String {
    let plain = name.chars().map(|c| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    });
    let plain: String = plain.take(SLUG_MAX).collect();
    let plain = plain.trim_matches('-');
    match plain.is_empty() {
        true => format!("{number:05}"),
        false => format!("{number:05}-{plain}"),
    }
}

#[cfg(test)]
mod tests {
    use konductor_api::ItemVariable;

    use super::*;

    fn spec(variables: &[(&str, Option<&str>)]) -> ItemSpec {
        let variables = variables.iter().map(|(name, field)| ItemVariable {
            name: (*name).to_owned(),
            field: field.map(str::to_owned),
        });
        ItemSpec {
            variables: variables.collect(),
        }
    }

    #[test]
    fn an_item_becomes_variables_by_its_index_and_its_fields() {
        let whole = spec(&[("kon_x", None)]);
        let fields = spec(&[("kon_x_id", Some("id")), ("kon_x_n", Some("n"))]);
        let table = [
            (&whole, "[\"a b\",\"c\"]", "0", "kon_x=a b", "00000-a-b"),
            (&whole, "[1,2.5,true]", "1", "kon_x=2.5", "00001-2-5"),
            (&whole, "[\"日本\"]\n", "0", "kon_x=日本", "00000"),
            (
                &fields,
                "[{\"id\":\"eu\",\"n\":3}]",
                "0",
                "kon_x_id=eu kon_x_n=3",
                "00000-eu",
            ),
        ];
        for (spec, list, index, expected, slug) in table {
            let item = pick(spec, list, index).unwrap();
            let variables = item.variables.iter();
            let shown: Vec<String> = variables
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            assert_eq!(
                (shown.join(" ").as_str(), item.slug.as_str()),
                (expected, slug),
                "{list}"
            );
        }
    }

    #[test]
    fn an_item_that_is_not_there_is_an_error_that_says_so() {
        let fields = spec(&[("kon_x_id", Some("id"))]);
        let table = [
            (
                "",
                "0",
                "the list of items is no JSON: EOF while parsing a value at line 1 column 0",
            ),
            ("{}", "0", "the list of items is no JSON array"),
            ("[1]", "", "the index \"\" of the pod is no number"),
            ("[1]", "1", "there is no item 1: the list has 1"),
            (
                "[{\"n\":1}]",
                "0",
                "item 0 has no field id: it is {\"n\":1}",
            ),
        ];
        for (list, index, expected) in table {
            assert_eq!(
                pick(&fields, list, index),
                Err(expected.to_owned()),
                "{list}"
            );
        }
    }
}
