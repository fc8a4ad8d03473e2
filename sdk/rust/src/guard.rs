//! A grant that is renewed in the background until it is released, dropped or lost.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use konductor_api::{Claim, ClaimPhase};
use kube::api::Patch;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{Instrument, debug_span, instrument};

use crate::backoff::Backoff;
use crate::claimed::Claimed;
use crate::event::Event;
use crate::renewal::{Renewal, Renewed, Standing};
use crate::request::{bounded, decoded, delete, is_not_served};
use crate::{Client, Error, Object, clock};

/// Bounds the deletion of a Claim that is not wanted any more.
pub(crate) const TIDY_WITHIN: Duration = Duration::from_secs(5);

/// A grant that is held. Dropping it releases it in the background, for which
/// [`Client::settled`] waits; [`Guard::release`] waits itself, and returns whether it succeeded.
///
/// # Guarantees
/// [`Guard::lost`] is ready at 4/5 of the TTL after the last renewal that was asked for and
/// confirmed, on a clock that runs while the machine sleeps: before another holder is granted it.
#[derive(Debug)]
pub struct Guard {
    object: Object,
    claimed: Claimed,
    ttl: Duration,
    standing: watch::Receiver<Standing>,
    /// Nothing once it is released.
    kept: Option<Kept>,
}

/// What keeps a grant.
#[derive(Debug)]
struct Kept {
    client: Client,
    /// When it was granted, by the clock that counts TTLs.
    since: Duration,
    renewing: JoinHandle<()>,
}

impl Kept {
    /// Reports the end of the hold to those who count.
    fn report_released(&self, object: &Object) {
        let after = clock::now().saturating_sub(self.since);
        let object = object.clone();
        let released = || Event::Released { object, after };
        self.client.settings.observer.report(released);
    }
}

impl Guard {
    /// `claimed_at` is when the Claim was sent: it was granted some time after. If that is long ago, a
    /// renewal shows how long the grant still lasts at least.
    pub(crate) async fn start(
        client: &Client,
        object: Object,
        claimed: Claimed,
        ttl: Duration,
        claimed_at: Duration,
    ) -> Result<Self, Error> {
        let (by, what, held) = (client.clone(), claimed.clone(), object.clone());
        let mut renewal = Renewal {
            ttl,
            now: clock::now,
            send: move || {
                let (client, claimed, object) = (by.clone(), what.clone(), held.clone());
                async move {
                    let begun = clock::now();
                    let renewed = renew(&client, &claimed).await;
                    report_renewal(&client, object, renewed, begun);
                    renewed
                }
            },
        };
        let mut confirmed = claimed_at;
        let mut pauses = Backoff::default();
        let begun = clock::now();
        loop {
            let sent = clock::now();
            if sent.saturating_sub(confirmed) <= ttl / 3 {
                break;
            }
            match renewal.attempt(ttl).await {
                Renewed::Held => confirmed = sent,
                Renewed::TakenBack => {
                    let message = "it ended before it could be used".to_owned();
                    return Err(Error::Lost { object, message });
                }
                // It was granted before this began, so it has ended.
                Renewed::NotKnown if clock::now().saturating_sub(begun) >= ttl => {
                    let message =
                        "it was granted, but no renewal of it was confirmed within its TTL";
                    let message = format!("{message}; ask again");
                    return Err(Error::Lost { object, message });
                }
                Renewed::NotKnown => pauses.pause().await,
            }
        }
        let (report, standing) = watch::channel(Standing::Until(renewal.end(confirmed)));
        // It lasts longer than the acquisition, and follows from it.
        let hold = debug_span!(parent: None, "hold", on = %object, claim = claimed.name);
        hold.follows_from(tracing::Span::current());
        let since = clock::now();
        let (lost, observer) = (object.clone(), client.settings.observer.clone());
        let renewing = async move {
            renewal.run(confirmed, report).await;
            let after = clock::now().saturating_sub(since);
            let object = lost;
            observer.report(|| Event::Lost { object, after });
        };
        Ok(Self {
            object,
            claimed,
            ttl,
            standing,
            kept: Some(Kept {
                client: client.clone(),
                since,
                renewing: tokio::spawn(renewing.instrument(hold)),
            }),
        })
    }

    /// Makes one that nothing renews, for a test.
    #[cfg(feature = "testing")]
    pub(crate) fn fake(
        object: Object,
        claimed: Claimed,
        standing: watch::Receiver<Standing>,
    ) -> Self {
        Self {
            object,
            claimed,
            ttl: Duration::MAX,
            standing,
            kept: None,
        }
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
        let mut standing = self.standing.clone();
        let is_lost = |standing: &Standing| matches!(standing, Standing::Lost(_));
        match standing.wait_for(is_lost).await.as_deref() {
            Ok(Standing::Lost(why)) => self.because(why),
            _ => self.because("renewal has stopped"),
        }
    }

