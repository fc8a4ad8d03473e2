//! One style for every file, without options.
//!
//! What enters: the text of a file without syntax errors. What leaves: the same meaning, laid out
//! again. What must never happen here: a comment that is lost, a syntax tree that changes.
//!
//! - Two spaces for each level; lines of up to 100 characters; at most one blank line in a row, and
//!   one around whatever takes several lines in a pipeline or a file.
//! - A bracket stays on one line where it was written on one and fits; where its first element was
//!   on a new line, each element is on a line of its own. Headers likewise: all clauses on the
//!   stage's line, or each on its own, and then `{` too.
//! - On adjacent lines, `=` of attributes are aligned; so are names and attributes of semaphores,
//!   leases, workspaces and approvals.
//! - The text of a block is indented one level deeper than the line that begins it.
//! - Comments stay where they are, before or at the end of their line. One in the middle of
//!   something that has no lines of its own moves above it.

mod comment;
mod layout;
mod node;

use crate::{Diagnostic, Source, parse};
use layout::Printer;

/// Formats a file. Its comments and its meaning are kept, and formatting the result again
/// changes nothing.
///
/// # Errors
/// All diagnostics of the file, if any of them is an error: what could not be read
/// can't be laid out.
pub fn format(source: &Source) -> Result<String, Vec<Diagnostic>> {
    let (file, diagnostics) = parse(source);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    let mut printer = Printer::of(&source.text);
    node::file(&mut printer, &file);
    Ok(printer.finish())
}
