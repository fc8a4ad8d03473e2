//! The items of an Indexed Job whose list is known only at run time.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use crate::limits::{ITEMS_BYTES_MAX, ITEMS_MAX, ITEMS_MAX_DEFAULT};
use crate::number::is_too_large;
use crate::{Input, OutputField, OutputType};

/// What the annotation [`crate::annotation::ITEMS`] of a Job says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Items {
    /// Which list: an output of another Job, or gathered outputs.
    pub of: Input,
    /// The list that stands in if the output was not written, as JSON.
    pub default: Option<String>,
    /// How many items there may be.
    pub max: u32,
    /// How many of them run at once; `None` for all.
    pub parallel: Option<u32>,
}

/// An annotation that can't be read as items.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: write it as in {{\"of\": \"JOB/OUTPUT\", \"max\": 500, \"parallel\": 20}}")]
pub struct ItemsError {
    /// What is wrong.
    pub problem: String,
}

/// The annotation as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    of: String,
    default: Option<String>,
    max: Option<u32>,
    parallel: Option<u32>,
}

impl Items {
    pub(crate) fn parse(text: &str) -> Result<Self, ItemsError> {
        let wrong = |problem: String| ItemsError { problem };
        // serde reads a struct from an array, too, and takes a key twice in a map: so the text is read as both.
        let _: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| wrong("it is not a JSON object".to_owned()))?;
        let written: Written = serde_json::from_str(text).map_err(|error| {
            let problem = error.to_string();
            // The annotation is one line.
            let words = problem.split(" at line ").next();
            wrong(words.unwrap_or_default().to_owned())
        })?;
        let of = match Input::parse(&written.of) {
            of @ (Input::Output { .. } | Input::Gathered(_)) => of,
            Input::RunOutcome | Input::Unknown(_) => {
                let of: String = written.of.chars().take(SHOWN_MAX).collect();
                return Err(wrong(format!("{of:?} names no list")));
            }
        };
        let max = written.max.unwrap_or(ITEMS_MAX_DEFAULT);
        if !(1..=ITEMS_MAX).contains(&max) {
            return Err(wrong(format!("max is {max}, not from 1 to {ITEMS_MAX}")));
        }
        if written.parallel == Some(0) {
            return Err(wrong("parallel is 0".to_owned()));
        }
        Ok(Self {
            of,
            default: written.default,
            max,
            parallel: written.parallel,
        })
    }

    /// Returns the annotation's text, which [`crate::Participant`] reads. `of` is written as an entry of
    /// [`crate::annotation::INPUTS`] is.
    pub fn format(
        of: &str,
        default: Option<&str>,
        max: Option<u32>,
        parallel: Option<u32>,
    ) -> String {
        let mut written = Map::from_iter([("of".to_owned(), Value::from(of))]);
        let numbers = [
            ("max", max.map(Value::from)),
            ("parallel", parallel.map(Value::from)),
        ];
        let all = [("default", default.map(Value::from))]
            .into_iter()
            .chain(numbers);
        written.extend(all.filter_map(|(key, value)| Some((key.to_owned(), value?))));
        Value::from(written).to_string()
    }
}

/// Characters of an item's name that people see.
const NAME_CHARS_MAX: usize = 60;
/// From here on, not each whole number is a float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Characters of an element that a message repeats.
const SHOWN_MAX: usize = 40;

/// Reads a list of items: JSON, of which each element is a scalar or a record of scalars, and called otherwise than
/// the others. Numbers must be written as they are read: one of more digits than are kept is refused. `item` is the
/// type of an element, if that is known: the fields of records are put in its order.
///
/// # Errors
/// What is wrong with the list, in words that follow "output x of stage y".
pub fn read_items(text: &str, item: Option<&OutputType>, max: u32) -> Result<Vec<Value>, String> {
    let elements = match serde_json::from_str(text) {
        Ok(Value::Array(elements)) => elements,
        Err(error) if is_too_large(&error) => {
            return Err("has a number that is larger than a number can be".to_owned());
        }
        Ok(_) | Err(_) => return Err("is not a JSON list".to_owned()),
    };
    // The same text once more, with its numbers as they are written.
    let written: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
    let count = elements.len();
    if count > max as usize {
        return Err(format!("has {count} elements; at most {max} may be items"));
    }
    let mut places: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut items = Vec::with_capacity(count);
    for (index, element) in elements.into_iter().enumerate() {
        let Some((key, name)) = ordered(element, item).and_then(|element| {
            let names = (key(&element)?, item_name(&element)?);
            items.push(element);
            Some(names)
        }) else {
            return Err(format!(
                "has an element {} that is neither a scalar nor a record of scalars",
                index + 1
            ));
        };
        if let Some(number) = written
            .get(index)
            .and_then(|element| changed_number(element))
        {
            let number: String = number.chars().take(SHOWN_MAX).collect();
            return Err(format!(
                "has an element {} with the number {number}, which would be changed: write it as a text",
                index + 1
            ));
        }
        if items.last().is_some_and(has_nul) {
            return Err(format!(
                "has an element {}, \"{name}\", with a NUL character, which no variable can hold",
                index + 1
            ));
        }
        if let Some((first, other)) = places.insert(key, (index, name.clone())) {
            let also = match other == name {
                true => String::new(),
                false => format!(" (also written \"{other}\")"),
            };
            return Err(format!(
                "has the item \"{name}\"{also} twice, as the elements {} and {}",
                first + 1,
                index + 1
            ));
        }
    }
    let bytes = Value::from(items.clone()).to_string().len();
    if bytes > ITEMS_BYTES_MAX {
        return Err(format!(
            "has {bytes} bytes; items may have {ITEMS_BYTES_MAX} together"
        ));
    }
    Ok(items)
}

