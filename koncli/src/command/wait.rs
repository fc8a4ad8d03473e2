//! `koncli wait`, and what every waiting command shares.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use konductor_api::condition::{Condition, GRANTED, OPEN, SUCCEEDED};
use konductor_api::{Barrier, BarrierPhase, Claim, ClaimPhase, Gate, GatePhase, Participant, Run};
use konductor_compiler::Manifests;
use konductor_operator::standing::State as Standing;
use konductor_operator::{RunObjects, run_status};

use super::{follow, object};
use crate::arguments::{Global, Patience};
use crate::exit::Failure;
use crate::progress::Progress;
use crate::read::Stored;
use crate::view::{item, message, run_ended};
use crate::{cluster, output};

/// What can be waited for, and how it ends then; finished is however it ends.
const STATES: [State; 7] = [
    State::of("open", Some(How::Well), "it can't open any more"),
    State::of("granted", Some(How::Well), "it can't be granted any more"),
    State::of("complete", Some(How::Well), "it can't succeed any more"),
    State::of("succeeded", Some(How::Well), "it can't succeed any more"),
    State::of("failed", Some(How::Failed), "it can't fail any more"),
    State::of(
        "skipped",
        Some(How::Skipped),
        "it can't be skipped any more",
    ),
    State::of("finished", None, ""),
];

/// How long a Claim that is not wanted any more may take to be withdrawn.
pub(super) const WITHDRAW_WITHIN: Duration = Duration::from_secs(1);

/// Waits for several things, all of them.
pub(crate) async fn wait(
    global: &Global,
    targets: &[String],
    wanted: Option<&str>,
    patience: Patience,
) -> Result<(), Failure> {
    let targets: Vec<Target<'_>> = targets
        .iter()
        .map(|target| Target::parse(target, wanted))
        .collect::<Result<_, _>>()?;
    let client = patience.client(cluster::connect(global).await?);
    let all = targets
        .iter()
        .map(|target| target.wait(&client, patience.timeout));
    futures::future::try_join_all(all).await.map(drop)
}

/// What is waited for.
struct Target<'a> {
    kind: &'static str,
    name: &'a str,
    wanted: State,
}

/// A state that can be waited for.
#[derive(Clone, Copy)]
struct State {
    word: &'static str,
    how: Option<How>,
    /// The error if the state can no longer come.
    never: &'static str,
}

impl State {
    const fn of(word: &'static str, how: Option<How>, never: &'static str) -> Self {
        Self { word, how, never }
    }

    fn named(word: &str) -> Option<Self> {
        let found = STATES
            .iter()
            .find(|one| one.word.eq_ignore_ascii_case(word));
        found.copied()
    }
}

/// How something ends, whatever its kind calls it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Well,
    Skipped,
    Failed,
}

/// How something has ended, its phase, and why.
struct End {
    how: How,
    phase: String,
    why: Option<String>,
}

impl End {
    fn of(how: How, phase: impl Debug, conditions: &[Condition], type_: &str) -> Self {
        Self {
            how,
            phase: format!("{phase:?}"),
            why: message(conditions, type_).filter(|why| !why.is_empty()),
        }
    }
}

impl<'a> Target<'a> {
    /// Reads `KIND/NAME`; each kind has a default state.
    fn parse(target: &'a str, wanted: Option<&str>) -> Result<Self, Failure> {
        let Some((kind, name)) = target.split_once('/').filter(|(_, name)| !name.is_empty()) else {
            return Err(Failure::usage(format!("{target:?} is not KIND/NAME"))
                .help("write run/NAME, gate/NAME, barrier/NAME, claim/NAME or job/NAME"));
        };
        let (kind, usual) = match kind {
            "barrier" | "bar" | "barriers" => ("barrier", "open"),
            "gate" | "gates" => ("gate", "open"),
            "claim" | "claims" => ("claim", "granted"),
            "job" | "jobs" => ("job", "complete"),
            "run" | "runs" => ("run", "succeeded"),
            other => {
                return Err(Failure::usage(format!("{other:?} can't be waited for"))
                    .help("wait for a run, gate, barrier, claim or job"));
            }
        };
        let word = wanted.unwrap_or(usual);
        let Some(wanted) = State::named(word) else {
            let words = STATES.map(|one| one.word).join(", ");
            return Err(
                Failure::usage(format!("{word:?} is not a state to wait for"))
                    .help(format!("wait for one of {words}")),
            );
        };
        Ok(Self { kind, name, wanted })
    }

    async fn wait(
        &self,
        client: &konductor::Client,
        timeout: Option<Duration>,
    ) -> Result<(), Failure> {
        let waited = match self.kind {
            "barrier" => self.until(client, timeout, barrier_end).await,
            "gate" => self.until(client, timeout, gate_end).await,
            "claim" => self.until(client, timeout, claim_end).await,
            "job" => self.until(client, timeout, job_end).await,
            _ => self.until(client, timeout, run_end).await,
        };
        waited.map_err(Failure::from)
    }

