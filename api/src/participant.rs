//! A Job, with what it says about itself read once: the door through which annotations come in.
//!
//! What enters: a `batch/v1` Job as the API server stores it. What leaves: the Job, and its labels and annotations
//! as types. What must never happen here: an error. What can't be read is kept as such, because the Job exists and
//! its author needs a report.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::input::parse_inputs;
use crate::{
    DeclaredOutput, Duration, Hold, HoldError, Input, Items, ItemsError, JobKey, JobPhase,
    LedgerKind, NotInputs, ObjectName, OutputError, Role, Times, annotation, item_name, job_ended,
    label, parse_declared_outputs, parse_holds,
};

/// A Job, and what it says about itself.
///
/// It dereferences to the Job. What has a type is parsed when the Job is decoded, and kept; what is a plain text is
/// looked up where it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Participant {
    job: Job,
    /// Where it stands, by what the operator wrote; `None` means Waiting.
    pub phase: Option<JobPhase>,
    /// Which part of its run it is.
    pub role: Role,
    /// What it asks to hold while it runs, in the order of taking; `None` without the annotation.
    pub asked: Option<Result<Vec<Hold>, HoldError>>,
    /// What it holds since it was started, as it was then; `None` before the start.
    pub held: Option<Vec<Hold>>,
    /// The ledgers that it is to leave.
    pub releases: Option<Vec<Hold>>,
    /// What it hands on; `None` without the annotation.
    pub declared_outputs: Option<Result<Vec<DeclaredOutput>, OutputError>>,
    /// What it reads; `None` without the annotation.
    pub inputs: Option<Result<BTreeMap<String, Input>, NotInputs>>,
    /// Which list its items are; `None` without the annotation.
    pub items: Option<Result<Items, ItemsError>>,
    /// How long its pods may be unable to start.
    pub pending_timeout: Option<Duration>,
    /// The attempt of its run that it was created for.
    pub attempt: u32,
    /// Its place in the source.
    pub ordinal: Option<u32>,
    /// What its run's record knows it by.
    pub key: JobKey,
    /// Whether what only decisions about it read was left out, so that it needs little memory.
    pub is_abridged: bool,
}

impl Participant {
    /// Reads what a Job says about itself.
    pub fn of(mut job: Job) -> Self {
        let role = job.metadata.labels.as_ref();
        let role = role.and_then(|labels| labels.get(label::ROLE));
        let role = match role.is_some_and(|role| role == Role::Finally.word()) {
            true => Role::Finally,
            false => Role::Main,
        };
        let annotations = job.metadata.annotations.take();
        let mut read = Self {
            phase: None,
            role,
            asked: None,
            held: None,
            releases: None,
            declared_outputs: None,
            inputs: None,
            items: None,
            pending_timeout: None,
            attempt: 1,
            ordinal: None,
            key: JobKey::of(&job.metadata, stage_of(&job)),
            is_abridged: false,
            job,
        };
        for (key, text) in annotations.iter().flatten() {
            read.read_annotation(key, text);
        }
        read.job.metadata.annotations = annotations;
        read
    }

    /// Reads one annotation.
    fn read_annotation(&mut self, key: &str, text: &str) {
        match key {
            annotation::PHASE => self.phase = text.parse().ok(),
            annotation::HOLD => self.asked = Some(parse_holds(text)),
            annotation::HELD => self.held = Some(parse_holds(text).unwrap_or_default()),
            annotation::RELEASES => self.releases = Some(parse_holds(text).unwrap_or_default()),
            annotation::OUTPUTS_DECLARED => {
                self.declared_outputs = Some(parse_declared_outputs(text));
            }
            annotation::INPUTS => self.inputs = Some(parse_inputs(text)),
            annotation::ITEMS => self.items = Some(Items::parse(text)),
            annotation::PENDING_TIMEOUT => self.pending_timeout = Duration::new(text).ok(),
            annotation::ATTEMPT => self.attempt = text.parse().unwrap_or(1),
            annotation::ORDINAL => self.ordinal = text.parse().ok(),
            _ => {}
        }
    }

    /// Changes the Job, and reads again what it says about itself.
    pub fn edit(&mut self, change: impl FnOnce(&mut Job)) {
        let mut job = std::mem::take(&mut self.job);
        change(&mut job);
        *self = Self::of(job);
    }

