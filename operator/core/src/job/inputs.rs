//! What a Job reads: the outputs that are stored on the Jobs before it.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use konductor_api::limits::{INPUTS_BYTES_MAX, INPUTS_MAX};
use konductor_api::{JobPhase, annotation, job_phase, label};

use super::annotated;
use crate::facts::{Facts, Freshness, ObjectName};
use crate::outcome::outcome_word;
use crate::{Fact, Needs, gone};

/// The input of a finally stage that is not another Job's output.
const RUN_OUTCOME: &str = "run.outcome";

/// What a later stage reads, from the outputs that are stored on the Jobs before it. The inner
/// error says which value is missing: a Job without one of its inputs is not started.
pub(super) fn inputs(
    job: &Job,
    facts: &Facts,
) -> Result<Result<BTreeMap<String, String>, String>, Needs> {
    let Some(text) = annotated(job, annotation::INPUTS) else {
        return Ok(Ok(BTreeMap::new()));
    };
    let Ok(wanted) = serde_json::from_str::<BTreeMap<String, String>>(text) else {
        return Ok(Err(format!(
            "{} is not a JSON object of strings",
            annotation::INPUTS
        )));
    };
    // Before anything is read: each entry is a read of a Job.
    if wanted.len() > INPUTS_MAX {
        return Ok(Err(format!(
            "{} has {} entries; a Job reads at most {INPUTS_MAX}",
            annotation::INPUTS,
            wanted.len()
        )));
    }
    let namespace = ObjectName::of(&job.metadata).namespace;
    let source = |from: &str| {
        let (job, output) = from.split_once('/')?;
        Some((ObjectName::new(&namespace, job), output.to_owned()))
    };
    let sources = wanted.values().filter_map(|from| source(from));
    let sources = sources.flat_map(|(name, _)| {
        let mut facts = gone::facts(&job.metadata, &name, Freshness::Cached);
        facts.push((Fact::Job(name), Freshness::Live));
        facts
    });
    facts.require(sources)?;
    let run = job
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(label::RUN));
    let run = run.map(|run| ObjectName::new(&namespace, run));
    let template = job
        .spec
        .as_ref()
        .and_then(|spec| spec.template.metadata.as_ref());
    let preset = template.and_then(|template| template.annotations.as_ref());
    let mut inputs = BTreeMap::new();
    let mut bytes = 0;
    for (key, from) in &wanted {
        if from == RUN_OUTCOME {
            let found = match &run {
                Some(run) => facts.run(run, Freshness::Live)?,
                None => None,
            };
            let Some(outcome) = found.and_then(|run| outcome_word(run)) else {
                return Ok(Err("its run has no outcome".to_owned()));
            };
            inputs.insert(
                format!("{}{key}", annotation::INPUT_PREFIX),
                outcome.to_owned(),
            );
            continue;
        }
        let Some((name, output)) = source(from) else {
            return Ok(Err(format!("input {key}: {from:?} is not JOB/OUTPUT")));
        };
        let source = facts.job(&name, Freshness::Live)?.map(AsRef::as_ref);
        let known = gone::known(&job.metadata, &name, source, facts, Freshness::Live)?;
        let value = match gone::outputs(&known, &name.name) {
            // One that was started before has its value: whether it still has, `resumed` looks at.
            Some(Err(_)) if job_phase(job) == Some(JobPhase::Running) => None,
            // A default must not stand in for a value that was written.
            Some(Err(lost)) => return Ok(Err(lost)),
            Some(Ok(mut outputs)) => outputs.remove(&output),
            None => None,
        };
        let key = format!("{}{key}", annotation::INPUT_PREFIX);
        match value {
            Some(value) => {
                bytes += value.len();
                inputs.insert(key, value);
            }
            None if preset.is_some_and(|preset| preset.contains_key(&key)) => {}
            None => return Ok(Err(format!("job/{} gave no output {output}", name.name))),
        }
    }
    if bytes > INPUTS_BYTES_MAX {
        return Ok(Err(format!(
            "its inputs are {bytes} bytes; at most {INPUTS_BYTES_MAX} fit"
        )));
    }
    Ok(Ok(inputs))
}