/// A number of an element that would be written otherwise than it was read, because it has too many digits, say.
fn changed_number(element: &RawValue) -> Option<String> {
    let text = element.get();
    if text.starts_with('{') {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        let mut scalars = fields
            .into_values()
            .filter(|field| !field.get().starts_with('{'));
        return scalars.find_map(changed_number);
    }
    let number: serde_json::Number = serde_json::from_str(text).ok()?;
    (number.to_string() != text).then(|| text.to_owned())
}

/// An element with its fields in the order of its type; `None` if it is a record of another kind.
fn ordered(element: Value, item: Option<&OutputType>) -> Option<Value> {
    let (Value::Object(members), Some(OutputType::Record(fields))) = (&element, item) else {
        return Some(element);
    };
    if members.len() != fields.len() {
        return None;
    }
    let field = |OutputField { name, .. }: &OutputField| {
        let value = members.get(name)?.clone();
        Some((name.clone(), value))
    };
    let fields: Option<Map<String, Value>> = fields.iter().map(field).collect();
    fields.map(Value::Object)
}

/// Returns what people call an item, as [`shown_item`] writes it: itself if it is a scalar, the first field of a record.
/// `None` for anything else.
pub fn item_name(item: &Value) -> Option<String> {
    match item {
        Value::Object(members) => {
            let mut names = members.values().map(scalar);
            let first = names.next()??;
            names.all(|name| name.is_some()).then(|| shown_item(&first))
        }
        other => scalar(other).map(|name| shown_item(&name)),
    }
}

