//! K0336: a quote that a script does not close.

use konductor_dsl::{Code, Diagnostic};

use crate::pipeline::Piece;
use crate::pipeline::script::Script;
use crate::shell::OpenQuote;

/// Whether a look at the quotes is worth its time: most scripts have each kind an even number of times.
pub(crate) fn is_possible(script: &Script) -> bool {
    let count = |quote: char| -> usize {
        let literals = script.text.pieces.iter().map(|piece| match piece {
            Piece::Literal(text) => text.matches(quote).count(),
            Piece::Reference(_) => 0,
        });
        literals.sum()
    };
    count('\'') % 2 == 1 || count('"') % 2 == 1
}

/// Reports the quote that is open where the script ends; the shell fails there.
pub(crate) fn check(script: &Script, open: Option<&OpenQuote>) -> Option<Diagnostic> {
    // A script with interpolations is looked at in any case: it has no more reports than one without.
    let open = open.filter(|_| is_possible(script))?;
    let (quote, rest) = (open.quote, &open.rest);
    let other = if quote == '"' { "single" } else { "double" };
    let diagnostic = Diagnostic::warning(
        Code::K0336,
        script.head,
        format!("the shell finds no end of the quote at `{rest}`"),
    );
    Some(diagnostic.help(format!(
        "close it with `{quote}`; a text that has a `{quote}` of its own stands in {other} quotes"
    )))
}
