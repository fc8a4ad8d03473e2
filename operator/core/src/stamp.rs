//! The times that the operator writes on a Job, in patches that it writes anyway.
//!
//! What enters: a Job, and the patch that starts, suspends or ends it. What leaves: the patch with
//! [`annotation::TIMES`]. What must never happen here: a write of its own, or a decision by one of these times.

use jiff::Timestamp;
use konductor_api::condition::whole_second;
use konductor_api::{Participant, Times, annotation, job_ended};
use serde_json::Value;

use crate::Write;

/// Adds to a start when each ledger granted what the Job asks for.
pub(crate) fn granted(job: &Participant, granted: Vec<(String, Timestamp)>, body: &mut Value) {
    if granted.is_empty() {
        return;
    }
    let times = Times {
        granted,
        ..job.times()
    };
    write(&times, body);
}

/// Adds to a patch that suspends a Job since when it ran, because a suspension clears its start time.
pub(crate) fn stopped(job: &Participant, now: Timestamp, body: &mut Value) {
    let mut times = job.times();
    if add_stop(job, now, &mut times) {
        write(&times, body);
    }
}

/// Adds to a patch that ends a Job when that is, and since when the Job ran.
pub(crate) fn ended(job: &Participant, now: Timestamp, body: &mut Value) {
    let mut times = job.times();
    add_stop(job, now, &mut times);
    times.ended = Some(whole_second(now));
    write(&times, body);
}

/// The same for the patches of a decision.
pub(crate) fn ended_by(job: &Participant, now: Timestamp, writes: &mut [Write]) {
    for write in writes {
        if let Write::Patch { body, .. } = write {
            ended(job, now, body);
        }
    }
}

/// What the Job controller has ended keeps its own times.
fn add_stop(job: &Participant, now: Timestamp, times: &mut Times) -> bool {
    let status = job.status.as_ref();
    let started = status.and_then(|status| status.start_time.as_ref());
    let is_running = !job.is_suspended() && job_ended(job).is_none();
    let Some(started) = started.filter(|_| is_running) else {
        return false;
    };
    let now = whole_second(now);
    times.ran.push((started.0, now.max(started.0)));
    true
}

fn write(times: &Times, body: &mut Value) {
    body["metadata"]["annotations"][annotation::TIMES] = times.to_string().into();
}
