//! A Run's Jobs, those that are gone included, sorted into what they are for.
//!
//! What enters: the Jobs that exist, those that the watch has shown last, those that it has shown to be
//! deleted, and the record. What leaves: the Run's members, each with its end. What must never happen
//! here: a Job that another owns, or that was created in the place of a member, counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use konductor_api::{
    JobPhase, NameKey, Participant, Run, RunOutcome, StageKey, job_ended, key_of, label,
};

use super::current;
use super::record::{Ended, Entry, Record, Stop};
use crate::outcome::{End, is_settled};
use crate::owner;

/// Where the Jobs that a view is made of come from.
#[derive(Clone, Copy, Default)]
pub(super) struct Sources<'a> {
    /// Those that exist.
    pub(super) present: &'a [Arc<Participant>],
    /// Those that the watch has shown last. One that is not present any more, and not among those that are gone, has a
    /// deletion on its way that says how it ended, or has lost its label for a while.
    pub(super) shown: &'a [Arc<Participant>],
    /// Those that the watch has shown to be deleted, as they were.
    pub(super) gone: &'a [Arc<Participant>],
    /// Whether what is present was read live, so that what is missing is missing.
    pub(super) live: bool,
}

/// Whether nothing is recorded of the attempt yet. Then a cache may still show the Jobs of the one
/// before it.
pub(super) fn is_first_look(run: &Run) -> bool {
    current(run).is_none_or(|status| status.record.is_empty())
}

/// A Job of the Run.
pub(super) struct Member<'a> {
    /// The Job, or what it was when it was deleted; `None` if it was deleted unseen.
    pub(super) job: Option<&'a Participant>,
    pub(super) is_present: bool,
    pub(super) entry: Entry,
}

impl Member<'_> {
    pub(super) fn end(&self) -> Option<End> {
        self.entry.ended.map(|ended| ended.end)
    }

    /// Its place in the source; behind all others if that is not known.
    pub(super) fn ordinal(&self) -> u32 {
        self.job.and_then(|job| job.ordinal).unwrap_or(u32::MAX)
    }
}

/// A Run's Jobs, sorted into what they are for.
pub(super) struct View<'a> {
    pub(super) run: &'a Run,
    pub(super) main: Vec<Member<'a>>,
    pub(super) finally: Vec<Member<'a>>,
    /// Jobs of the Run that do not count: it has had another of their name, or as many as it declares.
    pub(super) strays: Vec<&'a Participant>,
    pub(super) record: Record,
    /// Whether a member that had not ended is neither present nor known to be deleted.
    pub(super) unclear: bool,
    /// What ends the Jobs that nobody has created, if nothing waits for them any more.
    pub(super) written_off: Option<Stop>,
    /// When the newest of its objects was created.
    pub(super) newest: Option<Timestamp>,
}

