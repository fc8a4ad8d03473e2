//! Values that a Job hands on: read from its termination message, stored on it as an annotation.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::annotation;
use konductor_api::limits::OUTPUT_BYTES_MAX;

/// Reads the `name=value` lines of a termination message. Only declared names count, the last one
/// of a name wins, and everything else is left out.
pub fn parse_outputs(message: &str, declared: &str) -> BTreeMap<String, String> {
    let names: Vec<&str> = declared.split(',').map(str::trim).collect();
    let mut end = message.len().min(OUTPUT_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end]
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim_end_matches('\r')))
        .filter(|(name, _)| names.contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The outputs that are stored on a Job; empty where none are, or where the annotation was tampered
/// with.
pub fn stored_outputs(job: &Job) -> BTreeMap<String, String> {
    let text = job
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(annotation::OUTPUTS));
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// What the succeeded pod's container `main` (or its only container) left as its last words.
pub(crate) fn termination_message<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Option<&'a str> {
    pods.into_iter().find_map(|pod| {
        let status = pod.status.as_ref()?;
        if status.phase.as_deref() != Some("Succeeded") {
            return None;
        }
        let containers = status.container_statuses.as_ref()?;
        let main = containers.iter().find(|container| container.name == "main");
        let terminated = main
            .or(containers.first())?
            .state
            .as_ref()?
            .terminated
            .as_ref()?;
        Some(terminated.message.as_deref().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_declared_names_and_the_last_value_wins() {
        let message = "rows=1\nnoise\nsecret=x\nrows=2\r\nurl=a=b\nempty=\n";
        let read = parse_outputs(message, "rows, url,empty");
        let expected =
            [("empty", ""), ("rows", "2"), ("url", "a=b")].map(|(k, v)| (k.into(), v.into()));
        assert_eq!(read, BTreeMap::from(expected));
    }

    #[test]
    fn outputs_beyond_the_limit_are_cut_at_a_character() {
        let message = format!("a={}", "é".repeat(4096));
        assert_eq!(parse_outputs(&message, "a")["a"].len(), 4094);
    }
}
