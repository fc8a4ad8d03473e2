//! A Job that was started, and whose pods can't start for too long.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use konductor_api::condition::reason;
use konductor_api::{Duration, JobPhase, ObjectName, Participant, job_ended};

use super::{NoStatus, phase_patch};
use crate::decision::EventType;
use crate::facts::{Facts, Freshness};
use crate::outcome::job_end;
use crate::{Decided, Decision, Event, Fact, HeldBack, Waits, Write, deadline, explain, stamp};

/// What a Job waits for that konductor does not start, or has started.
fn waits(job: &Participant) -> Option<Waits> {
    job.is_suspended().then(|| match (job.phase, job.queue()) {
        (Some(JobPhase::Paused), _) => Waits::Run(HeldBack::Paused),
        (_, Some(queue)) => Waits::Admission(queue.to_owned()),
        (_, None) => Waits::Suspended,
    })
}

/// Ends a Job as Failed whose pods could not start for as long as it allows: none of them has ever run, by
/// live reads. What is not suspended and has no limit waits for nothing: it runs.
pub(super) fn decide(job: &Participant, facts: &Facts, now: Timestamp) -> Decided<NoStatus> {
    let mut decision = Decision {
        waits: waits(job),
        ..Decision::default()
    };
    let Some((started, timeout)) = limit(job, facts) else {
        return Ok(decision);
    };
    let Some(due) = deadline::passes(started, timeout) else {
        return Ok(decision);
    };
    if now < due {
        decision.wake_at(due);
        return Ok(decision);
    }
    let place = ObjectName::of(&job.metadata);
    let of_job = Fact::PodsOf {
        namespace: place.namespace.clone(),
        job_uid: job.metadata.uid.clone().unwrap_or_default(),
    };
    facts.require([
        (of_job.clone(), Freshness::Live),
        (Fact::Job(place.clone()), Freshness::Live),
    ])?;
    let live = facts.job(&place, Freshness::Live)?;
    let live = live.filter(|live| live.metadata.uid == job.metadata.uid);
    let Some(live) = live.filter(|live| limit(live, facts).is_some()) else {
        return Ok(decision);
    };
    let pods = facts.pods(of_job, Freshness::Live)?;
    let pods: Vec<_> = pods.iter().map(AsRef::as_ref).collect();
    if !pods.is_empty() && !explain::is_pending(&pods) {
        return Ok(decision);
    }
    let limit = Duration::from_millis(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let cause = explain::pending(live, &pods, &[], &[]);
    let cause = cause.unwrap_or_else(|| match pods.is_empty() {
        true => "it has no pod; `kubectl describe job` shows who refuses it".to_owned(),
        false => "its containers are still being created".to_owned(),
    });
    let why = format!("no pod could start within {limit}: {cause}");
    let said = format!("{}: {why}", reason::PENDING_TIMED_OUT);
    let mut decision = phase_patch(job, JobPhase::Failed, Some(&said));
    if let Some(Write::Patch { body, .. }) = decision.before.first_mut() {
        body["spec"]["suspend"] = true.into();
        stamp::ended(job, now, body);
    }
    decision.events.push(Event {
        type_: EventType::Warning,
        reason: reason::PENDING_TIMED_OUT,
        note: why,
    });
    Ok(decision)
}

/// Since when a Job's pods may be unable to start, and for how long; `None` where there is no limit, or where
/// one of them has run.
fn limit<'a>(job: &'a Participant, facts: &Facts) -> Option<(&'a Time, SignedDuration)> {
    let own = job.pending_timeout.as_ref();
    let own = own.and_then(|own| own.parse().ok());
    let phase = job.phase;
    let takes_part = own.is_some() || phase == Some(JobPhase::Running) || job.run().is_some();
    let is_running = matches!(phase, None | Some(JobPhase::Running))
        && !job.is_suspended()
        && job_end(job).is_none()
        && job_ended(job).is_none();
    if !takes_part || !is_running {
        return None;
    }
    let status = job.status.as_ref()?;
    let counts = [status.ready, status.succeeded, status.failed];
    if counts.into_iter().flatten().any(|count| count > 0) {
        return None;
    }
    let started = status.start_time.as_ref()?;
    Some((started, own.or(facts.pending_timeout)?))
}
