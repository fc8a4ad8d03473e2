//! Why a Run fails: its first stage that failed, and what that stage's Job and pods say.

use std::collections::BTreeSet;

use konductor_api::{JobPhase, ObjectName, Participant, condition, job_ended};

use super::current;
use super::record::stage_key;
use super::view::{Member, UNKNOWN_STAGE, View, stage_label};
use crate::facts::{Facts, Freshness};
use crate::limits::NAMES_IN_MESSAGE;
use crate::outcome::End;
use crate::{Fact, Needs, explain};

/// What a Run says about what failed.
pub(super) struct Causes {
    /// About its main stages; `None` if all went well so far.
    pub(super) main: Option<String>,
    /// About its finally stages; `None` if none failed.
    pub(super) finally: Option<String>,
}

impl Causes {
    /// Asks for the pods of the Jobs to be named, unless these say already why they failed.
    ///
    /// # Errors
    /// What must be observed first.
    pub(super) fn of(view: &View<'_>, facts: &Facts) -> Result<Self, Needs> {
        let bad = view.bad_stages();
        let of_main = |wanted: fn(End) -> bool| -> Vec<String> {
            let stages = bad.iter().filter(|(_, end)| wanted(*end));
            stages.map(|(stage, _)| stage.clone()).collect()
        };
        let failed = of_main(|end| end == End::Failed);
        let others = of_main(|end| end != End::Failed);
        let main = match (failed.is_empty(), others.is_empty()) {
            (false, _) => Some(failure(&view.main, failed, known(view), facts)?),
            (true, false) => Some(format!("{} did not run", stages(others))),
            (true, true) => None,
        };
        let failed = failed_finally(view);
        let finally = match failed.is_empty() {
            true => None,
            false => Some(failure(&view.finally, failed, None, facts)?),
        };
        Ok(Self { main, finally })
    }
}

/// What the Run says so far about what failed.
fn known<'a>(view: &View<'a>) -> Option<&'a str> {
    let conditions = &current(view.run)?.conditions;
    let mut failing = conditions
        .iter()
        .filter(|one| one.type_ == condition::FAILING && one.status == "True");
    failing.next().map(|one| one.message.as_str())
}

/// The finally stages that failed and count, in the order of the source.
fn failed_finally(view: &View<'_>) -> Vec<String> {
    let failed = view.finally.iter();
    let failed = failed.filter(|one| one.end() == Some(End::Failed) && !one.entry.may_fail);
    let ordered: BTreeSet<_> = failed
        .map(|member| (member.ordinal(), stage_label(member)))
        .collect();
    let mut stages: Vec<String> = Vec::new();
    for (_, stage) in ordered {
        if !stages.iter().any(|known| known == stage) {
            stages.push(stage.to_owned());
        }
    }
    stages
}

/// The first stage that failed with its cause, then how many others failed. `known` is what was said before:
/// what nobody can look up any more stays as it was said.
fn failure(
    members: &[Member<'_>],
    mut failed: Vec<String>,
    known: Option<&str>,
    facts: &Facts,
) -> Result<String, Needs> {
    let first = failed.remove(0);
    let words = match first.as_str() {
        UNKNOWN_STAGE => "a stage failed".to_owned(),
        stage => format!("stage {stage} failed"),
    };
    let of_stage = members.iter().filter(|member| {
        let is_bad = member.end() == Some(End::Failed) && !member.entry.may_fail;
        is_bad && member.entry.stage == stage_key(&first)
    });
    let job = of_stage
        .filter_map(|member| Some((member.ordinal(), member.job?)))
        .min_by_key(|(ordinal, _)| *ordinal);
    let what = match job {
        Some((_, job)) => {
            let cause = cause(job, facts)?;
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            format!("{words} ({}){cause}", place(job))
        }
        None => {
            let told = known.filter(|known| known.starts_with(&words) || first.is_empty());
            return Ok(told.map_or(words, str::to_owned));
        }
    };
    failed.retain(|name| name != UNKNOWN_STAGE);
    Ok(match failed.len() {
        0 => what,
        1 => format!("{what}; 1 other stage failed: {}", some_of(failed)),
        more => format!("{what}; {more} other stages failed: {}", some_of(failed)),
    })
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

/// Some stages by name.
pub(super) fn stages(mut names: Vec<String>) -> String {
    names.retain(|name| name != UNKNOWN_STAGE);
    if names.is_empty() {
        return "a stage".to_owned();
    }
    let word = if names.len() == 1 { "stage" } else { "stages" };
    format!("{word} {}", some_of(names))
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
