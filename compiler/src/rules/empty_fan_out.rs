//! K0408: a fan-out over nothing.

use konductor_dsl::{Code, Diagnostic, Edit, Piece, ast};

/// Whether what a loop goes over is written out, so that it is empty in every run.
pub(crate) fn is_written_out(variable: &ast::Loop) -> bool {
    match &variable.over {
        ast::Over::List(_) => true,
        ast::Over::Ref(_) => false,
        ast::Over::Range(range) => {
            let is_number = |bound: &ast::Bound| matches!(bound, ast::Bound::Number(_));
            is_number(&range.start) && is_number(&range.end)
        }
    }
}

/// A loop over an empty list, for which the stage is skipped, or over a range whose bounds are the wrong way round.
pub(crate) fn report(variable: &ast::Loop) -> Diagnostic {
    let span = variable.over.span();
    let message = format!("`{}` goes over nothing", variable.variable.text);
    match &variable.over {
        ast::Over::Range(range) if range.inclusive => {
            let diagnostic = Diagnostic::error(Code::K0408, span, message).here("no elements");
            let (start, end) = (range.start.span(), range.end.span());
            let swapped = [
                Edit::write(start, [Piece::Copy(end)]),
                Edit::write(end, [Piece::Copy(start)]),
            ];
            diagnostic.fixed("write the smaller number first", swapped)
        }
        _ => Diagnostic::warning(Code::K0408, span, message)
            .here("no elements")
            .help("the stage is skipped in every run: give it an element, or remove it"),
    }
}
