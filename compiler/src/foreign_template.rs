//! Templates of other languages in texts, where they are nothing but text (K0106).
//!
//! What enters: a literal part of a text. What leaves: a warning about each template in it. What must never happen
//! here: a report about the templates of Go, Jinja or jq, which scripts do use.

use konductor_dsl::{Code, Diagnostic, Span, nearest_name};

/// What begins a template of Argo or Tekton, with what ends it. Go templates, Jinja and jq have others.
const PREFIXES: [(&str, &str); 13] = [
    ("{{inputs.", "}}"),
    ("{{workflow.", "}}"),
    ("{{steps.", "}}"),
    ("{{tasks.", "}}"),
    ("{{outputs.", "}}"),
    ("{{item.", "}}"),
    ("{{item}}", ""),
    ("{{pod.", "}}"),
    ("$(params.", ")"),
    ("$(tasks.", ")"),
    ("$(context.", ")"),
    ("$(workspaces.", ")"),
    ("$(results.", ")"),
];

/// Reports each `{{inputs.…}}` of a literal part of a text, as it is `written` where `span` is; `is_value` says which names
/// have a value there.
pub(crate) fn check(written: &str, span: Span, is_value: impl Fn(&str) -> bool) -> Vec<Diagnostic> {
    let at = |offset: usize| span.start + u32::try_from(offset).unwrap_or(u32::MAX);
    let report = |(start, written): (usize, &str)| {
        let place = Span {
            start: at(start),
            end: at(start + written.len()),
            ..span
        };
        let message = format!("`{written}` is a template of another language");
        Diagnostic::warning(Code::K0106, place, message)
            .here("this is text, and no value")
            .help(help(written, &is_value))
    };
    all(written).into_iter().map(report).collect()
}

/// The templates of a text, in its order.
fn all(text: &str) -> Vec<(usize, &str)> {
    let starts = text.match_indices("{{").chain(text.match_indices("$("));
    let templates = starts.filter_map(|(start, _)| {
        let rest = text.get(start..)?;
        let line = rest.split('\n').next()?;
        let end = end(line)?;
        Some((start, line.get(..end)?))
    });
    let mut templates: Vec<_> = templates.collect();
    templates.sort_unstable_by_key(|(start, _)| *start);
    templates
}

/// Where the template ends that a line begins with.
fn end(line: &str) -> Option<usize> {
    let (open, blank) = match line.strip_prefix("{{") {
        Some(rest) => ("{{", rest.len() - rest.trim_start_matches(' ').len()),
        None => ("$(", 0),
    };
    let path = line.get(open.len() + blank..)?;
    let (_, close) = PREFIXES.iter().find(|(prefix, close)| {
        let word = prefix.strip_prefix(open);
        word.is_some_and(|word| path.replacen(" }}", "}}", 1).starts_with(word))
            && (close.is_empty() || path.contains(close))
    })?;
    let close = if close.is_empty() { "}}" } else { *close };
    Some(line.find(close)? + close.len())
}

fn help(written: &str, is_value: impl Fn(&str) -> bool) -> String {
    let inner = written.trim_matches(['{', '}', '$', '(', ')', ' ']);
    let parts: Vec<&str> = inner.split('.').collect();
    let last = parts.last().copied().unwrap_or_default();
    match parts.as_slice() {
        ["item", ..] => {
            "write `${x}`, and `for x in [\"a\", \"b\"]` in the stage's header".to_owned()
        }
        ["workflow" | "context" | "pod", .., "name"] => "write `${run.name}`".to_owned(),
        ["steps" | "tasks", stage, ..] => {
            format!("write `${{{stage}.{last}}}`, of an output that the stage declares")
        }
        ["workspaces", name, ..] => {
            format!("write `${{workspace.{name}}}`, and `mount {name} at \"/{name}\"` in the body")
        }
        ["outputs" | "results", ..] => {
            format!("declare `output {last}: string`, and write `{last}=…` into `$KON_OUTPUT`")
        }
        _ if is_value(last) => format!("write `${{{last}}}`"),
        _ => {
            let name = nearest_name(last);
            format!("write `${{{name}}}`, and declare `param {name}: string`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_templates_of_argo_and_tekton_are_found() {
        let table = [
            (
                "echo {{inputs.parameters.x}}",
                Some("{{inputs.parameters.x}}"),
            ),
            ("echo {{ workflow.name }} b", Some("{{ workflow.name }}")),
            ("echo {{item}}", Some("{{item}}")),
            ("echo {{ item }}", Some("{{ item }}")),
            ("echo $(params.day)", Some("$(params.day)")),
            ("docker inspect --format '{{.Id}}'", None),
            ("jinja {{ name }} {{ items }}", None),
            ("echo $(date) $(paramsify)", None),
            ("echo {{inputs.x", None),
        ];
        for (text, expected) in table {
            let template = all(text).first().map(|(_, written)| *written);
            assert_eq!(template, expected, "{text}");
        }
    }

    #[test]
    fn every_template_is_found_where_it_is_written() {
        let text = "echo \\\"$(params.a)\\\" {{workflow.name}} {{inputs.parameters.b}}";
        let templates: Vec<&str> = all(text).into_iter().map(|(_, written)| written).collect();
        let expected = [
            "$(params.a)",
            "{{workflow.name}}",
            "{{inputs.parameters.b}}",
        ];
        assert_eq!(templates, expected);
        for (start, written) in all(text) {
            let rest = text.get(start..).unwrap_or_default();
            assert!(rest.starts_with(written), "{written}");
        }
    }
}
