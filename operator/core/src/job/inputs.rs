//! What a Job reads: the outputs that are stored on the Jobs before it.

use std::collections::{BTreeMap, BTreeSet};

use konductor_api::limits::{INPUTS_BYTES_MAX, INPUTS_MAX};
use konductor_api::{Gathered, Input, JobPhase, Participant, Role, annotation};

use super::gathered::{self, List};
use crate::facts::{Facts, Freshness};
use crate::gone::{self, Known};
use crate::outcome::{job_end, outcome_word};
use crate::outputs::shown;
use crate::words::Named;
use crate::{Fact, Needs};

/// What a Job reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Inputs {
    /// The values, by their annotation on the pod template.
    pub(super) values: BTreeMap<String, String>,
    /// Why defaults stand for values that were written and are lost.
    pub(super) lost: BTreeSet<String>,
}

/// What a later stage reads, from the outputs that are stored on the Jobs before it. The inner
/// error says which value is missing: a Job without one of its inputs is not started.
pub(super) fn inputs(job: &Participant, facts: &Facts) -> Result<Result<Inputs, String>, Needs> {
    // Before anything is read: each entry is a read of a Job.
    if let Some(mistake) = mistake(job) {
        return Ok(Err(mistake));
    }
    let Some(Ok(declared_inputs)) = &job.inputs else {
        return Ok(Ok(Inputs::default()));
    };
    let is_running = job.phase == Some(JobPhase::Running);
    let sources = declared_inputs.values().flat_map(|input| match input {
        Input::Output { job: source, .. } => {
            let name = job.beside(source);
            let mut facts = gone::facts(&job.metadata, &name, Freshness::Cached);
            facts.push((Fact::Job(name), Freshness::Live));
            facts
        }
        // One that was started before has its list, for which there is no default.
        Input::Gathered(_) if is_running => Vec::new(),
        Input::Gathered(gathered) => gathered::facts(job, gathered),
        Input::RunOutcome | Input::Unknown(_) => Vec::new(),
    });
    facts.require(sources)?;
    let template = job
        .spec
        .as_ref()
        .and_then(|spec| spec.template.metadata.as_ref());
    let preset = template.and_then(|template| template.annotations.as_ref());
    let mut inputs = Inputs::default();
    let mut bytes = 0;
    let mut longest: Option<(usize, String)> = None;
    for (key, input) in declared_inputs {
        let (source, output) = match input {
            Input::Output { job, output } => (job, output),
            Input::RunOutcome => {
                let Some(outcome) = run_outcome(job, facts)? else {
                    return Ok(Err("its run has no outcome".to_owned()));
                };
                let key = format!("{}{key}", annotation::INPUT_PREFIX);
                inputs.values.insert(key, outcome.to_owned());
                continue;
            }
            Input::Gathered(_) if is_running => continue,
            Input::Gathered(gathered) => {
                let list = match list(job, gathered, facts)? {
                    Ok(list) => list,
                    Err(why) => return Ok(Err(why)),
                };
                inputs.lost.extend(list.lost);
                let length = list.json.len();
                bytes += length;
                if longest
                    .as_ref()
                    .is_none_or(|(longest, _)| length > *longest)
                {
                    longest = Some((length, gathered.words()));
                }
                let key = format!("{}{key}", annotation::INPUT_PREFIX);
                inputs.values.insert(key, list.json);
                continue;
            }
            // A mistake, which was looked for before.
            Input::Unknown(_) => continue,
        };
        let name = job.beside(source);
        let source = facts.job(&name, Freshness::Live)?.map(AsRef::as_ref);
        let source = gone::known(&job.metadata, &name, source, facts, Freshness::Live)?;
        let key = format!("{}{key}", annotation::INPUT_PREFIX);
        let has_default = preset.is_some_and(|preset| preset.contains_key(&key));
        let value = match gone::outputs(&source, &job.metadata, &name.name) {
            // One that was started before has its value: whether it still has, `resumed` looks at.
            Some(Err(_)) if is_running => None,
            // A finally stage runs in any case: that is what its defaults are for.
            Some(Err(lost)) if job.role == Role::Finally && has_default => {
                inputs.lost.insert(lost);
                None
            }
            // A default must not stand in for a value that was written.
            Some(Err(lost)) => return Ok(Err(lost)),
            Some(Ok(mut outputs)) => outputs.remove(output),
            None => None,
        };
        match value {
            Some(value) => {
                bytes += value.len();
                inputs.values.insert(key, value);
            }
            None if has_default => {}
            None => {
                let named = source.named(&job.metadata, &name.name);
                let named = named.unwrap_or_else(|| Named::Object(format!("job/{}", name.name)));
                return Ok(Err(match has_not_ended(&source) {
                    true => format!("{named} has not ended: {BEHIND_A_GATE}"),
                    false => format!("{named} wrote no output {output}"),
                }));
            }
        }
    }
    if bytes > INPUTS_BYTES_MAX {
        let longest = longest.map(|(length, list)| format!(", of which {list} is {length}"));
        return Ok(Err(format!(
            "its inputs are {bytes} bytes{}; at most {INPUTS_BYTES_MAX} fit",
            longest.unwrap_or_default()
        )));
    }
    Ok(Ok(inputs))
}

/// What is wrong with the annotation itself.
pub(super) fn mistake(job: &Participant) -> Option<String> {
    let Ok(inputs) = job.inputs.as_ref()? else {
        return Some(format!(
            "{} is not a JSON object of strings",
            annotation::INPUTS
        ));
    };
    if inputs.len() > INPUTS_MAX {
        return Some(format!(
            "{} has {} entries; a Job reads at most {INPUTS_MAX}",
            annotation::INPUTS,
            inputs.len()
        ));
    }
    inputs.iter().find_map(|(key, input)| {
        let Input::Unknown(from) = input else {
            return None;
        };
        let (key, from) = (shown(key), shown(from));
        Some(format!(
            "input {key}: {from} is neither JOB/OUTPUT nor STAGE[*]/OUTPUT"
        ))
    })
}

/// What to do about a Job that starts before those whose outputs it reads have ended. Compiled Jobs have such a Gate.
pub(super) const BEHIND_A_GATE: &str =
    "a Job that reads its outputs needs a Gate with the condition that it is Complete";

/// Whether a Job is still to write its outputs.
pub(super) fn has_not_ended(source: &Known<'_>) -> bool {
    matches!(source, Known::Job(job) if job_end(job).is_none())
}

/// The list of outputs of several Jobs. The inner error says why there is none.
pub(super) fn list(
    job: &Participant,
    gathered: &Gathered,
    facts: &Facts,
) -> Result<Result<List, String>, Needs> {
    let list = gathered::list(job, gathered, facts)?;
    Ok(list.and_then(|list| match list.lost.first() {
        // A finally stage runs in any case, with what is left.
        Some(lost) if job.role != Role::Finally => Err(lost.clone()),
        _ => Ok(list),
    }))
}

/// How the main stages of a Job's run ended.
fn run_outcome(job: &Participant, facts: &Facts) -> Result<Option<&'static str>, Needs> {
    let run = match job.run() {
        Some(run) => facts.run(&job.beside(run), Freshness::Live)?,
        None => None,
    };
    Ok(run.and_then(|run| outcome_word(run)))
}
