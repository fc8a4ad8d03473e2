//! `koncli barrier …`

use konductor_api::condition::OPEN;
use konductor_api::{ArrivalOutcome, Barrier, BarrierSpec};
use kube::ResourceExt;

use super::{create, delete, get, list};
use crate::arguments::{Barrier as Command, Format, Global, Outcome};
use crate::exit::Failure;
use crate::view::message;
use crate::{cluster, output};

pub(crate) async fn barrier(global: &Global, command: Command) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    match command {
        Command::Create {
            name,
            expected,
            quorum,
            timeout,
        } => {
            let spec = BarrierSpec {
                expected,
                quorum,
                jobs: None,
                gate: None,
                timeout,
                ttl_after_finished: None,
                arrivals: konductor_api::Arrivals::Anyone,
            };
            create(&client, "barrier", &Barrier::new(&name, spec)).await
        }
        Command::List => show(global, &list(&client, global).await?, false),
        Command::Get { name } => show(global, &[get(&client, "barrier", &name).await?], true),
        Command::Wait { name, patience } => {
            let client = patience.client(client);
            client.wait_barrier(&name, patience.timeout).await?;
            Ok(())
        }
        Command::Arrive {
            name,
            party,
            outcome,
            timeout,
        } => {
            let client = client.timeout(timeout);
            let holder = cluster::holder(party.holder.as_deref());
            let outcome = match outcome {
                Outcome::Succeeded => ArrivalOutcome::Succeeded,
                Outcome::Failed => ArrivalOutcome::Failed,
                Outcome::Skipped => ArrivalOutcome::Skipped,
                Outcome::Cancelled => ArrivalOutcome::Cancelled,
            };
            client.arrive_barrier(&name, &holder, outcome).await?;
            let did = match outcome {
                ArrivalOutcome::Succeeded => "arrived",
                ArrivalOutcome::Failed => "reported failed",
                ArrivalOutcome::Skipped => "reported skipped",
                ArrivalOutcome::Cancelled => "reported cancelled",
            };
            output::stderr(&format!("{holder} {did} at barrier/{name}"));
            Ok(())
        }
        Command::Delete { name } => delete::<Barrier>(&client, "barrier", &name).await,
    }
}

fn show(global: &Global, barriers: &[Barrier], is_single: bool) -> Result<(), Failure> {
    let wide = global.output == Some(Format::Wide);
    let mut headers = vec!["NAME", "PHASE", "ARRIVED", "EXPECTED", "FAILED"];
    headers.extend(wide.then_some("MESSAGE"));
    headers.push("AGE");
    output::objects(
        global,
        "barrier",
        barriers,
        is_single,
        ResourceExt::name_any,
        &headers,
        |barrier| {
            let status = barrier.status.as_ref();
            let mut row = vec![
                barrier.name_any(),
                status.map_or("Waiting".into(), |status| format!("{:?}", status.phase)),
                status.map_or(0, |status| status.arrived).to_string(),
                barrier.spec.expected.to_string(),
                status.map_or(0, |status| status.failed).to_string(),
            ];
            let message = status.and_then(|status| message(&status.conditions, OPEN));
            row.extend(wide.then(|| message.unwrap_or_default()));
            row.push(output::age(barrier.creation_timestamp().map(|time| time.0)));
            row
        },
    )
}
