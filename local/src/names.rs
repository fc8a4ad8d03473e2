//! Which names, label keys and label values Kubernetes takes.
//!
//! A text enters; what is wrong with it leaves, in the words of Kubernetes.

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_LENGTH_MAX: usize = 63;
const SUBDOMAIN_LENGTH_MAX: usize = 253;
const QUALIFIED_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// The rule for the names of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// An RFC 1123 subdomain, as nearly all names.
    Subdomain,
    /// An RFC 1123 label, as namespaces.
    Label,
    /// Anything that fits in a path, as RBAC's.
    PathSegment,
    /// An RFC 1123 subdomain that leaves room for the suffix of pods and Jobs.
    CronJob,
}

impl NameRule {
    /// What is wrong with a name; `stem` where a suffix is still to come.
    pub(crate) fn check(self, name: &str, stem: bool) -> Vec<String> {
        // A stem may end in a dash, which is what it is for.
        let checked = if stem && self != NameRule::PathSegment {
            masked(name)
        } else {
            name.to_owned()
        };
        match self {
            NameRule::Subdomain | NameRule::CronJob => subdomain(&checked),
            NameRule::Label => label(&checked),
            NameRule::PathSegment => path_segment(&checked, stem),
        }
    }
}

fn masked(name: &str) -> String {
    match name.strip_suffix('-') {
        Some(start) if !start.is_empty() => format!("{start}a"),
        _ => name.to_owned(),
    }
}

fn too_long(bytes_max: usize) -> String {
    format!("must be no more than {bytes_max} bytes")
}

fn explained(message: &str, regex: &str, examples: &[&str]) -> String {
    let quoted: Vec<_> = examples
        .iter()
        .map(|example| format!("'{example}', "))
        .collect();
    format!(
        "{message} (e.g. {}regex used for validation is '{regex}')",
        quoted.join(" or ")
    )
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|end| end.is_some_and(|&byte| inner(byte)))
        && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// An RFC 1123 label.
pub(crate) fn label(text: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    if text.len() > LABEL_LENGTH_MAX {
        mistakes.push(too_long(LABEL_LENGTH_MAX));
    }
    if is_label(text) {
        return mistakes;
    }
    mistakes.push(if is_subdomain(text) {
        "must not contain dots".to_owned()
    } else {
        explained(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
             '-', and must start and end with an alphanumeric character",
            LABEL,
            &["my-name", "123-abc"],
        )
    });
    mistakes
}

/// An RFC 1123 subdomain.
pub(crate) fn subdomain(text: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    if text.len() > SUBDOMAIN_LENGTH_MAX {
        mistakes.push(too_long(SUBDOMAIN_LENGTH_MAX));
    }
    if !is_subdomain(text) {
        mistakes.push(explained(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
             '-' or '.', and must start and end with an alphanumeric character",
            &format!("{LABEL}(\\.{LABEL})*"),
            &["example.com"],
        ));
    }
    mistakes
}

/// A key of a ConfigMap or Secret.
pub(crate) fn config_key(text: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    match text {
        "." => mistakes.push("must not be '.'".to_owned()),
        ".." => mistakes.push("must not be '..'".to_owned()),
        longer if longer.starts_with("..") => mistakes.push("must not start with '..'".to_owned()),
        _ => {}
    }
    if text.len() > SUBDOMAIN_LENGTH_MAX {
        mistakes.push(format!(
            "must be no more than {SUBDOMAIN_LENGTH_MAX} characters"
        ));
    }
    let is_key_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_key_byte) {
        mistakes.push(explained(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    mistakes
}

/// Anything that is one segment of a path.
pub(crate) fn path_segment(text: &str, stem: bool) -> Vec<String> {
    if !stem && (text == "." || text == "..") {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"]
        .iter()
        .filter(|illegal| text.contains(**illegal))
        .map(|illegal| format!("may not contain '{illegal}'"))
        .collect()
}

fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter()
        .all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// A key of a label or of an annotation: `name` or `prefix.example.com/name`.
pub(crate) fn qualified_name(text: &str) -> Vec<String> {
    let what = |mistake: &str| format!("name part {mistake}");
    let shape = |rule: &str| explained(rule, QUALIFIED_NAME, &["MyName", "my.name", "123-abc"]);
    let rule = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                with an alphanumeric character";
    let mut mistakes = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, rest)) if rest.contains('/') => {
            return vec![format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' \
                 (e.g. 'example.com/MyName')",
                shape(rule)
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                mistakes.push("prefix part must be non-empty".to_owned());
            } else {
                let prefixed = subdomain(prefix).into_iter();
                mistakes.extend(prefixed.map(|mistake| format!("prefix part {mistake}")));
            }
            name
        }
    };
    if name.is_empty() {
        mistakes.push(what("must be non-empty"));
    } else if name.len() > LABEL_LENGTH_MAX {
        mistakes.push(what(&too_long(LABEL_LENGTH_MAX)));
    }
    if !is_name_part(name) {
        mistakes.push(what(&shape(rule)));
    }
    mistakes
}

/// The value of a label.
pub(crate) fn label_value(text: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    if text.len() > LABEL_LENGTH_MAX {
        mistakes.push(too_long(LABEL_LENGTH_MAX));
    }
    if !text.is_empty() && !is_name_part(text) {
        mistakes.push(explained(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', \
             '_' or '.', and must start and end with an alphanumeric character",
            &format!("({QUALIFIED_NAME})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    mistakes
}
