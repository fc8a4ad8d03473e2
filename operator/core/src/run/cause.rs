//! Why a Run fails: its first stage that failed, and what that stage's Job and pods say.

use std::collections::BTreeSet;

use konductor_api::{JobPhase, ObjectName, Participant, condition, job_ended, key_of};

use super::current;
use super::record::Stop;
use super::view::{Member, UNKNOWN_STAGE, View, stage_label};
use crate::facts::{Facts, Freshness};
use crate::limits::NAMES_IN_MESSAGE;
use crate::outcome::End;
use crate::{Fact, Needs, explain};

/// What a Run says about what failed.
pub(super) struct Causes {
    /// About its main stages; `None` if all went well so far.
    pub(super) main: Option<FirstCause>,
    /// About its finally stages; `None` if none failed.
    pub(super) finally: Option<FirstCause>,
}

impl Causes {
    /// Asks for the pods of the Jobs to be named, unless these say already why they failed.
    ///
    /// # Errors
    /// What must be observed first.
    pub(super) fn of(view: &View<'_>, facts: &Facts) -> Result<Self, Needs> {
        let bad = view.bad_stages();
        Ok(Self {
            main: first_cause(&view.main, &bad, failing_message(view), facts)?,
            finally: first_cause(&view.finally, &bad_finally(view), None, facts)?,
        })
    }
}

/// The stage that went wrong before all others, and how many others did.
pub(super) struct FirstCause {
    pub(super) message: String,
    /// Whether it says that a Job was deleted.
    pub(super) is_deletion: bool,
}

/// Where a stage stands in the chain of causes. What comes first is the cause of what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It went wrong by itself.
    Cause,
    /// Something that is no stage kept it from running: an approval, a timeout.
    Kept,
    /// A stage before it went wrong.
    Effect,
}

/// What the Run says so far about what failed.
fn failing_message<'a>(view: &View<'a>) -> Option<&'a str> {
    let conditions = &current(view.run)?.conditions;
    let mut failing = conditions
        .iter()
        .filter(|condition| condition.type_ == condition::FAILING && condition.status == "True");
    failing.next().map(|condition| condition.message.as_str())
}

/// The finally stages that count and were tried in vain, in the order of the source. One that could not be reached has
/// not failed.
fn bad_finally(view: &View<'_>) -> Vec<(String, End)> {
    let ended = view.finally.iter().filter(|member| !member.entry.may_fail);
    let ended = ended.filter_map(|member| Some((member, member.end()?)));
    let bad = ended.filter(|(_, end)| matches!(end, End::Failed | End::Cancelled));
    let ordered: BTreeSet<_> = bad
        .map(|(member, end)| (member.ordinal(), stage_label(member), end != End::Failed))
        .collect();
    let mut stages: Vec<(String, End)> = Vec::new();
    for (_, stage, is_cancelled) in ordered {
        let end = match is_cancelled {
            true => End::Cancelled,
            false => End::Failed,
        };
        if !stages.iter().any(|(name, _)| name == stage) {
            stages.push((stage.to_owned(), end));
        }
    }
    stages
}

