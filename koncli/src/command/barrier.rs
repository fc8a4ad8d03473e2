//! `koncli barrier …`

use konductor_api::{ArrivalOutcome, Barrier, BarrierSpec};
use kube::ResourceExt;

use super::{create, delete, get, list};
use crate::arguments::{Barrier as Command, Global, Outcome};
use crate::exit::Failure;
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
            holder,
            outcome,
            timeout,
        } => {
            let client = client.timeout(timeout);
            let holder = cluster::holder(holder.holder.as_deref());
            let outcome = match outcome {
                Outcome::Succeeded => ArrivalOutcome::Succeeded,
                Outcome::Failed => ArrivalOutcome::Failed,
                Outcome::Skipped => ArrivalOutcome::Skipped,
                Outcome::Cancelled => ArrivalOutcome::Cancelled,
            };
            client.arrive_barrier(&name, &holder, outcome).await?;
            output::talk(&format!("{holder} arrived at barrier/{name}"));
            Ok(())
        }
        Command::Delete { name } => delete::<Barrier>(&client, "barrier", &name).await,
    }
}

fn show(global: &Global, barriers: &[Barrier], one: bool) -> Result<(), Failure> {
    let headers = ["NAME", "PHASE", "ARRIVED", "EXPECTED", "FAILED", "AGE"];
    output::objects(
        global,
        "barrier",
        barriers,
        one,
        ResourceExt::name_any,
        &headers,
        |barrier| {
            let status = barrier.status.as_ref();
            vec![
                barrier.name_any(),
                status.map_or("Waiting".into(), |status| format!("{:?}", status.phase)),
                status.map_or(0, |status| status.arrived).to_string(),
                barrier.spec.expected.to_string(),
                status.map_or(0, |status| status.failed).to_string(),
                output::age(barrier.creation_timestamp().map(|time| time.0)),
            ]
        },
    )
}
