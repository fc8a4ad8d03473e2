//! `koncli wait`, and what every waiting command shares.

use std::time::{Duration, Instant};

use konductor::LastSeen;
use konductor_api::condition::{Condition, GRANTED, OPEN, SUCCEEDED};
use konductor_api::{
    Barrier, BarrierPhase, Claim, ClaimPhase, Gate, GatePhase, Participant, Run, RunPhase,
};
use konductor_compiler::Manifests;
use konductor_operator::standing::State as Standing;
use konductor_operator::{RunObjects, run_status};

use super::objects::objects_of_job;
use super::{follow, get, object};
use crate::arguments::{Global, Patience};
use crate::exit::Failure;
use crate::progress::{LogsTo, Progress};
use crate::read::Stored;
use crate::view::{item, message};
use crate::{cluster, output};

/// How long a Claim that is not wanted any more may take to be withdrawn.
pub(super) const WITHDRAW_WITHIN: Duration = Duration::from_secs(1);

/// Waits for several things, all of them.
pub(crate) async fn wait(
    global: &Global,
    targets: &[String],
    state: Option<&str>,
    patience: Patience,
) -> Result<(), Failure> {
    let targets: Vec<Target<'_>> = targets
        .iter()
        .map(|target| Target::parse(target, state))
        .collect::<Result<_, _>>()?;
    let client = patience.client(cluster::connect(global).await?);
    let all = targets
        .iter()
        .map(|target| target.wait(&client, patience.timeout));
    futures::future::try_join_all(all).await.map(drop)
}

/// A kind that can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Run,
    Gate,
    Barrier,
    Claim,
    Job,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Run, Self::Gate, Self::Barrier, Self::Claim, Self::Job];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Gate => "gate",
            Self::Barrier => "barrier",
            Self::Claim => "claim",
            Self::Job => "job",
        }
    }

    /// The kind that a word names, as kubectl takes it.
    fn named(word: &str) -> Option<Self> {
        let singular = match word {
            "bar" => "barrier",
            word => word.strip_suffix('s').unwrap_or(word),
        };
        Self::ALL.into_iter().find(|kind| kind.word() == singular)
    }

    /// The states that one of this kind can be waited for to reach. The first is what a wait without `--for` waits for.
    pub(super) fn states(self) -> &'static [State] {
        use State as S;
        match self {
            Self::Run => &[S::Succeeded, S::Failed, S::Cancelled, S::Finished],
            Self::Gate | Self::Barrier => {
                &[S::Open, S::Skipped, S::Unreached, S::Failed, S::Finished]
            }
            Self::Claim => &[S::Granted, S::Denied, S::Expired],
            Self::Job => &[
                S::Complete,
                S::Failed,
                S::Skipped,
                S::Unreached,
                S::Cancelled,
                S::Finished,
            ],
        }
    }

    /// Those states as help and messages list them.
    fn listed(self) -> String {
        let words = self.states().iter().map(|state| format!("{state:?}"));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// A state that something can be in for good; a grant can still expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Granted,
    Complete,
    Succeeded,
    Skipped,
    Unreached,
    Failed,
    Cancelled,
    Denied,
    Expired,
    /// Any end.
    Finished,
}

impl State {
    /// Whether this is the good end, whose absence has a reason that people want to know.
    fn is_good(self) -> bool {
        matches!(
            self,
            Self::Open | Self::Granted | Self::Complete | Self::Succeeded
        )
    }
}

/// How something has ended, and why.
struct End {
    state: State,
    why: Option<String>,
}

impl End {
    fn of(state: State, conditions: &[Condition], type_: &str) -> Self {
        Self {
            state,
            why: message(conditions, type_).filter(|why| !why.is_empty()),
        }
    }
}

/// What is waited for.
struct Target<'a> {
    kind: Kind,
    name: &'a str,
    state: State,
}

impl<'a> Target<'a> {
    /// Reads `KIND/NAME`; each kind has its states and a default among them.
    fn parse(target: &'a str, state: Option<&str>) -> Result<Self, Failure> {
        let Some((word, name)) = target.split_once('/').filter(|(_, name)| !name.is_empty()) else {
            return Err(Failure::usage(format!("{target:?} is not KIND/NAME"))
                .help("write run/NAME, gate/NAME, barrier/NAME, claim/NAME or job/NAME"));
        };
        let kind = Kind::named(word).ok_or_else(|| {
            Failure::usage(format!("{word:?} can't be waited for"))
                .help("wait for a run, gate, barrier, claim or job")
        })?;
        let states = kind.states();
        let named = match state {
            None => states.first(),
            Some(state) => states
                .iter()
                .find(|candidate| format!("{candidate:?}").eq_ignore_ascii_case(state)),
        };
        let Some(state) = named.copied() else {
            let (kind, listed) = (kind.word(), kind.listed());
            return Err(Failure::usage(format!(
                "a {kind} is never {:?}",
                state.unwrap_or_default()
            ))
            .help(format!("wait for one of {listed}")));
        };
        Ok(Self { kind, name, state })
    }

