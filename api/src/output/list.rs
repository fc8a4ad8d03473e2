//! Lists, as JSON on one line: which element is wrong, and why.

use serde_json::Value;

use super::{OutputType, SHOWN_MAX};
use crate::number::is_too_large;

impl OutputType {
    /// Whether an element of a list is of this scalar type.
    fn admits_json(&self, json: &Value) -> bool {
        match (self, json) {
            (Self::String, Value::String(_)) | (Self::Bool, Value::Bool(_)) => true,
            (Self::Number, Value::Number(_)) => true,
            (Self::Int(_), Value::Number(number)) => {
                number.is_i64() && self.admits(&number.to_string())
            }
            (Self::Quantity, Value::Number(number)) => self.admits(&number.to_string()),
            (Self::Words(_) | Self::Duration | Self::Quantity, Value::String(text)) => {
                self.admits(text)
            }
            _ => false,
        }
    }

    /// What is wrong with one element of a list, if anything.
    fn element_problem(&self, json: &Value) -> Option<String> {
        let Self::Record(fields) = self else {
            return (!self.admits_json(json)).then(|| format!("is {}", shown(json)));
        };
        let Value::Object(members) = json else {
            return Some(format!("is {}, not a record", shown(json)));
        };
        let is_unknown = |name: &&String| fields.iter().all(|field| field.name != **name);
        if let Some(unknown) = members.keys().find(is_unknown) {
            return Some(format!(
                "has the field {}, which is unknown",
                shown_text(unknown)
            ));
        }
        fields
            .iter()
            .find_map(|field| match members.get(&field.name) {
                None => Some(format!("has no field {}", field.name)),
                Some(value) if !field.ty.admits_json(value) => Some(format!(
                    "has {}={}, not of type {}",
                    field.name,
                    shown(value),
                    field.ty
                )),
                Some(_) => None,
            })
    }
}

/// What is wrong with a text that should be a list, if anything.
pub(super) fn list_problem(item: &OutputType, value: &str) -> Option<String> {
    let elements = match serde_json::from_str(value) {
        Ok(Value::Array(elements)) => elements,
        Ok(_) => return Some("it is not a JSON list: write it as in [1,2]".to_owned()),
        Err(error) if error.is_eof() => {
            return Some("its JSON ends too early: write all of it on one line".to_owned());
        }
        Err(error) if is_too_large(&error) => {
            let column = error.column();
            return Some(format!(
                "its number at character {column} is larger than a number can be"
            ));
        }
        Err(error) => return Some(format!("it is not JSON at character {}", error.column())),
    };
    let mut problems = elements.iter().enumerate();
    problems.find_map(|(index, element)| {
        let problem = item.element_problem(element)?;
        Some(format!("element {} {problem}", index + 1))
    })
}

/// JSON, shortened.
fn shown(json: &Value) -> String {
    let text = json.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A name, shortened, in quotes.
fn shown_text(text: &str) -> String {
    shown(&text.into())
}
