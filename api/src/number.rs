//! Numbers as texts: decimal ones, and Kubernetes quantities.

use std::cmp::Ordering;

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
    /// Such as `1e-9999999999999999999`.
    #[error("write an exponent of at most {EXPONENT_DIGITS_MAX} digits")]
    LongExponent,
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

/// Digits of an exponent, but for zeros in front: so each is an [`i64`], to which the digits of a text can be added.
const EXPONENT_DIGITS_MAX: usize = 18;

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
    if exponent.trim_start_matches('0').len() > EXPONENT_DIGITS_MAX {
        return Err(NumberError::LongExponent);
    }
    let number: f64 = text.parse().map_err(|_| NumberError::NotANumber)?;
    match number.is_finite() {
        true => Ok(number),
        false => Err(NumberError::TooLarge),
    }
}

/// Compares two decimal numbers exactly: what [`parse_number`] returns is rounded.
///
/// # Errors
/// If one of them is not a number.
pub fn compare_numbers(left: &str, right: &str) -> Result<Ordering, NumberError> {
    let (left, right) = (Decimal::parse(left)?, Decimal::parse(right)?);
    Ok(left.cmp(&right))
}

/// Returns a decimal number as JSON has it: as it is written, but for the zeros in front.
///
/// # Errors
/// If it is not a number.
pub fn number_as_json(text: &str) -> Result<String, NumberError> {
    parse_number(text)?;
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", text),
    };
    let digits = unsigned.trim_start_matches('0');
    let zero = match digits.starts_with(|c: char| c.is_ascii_digit()) {
        true => "",
        false => "0",
    };
    Ok(format!("{sign}{zero}{digits}"))
}

/// Whether a text is no JSON because of a number that is too large, such as `1e400`: serde_json has no other way to ask.
pub fn is_too_large(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("number out of range")
}

/// A decimal number, to the last digit.
#[derive(PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    /// How many of the digits are before the point; negative if there are zeros between it and them.
    magnitude: i64,
    /// Without zeros in front and at the end; none is 0.
    digits: String,
}

impl Decimal {
    fn parse(text: &str) -> Result<Self, NumberError> {
        parse_number(text)?;
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i64 = exponent.parse().map_err(|_| NumberError::LongExponent)?;
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let before = i64::try_from(whole.len()).unwrap_or(i64::MAX);
        let zeros = i64::try_from(all.len() - digits.len()).unwrap_or(i64::MAX);
        let digits = digits.trim_end_matches('0').to_owned();
        let is_zero = digits.is_empty();
        Ok(Self {
            is_negative: text.starts_with('-') && !is_zero,
            magnitude: match is_zero {
                true => 0,
                false => exponent.saturating_add(before - zeros),
            },
            digits,
        })
    }

    /// What has the order of the sizes of numbers of one sign.
    fn size(&self) -> (bool, i64, &str) {
        (!self.digits.is_empty(), self.magnitude, &self.digits)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.size().cmp(&other.size()),
            (true, true) => other.size().cmp(&self.size()),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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

/// A quantity in billionths, such as 500,000,000 for `500m`. Negative quantities are rejected. `1e3` is 1000, and `1E` is
/// 10 to the power of 18, as in Kubernetes.
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
    let ten = |power: usize| 10_i128.checked_pow(u32::try_from(power).ok()?);
    let mut divisor = 1;
    let scale = match suffix {
        exponent if is_exponent(exponent) => {
            let exponent: i32 = exponent.get(1..)?.parse().ok()?;
            let power = ten(usize::try_from(exponent.unsigned_abs()).ok()?)?;
            match exponent < 0 {
                true => {
                    divisor = power;
                    NANO
                }
                false => NANO.checked_mul(power)?,
            }
        }
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
    let whole = whole.parse::<i128>().ok()?.checked_mul(scale)?;
    let part = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<i128>().ok()?
    };
    let part = part.checked_mul(scale)? / ten(fraction.len())?;
    Some(whole.checked_add(part)? / divisor)
}

/// Whether the end of a quantity is a power of ten, such as `e3` or `E-6`.
fn is_exponent(suffix: &str) -> bool {
    let exponent = suffix.strip_prefix(['e', 'E']);
    let digits = exponent.map(|exponent| exponent.strip_prefix(['-', '+']).unwrap_or(exponent));
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
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
            ("1E", Some(1_000_000_000 * 10_i128.pow(18))),
            ("1e3", Some(1_000_000_000_000)),
            ("1.5E+3", Some(1_500_000_000_000)),
            ("1500e-3", Some(1_500_000_000)),
            ("1e-10", Some(0)),
            ("1e", None),
            ("1e+", None),
            ("1e3k", None),
            ("1e1.5", None),
            ("1e99999999999", None),
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
            ("0e000000000000000000000", Ok(0.0)),
            ("1e-9999999999999999999", Err(LongExponent)),
            ("0e9999999999999999999", Err(LongExponent)),
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

    #[test]
    fn numbers_are_compared_to_the_last_digit() {
        // Each of a row is one number; the rows rise.
        let rows: [&[&str]; 15] = [
            &["-1e300"],
            &["-9007199254740993", "-9007199254740993.0"],
            &["-9007199254740992"],
            &["-0.10", "-1e-1"],
            &["-1e-999999999999999999"],
            &["0", "-0", "0.0", "-0e5", "0e-999999999999999999", "00"],
            &["1e-999999999999999999", "0.1e-999999999999999998"],
            &["1e-400"],
            &["0.1", "0.10", "1e-1", "00.1", "10e-2"],
            &["0.10000000000000000000000001"],
            &["3", "3.0", "03", "0.3e1", "300E-2"],
            &["12", "1.2e1"],
            &["120", "1.2e+2"],
            &["9007199254740992", "9.007199254740992e15"],
            &["9007199254740993"],
        ];
        for (left_row, left) in rows.iter().enumerate() {
            for (right_row, right) in rows.iter().enumerate() {
                for (left, right) in left.iter().flat_map(|l| right.iter().map(move |r| (l, r))) {
                    let expected = left_row.cmp(&right_row);
                    assert_eq!(compare_numbers(left, right), Ok(expected), "{left} {right}");
                }
            }
        }
        assert_eq!(compare_numbers("1", ".5"), Err(NumberError::Point));
    }

    #[test]
    fn a_number_as_json_has_the_digits_that_were_written() {
        let table = [
            ("12345678901234567890123", "12345678901234567890123"),
            ("0.12345678901234567890", "0.12345678901234567890"),
            ("9.1e-05", "9.1e-05"),
            ("3e-400", "3e-400"),
            ("1E+3", "1E+3"),
            ("007", "7"),
            ("-00.50", "-0.50"),
            ("00e5", "0e5"),
            ("000", "0"),
            ("-0", "-0"),
        ];
        for (text, expected) in table {
            assert_eq!(number_as_json(text).as_deref(), Ok(expected), "{text}");
            assert!(serde_json::from_str::<&serde_json::value::RawValue>(expected).is_ok());
        }
        assert_eq!(number_as_json("+1"), Err(NumberError::Plus));
    }
}