    async fn wait(
        &self,
        client: &konductor::Client,
        timeout: Option<Duration>,
    ) -> Result<(), Failure> {
        let waited = match self.kind {
            Kind::Barrier => self.until(client, timeout, barrier_end).await,
            Kind::Gate => self.until(client, timeout, gate_end).await,
            Kind::Claim => {
                let end = |claim: &Claim| claim_end(claim, self.state);
                self.until(client, timeout, end).await
            }
            Kind::Job => self.until(client, timeout, job_end).await,
            Kind::Run => self.until(client, timeout, run_end).await,
        };
        let Err(error) = waited else { return Ok(()) };
        let is_late = matches!(
            error,
            konductor::Error::TimedOut {
                last_seen: LastSeen::Undecided,
                ..
            }
        );
        let mut failure = Failure::from(error);
        if is_late && let Some(why) = self.why(client).await {
            failure.message = format!("{}: {why}", failure.message);
        }
        Err(failure)
    }

    /// Why a Job has not ended, as far as that may be read.
    async fn why(&self, client: &konductor::Client) -> Option<String> {
        if self.kind != Kind::Job {
            return None;
        }
        let job: Participant = get(client, Kind::Job.word(), self.name).await.ok()?;
        let objects = objects_of_job(client, job.clone()).await.ok()?;
        Some(item(&job, &objects).why).filter(|why| !why.is_empty())
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
        let target = object(client, self.kind.word(), self.name);
        let verdict = |object: &K| Some(self.verdict(end(object)?, &target));
        client
            .wait_until(self.kind.word(), self.name, timeout, verdict)
            .await
    }

    /// Whether an end is the one that is waited for; else why it can't come any more.
    fn verdict(&self, end: End, target: &konductor::Object) -> Result<(), konductor::Error> {
        if self.state == State::Finished || self.state == end.state {
            return Ok(());
        }
        let why = end.why.filter(|_| self.state.is_good());
        let never = || format!("it can't become {:?} any more", self.state);
        Err(target.failed(format!("{:?}", end.state), why.unwrap_or_else(never)))
    }
}

fn barrier_end(barrier: &Barrier) -> Option<End> {
    let status = barrier.status.as_ref()?;
    let state = match status.phase {
        BarrierPhase::Waiting => return None,
        BarrierPhase::Open => State::Open,
        BarrierPhase::Skipped => State::Skipped,
        BarrierPhase::Unreached => State::Unreached,
        BarrierPhase::Failed => State::Failed,
    };
    Some(End::of(state, &status.conditions, OPEN))
}

fn gate_end(gate: &Gate) -> Option<End> {
    let status = gate.status.as_ref()?;
    let state = match status.phase {
        GatePhase::Waiting => return None,
        GatePhase::Open => State::Open,
        GatePhase::Skipped => State::Skipped,
        GatePhase::Unreached => State::Unreached,
        GatePhase::Failed => State::Failed,
    };
    Some(End::of(state, &status.conditions, OPEN))
}

/// A grant is an end too, unless its expiry is waited for.
fn claim_end(claim: &Claim, target_state: State) -> Option<End> {
    let status = claim.status.as_ref()?;
    let state = match status.phase {
        ClaimPhase::Queued => return None,
        ClaimPhase::Granted if target_state == State::Expired => return None,
        ClaimPhase::Granted => State::Granted,
        ClaimPhase::Denied => State::Denied,
        ClaimPhase::Expired => State::Expired,
    };
    Some(End::of(state, &status.conditions, GRANTED))
}

fn job_end(job: &Participant) -> Option<End> {
    let state = match Standing::of(job) {
        Standing::Succeeded => State::Complete,
        Standing::Skipped => State::Skipped,
        Standing::Unreached => State::Unreached,
        Standing::Cancelled => State::Cancelled,
        Standing::Failed => State::Failed,
        Standing::Running
        | Standing::Pending
        | Standing::Suspended
        | Standing::Paused
        | Standing::Queued
        | Standing::Waiting => return None,
    };
    let why = item(job, &RunObjects::default()).why;
    Some(End {
        state,
        why: Some(why).filter(|why| !why.is_empty()),
    })
}

