//! The values of an output over the items of a stage, as one list.
//!
//! What enters: the Jobs of the items, those that are gone, and what the Run has recorded of both. What leaves: the
//! list as JSON, in the order of the items. What must never happen here: a list that lacks the value of an item that
//! succeeded, or that depends on which item ended first.

use std::collections::{BTreeMap, BTreeSet};

use konductor_api::{Gathered, OutputType, Participant, job_ended, write_json_list};

use super::item_outputs;
use crate::facts::{Facts, Freshness};
use crate::outcome::{End, job_end};
use crate::outputs::{OUTPUTS_LOST, outputs_are_lost};
use crate::words::Named;
use crate::{Fact, Needs, gone, owner, run};

/// A list of values.
#[derive(Debug)]
pub(super) struct List {
    /// As JSON.
    pub(super) json: String,
    /// Of which items that succeeded the value is lost.
    pub(super) lost: BTreeSet<String>,
}

/// What the list is made of: present Jobs and the Run by live reads.
pub(super) fn facts(job: &Participant, gathered: &Gathered) -> Vec<(Fact, Freshness)> {
    let Some(run) = owner::run_name(&job.metadata) else {
        return Vec::new();
    };
    let labels = gathered.labels(&run.name);
    let namespace = run.namespace.clone();
    vec![
        (
            Fact::JobsLabelled {
                namespace: namespace.clone(),
                labels: labels.clone(),
            },
            Freshness::Live,
        ),
        (Fact::JobsGone { namespace, labels }, Freshness::Cached),
        (Fact::Run(run), Freshness::Live),
    ]
}

/// Puts the list together. The inner error says why there is none.
pub(super) fn list(
    job: &Participant,
    gathered: &Gathered,
    facts: &Facts,
) -> Result<Result<List, String>, Needs> {
    let words = gathered.words();
    let Some(run) = owner::run_of(&job.metadata, facts, Freshness::Live)? else {
        return Ok(Err(format!("{words} is known only within a run")));
    };
    let mut sources = self::facts(job, gathered).into_iter();
    let mut next = || match sources.next() {
        Some((fact, freshness)) => facts.jobs(fact, freshness),
        None => Ok(&[][..]),
    };
    let (present, gone) = (next()?, next()?);
    let recorded: BTreeMap<_, _> = run::recorded_of_stage(run, &gathered.stage).collect();
    let mut items = BTreeMap::new();
    let mut ends = BTreeMap::new();
    // One that exists counts, and not what the watch has shown of it before.
    for (jobs, are_present) in [(gone, false), (present, true)] {
        for item in jobs
            .iter()
            .filter(|item| owner::belongs(&item.metadata, run))
        {
            let key = item.key.name;
            let counts = match recorded.get(&key) {
                Some(entry) => entry.is_of(item),
                // The largest Runs keep no record.
                None => are_present || recorded.is_empty(),
            };
            if counts {
                let ended = recorded.get(&key).and_then(|entry| entry.ended);
                let end = match ended.filter(|_| !are_present) {
                    Some(ended) => Some(ended.end),
                    None => job_end(item),
                };
                // Its Run may not have recorded yet that it counts as cancelled.
                let is_cut_off = !are_present && job_ended(item).is_none();
                let end = end.or(is_cut_off.then_some(End::Cancelled));
                ends.insert(key, end);
                items.insert(key, item.as_ref());
            }
        }
    }
    // The record does not say which items these are: if somebody knows that they are others, they don't count.
    let elsewhere = match gathered.fixed.is_empty() {
        true => BTreeSet::new(),
        false => gone::of_stage(run, &gathered.stage, facts)?,
    };
    let mut lost = BTreeSet::new();
    for (key, entry) in &recorded {
        if items.contains_key(key) || elsewhere.contains(key) {
            continue;
        }
        if entry.ended.is_none() {
            return Ok(Err(format!("{words} lacks an item that has not ended")));
        }
        if run::may_have_written(run, &gathered.stage, key, entry) {
            let stage = &gathered.stage;
            lost.insert(format!(
                "an item of {stage} was deleted before its outputs were read"
            ));
        }
    }
    let mut items: Vec<&Participant> = items.into_values().collect();
    items.sort_by_key(|item| (item.ordinal, item.name()));
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        let named = || {
            let named = Named::job(&job.metadata, item);
            named.unwrap_or_else(|| Named::Object(format!("job/{}", item.name())))
        };
        let end = ends.get(&item.key.name).copied().flatten();
        // What is known of it is from before its end, which may have brought more.
        let is_outdated = job_end(item).is_none();
        // One Job can be all the items.
        if item.items.is_some() && end.is_some() {
            match item_outputs::values(item, gathered) {
                Ok(more) => {
                    values.extend(more.values);
                    let ended_unseen = is_outdated && end != Some(End::Cancelled);
                    if more.some_are_lost || ended_unseen {
                        let why = "what its items wrote was not read";
                        lost.insert(format!("{}: {why}", named()));
                    }
                }
                Err(missing) => return Ok(Err(missing)),
            }
            continue;
        }
        match end {
            Some(End::Succeeded) => {}
            Some(End::Failed | End::Skipped | End::Unreached | End::Cancelled) => continue,
            None => return Ok(Err(format!("{} has not ended", named()))),
        }
        if is_outdated {
            let why = "was deleted before its outputs were read";
            lost.insert(format!("{} {why}", named()));
            continue;
        }
        if outputs_are_lost(item) {
            lost.insert(format!("{}: {OUTPUTS_LOST}", named()));
            continue;
        }
        match value(item, gathered) {
            Some(value) => values.push(value),
            None => {
                let output = &gathered.output;
                return Ok(Err(format!("{} wrote no output {output}", named())));
            }
        }
    }
    let json = write_json_list(&values);
    Ok(Ok(List { json, lost }))
}

/// What an item that succeeded has written, or what counts instead, as JSON of the type that it declares.
fn value(item: &Participant, gathered: &Gathered) -> Option<String> {
    let mut outputs = item.outputs().unwrap_or_default();
    let written = outputs.remove(&gathered.output);
    let text = written.or_else(|| gathered.default.clone())?;
    let declared = item.declared_outputs.as_ref()?.as_ref().ok()?;
    let mut declared = declared.iter();
    let declared = declared.find(|output| output.name == gathered.output)?;
    declared
        .ty
        .as_ref()
        .unwrap_or(&OutputType::String)
        .json(&text)
}