/// The first stage that failed or was deleted with its cause, then how many others failed; if there is none, the first
/// that something else kept from running. `message_before` is what was said before: what nobody can look up any more
/// stays as it was said.
fn first_cause(
    members: &[Member<'_>],
    bad: &[(String, End)],
    message_before: Option<&str>,
    facts: &Facts,
) -> Result<Option<FirstCause>, Needs> {
    let stages = bad.iter().map(|(name, end)| Bad::of(name, *end, members));
    let stages: Vec<Bad<'_, '_>> = stages.collect();
    let ranked = stages.iter().min_by_key(|stage| stage.rank(&stages));
    let Some(first) = ranked else {
        return Ok(None);
    };
    let mut message = first.words(facts)?;
    let is_it = |text: &&str| text.starts_with(&message) || first.name == UNKNOWN_STAGE;
    if let Some(message_before) = message_before.filter(is_it).filter(|_| first.job.is_none()) {
        return Ok(Some(FirstCause {
            message: message_before.to_owned(),
            is_deletion: first.is_deleted(),
        }));
    }
    let is_named = |stage: &&Bad<'_, '_>| stage.name != first.name && stage.name != UNKNOWN_STAGE;
    let others = |matches_end: fn(End) -> bool| -> Vec<String> {
        let others = stages.iter().filter(is_named);
        let others = others.filter(|stage| matches_end(stage.end));
        others.map(|stage| stage.name.to_owned()).collect()
    };
    let failed = others(|end| end == End::Failed);
    let did_not_run = match first.end {
        // What follows a failure is in the counts.
        End::Failed => Vec::new(),
        _ => others(|end| end != End::Failed),
    };
    for (what, names) in [("failed", failed), ("did not run", did_not_run)] {
        match names.len() {
            0 => {}
            1 => message.push_str(&format!("; 1 other stage {what}: {}", some_of(names))),
            more => message.push_str(&format!("; {more} other stages {what}: {}", some_of(names))),
        }
    }
    Ok(Some(FirstCause {
        message,
        is_deletion: first.is_deleted(),
    }))
}

/// A stage that ended badly, with the first of its Jobs that did.
struct Bad<'n, 'a> {
    name: &'n str,
    end: End,
    /// What stopped it, if it was cancelled.
    stop: Option<Stop>,
    job: Option<&'a Participant>,
}

impl<'n, 'a> Bad<'n, 'a> {
    fn of(name: &'n str, end: End, members: &[Member<'a>]) -> Self {
        let key = key_of(name);
        let of_stage = members.iter().filter(|member| {
            let is_of = match name {
                // Its Job was deleted unseen.
                UNKNOWN_STAGE => member.job.is_none(),
                _ => member.entry.stage == key,
            };
            is_of && member.end() == Some(end) && !member.entry.may_fail
        });
        let stop = of_stage.clone().find_map(|member| member.entry.ended?.stop);
        let jobs = of_stage.filter_map(|member| Some((member.ordinal(), member.job?)));
        let first = jobs.min_by_key(|(ordinal, _)| *ordinal);
        Self {
            name,
            end,
            stop,
            job: first.map(|(_, job)| job),
        }
    }

    fn is_deleted(&self) -> bool {
        self.stop == Some(Stop::Deleted)
    }

    fn rank(&self, all: &[Self]) -> Rank {
        if self.end == End::Failed || self.is_deleted() {
            return Rank::Cause;
        }
        let reason = self.job.and_then(Participant::reason).unwrap_or_default();
        let about = reason.strip_prefix("stage ");
        let names = |other: &Self| {
            let rest = about.and_then(|about| about.strip_prefix(other.name));
            !other.name.is_empty() && rest.is_some_and(|rest| rest.starts_with([' ', '[']))
        };
        match all.iter().any(names) {
            true => Rank::Effect,
            false => Rank::Kept,
        }
    }

    /// What happened to it, and why.
    fn words(&self, facts: &Facts) -> Result<String, Needs> {
        let stage = match self.name {
            UNKNOWN_STAGE => "a stage".to_owned(),
            name => format!("stage {name}"),
        };
        let how = match self.end {
            End::Failed => "failed",
            End::Cancelled if self.is_deleted() => "was deleted before it had ended",
            End::Cancelled => "was cancelled",
            End::Succeeded | End::Skipped | End::Unreached => "was unreached",
        };
        let words = format!("{stage} {how}");
        let Some(job) = self.job else {
            return Ok(words);
        };
        Ok(match self.end {
            End::Failed => {
                let cause = cause(job, facts)?;
                let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
                format!("{words} ({}){cause}", place(job))
            }
            End::Cancelled if self.is_deleted() => format!("{words} ({})", place(job)),
            _ => match job.reason() {
                // Anybody may write an annotation.
                Some(reason) => format!("{words}: {}", explain::cut(reason)),
                None => words,
            },
        })
    }
}

/// Which Job it was, and for which item.
fn place(job: &Participant) -> String {
    let name = job.name();
    match job.item() {
        Some(item) => format!("job/{name}, item {}", explain::cut(item)),
        None => format!("job/{name}"),
    }
}

/// Why a Job failed: what is written on it, else what its pods say.
fn cause(job: &Participant, facts: &Facts) -> Result<Option<String>, Needs> {
    if job.phase == Some(JobPhase::Failed) {
        // Anybody may write an annotation.
        return Ok(job.reason().map(explain::cut));
    }
    if job_ended(job) != Some(false) {
        return Ok(None);
    }
    let pods = Fact::PodsOf {
        namespace: ObjectName::of(&job.metadata).namespace,
        job_uid: job.metadata.uid.clone().unwrap_or_default(),
    };
    let pods = facts.pods(pods, Freshness::Live)?;
    let pods: Vec<_> = pods.iter().map(AsRef::as_ref).collect();
    Ok(explain::failure(job, &pods))
}

fn some_of(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMES_IN_MESSAGE);
    names.truncate(NAMES_IN_MESSAGE);
    let list = names.join(", ");
    if more > 0 {
        format!("{list} and {more} more")
    } else {
        list
    }
}
