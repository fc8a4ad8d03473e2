//! A duration as manifests write it: `30s`, `1h30m`, `2d`.

use std::fmt;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::DURATION_DAYS_MAX;

/// A duration such as `500ms`, `30s`, `1h30m` or `2d`: whole numbers with the units `d`, `h`, `m`,
/// `s` and `ms`, each at most once and in that order.
///
/// The text is kept as it was written, so an object read and written back is unchanged;
/// [`Duration::parse`] gives its length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Duration(
    #[schemars(
        length(min = 2, max = 32),
        regex(pattern = r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$")
    )]
    String,
);

/// A text that is not a [`Duration`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration: write a number and a unit, such as 500ms, 30s, 1h30m or 2d")]
pub struct DurationError {
    /// The text that was given.
    pub text: String,
}

impl Duration {
    /// Checks a text and keeps it.
    ///
    /// # Errors
    /// If the text is not a duration, or is longer than ten years.
    pub fn new(text: impl Into<String>) -> Result<Self, DurationError> {
        let duration = Self(text.into());
        duration.parse()?;
        Ok(duration)
    }

    /// Writes whole milliseconds in the shortest form: 5,400,000 is `1h30m`.
    pub fn from_millis(millis: u64) -> Self {
        let mut rest = millis;
        let mut text = String::new();
        for (unit, size) in UNITS {
            if rest >= size {
                text.push_str(&format!("{}{unit}", rest / size));
                rest %= size;
            }
        }
        if text.is_empty() {
            text.push_str("0s");
        }
        Self(text)
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The length.
    ///
    /// # Errors
    /// If the text is not a duration: the schema's pattern keeps such a text out of the API, but
    /// a schema can be edited.
    pub fn parse(&self) -> Result<SignedDuration, DurationError> {
        let error = || DurationError {
            text: self.0.clone(),
        };
        let mut rest = self.0.as_str();
        let mut millis: u64 = 0;
        let mut units = UNITS.iter();
        if rest.is_empty() {
            return Err(error());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| error())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
            let unit = &rest[..letters];
            rest = &rest[letters..];
            let (_, size) = units.find(|(name, _)| *name == unit).ok_or_else(error)?;
            millis = number
                .checked_mul(*size)
                .and_then(|part| millis.checked_add(part))
                .filter(|sum| *sum <= DURATION_DAYS_MAX * 86_400_000)
                .ok_or_else(error)?;
        }
        i64::try_from(millis)
            .map(SignedDuration::from_millis)
            .map_err(|_| error())
    }
}

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::str::FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_reads_every_unit_in_order() {
        let table = [
            ("0s", Some(0)),
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("1d1h1m1s1ms", Some(90_061_001)),
            ("", None),
            ("s", None),
            ("30", None),
            ("1.5h", None),
            ("-1s", None),
            ("1m1h", None),
            ("1s1s", None),
            ("1w", None),
            ("99999999999999999999s", None),
            ("36500d", None),
            ("1 s", None),
            ("١s", None),
        ];
        for (text, expected) in table {
            let read = Duration(text.into()).parse().ok().map(|d| d.as_millis());
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn duration_written_from_millis_reads_back() {
        for millis in [0, 1, 999, 1_000, 61_001, 5_400_000, 90_061_001] {
            let written = Duration::from_millis(millis);
            assert_eq!(
                written.parse().unwrap().as_millis(),
                i128::from(millis),
                "{written}"
            );
        }
    }
}
