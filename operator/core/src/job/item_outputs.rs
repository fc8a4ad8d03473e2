//! What the items of an Indexed Job wrote: each its own, in the order of the indexes.
//!
//! What enters: a Job with items that runs or has ended, its pods, and what was kept of those that are gone. What
//! leaves: for each output the list of its values, and what is wrong with those that are not in it. What must never happen
//! here: the value of one index in the place of another, or a list that lacks, in silence, the value of an index that
//! succeeded.

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
            // That of a Job that has ended, or of a copy of it, has the indexes alone.
            let outputs = (!outputs.is_empty()).then_some(outputs)?;
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

    /// How many bytes the annotation has.
    fn bytes(&self) -> usize {
        json!(self.text()).to_string().len()
    }

    /// Leaves out the indexes that do not fit into the annotation with those before them, and returns them. These go
    /// `first`; then the order is that of the items, whichever ended first.
    fn fit(&mut self, first: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut bytes = self.bytes();
        if bytes <= ITEM_OUTPUTS_BYTES_MAX {
            return BTreeSet::new();
        }
        // A value is a part of JSON within a string of JSON.
        let bytes_of = |value: &String| json!(value).to_string().len() - 2;
        let empty = self.columns.len() * NULL.len();
        let bytes_of = |index: &usize| {
            let values = self
                .columns
                .values()
                .filter_map(|values| values.get(*index));
            values.map(bytes_of).sum::<usize>()
        };
        let rows = self.indexes.iter().map(|index| (*index, bytes_of(index)));
        let rows: Vec<(usize, usize)> = rows.collect();
        for (_, row) in &rows {
            bytes = (bytes + empty).saturating_sub(*row);
        }
        let (early, late): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|(index, _)| first.contains(index));
        let mut left_out = BTreeSet::new();
        for (index, row) in early.into_iter().chain(late) {
            let with_it = (bytes + row).saturating_sub(empty);
            if with_it <= ITEM_OUTPUTS_BYTES_MAX {
                bytes = with_it;
            } else {
                left_out.insert(index);
            }
        }
        self.indexes.retain(|index| !left_out.contains(index));
        for values in self.columns.values_mut() {
            for index in &left_out {
                if let Some(place) = values.get_mut(*index) {
                    NULL.clone_into(place);
                }
            }
        }
        if self.indexes.is_empty() {
            self.columns.clear();
        }
        left_out
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

/// The indexes of a Job whose pods have succeeded.
pub(crate) fn done(job: &Participant) -> BTreeSet<usize> {
    let text = job.indexes_done().unwrap_or_default();
    indexes::parse(text, completions(job)).unwrap_or_default()
}

/// The indexes of a Job that have succeeded, as far as it is known what they wrote: their outputs are stored, or kept. Of a
/// Job that writes none, and of one that still runs, all whose pods have succeeded.
pub(crate) fn succeeded(job: &Participant) -> BTreeSet<usize> {
    let done = done(job);
    if job.items.is_none() || job.declared_outputs.is_none() {
        return done;
    }
    let kept = || {
        let indexes = Table::kept(job, completions(job)).indexes;
        indexes.intersection(&done).copied().collect()
    };
    match (job.has_outputs(), job.outputs_kept()) {
        (true, None) => done,
        (true, Some((of, _))) => {
            let of = indexes::parse(of, completions(job)).unwrap_or_default();
            of.intersection(&done).copied().collect()
        }
        (false, _) if job.is_over() => kept(),
        (false, _) => done,
    }
}

/// What is wrong with the outputs of an item whose pods these are, if one of them has succeeded.
pub(crate) fn wrong<'a>(
    job: &Participant,
    pods: impl IntoIterator<Item = &'a Pod>,
) -> Option<String> {
    let declared = job.declared_outputs.as_ref()?.as_ref().ok()?;
    let message = termination_message(pods).filter(|_| job.items.is_some())?;
    read_outputs(message, declared).err()
}

