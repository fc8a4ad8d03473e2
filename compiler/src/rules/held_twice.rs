//! K0410: a semaphore or lease that is held twice.

use konductor_api::LedgerKind;
use konductor_dsl::{Code, Diagnostic, Edit, Span, ast};

/// The second mention in one `holding`.
pub(crate) fn report(hold: &ast::Hold, kind: LedgerKind, first: Span) -> Diagnostic {
    let name = &hold.name;
    let help = match kind {
        LedgerKind::Semaphore => {
            format!("write it once, with the sum of permits: `{}(2)`", name.text)
        }
        LedgerKind::Lease => "write it once: a lease has one holder".to_owned(),
    };
    let diagnostic = Diagnostic::error(
        Code::K0410,
        name.span,
        format!("`{}` is held already", name.text),
    )
    .label(first, "first held here")
    .help(help);
    match kind {
        LedgerKind::Lease => diagnostic.fix("remove it", [Edit::remove(hold.span)]),
        LedgerKind::Semaphore => diagnostic,
    }
}
