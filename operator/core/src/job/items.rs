//! The items of an Indexed Job whose list is known only at run time: its size, before its start.
//!
//! What enters: a Job that could start, and the Job or the Jobs that wrote its list. What leaves: the list as JSON, the
//! patch that gives the Job its size and its list, or why it has none. What must never happen here: a start before the
//! Job has its size, or another list for a Job that has one.

use jiff::Timestamp;
use konductor_api::condition::reason;
use konductor_api::{
    Input, Items, JobPhase, OutputType, Participant, annotation, item_name, read_items,
};
use serde_json::{Value, json};

use super::{NoStatus, ended, gathered, inputs};
use crate::decision::EventType;
use crate::facts::{Facts, Freshness};
use crate::gone::{self, Known};
use crate::kind::Kind;
use crate::words::Named;
use crate::{Decision, Event, Fact, Needs, Write};

/// What comes of a Job's items before its start.
pub(super) enum Sizing {
    /// The Job has its items, as many as it has completions, of which so many are to run at once. `None` if it has no
    /// such items.
    Done(Option<i32>),
    /// Something must be written first, or it is not started at all.
    Decided(Box<Decision<NoStatus>>),
}

/// Why there is no list.
enum NoList {
    /// Nobody wrote it.
    Missing(String),
    /// It can't be what the Job goes over.
    Wrong(String),
}

/// Gives a Job that could start its list and its size. The list that it has been given once stays, whatever became of
/// the Job that wrote it.
pub(super) fn size(job: &Participant, facts: &Facts, now: Timestamp) -> Result<Sizing, Needs> {
    let Some(Ok(items)) = &job.items else {
        return Ok(Sizing::Done(None));
    };
    let given_list = given(job);
    let list = match &given_list {
        Some(list) => list.clone(),
        None => match list(job, items, facts)? {
            Ok(list) => list,
            Err(NoList::Missing(why)) => {
                return Ok(decided(ended(job, JobPhase::Unreached, &why, now)));
            }
            Err(NoList::Wrong(why)) => return Ok(decided(refused(job, &why, now))),
        },
    };
    if list.is_empty() {
        let why = "its fan-out has no items";
        return Ok(decided(ended(job, JobPhase::Skipped, why, now)));
    }
    let count = i32::try_from(list.len()).unwrap_or(i32::MAX);
    let completions = job.spec.as_ref().and_then(|spec| spec.completions);
    if given_list.is_some() && completions == Some(count) {
        let parallel = items
            .parallel
            .and_then(|parallel| i32::try_from(parallel).ok());
        return Ok(Sizing::Done(Some(
            parallel.map_or(count, |most| most.min(count)),
        )));
    }
    let body = json!({
        "metadata": {
            "uid": job.metadata.uid,
            "resourceVersion": job.metadata.resource_version,
        },
        "spec": {
            "completions": count,
            "parallelism": count,
            "template": {"metadata": {"annotations": {
                annotation::ITEMS: Value::from(list).to_string(),
            }}},
        },
    });
    // Its start is decided about when that is stored.
    Ok(decided(Decision {
        before: vec![Write::Patch {
            kind: Kind::Job,
            name: job.place(),
            status: false,
            body,
        }],
        ..Decision::default()
    }))
}

fn decided(decision: Decision<NoStatus>) -> Sizing {
    Sizing::Decided(Box::new(decision))
}

/// The list that the Job has been given.
fn given(job: &Participant) -> Option<Vec<Value>> {
    let list: Vec<Value> = serde_json::from_str(job.item_list()?).ok()?;
    list.iter()
        .all(|item| item_name(item).is_some())
        .then_some(list)
}

/// Ends a Job whose list can't be what it goes over.
fn refused(job: &Participant, why: &str, now: Timestamp) -> Decision<NoStatus> {
    let message = format!("{}: {why}", reason::INVALID_ITEMS);
    let mut decision = ended(job, JobPhase::Failed, &message, now);
    decision.events.push(Event {
        type_: EventType::Warning,
        reason: reason::INVALID_ITEMS,
        note: why.to_owned(),
    });
    decision
}

