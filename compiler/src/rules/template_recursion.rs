//! K0214: a template that uses itself.

use konductor_dsl::{Code, Diagnostic, Span, ast};

use crate::limits::{TEMPLATE_DEPTH_MAX, USES_MAX};

/// A use of a template inside itself.
pub(crate) fn report(name: &ast::Name, template: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0214,
        name.span,
        format!("`{}` would use itself without end", name.text),
    )
    .here("used again here")
    .label(template, "inside this template")
    .help("remove this `use`")
}

/// Uses of templates that go too deep, or are too many.
pub(crate) fn too_many(span: Span) -> Diagnostic {
    let message = format!(
        "templates use each other more than {TEMPLATE_DEPTH_MAX} deep, or {USES_MAX} in one stage"
    );
    Diagnostic::error(Code::K0214, span, message)
        .help("use fewer templates, each of which does more")
}
