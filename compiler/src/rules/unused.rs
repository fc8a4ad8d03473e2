//! K0601: something that nothing uses.

use konductor_dsl::{Code, Diagnostic, Edit, Source, Sources, Span, ast};

use crate::pipeline::{self, Name, Pipeline, Term};

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

/// Reports files that their stage can't write, because it does not name their path.
pub(crate) fn paths(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    // A text with a mistake names nothing.
    if diagnostics.iter().any(Diagnostic::is_error) {
        return;
    }
    let mut reported: Vec<Span> = Vec::new();
    for stage in &pipeline.stages {
        let files = stage
            .body
            .outputs
            .iter()
            .filter(|output| output.ty.is_file());
        for file in files {
            let name = &file.name;
            let mut references = stage.body.texts().flat_map(|(_, text)| text.references());
            let is_named = references.any(|reference| names_own(&reference.source, &name.text));
            if is_named || stage.body.action.is_none() || reported.contains(&name.span) {
                continue;
            }
            reported.push(name.span);
            let message = format!("the path of the {} `{}` is never used", file.ty, name.text);
            let diagnostic = Diagnostic::warning(Code::K0601, name.span, message);
            diagnostics.push(diagnostic.here("so nothing writes it").help(format!(
                "let the script write it to `\"${{output.{}}}\"`",
                name.text
            )));
        }
    }
}

/// Whether a value is the path of this file of the stage itself.
fn names_own(source: &pipeline::Source, name: &str) -> bool {
    match source {
        pipeline::Source::OwnOutput { output } => output == name,
        pipeline::Source::Argument { value, .. } => term_names_own(value, name),
        _ => false,
    }
}

fn term_names_own(term: &Term, name: &str) -> bool {
    match term {
        Term::Reference(reference) => names_own(&reference.source, name),
        Term::Text(text) => text
            .references()
            .any(|reference| names_own(&reference.source, name)),
        Term::List(terms) => terms.iter().any(|term| term_names_own(term, name)),
        Term::Value(_) | Term::Every | Term::Unknown => false,
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
