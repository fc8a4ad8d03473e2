//! The rules of a Job's policies: for failed pods, for success, and for replacing pods.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::check::{container_names, not_negative};
use crate::field::{Path, quote};
use crate::names;
use crate::status::Cause;

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What is wrong with the policies of a Job.
pub(super) fn validate(spec: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if spec["podFailurePolicy"].is_object() {
        let path = path.child("podFailurePolicy");
        validate_failure_policy(spec, &path, &mut causes);
    }
    if spec["successPolicy"].is_object() {
        let path = path.child("successPolicy");
        if spec["completionMode"] == "Indexed" {
            validate_success_policy(spec, &path, &mut causes);
        } else {
            let why = "requires indexed completion mode";
            causes.push(path.invalid(spec["successPolicy"].clone(), why));
        }
    }
    if let Some(replacement) = spec["podReplacementPolicy"].as_str() {
        let path = path.child("podReplacementPolicy");
        let policies: &[&str] = if spec["podFailurePolicy"].is_null() {
            &["Failed", "TerminatingOrFailed"]
        } else {
            &["Failed"]
        };
        if !policies.contains(&replacement) {
            causes.push(path.not_supported(replacement, policies));
        }
    }
    causes
}

fn validate_failure_policy(spec: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let path = path.child("rules");
    let rules = items(&spec["podFailurePolicy"]["rules"]);
    if rules.len() > RULES_MAX {
        causes.push(path.too_many(rules.len(), RULES_MAX));
    }
    for (index, rule) in rules.iter().enumerate() {
        validate_failure_rule(spec, rule, &path.index(index), causes);
    }
}

fn validate_failure_rule(spec: &Value, rule: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let action = path.child("action");
    match rule["action"].as_str().unwrap_or_default() {
        "" => causes.push(action.required(valid_values(&ACTIONS))),
        "FailIndex" if spec["backoffLimitPerIndex"].is_null() => {
            let why = "requires the backoffLimitPerIndex to be set";
            causes.push(action.invalid("FailIndex", why));
        }
        other if !ACTIONS.contains(&other) => causes.push(action.not_supported(other, &ACTIONS)),
        _ => {}
    }
    let conditions = items(&rule["onPodConditions"]);
    match (rule["onExitCodes"].is_object(), conditions.is_empty()) {
        (true, false) => causes
            .push(path.omitted("specifying both OnExitCodes and OnPodConditions is not supported")),
        (false, true) => causes
            .push(path.omitted("specifying one of OnExitCodes and OnPodConditions is required")),
        _ => {}
    }
    if rule["onExitCodes"].is_object() {
        let names = container_names(spec);
        let path = path.child("onExitCodes");
        validate_exit_codes(&rule["onExitCodes"], &names, &path, causes);
    }
    for (index, pattern) in conditions.iter().enumerate() {
        let path = path.child("onPodConditions").index(index);
        let name = pattern["type"].as_str().unwrap_or_default();
        let mistakes = names::qualified_name(name).into_iter();
        causes.extend(mistakes.map(|why| path.child("type").invalid(name, why)));
        let status = pattern["status"].as_str().unwrap_or_default();
        let statuses = ["False", "True", "Unknown"];
        if !statuses.contains(&status) {
            causes.push(path.child("status").not_supported(status, &statuses));
        }
    }
}

fn valid_values(values: &[&str]) -> String {
    let quoted: Vec<_> = values.iter().map(|value| quote(value)).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

fn validate_exit_codes(
    rule: &Value,
    containers: &BTreeSet<&str>,
    path: &Path,
    causes: &mut Vec<Cause>,
) {
    let operators = ["In", "NotIn"];
    let operator = rule["operator"].as_str().unwrap_or_default();
    if operator.is_empty() {
        causes.push(path.child("operator").required(valid_values(&operators)));
    } else if !operators.contains(&operator) {
        causes.push(path.child("operator").not_supported(operator, &operators));
    }
    if let Some(name) = rule["containerName"].as_str()
        && !containers.contains(name)
    {
        let why = "must be one of the container or initContainer names in the pod template";
        causes.push(path.child("containerName").invalid(name, why));
    }
    let path = path.child("values");
    let values: Vec<i64> = items(&rule["values"])
        .iter()
        .filter_map(Value::as_i64)
        .collect();
    if values.is_empty() {
        causes.push(path.invalid(json!(values), "at least one value is required"));
    } else if values.len() > EXIT_CODES_MAX {
        causes.push(path.too_many(values.len(), EXIT_CODES_MAX));
    }
    let mut seen = BTreeSet::new();
    for (index, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            let why = "must not be 0 for the In operator";
            causes.push(path.index(index).invalid(*value, why));
        }
        if !seen.insert(*value) {
            causes.push(path.index(index).duplicate(*value));
        }
    }
    if !values.is_sorted() {
        causes.push(path.invalid(json!(values), "must be ordered"));
    }
}

fn validate_success_policy(spec: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let path = path.child("rules");
    let rules = items(&spec["successPolicy"]["rules"]);
    if rules.is_empty() {
        let why = "at least one rules must be specified when the successPolicy is specified";
        causes.push(path.required(why));
    }
    if rules.len() > RULES_MAX {
        causes.push(path.too_many(rules.len(), RULES_MAX));
    }
    let completions = spec["completions"].as_i64().unwrap_or_default();
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        if rule["succeededCount"].is_null() && rule["succeededIndexes"].is_null() {
            let why = "at least one of succeededCount or succeededIndexes must be specified";
            causes.push(path.required(why));
        }
        not_negative(rule, "succeededCount", &path, causes);
        if let Some(count) = rule["succeededCount"].as_i64()
            && count > completions
        {
            let why = format!(
                "must be less than or equal to {completions} (the number of specified completions)"
            );
            causes.push(path.child("succeededCount").invalid(count, why));
        }
    }
}

/// Whether a label selector selects an object with these labels.
pub(super) fn selector_matches(selector: &Value, labels: &Value) -> bool {
    let label = |key: &str| labels[key].as_str();
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut equal = equal.map(|(key, value)| label(key) == value.as_str());
    let matches = |expression: &Value| {
        let label = label(expression["key"].as_str().unwrap_or_default());
        let listed = label.is_some_and(|label| {
            items(&expression["values"])
                .iter()
                .any(|value| value == label)
        });
        match expression["operator"].as_str() {
            Some("In") => listed,
            Some("NotIn") => !listed,
            Some("Exists") => label.is_some(),
            Some("DoesNotExist") => label.is_none(),
            _ => false,
        }
    };
    equal.all(|equal| equal) && items(&selector["matchExpressions"]).iter().all(matches)
}
