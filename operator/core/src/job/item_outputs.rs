//! What the items of an Indexed Job wrote: each its own, in the order of the indexes.
//!
//! What enters: a Job with items that runs or has ended, its pods, and what was kept of those that are gone. What
//! leaves: for each output the list of its values, or what is wrong with them. What must never happen here: the value of
//! one index in the place of another, or a list that lacks the value of an index that succeeded.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::json_list::NULL;
use konductor_api::limits::ITEM_OUTPUTS_BYTES_MAX;
use konductor_api::{
    DeclaredOutput, Gathered, JobPhase, OutputType, Participant, annotation, job_ended,
    read_json_list, write_json_list,
};
use serde_json::{Map, json};

use super::indexes::of_index;
use super::{NoStatus, indexes, patch};
use crate::explain;
use crate::facts::{Facts, Freshness};
use crate::limits::ITEM_OUTPUTS_KEPT_AFTER;
use crate::outputs::{PROBLEMS_SHOWN_MAX, read_outputs, termination_message};
use crate::pod::ended_at;
use crate::{Decision, Fact, Needs, Write};

/// For each output, its value at each index as JSON, and `null` if that is not known.
#[derive(Debug, Default)]
struct Table {
    /// The indexes whose outputs are in it.
    indexes: BTreeSet<usize>,
    columns: BTreeMap<String, Vec<String>>,
}

impl Table {
    /// The values that are kept on a Job, or none.
    fn kept(job: &Participant, completions: i32) -> Self {
        let kept = job.outputs_kept().and_then(|(text, outputs)| {
            let indexes = indexes::parse(text, completions)?;
            let columns = outputs
                .into_iter()
                .map(|(name, text)| Some((name, read_json_list(&text)?)));
            let columns = columns.collect::<Option<_>>()?;
            Some(Self { indexes, columns })
        });
        kept.unwrap_or_default()
    }

    /// Takes in what an index wrote.
    fn add(
        &mut self,
        index: usize,
        size: usize,
        declared: &[DeclaredOutput],
        written: &BTreeMap<String, String>,
    ) {
        self.indexes.insert(index);
        for output in declared {
            let column = self.columns.entry(output.name.clone()).or_default();
            column.resize(size.max(column.len()), NULL.to_owned());
            let ty = output.ty.as_ref().unwrap_or(&OutputType::String);
            let value = written.get(&output.name).and_then(|text| ty.json(text));
            if let (Some(place), Some(value)) = (column.get_mut(index), value) {
                *place = value;
            }
        }
    }

    /// As the annotation has it.
    fn text(&self) -> BTreeMap<&str, String> {
        let columns = self.columns.iter();
        let text = columns.map(|(name, values)| (name.as_str(), write_json_list(values)));
        text.collect()
    }
}

/// How many completions a Job has.
fn completions(job: &Participant) -> i32 {
    let spec = job.spec.as_ref();
    spec.and_then(|spec| spec.completions).unwrap_or_default()
}

/// The indexes of a Job that have succeeded.
fn succeeded(job: &Participant) -> BTreeSet<usize> {
    let status = job.status.as_ref();
    let text = status.and_then(|status| status.completed_indexes.as_deref());
    indexes::parse(text.unwrap_or_default(), completions(job)).unwrap_or_default()
}

/// The succeeded pods of a Job, by their index.
fn by_index<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> BTreeMap<usize, &'a Pod> {
    let has_succeeded = |pod: &&Pod| termination_message([*pod]).is_some();
    let pods = pods.into_iter().filter(has_succeeded);
    let pods = pods.filter_map(|pod| Some((usize::try_from(explain::index(pod)?).ok()?, pod)));
    pods.collect()
}

/// The outputs of the indexes that have succeeded, as far as something knows them, and what is wrong with what the
/// others of these wrote, which is not in the table.
fn table<'a>(
    job: &Participant,
    declared: &[DeclaredOutput],
    pods: impl IntoIterator<Item = &'a Pod>,
) -> (Table, Vec<String>) {
    let completions = completions(job);
    let size = usize::try_from(completions).unwrap_or_default();
    let mut table = Table::kept(job, completions);
    let names = job.item_names();
    let pods = by_index(pods);
    let mut problems = Vec::new();
    for index in succeeded(job) {
        if table.indexes.contains(&index) {
            continue;
        }
        let message = pods.get(&index).and_then(|pod| termination_message([*pod]));
        let Some(message) = message else { continue };
        match read_outputs(message, declared) {
            Ok(written) => table.add(index, size, declared, &written),
            Err(problem) => problems.push(format!("{}: {problem}", of_index(job, &names, index))),
        }
    }
    (table, problems)
}

fn shortened(mut problems: Vec<String>, more: &str) -> String {
    let count = problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
    problems.truncate(PROBLEMS_SHOWN_MAX);
    if count > 0 {
        problems.push(format!("{count} {more}"));
    }
    problems.join("; ")
}

