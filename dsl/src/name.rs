//! What may be a name.

use crate::ast::Name;
use crate::limits::NAME_MAX;
use crate::{Code, Diagnostic, Edit, Span};

/// Words that are never names.
const RESERVED: [&str; 19] = [
    "after", "any", "at", "barrier", "false", "finally", "for", "gate", "holding", "import", "in",
    "pipeline", "quorum", "stage", "template", "true", "when", "within", "run",
];
/// Words that are never names but may begin a reference.
pub(crate) const ROOTS: [&str; 4] = ["output", "run", "token", "workspace"];

/// Why this can't be the name of something that is declared.
pub(crate) fn objection(name: &Name) -> Option<Diagnostic> {
    let text = &*name.text;
    if RESERVED.contains(&text) || ROOTS.contains(&text) {
        let message = format!("`{text}` is a word of the language, not a name");
        let diagnostic = Diagnostic::error(Code::K0108, name.span, message);
        return Some(diagnostic.help(match text {
            "any" => "write `any(a, b)`, in parentheses",
            "after" | "for" | "holding" | "quorum" | "when" | "within" => {
                "choose another name; if a clause begins here, remove the comma or word before it"
            }
            _ => "choose another name",
        }));
    }
    if !is_shaped(text) {
        return Some(misshapen(name));
    }
    (text.len() > NAME_MAX).then(|| {
        let message = format!("a name of {} characters is too long", text.len());
        let diagnostic = Diagnostic::error(Code::K0104, name.span, message);
        diagnostic.help(format!(
            "use at most {NAME_MAX}: it becomes part of Kubernetes names"
        ))
    })
}

/// Whether something can be declared under this name.
pub fn is_name(text: &str) -> bool {
    let name = Name {
        text: text.to_owned(),
        span: Span::default(),
    };
    objection(&name).is_none()
}

/// That this has not the shape of a name.
pub(crate) fn misshapen(name: &Name) -> Diagnostic {
    let text = &name.text;
    Diagnostic::error(Code::K0104, name.span, format!("`{text}` can't be a name"))
        .here("lower-case letters, digits and single `-`, starting with a letter")
        .fixed(
            format!("write `{}`", nearest_name(text)),
            [Edit::replace(name.span, nearest_name(text))],
        )
}

/// Whether the grammar reads this as one identifier.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn is_shaped(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--")
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The nearest text that is a name: `MyStage_1` becomes `my-stage-1`.
pub fn nearest_name(text: &str) -> String {
    let mut better = String::new();
    let mut before = ' ';
    for character in text.chars() {
        if character.is_ascii_uppercase() && before.is_ascii_lowercase() {
            better.push('-');
        }
        before = character;
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' => better.push(character.to_ascii_lowercase()),
            _ if better.ends_with('-') => {}
            _ => better.push('-'),
        }
    }
    let better = better.trim_matches('-');
    let start = better.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    if start.is_empty() {
        "a".to_owned()
    } else {
        start.to_owned()
    }
}
