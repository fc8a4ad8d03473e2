//! Numbers as texts: decimal ones, and Kubernetes quantities.

/// A whole number in decimal digits, without a plus sign.
pub fn parse_int(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| text.parse().ok()).flatten()
}

/// A text that is no number, by what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Such as `.5` or `5.`.
    #[error("write a digit on each side of the point, such as 0.5")]
    Point,
    /// Such as `+1`.
    #[error("write it without a plus sign")]
    Plus,
    /// Such as `1e400`.
    #[error("it is larger than a number can be")]
    TooLarge,
    /// Such as `NaN` or `-inf`.
    #[error("it has to be finite")]
    NotFinite,
    /// Such as `0x10`.
    #[error("write it in decimal digits")]
    NotDecimal,
    /// Such as `0,5`.
    #[error("write a point, not a comma")]
    Comma,
    /// Anything else.
    #[error("write one such as 3, -0.5 or 9.1e-05")]
    NotANumber,
}

/// The value of a decimal number such as `3`, `-0.5` or `9.1e-05`.
///
/// # Errors
/// For anything else, also for one that is too large to be compared.
pub fn parse_number(text: &str) -> Result<f64, NumberError> {
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
        return Err(meant(text));
    }
    let number: f64 = text.parse().map_err(|_| NumberError::NotANumber)?;
    match number.is_finite() {
        true => Ok(number),
        false => Err(NumberError::TooLarge),
    }
}

/// What somebody meant who wrote something else than a number.
fn meant(text: &str) -> NumberError {
    let lower = text.to_ascii_lowercase();
    let unsigned = lower.strip_prefix(['-', '+']).unwrap_or(&lower);
    let is_radix = |prefix: &str, radix: u32| {
        let digits = unsigned.strip_prefix(prefix);
        digits.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix)))
    };
    if matches!(unsigned, "nan" | "inf" | "infinity") {
        return NumberError::NotFinite;
    }
    if is_radix("0x", 16) || is_radix("0o", 8) || is_radix("0b", 2) {
        return NumberError::NotDecimal;
    }
    // What Rust reads is a number but for our rules.
    let is_number = |text: &str| !text.starts_with(['-', '+']) && text.parse::<f64>().is_ok();
    match () {
        () if lower.starts_with('+') && is_number(unsigned) => NumberError::Plus,
        () if is_number(unsigned) => NumberError::Point,
        () if is_number(&unsigned.replacen(',', ".", 1)) => NumberError::Comma,
        () => NumberError::NotANumber,
    }
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
    fn numbers_are_decimal_and_finite_and_anything_else_says_what_to_write() {
        use NumberError::*;
        let table = [
            ("3", Ok(3.0)),
            ("-0.5", Ok(-0.5)),
            ("-0", Ok(0.0)),
            ("007.50", Ok(7.5)),
            ("9.1e-05", Ok(0.000091)),
            ("1E+3", Ok(1000.0)),
            ("1e-400", Ok(0.0)),
            ("1e400", Err(TooLarge)),
            ("-1e400", Err(TooLarge)),
            ("nan", Err(NotFinite)),
            ("NaN", Err(NotFinite)),
            ("-Infinity", Err(NotFinite)),
            ("+inf", Err(NotFinite)),
            ("1.", Err(Point)),
            (".5", Err(Point)),
            ("-.5", Err(Point)),
            ("5.e3", Err(Point)),
            ("+1", Err(Plus)),
            ("+.5", Err(Plus)),
            ("0x10", Err(NotDecimal)),
            ("-0b1", Err(NotDecimal)),
            ("0,9", Err(Comma)),
            ("1e", Err(NotANumber)),
            ("1.5.2", Err(NotANumber)),
            ("1,000,000", Err(NotANumber)),
            ("1_000", Err(NotANumber)),
            (" 1", Err(NotANumber)),
            ("1 ", Err(NotANumber)),
            ("--1", Err(NotANumber)),
            ("-", Err(NotANumber)),
            (".", Err(NotANumber)),
            ("95%", Err(NotANumber)),
            ("\u{663}", Err(NotANumber)),
            ("", Err(NotANumber)),
        ];
        for (text, expected) in table {
            assert_eq!(parse_number(text), expected, "{text:?}");
        }
    }
}