    fn text(&self, key: &str) -> Option<&str> {
        let annotations = self.job.metadata.annotations.as_ref()?;
        annotations.get(key).map(String::as_str)
    }

    /// Returns the value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        let labels = self.job.metadata.labels.as_ref()?;
        labels.get(key).map(String::as_str)
    }

    /// Returns the Job's place.
    pub fn place(&self) -> ObjectName {
        ObjectName::of(&self.job.metadata)
    }

    /// Returns the Job's name.
    pub fn name(&self) -> &str {
        self.job.metadata.name.as_deref().unwrap_or_default()
    }

    /// Returns the place of a name in the Job's namespace.
    pub fn beside(&self, name: &str) -> ObjectName {
        let namespace = self.job.metadata.namespace.as_deref();
        ObjectName::new(namespace.unwrap_or_default(), name)
    }

    /// Returns the Job's uid.
    pub fn uid(&self) -> &str {
        self.job.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Returns the Gate that must be Open before the start.
    pub fn gate(&self) -> Option<&str> {
        self.text(annotation::GATE)
    }

    /// Returns the Barrier at which the Job arrives when it has ended.
    pub fn arrives_at(&self) -> Option<&str> {
        self.text(annotation::ARRIVE)
    }

    /// Returns why the Job stands where it does, by what the operator wrote.
    pub fn reason(&self) -> Option<&str> {
        self.text(annotation::REASON)
    }

    /// Returns the name of the run that the Job belongs to by its label.
    pub fn run(&self) -> Option<&str> {
        self.label(label::RUN)
    }

    /// Returns the stage that the Job is of; without a label, its own name.
    pub fn stage(&self) -> &str {
        stage_of(&self.job)
    }

    /// Returns the item of a fan-out that the Job is of, exactly as it was written if that is known.
    pub fn item(&self) -> Option<&str> {
        self.text(annotation::ITEM)
            .or_else(|| self.label(label::ITEM))
    }

    /// Returns whether a failure of the Job's stage does not fail its run.
    pub fn may_fail(&self) -> bool {
        self.label(label::MAY_FAIL) == Some("true")
    }

    /// Returns the queue of Kueue in which the Job waits.
    pub fn queue(&self) -> Option<&str> {
        self.label(label::KUEUE_QUEUE)
    }

    /// Returns those that must agree before Kueue starts the Job; `None` without the annotation.
    pub fn gated_by(&self) -> Option<impl Iterator<Item = &str>> {
        let words = self.text(annotation::KUEUE_GATED_BY)?.split(',');
        Some(words.map(str::trim).filter(|word| !word.is_empty()))
    }

    /// Returns the indexes that succeeded in an earlier attempt.
    pub fn completed_indexes(&self) -> Option<&str> {
        self.text(annotation::COMPLETED_INDEXES)
    }

    /// Returns how often the Job was started again after somebody else had suspended it, and when last, as the
    /// operator wrote it.
    pub fn resumed(&self) -> Option<(&str, &str)> {
        self.text(annotation::RESUMED)?.split_once(' ')
    }

    /// Returns when what happened to the Job that Kubernetes does not keep.
    pub fn times(&self) -> Times {
        self.text(annotation::TIMES)
            .map(Times::parse)
            .unwrap_or_default()
    }

    /// Returns what stood on the pod template in place of the inputs; `None` before a start.
    pub fn presets(&self) -> Option<BTreeMap<String, String>> {
        serde_json::from_str(self.text(annotation::PRESETS)?).ok()
    }

    /// Returns the outputs that are stored on the Job; `None` if none were stored. What was tampered with counts as
    /// empty.
    pub fn outputs(&self) -> Option<BTreeMap<String, String>> {
        let text = self.text(annotation::OUTPUTS)?;
        Some(serde_json::from_str(text).unwrap_or_default())
    }

    /// Returns the list of the items that the Job was given, as JSON; `None` before.
    pub fn item_list(&self) -> Option<&str> {
        let template = self.job.spec.as_ref()?.template.metadata.as_ref()?;
        let list = template.annotations.as_ref()?.get(annotation::ITEMS)?;
        Some(list)
    }

    /// Returns what the items of the Job are called, by their indexes; empty if it has none, or if they are not known.
    pub fn item_names(&self) -> Vec<String> {
        let list = self.item_list().filter(|_| self.items.is_some());
        let items = list.and_then(|list| serde_json::from_str(list).ok());
        let items: Vec<serde_json::Value> = items.unwrap_or_default();
        let names: Option<Vec<String>> = items.iter().map(item_name).collect();
        names.unwrap_or_default()
    }

    /// Returns the indexes that have succeeded, as the Job controller counts them; before it does, those of an earlier
    /// attempt.
    pub fn indexes_done(&self) -> Option<&str> {
        let status = self.job.status.as_ref();
        let counted = status.and_then(|status| status.completed_indexes.as_deref());
        counted.or(self.completed_indexes())
    }

    /// Returns the indexes whose outputs are kept on the Job, and the outputs, while it runs. Afterwards the indexes alone,
    /// unless the outputs that are stored are those of all that have succeeded.
    pub fn outputs_kept(&self) -> Option<(&str, BTreeMap<String, String>)> {
        let (indexes, outputs) = self.text(annotation::OUTPUTS_KEPT)?.split_once(' ')?;
        Some((indexes, serde_json::from_str(outputs).ok()?))
    }

    /// Returns whether outputs are stored on the Job.
    pub fn has_outputs(&self) -> bool {
        self.text(annotation::OUTPUTS).is_some()
    }

    /// Returns whether the Job declares outputs that are not stored on it yet.
    pub fn owes_outputs(&self) -> bool {
        self.declared_outputs.is_some() && !self.has_outputs()
    }

    /// Returns what the Job asks to hold, in the order of taking; nothing if that can't be read.
    pub fn holds(&self) -> &[Hold] {
        match &self.asked {
            Some(Ok(holds)) => holds,
            Some(Err(_)) | None => &[],
        }
    }

    /// Returns what the Job asks to hold of one ledger.
    pub fn hold_on(&self, kind: LedgerKind, name: &str) -> Option<&Hold> {
        let mut holds = self.holds().iter();
        holds.find(|hold| hold.kind == kind && hold.name == name)
    }

    /// Returns what the Job holds since it was started. One that an earlier version started says only what it asked
    /// for.
    pub fn holding(&self) -> &[Hold] {
        self.held.as_deref().unwrap_or_else(|| self.holds())
    }

    /// Returns the ledgers that the Job asks, or holds something of although its annotation may have changed since.
    pub fn ledgers(&self) -> BTreeSet<(LedgerKind, &str)> {
        let held = self.held.iter().flatten();
        let all = self.holds().iter().chain(held);
        all.map(|hold| (hold.kind, hold.name.as_str())).collect()
    }

    /// Returns whether the Job is suspended.
    pub fn is_suspended(&self) -> bool {
        self.job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
    }

    /// Returns whether konductor starts the Job once it may start. One in a queue of Kueue that asks for nothing else is
    /// started by Kueue.
    pub fn is_coordinated(&self) -> bool {
        self.asks_for_something() || self.run().is_some() && self.queue().is_none()
    }

    /// Returns whether the Job asks for a Gate, a hold or its items, or resumes with some of its indexes done.
    pub fn asks_for_something(&self) -> bool {
        self.gate().is_some()
            || self.asked.is_some()
            || self.items.is_some()
            || self.completed_indexes().is_some()
    }

    /// Returns whether the Job may still be started: nobody has started or ended it.
    pub fn may_start(&self) -> bool {
        matches!(
            self.phase,
            None | Some(JobPhase::Waiting | JobPhase::Queued)
        )
    }

    /// Returns whether items of the Job have succeeded whose outputs are not stored on it yet.
    pub fn owes_outputs_of_items(&self) -> bool {
        let is_done = self.indexes_done().is_some_and(|done| !done.is_empty());
        self.items.is_some() && self.owes_outputs() && is_done
    }

    /// Returns whether a Job says of itself what can't have happened to it. A start of a Job in one of Kueue's queues need not
    /// change its spec, so of such a Job nothing is known. One that had ended before its copy was stored, and that held and read
    /// nothing, looks like a Job that the operator ended before its start, and counts as that.
    pub fn is_copy(&self) -> bool {
        if self.metadata.generation != Some(1) || self.queue().is_some() {
            return false;
        }
        let was_started =
            self.held.is_some() || self.presets().is_some() || self.resumed().is_some();
        let has_phase_of_another = match self.phase {
            Some(JobPhase::Running | JobPhase::Paused) => self.is_suspended(),
            Some(JobPhase::Complete) => job_ended(self).is_none(),
            Some(_) | None => false,
        };
        was_started || has_phase_of_another
    }

    /// Returns whether the Job has ended for good, so that what it holds ends with its last pod. It does not wait
    /// for outputs to be stored.
    pub fn is_over(&self) -> bool {
        job_ended(&self.job).is_some()
            || matches!(
                self.phase,
                Some(
                    JobPhase::Cancelled
                        | JobPhase::Failed
                        | JobPhase::Skipped
                        | JobPhase::Unreached
                )
            )
    }

    /// Returns whether the Job asks for what it holds by its annotation, as far as it shows itself: it may still be
    /// started, and its Gate has passed. One without a Gate asks from the first and has no phase, as to write one
    /// would cost a write for each Job.
    pub fn asks_for_permits(&self) -> bool {
        let gate_passed = self.gate().is_none() || self.phase == Some(JobPhase::Queued);
        self.may_start()
            && self.is_suspended()
            && self.releases.is_none()
            && gate_passed
            && !self.is_over()
            && self.job.metadata.deletion_timestamp.is_none()
    }
}

