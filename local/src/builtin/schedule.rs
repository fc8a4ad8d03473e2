//! Which texts are schedules of CronJobs.

/// The fields of a schedule, with their lowest and highest values and the names for them.
const FIELDS: [(u32, u32, &[&str]); 5] = [
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

/// Checks a schedule such as `*/5 0-6 1,15 * mon-fri` or `@daily`.
///
/// # Errors
/// If it is none, in the words of the parser that Kubernetes has.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    if let Some(name) = schedule.strip_prefix('@') {
        return check_descriptor(schedule, name);
    }
    let fields: Vec<_> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        ));
    }
    for (field, (low, high, names)) in fields.iter().zip(FIELDS) {
        for part in field.split(',') {
            check_range(part, low, high, names)?;
        }
    }
    Ok(())
}

fn check_descriptor(schedule: &str, name: &str) -> Result<(), String> {
    const KNOWN: [&str; 7] = [
        "yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly",
    ];
    if KNOWN.contains(&name) {
        return Ok(());
    }
    match name.strip_prefix("every ") {
        Some(duration) if !duration.is_empty() => Ok(()),
        _ => Err(format!("unrecognized descriptor: {schedule}")),
    }
}

fn check_range(part: &str, low: u32, high: u32, names: &[&str]) -> Result<(), String> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    if let Some(step) = step
        && number(step, &[], low)? == 0
    {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    if range == "*" || range == "?" {
        return Ok(());
    }
    let (start, end) = match range.split_once('-') {
        Some((start, end)) => (number(start, names, low)?, number(end, names, low)?),
        None => {
            let start = number(range, names, low)?;
            (start, if step.is_some() { high } else { start })
        }
    };
    if start < low {
        return Err(format!(
            "beginning of range ({start}) below minimum ({low}): {part}"
        ));
    }
    if end > high {
        return Err(format!(
            "end of range ({end}) above maximum ({high}): {part}"
        ));
    }
    if start > end {
        return Err(format!(
            "beginning of range ({start}) beyond end of range ({end}): {part}"
        ));
    }
    Ok(())
}

fn number(text: &str, names: &[&str], low: u32) -> Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    if let Some(at) = names.iter().position(|name| **name == lower) {
        return Ok(low + u32::try_from(at).unwrap_or_default());
    }
    text.parse().map_err(|_| {
        format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {}: invalid syntax",
            crate::field::quote(text)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_told_from_other_texts() {
        for schedule in [
            "* * * * *",
            "*/5 0-6 1,15 * mon-fri",
            "@daily",
            "@every 1h",
            "5/15 * * JAN ?",
        ] {
            assert_eq!(check(schedule), Ok(()), "{schedule}");
        }
        for (schedule, expected) in [
            ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            (
                "*/0 * * * *",
                "step of range should be a positive number: */0",
            ),
            ("@sometimes", "unrecognized descriptor: @sometimes"),
        ] {
            assert_eq!(check(schedule), Err(expected.to_owned()), "{schedule}");
        }
    }
}
