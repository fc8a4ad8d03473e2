//! K0205: a header clause that is given twice.

use konductor_dsl::{Code, Diagnostic, Edit, Piece, Span, ast};

/// The second clause with the same keyword.
pub(crate) fn report(clause: &ast::Clause, first: &ast::Clause) -> Diagnostic {
    let word = clause.kind.word();
    let help = match clause.kind {
        ast::ClauseKind::When(_) => "join both conditions with `&&` in one `when`".to_owned(),
        ast::ClauseKind::Quorum(_) | ast::ClauseKind::Max(_) | ast::ClauseKind::Parallel(_) => {
            "remove one of them".to_owned()
        }
        _ => format!("list everything behind one `{word}`, separated by commas"),
    };
    let diagnostic = Diagnostic::error(
        Code::K0205,
        clause.keyword,
        format!("`{word}` is given twice"),
    )
    .here("given again here")
    .label(first.keyword, "first given here")
    .help(help);
    let behind = |clause: &ast::Clause| Span {
        start: clause.keyword.end,
        ..clause.span
    };
    let (former, latter) = (Piece::Copy(behind(first)), Piece::Copy(behind(clause)));
    let text = |text: &str| Piece::Text(text.to_owned());
    let joined = match clause.kind {
        ast::ClauseKind::When(_) => vec![text(" ("), former, text(") && ("), latter, text(")")],
        ast::ClauseKind::Quorum(_) | ast::ClauseKind::Max(_) | ast::ClauseKind::Parallel(_) => {
            return diagnostic;
        }
        _ => vec![text(" "), former, text(", "), latter],
    };
    diagnostic.fix(
        format!("join them in one `{word}`"),
        [
            Edit::write(behind(first), joined),
            Edit::remove(clause.span),
        ],
    )
}