    async fn until<K>(
        &self,
        client: &konductor::Client,
        timeout: Option<Duration>,
        end: impl Fn(&K) -> Option<End>,
    ) -> Result<(), konductor::Error>
    where
        K: Stored,
    {
        let target = object(client, self.kind, self.name);
        let verdict = |object: &K| Some(self.verdict(end(object)?, &target));
        client
            .wait_until(self.kind, self.name, timeout, verdict)
            .await
    }

    /// Whether an end is the one that is waited for; else why it can't come any more.
    fn verdict(&self, end: End, target: &konductor::Object) -> Result<(), konductor::Error> {
        let State { how, never, .. } = self.wanted;
        if how.is_none_or(|how| how == end.how) {
            return Ok(());
        }
        // The caller waits for a good end, and wants to know why it is not.
        let why = end.why.filter(|_| how == Some(How::Well));
        Err(target.failed(end.phase, why.unwrap_or_else(|| never.to_owned())))
    }
}

fn barrier_end(barrier: &Barrier) -> Option<End> {
    let status = barrier.status.as_ref()?;
    let how = match status.phase {
        BarrierPhase::Waiting => return None,
        BarrierPhase::Open => How::Well,
        BarrierPhase::Skipped => How::Skipped,
        _ => How::Failed,
    };
    Some(End::of(how, status.phase, &status.conditions, OPEN))
}

fn gate_end(gate: &Gate) -> Option<End> {
    let status = gate.status.as_ref()?;
    let how = match status.phase {
        GatePhase::Waiting => return None,
        GatePhase::Open => How::Well,
        GatePhase::Skipped => How::Skipped,
        _ => How::Failed,
    };
    Some(End::of(how, status.phase, &status.conditions, OPEN))
}

fn claim_end(claim: &Claim) -> Option<End> {
    let status = claim.status.as_ref()?;
    let how = match status.phase {
        ClaimPhase::Queued => return None,
        ClaimPhase::Granted => How::Well,
        _ => How::Failed,
    };
    Some(End::of(how, status.phase, &status.conditions, GRANTED))
}

fn job_end(job: &Participant) -> Option<End> {
    let (how, phase) = match Standing::of(job) {
        Standing::Succeeded => (How::Well, "Complete".to_owned()),
        Standing::Skipped => (How::Skipped, "Skipped".to_owned()),
        one if one.has_ended() => (How::Failed, one.word().to_owned()),
        _ => return None,
    };
    let why = item(job, &RunObjects::default()).why;
    Some(End {
        how,
        phase,
        why: Some(why).filter(|why| !why.is_empty()),
    })
}

fn run_end(run: &Run) -> Option<End> {
    let how = match run_ended(run)? {
        true => How::Well,
        false => How::Failed,
    };
    let status = run_status(run)?;
    Some(End::of(how, status.phase, &status.conditions, SUCCEEDED))
}

/// Waits until a run has ended; its failure is this command's.
pub(crate) async fn until_run_ends(
    client: &konductor::Client,
    run: &str,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    one_run(client, run, "succeeded", timeout).await?;
    output::talk(&format!("run/{run} succeeded"));
    Ok(())
}

/// The same of a run that was just created; on a terminal, with the live view that `koncli run` has.
pub(crate) async fn shown_until_run_ends(
    client: &konductor::Client,
    manifests: &Manifests,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let run = manifests.run_name();
    let progress = Progress::since(Instant::now());
    if !progress.is_live() {
        return until_run_ends(client, run, timeout).await;
    }
    let order = super::run::stages(manifests);
    let showing = follow::until_ended(client, run, &order, &progress);
    let waiting = one_run(client, run, "succeeded", timeout);
    tokio::pin!(showing, waiting);
    let ended = tokio::select! {
        ended = &mut waiting => ended,
        // The other one knows how it ended, or why nothing can be seen.
        _ = &mut showing => waiting.await,
    };
    progress.finish();
    ended?;
    output::talk(&format!("run/{run} succeeded"));
    Ok(())
}

/// Waits until a run has ended, well or not.
pub(crate) async fn until_run_ended(
    client: &konductor::Client,
    run: &str,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    one_run(client, run, "finished", timeout).await
}

async fn one_run(
    client: &konductor::Client,
    run: &str,
    wanted: &str,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let target = format!("run/{run}");
    // It was there a moment ago: nobody would create it again.
    let client = client.clone().fail_if_missing();
    Target::parse(&target, Some(wanted))?
        .wait(&client, timeout)
        .await
}
