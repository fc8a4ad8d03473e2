//! The conditions of a Gate, one by one: met, out, or waited for.
//!
//! What enters: a condition, its last verdict, and the object that it is about. What leaves: its verdict, with a message for
//! people. What must never happen here: a condition that was met and is not met any more.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::condition::reason;
use konductor_api::{
    Arrivals, ConditionState, ConditionStatus, Gate, ObjectName, Participant, Run, Subject, Target,
    Verdict, annotation,
};

use super::times_out;
use crate::facts::{Facts, Freshness};
use crate::gone::{self, Known};
use crate::outcome::{barrier_end, gate_end, is_settled, job_end, run_end, verdict};
use crate::run::Ended;
use crate::words::{self, Named};
use crate::{Fact, Needs, owner};

/// A condition of a Gate, with what it is about.
pub(super) struct Condition<'a> {
    gate: &'a Gate,
    pub(super) subject: Subject,
    state: ConditionState,
}

/// A condition's verdict, and what it waits for or why it is out.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) message: String,
    /// Whether it is from the Run's record: the Job itself does not exist.
    from_record: bool,
}

impl Judged {
    fn new(verdict: Verdict, message: String) -> Self {
        Self {
            verdict,
            message,
            from_record: false,
        }
    }

    fn pending(message: String) -> Self {
        Self::new(Verdict::Pending, message)
    }
}

/// The conditions of a Gate, in the order of its spec.
pub(super) fn conditions(gate: &Gate) -> Vec<Condition<'_>> {
    let own = gate.metadata.namespace.as_deref().unwrap_or_default();
    let conditions = gate.spec.conditions.iter();
    conditions
        .map(|condition| Condition {
            gate,
            subject: condition.subject(own),
            state: condition.state,
        })
        .collect()
}

pub(super) fn judge_all(
    gate: &Gate,
    conditions: &[Condition<'_>],
    facts: &Facts,
    now: Timestamp,
) -> Result<Vec<Judged>, Needs> {
    let latched = gate
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.condition_statuses);
    let pending = conditions.iter().enumerate().filter(|(index, condition)| {
        !condition.is_pipeline() && latched_verdict(latched, *index).is_none()
    });
    let cached = pending.flat_map(|(_, condition)| condition.sources(Freshness::Cached));
    facts.require(cached)?;
    let expired = times_out(gate).is_some_and(|deadline| deadline <= now);
    // Rule B: whatever the cache says is decided is read again, all of it in one go; and at the
    // timeout everything is, because then the absence of an end decides. Once all of it is known, what was
    // judged here was judged by it.
    let mut live = Vec::new();
    let judged = conditions.iter().enumerate().map(|(index, condition)| {
        if let Some(status) = latched_verdict(latched, index) {
            return Ok(Judged::new(status.verdict, status.message.clone()));
        }
        let judged = condition.judge(facts, Freshness::Cached)?;
        if !condition.is_pipeline() && (expired || judged.verdict != Verdict::Pending) {
            live.push((condition.fact(), Freshness::Live));
            if judged.from_record {
                live.extend(condition.record(Freshness::Live));
            }
        }
        Ok(judged)
    });
    let judged = judged.collect::<Result<_, Needs>>()?;
    facts.require(live)?;
    Ok(judged)
}

fn latched_verdict(latched: &[ConditionStatus], index: usize) -> Option<&ConditionStatus> {
    latched
        .get(index)
        .filter(|status| status.verdict != Verdict::Pending)
}