/// Reads the list from whoever wrote it, live.
fn list(
    job: &Participant,
    items: &Items,
    facts: &Facts,
) -> Result<Result<Vec<Value>, NoList>, Needs> {
    let written = match &items.of {
        Input::Gathered(of) => {
            facts.require(gathered::facts(job, of))?;
            match inputs::list(job, of, facts)? {
                Ok(list) => Written {
                    words: of.words(),
                    text: list.json,
                    element: None,
                    missing: None,
                },
                Err(why) => return Ok(Err(NoList::Missing(why))),
            }
        }
        Input::Output {
            job: source,
            output,
        } => match output_of(job, source, output, facts)? {
            Ok(written) => written,
            Err(why) => return Ok(Err(NoList::Missing(why))),
        },
        // The door lets nothing else in.
        Input::RunOutcome | Input::Unknown(_) => return Ok(Ok(Vec::new())),
    };
    let words = written.words;
    let text = match (written.text.is_empty(), &items.default) {
        (true, Some(default)) => default.clone(),
        (true, None) => {
            let why = written.missing.as_deref().unwrap_or("was not written");
            return Ok(Err(NoList::Missing(format!("{words} {why}"))));
        }
        (false, _) => written.text,
    };
    let read = read_items(&text, written.element.as_ref(), items.max);
    Ok(read.map_err(|problem| NoList::Wrong(format!("{words} {problem}"))))
}

/// A list as it was written.
struct Written {
    /// What it is called, for people.
    words: String,
    /// JSON; empty if it was not written.
    text: String,
    /// The type of its elements, if it is declared.
    element: Option<OutputType>,
    /// Why it is empty, if that is known.
    missing: Option<String>,
}

/// Reads an output of another Job. The inner error says why it can't be read.
fn output_of(
    job: &Participant,
    source: &str,
    output: &str,
    facts: &Facts,
) -> Result<Result<Written, String>, Needs> {
    let name = job.beside(source);
    let mut needed = gone::facts(&job.metadata, &name, Freshness::Cached);
    needed.push((Fact::Job(name.clone()), Freshness::Live));
    facts.require(needed)?;
    let present = facts.job(&name, Freshness::Live)?.map(AsRef::as_ref);
    let source_job = gone::known(&job.metadata, &name, present, facts, Freshness::Live)?;
    let named = source_job.named(&job.metadata, source);
    let named = named.unwrap_or_else(|| Named::Object(format!("job/{source}")));
    let words = format!("output {output} of {named}");
    let text = match gone::outputs(&source_job, &job.metadata, source) {
        Some(Err(lost)) => return Ok(Err(lost)),
        Some(Ok(mut outputs)) => outputs.remove(output).unwrap_or_default(),
        None => String::new(),
    };
    let writer = match &source_job {
        Known::Job(writer) => Some(*writer),
        Known::Ended(gone) => gone.last,
        Known::Gone(_) | Known::Unknown => None,
    };
    let declared = writer.and_then(|writer| writer.declared_outputs.as_ref()?.as_ref().ok());
    let mut declared = declared.into_iter().flatten();
    let ty = declared.find(|declared| declared.name == output);
    let element = match ty.and_then(|declared| declared.ty.clone()) {
        Some(OutputType::List(item)) => Some(*item),
        _ => None,
    };
    let missing = inputs::has_not_ended(&source_job).then(|| {
        format!(
            "is not written, as the Job has not ended: {}",
            inputs::BEHIND_A_GATE
        )
    });
    Ok(Ok(Written {
        words,
        text,
        element,
        missing,
    }))
}

/// Returns whether a Job waits for its items.
pub(super) fn lacks_items(job: &Participant) -> bool {
    job.items.is_some() && given(job).is_none()
}