/// Returns the name of an item in one line of at most 60 characters: control characters are escaped, the end of a long
/// one is `…`. What was returned once stays as it is.
pub fn shown_item(name: &str) -> String {
    let mut shown = String::new();
    for c in name.chars() {
        match c {
            c if c.is_control() || turns_text(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    match shown.char_indices().nth(NAME_CHARS_MAX) {
        None => shown,
        Some(_) => {
            let mut cut: String = shown.chars().take(NAME_CHARS_MAX - 1).collect();
            cut.push('…');
            cut
        }
    }
}

/// Separators of lines, and what changes the direction of the text around it.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What no other item may have: its name, in which numbers that are equal are written in one way.
fn key(item: &Value) -> Option<String> {
    let first = match item {
        Value::Object(members) => members.values().next()?,
        other => other,
    };
    match first {
        Value::Number(number) => Some(number_key(number)),
        other => scalar(other),
    }
}

/// `1.0` and `1e0` are 1, and -0 is 0.
fn number_key(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < WHOLE_MAX => {
            format!("{}", float + 0.0)
        }
        _ => number.to_string(),
    }
}

/// Whether a text of an item can be no value of a variable.
fn has_nul(item: &Value) -> bool {
    match item {
        Value::Object(members) => members.values().any(has_nul),
        Value::String(text) => text.contains('\0'),
        _ => false,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Gathered, parse_declared_outputs};

    #[test]
    fn items_are_read_back_as_they_were_written_and_nothing_else_is_one() {
        let items = |of, default: Option<&str>, max, parallel| Items {
            of,
            default: default.map(str::to_owned),
            max,
            parallel,
        };
        let output = Input::Output {
            job: "r-split".to_owned(),
            output: "parts".to_owned(),
        };
        let gathered = Input::Gathered(Gathered {
            stage: "count".to_owned(),
            fixed: BTreeMap::new(),
            output: "n".to_owned(),
            default: Some("0".to_owned()),
        });
        for (text, expected) in [
            (
                Items::format("r-split/parts", None, None, None),
                items(output.clone(), None, 1_000, None),
            ),
            (
                Items::format("r-split/parts", Some("[]"), Some(10_000), Some(20)),
                items(output, Some("[]"), 10_000, Some(20)),
            ),
            (
                Items::format("count[*]/n = 0", None, Some(1), Some(1)),
                items(gathered, None, 1, Some(1)),
            ),
        ] {
            assert_eq!(Items::parse(&text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "split/parts",
            "{}",
            r#"{"of": "split"}"#,
            r#"{"of": "run.outcome"}"#,
            r#"{"of": "count[0]/n"}"#,
            r#"{"of": "split/parts", "max": 0}"#,
            r#"{"of": "split/parts", "max": 10001}"#,
            r#"{"of": "split/parts", "max": "5"}"#,
            r#"{"of": "split/parts", "parallel": 0}"#,
            r#"{"of": "split/parts", "paralel": 2}"#,
            r#"{"of": "split/parts", "of": "split/parts"}"#,
            r#"["split/parts"]"#,
            "null",
        ] {
            let error = Items::parse(text).expect_err(text).to_string();
            // No words of a program that reads it.
            assert!(
                !error.contains("struct") && !error.contains("line"),
                "{error}"
            );
        }
    }

    #[test]
    fn names_are_one_line_that_is_not_long_and_stay_as_they_are() {
        let long = "x".repeat(61);
        let cut = format!("{}…", "x".repeat(59));
        for (name, expected) in [
            ("eu west", "eu west"),
            ("日本 \\ \"", "日本 \\ \""),
            ("a\r\n\tb", "a\\r\\n\\tb"),
            ("\u{202e}x", "\\u{202e}x"),
            (&long[1..], &long[1..]),
            (long.as_str(), cut.as_str()),
        ] {
            let shown = shown_item(name);
            assert_eq!(shown, expected, "{name:?}");
            assert_eq!(shown_item(&shown), shown);
        }
    }

    #[test]
    fn lists_of_items_are_scalars_or_records_and_each_is_called_otherwise() {
        let of = "p: list<{id: string, n: int}>";
        let declared = parse_declared_outputs(of).unwrap_or_default();
        let Some(OutputType::List(record)) = &declared[0].ty else {
            panic!("{declared:?}")
        };
        let names = |text: &str, item: Option<&OutputType>| {
            let items = read_items(text, item, 3)?;
            let names: Option<Vec<String>> = items.iter().map(item_name).collect();
            Ok::<_, String>(names.unwrap_or_default().join(" "))
        };
        let ok = |names: &str| Ok(names.to_owned());
        let wrong = |problem: &str| Err(problem.to_owned());
        for (text, expected) in [
            ("[]", ok("")),
            (r#"["a", "b"]"#, ok("a b")),
            (r#"["", 1, true]"#, ok(" 1 true")),
            (r#"[{"n": 1, "id": "x"}]"#, ok("1")),
            ("{}", wrong("is not a JSON list")),
            ("[1", wrong("is not a JSON list")),
            (
                "[1e400]",
                wrong("has a number that is larger than a number can be"),
            ),
            ("[1,2,3,4]", wrong("has 4 elements; at most 3 may be items")),
            (
                "[1,null]",
                wrong("has an element 2 that is neither a scalar nor a record of scalars"),
            ),
            (
                "[[1]]",
                wrong("has an element 1 that is neither a scalar nor a record of scalars"),
            ),
            (
                r#"[{"id": "x", "n": [1]}]"#,
                wrong("has an element 1 that is neither a scalar nor a record of scalars"),
            ),
            (
                "[{}]",
                wrong("has an element 1 that is neither a scalar nor a record of scalars"),
            ),
            (
                r#"["a", "b", "a"]"#,
                wrong("has the item \"a\" twice, as the elements 1 and 3"),
            ),
            (
                r#"["1", 1]"#,
                wrong("has the item \"1\" twice, as the elements 1 and 2"),
            ),
            (
                "[1, 1.0]",
                wrong("has the item \"1.0\" (also written \"1\") twice, as the elements 1 and 2"),
            ),
            (
                "[0, -0.0]",
                wrong("has the item \"-0.0\" (also written \"0\") twice, as the elements 1 and 2"),
            ),
            ("[1, 1.5]", ok("1 1.5")),
            (
                r#"["a", {"id": "b", "x": "c\u0000"}]"#,
                wrong("has an element 2, \"b\", with a NUL character, which no variable can hold"),
            ),
            (r#"["a\nb", "c\u001b[1m"]"#, ok("a\\nb c\\u{1b}[1m")),
        ] {
            assert_eq!(names(text, None), expected, "{text}");
        }
        for (number, is_kept) in [
            ("18446744073709551615", true),
            ("-9223372036854775808", true),
            ("1.5", true),
            ("18446744073709551616", false),
            ("-9223372036854775809", false),
            ("0.12345678901234567890123", false),
            ("1e400", false),
            ("1.50", false),
        ] {
            for text in [format!("[{number}]"), format!("[{{\"n\": {number}}}]")] {
                assert_eq!(read_items(&text, None, 3).is_ok(), is_kept, "{text}");
            }
        }
        assert_eq!(
            names("[1, 18446744073709551616]", None),
            wrong(
                "has an element 2 with the number 18446744073709551616, which would be changed: write it as a text"
            )
        );
        // The key is the field that is declared first, wherever it is written.
        let items = r#"[{"n": 1, "id": "x"}, {"n": 1, "id": "y"}]"#;
        assert_eq!(names(items, Some(record)), ok("x y"));
        let element = "has an element 1 that is neither a scalar nor a record of scalars";
        assert_eq!(names(r#"[{"id": "x"}]"#, Some(record)), wrong(element));
        let long = json!(["x".repeat(ITEMS_BYTES_MAX - 3)]).to_string();
        assert_eq!(
            names(&long, None),
            wrong("has 65537 bytes; items may have 65536 together")
        );
    }
}
