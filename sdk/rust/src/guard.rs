//! A grant that is renewed in the background until it is released, dropped or lost.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use konductor_api::{Claim, ClaimPhase, Lenient};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{Instrument, debug_span, instrument};

use crate::backoff::Backoff;
use crate::claimed::Claimed;
use crate::renewal::{Renewal, Renewed, Standing};
use crate::request::{bounded, decoded, delete, is_not_served};
use crate::tidying::Tidying;
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
    api: Api<Lenient<Claim>>,
    tidying: Tidying,
    standing: watch::Receiver<Standing>,
    renewing: JoinHandle<()>,
    released: bool,
}

impl Guard {
    /// `asked` is when the Claim was sent: it was granted some time after. If that is long ago, a
    /// renewal shows how long the grant still lasts at least.
    pub(crate) async fn start(
        client: &Client,
        object: Object,
        claimed: Claimed,
        ttl: Duration,
        asked: Duration,
    ) -> Result<Self, Error> {
        let api = client.api::<Claim>();
        let (to, what) = (api.clone(), claimed.clone());
        let params = client.settings.patch_params();
        let mut renewal = Renewal {
            ttl,
            now: clock::now,
            send: move || {
                let (to, what, params) = (to.clone(), what.clone(), params.clone());
                async move { renew(&to, &what, &params).await }
            },
        };
        let mut confirmed = asked;
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
        Ok(Self {
            object,
            claimed,
            ttl,
            api,
            tidying: client.tidying.clone(),
            standing,
            renewing: tokio::spawn(renewal.run(confirmed, report).instrument(hold)),
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

    /// Releases it, and waits until that is done.
    ///
    /// # Errors
    /// What the API server refuses; the grant then ends with its TTL.
    #[instrument(level = "debug", skip_all, fields(on = %self.object, claim = self.claimed.name))]
    pub async fn release(mut self) -> Result<(), Error> {
        self.released = true;
        self.renewing.abort();
        let uid = Some(self.claimed.uid.clone());
        // After its TTL it has ended without this.
        let patience = self.ttl + TIDY_WITHIN;
        delete(&self.api, &self.claimed.name, uid, patience)
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
        let (api, claimed) = (self.api.clone(), self.claimed.clone());
        self.tidying.spawn(async move {
            let deleted = delete(&api, &claimed.name, Some(claimed.uid), TIDY_WITHIN).await;
            if let Err(error) = deleted {
                tracing::warn!(claim = claimed.name, %error, "it could not be released; its TTL ends it");
            }
        });
    }
}

/// Renews a Claim. It is held where the answer still says Granted, with the same token.
async fn renew(api: &Api<Lenient<Claim>>, claimed: &Claimed, params: &PatchParams) -> Renewed {
    let patch = Patch::Merge(json!({
        "metadata": {"uid": claimed.uid},
        "spec": {"renewTime": MicroTime(Timestamp::now())},
    }));
    let answer = api.patch(&claimed.name, params, &patch).await;
    match answer.and_then(decoded) {
        Ok(found) if grants(&found, claimed) => Renewed::Held,
        Ok(_) => Renewed::TakenBack,
        Err(kube::Error::Api(status)) if status.code == 409 => {
            // Another uid, or only many writes at once: the stored object shows which.
            let found = bounded(api.get(&claimed.name)).await;
            match found.and_then(decoded) {
                Ok(found) if !grants(&found, claimed) => Renewed::TakenBack,
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

fn grants(found: &Claim, claimed: &Claimed) -> bool {
    let is_same = found.metadata.uid.as_ref() == Some(&claimed.uid);
    let status = found.status.as_ref();
    is_same
        && status.is_some_and(|status| {
            status.phase == ClaimPhase::Granted && status.token == claimed.token
        })
}
