//! The Jobs that a Run's attempt has had, and how each ended: kept in the Run's status, so that a Job
//! which is deleted still counts.
//!
//! One line of fixed-width entries, sorted by the hash of the Job's name: an entry is found by a binary
//! search of the text, and 10,000 Jobs take 180 KB. Whole names would take several times as much, and
//! etcd stores no more than 1.5 MB.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use konductor_api::condition::reason;
use konductor_api::{
    KEY_ALPHABET as ALPHABET, NameKey, Participant, Role, Run, RunStatus, StageKey, UidKey, key_of,
};

use crate::limits::RECORDED_JOBS_MAX;
use crate::outcome::{End, job_end};

const NAME: usize = size_of::<NameKey>();
const UID: usize = size_of::<UidKey>();
const STAGE: usize = size_of::<StageKey>();
const ENTRY: usize = NAME + UID + STAGE + 1;

/// What ended a Job that is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Somebody cancelled its Run.
    Cancelled,
    /// Its Run timed out.
    TimedOut,
    /// Its Run fails fast, or something else.
    Other,
    /// It was deleted.
    Deleted,
}

impl Stop {
    /// What a cancelled Job says about itself.
    fn of(job: &Participant) -> Self {
        match job.reason().and_then(|text| text.split(':').next()) {
            Some(reason::CANCELLED) => Self::Cancelled,
            Some(reason::TIMED_OUT) => Self::TimedOut,
            Some(reason::DELETED) => Self::Deleted,
            _ => Self::Other,
        }
    }
}

/// How a Job ended, as a record keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) end: End,
    /// What ended it, if it is cancelled.
    pub(crate) stop: Option<Stop>,
}

impl Ended {
    /// How a Job ended; `None` if it has not.
    pub(crate) fn of(job: &Participant) -> Option<Self> {
        let end = job_end(job)?;
        let stop = (end == End::Cancelled).then(|| Stop::of(job));
        Some(Self { end, stop })
    }

    pub(crate) fn cancelled(stop: Stop) -> Self {
        Self {
            end: End::Cancelled,
            stop: Some(stop),
        }
    }
}

/// Every end that an entry can have, in the order of its digits.
const ENDS: [Option<Ended>; 9] = {
    const fn end(end: End) -> Option<Ended> {
        Some(Ended { end, stop: None })
    }
    const fn cancelled(stop: Stop) -> Option<Ended> {
        Some(Ended {
            end: End::Cancelled,
            stop: Some(stop),
        })
    }
    [
        None,
        end(End::Succeeded),
        end(End::Failed),
        end(End::Skipped),
        end(End::Unreached),
        cancelled(Stop::Cancelled),
        cancelled(Stop::TimedOut),
        cancelled(Stop::Other),
        cancelled(Stop::Deleted),
    ]
};

/// What a Run knows of one of its Jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    uid: UidKey,
    pub(crate) stage: StageKey,
    pub(crate) finally: bool,
    pub(crate) may_fail: bool,
    pub(crate) ended: Option<Ended>,
}

impl Entry {
    pub(super) fn of(job: &Participant) -> Self {
        Self {
            uid: job.key.uid,
            stage: job.key.stage,
            finally: job.role == Role::Finally,
            may_fail: job.may_fail(),
            ended: None,
        }
    }

    /// Whether this is the Job that the entry is about, and not another one of its name.
    pub(crate) fn is_of(&self, job: &Participant) -> bool {
        self.uid == job.key.uid
    }

    fn write(&self, name: NameKey, text: &mut String) {
        let digit = ENDS.iter().position(|end| *end == self.ended);
        let flags = usize::from(self.finally) * 2 + usize::from(self.may_fail);
        let state = ALPHABET[digit.unwrap_or_default() * 4 + flags];
        let bytes = name.iter().chain(&self.uid).chain(&self.stage);
        text.extend(bytes.chain([&state]).map(|byte| char::from(*byte)));
    }