fn stage_of(job: &Job) -> &str {
    let labels = job.metadata.labels.as_ref();
    let stage = labels.and_then(|labels| labels.get(label::STAGE));
    let stage = stage.or(job.metadata.name.as_ref());
    stage.map(String::as_str).unwrap_or_default()
}

impl Deref for Participant {
    type Target = Job;

    fn deref(&self) -> &Job {
        &self.job
    }
}

impl From<Job> for Participant {
    fn from(job: Job) -> Self {
        Self::of(job)
    }
}

impl Serialize for Participant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.job.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Participant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Job::deserialize(deserializer).map(Self::of)
    }
}

/// The API server knows it as a Job. What is changed through `meta_mut` is not read again: to change a label or an
/// annotation, use [`Participant::edit`].
impl Resource for Participant {
    type DynamicType = ();
    type Scope = <Job as Resource>::Scope;

    fn kind(kind: &()) -> Cow<'_, str> {
        Job::kind(kind)
    }

    fn group(kind: &()) -> Cow<'_, str> {
        Job::group(kind)
    }

    fn version(kind: &()) -> Cow<'_, str> {
        Job::version(kind)
    }

    fn plural(kind: &()) -> Cow<'_, str> {
        Job::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.job.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.job.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(annotations: Value) -> Participant {
        let job = json!({"metadata": {"name": "j", "namespace": "ns", "annotations": annotations}});
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn what_a_job_says_is_read_once_and_what_cannot_be_read_is_kept_as_such() {
        let job = read(json!({
            annotation::HOLD: "semaphore/b=2, lease/a",
            annotation::HELD: "semaphore/c",
            annotation::INPUTS: r#"{"in-0": "x/rows", "in-1": "run.outcome", "in-2": "x"}"#,
            annotation::PHASE: "Queued",
            annotation::OUTPUTS_DECLARED: "rows: int",
        }));
        let names: Vec<_> = job.holds().iter().map(Hold::to_string).collect();
        assert_eq!(names, ["lease/a", "semaphore/b=2"]);
        assert_eq!(job.holding()[0].name, "c");
        assert_eq!(job.ledgers().len(), 3);
        assert_eq!(job.phase, Some(JobPhase::Queued));
        assert!(job.owes_outputs() && job.may_start() && job.role == Role::Main);
        let output = Input::Output {
            job: "x".to_owned(),
            output: "rows".to_owned(),
        };
        let inputs = job.inputs.unwrap().unwrap().into_values();
        let unknown = Input::Unknown("x".to_owned());
        assert_eq!(Vec::from_iter(inputs), [output, Input::RunOutcome, unknown]);

        let wrong = read(json!({
            annotation::HOLD: "batch",
            annotation::INPUTS: "[]",
            annotation::PHASE: "Sleeping",
        }));
        assert!(matches!(wrong.asked, Some(Err(_))) && wrong.holds().is_empty());
        assert_eq!(wrong.inputs, Some(Err(NotInputs)));
        assert_eq!(wrong.phase, None);
    }

    #[test]
    fn participant_is_written_as_the_job_that_it_was_read_from() {
        let job = read(json!({annotation::GATE: "go"}));
        let written = serde_json::to_value(&job).unwrap();
        let plain = serde_json::to_value(&*job).unwrap();
        assert_eq!(written, plain);
        assert_eq!(job.gate(), Some("go"));
    }
}
