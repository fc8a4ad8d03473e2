//! K0308: an interpolation that the shell does not expand, or splits.

use konductor_dsl::{Code, Diagnostic, Edit, Span};

use super::{open_quote, unquoted, value_as_code};
use crate::pipeline::script::{Hole, Script};
use crate::pipeline::{Body, Piece};
use crate::shell::{self, Place};
use crate::value::Type;

/// Reports interpolations of a shell's script that stand in single quotes, those that stand bare, and
/// those that a command would execute; and a quote that the script does not close.
pub(crate) fn check(script: &Script, body: &Body) -> Vec<Diagnostic> {
    if script.holes.is_empty() && !open_quote::is_possible(script) {
        return Vec::new();
    }
    let mut pieces = vec![String::new()];
    for piece in &script.text.pieces {
        match piece {
            Piece::Literal(text) => pieces
                .last_mut()
                .into_iter()
                .for_each(|last| last.push_str(text)),
            Piece::Reference(_) => pieces.push(String::new()),
        }
    }
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let holes = shell::holes(&pieces);
    let mut reported: Vec<Diagnostic> =
        value_as_code::of_script(script, body, &holes.code).collect();
    reported.extend(open_quote::check(script, holes.open_quote.as_ref()));
    let is_code: Vec<Span> = reported.iter().map(Diagnostic::span).collect();
    let places = script.text.references().zip(holes.places);
    let places = script.holes.iter().zip(places).enumerate();
    let quoted = places.filter(|(_, (hole, _))| !is_code.contains(&hole.span));
    reported.extend(
        quoted.filter_map(|(index, (hole, (resolved, place)))| match place {
            Place::Whole | Place::Comment => None,
            Place::Literal => {
                let closed = Edit::replace(hole.span, format!("'{}'", hole.in_double_quotes()));
                Some(literal(hole).fixed(close_quotes(hole), [closed]))
            }
            Place::LiteralHeredoc => Some(literal(hole).help(NO_QUOTES_AT_THE_END)),
            Place::Escaped => Some(literal(hole).help("remove the backslash before it")),
            Place::Split if is_unsplit(&pieces, index) => None,
            Place::Split if value_as_code::is_one_word(resolved, &body.mounts) => None,
            Place::Split if matches!(resolved.ty, Type::List(_)) => Some(unquoted::list(hole)),
            Place::Split => Some(unquoted::report(hole)),
        }),
    );
    reported
}

/// Whether a shell splits nothing at a hole: within `[[ … ]]`, and in the word and the patterns of a `case`. There, quotes
/// would make a text of a pattern.
fn is_unsplit(pieces: &[&str], hole: usize) -> bool {
    let before: String = pieces.iter().take(hole + 1).copied().collect();
    let line = before.rsplit('\n').next().unwrap_or_default();
    if line.rfind("[[ ") > line.rfind(" ]]") {
        return true;
    }
    if before.rfind("case ") <= before.rfind("esac") {
        return false;
    }
    let command = line.rsplit(';').next().unwrap_or_default().trim_start();
    let pattern = match command.strip_prefix("case ") {
        Some(word) => match word.split_once(" in ") {
            Some((_, pattern)) => pattern.trim_start(),
            None => return true,
        },
        None => command,
    };
    let after = pieces.get(hole + 1).copied().unwrap_or_default();
    after.starts_with([')', '|']) && !pattern.contains(|c: char| c.is_whitespace() || c == '(')
}

const NO_QUOTES_AT_THE_END: &str = "write the word behind `<<` without quotes, as in `<<EOF`: then \
     the shell expands the text, and `\\$` stands for a `$`";

fn close_quotes(hole: &Hole) -> String {
    format!(
        "close the quotes around it: '…'{}'…'",
        hole.in_double_quotes()
    )
}

fn literal(hole: &Hole) -> Diagnostic {
    Diagnostic::error(Code::K0308, hole.span, "the shell does not expand this")
        .here("quoted or escaped for the shell")
}

#[cfg(test)]
mod tests {
    use super::is_unsplit;

    #[test]
    fn patterns_and_tests_of_a_shell_are_not_split() {
        let table: [(&[&str], usize, bool); 12] = [
            (&["[[ abc =~ ", " ]]"], 0, true),
            (&["[[ $a == ", " && ", " ]]"], 1, true),
            (&["[[ $a ]] && rm ", ""], 0, false),
            (&["[[ $a ]]\nrm ", ""], 0, false),
            (&["case ", " in a) b;; esac"], 0, true),
            (&["case $x in ", ") b;; esac"], 0, true),
            (&["case $x in\n  a) b;;\n  ", ") c;;\nesac"], 0, true),
            (&["case $x in ", "|b) c;; esac"], 0, true),
            (&["case $x in a) rm ", ";; esac"], 0, false),
            (&["case $x in a) b;; esac; rm ", ""], 0, false),
            (&["x=$(echo ", ")"], 0, false),
            (&["rm ", ""], 0, false),
        ];
        for (pieces, hole, expected) in table {
            assert_eq!(is_unsplit(pieces, hole), expected, "{pieces:?} {hole}");
        }
    }
}
