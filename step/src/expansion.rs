//! `$(NAME)` in words and values, as kubelet reads it: for variables that kubelet does not know.

/// Replaces each `$(NAME)` by its value and each `$$` by `$`. What `value_of` does not know stays as it is written,
/// and so does a `$(` that nothing closes.
pub(crate) fn expand(text: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let (before, after) = rest.split_at(dollar);
        expanded.push_str(before);
        let after = &after[1..];
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        match after
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'))
        {
            Some((name, after)) => {
                match value_of(name) {
                    Some(value) => expanded.push_str(&value),
                    None => expanded.push_str(&format!("$({name})")),
                }
                rest = after;
            }
            None => {
                expanded.push('$');
                rest = after;
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_kubelet_expands_them() {
        let value_of = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "DOLLAR" => Some("$(A)".to_owned()),
            _ => None,
        };
        let table = [
            ("", ""),
            ("plain", "plain"),
            ("<$(A)$(A)>", "<11>"),
            ("$(DOLLAR)", "$(A)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$(A", "$(A"),
            ("5$", "5$"),
            ("${A}", "${A}"),
        ];
        for (text, expected) in table {
            assert_eq!(expand(text, value_of), expected, "{text}");
        }
    }
}
