//! The rules of a Job's status: what its controller may report after what.
//!
//! A rule is checked only where the fields it is about changed, as on the real server: a change of
//! the spec may leave a status that is wrong until its controller comes by.

use serde_json::Value;

use super::check::not_negative;
use crate::field::Path;
use crate::status::Cause;

/// Whether a Job has a condition that is true.
pub(super) fn has_condition(job: &Value, kind: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn is_finished(job: &Value) -> bool {
    has_condition(job, "Complete") || has_condition(job, "Failed")
}

fn number(job: &Value, field: &str) -> i64 {
    job["status"][field].as_i64().unwrap_or_default()
}

/// What is wrong with the change of a Job's status.
pub(super) fn validate_update(job: &Value, old: &Value) -> Vec<Cause> {
    let path = Path::new("status");
    let mut causes = Vec::new();
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        not_negative(&job["status"], field, &path, &mut causes);
    }
    let changed = Changes { job, old };
    causes.extend(changed.conditions(&path.child("conditions")));
    causes.extend(changed.times(&path));
    causes.extend(changed.counts(&path));
    causes.extend(changed.transitions(&path));
    causes
}

struct Changes<'a> {
    job: &'a Value,
    old: &'a Value,
}

impl Changes<'_> {
    fn has(&self, kind: &str) -> bool {
        has_condition(self.job, kind)
    }

    fn condition(&self, kind: &str) -> bool {
        self.has(kind) != has_condition(self.old, kind)
    }

    fn field(&self, field: &str) -> bool {
        self.job["status"][field] != self.old["status"][field]
    }

    fn finished(&self) -> bool {
        is_finished(self.job) != is_finished(self.old)
    }

    /// Conditions that can't be true together, or not alone.
    fn conditions(&self, path: &Path) -> Vec<Cause> {
        let (complete, failed) = (self.has("Complete"), self.has("Failed"));
        let (target, criteria) = (self.has("FailureTarget"), self.has("SuccessCriteriaMet"));
        let rules = [
            (
                (self.condition("Complete") || self.condition("Failed")) && complete && failed,
                "cannot set Complete=True and Failed=true conditions",
            ),
            (
                (self.condition("Complete") || self.condition("FailureTarget"))
                    && complete
                    && target,
                "cannot set Complete=True and FailureTarget=true conditions",
            ),
            (
                (self.condition("Failed") || self.field("failedIndexes")) && failed && !target,
                "cannot set Failed=True condition without the FailureTarget=true condition",
            ),
            (
                (self.condition("Complete") || self.condition("SuccessCriteriaMet"))
                    && complete
                    && !criteria,
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            ),
            (
                criteria && failed,
                "cannot set SuccessCriteriaMet=True and Failed=true conditions",
            ),
            (
                criteria && target,
                "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
            ),
            (
                self.job["spec"]["successPolicy"].is_object() && !criteria && complete,
                "cannot set Complete=True for Job with SuccessPolicy unless \
                 SuccessCriteriaMet=True",
            ),
        ];
        let broken = rules.into_iter().filter(|(broken, _)| *broken);
        broken.map(|(_, why)| path.omitted(why)).collect()
    }

    fn times(&self, path: &Path) -> Vec<Cause> {
        let status = &self.job["status"];
        let (start, completion) = (&status["startTime"], &status["completionTime"]);
        let complete = self.has("Complete");
        let of_completion = self.condition("Complete") || self.field("completionTime");
        let mut causes = Vec::new();
        let end = path.child("completionTime");
        if of_completion && !completion.is_null() && !complete {
            let why = "cannot set completionTime when there is no Complete=True condition";
            causes.push(end.invalid(completion.clone(), why));
        }
        if of_completion && completion.is_null() && complete {
            causes.push(end.required("completionTime is required for Complete jobs"));
        }
        let before = |a: &Value, b: &Value| {
            let time = |value: &Value| value.as_str()?.parse::<jiff::Timestamp>().ok();
            matches!((time(a), time(b)), (Some(a), Some(b)) if a < b)
        };
        if (self.field("startTime") || self.field("completionTime")) && before(completion, start) {
            causes.push(end.invalid(completion.clone(), "must be equal to or after `startTime`"));
        }
        let suspended_empty =
            self.job["spec"]["suspend"] == true && self.job["spec"]["completions"] == 0;
        if (self.finished() || self.field("startTime"))
            && !suspended_empty
            && start.is_null()
            && is_finished(self.job)
        {
            let path = path.child("startTime");
            causes.push(path.required("startTime is required for finished job"));
        }
        causes
    }

    fn counts(&self, path: &Path) -> Vec<Cause> {
        let status = &self.job["status"];
        let finished = is_finished(self.job);
        let mut causes = Vec::new();
        let active = number(self.job, "active");
        if (self.finished() || self.field("active")) && active > 0 && finished {
            let why = "active>0 is invalid for finished job";
            causes.push(path.child("active").invalid(active, why));
        }
        let uncounted = &status["uncountedTerminatedPods"];
        let waiting = |field: &str| uncounted[field].as_array().map_or(0, Vec::len);
        if (self.finished() || self.field("uncountedTerminatedPods"))
            && finished
            && waiting("succeeded") + waiting("failed") > 0
        {
            let path = path.child("uncountedTerminatedPods");
            causes.push(path.invalid(uncounted.clone(), "must be empty for finished job"));
        }
        let indexed = self.job["spec"]["completionMode"] == "Indexed";
        let indexes = status["completedIndexes"].as_str().unwrap_or_default();
        if self.field("completedIndexes") && !indexes.is_empty() && !indexed {
            let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
            causes.push(path.child("completedIndexes").invalid(indexes, why));
        }
        if self.field("failedIndexes")
            && self.job["spec"]["backoffLimitPerIndex"].is_null()
            && !status["failedIndexes"].is_null()
        {
            let why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
            let path = path.child("failedIndexes");
            causes.push(path.invalid(status["failedIndexes"].clone(), why));
        }
        let terminating = number(self.job, "terminating");
        if (self.finished() || self.field("terminating")) && terminating > 0 && finished {
            let why = "terminating>0 is invalid for finished job";
            causes.push(path.child("terminating").invalid(terminating, why));
        }
        let ready = number(self.job, "ready");
        if (self.field("ready") || self.field("active")) && ready > active {
            let why = "cannot set more ready pods than active";
            causes.push(path.child("ready").invalid(ready, why));
        }
        causes
    }

    /// What can't be taken back.
    fn transitions(&self, path: &Path) -> Vec<Cause> {
        let mut causes = Vec::new();
        let conditions = path.child("conditions");
        for kind in ["Failed", "Complete", "FailureTarget"] {
            if has_condition(self.old, kind) && !self.has(kind) {
                let why = format!("cannot disable the terminal {kind}=True condition");
                causes.push(conditions.omitted(why));
            }
        }
        let spec = &self.job["spec"];
        let elastic =
            spec["completionMode"] == "Indexed" && spec["completions"] == spec["parallelism"];
        for (field, fixed) in [("failed", true), ("succeeded", !elastic)] {
            let now = number(self.job, field);
            if fixed && now < number(self.old, field) {
                let why = format!("cannot decrease the {field} counter");
                causes.push(path.child(field).invalid(now, why));
            }
        }
        let (new, old) = (&self.job["status"], &self.old["status"]);
        let completion = |status: &Value| status["completionTime"].clone();
        if !completion(new).is_null()
            && !completion(old).is_null()
            && completion(new) != completion(old)
        {
            let path = path.child("completionTime");
            causes.push(path.invalid(completion(new), "field is immutable"));
        }
        let resuming = has_condition(self.old, "Suspended") && !self.has("Suspended");
        if !old["startTime"].is_null()
            && self.field("startTime")
            && spec["suspend"] != true
            && !resuming
        {
            let why = "field is immutable for unsuspended job once set";
            let path = path.child("startTime");
            causes.push(path.invalid(new["startTime"].clone(), why));
        }
        if has_condition(self.old, "SuccessCriteriaMet") && !self.has("SuccessCriteriaMet") {
            let why = "cannot disable the SuccessCriteriaMet=True condition";
            causes.push(conditions.omitted(why));
        }
        causes
    }
}