/// The outputs of a Job that has ended, as its annotation is to have them.
///
/// # Errors
/// What is wrong with them, in words.
pub(super) fn read<'a>(
    job: &Participant,
    declared: &[DeclaredOutput],
    pods: impl IntoIterator<Item = &'a Pod>,
) -> Result<BTreeMap<String, String>, String> {
    let (mut table, problems) = table(job, declared, pods);
    if !problems.is_empty() {
        return Err(shortened(problems, "more items wrote wrong outputs"));
    }
    let completions = usize::try_from(completions(job)).unwrap_or_default();
    let names = job.item_names();
    // Bare names promise nothing, so nothing is lost for sure.
    let promises = declared.iter().any(|output| output.ty.is_some());
    let mut lost = Vec::new();
    for index in succeeded(job) {
        if !table.indexes.contains(&index) {
            if promises {
                lost.push(of_index(job, &names, index));
            }
            table.add(index, completions, declared, &BTreeMap::new());
        }
    }
    if !lost.is_empty() {
        let lost = shortened(lost, "more");
        return Err(format!("pods were deleted before they were read: {lost}"));
    }
    let text = table.text();
    let bytes = json!(text).to_string().len();
    if bytes > ITEM_OUTPUTS_BYTES_MAX {
        let longest = text.iter().max_by_key(|(_, text)| text.len());
        let longest = longest.map(|(name, text)| format!(", of which {name} is {}", text.len()));
        return Err(format!(
            "those of all items are {bytes} bytes{}; at most {ITEM_OUTPUTS_BYTES_MAX} fit",
            longest.unwrap_or_default()
        ));
    }
    let text = text.into_iter();
    Ok(text.map(|(name, text)| (name.to_owned(), text)).collect())
}

/// Keeps what the items of a running Job have written so far: their pods may be gone before it ends, with the node that
/// they ran on. Many are kept by one write.
pub(super) fn keep(
    job: &Participant,
    facts: &Facts,
    now: Timestamp,
    decision: &mut Decision<NoStatus>,
) -> Result<(), Needs> {
    let Some(Ok(declared)) = job
        .declared_outputs
        .as_ref()
        .filter(|_| job.items.is_some())
    else {
        return Ok(());
    };
    if job.phase != Some(JobPhase::Running) || job_ended(job).is_some() || job.is_suspended() {
        return Ok(());
    }
    let known = Table::kept(job, completions(job)).indexes;
    let succeeded = succeeded(job);
    if succeeded.is_subset(&known) {
        return Ok(());
    }
    let of_job = Fact::PodsOf {
        namespace: job.place().namespace,
        job_uid: job.uid().to_owned(),
    };
    let pods = facts.pods(of_job.clone(), Freshness::Cached)?;
    let pods = by_index(pods.iter().map(AsRef::as_ref)).into_iter();
    let new = pods.filter(|(index, _)| succeeded.contains(index) && !known.contains(index));
    // What is wrong is said when the Job ends, and keeps no other from being kept.
    let new = new.filter(|(_, pod)| {
        let message = termination_message([*pod]);
        message.is_some_and(|message| read_outputs(message, declared).is_ok())
    });
    let first = new.filter_map(|(_, pod)| ended_at(pod)).min();
    let due = first.and_then(|first| first.checked_add(ITEM_OUTPUTS_KEPT_AFTER).ok());
    let Some(due) = due else { return Ok(()) };
    if now < due {
        decision.wake_at(due);
        return Ok(());
    }
    let pods = facts.pods(of_job, Freshness::Live)?;
    let (table, _) = table(job, declared, pods.iter().map(AsRef::as_ref));
    let text = json!(table.text()).to_string();
    if table.indexes == known || text.len() > ITEM_OUTPUTS_BYTES_MAX {
        return Ok(());
    }
    let kept = format!("{} {text}", indexes::format(&table.indexes));
    let annotations = Map::from_iter([(annotation::OUTPUTS_KEPT.to_owned(), kept.into())]);
    let write: Write = patch(job, annotations);
    decision.before.push(write);
    Ok(())
}

/// The values of an output over the items of a Job that succeeded, or what counts for those that did not write it. The
/// inner error says which one lacks it; `None` if what they wrote is lost.
pub(super) fn values(
    job: &Participant,
    gathered: &Gathered,
) -> Option<Result<Vec<String>, String>> {
    let succeeded = succeeded(job);
    if succeeded.is_empty() {
        return Some(Ok(Vec::new()));
    }
    let outputs = job.outputs()?;
    let column = outputs.get(&gathered.output);
    let column = match column {
        Some(text) => read_json_list(text)?,
        None => Vec::new(),
    };
    let declared = job.declared_outputs.as_ref()?.as_ref().ok()?;
    let mut declared = declared.iter();
    let declared = declared.find(|output| output.name == gathered.output);
    let ty = declared.and_then(|output| output.ty.as_ref());
    let default = declared.and(gathered.default.as_ref());
    let default = default.and_then(|text| ty.unwrap_or(&OutputType::String).json(text));
    let names = job.item_names();
    let values = succeeded.into_iter().map(|index| {
        let written = column.get(index).filter(|value| *value != NULL);
        let value = written.or(default.as_ref()).cloned();
        value.ok_or_else(|| {
            let item = of_index(job, &names, index);
            format!("{item} wrote no output {}", gathered.output)
        })
    });
    Some(values.collect())
}
