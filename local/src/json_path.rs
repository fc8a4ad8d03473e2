//! The JSONPath that printer columns and selectable fields use.
//!
//! `.a.b`, `['a.b']`, `[0]`, `[*]` and `[?(@.key=="value")]` are known; everything else is
//! refused when the path is parsed, never when it is used.

use serde_json::Value;

/// A path, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    Each,
    /// The items in which this path has this value.
    Where(Vec<String>, Value),
}

impl JsonPath {
    /// Reads a path such as `.status.conditions[?(@.type=="Ready")].status`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let end = closing(after)?;
                steps.push(bracket(&after[..end])?);
                rest = &after[end + 1..];
                continue;
            }
            let (name, after) = field(rest.strip_prefix('.')?)?;
            if name == "*" {
                steps.push(Step::Each);
            } else if !name.is_empty() {
                steps.push(Step::Field(name));
            }
            rest = after;
        }
        Some(Self(steps))
    }

    /// All values at the path.
    pub(crate) fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut values = vec![value];
        for step in &self.0 {
            values = values
                .into_iter()
                .flat_map(|value| step.select(value))
                .collect();
        }
        values
    }
}

impl Step {
    fn select<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Step::Field(name) => value.get(name).into_iter().collect(),
            Step::Index(index) => value.get(*index).into_iter().collect(),
            Step::Each => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Step::Where(path, expected) => {
                let items = value.as_array().into_iter().flatten();
                let matching = items.filter(|item| {
                    let actual = path.iter().try_fold(*item, |value, name| value.get(name));
                    actual == Some(expected)
                });
                matching.collect()
            }
        }
    }
}

/// A field's name up to the next step; `\.` is a dot in it.
fn field(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?.1),
            '.' | '[' => return Some((name, &text[at..])),
            ']' | '{' | '}' | '?' | '(' | ')' => return None,
            character => name.push(character),
        }
    }
    Some((name, ""))
}

/// Where the bracket closes, quotes aside.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match quote {
            Some(open) if open == character => quote = None,
            Some(_) => {}
            None if character == '\'' || character == '"' => quote = Some(character),
            None if character == ']' => return Some(at),
            None => {}
        }
    }
    None
}

fn bracket(inside: &str) -> Option<Step> {
    let inside = inside.trim();
    if inside == "*" {
        return Some(Step::Each);
    }
    if let Ok(index) = inside.parse() {
        return Some(Step::Index(index));
    }
    if let Some(name) = quoted(inside) {
        return Some(Step::Field(name));
    }
    let condition = inside.strip_prefix("?(")?.strip_suffix(')')?;
    let (path, expected) = condition.split_once("==")?;
    let path = path.trim().strip_prefix("@.")?;
    let expected = expected.trim();
    let expected = match quoted(expected) {
        Some(text) => Value::String(text),
        None => serde_json::from_str(expected).ok()?,
    };
    let path = path.split('.').map(str::to_owned).collect();
    Some(Step::Where(path, expected))
}

fn quoted(text: &str) -> Option<String> {
    let inside = ['\'', '"']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))?;
    Some(inside.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_printer_columns_find_what_they_name() {
        let value = json!({
            "spec": {"a.b": 1, "list": [1, 2]},
            "status": {"conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Open", "status": "False"},
            ]},
        });
        for (path, expected) in [
            (".spec['a.b']", json!([1])),
            (".spec.a\\.b", json!([1])),
            (".spec.list[1]", json!([2])),
            (".spec.list[*]", json!([1, 2])),
            (
                ".status.conditions[?(@.type==\"Open\")].status",
                json!(["False"]),
            ),
            (
                ".status.conditions[?(@.type=='Ready')].status",
                json!(["True"]),
            ),
            (".status.nothing.here", json!([])),
        ] {
            let json_path = JsonPath::parse(path).expect(path);
            assert_eq!(json!(json_path.find(&value)), expected, "{path}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for path in ["spec", ".a[", ".a[?(@.b>1)]", ".a[1:2]", "{.a}"] {
            assert_eq!(JsonPath::parse(path), None, "{path}");
        }
    }
}
