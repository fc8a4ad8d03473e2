//! What a Job's `podFailurePolicy` says about one failed pod.

use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

/// What happens because a pod failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FailureAction {
    /// It counts towards the back-off limit: the rule `Count`, and when no rule matches.
    Count,
    /// It does not count.
    Ignore,
    /// Its completion index fails and is not tried again.
    FailIndex,
    /// The whole Job fails, for the reason given.
    FailJob(String),
}

/// Applies the first rule that matches.
pub(super) fn action_for(policy: Option<&PodFailurePolicy>, pod: &Pod) -> FailureAction {
    let rules = policy
        .map(|policy| policy.rules.as_slice())
        .unwrap_or_default();
    let matched = rules
        .iter()
        .enumerate()
        .find_map(|(index, rule)| Some((index, rule, match_rule(rule, pod)?)));
    let Some((index, rule, cause)) = matched else {
        return FailureAction::Count;
    };
    match rule.action.as_str() {
        "Ignore" => FailureAction::Ignore,
        "FailIndex" => FailureAction::FailIndex,
        "FailJob" => {
            FailureAction::FailJob(format!("{cause} matching FailJob rule at index {index}"))
        }
        _ => FailureAction::Count,
    }
}

/// Why `rule` matches, or `None`.
fn match_rule(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    // A word from the future: the API asks to skip the rule.
    if !["Ignore", "FailIndex", "FailJob", "Count"].contains(&rule.action.as_str()) {
        return None;
    }
    let status = pod.status.as_ref()?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    if let Some(requirement) = &rule.on_exit_codes {
        let (container, code) = failed_containers(status)
            .find(|(container, code)| exit_code_matches(requirement, container, *code))?;
        return Some(format!(
            "Container {} for pod {namespace}/{name} failed with exit code {code}",
            container.name
        ));
    }
    let patterns = rule.on_pod_conditions.as_deref()?;
    let condition = status.conditions.iter().flatten().find(|condition| {
        patterns.iter().any(|pattern| {
            pattern.type_ == condition.type_
                && pattern.status.as_deref().unwrap_or("True") == condition.status
        })
    })?;
    Some(format!(
        "Pod {namespace}/{name} has condition {}",
        condition.type_
    ))
}

/// The containers that ended with an exit code other than zero, and that code; init containers last.
fn failed_containers(status: &PodStatus) -> impl Iterator<Item = (&ContainerStatus, i32)> {
    let containers = status.container_statuses.iter().flatten();
    containers
        .chain(status.init_container_statuses.iter().flatten())
        .filter_map(|container| {
            let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
            (code != 0).then_some((container, code))
        })
}

fn exit_code_matches(
    requirement: &PodFailurePolicyOnExitCodesRequirement,
    container: &ContainerStatus,
    code: i32,
) -> bool {
    let container_matches = requirement
        .container_name
        .as_ref()
        .is_none_or(|name| *name == container.name);
    let listed = requirement.values.contains(&code);
    container_matches
        && match requirement.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn failed(exit_code: i32) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n"},
            "status": {
                "phase": "Failed",
                "conditions": [{"type": "DisruptionTarget", "status": "True"}],
                "initContainerStatuses": [
                    {"name": "prepare", "image": "", "imageID": "", "ready": false,
                     "restartCount": 0, "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [
                    {"name": "main", "image": "", "imageID": "", "ready": false,
                     "restartCount": 0, "state": {"terminated": {"exitCode": exit_code}}}],
            },
        }))
        .unwrap()
    }

    fn policy(rules: serde_json::Value) -> PodFailurePolicy {
        serde_json::from_value(json!({"rules": rules})).unwrap()
    }

    #[test]
    fn the_first_matching_rule_decides() {
        let on_code = |action: &str, operator: &str, values: &[i32]| json!({"action": action, "onExitCodes": {"operator": operator, "values": values}});
        let fail_job = "Container main for pod n/p failed with exit code 42 \
                        matching FailJob rule at index 1";
        let cases = [
            (json!([]), FailureAction::Count),
            (
                json!([on_code("Ignore", "In", &[42])]),
                FailureAction::Ignore,
            ),
            (
                json!([on_code("Ignore", "NotIn", &[42])]),
                FailureAction::Count,
            ),
            (
                json!([on_code("FailIndex", "NotIn", &[1])]),
                FailureAction::FailIndex,
            ),
            (
                json!([
                    on_code("Ignore", "In", &[1]),
                    on_code("FailJob", "In", &[42])
                ]),
                FailureAction::FailJob(fail_job.into()),
            ),
            (
                json!([
                    on_code("Count", "In", &[42]),
                    on_code("FailJob", "In", &[42])
                ]),
                FailureAction::Count,
            ),
            (
                json!([on_code("Someday", "In", &[42])]),
                FailureAction::Count,
            ),
            (
                json!([{"action": "FailJob", "onExitCodes":
                    {"containerName": "prepare", "operator": "NotIn", "values": [7]}}]),
                FailureAction::Count,
            ),
            (
                json!([{"action": "Ignore", "onPodConditions":
                    [{"type": "DisruptionTarget", "status": "True"}]}]),
                FailureAction::Ignore,
            ),
        ];
        for (rules, expected) in cases {
            assert_eq!(
                action_for(Some(&policy(rules.clone())), &failed(42)),
                expected,
                "{rules}"
            );
        }
    }

    #[test]
    fn without_a_policy_a_failure_counts() {
        assert_eq!(action_for(None, &failed(1)), FailureAction::Count);
    }
}
