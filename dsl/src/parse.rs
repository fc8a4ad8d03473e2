//! Text to syntax tree. This and its neighbours `text`, `slip` and `recover` are all that know pest.

pub(crate) mod builder;

use std::collections::HashMap;

use builder::Builder;

use crate::ast::File;
use crate::cut::Cut;
use crate::limits::{ERRORS_MAX, FILE_BYTES_MAX};
use crate::recover;
use crate::{Code, Diagnostic, Source, Span};

/// Reads a file. Broken input is not an error: what could be read is returned, together with
/// diagnostics in source order.
pub fn parse(source: &Source) -> (File, Vec<Diagnostic>) {
    let text = &*source.text;
    if text.len() > FILE_BYTES_MAX {
        let message = format!("a file of {} bytes is too large to read", text.len());
        let span = Span {
            source: source.id,
            start: 0,
            end: 0,
        };
        let help = format!("split it by `import`; at most {FILE_BYTES_MAX} bytes are read");
        let diagnostic = Diagnostic::error(Code::K0107, span, message).help(help);
        return (
            File {
                source: source.id,
                ..File::default()
            },
            vec![diagnostic],
        );
    }
    let recover::Scan {
        slips,
        comments,
        is_readable,
    } = recover::scan(source);
    let mut builder = Builder::new(source.id, comments);
    let parsed = match slips.is_empty() {
        true => builder.file(source).map_err(Some),
        false => Err(None),
    };
    let file = parsed.unwrap_or_else(|slip| {
        // What was reported about the part before the slip is reported again by whoever reads the pieces.
        builder.diagnostics.clear();
        let mut file = File {
            source: source.id,
            ..File::default()
        };
        match is_readable {
            true => recover::declarations(source, slips, &mut builder, &mut file),
            false => builder.diagnostics.extend(slips),
        }
        // What the grammar refuses is refused, even if every piece of it can be read.
        if !builder.diagnostics.iter().any(Diagnostic::is_error) {
            builder.diagnostics.extend(slip);
        }
        file
    });
    let mut diagnostics = builder.diagnostics;
    diagnostics.sort_by_key(|diagnostic| diagnostic.span().start);
    diagnostics.dedup();
    // A name that is written wrong where it is declared is written so wherever it is used.
    let mut misshapen: HashMap<String, usize> = HashMap::new();
    let mut once: Vec<Diagnostic> = Vec::with_capacity(diagnostics.len());
    for diagnostic in diagnostics {
        if diagnostic.code == Code::K0104 {
            if let Some(first) = misshapen.get(&diagnostic.message) {
                // It is renamed everywhere at once.
                let edits = diagnostic.fixes.into_iter().flat_map(|fix| fix.edits);
                if let Some(fix) = once[*first].fixes.first_mut() {
                    fix.edits.extend(edits);
                }
                continue;
            }
            misshapen.insert(diagnostic.message.clone(), once.len());
        }
        once.push(diagnostic);
    }
    let mut diagnostics = once;
    diagnostics.truncate(ERRORS_MAX);
    for diagnostic in &mut diagnostics {
        leave_to_people(diagnostic, &source.text);
    }
    (file, diagnostics)
}

/// Whether a name is renamed is a person's choice where something that the parser does not read has it, too: a variable of
/// a shell, such as `${DAY}`, an output, which a program writes by its name, or a text.
fn leave_to_people(diagnostic: &mut Diagnostic, text: &str) {
    let at = diagnostic.span();
    if diagnostic.code != Code::K0104 || diagnostic.fixes.is_empty() {
        return;
    }
    let name = text.cut(at.start as usize..at.end as usize);
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_written = |variable: &str| {
        let mut places = text.match_indices(variable);
        places.any(|(at, _)| !text.cut(at + variable.len()..).starts_with(is_of_name))
    };
    let (in_braces, plain) = (format!("${{{name}"), format!("${name}"));
    // What begins in lower case in `${…}` is a name, and not the shell's.
    let is_shells = !name.starts_with(|c: char| c.is_ascii_lowercase());
    let variable = match (is_shells && is_written(&in_braces), is_written(&plain)) {
        (true, _) => format!("{in_braces}}}"),
        (false, true) => plain,
        (false, false) => String::new(),
    };
    let renamed = diagnostic.fixes.iter().flat_map(|fix| &fix.edits);
    let renamed: Vec<usize> = renamed.map(|edit| edit.span.start as usize).collect();
    let is_output = |at: &usize| text.cut(..*at).trim_end().ends_with("output");
    let is_of_word = |c: char| is_of_name(c) || c == '-';
    let is_elsewhere = text.match_indices(name).any(|(at, _)| {
        let is_whole = !text.cut(..at).ends_with(is_of_word)
            && !text.cut(at + name.len()..).starts_with(is_of_word);
        is_whole && !renamed.contains(&at)
    });
    let left = match (variable.is_empty(), renamed.iter().any(is_output)) {
        (false, _) => format!("`{variable}` stays a variable of the shell"),
        (true, true) => "what the stage runs has to write it under the new name, too".to_owned(),
        (true, false) if is_elsewhere => "it also stands in other places of this file".to_owned(),
        (true, false) => return,
    };
    if let Some(help) = &mut diagnostic.help {
        help.push_str(&format!("; {left}"));
    }
    for fix in &mut diagnostic.fixes {
        fix.certain = false;
    }
}
