//! `koncli gate …`

use konductor_api::condition::OPEN;
use konductor_api::{Gate, GateCondition, GateDecision, GateMode, GatePhase, GateSpec};
use kube::ResourceExt;
use kube::api::Patch;
use serde::de::DeserializeOwned;

use super::{api, create, delete, get, list, object};
use crate::arguments::{Format, Gate as Command, Global};
use crate::exit::Failure;
use crate::view::message;
use crate::{cluster, output};

pub(crate) async fn gate(global: &Global, command: Command) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    match command {
        Command::Create {
            name,
            conditions,
            any,
            timeout,
        } => {
            let conditions = conditions.iter().map(|text| condition(text));
            let spec = GateSpec {
                conditions: conditions.collect::<Result<_, _>>()?,
                mode: if any { GateMode::Any } else { GateMode::All },
                when: None,
                decision: None,
                timeout,
                ttl_after_finished: None,
            };
            create(&client, "gate", &Gate::new(&name, spec)).await
        }
        Command::List => show(global, &list(&client, global).await?, false),
        Command::Get { name } => show(global, &[get(&client, "gate", &name).await?], true),
        Command::Wait { name, patience } => {
            let client = patience.client(client);
            client.wait_gate(&name, patience.timeout).await?;
            Ok(())
        }
        Command::Open { name } => decide(&client, &name, GateDecision::Open).await,
        Command::Fail { name } => decide(&client, &name, GateDecision::Failed).await,
        Command::Delete { name } => delete::<Gate>(&client, "gate", &name).await,
    }
}

async fn decide(
    client: &konductor::Client,
    name: &str,
    decision: GateDecision,
) -> Result<(), Failure> {
    // To decide needs no right to look: then what is stored decides.
    let gate = api::<Gate>(client).get_opt(name).await.ok().flatten();
    match gate.and_then(|gate| gate.spec.decision) {
        Some(stored) if stored == decision => {
            let done = by_hand(decision);
            output::stderr(&format!("gate/{name} was already {done}"));
            return Ok(());
        }
        Some(stored) => return Err(decided_before(name, by_hand(stored))),
        None => {}
    }
    let patch = Patch::Merge(serde_json::json!({"spec": {"decision": decision}}));
    let patched = api::<Gate>(client)
        .patch(name, &cluster::patch_params(), &patch)
        .await;
    let gate = patched.map_err(|error| match error {
        kube::Error::Api(status) if status.message.contains(DECIDED_ONCE) => {
            decided_before(name, "decided by hand")
        }
        error => object(client, "gate", name).explain(error).into(),
    })?;
    let decided_phase = match decision {
        GateDecision::Open => GatePhase::Open,
        GateDecision::Failed => GatePhase::Failed,
    };
    match gate.status.map(|status| status.phase) {
        Some(phase) if phase == decided_phase => {
            output::stderr(&format!("gate/{name} is already {phase:?}"));
        }
        None | Some(GatePhase::Waiting) => {
            output::stderr(&format!("gate/{name} {}", by_hand(decision)));
        }
        Some(phase) => {
            let message = format!("gate/{name} has already ended: it is {phase:?}");
            return Err(Failure::failed(message).help("create another Gate"));
        }
    }
    Ok(())
}

/// What the rule of the CRD says to a second decision.
const DECIDED_ONCE: &str = "a decision is made once";

fn by_hand(decision: GateDecision) -> &'static str {
    match decision {
        GateDecision::Open => "opened by hand",
        GateDecision::Failed => "failed by hand",
    }
}

fn decided_before(name: &str, how: &str) -> Failure {
    Failure::failed(format!("gate/{name} was already {how}"))
        .help("a Gate is decided once: create another Gate")
}

/// Reads `job/extract=Complete`.
fn condition(text: &str) -> Result<GateCondition, Failure> {
    let wrong = || {
        Failure::usage(format!("{text:?} is not a condition"))
            .help("write KIND/NAME=STATE, such as job/extract=Complete or barrier/workers=Open")
    };
    let (target, state) = text.split_once('=').ok_or_else(wrong)?;
    let (kind, name) = target.split_once('/').ok_or_else(wrong)?;
    let kind = word(kind).ok_or_else(wrong)?;
    let state = word(state).ok_or_else(wrong)?;
    Ok(GateCondition {
        kind,
        name: Some(name.to_owned()),
        namespace: None,
        selector: None,
        count: None,
        pipeline: None,
        within: None,
        state,
        verified: false,
    })
}

/// Reads a word of the API, such as `Job`, in whatever case it is written.
fn word<T: DeserializeOwned>(text: &str) -> Option<T> {
    let mut word = text.to_lowercase();
    word.get_mut(..1)?.make_ascii_uppercase();
    serde_json::from_value(word.into()).ok()
}

fn show(global: &Global, gates: &[Gate], is_single: bool) -> Result<(), Failure> {
    let wide = global.output == Some(Format::Wide);
    let mut headers = vec!["NAME", "PHASE", "MET", "TOTAL"];
    headers.extend(wide.then_some("MESSAGE"));
    headers.push("AGE");
    output::objects(
        global,
        "gate",
        gates,
        is_single,
        ResourceExt::name_any,
        &headers,
        |gate| {
            let status = gate.status.as_ref();
            let mut row = vec![
                gate.name_any(),
                status.map_or("Waiting".into(), |status| format!("{:?}", status.phase)),
                status.map_or(0, |status| status.met).to_string(),
                gate.spec.conditions.len().to_string(),
            ];
            let message = status.and_then(|status| message(&status.conditions, OPEN));
            row.extend(wide.then(|| message.unwrap_or_default()));
            row.push(output::age(gate.creation_timestamp().map(|time| time.0)));
            row
        },
    )
}

#[cfg(test)]
mod tests {
    use konductor_api::{ConditionKind, ConditionState};

    use super::*;

    #[test]
    fn conditions_are_read_as_kind_name_and_state() {
        let read = condition("Job/extract=complete").unwrap();
        assert_eq!(
            (read.kind, read.state),
            (ConditionKind::Job, ConditionState::Complete)
        );
        for wrong in [
            "job",
            "job/x",
            "pod/x=Complete",
            "job/x=Done",
            "é/x=Open",
            "/x=Open",
        ] {
            assert!(condition(wrong).is_err(), "{wrong}");
        }
    }
}
