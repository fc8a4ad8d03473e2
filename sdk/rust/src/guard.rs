//! A grant that is renewed in the background until it is released, dropped or lost.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use konductor_api::{Claim, ClaimPhase};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::claim::{Claimed, delete};
use crate::{Client, Error, Object, clock};

/// The TTL of what stays and renews.
pub(crate) const GUARD_TTL: SignedDuration = SignedDuration::from_secs(30);

/// A grant that is held. Dropping it gives it back in the background; [`Guard::release`] waits until
/// that is done.
///
/// # Guarantees
/// [`Guard::lost`] is ready at 4/5 of the TTL after the last renewal that was asked for and
/// confirmed, on a clock that goes on while the machine sleeps: before anybody else is granted it.
#[derive(Debug)]
pub struct Guard {
    object: Object,
    claimed: Claimed,
    api: Api<Claim>,
    lost: watch::Receiver<Option<String>>,
    renewing: JoinHandle<()>,
    released: bool,
}

impl Guard {
    /// `asked` is when the Claim was sent: it was granted some time after. Where that is long ago, a
    /// renewal tells how long the grant still lasts at least.
    pub(crate) async fn start(
        client: Client,
        object: Object,
        claimed: Claimed,
        ttl: Option<konductor_api::Duration>,
        asked: Duration,
    ) -> Result<Self, Error> {
        let ttl = ttl.and_then(|ttl| ttl.parse().ok()).unwrap_or(GUARD_TTL);
        let ttl = Duration::try_from(ttl).unwrap_or_default();
        let (tell, lost) = watch::channel(None);
        let api = client.api::<Claim>();
        let mut renewal = Renewal {
            api: api.clone(),
            claimed: claimed.clone(),
            ttl,
            confirmed: asked,
        };
        let sent = clock::now();
        if sent.saturating_sub(asked) > ttl / 3 {
            match renewal.renew().await {
                Ok(true) => renewal.confirmed = sent,
                Ok(false) => {
                    let message = "it ended before it could be used".to_owned();
                    return Err(Error::Lost { object, message });
                }
                Err(error) => return Err(object.explain(error)),
            }
        }
        let renewing = tokio::spawn(async move {
            let why = renewal.go_on().await;
            let _ = tell.send(Some(why));
        });
        Ok(Self {
            object,
            claimed,
            api,
            lost,
            renewing,
            released: false,
        })
    }

    /// The fencing token of a Lease's grant: hand it to the storage you protect, and let the
    /// storage refuse lower ones.
    pub fn token(&self) -> Option<i64> {
        self.claimed.token
    }

    /// The name of the Claim behind it.
    pub fn claim(&self) -> &str {
        &self.claimed.name
    }

    /// Is ready when the grant is lost: stop at once.
    pub async fn lost(&self) -> Error {
        let mut lost = self.lost.clone();
        let why = match lost.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "renewal has stopped".to_owned(),
        };
        Error::Lost {
            object: self.object.clone(),
            message: why,
        }
    }

    /// Gives it back, and waits until that is done.
    ///
    /// # Errors
    /// What the API server refuses; the grant then ends with its TTL.
    pub async fn release(mut self) -> Result<(), Error> {
        self.released = true;
        self.renewing.abort();
        let uid = Some(self.claimed.uid.clone());
        delete(&self.api, &self.claimed.name, uid)
            .await
            .map_err(|e| self.object.explain(e))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.renewing.abort();
        if self.released {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (api, claimed) = (self.api.clone(), self.claimed.clone());
            runtime.spawn(async move {
                // Where it fails, the TTL ends the grant.
                let _ = delete(&api, &claimed.name, Some(claimed.uid)).await;
            });
        }
    }
}

struct Renewal {
    api: Api<Claim>,
    claimed: Claimed,
    ttl: Duration,
    /// When the last renewal that was confirmed was sent.
    confirmed: Duration,
}

impl Renewal {
    /// Renews at every third of the TTL; returns why it can't go on.
    async fn go_on(mut self) -> String {
        loop {
            let since = clock::now().saturating_sub(self.confirmed);
            let left = (self.ttl * 4 / 5).saturating_sub(since);
            if left.is_zero() {
                return "it was not renewed in time".to_owned();
            }
            let pause = (self.ttl / 3)
                .saturating_sub(since)
                .max(self.ttl / 30)
                .min(left);
            tokio::time::sleep(pause).await;
            let sent = clock::now();
            let left = (self.ttl * 4 / 5).saturating_sub(sent.saturating_sub(self.confirmed));
            let answer = tokio::time::timeout(left, self.renew()).await;
            match confirmed(&self.claimed.name, sent, answer) {
                Ok(Some(confirmed)) => self.confirmed = confirmed,
                // Tried again until the time is up.
                Ok(None) => {}
                Err(why) => return why.to_owned(),
            }
        }
    }

    /// Whether the answer still says Granted, with the same token.
    async fn renew(&self) -> Result<bool, kube::Error> {
        let patch = Patch::Merge(json!({
            "metadata": {"uid": self.claimed.uid},
            "spec": {"renewTime": MicroTime(Timestamp::now())},
        }));
        let claim = self
            .api
            .patch(&self.claimed.name, &PatchParams::default(), &patch)
            .await?;
        let status = claim.status.unwrap_or_default();
        Ok(status.phase == ClaimPhase::Granted && status.token == self.claimed.token)
    }
}

/// From when on a renewal counts that was sent then: the operator may have seen it as early as that,
/// however late the answer comes. `None` where it does not count; the error is why the grant is lost.
fn confirmed<E>(
    claim: &str,
    sent: Duration,
    answer: Result<Result<bool, kube::Error>, E>,
) -> Result<Option<Duration>, &'static str> {
    match answer {
        Ok(Ok(true)) => Ok(Some(sent)),
        Ok(Ok(false)) => Err("the operator took it back"),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
            Err("its claim was deleted")
        }
        Ok(Err(error)) => {
            tracing::debug!(claim, %error, "a renewal failed");
            Ok(None)
        }
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to each of these came a second after the renewal was sent.
    #[test]
    fn a_renewal_counts_from_its_sending() {
        let sent = clock::now().saturating_sub(Duration::from_secs(1));
        let after = |answer: Result<bool, kube::Error>| confirmed::<()>("c", sent, Ok(answer));
        let refused = |code| {
            let status = kube::core::Status::failure("no", "No").with_code(code);
            Err(kube::Error::Api(Box::new(status)))
        };
        let table = [
            (after(Ok(true)), Ok(Some(sent))),
            (after(Ok(false)), Err("the operator took it back")),
            (after(refused(404)), Err("its claim was deleted")),
            (after(refused(409)), Err("its claim was deleted")),
            (after(refused(503)), Ok(None)),
            (confirmed("c", sent, Err(())), Ok(None)),
        ];
        for (index, (found, expected)) in table.into_iter().enumerate() {
            assert_eq!(found, expected, "case {index}");
        }
    }
}
