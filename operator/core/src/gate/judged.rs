//! The conditions of a Gate, one by one: met, out, or waited for.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::condition::reason;
use konductor_api::{
    Arrivals, ConditionKind, ConditionState, ConditionStatus, Gate, GateCondition, Run, Verdict,
    annotation,
};

use super::deadline;
use crate::facts::{Facts, Freshness, ObjectName};
use crate::gone::{self, Known};
use crate::outcome::{barrier_end, gate_end, is_settled, job_end, run_end, verdict};
use crate::run::Ended;
use crate::words::{self, Named};
use crate::{Fact, Needs, owner};

/// A condition's verdict, and what it waits for or why it is out.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) message: String,
    /// Whether the Run's record tells it: the Job itself is not there.
    from_record: bool,
}

/// What a condition is judged by.
fn sources(gate: &Gate, condition: &GateCondition, freshness: Freshness) -> Vec<(Fact, Freshness)> {
    let mut sources = vec![(fact(gate, condition), freshness)];
    if condition.kind == ConditionKind::Job && condition.selector.is_none() {
        let job = job_place(gate, condition);
        sources.extend(gone::facts(&gate.metadata, &job, Freshness::Cached));
    }
    sources
}

pub(super) fn judge_all(gate: &Gate, facts: &Facts, now: Timestamp) -> Result<Vec<Judged>, Needs> {
    let latched = gate
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.condition_statuses);
    let conditions = gate.spec.conditions.iter().enumerate();
    let pending = conditions.clone().filter(|(index, condition)| {
        !is_pipeline(condition) && latched_verdict(latched, *index).is_none()
    });
    let cached = pending
        .clone()
        .flat_map(|(_, condition)| sources(gate, condition, Freshness::Cached));
    facts.require(cached)?;
    let expired = deadline(gate).is_some_and(|deadline| deadline <= now);
    // Rule B: whatever the cache says is decided is read again, all of it in one go; and at the
    // timeout everything is, because then the absence of an end decides.
    let mut live = Vec::new();
    for (_, condition) in pending {
        let judged = judge(gate, condition, facts, Freshness::Cached)?;
        if expired || judged.verdict != Verdict::Pending {
            live.push((fact(gate, condition), Freshness::Live));
            if judged.from_record {
                let job = job_place(gate, condition);
                live.extend(gone::facts(&gate.metadata, &job, Freshness::Live));
            }
        }
    }
    facts.require(live)?;
    conditions
        .map(|(index, condition)| match latched_verdict(latched, index) {
            Some(known) => Ok(Judged {
                verdict: known.verdict,
                message: known.message.clone(),
                from_record: false,
            }),
            None if is_pipeline(condition) => Ok(Judged {
                verdict: Verdict::Pending,
                message: format!("waits for {}", target(condition)),
                from_record: false,
            }),
            None => judge(gate, condition, facts, Freshness::Cached),
        })
        .collect()
}

fn latched_verdict(latched: &[ConditionStatus], index: usize) -> Option<&ConditionStatus> {
    latched
        .get(index)
        .filter(|known| known.verdict != Verdict::Pending)
}

/// A run of a pipeline is judged when all else holds, and is never latched before.
pub(super) fn is_pipeline(condition: &GateCondition) -> bool {
    condition.pipeline.is_some()
}

fn place(gate: &Gate, condition: &GateCondition, name: &str) -> ObjectName {
    let own = gate.metadata.namespace.as_deref().unwrap_or_default();
    ObjectName::new(condition.namespace.as_deref().unwrap_or(own), name)
}

/// The place of the object that a condition names.
pub(super) fn job_place(gate: &Gate, condition: &GateCondition) -> ObjectName {
    place(
        gate,
        condition,
        condition.name.as_deref().unwrap_or_default(),
    )
}

pub(super) fn fact(gate: &Gate, condition: &GateCondition) -> Fact {
    let name = job_place(gate, condition);
    if let Some(selector) = &condition.selector {
        let labels = selector
            .match_labels
            .iter()
            .map(|(k, v)| (k.clone(), v.0.clone()));
        return Fact::JobsLabelled {
            namespace: name.namespace,
            labels: labels.collect(),
        };
    }
    if let Some(pipeline) = &condition.pipeline {
        return Fact::RunsOf(ObjectName::new(name.namespace, pipeline));
    }
    match condition.kind {
        ConditionKind::Job => Fact::Job(name),
        ConditionKind::Barrier => Fact::Barrier(name),
        ConditionKind::Gate => Fact::Gate(name),
        ConditionKind::Run => Fact::Run(name),
    }
}

