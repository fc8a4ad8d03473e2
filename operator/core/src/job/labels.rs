//! The labels of a Job that is part of a Run: somebody has removed or changed them.
//!
//! A Run lists its Jobs by their labels, so one without them would count as deleted, and run beside its Run.

use konductor_api::{Participant, Role, key_of, label};
use serde_json::json;

use super::NoStatus;
use crate::facts::{Facts, Freshness};
use crate::kind::Kind;
use crate::run::recorded;
use crate::{Decision, Needs, Write, owner};

/// Gives a Job the labels back by which its Run finds it; `None` if it has them. Only a Job that the Run has recorded gets
/// them: a Run may own others that are no part of it.
pub(super) fn restore(
    job: &Participant,
    facts: &Facts,
) -> Result<Option<Decision<NoStatus>>, Needs> {
    let Some(owner) = owner::owning_runs(&job.metadata).next() else {
        return Ok(None);
    };
    if job.run() == Some(owner.name.as_str()) {
        return Ok(None);
    }
    let run = facts.run(&job.beside(&owner.name), Freshness::Cached)?;
    let Some(run) = run.filter(|run| run.metadata.uid.as_ref() == Some(&owner.uid)) else {
        return Ok(None);
    };
    let Some(entry) = recorded(run, &job.key.name).filter(|entry| entry.is_of(job)) else {
        return Ok(None);
    };
    let role = match entry.finally {
        true => Role::Finally,
        false => Role::Main,
    };
    let mut labels = json!({label::RUN: owner.name, label::ROLE: role.word()});
    let mut stages = run.status.iter().flat_map(|status| &status.stages);
    if let Some(stage) = stages.find(|stage| key_of(stage.as_str()) == entry.stage) {
        labels[label::STAGE] = stage.as_str().into();
    }
    let write = Write::Patch {
        kind: Kind::Job,
        name: job.place(),
        status: false,
        body: json!({"metadata": {
            "uid": job.metadata.uid,
            "resourceVersion": job.metadata.resource_version,
            "labels": labels,
        }}),
    };
    Ok(Some(Decision {
        before: vec![write],
        ..Decision::default()
    }))
}
