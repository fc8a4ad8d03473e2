//! JSON lists whose elements keep their text: a number that is read loses the digits that no float has.

use serde_json::value::RawValue;

/// What stands in a list for a value that is not known.
pub const NULL: &str = "null";

/// Reads the elements of a JSON list, each as it is written; `None` if it is not one.
pub fn read_json_list(text: &str) -> Option<Vec<String>> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let elements = elements.into_iter();
    Some(elements.map(|element| element.get().to_owned()).collect())
}

/// Writes a JSON list of elements that are JSON.
pub fn write_json_list(elements: &[String]) -> String {
    format!("[{}]", elements.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stay_as_they_are_written() {
        let list = r#"[0.12345678901234567890,1e3,null,"a, b",[1,2],{"a":3e-400}]"#;
        let elements = read_json_list(list).unwrap_or_default();
        assert_eq!(elements.len(), 6);
        assert_eq!(elements[2], NULL);
        assert_eq!(write_json_list(&elements), list);
        assert_eq!(read_json_list(" [ ] "), Some(Vec::new()));
        assert_eq!(read_json_list("{}"), None);
    }
}