    /// Reads an entry; `None` if somebody has written something else there.
    fn read(bytes: &[u8]) -> Option<(NameKey, Self)> {
        let (name, rest) = bytes.split_first_chunk::<NAME>()?;
        let (uid, rest) = rest.split_first_chunk::<UID>()?;
        let (stage, rest) = rest.split_first_chunk::<STAGE>()?;
        let [state] = rest else { return None };
        let state = ALPHABET.iter().position(|letter| letter == state)?;
        let entry = Self {
            uid: *uid,
            stage: *stage,
            finally: state & 2 != 0,
            may_fail: state & 1 != 0,
            ended: *ENDS.get(state / 4)?,
        };
        Some((*name, entry))
    }
}

/// The record of a Run's current attempt, as it is stored; empty at its beginning.
fn text(run: &Run) -> &str {
    let status = run.status.as_ref();
    match status.filter(|status| status.attempt == run.spec.attempt) {
        Some(status) => &status.record,
        None => &run.spec.kept,
    }
}

/// What a Run's stored record says of the Job with this name.
pub(crate) fn recorded(run: &Run, job: &NameKey) -> Option<Entry> {
    find(text(run), job)
}

/// Whether a Run's record has a Job that an earlier text of it had not, so that it may start now.
pub fn newly_recorded(earlier: &str, run: &Run, job: &Participant) -> bool {
    recorded(run, &job.key.name).is_some_and(|entry| entry.is_of(job))
        && find(earlier, &job.key.name).is_none_or(|entry| !entry.is_of(job))
}

fn find(record: &str, job: &NameKey) -> Option<Entry> {
    let (entries, _) = record.as_bytes().as_chunks::<ENTRY>();
    let at = entries.binary_search_by(|entry| entry[..NAME].cmp(job));
    Entry::read(&entries[at.ok()?]).map(|(_, entry)| entry)
}

/// What a Run's stored record says of the Jobs of a stage.
pub(crate) fn recorded_of_stage<'a>(
    run: &'a Run,
    stage: &str,
) -> impl Iterator<Item = (NameKey, Entry)> + use<'a> {
    let stage_key: StageKey = key_of(stage);
    let (entries, _) = text(run).as_bytes().as_chunks::<ENTRY>();
    let entries = entries.iter().filter_map(|entry| Entry::read(entry));
    entries.filter(move |(_, entry)| entry.stage == stage_key)
}

/// Whether a Run keeps a record: it has no more Jobs than one can have.
pub(super) fn is_kept(run: &Run) -> bool {
    run.spec.jobs.saturating_add(run.spec.finally_jobs) <= RECORDED_JOBS_MAX
}

/// Whether a Run's stored record has as many Jobs of this role as the Run declares.
pub(super) fn is_full(run: &Run, role: Role) -> bool {
    let declared = match role {
        Role::Main => run.spec.jobs,
        Role::Finally => run.spec.finally_jobs,
    } as usize;
    let (entries, _) = text(run).as_bytes().as_chunks::<ENTRY>();
    // Most Jobs ask while the record is far from full.
    entries.len() >= declared
        && entries
            .iter()
            .filter_map(|entry| Entry::read(entry))
            .filter(|(_, entry)| entry.finally == (role == Role::Finally))
            .count()
            >= declared
}

/// Whether a Job of a stage whose end a Run has recorded may have written outputs that are read with those of the whole
/// stage. If it is all the items of its stage, some of them may have succeeded although it did not.
pub(crate) fn may_have_written(run: &Run, stage: &str, job: &NameKey, entry: &Entry) -> bool {
    let is_whole = || {
        let run = run.metadata.name.as_deref().unwrap_or_default();
        *job == key_of(&format!("{run}-{stage}"))
    };
    match entry.ended.map(|ended| ended.end) {
        Some(End::Succeeded) => true,
        Some(End::Failed | End::Cancelled) => is_whole(),
        Some(End::Skipped | End::Unreached) | None => false,
    }
}

