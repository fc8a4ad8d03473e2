//! K0315: an amount of CPU, memory or storage that can't have been meant.

use konductor_dsl::{Code, Diagnostic, Edit, Span};

use konductor_api::number::parse_quantity;

/// Billionths, in which quantities are counted.
const NANO: i128 = 1_000_000_000;

/// `memory = 512`, which is 512 bytes, and `size = 10`.
fn few_bytes(span: Span, text: &str, bytes: i128) -> Option<Diagnostic> {
    const LEAST: i128 = 1 << 20;
    if !(0..LEAST).contains(&bytes) {
        return None;
    }
    let unit = if bytes == 1 { "byte" } else { "bytes" };
    let message = format!("`{text}` is {bytes} {unit}, in which nothing fits");
    let diagnostic = Diagnostic::error(Code::K0315, span, message);
    if bytes == 0 || text.parse::<u64>().is_err() {
        return Some(diagnostic.help("write how much is needed, such as `512Mi` or `10Gi`"));
    }
    let diagnostic = diagnostic.help(format!("add a unit: `{text}Mi` or `{text}Gi`"));
    Some(["Mi", "Gi"].iter().fold(diagnostic, |diagnostic, unit| {
        let written = format!("{text}{unit}");
        let fix = [Edit::replace(span, written.as_str())];
        diagnostic.fix(format!("write `{written}`"), fix)
    }))
}

/// `cpu = 1Gi`, which is more cores than there are.
pub(crate) fn check_cpu(span: Span, text: &str) -> Option<Diagnostic> {
    const CORES_MAX: i128 = 10_000;
    let cores = parse_quantity(text)? / NANO;
    if cores <= CORES_MAX {
        return None;
    }
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let message = format!("`{text}` of CPU is {cores} cores");
    let help = format!("write the cores: `{number}`, or `500m` for half a core");
    Some(Diagnostic::error(Code::K0315, span, message).help(help))
}

/// Says of what is no quantity, such as `1GB`, how CPU is written.
pub(crate) fn in_cores(reported: &mut [Diagnostic], span: Span) {
    let wrong = reported.iter_mut();
    for diagnostic in
        wrong.filter(|diagnostic| diagnostic.code == Code::K0301 && diagnostic.span() == span)
    {
        diagnostic.help = Some("write the cores, such as `2`, `0.5` or `500m`".to_owned());
        diagnostic.fixes.clear();
    }
}

/// `memory = 500m`, which is half a byte, and `29.8Gi`, which is no whole number of them.
pub(crate) fn check(span: Span, text: &str) -> Option<Diagnostic> {
    let amount = parse_quantity(text)?;
    if amount % NANO == 0 {
        return few_bytes(span, text, amount / NANO);
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
