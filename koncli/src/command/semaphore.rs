//! `koncli semaphore …`

use konductor_api::{LedgerKind, Order, Semaphore, SemaphoreSpec};
use kube::ResourceExt;

use super::{claim, create, delete, get, hold, list};
use crate::arguments::{Format, Global, Semaphore as Command};
use crate::exit::Failure;
use crate::{cluster, output};

pub(crate) async fn semaphore(global: &Global, command: Command) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    match command {
        Command::Create {
            name,
            permits,
            by_priority,
        } => {
            let order = if by_priority {
                Order::Priority
            } else {
                Order::Fifo
            };
            let spec = SemaphoreSpec { permits, order };
            create(&client, "semaphore", &Semaphore::new(&name, spec)).await
        }
        Command::List => show(global, &list(&client, global).await?, false),
        Command::Get { name } => show(global, &[get(&client, "semaphore", &name).await?], true),
        Command::Acquire {
            name,
            acquire,
            permits,
            priority,
        } => {
            let client = acquire.patience.client(client);
            let request = claim::request(client.semaphore(&name), &acquire);
            let request = request.permits(permits).priority(priority);
            let acquiring = claim::acquire(request, LedgerKind::Semaphore, &name);
            claim::with_warning(closed(&client, &name), acquiring).await
        }
        Command::Release { name, holder } => {
            claim::release(client.semaphore(&name), &holder, "semaphore", &name).await
        }
        Command::Hold {
            name,
            acquire,
            permits,
            priority,
            command,
        } => {
            let client = acquire.patience.client(client);
            let request = claim::request(client.semaphore(&name), &acquire);
            let request = request.permits(permits).priority(priority);
            let holding = hold::hold(&client, request, &command);
            claim::with_warning(closed(&client, &name), holding).await
        }
        Command::Delete { name } => delete::<Semaphore>(&client, "semaphore", &name).await,
    }
}

/// The warning that nothing will be granted. Who may not read the Semaphore gets none.
async fn closed(client: &konductor::Client, name: &str) -> Option<String> {
    let semaphore: Result<Semaphore, Failure> = get(client, "semaphore", name).await;
    semaphore
        .ok()
        .filter(|semaphore| semaphore.spec.permits == 0)?;
    Some(format!(
        "semaphore/{name} is closed (permits: 0); it grants nothing until it has permits"
    ))
}

fn show(global: &Global, semaphores: &[Semaphore], is_single: bool) -> Result<(), Failure> {
    let wide = global.output == Some(Format::Wide);
    let mut headers = vec!["NAME", "PHASE", "PERMITS", "IN-USE", "AVAILABLE"];
    headers.extend(wide.then_some("HOLDERS"));
    headers.push("AGE");
    let name = ResourceExt::name_any;
    output::objects(
        global,
        "semaphore",
        semaphores,
        is_single,
        name,
        &headers,
        |semaphore| {
            let status = semaphore.status.clone().unwrap_or_default();
            let mut row = vec![
                semaphore.name_any(),
                format!("{:?}", status.phase),
                semaphore.spec.permits.to_string(),
                status.in_use.to_string(),
                semaphore
                    .spec
                    .permits
                    .saturating_sub(status.in_use)
                    .to_string(),
            ];
            row.extend(wide.then(|| {
                let holders = status.holders.iter().map(|held| held.holder.as_str());
                holders.collect::<Vec<_>>().join(", ")
            }));
            row.push(output::age(
                semaphore.creation_timestamp().map(|time| time.0),
            ));
            row
        },
    )
}
