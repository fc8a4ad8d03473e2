//! Approvals of a run on this machine: given beforehand by flags, or asked for on the terminal.

use std::future::pending;
use std::io::{IsTerminal, Write, stderr, stdin};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use konductor_api::{ArrivalOutcome, Gate, GatePhase};
use kube::Api;
use kube::runtime::wait::await_condition;

use super::needs::Approval;
use crate::arguments::Given;
use crate::exit::Failure;
use crate::local::NAMESPACE;
use crate::output;
use crate::progress::Progress;

/// Whether somebody can be asked.
pub(super) fn can_ask() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// Gives each approval when it is asked for. It never ends well: the run does.
pub(super) async fn give(
    client: &konductor::Client,
    approvals: &[Approval],
    given: &Given,
    progress: &Progress,
) -> Failure {
    let requests: FuturesUnordered<_> = approvals
        .iter()
        .map(|approval| async move { asked_for(client, approval).await.map(|()| approval) })
        .collect();
    futures::pin_mut!(requests);
    while let Some(approval) = requests.next().await {
        let done = match approval {
            Ok(approval) => decide(client, approval, given, progress).await,
            Err(error) => Err(Failure::failed(error.to_string())),
        };
        if let Err(failure) = done {
            return failure;
        }
    }
    pending().await
}

/// Waits until what comes before an approval is done. If it never is, the run ends without it.
async fn asked_for(
    client: &konductor::Client,
    approval: &Approval,
) -> Result<(), kube::runtime::wait::Error> {
    let Some(gate) = &approval.gate else {
        return Ok(());
    };
    let gates: Api<Gate> = Api::namespaced(client.kube().clone(), NAMESPACE);
    let is_open = |gate: Option<&Gate>| {
        let status = gate.and_then(|gate| gate.status.as_ref());
        status.is_some_and(|status| status.phase == GatePhase::Open)
    };
    await_condition(gates, gate, is_open).await.map(drop)
}

async fn decide(
    client: &konductor::Client,
    approval: &Approval,
    given: &Given,
    progress: &Progress,
) -> Result<(), Failure> {
    let name = &approval.name;
    let outcome = match approval.is_given(given) || ask(name, progress).await? {
        true => ArrivalOutcome::Succeeded,
        false => ArrivalOutcome::Failed,
    };
    let user = std::env::var("USER").ok().filter(|name| !name.is_empty());
    let user = user.unwrap_or_else(|| "somebody".to_owned());
    // Who is alone here speaks for all.
    let voices = match outcome {
        ArrivalOutcome::Succeeded => approval.approvers,
        _ => 1,
    };
    for voice in 1..=voices {
        let holder = match voice {
            1 => user.clone(),
            more => format!("{user}-{more}"),
        };
        client
            .approve_barrier(&approval.barrier, &holder, outcome)
            .await?;
    }
    let word = match outcome {
        ArrivalOutcome::Succeeded => "approved",
        _ => "denied",
    };
    progress.print(&format!("approval {name} {word} by {user}"));
    Ok(())
}

/// Asks on the terminal, above the live view.
async fn ask(name: &str, progress: &Progress) -> Result<bool, Failure> {
    progress.hide();
    let question = format!("approve {}? [y/n] ", output::clean(name));
    let answer = tokio::task::spawn_blocking(move || {
        loop {
            let _ = write!(stderr(), "{question}").and_then(|()| stderr().flush());
            let mut line = String::new();
            // At the end of the input nobody is there who could approve.
            if stdin().read_line(&mut line)? == 0 {
                return Ok(false);
            }
            match line.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => {}
            }
        }
    });
    let answer: std::io::Result<bool> = answer
        .await
        .map_err(|error| Failure::failed(error.to_string()))?;
    progress.show();
    Ok(answer?)
}