impl<'a> View<'a> {
    /// `stop` is what a member counts as ended by that was deleted before it had ended.
    pub(super) fn of(run: &'a Run, sources: Sources<'a>, stop: Stop) -> Self {
        let mut present = own(run, sources.present);
        let mut gone = own(run, sources.gone);
        let admits_older = sources.live && is_first_look(run);
        for jobs in [&mut present, &mut gone] {
            jobs.sort_by_key(|job| (job.metadata.creation_timestamp.as_ref(), job.name()));
        }
        let mut record = Record::of(run);
        // What a Run only owns is no member, unless it is recorded.
        gone.retain(|job| {
            job.run() == run.metadata.name.as_deref() || record.entries.contains_key(&job.key.name)
        });
        // First those that are gone: one that was created in the place of another is a stray.
        let mut strays = Vec::new();
        let mut jobs: BTreeMap<NameKey, (&Participant, bool)> = BTreeMap::new();
        for (job, is_present) in gone
            .iter()
            .map(|job| (*job, false))
            .chain(present.iter().map(|job| (*job, true)))
        {
            let may_be_new = job.attempt == run.spec.attempt || is_present && admits_older;
            if admit(run, &mut record, job, may_be_new) {
                jobs.insert(job.key.name, (job, is_present));
            } else if is_present {
                strays.push(job);
            }
        }
        let shown: BTreeMap<NameKey, &Participant> = own(run, sources.shown)
            .into_iter()
            .map(|job| (job.key.name, job))
            .collect();
        let mut unclear = false;
        for (name, entry) in &mut record.entries {
            let shown = shown.get(name).filter(|job| entry.is_of(job));
            entry.ended = match (jobs.get(name), shown) {
                (Some((job, true)), _) => Ended::of(job),
                // Its deletion is on its way, and says how it ended; or it gets its label back.
                (None, Some(job)) => Ended::of(job).or(entry.ended),
                (Some((job, false)), _) => {
                    let ended = Ended::of(job).or(entry.ended);
                    ended.or_else(|| deleted(job, sources.live, stop, &mut unclear))
                }
                (None, None) if entry.ended.is_some() => entry.ended,
                (None, None) if sources.live => Some(Ended::cancelled(stop)),
                (None, None) => {
                    unclear = true;
                    None
                }
            };
            if let (None, Some(job)) = (jobs.get(name), shown) {
                jobs.insert(*name, (job, false));
            }
        }
        let (mut main, mut finally) = (Vec::new(), Vec::new());
        for (name, entry) in &record.entries {
            let job = jobs.get(name);
            let members = if entry.finally {
                &mut finally
            } else {
                &mut main
            };
            members.push(Member {
                job: job.map(|(job, _)| *job),
                is_present: job.is_some_and(|(_, is_present)| *is_present),
                entry: *entry,
            });
        }
        for members in [&mut main, &mut finally] {
            members.sort_by_key(|member: &Member<'_>| member.job.map(|job| &job.metadata.name));
        }
        let objects = present.iter().chain(&gone).map(|job| &job.metadata);
        let created = objects.chain([&run.metadata]);
        let newest = created.filter_map(|metadata| Some(metadata.creation_timestamp.as_ref()?.0));
        Self {
            run,
            main,
            finally,
            strays,
            record,
            unclear,
            written_off: None,
            newest: newest.max(),
        }
    }

    /// How many main Jobs nobody has created.
    pub(super) fn unseen(&self) -> usize {
        (self.run.spec.jobs as usize).saturating_sub(self.main.len())
    }

    /// How many finally Jobs nobody has created.
    pub(super) fn unseen_finally(&self) -> usize {
        (self.run.spec.finally_jobs as usize).saturating_sub(self.finally.len())
    }

    /// Whether all that it declares have existed.
    pub(super) fn is_complete(&self) -> bool {
        self.unseen() == 0 && self.unseen_finally() == 0
    }

    /// Whether all main Jobs have existed, or are not waited for, and have ended.
    pub(super) fn settled(&self) -> bool {
        (self.unseen() == 0 || self.written_off.is_some())
            && self.main.iter().all(|member| member.end().is_some())
    }

    /// Whether all finally Jobs have existed, or are not waited for, and have ended.
    pub(super) fn finalized(&self) -> bool {
        (self.unseen_finally() == 0 || self.written_off.is_some())
            && self.finally.iter().all(|member| member.end().is_some())
    }

    /// All of them.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member<'a>> {
        self.main.iter().chain(&self.finally)
    }

    /// The Jobs that exist and count.
    pub(super) fn present(&self) -> impl Iterator<Item = &'a Participant> {
        let present = self.members().filter(|member| member.is_present);
        present.filter_map(|member| member.job)
    }

    /// The main Jobs that exist and count.
    pub(super) fn present_main(&self) -> impl Iterator<Item = &'a Participant> {
        let present = self.main.iter().filter(|member| member.is_present);
        present.filter_map(|member| member.job)
    }

    /// The names of stages, as far as they are known: that of a Job which was deleted unseen may not be.
    fn names(&self) -> BTreeMap<StageKey, &str> {
        let of_jobs = self.members();
        let of_jobs = of_jobs.filter_map(|member| Some((member.entry.stage, member.job?.stage())));
        let of_quorums = self.run.spec.quorums.keys();
        let stored = self.run.status.iter().flat_map(|status| &status.stages);
        let others = of_quorums.chain(stored);
        let others = others.map(|name| (key_of(name), name.as_str()));
        of_jobs.chain(others).collect()
    }

    /// The stages whose own end is a bad one, and which the run does not forgive, in the order of the source.
    /// Of a stage with a quorum its own end counts, not its items'.
    pub(super) fn bad_stages(&self) -> Vec<(String, End)> {
        let names = self.names();
        let mut stages: BTreeMap<(&str, StageKey), StageEnds> = BTreeMap::new();
        for member in self.main.iter().filter(|member| !member.entry.may_fail) {
            let stage = member.entry.stage;
            let name = names.get(&stage).copied().unwrap_or(UNKNOWN_STAGE);
            let (ordinal, ends) = stages.entry((name, stage)).or_insert((u32::MAX, vec![]));
            *ordinal = (*ordinal).min(member.ordinal());
            ends.push(member.end());
        }
        let bad = |((stage, _), (ordinal, ends)): ((&str, StageKey), (u32, Vec<_>))| {
            let quorum = self.run.spec.quorums.get(stage).copied();
            stage_end(&ends, quorum)
                .filter(|end| !matches!(end, End::Succeeded | End::Skipped))
                .map(|end| (ordinal, stage.to_owned(), end))
        };
        let mut bad: Vec<_> = stages.into_iter().filter_map(bad).collect();
        bad.sort_by_key(|(ordinal, _, _)| *ordinal);
        bad.into_iter()
            .map(|(_, stage, end)| (stage, end))
            .collect()
    }

    pub(super) fn outcome(&self) -> RunOutcome {
        let stops = self
            .main
            .iter()
            .filter_map(|member| member.entry.ended?.stop);
        let unseen = self.written_off.filter(|_| self.unseen() > 0);
        let stops: Vec<Stop> = stops.chain(unseen).collect();
        if stops.contains(&Stop::Cancelled) {
            RunOutcome::Cancelled
        } else if stops.contains(&Stop::TimedOut) {
            RunOutcome::TimedOut
        } else if self.bad_stages().is_empty() {
            RunOutcome::Succeeded
        } else {
            RunOutcome::Failed
        }
    }

    /// How many members were deleted before they had ended.
    pub(super) fn deleted(&self) -> u32 {
        let is_deleted =
            |member: &&Member<'_>| member.entry.ended == Some(Ended::cancelled(Stop::Deleted));
        self.members().filter(is_deleted).count() as u32
    }
}

