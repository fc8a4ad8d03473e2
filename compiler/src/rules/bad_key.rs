//! K0314: a name that Kubernetes does not take.

use konductor_api::GROUP;
use konductor_api::step::{INDEX_VARIABLE, STEP_VARIABLE, STORE_SECRET_PREFIX};
use konductor_dsl::{Code, Diagnostic, Edit, Span, ast};

use crate::name::{is_qualified, is_subdomain};

/// How the variables begin that konductor sets in containers.
const OWN_PREFIXES: [&str; 3] = ["kon_", STEP_VARIABLE, STORE_SECRET_PREFIX];

/// An environment variable as Kubernetes' YAML writes it, in two entries: `name = "X", value = "y"`.
pub(crate) fn env_of_kubernetes(entries: &[&ast::Attribute]) -> Option<Diagnostic> {
    let of = |key: &str| entries.iter().find(|entry| entry.key.text == key);
    let (name, value) = (of("name")?, of("value")?);
    let ast::Value::String(variable) = &name.value else {
        return None;
    };
    let variable = variable.plain()?;
    let message = "this sets two variables, `name` and `value`";
    let diagnostic = Diagnostic::warning(Code::K0314, name.key.span, message);
    let diagnostic = diagnostic.label(value.key.span, "the other one");
    let is_name = !variable.is_empty()
        && variable
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let example = if is_name { &variable } else { "NAME" };
    Some(diagnostic.help(format!("if one is meant, write `env {{ {example} = … }}`")))
}

/// An environment variable's name.
pub(crate) fn env(key: &ast::Key) -> Option<Diagnostic> {
    let text = &key.text;
    let mut bytes = text.bytes();
    let starts = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !starts || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let message = format!("`{text}` is not the name of an environment variable");
        let diagnostic = Diagnostic::error(Code::K0314, key.span, message)
            .help("use letters, digits and `_`, such as `DB_URL`");
        let better = text.replace(['-', '.', ' '], "_");
        let is_better = better
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && better.starts_with(|c: char| c.is_ascii_alphabetic());
        return Some(match is_better {
            true => diagnostic.fix(
                format!("write `{better}`"),
                [Edit::replace(key.span, better)],
            ),
            false => diagnostic,
        });
    }
    taken(text, key.span)
}

/// An environment variable that somebody else sets, in `env` or in YAML.
pub(crate) fn taken(text: &str, span: Span) -> Option<Diagnostic> {
    let by = match text {
        INDEX_VARIABLE => "Kubernetes",
        "KON_OUTPUT" => "konductor",
        _ if OWN_PREFIXES.iter().any(|own| text.starts_with(own)) => "konductor",
        _ => return None,
    };
    let message = format!("`{text}` is set by {by}");
    let help = match by {
        "Kubernetes" => "choose another name: in a fan-out, it is the index of the item",
        _ => {
            "choose another name: `KON_OUTPUT` and names that begin with `kon_`, `KONDUCTOR_STEP` or \
             `KONDUCTOR_STORE_` are taken"
        }
    };
    Some(Diagnostic::error(Code::K0314, span, message).help(help))
}

/// The name of a label or annotation.
pub(crate) fn metadata(key: &ast::Key, what: &str) -> Option<Diagnostic> {
    let (prefix, name) = match key.text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key.text.as_str()),
    };
    if prefix.is_some_and(|prefix| prefix == GROUP || prefix.ends_with(&format!(".{GROUP}"))) {
        let message = format!("`{}` is set by konductor", key.text);
        return Some(
            Diagnostic::error(Code::K0314, key.span, message).help("choose another prefix"),
        );
    }
    let is_of_job = matches!(name, "job-name" | "controller-uid")
        && prefix.is_none_or(|prefix| prefix == "batch.kubernetes.io");
    if what == "label" && is_of_job {
        let message = format!("`{}` is set by Kubernetes", key.text);
        return Some(
            Diagnostic::error(Code::K0314, key.span, message)
                .help("choose another name: this one says which Job a pod is of"),
        );
    }
    let prefix_is_right = prefix.is_none_or(is_subdomain);
    if prefix_is_right && is_qualified(name) {
        return None;
    }
    let message = format!(
        "`{}` is not the name of {} {what}",
        key.text,
        if what == "label" { "a" } else { "an" }
    );
    Some(Diagnostic::error(Code::K0314, key.span, message).help(
        "use letters, digits, `-`, `_` and `.`, at most 63, such as `team` or `acme.com/team`",
    ))
}
