//! K0308: an interpolation that the shell does not expand, or splits.

use konductor_dsl::{Code, Diagnostic, Span, ast};

use super::unquoted;
use crate::pipeline::{Piece, Text};
use crate::shell::{self, Place};

/// Tells interpolations of a script that stand in single quotes, and those that stand bare.
pub(crate) fn check(written: &ast::Str, script: &Text) -> Vec<Diagnostic> {
    if script.references().next().is_none() {
        return Vec::new();
    }
    let mut pieces = vec![String::new()];
    for piece in &script.pieces {
        match piece {
            Piece::Literal(text) => pieces
                .last_mut()
                .into_iter()
                .for_each(|last| last.push_str(text)),
            Piece::Reference(_) => pieces.push(String::new()),
        }
    }
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let holes = written.parts.iter().filter_map(|part| match part {
        ast::Part::Hole(reference, span) => Some((reference, *span)),
        ast::Part::Text { .. } | ast::Part::Shell(_) => None,
    });
    let places = script.references().zip(shell::places(&pieces));
    let told = holes
        .zip(places)
        .filter_map(|((written, span), (resolved, place))| match place {
            Place::Whole | Place::Comment => None,
            Place::Literal => Some(literal(written, span)),
            Place::Split if resolved.ty.is_one_shell_word() => None,
            Place::Split => Some(unquoted::report(written, span)),
        });
    told.collect()
}

fn literal(reference: &ast::Ref, span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0308, span, "the shell does not expand this")
        .here("quoted or escaped for the shell")
        .help(format!(
            "close the quotes around it: '…'\"${{{reference}}}\"'…'"
        ))
}
