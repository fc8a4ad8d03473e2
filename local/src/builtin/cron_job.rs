//! The rules of CronJobs.

use serde_json::{Value, json};

use super::check::not_negative;
use super::job;
use super::pod_defaults::default;
use crate::definition::{NO_RULES, Rules};
use crate::field::Path;
use crate::metadata;
use crate::schedule::{Schedule, time_zone};
use crate::status::Cause;

/// A Job's name adds a time of 11 characters to its CronJob's.
const NAME_LENGTH_MAX: usize = 52;
const POLICIES: [&str; 3] = ["Allow", "Forbid", "Replace"];

pub(super) const RULES: Rules = Rules {
    default: default_spec,
    prepare_create: |cron_job| cron_job["status"] = json!({}),
    validate,
    validate_update: |_, _| Vec::new(),
    ..NO_RULES
};

fn default_spec(cron_job: &mut Value) {
    let Some(spec) = cron_job.get_mut("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    default(spec, "concurrencyPolicy", "Allow");
    default(spec, "suspend", false);
    default(spec, "successfulJobsHistoryLimit", 3);
    default(spec, "failedJobsHistoryLimit", 1);
    if let Some(template) = spec.get_mut("jobTemplate") {
        job::default_template(template);
    }
}

fn validate(cron_job: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let spec = &cron_job["spec"];
    let mut causes = Vec::new();
    let text = spec["schedule"].as_str().unwrap_or_default();
    if text.is_empty() {
        causes.push(path.child("schedule").required(""));
    } else if text.contains("TZ") {
        let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        causes.push(path.child("schedule").invalid(text, why));
    } else if let Err(why) = Schedule::parse(text) {
        causes.push(path.child("schedule").invalid(text, why));
    }
    not_negative(spec, "startingDeadlineSeconds", &path, &mut causes);
    if let Some(zone) = spec["timeZone"].as_str() {
        causes.extend(validate_zone(zone, &path.child("timeZone")));
    }
    let policy = spec["concurrencyPolicy"].as_str().unwrap_or_default();
    if !POLICIES.contains(&policy) {
        let path = path.child("concurrencyPolicy");
        causes.push(path.not_supported(policy, &POLICIES));
    }
    let template = path.child("jobTemplate").child("spec");
    let job = &spec["jobTemplate"]["spec"];
    causes.extend(job::validate_spec(job, &template));
    if !job["selector"].is_null() {
        let path = template.child("selector");
        causes.push(path.invalid(job["selector"].clone(), "`selector` will be auto-generated"));
    }
    if job["manualSelector"] == true {
        let path = template.child("manualSelector");
        causes.push(path.not_supported(true, &["nil", "false"]));
    }
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        not_negative(spec, field, &path, &mut causes);
    }
    let name = metadata::name(cron_job);
    if name.len() > NAME_LENGTH_MAX {
        let path = Path::new("metadata").child("name");
        let why = format!("must be no more than {NAME_LENGTH_MAX} characters");
        causes.push(path.invalid(name, why));
    }
    causes
}

fn validate_zone(zone: &str, path: &Path) -> Option<Cause> {
    if zone.is_empty() {
        return Some(path.invalid(zone, "timeZone must be nil or non-empty string"));
    }
    if zone.eq_ignore_ascii_case("Local") {
        let why = "timeZone must be an explicit time zone as defined in \
                   https://www.iana.org/time-zones";
        return Some(path.invalid(zone, why));
    }
    match time_zone(zone) {
        Some(_) => None,
        None => Some(path.invalid(zone, format!("unknown time zone {zone}"))),
    }
}
