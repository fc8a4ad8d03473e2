//! The formats of texts that schemas ask for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use uuid::Uuid;

/// The formats of texts that a real server knows; it takes their names with hyphens and without.
const TEXTS: [&str; 26] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8slongname",
    "k8sshortname",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
];

/// Whether a text has a format. A format that is not known takes every text, as on a real server.
pub(super) fn matches(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => is_time(text),
        "date" => is_date(text),
        "duration" => is_duration(text),
        "uuid" => Uuid::parse_str(text).is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "ip" => text.parse::<IpAddr>().is_ok(),
        "cidr" => is_cidr(text),
        "byte" => crate::encoding::is_base64(text),
        "email" => text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && host.contains('.') && !host.contains('@')
        }),
        "uri" => text.split_once(':').is_some_and(|(scheme, _)| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        }),
        _ => true,
    }
}

/// Whether the API server knows a format of values of this type. One that it does not know is stored
/// unchecked, with a warning.
pub(super) fn is_known(kind: &str, format: &str) -> bool {
    match kind {
        "" | "string" => TEXTS.contains(&format.replace('-', "").as_str()),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// A day, and after a `T` a time of day with its offset. A real server looks no closer, so neither does
/// this one: any character may stand before the fraction, and any digits in the offset.
fn is_time(text: &str) -> bool {
    let text = text.to_lowercase();
    let mut parts = text.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else {
        return false;
    };
    let Some((clock, rest)) = time.split_at_checked(8) else {
        return false;
    };
    let zone_length = if rest.ends_with('z') { 1 } else { 6 };
    let zone_at = rest.len().checked_sub(zone_length);
    let Some((fraction, zone)) = zone_at.and_then(|at| rest.split_at_checked(at)) else {
        return false;
    };
    let mut fraction = fraction.chars();
    let is_clock = clock.split(':').count() == 3
        && clock
            .split(':')
            .zip(["23", "59", "59"])
            .all(|(part, max)| is_pair(part) && part <= max);
    let is_fraction = fraction.next().is_none() || is_number(fraction.as_str());
    let is_offset = |offset: &str| {
        let parts = offset.split_once(':');
        parts.is_some_and(|(hours, minutes)| is_pair(hours) && is_pair(minutes))
    };
    let is_zone = zone == "z" || zone.strip_prefix(['+', '-']).is_some_and(is_offset);
    is_date(date) && is_clock && is_fraction && is_zone
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_pair(text: &str) -> bool {
    text.len() == 2 && is_number(text)
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let bits_max = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= bits_max)
}

/// A duration as Go writes it, such as `1h30m` or `-1.5s`, or in words, such as `3 days`.
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 7] = ["ns", "us", "µs", "ms", "s", "m", "h"];
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        if digits == 0 || rest[..digits].parse::<f64>().is_err() {
            return false;
        }
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        if !UNITS.contains(&&rest[..unit]) {
            return is_worded_duration(text);
        }
        rest = &rest[unit..];
        parts += 1;
    }
    parts > 0
}

fn is_worded_duration(text: &str) -> bool {
    const WORDS: [&str; 8] = [
        "nanosecond",
        "microsecond",
        "millisecond",
        "second",
        "minute",
        "hour",
        "day",
        "week",
    ];
    let Some((count, unit)) = text.trim().split_once(' ') else {
        return false;
    };
    let unit = unit.trim();
    count.parse::<u64>().is_ok() && WORDS.contains(&unit.strip_suffix('s').unwrap_or(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_distinguish_texts() {
        for (format, good, bad) in [
            ("date-time", "2026-01-02T03:04:05Z", "2026-01-02"),
            (
                "date-time",
                "2026-01-02t03:04:05x5+99:99",
                "2026-01-02T24:00:00Z",
            ),
            ("date", "2026-01-02", "2026-13-02"),
            ("duration", "1h30m", "1 fortnight"),
            ("duration", "3 days", "h"),
            ("uuid", "67e55044-10b1-426f-9247-bb680e5fe0c8", "67e55044"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("ipv6", "::1", "127.0.0.1"),
        ] {
            assert!(matches(format, good), "{format}: {good}");
            assert!(!matches(format, bad), "{format}: {bad}");
        }
        assert!(matches("uint32", "whatever"));
    }
}