/// What a condition is about, for people.
pub(super) fn target(condition: &GateCondition) -> String {
    let namespace = condition
        .namespace
        .as_ref()
        .map(|ns| format!("{ns}/"))
        .unwrap_or_default();
    if let Some(selector) = &condition.selector {
        let labels = selector
            .match_labels
            .iter()
            .map(|(k, v)| format!("{k}={}", v.0));
        let labels = labels.collect::<Vec<_>>().join(",");
        return format!(
            "{} jobs with {namespace}{labels}",
            condition.count.unwrap_or(0)
        );
    }
    if let Some(pipeline) = &condition.pipeline {
        return format!("a run of pipeline {namespace}{pipeline}");
    }
    format!(
        "{}/{namespace}{}",
        condition.kind.word(),
        condition.name.as_deref().unwrap_or("?")
    )
}

fn judge(
    gate: &Gate,
    condition: &GateCondition,
    facts: &Facts,
    freshness: Freshness,
) -> Result<Judged, Needs> {
    if condition.selector.is_some() {
        return judge_selector(gate, condition, facts, freshness);
    }
    let fact = fact(gate, condition);
    if let Some(judged) = not_verified(gate, condition, facts, freshness)? {
        return Ok(judged);
    }
    let asker = &gate.metadata;
    let object = || Named::Object(target(condition));
    let judged = match condition.kind {
        ConditionKind::Job => return judge_job(gate, condition, facts, freshness),
        ConditionKind::Barrier => facts
            .barriers(fact, freshness)?
            .first()
            .filter(|barrier| permits(gate, condition, &barrier.metadata))
            .map(|barrier| {
                let named = Named::barrier(asker, barrier).unwrap_or_else(object);
                let end = barrier_end(barrier).map(|end| verdict(condition.state, end));
                judged_so(condition, &named, end, &words::how_barrier(barrier))
            }),
        ConditionKind::Gate => facts
            .gates(fact, freshness)?
            .first()
            .filter(|other| permits(gate, condition, &other.metadata))
            .map(|other| {
                let end = gate_end(other).map(|end| verdict(condition.state, end));
                let mut judged = judged_so(condition, &object(), end, words::how_gate(other));
                if let Some(part) = words::part(asker, other)
                    && judged.verdict != Verdict::Met
                {
                    judged.message = part.to_owned();
                }
                judged
            }),
        ConditionKind::Run => facts
            .runs(fact, freshness)?
            .first()
            .filter(|run| permits(gate, condition, &run.metadata))
            .map(|run| {
                let is_own = owner::run_name(asker) == Some(ObjectName::of(&run.metadata));
                let named = match is_own && condition.state == ConditionState::Settled {
                    true => Named::MainStages,
                    false => object(),
                };
                let how = run_end(run).map(|end| words::how(Ended { end, stop: None }));
                let verdict = judge_run(run, condition.state);
                judged_so(condition, &named, verdict, how.unwrap_or_default())
            }),
    };
    Ok(judged.unwrap_or_else(|| not_found(condition)))
}

/// An approval must count verified Arrivals only, also if somebody has deleted it and created another: until it
/// does, the condition is pending, however the other Barrier ends.
fn not_verified(
    gate: &Gate,
    condition: &GateCondition,
    facts: &Facts,
    freshness: Freshness,
) -> Result<Option<Judged>, Needs> {
    if !condition.verified || condition.kind != ConditionKind::Barrier {
        return Ok(None);
    }
    let found = facts.barriers(fact(gate, condition), freshness)?;
    let found = found
        .first()
        .filter(|barrier| permits(gate, condition, &barrier.metadata));
    Ok(found
        .filter(|barrier| barrier.spec.arrivals != Arrivals::Verified)
        .map(|_| Judged {
            verdict: Verdict::Pending,
            message: format!(
                "{} is not an approval: it counts the arrivals of anyone; delete it and create it with \
                 arrivals: Verified",
                target(condition)
            ),
            from_record: false,
        }))
}

fn judge_job(
    gate: &Gate,
    condition: &GateCondition,
    facts: &Facts,
    freshness: Freshness,
) -> Result<Judged, Needs> {
    let present = facts.jobs(fact(gate, condition), freshness)?.first();
    let present = present.filter(|job| permits(gate, condition, &job.metadata));
    let present = present.map(AsRef::as_ref);
    // A live read of the Job may be followed by one of the Run, where the Job is not there.
    let freshness = match facts.knows(&fact(gate, condition), Freshness::Live) {
        true => Freshness::Live,
        false => freshness,
    };
    let job = job_place(gate, condition);
    let known = gone::known(&gate.metadata, &job, present, facts, freshness)?;
    let object = || Named::Object(target(condition));
    Ok(match known {
        Known::Job(job) => {
            let named = Named::job(&gate.metadata, job).unwrap_or_else(object);
            judged_job(condition, &named, Ended::of(job))
        }
        Known::Ended(gone) => {
            let last = gone.last.and_then(|job| Named::job(&gate.metadata, job));
            let recorded = || Named::recorded(&gate.metadata, &job.name, gone.entry.as_ref()?);
            let named = last.or_else(recorded).unwrap_or_else(object);
            Judged {
                from_record: true,
                ..judged_job(condition, &named, Some(gone.ended))
            }
        }
        Known::Gone => Judged {
            verdict: Verdict::Pending,
            message: format!(
                "waits for {}, which was deleted before it had ended",
                target(condition)
            ),
            from_record: true,
        },
        Known::Unknown => not_found(condition),
    })
}