impl Condition<'_> {
    /// A run of a pipeline is judged when all else holds, and is never latched before.
    pub(super) fn is_pipeline(&self) -> bool {
        matches!(self.subject.target, Target::RunOf { .. })
    }

    /// Whether it waits for the main stages of a Run, however they end.
    pub(super) fn is_settlement(&self) -> bool {
        matches!(self.subject.target, Target::Run(_)) && self.state == ConditionState::Settled
    }

    pub(super) fn fact(&self) -> Fact {
        Fact::from(&self.subject)
    }

    /// What it is judged by.
    fn sources(&self, freshness: Freshness) -> Vec<(Fact, Freshness)> {
        let mut sources = vec![(self.fact(), freshness)];
        sources.extend(self.record(Freshness::Cached));
        sources
    }

    /// The facts about a Job that may be gone.
    fn record(&self, freshness: Freshness) -> Vec<(Fact, Freshness)> {
        match &self.subject.target {
            Target::Job(name) => {
                gone::facts(&self.gate.metadata, &self.subject.place(name), freshness)
            }
            Target::Jobs { .. }
            | Target::Barrier { .. }
            | Target::Gate(_)
            | Target::Run(_)
            | Target::RunOf { .. } => Vec::new(),
        }
    }

    /// Whether the target lets this Gate's namespace wait for it.
    pub(super) fn permits(&self, target: &ObjectMeta) -> bool {
        let own = self.gate.metadata.namespace.as_deref().unwrap_or_default();
        let allowed = target
            .annotations
            .as_ref()
            .and_then(|all| all.get(annotation::ALLOW_FROM));
        !self.subject.is_foreign
            || allowed.is_some_and(|list| list.split(',').any(|entry| entry.trim() == own))
    }

    fn judge(&self, facts: &Facts, freshness: Freshness) -> Result<Judged, Needs> {
        let fact = self.fact();
        let asker = &self.gate.metadata;
        let verdict = |end| verdict(self.state, end);
        let judged = match &self.subject.target {
            Target::Job(name) => {
                return self.judge_job(&self.subject.place(name), facts, freshness);
            }
            Target::Jobs { count, .. } => return self.judge_jobs(*count, facts, freshness),
            Target::RunOf { .. } => {
                return Ok(Judged::pending(format!("waits for {}", self.subject)));
            }
            Target::Barrier { verified, .. } => {
                let barrier = facts.barriers(fact, freshness)?.first();
                let barrier = barrier.filter(|barrier| self.permits(&barrier.metadata));
                match barrier {
                    Some(barrier) if *verified && barrier.spec.arrivals != Arrivals::Verified => {
                        return Ok(self.no_approval());
                    }
                    barrier => barrier.map(|barrier| {
                        let named = || {
                            let named = Named::barrier(asker, barrier);
                            named.unwrap_or_else(|| self.object())
                        };
                        let verdict = barrier_end(barrier).map(verdict);
                        self.judged(named, verdict, &words::how_barrier(barrier))
                    }),
                }
            }
            Target::Gate(_) => {
                let gate = facts.gates(fact, freshness)?.first();
                let gate = gate.filter(|other| self.permits(&other.metadata));
                gate.map(|other| {
                    let verdict = gate_end(other).map(verdict);
                    let mut judged = self.judged(|| self.object(), verdict, words::how_gate(other));
                    if let Some(part) = words::part(asker, other)
                        && judged.verdict != Verdict::Met
                    {
                        judged.message = part.to_owned();
                    }
                    judged
                })
            }
            Target::Run(_) => {
                let run = facts.runs(fact, freshness)?.first();
                let run = run.filter(|run| self.permits(&run.metadata));
                run.map(|run| self.judge_run(run))
            }
        };
        Ok(judged.unwrap_or_else(|| self.not_found()))
    }

    /// What it is about, without the words of a pipeline.
    fn object(&self) -> Named {
        Named::Object(self.subject.to_string())
    }

    fn judge_run(&self, run: &Run) -> Judged {
        let own = owner::run_name(&self.gate.metadata);
        let is_own = own == Some(ObjectName::of(&run.metadata));
        let settles = self.state == ConditionState::Settled;
        let named = || match is_own && settles {
            true => Named::MainStages,
            false => self.object(),
        };
        let how = run_end(run).map(|end| words::how(Ended { end, stop: None }));
        let verdict = match settles {
            true => is_settled(run).then_some(Verdict::Met),
            false => run_end(run).map(|end| verdict(self.state, end)),
        };
        self.judged(named, verdict, how.unwrap_or_default())
    }

    /// An approval must count verified Arrivals only, also if somebody has deleted it and created another: until it
    /// does, the condition is pending, however the other Barrier ends.
    fn no_approval(&self) -> Judged {
        Judged::pending(format!(
            "{} is not an approval: it counts the arrivals of anyone; delete it and create it with \
             arrivals: Verified",
            self.subject
        ))
    }

    fn judge_job(
        &self,
        job: &ObjectName,
        facts: &Facts,
        freshness: Freshness,
    ) -> Result<Judged, Needs> {
        let present = facts.job(job, freshness)?;
        let present = present.filter(|job| self.permits(&job.metadata));
        let present = present.map(AsRef::as_ref);
        // A live read of the Job may be followed by one of the Run, where the Job is not there.
        let freshness = match facts.knows(&self.fact(), Freshness::Live) {
            true => Freshness::Live,
            false => freshness,
        };
        let target = gone::known(&self.gate.metadata, job, present, facts, freshness)?;
        let named = || {
            let named = target.named(&self.gate.metadata, &job.name);
            named.unwrap_or_else(|| self.object())
        };
        Ok(match &target {
            Known::Job(job) => self.judged_job(named, Ended::of(job)),
            Known::Ended(gone) => Judged {
                from_record: true,
                ..self.judged_job(named, Some(gone.ended))
            },
            Known::Gone(_) => Judged {
                from_record: true,
                ..Judged::pending(format!(
                    "waits for {}, which was deleted before it had ended",
                    named()
                ))
            },
            Known::Unknown => self.not_found(),
        })
    }

    fn not_found(&self) -> Judged {
        let subject = &self.subject;
        Judged::pending(match subject.is_foreign {
            true => format!("{subject}: {}", reason::NOT_FOUND_OR_NOT_PERMITTED),
            false => {
                let instead = match &subject.target {
                    Target::Gate(name) | Target::Barrier { name, .. } => {
                        words::apply_again(&self.gate.metadata, name)
                    }
                    // The Run says what to do about its Jobs.
                    Target::Job(_)
                    | Target::Jobs { .. }
                    | Target::Run(_)
                    | Target::RunOf { .. } => String::new(),
                };
                format!("waits for {subject}, which does not exist{instead}")
            }
        })
    }

    fn judged_job(&self, named: impl FnOnce() -> Named, ended: Option<Ended>) -> Judged {
        let verdict = ended.map(|ended| verdict(self.state, ended.end));
        self.judged(named, verdict, ended.map_or("", words::how))
    }

    /// `how` says how it ended, if it has. What is met needs no name.
    fn judged(&self, named: impl FnOnce() -> Named, verdict: Option<Verdict>, how: &str) -> Judged {
        let message = match verdict {
            None => named().waits(self.state),
            Some(Verdict::Met) => String::new(),
            Some(_) => format!("{} {how}", named()),
        };
        Judged::new(verdict.unwrap_or(Verdict::Pending), message)
    }

    fn judge_jobs(&self, count: u32, facts: &Facts, freshness: Freshness) -> Result<Judged, Needs> {
        let (subject, state) = (&self.subject, self.state);
        let jobs = facts.jobs(self.fact(), freshness)?.iter();
        let jobs: Vec<_> = jobs.filter(|job| self.permits(&job.metadata)).collect();
        if jobs.len() != count as usize {
            return Ok(Judged::pending(match subject.is_foreign {
                // A count would reveal what the author may not list.
                true => format!("{subject}: {}", reason::NOT_FOUND_OR_NOT_PERMITTED),
                false => format!("waits for {subject}: {} exist", jobs.len()),
            }));
        }
        let judged = |job: &Participant| job_end(job).map(|end| verdict(state, end));
        let of = |verdict| jobs.iter().find(|job| judged(job) == verdict);
        let out = |verdict, job: &Participant| {
            let how = Ended::of(job).map_or("", words::how);
            let named = Named::job(&self.gate.metadata, job);
            let named = named.unwrap_or_else(|| Named::Object(format!("job/{}", job.name())));
            let message = format!("{named} {how}, one of {subject}");
            Judged::new(verdict, message)
        };
        Ok(if let Some(job) = of(Some(Verdict::Failed)) {
            out(Verdict::Failed, job)
        } else if of(None).is_some() {
            let met = jobs.iter().filter(|job| judged(job) == Some(Verdict::Met));
            Judged::pending(format!(
                "waits for {subject}: {} are {state:?}",
                met.count()
            ))
        } else if let Some(job) = of(Some(Verdict::Skipped)) {
            out(Verdict::Skipped, job)
        } else {
            Judged::new(Verdict::Met, String::new())
        })
    }
}
