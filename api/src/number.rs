//! Numbers as texts: decimal ones, and Kubernetes quantities.

/// The value of a decimal number such as `3`, `-0.5` or `9.1e-05`; `None` for anything else, also for
/// one that is too large to be compared.
pub fn parse_number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        None => (unsigned, "0"),
        Some((mantissa, exponent)) => {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            (mantissa, digits)
        }
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_number = [whole, fraction, exponent]
        .into_iter()
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_number {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A quantity in billionths, such as 500,000,000 for `500m`. Negative quantities are rejected.
pub fn parse_quantity(text: &str) -> Option<i128> {
    const NANO: i128 = 1_000_000_000;
    let digits = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'.')
        .count();
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') || whole.len() > 18 || fraction.len() > 9 {
        return None;
    }
    let scale = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => NANO,
        "k" => NANO * 1_000,
        "M" => NANO * 1_000_000,
        "G" => NANO * 1_000_000_000,
        "T" => NANO * 1_000_000_000_000,
        "P" => NANO * 1_000_000_000_000_000,
        "E" => NANO * 1_000_000_000_000_000_000,
        "Ki" => NANO << 10,
        "Mi" => NANO << 20,
        "Gi" => NANO << 30,
        "Ti" => NANO << 40,
        "Pi" => NANO << 50,
        "Ei" => NANO << 60,
        _ => return None,
    };
    let ten = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole = whole.parse::<i128>().ok()?.checked_mul(scale)?;
    let part = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<i128>().ok()?
    };
    whole.checked_add(part.checked_mul(scale)? / ten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_billionths() {
        let table = [
            ("500m", Some(500_000_000)),
            ("1", Some(1_000_000_000)),
            ("0.5", Some(500_000_000)),
            ("1Ki", Some(1_024_000_000_000)),
            ("10Ei", Some(10 * (1_000_000_000_i128 << 60))),
            ("999999999999999999Ei", None),
            ("1.", None),
            (".5", None),
            ("-1", None),
            ("1gi", None),
            ("1 Gi", None),
            ("1.2.3", None),
            ("9999999999999999999", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_quantity(text), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_decimal_and_finite() {
        let table = [
            ("3", Some(3.0)),
            ("-0.5", Some(-0.5)),
            ("9.1e-05", Some(0.000091)),
            ("1E+3", Some(1000.0)),
            ("1e400", None),
            ("nan", None),
            ("1.", None),
            (".5", None),
            ("1e", None),
            ("1.5.2", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_number(text), expected, "{text:?}");
        }
    }
}
