//! Asking for permits or a Lease: one Claim for each acquisition.

use std::time::Duration;

use konductor_api::{
    Claim, ClaimPhase, ClaimSpec, ClaimTarget, Lease, LedgerKind, PodReference, Semaphore,
};
use kube::Api;
use kube::api::ListParams;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Instrument, instrument};

use crate::guard::{Guard, TIDY_WITHIN};
use crate::request::{create_named, delete};
use crate::tidying::Tidying;
use crate::wait::wait_known;
use crate::{Client, Error, Object, clock};

/// What is asked for, and how. Dropping a future that waits leaves no Claim behind: it is deleted in
/// the background, for which [`Client::settled`] waits.
#[derive(Clone, Debug)]
pub struct Request {
    client: Client,
    target: ClaimTarget,
    holder: String,
    permits: u32,
    priority: i32,
    ttl: Option<konductor_api::Duration>,
    timeout: Option<Duration>,
    pod: Option<PodReference>,
}

/// A granted Claim that nobody renews: it ends with its TTL, or when it is released.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The Claim's name.
    pub name: String,
    /// The Claim's uid.
    pub uid: String,
    /// The fencing token of a Lease's grant.
    pub token: Option<i64>,
}

impl Request {
    pub(crate) fn new(client: Client, kind: LedgerKind, name: &str) -> Self {
        Self {
            client,
            target: ClaimTarget {
                kind,
                name: name.to_owned(),
            },
            holder: default_holder(),
            permits: 1,
            priority: 0,
            ttl: None,
            timeout: None,
            pod: None,
        }
    }

    /// Who asks; by default `$KONDUCTOR_HOLDER`, `$POD_NAME`, `$HOSTNAME`, or this process.
    #[must_use]
    pub fn holder(mut self, holder: impl Into<String>) -> Self {
        self.holder = holder.into();
        self
    }

    /// How many permits; 1 by default.
    #[must_use]
    pub fn permits(mut self, permits: u32) -> Self {
        self.permits = permits;
        self
    }

