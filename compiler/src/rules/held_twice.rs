//! K0410: a semaphore or lease that is held twice.

use konductor_api::LedgerKind;
use konductor_dsl::{Code, Diagnostic, Span, ast};

/// The second mention in one `holding`.
pub(crate) fn report(name: &ast::Name, kind: LedgerKind, first: Span) -> Diagnostic {
    let help = match kind {
        LedgerKind::Semaphore => {
            format!("write it once, with the sum of permits: `{}(2)`", name.text)
        }
        LedgerKind::Lease => "write it once: a lease has one holder".to_owned(),
    };
    Diagnostic::error(
        Code::K0410,
        name.span,
        format!("`{}` is held already", name.text),
    )
    .label(first, "first held here")
    .help(help)
}
