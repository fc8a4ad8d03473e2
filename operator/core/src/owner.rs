//! The Run that an object belongs to.
//!
//! A label names the Run, and alone it gives the Run no control. An object belongs to the Run that owns
//! it, by uid; or, as kubectl can't know a uid, to the Run that carries the same nonce, if it was not
//! created before the Run, and nothing else owns or controls it.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use konductor_api::{API_VERSION, ObjectName, Run, annotation, label, run_owner};
use serde_json::json;

use crate::facts::{Facts, Freshness};
use crate::kind::Kind;
use crate::{HeldBack, Needs, Write};

/// The Run that an object belongs to, if it exists.
pub(crate) fn run_of<'a>(
    metadata: &ObjectMeta,
    facts: &'a Facts,
    freshness: Freshness,
) -> Result<Option<&'a Run>, Needs> {
    let Some(name) = run_name(metadata) else {
        return Ok(None);
    };
    let run = facts.run(&name, freshness)?.map(AsRef::as_ref);
    Ok(run.filter(|run| belongs(metadata, run)))
}

/// Why an object belongs to no Run although its label names one.
pub(crate) fn no_run(
    metadata: &ObjectMeta,
    facts: &Facts,
    freshness: Freshness,
) -> Result<HeldBack, Needs> {
    let run = match run_name(metadata) {
        Some(name) => facts.run(&name, freshness)?,
        None => None,
    };
    Ok(match run {
        Some(_) => HeldBack::Foreign,
        None => HeldBack::NoRun,
    })
}

/// The name of the Run that an object's label names.
pub(crate) fn run_name(metadata: &ObjectMeta) -> Option<ObjectName> {
    let name = metadata.labels.as_ref()?.get(label::RUN)?;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    Some(ObjectName::new(namespace, name))
}

/// The Runs that own an object.
pub(crate) fn owning_runs(metadata: &ObjectMeta) -> impl Iterator<Item = &OwnerReference> {
    let owners = metadata.owner_references.iter().flatten();
    owners.filter(|owner| owner.kind == "Run" && owner.api_version == API_VERSION)
}

/// The names of the Runs that an object names: those that own it, and that of its label, which somebody may have removed or
/// changed. Whether it belongs to one of them, [`belongs`] says.
pub fn named_runs(metadata: &ObjectMeta) -> BTreeSet<&str> {
    let owners = owning_runs(metadata).map(|owner| owner.name.as_str());
    let labelled = metadata.labels.as_ref().and_then(|all| all.get(label::RUN));
    owners.chain(labelled.map(String::as_str)).collect()
}

/// Whether an object belongs to a Run: a label alone does not make it so.
pub fn belongs(metadata: &ObjectMeta, run: &Run) -> bool {
    let mut owners = owning_runs(metadata).peekable();
    if owners.peek().is_some() {
        return owners.any(|owner| Some(&owner.uid) == run.metadata.uid.as_ref());
    }
    let nonce = |metadata: &ObjectMeta| {
        let annotations = metadata.annotations.as_ref()?;
        annotations.get(annotation::NONCE).cloned()
    };
    let named = metadata.labels.as_ref().and_then(|all| all.get(label::RUN));
    let mut controllers = metadata.owner_references.iter().flatten();
    named == run.metadata.name.as_ref()
        && metadata.namespace == run.metadata.namespace
        && nonce(metadata).is_some_and(|nonce| Some(nonce) == nonce_of(run))
        && metadata.creation_timestamp >= run.metadata.creation_timestamp
        && metadata.creation_timestamp.is_some()
        && !controllers.any(|owner| owner.controller == Some(true))
}

fn nonce_of(run: &Run) -> Option<String> {
    let annotations = run.metadata.annotations.as_ref()?;
    annotations.get(annotation::NONCE).cloned()
}

/// The write that makes a Run own an object that belongs to it, so that the object is deleted with it;
/// `None` if it does. Nothing depends on it: an admission plugin may refuse it.
pub(crate) fn adoption(kind: Kind, metadata: &ObjectMeta, run: &Run) -> Option<Write> {
    if owning_runs(metadata).next().is_some()
        || metadata.deletion_timestamp.is_some()
        || !belongs(metadata, run)
    {
        return None;
    }
    let mut owners = metadata.owner_references.clone().unwrap_or_default();
    owners.push(run_owner(run));
    Some(give(kind, metadata, &owners))
}

