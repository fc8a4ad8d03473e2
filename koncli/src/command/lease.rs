//! `koncli lease …`

use konductor_api::{Duration, Lease, LeaseSpec, LedgerKind};
use kube::ResourceExt;

use super::{claim, create, delete, get, hold, list};
use crate::arguments::{Global, Lease as Command};
use crate::exit::Failure;
use crate::{cluster, output};

pub(crate) async fn lease(global: &Global, command: Command) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    match command {
        Command::Create { name, ttl } => {
            create(&client, "lease", &Lease::new(&name, LeaseSpec { ttl })).await
        }
        Command::List => show(global, &list(&client, global).await?, false),
        Command::Get { name } => show(global, &[get(&client, "lease", &name).await?], true),
        Command::Acquire { name, acquire } => {
            let client = acquire.patience.client(client);
            let request = claim::request(client.lease(&name), &acquire);
            let acquiring = claim::acquire(request, LedgerKind::Lease, &name);
            claim::with_warning(shorter(&client, &name, acquire.ttl.as_ref()), acquiring).await
        }
        Command::Renew { name, holder } => {
            claim::renew(&client, LedgerKind::Lease, &name, &holder).await
        }
        Command::Release { name, holder } => {
            claim::release(client.lease(&name), &holder, "lease", &name).await
        }
        Command::Hold {
            name,
            acquire,
            command,
        } => {
            let client = acquire.patience.client(client);
            let request = claim::request(client.lease(&name), &acquire);
            let holding = hold::hold(&client, request, &command);
            claim::with_warning(shorter(&client, &name, acquire.ttl.as_ref()), holding).await
        }
        Command::Delete { name } => delete::<Lease>(&client, "lease", &name).await,
    }
}

/// The warning that a grant will be shorter than what was asked for. Who may not read the Lease gets none.
async fn shorter(client: &konductor::Client, name: &str, ttl: Option<&Duration>) -> Option<String> {
    let ttl = ttl?;
    let lease: Lease = get(client, "lease", name).await.ok()?;
    let ceiling = &lease.spec.ttl;
    let is_more = ttl.parse().ok()? > ceiling.parse().ok()?;
    is_more.then(|| {
        format!("lease/{name} has ttl {ceiling}, so the grant lasts {ceiling} without renewal, and not {ttl}")
    })
}

fn show(global: &Global, leases: &[Lease], is_single: bool) -> Result<(), Failure> {
    let headers = ["NAME", "PHASE", "HOLDER", "TTL", "TOKEN", "AGE"];
    output::objects(
        global,
        "lease",
        leases,
        is_single,
        ResourceExt::name_any,
        &headers,
        |lease| {
            let status = lease.status.clone().unwrap_or_default();
            vec![
                lease.name_any(),
                format!("{:?}", status.phase),
                status
                    .holders
                    .first()
                    .map_or("-".into(), |held| held.holder.clone()),
                lease.spec.ttl.to_string(),
                status.token.map_or("-".into(), |token| token.to_string()),
                output::age(lease.creation_timestamp().map(|time| time.0)),
            ]
        },
    )
}