fn not_found(condition: &GateCondition) -> Judged {
    let name = target(condition);
    Judged {
        verdict: Verdict::Pending,
        message: match &condition.namespace {
            Some(_) => format!("{name}: {}", reason::NOT_FOUND_OR_NOT_PERMITTED),
            None => format!("waits for {name}, which does not exist"),
        },
        from_record: false,
    }
}

fn judged_job(condition: &GateCondition, named: &Named, ended: Option<Ended>) -> Judged {
    let judged = ended.map(|ended| verdict(condition.state, ended.end));
    let how = ended.map_or("", words::how);
    judged_so(condition, named, judged, how)
}

/// `how` says how it ended, if it has.
fn judged_so(
    condition: &GateCondition,
    named: &Named,
    judged: Option<Verdict>,
    how: &str,
) -> Judged {
    Judged {
        verdict: judged.unwrap_or(Verdict::Pending),
        message: match judged {
            None => named.waits(condition.state),
            Some(Verdict::Met) => String::new(),
            Some(_) => format!("{named} {how}"),
        },
        from_record: false,
    }
}

fn judge_run(run: &Run, wanted: ConditionState) -> Option<Verdict> {
    if wanted == ConditionState::Settled {
        return is_settled(run).then_some(Verdict::Met);
    }
    run_end(run).map(|end| verdict(wanted, end))
}

fn judge_selector(
    gate: &Gate,
    condition: &GateCondition,
    facts: &Facts,
    freshness: Freshness,
) -> Result<Judged, Needs> {
    let jobs = facts.jobs(fact(gate, condition), freshness)?;
    let jobs = jobs
        .iter()
        .filter(|job| permits(gate, condition, &job.metadata));
    let jobs: Vec<_> = jobs.collect();
    let wanted = condition.count.unwrap_or(0) as usize;
    let pending = |message| Judged {
        verdict: Verdict::Pending,
        message,
        from_record: false,
    };
    if jobs.len() != wanted {
        return Ok(match &condition.namespace {
            // A count would tell what the author may not list.
            Some(_) => pending(format!(
                "{}: {}",
                target(condition),
                reason::NOT_FOUND_OR_NOT_PERMITTED
            )),
            None => pending(format!(
                "waits for {}: {} exist",
                target(condition),
                jobs.len()
            )),
        });
    }
    let judged = |job: &Job| job_end(job).map(|end| verdict(condition.state, end));
    let of = |wanted| jobs.iter().find(|job| judged(job) == wanted);
    let out = |verdict, job: &Job| {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let how = Ended::of(job).map_or("", words::how);
        Judged {
            verdict,
            message: format!("job/{name} {how}, one of {}", target(condition)),
            from_record: false,
        }
    };
    Ok(if let Some(job) = of(Some(Verdict::Failed)) {
        out(Verdict::Failed, job)
    } else if of(None).is_some() {
        let met = jobs.iter().filter(|job| judged(job) == Some(Verdict::Met));
        pending(format!(
            "waits for {}: {} are {:?}",
            target(condition),
            met.count(),
            condition.state
        ))
    } else if let Some(job) = of(Some(Verdict::Skipped)) {
        out(Verdict::Skipped, job)
    } else {
        Judged {
            verdict: Verdict::Met,
            message: String::new(),
            from_record: false,
        }
    })
}

/// Whether the target lets this Gate's namespace wait for it.
pub(super) fn permits(gate: &Gate, condition: &GateCondition, target: &ObjectMeta) -> bool {
    let own = gate.metadata.namespace.as_deref().unwrap_or_default();
    let foreign = condition
        .namespace
        .as_deref()
        .is_some_and(|namespace| namespace != own);
    let allowed = target
        .annotations
        .as_ref()
        .and_then(|all| all.get(annotation::ALLOW_FROM));
    !foreign || allowed.is_some_and(|list| list.split(',').any(|entry| entry.trim() == own))
}