/// The succeeded pods of a Job, by their index.
fn by_index<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> BTreeMap<usize, &'a Pod> {
    let has_succeeded = |pod: &&Pod| termination_message([*pod]).is_some();
    let pods = pods.into_iter().filter(has_succeeded);
    let pods = pods.filter_map(|pod| Some((usize::try_from(explain::index(pod)?).ok()?, pod)));
    pods.collect()
}

/// The outputs of the indexes that have succeeded, as far as something knows them, and what is wrong with what the
/// others of these wrote, by their indexes.
fn table<'a>(
    job: &Participant,
    declared: &[DeclaredOutput],
    pods: impl IntoIterator<Item = &'a Pod>,
) -> (Table, BTreeMap<usize, String>) {
    let completions = completions(job);
    let size = usize::try_from(completions).unwrap_or_default();
    let mut table = Table::kept(job, completions);
    let names = job.item_names();
    let pods = by_index(pods);
    let mut problems = BTreeMap::new();
    for index in done(job) {
        if table.indexes.contains(&index) {
            continue;
        }
        let message = pods.get(&index).and_then(|pod| termination_message([*pod]));
        let Some(message) = message else { continue };
        match read_outputs(message, declared) {
            Ok(written) => table.add(index, size, declared, &written),
            Err(problem) => {
                let problem = format!("{}: {problem}", of_index(job, &names, index));
                problems.insert(index, problem);
            }
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

/// The outputs of a Job that has ended.
pub(super) struct Outputs {
    /// As the annotation is to have them: those of each item that wrote what it was to write.
    pub(super) stored: BTreeMap<String, String>,
    /// Which items these are, as [`annotation::OUTPUTS_KEPT`] is to say; `None` if all that have succeeded.
    pub(super) of: Option<String>,
    /// What is wrong with those of the others, in words. These have failed.
    pub(super) problem: Option<String>,
}

/// Reads the outputs of a Job that has ended. What is wrong with those of one item takes nothing from the others.
pub(super) fn read<'a>(
    job: &Participant,
    declared: &[DeclaredOutput],
    pods: impl IntoIterator<Item = &'a Pod>,
) -> Outputs {
    let (mut table, wrong) = table(job, declared, pods);
    let completions = usize::try_from(completions(job)).unwrap_or_default();
    let names = job.item_names();
    let done = done(job);
    // Bare names promise nothing, so nothing is lost for sure.
    let promises = declared.iter().any(|output| output.ty.is_some());
    let mut lost = Vec::new();
    for index in &done {
        if table.indexes.contains(index) || wrong.contains_key(index) {
            continue;
        }
        match promises {
            true => lost.push(of_index(job, &names, *index)),
            false => table.add(*index, completions, declared, &BTreeMap::new()),
        }
    }
    let mut problems = Vec::new();
    if !wrong.is_empty() {
        let wrong = wrong.into_values().collect();
        problems.push(shortened(wrong, "more items wrote wrong outputs"));
    }
    if !lost.is_empty() {
        let lost = shortened(lost, "more");
        problems.push(format!("pods were deleted before they were read: {lost}"));
    }
    let bytes = table.bytes();
    let text = table.text().into_iter();
    let longest = text.max_by_key(|(_, text)| text.len());
    let longest = longest.map(|(name, text)| format!(", of which {name} is {}", text.len()));
    let left_out = table.fit(&BTreeSet::new());
    if !left_out.is_empty() {
        let left_out = left_out.into_iter();
        let left_out = left_out.map(|index| of_index(job, &names, index));
        problems.push(format!(
            "those of all items are {bytes} bytes{}; at most {ITEM_OUTPUTS_BYTES_MAX} fit, without those of {}",
            longest.unwrap_or_default(),
            shortened(left_out.collect(), "more")
        ));
    }
    // The Job controller may still count one of a Job that it has not ended itself.
    let is_final = table.indexes == done && job_ended(job).is_some();
    let stored = table.text().into_iter();
    Outputs {
        stored: stored.map(|(name, text)| (name.to_owned(), text)).collect(),
        of: (!is_final).then(|| format!("{} {{}}", indexes::format(&table.indexes))),
        problem: (!problems.is_empty()).then(|| problems.join("; ")),
    }
}

/// What to keep on a Job that has not ended, of what these pods wrote; `None` if it is kept already.
pub(super) fn kept<'a>(
    job: &Participant,
    declared: &[DeclaredOutput],
    pods: impl IntoIterator<Item = &'a Pod>,
) -> Option<String> {
    let indexes_kept = Table::kept(job, completions(job)).indexes;
    let (mut table, _) = table(job, declared, pods);
    table.fit(&indexes_kept);
    let text = json!(table.text()).to_string();
    (table.indexes != indexes_kept).then(|| format!("{} {text}", indexes::format(&table.indexes)))
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
    // Nor does one that is paused, or suspended by somebody, lose them.
    let has_run = matches!(job.phase, Some(JobPhase::Running | JobPhase::Paused));
    if !has_run || job.is_over() {
        return Ok(());
    }
    let indexes_kept = Table::kept(job, completions(job)).indexes;
    let succeeded = done(job);
    if succeeded.is_subset(&indexes_kept) {
        return Ok(());
    }
    let of_job = Fact::PodsOf {
        namespace: job.place().namespace,
        job_uid: job.uid().to_owned(),
    };
    let pods = facts.pods(of_job.clone(), Freshness::Cached)?;
    let pods = by_index(pods.iter().map(AsRef::as_ref)).into_iter();
    let new = pods.filter(|(index, _)| succeeded.contains(index) && !indexes_kept.contains(index));
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
    let Some(kept) = kept(job, declared, pods.iter().map(AsRef::as_ref)) else {
        return Ok(());
    };
    let annotations = Map::from_iter([(annotation::OUTPUTS_KEPT.to_owned(), kept.into())]);
    let write: Write = patch(job, annotations);
    decision.before.push(write);
    Ok(())
}

/// The values of an output over the items of a Job.
pub(super) struct Values {
    /// Of those that succeeded, in their order.
    pub(super) values: Vec<String>,
    /// Whether there were more.
    pub(super) some_are_lost: bool,
}

/// The values of an output over the items of a Job that succeeded, or what counts for those that did not write it. Of a
/// Job that was deleted before its end, what was kept.
///
/// # Errors
/// Which item lacks it.
pub(super) fn values(job: &Participant, gathered: &Gathered) -> Result<Values, String> {
    let kept = Table::kept(job, completions(job));
    let (succeeded, column) = match job.outputs() {
        Some(mut outputs) => {
            let text = outputs.remove(&gathered.output);
            let column = text.map_or(Some(Vec::new()), |text| read_json_list(&text));
            (succeeded(job), column)
        }
        None => {
            let done = done(job);
            let indexes = kept.indexes.intersection(&done).copied().collect();
            let column = kept.columns.get(&gathered.output).cloned();
            (indexes, Some(column.unwrap_or_default()))
        }
    };
    let Some(column) = column else {
        return Ok(Values {
            values: Vec::new(),
            some_are_lost: !succeeded.is_empty(),
        });
    };
    // What is kept of a Job that is gone is all that its items wrote, see `with_outputs`.
    let is_unread = !job.has_outputs() && job.outputs_kept().is_none();
    let some_are_lost = is_unread && !done(job).is_empty();
    let declared = job.declared_outputs.as_ref();
    let declared = declared.and_then(|declared| declared.as_ref().ok());
    let mut declared = declared.into_iter().flatten();
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
    Ok(Values {
        values: values.collect::<Result<_, _>>()?,
        some_are_lost,
    })
}