fn run_end(run: &Run) -> Option<End> {
    let status = run_status(run)?;
    let state = match status.phase {
        RunPhase::Running | RunPhase::Paused | RunPhase::Finalizing => return None,
        RunPhase::Succeeded => State::Succeeded,
        RunPhase::Failed => State::Failed,
        RunPhase::Cancelled => State::Cancelled,
    };
    Some(End::of(state, &status.conditions, SUCCEEDED))
}

/// Waits until a run has ended; its failure is this command's.
pub(crate) async fn until_run_ends(
    client: &konductor::Client,
    run: &str,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    one_run(client, run, State::Succeeded, timeout).await?;
    output::stderr(&format!("run/{run} succeeded"));
    Ok(())
}

/// The same of a run that was just created; on a terminal, with the live view that `koncli run` has.
pub(crate) async fn shown_until_run_ends(
    client: &konductor::Client,
    manifests: &Manifests,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let run = manifests.run_name();
    let progress = Progress::since(Instant::now(), LogsTo::Nowhere);
    if !progress.is_live() {
        return until_run_ends(client, run, timeout).await;
    }
    let order = manifests.stages();
    let showing = follow::until_ended(client, run, &order, &progress);
    let waiting = one_run(client, run, State::Succeeded, timeout);
    tokio::pin!(showing, waiting);
    let ended = tokio::select! {
        ended = &mut waiting => ended,
        // The other one knows how it ended, or why nothing can be seen.
        _ = &mut showing => waiting.await,
    };
    progress.finish();
    ended?;
    output::stderr(&format!("run/{run} succeeded"));
    Ok(())
}

/// Waits until a run has ended, well or not.
pub(crate) async fn until_run_ended(
    client: &konductor::Client,
    run: &str,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    one_run(client, run, State::Finished, timeout).await
}

async fn one_run(
    client: &konductor::Client,
    run: &str,
    state: State,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    // It was there a moment ago: nobody would create it again.
    let client = client.clone().fail_if_missing();
    let target = Target {
        kind: Kind::Run,
        name: run,
        state,
    };
    target.wait(&client, timeout).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::arguments::Arguments;

    /// The phases of a kind by its CRD, without those in which it has still to be waited for.
    fn ends(kind: Kind, open: &[&str]) -> BTreeSet<String> {
        let crds = konductor_api::crds();
        let crd = crds
            .iter()
            .find(|crd| crd.spec.names.singular.as_deref() == Some(kind.word()))
            .unwrap();
        let crd = serde_json::to_value(crd).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let phases = &schema["properties"]["status"]["properties"]["phase"]["enum"];
        let phases = phases.as_array().unwrap().iter();
        let phases = phases.map(|phase| phase.as_str().unwrap().to_owned());
        phases
            .filter(|phase| !open.contains(&phase.as_str()))
            .collect()
    }

    #[test]
    fn every_end_of_a_kind_can_be_waited_for_and_no_other_state() {
        for (kind, open) in [
            (Kind::Run, &["Running", "Paused", "Finalizing"][..]),
            (Kind::Gate, &["Waiting"]),
            (Kind::Barrier, &["Waiting"]),
            (Kind::Claim, &["Queued"]),
        ] {
            let states = kind
                .states()
                .iter()
                .filter(|state| **state != State::Finished);
            let states: BTreeSet<String> = states.map(|state| format!("{state:?}")).collect();
            assert_eq!(states, ends(kind, open), "{kind:?}");
        }
        for (target, state) in [
            ("run/x", "Open"),
            ("run/x", "Complete"),
            ("gate/x", "Complete"),
            ("gate/x", "Cancelled"),
            ("barrier/x", "Succeeded"),
            ("claim/x", "Open"),
            ("claim/x", "Failed"),
            ("job/x", "Open"),
            ("job/x", ""),
        ] {
            let Err(failure) = Target::parse(target, Some(state)) else {
                panic!("{target} --for {state}");
            };
            assert_eq!(failure.code, crate::exit::USAGE, "{target} --for {state}");
        }
    }

    #[test]
    fn help_lists_the_states_of_every_kind() {
        let command = Arguments::command();
        let wait = command.find_subcommand("wait").unwrap();
        let state = wait
            .get_arguments()
            .find(|argument| argument.get_id() == "state");
        let help = state
            .and_then(|argument| argument.get_help())
            .unwrap()
            .to_string();
        for kind in Kind::ALL {
            let (word, listed) = (kind.word(), kind.listed());
            let listed = listed.trim_end_matches(", Finished");
            let shown = help.split("; ").any(|part| {
                let (kinds, states) = part.split_once(": ").unwrap_or_default();
                kinds.split(" or ").any(|name| name == word) && states == listed
            });
            assert!(shown, "{word}: {listed}: {help}");
        }
    }
}
