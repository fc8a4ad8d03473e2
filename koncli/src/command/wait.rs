//! `koncli wait`, and what every waiting command shares.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Barrier, BarrierPhase, Claim, ClaimPhase, Gate, GatePhase, Run};

use super::{api, doctor, object};
use crate::arguments::Global;
use crate::exit::{Failure, UNREACHABLE};
use crate::view::{State, run_ended, state};
use crate::{cluster, output};

/// After this long without an end, it is asked whether there is an operator at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a Claim that is not wanted any more may take to be withdrawn.
pub(super) const WITHDRAW_WITHIN: Duration = Duration::from_secs(1);

/// Waits for several things, all of them.
pub(crate) async fn wait(
    global: &Global,
    targets: &[String],
    wanted: Option<&str>,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let targets: Vec<(&str, &str)> = targets
        .iter()
        .map(|target| {
            target.split_once('/').ok_or_else(|| {
                Failure::usage(format!("{target:?} is not KIND/NAME"))
                    .help("write run/NAME, gate/NAME, barrier/NAME, claim/NAME or job/NAME")
            })
        })
        .collect::<Result<_, _>>()?;
    let all = targets
        .iter()
        .map(|(kind, name)| one(&client, kind, name, wanted, timeout));
    futures::future::try_join_all(all).await.map(drop)
}

async fn one(
    client: &konductor::Client,
    kind: &str,
    name: &str,
    wanted: Option<&str>,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let kind = match kind {
        "barrier" | "bar" | "barriers" => "barrier",
        "gate" | "gates" => "gate",
        "claim" | "claims" => "claim",
        "job" | "jobs" => "job",
        "run" | "runs" => "run",
        other => {
            return Err(Failure::usage(format!("{other:?} can't be waited for"))
                .help("wait for a run, gate, barrier, claim or job"));
        }
    };
    let target = object(client, kind, name);
    let default = match kind {
        "barrier" | "gate" => "Open",
        "claim" => "Granted",
        "job" => "Complete",
        _ => "Succeeded",
    };
    let wanted = wanted.unwrap_or(default).to_lowercase();
    let known = [
        "open",
        "granted",
        "complete",
        "succeeded",
        "failed",
        "skipped",
        "finished",
    ];
    if !known.contains(&&*wanted) {
        return Err(
            Failure::usage(format!("{wanted:?} is not a state to wait for"))
                .help(format!("wait for one of {}", known.join(", "))),
        );
    }
    // Each kind's end in one word of the same few.
    let answer = |end: Option<(&'static str, String)>| {
        let (end, phase) = end?;
        let met = wanted == "finished" || wanted == end || (end == "good" && is_good(&wanted));
        let error = || konductor::Error::Failed {
            object: target.clone(),
            phase,
            message: format!("it can't be {wanted} any more"),
        };
        Some(if met { Ok(()) } else { Err(error()) })
    };
    let waiting = async {
        match kind {
            "barrier" => {
                until::<Barrier>(client, &target, timeout, |barrier| {
                    answer(match barrier.status.as_ref()?.phase {
                        BarrierPhase::Waiting => None,
                        BarrierPhase::Open => Some(("good", "Open".into())),
                        BarrierPhase::Skipped => Some(("skipped", "Skipped".into())),
                        phase => Some(("failed", format!("{phase:?}"))),
                    })
                })
                .await
            }
            "gate" => {
                until::<Gate>(client, &target, timeout, |gate| {
                    answer(match gate.status.as_ref()?.phase {
                        GatePhase::Waiting => None,
                        GatePhase::Open => Some(("good", "Open".into())),
                        GatePhase::Skipped => Some(("skipped", "Skipped".into())),
                        phase => Some(("failed", format!("{phase:?}"))),
                    })
                })
                .await
            }
            "claim" => {
                until::<Claim>(client, &target, timeout, |claim| {
                    answer(match claim.status.as_ref()?.phase {
                        ClaimPhase::Queued => None,
                        ClaimPhase::Granted => Some(("good", "Granted".into())),
                        phase => Some(("failed", format!("{phase:?}"))),
                    })
                })
                .await
            }
            "job" => {
                until::<Job>(client, &target, timeout, |job| {
                    answer(match state(job) {
                        State::Succeeded => Some(("good", "Complete".into())),
                        State::Skipped => Some(("skipped", "Skipped".into())),
                        one if one.has_ended() => Some(("failed", one.word().into())),
                        _ => None,
                    })
                })
                .await
            }
            _ => {
                until::<Run>(client, &target, timeout, |run| {
                    let phase = run
                        .status
                        .as_ref()
                        .map(|status| format!("{:?}", status.phase));
                    answer(run_ended(run).map(|good| {
                        (
                            if good { "good" } else { "failed" },
                            phase.unwrap_or_default(),
                        )
                    }))
                })
                .await
            }
        }
    };
    with_operator(client, false, waiting).await
}

fn is_good(wanted: &str) -> bool {
    matches!(wanted, "open" | "granted" | "complete" | "succeeded")
}

async fn until<K>(
    client: &konductor::Client,
    target: &konductor::Object,
    timeout: Option<Duration>,
    verdict: impl Fn(&K) -> Option<Result<(), konductor::Error>>,
) -> Result<(), konductor::Error>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    konductor::wait_until(&api::<K>(client), target.clone(), timeout, verdict).await
}

/// Waits until a run has ended; its failure is this command's.
pub(crate) async fn until_run_ends(
    client: &konductor::Client,
    run: &str,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    one(client, "run", run, None, timeout).await?;
    output::talk(&format!("run/{run} succeeded"));
    Ok(())
}

/// Waits until a run has ended, well or not.
pub(crate) async fn until_run_ended(
    client: &konductor::Client,
    run: &str,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    one(client, "run", run, Some("finished"), timeout).await
}

/// Waits for something that only an operator brings. Where none is there, that is told; and a
/// timeout then says so by its exit code. What is asked `once` is not waited for without one.
pub(crate) async fn with_operator<T>(
    client: &konductor::Client,
    once: bool,
    waiting: impl Future<Output = Result<T, konductor::Error>>,
) -> Result<T, Failure> {
    let mut waiting = Box::pin(waiting);
    let missing = tokio::select! {
        done = &mut waiting => return done.map_err(Failure::from),
        () = tokio::time::sleep(PATIENCE) => operator_is_missing(client).await,
    };
    if missing && once {
        // What was asked for is withdrawn: an operator that comes later would grant it to nobody.
        drop(waiting);
        let _ = tokio::time::timeout(WITHDRAW_WITHIN, client.settled()).await;
        return Err(
            Failure::new(UNREACHABLE, "no operator answers, so nothing is granted")
                .help("install it, or run `koncli operator`"),
        );
    }
    if missing {
        output::talk("no operator answers; still waiting (start one with `koncli operator`)");
    }
    let done = waiting.await;
    done.map_err(|error| {
        let timed_out = matches!(error, konductor::Error::TimedOut { .. });
        let failure = Failure::from(error);
        match missing && timed_out {
            true => Failure {
                code: UNREACHABLE,
                ..failure
            }
            .help("no operator answers: install it, or run `koncli operator`"),
            false => failure,
        }
    })
}

/// Whether it is known that no operator leads: where it can't be looked up, nothing is said.
async fn operator_is_missing(client: &konductor::Client) -> bool {
    let leaders = doctor::leaders(client.kube()).await;
    leaders.is_ok_and(|leaders| leaders.is_empty())
}