    /// How long no other holder is granted it after [`Guard::lost`], at least, unless it was revoked.
    pub fn left_when_lost(&self) -> Duration {
        self.ttl / 5
    }

    /// Whether it is held in this moment. This looks at the clock, so a program that was stopped for
    /// longer than the TTL learns of the loss before it continues.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn check(&self) -> Result<(), Error> {
        match *self.standing.borrow() {
            Standing::Until(end) if clock::now() < end => Ok(()),
            Standing::Until(_) => Err(self.because("it was not renewed in time")),
            Standing::Lost(why) => Err(self.because(why)),
        }
    }

    fn because(&self, why: &str) -> Error {
        Error::Lost {
            object: self.object.clone(),
            message: why.to_owned(),
        }
    }

    /// Releases it, and waits until that is done, for 5 s at most.
    ///
    /// # Errors
    /// What the API server refuses, or [`Error::Unreachable`]; the grant then ends with its TTL.
    #[instrument(level = "debug", skip_all, fields(on = %self.object, claim = self.claimed.name))]
    pub async fn release(mut self) -> Result<(), Error> {
        let Some(kept) = self.kept.take() else {
            return Ok(());
        };
        kept.renewing.abort();
        let is_held = self.check().is_ok();
        let released = release(&kept.client, &self.claimed).await;
        if is_held && released.is_ok() {
            kept.report_released(&self.object);
        }
        released.map_err(|error| self.object.explain(error))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(kept) = self.kept.take() else {
            return;
        };
        kept.renewing.abort();
        let is_held = self.check().is_ok();
        let (tidying, claimed) = (kept.client.tidying.clone(), self.claimed.clone());
        let object = self.object.clone();
        tidying.spawn(async move {
            match release(&kept.client, &claimed).await {
                Ok(()) if is_held => kept.report_released(&object),
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(claim = claimed.name, %error, "it could not be released; its TTL ends it");
                }
            }
        });
    }
}

fn report_renewal(client: &Client, object: Object, renewed: Renewed, begun: Duration) {
    let after = clock::now().saturating_sub(begun);
    client.settings.observer.report(|| match renewed {
        Renewed::Held => Event::Renewed { object, after },
        Renewed::TakenBack | Renewed::NotKnown => Event::RenewalFailed { object },
    });
}

async fn release(client: &Client, claimed: &Claimed) -> Result<(), kube::Error> {
    let (limit, uid) = (&client.limits.requests, Some(claimed.uid.clone()));
    // Kubernetes gives a pod 30 s to end, and a TTL may be longer.
    delete(
        limit,
        &client.api::<Claim>(),
        &claimed.name,
        uid,
        TIDY_WITHIN,
    )
    .await
}

/// Renews a Claim. It is held where the answer still says Granted, with the same token.
async fn renew(client: &Client, claimed: &Claimed) -> Renewed {
    let (api, limit) = (client.api::<Claim>(), &client.limits.renewals);
    let patch = Patch::Merge(json!({
        "metadata": {"uid": claimed.uid},
        "spec": {"renewTime": MicroTime(Timestamp::now())},
    }));
    let params = client.settings.patch_params();
    let answer = bounded(limit, api.patch(&claimed.name, &params, &patch)).await;
    match answer.and_then(decoded) {
        Ok(claim) if grants(&claim, claimed) => Renewed::Held,
        Ok(_) => Renewed::TakenBack,
        Err(kube::Error::Api(status)) if status.code == 409 => {
            // Another uid, or only many writes at once: the stored object shows which.
            let stored = bounded(limit, api.get(&claimed.name)).await;
            match stored.and_then(decoded) {
                Ok(claim) if !grants(&claim, claimed) => Renewed::TakenBack,
                Ok(_) => Renewed::NotKnown,
                Err(error) => failed(claimed, &error),
            }
        }
        Err(error) => failed(claimed, &error),
    }
}

fn failed(claimed: &Claimed, error: &kube::Error) -> Renewed {
    match error {
        kube::Error::Api(status) if status.code == 404 && !is_not_served(status) => {
            Renewed::TakenBack
        }
        error => {
            tracing::debug!(claim = claimed.name, %error, "a renewal failed");
            Renewed::NotKnown
        }
    }
}

fn grants(claim: &Claim, claimed: &Claimed) -> bool {
    let is_same = claim.metadata.uid.as_ref() == Some(&claimed.uid);
    let status = claim.status.as_ref();
    is_same
        && status.is_some_and(|status| {
            status.phase == ClaimPhase::Granted && status.token == claimed.token
        })
}
