//! K0601: something that nothing uses.

use konductor_dsl::{Code, Diagnostic, Edit, Source, Sources, Span, ast};

use crate::pipeline::Name;

/// A declaration that has no effect.
pub(crate) fn report(name: &Name, what: &str, declaration: Option<Span>) -> Diagnostic {
    let message = format!("the {what} `{}` is never used", name.text);
    let text = &name.text;
    let used = match what {
        "semaphore" | "lease" => {
            format!("write `holding {text}` in the header of a stage that needs it")
        }
        "workspace" => format!("write `mount {text} at \"/{text}\"` in a stage that needs it"),
        "template" => format!("write `use {text} {{ … }}` in a stage"),
        _ => format!("write `${{{text}}}` in a text"),
    };
    let diagnostic = Diagnostic::warning(Code::K0601, name.span, message);
    let diagnostic = diagnostic.help(format!("{used}, or remove it"));
    match declaration {
        // The use may be what is missing.
        Some(declaration) => diagnostic.offer("remove it", [Edit::remove(declaration)]),
        None => diagnostic,
    }
}

/// An import of which no template is used.
pub(crate) fn import(import: &ast::Import) -> Diagnostic {
    let span = import.path.span;
    Diagnostic::warning(Code::K0601, span, "nothing of this import is used")
        .fixed("remove it", [Edit::remove(import.span)])
}

/// Says of an unused parameter where its name stands as another language would write it, such as
/// `{{day}}`, `$(params.day)` or `$day`.
pub(crate) fn written_otherwise(sources: &Sources, diagnostics: &mut [Diagnostic]) {
    let unused = diagnostics.iter_mut();
    for diagnostic in unused.filter(|diagnostic| diagnostic.code == Code::K0601) {
        let Some(source) = sources.get(diagnostic.span().source) else {
            continue;
        };
        let name = source.slice(diagnostic.span()).to_owned();
        if let Some(place) = other_writing(source, &name) {
            let written = source.slice(place).to_owned();
            diagnostic.help = Some(format!(
                "write `${{{name}}}` where `{written}` stands, or remove it"
            ));
            let label = "this is text, and no value";
            let value = format!("${{{name}}}");
            let fix = Edit::replace(place, value.as_str());
            *diagnostic = diagnostic
                .clone()
                .label(place, label)
                .fix(format!("write `{value}` for `{written}`"), [fix]);
        }
    }
}

/// Where a name first stands in the brackets of another language.
fn other_writing(source: &Source, name: &str) -> Option<Span> {
    let text = &*source.text;
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    // `name=…` in a script is a variable of its own.
    let is_assigned = text.contains(&format!(" {name}=")) || text.contains(&format!("\n{name}="));
    text.match_indices(name).find_map(|(at, _)| {
        let before = text.get(..at)?.rsplit('\n').next()?;
        let after = text.get(at + name.len()..)?;
        if after.starts_with(is_of_name) {
            return None;
        }
        let path = |c: char| is_of_name(c) || c == '.' || c == ' ';
        let closed = after.trim_start_matches(' ');
        let (open, end) = match before.trim_end_matches(path) {
            open if open.ends_with("{{") && closed.starts_with("}}") => (open.len() - 2, "}}"),
            open if open.ends_with("$(") && closed.starts_with(')') => (open.len() - 2, ")"),
            _ if before.ends_with('$') && !before.ends_with("$$") && !is_assigned => {
                (before.len() - 1, "")
            }
            _ => return None,
        };
        let is_whole = !before.ends_with(is_of_name);
        let start = at - (before.len() - open);
        let blanks = if end.is_empty() {
            0
        } else {
            after.len() - closed.len()
        };
        let place = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        is_whole.then(|| Span {
            source: source.id,
            start: place(start),
            end: place(at + name.len() + blanks + end.len()),
        })
    })
}