/// The place of a stage in the source, and how its Jobs ended.
type StageEnds = (u32, Vec<Option<End>>);

/// What stands for the name of a stage whose only Job was deleted while no operator was there to see it.
pub(super) const UNKNOWN_STAGE: &str = "";

/// The Jobs among these that belong to a Run.
fn own<'a>(run: &Run, jobs: &'a [Arc<Participant>]) -> Vec<&'a Participant> {
    let jobs = jobs.iter().map(AsRef::as_ref);
    jobs.filter(|job: &&Participant| owner::belongs(&job.metadata, run))
        .collect()
}

/// Whether a Job is one of its Run's members: it is recorded, or nothing else is in its place.
fn admit(run: &Run, record: &mut Record, job: &Participant, may_be_new: bool) -> bool {
    let name = job.key.name;
    if let Some(entry) = record.entries.get(&name) {
        return entry.is_of(job);
    }
    let new = Entry::of(job);
    let declared = match new.finally {
        true => run.spec.finally_jobs,
        // Once the main Jobs have ended, no other one can.
        false if is_settled(run) && !is_first_look(run) => 0,
        false => run.spec.jobs,
    };
    let has_room = may_be_new && record.count(new.finally) < declared as usize;
    if has_room {
        record.entries.insert(name, new);
    }
    has_room
}

/// How a Job counts that was deleted before it had ended. One that is complete and whose outputs are
/// still being read counts as it has ended, as soon as they are.
fn deleted(job: &Participant, live: bool, stop: Stop, unclear: &mut bool) -> Option<Ended> {
    if job_ended(job).is_some() {
        return None;
    }
    *unclear |= !live;
    live.then(|| Ended::cancelled(stop))
}

/// The end of a stage from its Jobs', as far as it is decided: the fan-out's rule.
fn stage_end(ends: &[Option<End>], quorum: Option<u32>) -> Option<End> {
    let count = |end| ends.iter().filter(|other| **other == Some(end)).count() as u32;
    let open = ends.iter().filter(|end| end.is_none()).count() as u32;
    let succeeded = count(End::Succeeded);
    match quorum {
        Some(quorum) if succeeded >= quorum => return Some(End::Succeeded),
        Some(quorum) if succeeded + open >= quorum => return None,
        _ => {}
    }
    if count(End::Failed) > 0 {
        Some(End::Failed)
    } else if open > 0 {
        None
    } else if count(End::Cancelled) > 0 {
        Some(End::Cancelled)
    } else if count(End::Unreached) > 0 {
        Some(End::Unreached)
    } else if succeeded > 0 && quorum.is_none() {
        Some(End::Succeeded)
    } else {
        Some(End::Skipped)
    }
}

/// Whether a member runs.
pub(super) fn is_running(member: &Member<'_>) -> bool {
    let Some(job) = member.job else { return false };
    match job.phase {
        Some(JobPhase::Running | JobPhase::Complete) => true,
        None => job.spec.as_ref().and_then(|spec| spec.suspend) != Some(true),
        Some(_) => false,
    }
}

/// The label of a member's stage, for messages.
pub(super) fn stage_label<'a>(member: &Member<'a>) -> &'a str {
    let job = member.job;
    job.and_then(|job| job.label(label::STAGE))
        .unwrap_or_default()
}
