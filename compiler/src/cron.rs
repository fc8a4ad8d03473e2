//! What is wrong with a cron expression, for people.
//!
//! What enters: text. What leaves: whether it can be read, and whether it ever fires. What must
//! never happen here: a clock; when it fires next is the controller's business.

use konductor_api::cron::{self, Cron, DESCRIPTORS, FIELDS, Problem};

/// What is wrong with an expression, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CronError {
    /// It can't be read.
    Unreadable(String),
    /// It can be read, and there is no such day.
    NeverFires,
}

/// What a value of each of the five fields is.
const VALUES: [&str; 5] = [
    "a minute",
    "an hour",
    "a day of the month",
    "a month",
    "a day of the week",
];

/// Checks an expression.
///
/// # Errors
/// If the controller would refuse it, or would never start anything.
pub(crate) fn check(text: &str) -> Result<(), CronError> {
    match Cron::parse(text) {
        Ok(cron) if cron.ever_fires() => Ok(()),
        Ok(_) => Err(CronError::NeverFires),
        Err(error) => Err(CronError::Unreadable(words(text, error))),
    }
}

fn words(text: &str, error: cron::CronError) -> String {
    match error {
        cron::CronError::Fields(count) => format!("it has {count} fields, not five"),
        cron::CronError::Descriptor => {
            let names = DESCRIPTORS.map(|(name, _)| name).join(", ");
            format!("{text} is not one of {names}")
        }
        cron::CronError::Part {
            field,
            part,
            problem,
        } => {
            let (low, high, _) = FIELDS[field];
            let is_not = |value: &str| format!("`{value}` is not {}", VALUES[field]);
            let outside = |value: &str| format!("{} from {low} to {high}", is_not(value));
            match problem {
                Problem::NotANumber(text) => outside(&text),
                Problem::Below(value) | Problem::Above(value) => outside(&value.to_string()),
                Problem::NoStep | Problem::Backwards(..) => is_not(&part),
            }
        }
    }
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
