//! The rules of Jobs.

use serde_json::{Value, json};

use super::check::not_negative;
use super::pod;
use super::pod_defaults::{self, default};
use super::{job_status, policy};
use crate::definition::{NO_RULES, Rules};
use crate::field::{Path, quote};
use crate::metadata;
use crate::names;
use crate::status::Cause;

const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const BACKOFF_LIMIT: i64 = 6;
const INDEXED_PARALLELISM_MAX: i64 = 100_000;
const MANAGED_BY_LENGTH_MAX: usize = 63;

pub(super) const RULES: Rules = Rules {
    default: default_spec,
    prepare_create,
    validate,
    validate_update,
    validate_status_update: job_status::validate_update,
    ..NO_RULES
};

/// Fills in a Job.
fn default_spec(job: &mut Value) {
    let labels = job["spec"]["template"]["metadata"]["labels"].clone();
    let has_labels = job["metadata"]["labels"]
        .as_object()
        .is_some_and(|labels| !labels.is_empty());
    if labels.is_object() && !has_labels {
        metadata::set(job, "labels", Some(labels));
    }
    let Some(spec) = job.get_mut("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    default_fields(spec);
    default_pods(spec);
}

/// Fills in the pods of a CronJob's Jobs; the Jobs themselves are filled in when they are made.
pub(super) fn default_template(template: &mut Value) {
    if let Some(spec) = template.get_mut("spec") {
        default_pods(spec);
    }
}

fn default_pods(spec: &mut Value) {
    let template = spec.get_mut("template");
    if let Some(pod) = template.and_then(|template| template.get_mut("spec")) {
        pod_defaults::spec(pod);
    }
}

fn default_fields(spec: &mut Value) {
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        default(spec, "completions", 1);
    }
    default(spec, "parallelism", 1);
    let per_index = !spec["backoffLimitPerIndex"].is_null();
    let limit = if per_index {
        i64::from(i32::MAX)
    } else {
        BACKOFF_LIMIT
    };
    default(spec, "backoffLimit", limit);
    default(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    let has_policy = !spec["podFailurePolicy"].is_null();
    let replacement = if has_policy {
        "Failed"
    } else {
        "TerminatingOrFailed"
    };
    default(spec, "podReplacementPolicy", replacement);
    default(spec, "manualSelector", false);
    let rules = spec["podFailurePolicy"]["rules"].as_array();
    for rule in 0..rules.map_or(0, Vec::len) {
        let rule = &mut spec["podFailurePolicy"]["rules"][rule];
        let patterns = rule
            .get_mut("onPodConditions")
            .and_then(Value::as_array_mut);
        for pattern in patterns.into_iter().flatten() {
            default(pattern, "status", "True");
        }
    }
}

/// Labels the pod template so that the Job's pods differ from all others.
fn prepare_create(job: &mut Value) {
    job["status"] = json!({});
    if job["spec"]["manualSelector"] == true || !job["spec"]["template"].is_object() {
        return;
    }
    let (name, uid) = (
        metadata::name(job).to_owned(),
        metadata::uid(job).to_owned(),
    );
    let template = &mut job["spec"]["template"];
    if !template["metadata"].is_object() {
        template["metadata"] = json!({});
    }
    if !template["metadata"]["labels"].is_object() {
        template["metadata"]["labels"] = json!({});
    }
    for (labels, value) in [(NAME_LABELS, &name), (UID_LABELS, &uid)] {
        for label in labels {
            default(&mut template["metadata"]["labels"], label, value.as_str());
        }
    }
    let spec = &mut job["spec"];
    if !spec["selector"].is_object() {
        spec["selector"] = json!({});
    }
    if !spec["selector"]["matchLabels"].is_object() {
        spec["selector"]["matchLabels"] = json!({});
    }
    default(&mut spec["selector"]["matchLabels"], UID_LABELS[1], uid);
}

fn validate(job: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let spec = &job["spec"];
    let mut causes = validate_generated_labels(job);
    causes.extend(validate_spec(spec, &path));
    if spec["selector"].is_null() {
        causes.push(path.child("selector").required(""));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    if !policy::selector_matches(&spec["selector"], labels) {
        let path = path.child("template").child("metadata").child("labels");
        let labels = labels.as_object().cloned().unwrap_or_default();
        causes.push(path.invalid(labels, "`selector` does not match template `labels`"));
    }
    let completions = spec["completions"].as_i64();
    if let (true, Some(completions @ 1..)) = (is_indexed(spec), completions) {
        let name = metadata::name(job);
        let longest = format!("{name}-{}", completions - 1);
        if !names::label(&longest).is_empty() {
            let why = format!("will not able to create pod with invalid DNS label: {longest}");
            causes.push(Path::new("metadata").child("name").invalid(name, why));
        }
    }
    causes
}

fn is_indexed(spec: &Value) -> bool {
    spec["completionMode"] == "Indexed"
}

fn validate_generated_labels(job: &Value) -> Vec<Cause> {
    let spec = &job["spec"];
    if spec["manualSelector"] == true || spec["selector"].is_null() {
        return Vec::new();
    }
    let path = Path::new("spec")
        .child("template")
        .child("metadata")
        .child("labels");
    let labels = &spec["template"]["metadata"]["labels"];
    let (name, uid) = (metadata::name(job), metadata::uid(job));
    let mut causes = Vec::new();
    let expected = [
        (UID_LABELS[0], uid),
        (NAME_LABELS[0], name),
        (UID_LABELS[1], uid),
        (NAME_LABELS[1], name),
    ];
    for (label, value) in expected {
        let path = path.key(label);
        let why = format!("must be '{value}'");
        match labels[label].as_str() {
            None => causes.push(path.required(why)),
            Some(actual) if actual != value => causes.push(path.invalid(labels.clone(), why)),
            Some(_) => {}
        }
    }
    let expected: Value = expected
        .into_iter()
        .map(|(label, value)| (label.to_owned(), value.into()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    if !policy::selector_matches(&spec["selector"], &expected) {
        let path = Path::new("spec").child("selector");
        causes.push(path.invalid(spec["selector"].clone(), "`selector` not auto-generated"));
    }
    causes
}

/// What is wrong with the spec of a Job, its selector aside.
pub(super) fn validate_spec(spec: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        not_negative(spec, field, path, &mut causes);
    }
    let (per_index, failed_max) = (&spec["backoffLimitPerIndex"], &spec["maxFailedIndexes"]);
    if !failed_max.is_null() && per_index.is_null() {
        let path = path.child("backoffLimitPerIndex");
        causes.push(path.required("when maxFailedIndexes is specified"));
    }
    validate_managed_by(spec, path, &mut causes);
    let mode = spec["completionMode"].as_str().unwrap_or("NonIndexed");
    if !["NonIndexed", "Indexed"].contains(&mode) {
        let path = path.child("completionMode");
        causes.push(path.not_supported(mode, &["NonIndexed", "Indexed"]));
    }
    if is_indexed(spec) {
        validate_indexed(spec, path, &mut causes);
    } else if mode == "NonIndexed" {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if !spec[field].is_null() {
                let path = path.child(field);
                causes.push(path.invalid(spec[field].clone(), "requires indexed completion mode"));
            }
        }
    }
    causes.extend(policy::validate(spec, path));
    let template = path.child("template");
    causes.extend(pod::validate_template(&spec["template"], &template));
    let path = template.child("spec").child("restartPolicy");
    let has_policy = !spec["podFailurePolicy"].is_null();
    match spec["template"]["spec"]["restartPolicy"].as_str() {
        None | Some("Always") => {
            let policies = ["OnFailure", "Never"].map(quote).join(", ");
            causes.push(path.required(format!("valid values: {policies}")));
        }
        Some("OnFailure") if has_policy => {
            let why = "only \"Never\" is supported when podFailurePolicy is specified";
            causes.push(path.invalid("OnFailure", why));
        }
        Some("OnFailure" | "Never") => {}
        Some(other) => causes.push(path.not_supported(other, &["OnFailure", "Never"])),
    }
    causes
}

fn validate_managed_by(spec: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let Some(manager) = spec["managedBy"].as_str() else {
        return;
    };
    let path = path.child("managedBy");
    match manager.split_once('/') {
        Some((domain, rest)) if !rest.is_empty() => {
            let mistakes = names::subdomain(domain).into_iter();
            causes.extend(mistakes.map(|why| path.invalid(domain, why)));
        }
        _ => {
            let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            causes.push(path.invalid(manager, why));
        }
    }
    if manager.len() > MANAGED_BY_LENGTH_MAX {
        causes.push(path.too_long(MANAGED_BY_LENGTH_MAX));
    }
}

fn validate_indexed(spec: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let completions = spec["completions"].as_i64();
    if completions.is_none() {
        let path = path.child("completions");
        causes.push(path.required("when completion mode is Indexed"));
    }
    if let Some(parallelism) = spec["parallelism"].as_i64()
        && parallelism > INDEXED_PARALLELISM_MAX
    {
        let why = format!(
            "must be less than or equal to {INDEXED_PARALLELISM_MAX} when completion mode is \
             Indexed"
        );
        causes.push(path.child("parallelism").invalid(parallelism, why));
    }
    let failed_max = spec["maxFailedIndexes"].as_i64();
    if let (Some(completions), Some(failed_max)) = (completions, failed_max)
        && failed_max > completions
    {
        let why = "must be less than or equal to completions";
        causes.push(path.child("maxFailedIndexes").invalid(failed_max, why));
    }
}

fn validate_update(job: &Value, old: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let (spec, before) = (&job["spec"], &old["spec"]);
    let mut causes = validate_completions(spec, before, &path.child("completions"));
    immutable(spec, before, "selector", &path, &mut causes);
    causes.extend(validate_template_update(job, old));
    for field in [
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        immutable(spec, before, field, &path, &mut causes);
    }
    causes
}

fn immutable(value: &Value, old: &Value, field: &str, path: &Path, causes: &mut Vec<Cause>) {
    if value[field] != old[field] {
        let path = path.child(field);
        causes.push(path.invalid(value[field].clone(), "field is immutable"));
    }
}

/// Only an Indexed Job's completions change, and then together with its parallelism.
fn validate_completions(spec: &Value, old: &Value, path: &Path) -> Vec<Cause> {
    let completions = &spec["completions"];
    if *completions == old["completions"] {
        return Vec::new();
    }
    if !is_indexed(spec) {
        return vec![path.invalid(completions.clone(), "field is immutable")];
    }
    if completions.is_null() || *completions == spec["parallelism"] {
        return Vec::new();
    }
    let why = "can only be modified in tandem with spec.parallelism";
    vec![path.invalid(completions.clone(), why)]
}

/// While a Job is suspended and has no pods, its template's labels, annotations, scheduling and
/// resources may change; otherwise nothing of its template may.
fn validate_template_update(job: &Value, old: &Value) -> Vec<Cause> {
    let path = Path::new("spec").child("template");
    let (template, before) = (&job["spec"]["template"], &old["spec"]["template"]);
    let suspended = old["spec"]["suspend"] == true;
    let never_started = old["status"]["startTime"].is_null();
    let paused = job_status::has_condition(old, "Suspended");
    let idle = old["status"]["active"].as_i64().unwrap_or_default() == 0;
    if !(suspended && (never_started || paused) && idle) {
        if template == before {
            return Vec::new();
        }
        return vec![path.invalid(template.clone(), "field is immutable")];
    }
    let comparable = |template: &Value| {
        let mut spec = template["spec"].clone();
        if let Some(fields) = spec.as_object_mut() {
            for field in ["nodeSelector", "tolerations", "schedulingGates"] {
                fields.shift_remove(field);
            }
            let affinity = fields.get_mut("affinity").and_then(Value::as_object_mut);
            if let Some(affinity) = affinity {
                affinity.shift_remove("nodeAffinity");
                if affinity.is_empty() {
                    fields.shift_remove("affinity");
                }
            }
        }
        for field in ["containers", "initContainers"] {
            for container in spec[field].as_array_mut().into_iter().flatten() {
                container["resources"] = Value::Null;
            }
        }
        spec
    };
    if comparable(template) == comparable(before) {
        return Vec::new();
    }
    let path = path.child("spec");
    vec![path.invalid(template["spec"].clone(), "field is immutable")]
}
