//! Text to syntax tree. This and its neighbours `text`, `slip` and `recover` are all that know pest.

pub(crate) mod builder;

use std::collections::HashMap;

use builder::Builder;

use crate::ast::File;
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
        match slip {
            _ if is_readable => recover::declarations(source, slips, &mut builder, &mut file),
            Some(slip) => builder.diagnostics.push(slip),
            None => builder.diagnostics.extend(slips),
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
    (file, diagnostics)
}
