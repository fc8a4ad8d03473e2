//! Cron expressions as the CronJob controller reads them: five fields, names of months and days,
//! `@daily` and the like.
//!
//! What enters: text. What leaves: whether it can be read, and whether it ever fires. What must
//! never happen here: a clock; when it fires next is the controller's business.

/// What is wrong with an expression, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CronError {
    /// It can't be read.
    Unreadable(String),
    /// It can be read, and there is no such day.
    NeverFires,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MACROS: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

/// One of the five fields.
struct Field {
    what: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        what: "a minute",
        min: 0,
        max: 59,
        names: &[],
    },
    Field {
        what: "an hour",
        min: 0,
        max: 23,
        names: &[],
    },
    Field {
        what: "a day of the month",
        min: 1,
        max: 31,
        names: &[],
    },
    Field {
        what: "a month",
        min: 1,
        max: 12,
        names: &MONTHS,
    },
    Field {
        what: "a day of the week",
        min: 0,
        max: 6,
        names: &DAYS,
    },
];

/// Checks an expression.
///
/// # Errors
/// Where the controller would refuse it, or would never start anything.
pub(crate) fn check(text: &str) -> Result<(), CronError> {
    if text.starts_with('@') {
        return match MACROS.contains(&text) {
            true => Ok(()),
            false => Err(CronError::Unreadable(format!(
                "{text} is not one of {}",
                MACROS.join(", ")
            ))),
        };
    }
    let parts: Vec<&str> = text.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        let problem = format!("it has {} fields, not five", parts.len());
        return Err(CronError::Unreadable(problem));
    }
    let mut sets = Vec::with_capacity(FIELDS.len());
    for (part, field) in parts.iter().zip(&FIELDS) {
        sets.push(read_field(part, field).map_err(CronError::Unreadable)?);
    }
    // Where both kinds of day are given, either is enough.
    let any_day = |part: &str| part.starts_with(['*', '?']);
    let [_, _, days, months, _] = sets.as_slice() else {
        return Ok(());
    };
    let fires = !any_day(parts[4])
        || months
            .iter()
            .any(|month| days.iter().any(|day| *day <= longest(*month)));
    if fires {
        Ok(())
    } else {
        Err(CronError::NeverFires)
    }
}

/// The days of a month in a leap year.
fn longest(month: u32) -> u32 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The values of a field such as `*/5`, `1-5`, `mon,wed`.
fn read_field(text: &str, field: &Field) -> Result<Vec<u32>, String> {
    let mut values = Vec::new();
    for part in text.split(',') {
        let wrong = || format!("`{part}` is not {}", field.what);
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().map_err(|_| wrong())?)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (field.min, field.max),
            Some((first, last)) => (read_value(first, field)?, read_value(last, field)?),
            None => {
                let first = read_value(range, field)?;
                (first, if step.is_some() { field.max } else { first })
            }
        };
        if first > last || step == Some(0) {
            return Err(wrong());
        }
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
        values.extend((first..=last).step_by(step));
    }
    Ok(values)
}

fn read_value(text: &str, field: &Field) -> Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    let named = field.names.iter().position(|name| *name == lower);
    let value = match named {
        Some(position) => field
            .min
            .checked_add(u32::try_from(position).unwrap_or(u32::MAX)),
        None => text.parse().ok(),
    };
    value
        .filter(|value| (field.min..=field.max).contains(value))
        .ok_or_else(|| {
            format!(
                "`{text}` is not {} from {} to {}",
                field.what, field.min, field.max
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_the_controller_reads_them() {
        let unreadable = |text: &str| Err(CronError::Unreadable(text.to_owned()));
        let table = [
            ("0 2 * * *", Ok(())),
            ("*/5 1-5,8 1/2 JAN-mar mon,WED", Ok(())),
            ("? ? ? ? ?", Ok(())),
            ("@daily", Ok(())),
            ("0 0 29 2 *", Ok(())),
            ("0 0 30 2 *", Err(CronError::NeverFires)),
            ("0 0 31 4,6,9,11 *", Err(CronError::NeverFires)),
            ("0 0 31 2 mon", Ok(())),
            ("0 2 * *", unreadable("it has 4 fields, not five")),
            (
                "60 * * * *",
                unreadable("`60` is not a minute from 0 to 59"),
            ),
            ("* 5-1 * * *", unreadable("`5-1` is not an hour")),
            ("*/0 * * * *", unreadable("`*/0` is not a minute")),
            (
                "* * 0 * *",
                unreadable("`0` is not a day of the month from 1 to 31"),
            ),
            (
                "* * * * 7",
                unreadable("`7` is not a day of the week from 0 to 6"),
            ),
            ("", unreadable("it has 0 fields, not five")),
        ];
        for (text, expected) in table {
            assert_eq!(check(text), expected, "{text}");
        }
        assert!(check("@reboot").is_err());
    }
}
