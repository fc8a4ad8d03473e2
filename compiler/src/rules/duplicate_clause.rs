//! K0205: a header clause that is given twice.

use konductor_dsl::{Code, Diagnostic, Span, ast};

/// The second clause with the same keyword.
pub(crate) fn report(clause: &ast::Clause, first: Span) -> Diagnostic {
    let word = clause.kind.word();
    let help = match clause.kind {
        ast::ClauseKind::When(_) => "join both conditions with `&&` in one `when`".to_owned(),
        ast::ClauseKind::Quorum(_) => "remove one of them".to_owned(),
        _ => format!("list everything behind one `{word}`, separated by commas"),
    };
    Diagnostic::error(
        Code::K0205,
        clause.keyword,
        format!("`{word}` is given twice"),
    )
    .here("given again here")
    .label(first, "first given here")
    .help(help)
}
