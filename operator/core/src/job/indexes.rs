//! The indexes of an Indexed Job, such as `0-2,5`; those that succeeded before a retry don't run again.

use std::collections::BTreeSet;

use konductor_api::{ObjectName, Participant};
use serde_json::json;

use crate::Write;
use crate::kind::Kind;

/// The write by which the Job controller learns which indexes have succeeded; `None` if it knows.
pub(super) fn completed(job: &Participant) -> Option<Write> {
    let text = job.completed_indexes()?;
    let status = job.status.as_ref();
    if status.is_some_and(|status| status.completed_indexes.is_some()) {
        return None;
    }
    let spec = job.spec.as_ref()?;
    let indexed = spec.completion_mode.as_deref() == Some("Indexed");
    let count = count(text, spec.completions.filter(|_| indexed)?)?;
    let body = json!({
        "metadata": {
            "uid": job.metadata.uid,
            "resourceVersion": job.metadata.resource_version,
        },
        "status": { "completedIndexes": text, "succeeded": count },
    });
    Some(Write::Patch {
        kind: Kind::Job,
        name: ObjectName::of(&job.metadata),
        status: true,
        body,
    })
}

/// How many indexes these are: rising, and below the Job's completions. `None` for anything else, which nobody but a
/// person has written; the whole Job runs then.
fn count(text: &str, completions: i32) -> Option<i32> {
    let ranges = ranges(text, completions)?;
    Some(ranges.iter().map(|(first, last)| last - first + 1).sum())
}

/// These indexes, such as `0-2,5`, if they rise and are below so many.
pub(crate) fn parse(text: &str, completions: i32) -> Option<BTreeSet<usize>> {
    if text.is_empty() {
        return Some(BTreeSet::new());
    }
    let indexes = ranges(text, completions)?.into_iter();
    let indexes = indexes.flat_map(|(first, last)| first..=last);
    Some(
        indexes
            .filter_map(|index| usize::try_from(index).ok())
            .collect(),
    )
}

fn ranges(text: &str, completions: i32) -> Option<Vec<(i32, i32)>> {
    let mut next = 0;
    let mut ranges = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (index(first)?, index(last)?);
        if first < next || last < first || last >= completions {
            return None;
        }
        ranges.push((first, last));
        next = last + 1;
    }
    Some(ranges)
}

/// Writes indexes as the Job controller does.
pub(super) fn format(indexes: &BTreeSet<usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for index in indexes {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => ranges.push((*index, *index)),
        }
    }
    let words = ranges.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(",")
}

/// Digits only: no sign, and no blank.
fn index(text: &str) -> Option<i32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Returns what an index of the Job is called, for people.
pub(super) fn of_index(job: &Participant, names: &[String], index: usize) -> String {
    let stage = match job.run() {
        Some(_) => format!("stage {}", job.stage()),
        None => format!("job/{}", job.name()),
    };
    match names.get(index) {
        Some(name) => format!("{stage}[{}]", crate::explain::cut(name)),
        None => format!("{stage}[{index}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_counted_only_if_the_job_controller_would_read_them() {
        for (text, expected) in [
            ("0", Some(1)),
            ("0-2,5", Some(4)),
            ("0-9", Some(10)),
            ("", None),
            ("10", None),
            ("3-2", None),
            ("0-2,2", None),
            ("5,1", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("1,", None),
            ("0-2-4", None),
            ("99999999999", None),
        ] {
            assert_eq!(count(text, 10), expected, "{text:?}");
        }
    }

    #[test]
    fn indexes_are_written_as_they_are_read() {
        for text in ["", "0", "0,1", "0-2,5", "1,3,5-7,9"] {
            assert_eq!(parse(text, 10).as_ref().map(format).as_deref(), Some(text));
        }
        assert_eq!(parse("0-2,5", 5), None);
    }
}
