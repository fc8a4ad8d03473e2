//! K0315: an amount of memory that is no whole number of bytes.

use konductor_dsl::{Code, Diagnostic, Edit, Span};

use konductor_api::number::parse_quantity;

/// Billionths, in which quantities are counted.
const NANO: i128 = 1_000_000_000;

/// `memory = 500m`, which is half a byte, and `29.8Gi`, which is no whole number of them.
pub(crate) fn check(span: Span, text: &str) -> Option<Diagnostic> {
    let amount = parse_quantity(text)?;
    if amount % NANO == 0 {
        return None;
    }
    let message = format!("`{text}` is no whole number of bytes");
    let diagnostic = Diagnostic::error(Code::K0315, span, message);
    Some(match text.strip_suffix('m') {
        Some(digits) => diagnostic.here("`m` means a thousandth").fixed(
            format!("write `{digits}Mi`"),
            [Edit::replace(span, format!("{digits}Mi"))],
        ),
        None => {
            let mebibytes = amount / (NANO << 20);
            diagnostic.help(format!("write `{}Mi`", mebibytes.max(1)))
        }
    })
}
