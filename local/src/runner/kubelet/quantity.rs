//! Kubernetes quantities (`500m`, `1Gi`), as far as `resourceFieldRef` needs them.

/// A thousand-millionth of the unit: the finest a quantity can say.
const NANO: u128 = 1_000_000_000;

/// `quantity` divided by `divisor`, rounded up, or `None` if one of them is no quantity or the
/// divisor is zero.
pub(super) fn divide(quantity: &str, divisor: &str) -> Option<u128> {
    let (quantity, divisor) = (parse(quantity)?, parse(divisor)?);
    (divisor > 0).then(|| quantity.div_ceil(divisor))
}

/// The quantity in thousand-millionths.
fn parse(text: &str) -> Option<u128> {
    let number_end = text
        .find(|character: char| !matches!(character, '0'..='9' | '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scale = scale_of(suffix)?;
    let whole = if whole.is_empty() && !fraction.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut nanos: u128 = scale.checked_mul(whole)?;
    let mut place = scale;
    for digit in fraction.chars() {
        place /= 10;
        nanos = nanos.checked_add(place.checked_mul(digit.to_digit(10)?.into())?)?;
    }
    Some(nanos)
}

/// Thousand-millionths in one unit of `suffix`.
fn scale_of(suffix: &str) -> Option<u128> {
    let binary = |power: u32| 1024_u128.pow(power) * NANO;
    Some(match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => NANO,
        "k" => 1_000 * NANO,
        "M" => 1_000_000 * NANO,
        "G" => 1_000_000_000 * NANO,
        "T" => 1_000_000_000_000 * NANO,
        "P" => 1_000_000_000_000_000 * NANO,
        "E" => 1_000_000_000_000_000_000 * NANO,
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_u128.checked_pow(exponent)?.checked_mul(NANO)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_are_rounded_up() {
        let cases = [
            ("500m", "1", Some(1)),
            ("500m", "1m", Some(500)),
            ("1.5", "1", Some(2)),
            ("1.5", "1m", Some(1500)),
            (".5", "1m", Some(500)),
            ("1Gi", "1Mi", Some(1024)),
            ("1Gi", "1", Some(1_073_741_824)),
            ("1G", "1Mi", Some(954)),
            ("2e3", "1k", Some(2)),
            ("0", "1", Some(0)),
            ("1", "0", None),
            ("-1", "1", None),
            ("", "1", None),
            ("1x", "1", None),
            ("1e99", "1", None),
            ("1.2.3", "1", None),
        ];
        for (quantity, divisor, expected) in cases {
            assert_eq!(
                divide(quantity, divisor),
                expected,
                "{quantity} / {divisor}"
            );
        }
    }
}