/// The write that gives an object these owners.
pub(crate) fn give(kind: Kind, metadata: &ObjectMeta, owners: &[OwnerReference]) -> Write {
    Write::Adopt {
        kind,
        name: ObjectName::of(metadata),
        body: json!({"metadata": {
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
            "ownerReferences": owners,
        }}),
    }
}

/// The write that makes an object's Run own it, if it has a Run and that does not own it yet.
pub(crate) fn adoption_by_its_run(
    kind: Kind,
    metadata: &ObjectMeta,
    facts: &Facts,
) -> Result<Option<Write>, Needs> {
    if owning_runs(metadata).next().is_some() {
        return Ok(None);
    }
    let run = run_of(metadata, facts, Freshness::Cached)?;
    Ok(run.and_then(|run| adoption(kind, metadata, run)))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn run() -> Run {
        serde_json::from_value(json!({
            "apiVersion": "konductor.io/v1", "kind": "Run",
            "metadata": {
                "name": "r", "namespace": "ns", "uid": "uid-r",
                "creationTimestamp": "2026-03-01T11:00:00Z",
                "annotations": {"konductor.io/nonce": "n"},
            },
            "spec": {"pipeline": "p", "jobs": 1},
        }))
        .expect("a Run")
    }

    /// What an object must be like to belong to a Run. Each line but the first two differs from one of
    /// these in one thing.
    #[test]
    fn label_alone_gives_a_run_no_control() {
        let owner = |kind: &str, api: &str, uid: &str, controller: bool| {
            json!([{"kind": kind, "apiVersion": api, "name": "r", "uid": uid,
                "controller": controller}])
        };
        let api = "konductor.io/v1";
        let table = [
            ("r", "n", "11:00:00", json!([]), true),
            ("r", "", "10:00:00", owner("Run", api, "uid-r", false), true),
            ("r", "", "11:00:01", json!([]), false),
            ("r", "other", "11:00:01", json!([]), false),
            ("other", "n", "11:00:01", json!([]), false),
            ("r", "n", "10:59:59", json!([]), false),
            (
                "r",
                "n",
                "11:00:01",
                owner("Run", api, "uid-other", false),
                false,
            ),
            (
                "r",
                "",
                "11:00:01",
                owner("Run", "else.io/v1", "uid-r", false),
                false,
            ),
            (
                "r",
                "n",
                "11:00:01",
                owner("CronJob", "batch/v1", "c", true),
                false,
            ),
            (
                "r",
                "n",
                "11:00:01",
                owner("Team", "else.io/v1", "t", false),
                true,
            ),
        ];
        for (label, nonce, time, owners, expected) in table {
            let metadata: Value = json!({
                "name": "a", "namespace": "ns", "uid": "uid-a",
                "labels": {"konductor.io/run": label},
                "annotations": {"konductor.io/nonce": nonce},
                "creationTimestamp": format!("2026-03-01T{time}Z"),
                "ownerReferences": owners,
            });
            let metadata = serde_json::from_value(metadata.clone()).expect("metadata");
            assert_eq!(belongs(&metadata, &run()), expected, "{metadata:?}");
        }
    }

    #[test]
    fn an_object_names_the_runs_that_own_it_and_that_of_its_label() {
        let owner = |kind: &str, name: &str| json!({"kind": kind, "apiVersion": API_VERSION, "name": name, "uid": "u"});
        let table = [
            (json!({}), json!([]), vec![]),
            (json!({"konductor.io/run": "r"}), json!([]), vec!["r"]),
            (
                json!({"konductor.io/run": "r"}),
                json!([owner("Run", "r")]),
                vec!["r"],
            ),
            (json!({}), json!([owner("Run", "r")]), vec!["r"]),
            (
                json!({"konductor.io/run": "s"}),
                json!([owner("Run", "r")]),
                vec!["r", "s"],
            ),
            (json!({}), json!([owner("Gate", "r")]), vec![]),
        ];
        for (labels, owners, expected) in table {
            let metadata: ObjectMeta =
                serde_json::from_value(json!({"labels": labels, "ownerReferences": owners}))
                    .expect("metadata");
            assert_eq!(
                Vec::from_iter(named_runs(&metadata)),
                expected,
                "{metadata:?}"
            );
        }
    }

    #[test]
    fn run_without_a_nonce_adopts_nothing() {
        let mut run = run();
        run.metadata.annotations = None;
        let metadata = serde_json::from_value(json!({
            "name": "a", "namespace": "ns", "labels": {"konductor.io/run": "r"},
            "creationTimestamp": "2026-03-01T12:00:00Z",
        }))
        .expect("metadata");
        assert!(!belongs(&metadata, &run));
    }
}
