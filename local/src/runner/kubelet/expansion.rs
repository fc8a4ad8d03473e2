//! `$(NAME)` in commands, arguments and environment values, as the kubelet reads it.

/// Replaces each `$(NAME)` by its value and each `$$` by `$`.
///
/// What `value_of` does not know stays as it is written, and so does a `$(` that nothing closes.
pub(super) fn expand(text: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        let (read, replacement) = match rest[1..].chars().next() {
            Some('$') => (2, "$".to_owned()),
            Some('(') => match rest.find(')') {
                Some(end) => {
                    let written = &rest[..=end];
                    (
                        end + 1,
                        value_of(&rest[2..end]).unwrap_or_else(|| written.to_owned()),
                    )
                }
                None => (2, "$(".to_owned()),
            },
            _ => (1, "$".to_owned()),
        };
        expanded.push_str(&replacement);
        rest = &rest[read..];
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_as_the_kubelet_replaces_them() {
        let value_of = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("$(A)".to_owned()),
            _ => None,
        };
        let cases = [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "1"),
            ("<$(A)$(A)>", "<11>"),
            ("$(EMPTY)", ""),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$()", "$()"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("$(A $(A)", "$(A $(A)"),
            ("$(DOLLAR)", "$(A)"),
            ("é$(A)é", "é1é"),
            ("5$", "5$"),
            ("5$$", "5$"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, value_of), expected, "{text}");
        }
    }
}
