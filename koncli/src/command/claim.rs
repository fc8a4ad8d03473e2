//! Acquiring and releasing for a script: the grant outlives the process.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use konductor::Request;
use konductor_api::{Claim, ClaimPhase, ClaimTarget, LedgerKind, PodReference};
use kube::ResourceExt;
use kube::api::{ListParams, Patch};

use super::{api, object};
use crate::arguments::{Acquisition, Holder};
use crate::exit::{Failure, NOT_FOUND};
use crate::suggestion::suggested;
use crate::{cluster, output, read};

/// What the arguments say about an acquisition.
pub(crate) fn request(request: Request, acquire: &Acquisition) -> Request {
    let mut request = request
        .holder(cluster::holder(acquire.holder.holder.as_deref()))
        .timeout(acquire.patience.timeout);
    if let Some(ttl) = &acquire.ttl {
        request = request.ttl(ttl.clone());
    }
    // If the pod's name and uid are known from the downward API, the grant ends with the pod.
    if let (Ok(name), Ok(uid)) = (std::env::var("POD_NAME"), std::env::var("POD_UID")) {
        request = request.pod(PodReference { name, uid });
    }
    request
}

/// Acquires, and prints a Lease's fencing token.
pub(crate) async fn acquire(request: Request, kind: LedgerKind, name: &str) -> Result<(), Failure> {
    let claimed = request.claim().await?;
    output::stderr(&format!("{kind}/{name} acquired by claim/{}", claimed.name));
    if let Some(token) = claimed.token {
        output::stdout(&format!("{token}\n"));
    }
    Ok(())
}

/// Asks, and meanwhile prints a warning if there is one: whatever becomes of the warning, it takes nothing of the
/// timeout.
pub(crate) async fn with_warning<T>(
    warning: impl Future<Output = Option<String>>,
    asking: impl Future<Output = T>,
) -> T {
    tokio::pin!(asking);
    tokio::select! {
        biased;
        warning = warning => {
            if let Some(warning) = warning {
                output::stderr(&warning);
            }
            asking.await
        }
        done = &mut asking => done,
    }
}

/// Releases what a holder has, whichever process acquired it.
pub(crate) async fn release(
    request: Request,
    holder: &Holder,
    kind: &str,
    name: &str,
) -> Result<(), Failure> {
    let holder = cluster::holder(holder.holder.as_deref());
    match request.holder(&holder).release().await? {
        0 => Err(Failure::new(
            NOT_FOUND,
            format!("{holder} holds nothing of {kind}/{name}"),
        )
        .help(format!(
            "name another holder with --holder, or look at {}",
            suggested("kubectl get claims")
        ))),
        count => {
            output::stderr(&match count {
                1 => format!("{kind}/{name} released by {holder}"),
                more => format!("{kind}/{name}: {more} grants released by {holder}"),
            });
            Ok(())
        }
    }
}

/// Renews what a holder has.
pub(crate) async fn renew(
    client: &konductor::Client,
    kind: LedgerKind,
    name: &str,
    holder: &Holder,
) -> Result<(), Failure> {
    let holder = cluster::holder(holder.holder.as_deref());
    let explain = |error| Failure::from(object(client, kind.word(), name).explain(error));
    let target = ClaimTarget {
        kind,
        name: name.to_owned(),
    };
    let fields = format!("{},spec.holder={holder}", target.field_selector());
    let claims = api::<Claim>(client);
    let of_holder = ListParams::default().fields(&fields);
    let candidates = read::list(&claims, &of_holder).await.map_err(explain)?;
    let granted = candidates.iter().find(|claim| {
        claim
            .status
            .as_ref()
            .is_some_and(|status| status.phase == ClaimPhase::Granted)
    });
    let Some(claim) = granted else {
        return Err(
            Failure::failed(format!("{holder} does not hold {kind}/{name}"))
                .help("acquire it again; another holder may have held it in between"),
        );
    };
    let patch = Patch::Merge(serde_json::json!({
        "metadata": {"uid": claim.metadata.uid},
        "spec": {"renewTime": MicroTime(Timestamp::now())},
    }));
    let name_of_claim = claim.name_any();
    let renewed = claims
        .patch(&name_of_claim, &cluster::patch_params(), &patch)
        .await;
    let renewed = renewed.map_err(explain)?;
    match renewed
        .status
        .is_some_and(|status| status.phase == ClaimPhase::Granted)
    {
        true => Ok(()),
        false => Err(Failure::failed(format!(
            "{kind}/{name} is not {holder}'s any more"
        ))),
    }
}
