//! How headers are written: clauses, dependencies and conditions.

use super::super::layout::{Cells, Entry, PARENTHESES, Printer, Spacing};
use super::value::{bound, list, print_address, print_range, reference, string};
use super::{bracket_after, range};
use crate::Span;
use crate::ast::*;
use crate::cut::Cut;
use crate::token::{Kind, tokens};

/// Prints the clauses between a name and a `{`; says whether each is on a line of its own.
pub(super) fn header(
    printer: &mut Printer<'_>,
    name: &Name,
    clauses: &[Clause],
    end: usize,
) -> bool {
    let (_, start) = range(name.span);
    if clauses.is_empty() && !printer.has_comments(start, end) {
        return false;
    }
    let on_line = |printer: &mut Printer<'_>| {
        for clause in clauses {
            printer.push(" ");
            clause.print(printer);
        }
        printer.leave_room(" {".len());
    };
    if printer.stays_on_line(start, end, on_line) {
        return false;
    }
    printer.end_line(start);
    printer.indented(|printer| {
        printer.entries(clauses, "", "", Spacing::AsWritten);
        printer.comments_before(end, false);
    });
    true
}

impl Entry for Clause {
    fn range(&self) -> (usize, usize) {
        range(self.span)
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        printer.push(self.kind.word());
        let (start, end) = (self.keyword.end as usize, self.span.end as usize);
        match &self.kind {
            ClauseKind::For(loops) => sequence(printer, loops, start, end),
            ClauseKind::After(deps) => sequence(printer, deps, start, end),
            ClauseKind::Holding(holds) => sequence(printer, holds, start, end),
            ClauseKind::Quorum(count) | ClauseKind::Max(count) | ClauseKind::Parallel(count) => {
                printer.push(" ");
                bound(printer, count);
            }
            ClauseKind::When(_) => condition(printer, start, end),
        }
        None
    }
}

/// What follows a clause's keyword, separated by commas.
fn sequence<E: Entry>(printer: &mut Printer<'_>, entries: &[E], start: usize, end: usize) {
    let on_line = |printer: &mut Printer<'_>| {
        printer.push(" ");
        printer.on_line(entries);
    };
    if !printer.stays_on_line(start, end, on_line) {
        printer.end_line(start);
        printer.indented(|printer| printer.entries(entries, ",", "", Spacing::AsWritten));
    }
}

impl Entry for Loop {
    fn range(&self) -> (usize, usize) {
        range(self.span)
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        printer.push(&self.variable.text);
        printer.push(" in ");
        match &self.over {
            Over::Range(range) => print_range(printer, range),
            Over::List(list) => self::list(printer, list),
            Over::Ref(reference) => self::reference(printer, reference),
        }
        None
    }
}

impl Entry for Dep {
    fn range(&self) -> (usize, usize) {
        range(self.span())
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        match self {
            Self::Any { deps, span } => {
                let start = bracket_after(
                    printer,
                    Span {
                        end: span.start,
                        ..*span
                    },
                );
                printer.push("any");
                printer.group(&PARENTHESES, deps, start, span.end as usize);
            }
            Self::External {
                kind, name, within, ..
            } => {
                printer.push(match kind.value {
                    ExternalKind::Pipeline => "pipeline(",
                    ExternalKind::Gate => "gate(",
                    ExternalKind::Barrier => "barrier(",
                });
                string(printer, name);
                printer.push(")");
                if let Some(within) = within {
                    printer.push(" within ");
                    printer.push(&within.text);
                }
            }
            Self::Target {
                name,
                address,
                state,
                ..
            } => {
                printer.push(&name.text);
                print_address(printer, address.as_ref());
                if let Some(state) = state {
                    printer.push(".");
                    printer.push(&state.text);
                }
            }
        }
        None
    }
}

impl Entry for Hold {
    fn range(&self) -> (usize, usize) {
        range(self.span)
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        printer.push(&self.name.text);
        if let Some(permits) = &self.permits {
            printer.push("(");
            bound(printer, permits);
            printer.push(")");
        }
        None
    }
}

/// A condition as it was written, parentheses included, with one blank where one belongs. If it
/// is too long, lines begin with `&&` and `||`.
fn condition(printer: &mut Printer<'_>, start: usize, end: usize) {
    let pieces = pieces(printer.source().cut(start..end));
    if printer.fits(|printer| print_pieces(printer, start, &pieces, false)) {
        return;
    }
    printer.indented(|printer| print_pieces(printer, start, &pieces, true));
}

/// The tokens of a condition, operators of two characters as one.
fn pieces(text: &str) -> Vec<(usize, usize)> {
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    for token in tokens(text).filter(|token| token.kind != Kind::Comment) {
        if let Some((start, end)) = pieces.last_mut()
            && *end == token.start
            && matches!(
                text.cut(*start..token.end),
                "==" | "!=" | "<=" | ">=" | "&&" | "||"
            )
        {
            *end = token.end;
        } else {
            pieces.push((token.start, token.end));
        }
    }
    pieces
}

fn print_pieces(printer: &mut Printer<'_>, offset: usize, pieces: &[(usize, usize)], breaks: bool) {
    let text = printer.source().cut(offset..);
    let mut before = "when";
    let mut depth = 0usize;
    for (start, end) in pieces {
        let piece = text.cut(*start..*end);
        if breaks && depth == 0 && matches!(piece, "&&" | "||") {
            printer.newline();
        } else if are_apart(before, piece) {
            printer.push(" ");
        }
        printer.copy(offset + start, offset + end);
        match piece {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = piece;
    }
}

/// Whether a blank belongs between two pieces of a condition.
fn are_apart(before: &str, piece: &str) -> bool {
    let is_name = |text: &str| {
        !matches!(text, "in" | "when") && text.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    match (before, piece) {
        ("(" | "[" | "!" | "." | "-", _) | (_, ")" | "]" | "," | ".") => false,
        // An item's address or a call, not a list or a condition of its own.
        (_, "[" | "(") => !is_name(before),
        _ => true,
    }
}