/// What a retry keeps of a Run's record, as the next `spec.kept`: the ends of the Jobs that are gone and
/// are not run again. One that was created in the place of another says nothing about that.
pub fn kept<'a>(
    run: &Run,
    present: impl IntoIterator<Item = &'a Job>,
    again: impl IntoIterator<Item = &'a Job>,
) -> String {
    let mut record = Record::of(run);
    for job in present {
        let key = key_of(job.metadata.name.as_deref().unwrap_or_default());
        let uid: UidKey = key_of(job.metadata.uid.as_deref().unwrap_or_default());
        if record
            .entries
            .get(&key)
            .is_some_and(|entry| entry.uid == uid)
        {
            record.entries.remove(&key);
        }
    }
    for job in again {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        record.entries.remove(&key_of(name));
    }
    record.entries.retain(|_, entry| entry.ended.is_some());
    record.write(run)
}

/// A Run's record, to be brought up to date.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) entries: BTreeMap<NameKey, Entry>,
}

impl Record {
    pub(crate) fn of(run: &Run) -> Self {
        let (entries, _) = text(run).as_bytes().as_chunks::<ENTRY>();
        Self {
            entries: entries
                .iter()
                .filter_map(|bytes| Entry::read(bytes))
                .collect(),
        }
    }

    pub(super) fn count(&self, finally: bool) -> usize {
        let entries = self.entries.values();
        entries.filter(|entry| entry.finally == finally).count()
    }

    /// The text that the status keeps. Above the limit nothing is kept, and a Job that is deleted keeps
    /// the Run open until it is cancelled.
    pub(super) fn write(&self, run: &Run) -> String {
        if !is_kept(run) {
            return String::new();
        }
        let mut text = String::with_capacity(self.entries.len() * ENTRY);
        for (name, entry) in &self.entries {
            entry.write(*name, &mut text);
        }
        text
    }
}

/// The status of the current attempt, if it has one.
pub(super) fn current(run: &Run) -> Option<&RunStatus> {
    let status = run.status.as_ref()?;
    (status.attempt == run.spec.attempt).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_an_entry_is_read_back_as_it_was_written() {
        for ended in ENDS {
            for (finally, may_fail) in [(false, false), (false, true), (true, false), (true, true)]
            {
                let entry = Entry {
                    uid: key_of("uid"),
                    stage: key_of("stage"),
                    finally,
                    may_fail,
                    ended,
                };
                let mut text = String::new();
                entry.write(key_of("job"), &mut text);
                assert_eq!(text.len(), ENTRY);
                assert_eq!(Entry::read(text.as_bytes()), Some((key_of("job"), entry)));
            }
        }
    }

    #[test]
    fn record_of_ten_thousand_jobs_is_small_and_each_job_is_found() {
        let mut run = Run::new(
            "r",
            serde_json::from_value(serde_json::json!({"pipeline": "p", "jobs": 10_000}))
                .expect("a spec"),
        );
        let mut record = Record::default();
        for n in 0..10_000_u32 {
            let mut job = Job::default();
            job.metadata.name = Some(format!("r-{n}"));
            job.metadata.uid = Some(format!("uid-{n}"));
            let job = Participant::of(job);
            record.entries.insert(job.key.name, Entry::of(&job));
        }
        let text = record.write(&run);
        assert_eq!(text.len(), 180_000, "no two names have the same hash");
        run.status = Some(RunStatus {
            attempt: run.spec.attempt,
            record: text,
            ..RunStatus::default()
        });
        assert!((0..10_000).all(|n| recorded(&run, &key_of(&format!("r-{n}"))).is_some()));
        assert!(recorded(&run, &key_of("r-10000")).is_none());
    }

    #[test]
    fn a_record_that_somebody_has_edited_is_read_as_far_as_it_is_one() {
        let mut run = Run::new(
            "r",
            serde_json::from_value(serde_json::json!({"pipeline": "p", "jobs": 1}))
                .expect("a spec"),
        );
        for record in ["x", "é".repeat(40).as_str(), &"~".repeat(33)] {
            run.status = Some(RunStatus {
                attempt: 1,
                record: record.to_owned(),
                ..RunStatus::default()
            });
            assert!(Record::of(&run).entries.is_empty(), "{record}");
            assert!(recorded(&run, &key_of("a")).is_none());
        }
    }
}
