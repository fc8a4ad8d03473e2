//! K0308: an interpolation that the shell does not expand, or splits.

use konductor_dsl::{Code, Diagnostic};

use super::unquoted;
use crate::pipeline::{Piece, Reference, Text};
use crate::shell::{self, Place};

/// Tells interpolations of a script that stand in single quotes, and those that stand bare.
pub(crate) fn check(script: &Text) -> Vec<Diagnostic> {
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
    let places = shell::places(&pieces);
    let tell = |(reference, place): (&Reference, Place)| match place {
        Place::Whole | Place::Comment => None,
        Place::Literal => Some(literal(reference)),
        Place::Split if reference.ty.is_one_shell_word() => None,
        Place::Split => Some(unquoted::report(reference.span)),
    };
    script.references().zip(places).filter_map(tell).collect()
}

fn literal(reference: &Reference) -> Diagnostic {
    Diagnostic::error(
        Code::K0308,
        reference.span,
        "the shell does not expand this",
    )
    .here("in single quotes, a quoted here-document or behind a backslash")
    .help("close the quotes around it: 'text '\"${…}\"' text'")
}