    /// The higher goes first, where the Semaphore's order is Priority.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// How long the grant lasts without renewal.
    #[must_use]
    pub fn ttl(mut self, ttl: konductor_api::Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How long to wait; for ever by default, zero asks once.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// The pod that asks: when it has ended, so has the grant.
    #[must_use]
    pub fn pod(mut self, pod: PodReference) -> Self {
        self.pod = Some(pod);
        self
    }

    /// Waits for the grant, and renews it until it is released or dropped.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`] with a timeout of zero, [`Error::TimedOut`], which tells
    /// where no operator has looked at the Semaphore or Lease, and what the API server refuses.
    #[instrument(level = "debug", skip_all, fields(on = %self.object(), holder = self.holder))]
    pub async fn acquire(mut self) -> Result<Guard, Error> {
        let ttl = self.guard_ttl().await?;
        self.ttl = Some(in_whole_millis(ttl));
        let (begun, asked) = (Instant::now(), clock::now());
        let pending = self.claim_once().await?;
        let (object, claimed) = (self.object(), pending.claimed.clone());
        let started = Guard::start(&self.client, object, claimed, ttl, asked);
        let started = match self.timeout {
            None | Some(Duration::ZERO) => started.await,
            Some(after) => match timeout_at(begun + after, started).await {
                Ok(started) => started,
                Err(_) => Err(self.late(after)),
            },
        };
        match started {
            Ok(guard) => {
                pending.keep();
                Ok(guard)
            }
            Err(error) => {
                pending.give_up().await;
                Err(error)
            }
        }
    }

    /// Waits for the grant and leaves it: for scripts, which release it by holder.
    ///
    /// # Errors
    /// As for [`Request::acquire`].
    #[instrument(level = "debug", skip_all, fields(on = %self.object(), holder = self.holder))]
    pub async fn claim(self) -> Result<Claimed, Error> {
        Ok(self.claim_once().await?.keep())
    }

    /// Acquires, does the work, releases; the work is dropped where the grant is lost. Where giving
    /// back fails, the TTL ends the grant, and that is logged: the work is done.
    ///
    /// # Errors
    /// As for [`Request::acquire`], and [`Error::Lost`].
    pub async fn with<T>(self, work: impl AsyncFnOnce(&Guard) -> T) -> Result<T, Error> {
        let guard = self.acquire().await?;
        let done = tokio::select! {
            done = work(&guard) => done,
            lost = guard.lost() => return Err(lost),
        };
        if let Err(error) = guard.release().await {
            tracing::warn!(%error, "it could not be released; its TTL ends it");
        }
        Ok(done)
    }

    /// Releases every Claim of this holder, whichever process made it; returns how many.
    ///
    /// # Errors
    /// What the API server refuses.
    #[instrument(level = "debug", skip_all, fields(on = %self.object(), holder = self.holder))]
    pub async fn release(self) -> Result<usize, Error> {
        let api = self.client.api::<Claim>();
        let fields = format!(
            "spec.target.kind={:?},spec.target.name={},spec.holder={}",
            self.target.kind, self.target.name, self.holder
        );
        let object = self.object();
        let claims = api
            .list(&ListParams::default().fields(&fields))
            .await
            .map_err(|error| object.explain(error))?;
        let live = claims
            .items
            .iter()
            .filter(|claim| !matches!(phase(claim), ClaimPhase::Denied | ClaimPhase::Expired));
        let count = live.count();
        for claim in &claims.items {
            let name = claim.metadata.name.as_deref().unwrap_or_default();
            delete(&api, name, claim.metadata.uid.clone(), TIDY_WITHIN)
                .await
                .map_err(|error| object.explain(error))?;
        }
        Ok(count)
    }

    fn object(&self) -> Object {
        self.client
            .object(self.target.kind.word(), &self.target.name)
    }

    fn late(&self, after: Duration) -> Error {
        Error::TimedOut {
            object: self.object(),
            after,
            unanswered: false,
        }
    }

    /// What stays and renews uses 30 s where nothing else is asked for, and no more than the Lease's
    /// TTL: the operator counts no more either.
    async fn guard_ttl(&self) -> Result<Duration, Error> {
        let asked = match &self.ttl {
            Some(ttl) => length(ttl).ok_or_else(|| self.unkept(ttl))?,
            None => GUARD_TTL,
        };
        if self.target.kind != LedgerKind::Lease {
            return Ok(asked);
        }
        let lease = self.client.api::<Lease>().get(&self.target.name).await;
        let lease = lease.map_err(|error| self.object().explain(error))?;
        Ok(length(&lease.spec.ttl).map_or(asked, |ceiling| asked.min(ceiling)))
    }

    fn unkept(&self, ttl: &konductor_api::Duration) -> Error {
        Error::Refused {
            object: self.object(),
            message: format!("a TTL of {ttl} can't be kept; use at least 100ms"),
        }
    }

    /// Reads what is asked for, which must exist: whether an operator has ever looked at it. A Claim
    /// in the queue does not tell; one that is not to wait is always answered.
    async fn is_seen(&self) -> Result<bool, Error> {
        let name = &self.target.name;
        let found = match self.target.kind {
            LedgerKind::Semaphore => {
                let found = self.client.api::<Semaphore>().get(name).await;
                found.map(|found| found.status.is_some())
            }
            LedgerKind::Lease => {
                let found = self.client.api::<Lease>().get(name).await;
                found.map(|found| found.status.is_some())
            }
        };
        found.map_err(|error| self.object().explain(error))
    }

    /// After a timeout: whether it is known that no operator has answered.
    async fn is_unanswered(&self, was_seen: bool) -> bool {
        if self.timeout == Some(Duration::ZERO) {
            return true;
        }
        if was_seen {
            return false;
        }
        let is_seen = tokio::time::timeout(LAST_WORDS, self.is_seen()).await;
        matches!(is_seen, Ok(Ok(false)))
    }

    /// Creates a Claim and waits until it is granted. After an error, or where this is dropped, there
    /// is none.
    async fn claim_once(&self) -> Result<Pending, Error> {
        let was_seen = self.is_seen().await?;
        let mut pending = Pending::begin(&self.client, self.new_claim());
        // A question without waiting is answered by the operator; somebody must be there to.
        let within = match self.timeout {
            Some(Duration::ZERO) => Some(ANSWER_WITHIN),
            other => other,
        };
        let granted = match within {
            None => self.granted(&mut pending).await,
            Some(within) => match timeout(within, self.granted(&mut pending)).await {
                Ok(granted) => granted,
                Err(_) => Err(self.late(within)),
            },
        };
        let Err(error) = granted else {
            return Ok(pending);
        };
        pending.give_up().await;
        let unanswered =
            matches!(error, Error::TimedOut { .. }) && self.is_unanswered(was_seen).await;
        Err(error.unanswered(unanswered))
    }

    fn new_claim(&self) -> Claim {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let prefix: String = self.target.name.chars().take(200).collect();
        let spec = ClaimSpec {
            target: self.target.clone(),
            holder: self.holder.clone(),
            permits: self.permits,
            priority: self.priority,
            ttl: self.ttl.clone(),
            wait: self.timeout != Some(Duration::ZERO),
            pod: self.pod.clone(),
            renew_time: None,
        };
        Claim::new(&format!("{prefix}-{}", &id[..12]), spec)
    }

    async fn granted(&self, pending: &mut Pending) -> Result<(), Error> {
        let object = self.object();
        let created = pending.created().await;
        let created = created.map_err(|error| object.explain(error))?;
        let uid = created.metadata.uid.unwrap_or_default();
        let claim = Object {
            kind: "claim",
            name: pending.claimed.name.clone(),
            ..object.clone()
        };
        let token = wait_known(&pending.api, claim, uid, |claim: &Claim| {
            match phase(claim) {
                ClaimPhase::Queued => None,
                ClaimPhase::Granted => Some(Ok(claim.status.as_ref().and_then(|s| s.token))),
                ClaimPhase::Denied => Some(Err(Error::Denied {
                    object: object.clone(),
                })),
                ClaimPhase::Expired => {
                    let message = claim.status.as_ref().map(|s| s.message.clone());
                    Some(Err(Error::Lost {
                        object: object.clone(),
                        message: message.unwrap_or_default(),
                    }))
                }
            }
        });
        pending.claimed.token = token.await?;
        Ok(())
    }
}

/// The TTL of what stays and renews.
const GUARD_TTL: Duration = Duration::from_secs(30);
/// The shortest TTL that the operator counts.
const TTL_MIN: Duration = Duration::from_millis(100);
/// How long a call may go on after its timeout, or a request after its caller is gone.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long an answer that needs no waiting may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A TTL that can be kept.
fn length(ttl: &konductor_api::Duration) -> Option<Duration> {
    let ttl = Duration::try_from(ttl.parse().ok()?).ok()?;
    (ttl >= TTL_MIN).then_some(ttl)
}

fn in_whole_millis(ttl: Duration) -> konductor_api::Duration {
    konductor_api::Duration::from_millis(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}

fn phase(claim: &Claim) -> ClaimPhase {
    claim
        .status
        .as_ref()
        .map(|status| status.phase)
        .unwrap_or_default()
}

/// A Claim that may exist, and is deleted when nobody wants it any more.
struct Pending {
    api: Api<Claim>,
    tidying: Tidying,
    claimed: Claimed,
    /// A task of its own: also where its caller is gone, it must be known how it ends.
    creating: Option<JoinHandle<Result<Claim, kube::Error>>>,
    is_wanted: bool,
}

impl Pending {
    fn begin(client: &Client, claim: Claim) -> Self {
        let api = client.api();
        let to = api.clone();
        let name = claim.metadata.name.clone().unwrap_or_default();
        Self {
            api,
            tidying: client.tidying.clone(),
            claimed: Claimed {
                name,
                uid: String::new(),
                token: None,
            },
            creating: Some(tokio::spawn(
                async move { create_named(&to, &claim, None).await }.in_current_span(),
            )),
            is_wanted: true,
        }
    }

    async fn created(&mut self) -> Result<Claim, kube::Error> {
        let Some(creating) = &mut self.creating else {
            return self.api.get(&self.claimed.name).await;
        };
        let created = creating.await;
        self.creating = None;
        let created = created.unwrap_or_else(|error| Err(kube::Error::Service(error.into())));
        match &created {
            Ok(claim) => self.claimed.uid = claim.metadata.uid.clone().unwrap_or_default(),
            // It was refused, so there is nothing to delete.
            Err(_) => self.is_wanted = false,
        }
        created
    }

    /// Leaves it to somebody else.
    fn keep(mut self) -> Claimed {
        self.is_wanted = false;
        self.claimed.clone()
    }

    /// Deletes it, and waits until that is done.
    async fn give_up(mut self) {
        if let Some(tidying) = self.tidy() {
            let _ = tidying.await;
        }
    }

    /// What is left of it would stand in the queue.
    fn tidy(&mut self) -> Option<JoinHandle<()>> {
        if !std::mem::take(&mut self.is_wanted) {
            return None;
        }
        let (api, name) = (self.api.clone(), self.claimed.name.clone());
        let uid = Some(self.claimed.uid.clone()).filter(|uid| !uid.is_empty());
        let creating = self.creating.take();
        self.tidying.spawn(async move {
            if let Some(mut creating) = creating
                && timeout(LAST_WORDS, &mut creating).await.is_err()
            {
                creating.abort();
            }
            if let Err(error) = delete(&api, &name, uid, TIDY_WITHIN).await {
                tracing::warn!(claim = name, %error, "it could not be deleted; its TTL ends it");
            }
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        drop(self.tidy());
    }
}

fn default_holder() -> String {
    ["KONDUCTOR_HOLDER", "POD_NAME", "HOSTNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
        .unwrap_or_else(|| format!("process-{}", std::process::id()))
}
