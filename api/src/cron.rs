//! Cron expressions, as `github.com/robfig/cron/v3` reads them, which the CronJob controller uses.
//!
//! What enters: a text. What leaves: the minutes that it names, or what is wrong with it. What must never happen here: a
//! clock, or words for people; the compiler and the embedded cluster have their own.

/// What the five fields go from and to, and the names of months and days.
pub const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (
        1,
        12,
        &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    ),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// What `@daily` and the like stand for.
pub const DESCRIPTORS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The minutes that an expression names: a bit for each value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    /// The minutes of the hour.
    pub minute: u64,
    /// The hours of the day.
    pub hour: u64,
    /// The days of the month.
    pub day: u64,
    /// The months.
    pub month: u64,
    /// The days of the week; Sunday is 0.
    pub weekday: u64,
    /// Whether the day of the month or of the week is `*`: else either is enough.
    pub any_day: bool,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CronError {
    /// It has so many fields, and not five.
    Fields(usize),
    /// It begins with `@`, and is not one of [`DESCRIPTORS`].
    Descriptor,
    /// A part of a field is wrong.
    Part {
        /// The place of the field.
        field: usize,
        /// The part, as it was written.
        part: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with a part of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// This text is neither a number nor a name.
    NotANumber(String),
    /// Its step is 0.
    NoStep,
    /// It begins below the lowest value.
    Below(u32),
    /// It ends above the highest value.
    Above(u32),
    /// It begins after its end.
    Backwards(u32, u32),
}

impl Cron {
    /// Reads an expression such as `*/5 0-6 1,15 * mon-fri` or `@daily`.
    ///
    /// # Errors
    /// What is wrong with it, the first thing first.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let mut descriptors = DESCRIPTORS.iter();
        let text = match descriptors.find(|(name, _)| *name == text) {
            Some((_, expression)) => expression,
            None if text.starts_with('@') => return Err(CronError::Descriptor),
            None => text,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(CronError::Fields(fields.len()));
        };
        let (minute, _) = field(minute, 0)?;
        let (hour, _) = field(hour, 1)?;
        let (day, every_day) = field(day, 2)?;
        let (month, _) = field(month, 3)?;
        let (weekday, every_weekday) = field(weekday, 4)?;
        Ok(Self {
            minute,
            hour,
            day,
            month,
            weekday,
            any_day: every_day || every_weekday,
        })
    }

    /// Returns whether there is such a day, in a leap year.
    pub fn ever_fires(&self) -> bool {
        let longest = |month: u32| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let first = self.day.trailing_zeros();
        let mut months = (1..=12).filter(|month| self.month & (1 << month) != 0);
        !self.any_day || months.any(|month| first <= longest(month))
    }
}

/// The values of a field, and whether it is `*`.
fn field(text: &str, field: usize) -> Result<(u64, bool), CronError> {
    let (mut bits, mut any) = (0, false);
    for part in text.split(',') {
        let (range, is_any) = range(part, FIELDS[field]).map_err(|problem| CronError::Part {
            field,
            part: part.to_owned(),
            problem,
        })?;
        bits |= range;
        any |= is_any;
    }
    Ok((bits, any))
}

fn range(part: &str, (low, high, names): (u32, u32, &[&str])) -> Result<(u64, bool), Problem> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(number(step, &[], low)?)),
        None => (part, None),
    };
    if step == Some(0) {
        return Err(Problem::NoStep);
    }
    let is_any = range == "*" || range == "?";
    let (start, end) = match range.split_once('-') {
        _ if is_any => (low, high),
        Some((start, end)) => (number(start, names, low)?, number(end, names, low)?),
        None => {
            let start = number(range, names, low)?;
            (start, if step.is_some() { high } else { start })
        }
    };
    if start < low {
        return Err(Problem::Below(start));
    }
    if end > high {
        return Err(Problem::Above(end));
    }
    if start > end {
        return Err(Problem::Backwards(start, end));
    }
    let step = step.unwrap_or(1);
    let values = (start..=end).filter(|value| (value - start) % step == 0);
    let bits = values.fold(0, |bits, value| bits | 1 << value);
    Ok((bits, is_any && step == 1))
}

fn number(text: &str, names: &[&str], low: u32) -> Result<u32, Problem> {
    let lower = text.to_ascii_lowercase();
    if let Some(at) = names.iter().position(|name| **name == lower) {
        return Ok(low + u32::try_from(at).unwrap_or_default());
    }
    text.parse()
        .map_err(|_| Problem::NotANumber(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expression_fires_if_there_is_such_a_day() {
        for (text, expected) in [
            ("0 0 29 2 *", true),
            ("0 0 30 2 *", false),
            ("0 0 30,1 2 *", true),
            ("0 0 31 4,6,9,11 *", false),
            // Either kind of day is enough, and `*/2` is not every day.
            ("0 0 31 2 mon", true),
            ("0 0 31 2 */2", true),
            ("@daily", true),
        ] {
            let cron = Cron::parse(text).expect(text);
            assert_eq!(cron.ever_fires(), expected, "{text}");
        }
    }
}
