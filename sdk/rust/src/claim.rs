//! Asking for permits or a Lease: one Claim for each acquisition.

use std::time::Duration;

use konductor_api::{
    Claim, ClaimPhase, ClaimSpec, ClaimTarget, Lease, LedgerKind, PodReference, Semaphore,
};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};

use crate::guard::{GUARD_TTL, Guard};
use crate::wait::wait_until;
use crate::{Client, Error, Object, clock};

/// What is asked for, and how. Dropping a future that waits leaves no Claim behind.
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
    pub async fn acquire(mut self) -> Result<Guard, Error> {
        self.ttl = Some(self.guard_ttl().await?);
        let asked = clock::now();
        let claimed = self.claim_once().await?;
        Guard::start(self.client.clone(), self.object(), claimed, self.ttl, asked).await
    }

    /// Waits for the grant and leaves it: for scripts, which release it by holder.
    ///
    /// # Errors
    /// As for [`Request::acquire`].
    pub async fn claim(self) -> Result<Claimed, Error> {
        self.claim_once().await
    }

    /// Acquires, does the work, releases; the work is dropped where the grant is lost.
    ///
    /// # Errors
    /// As for [`Request::acquire`], and [`Error::Lost`].
    pub async fn with<T>(self, work: impl AsyncFnOnce(&Guard) -> T) -> Result<T, Error> {
        let guard = self.acquire().await?;
        let done = tokio::select! {
            done = work(&guard) => done,
            lost = guard.lost() => return Err(lost),
        };
        guard.release().await?;
        Ok(done)
    }

    /// Releases every Claim of this holder, whichever process made it; returns how many.
    ///
    /// # Errors
    /// What the API server refuses.
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
            delete(&api, name, claim.metadata.uid.clone())
                .await
                .map_err(|error| object.explain(error))?;
        }
        Ok(count)
    }

    fn object(&self) -> Object {
        self.client
            .object(self.target.kind.word(), &self.target.name)
    }

    /// What stays and renews uses 30 s where nothing else is asked for, and no more than the Lease's
    /// TTL: the operator counts no more either.
    async fn guard_ttl(&self) -> Result<konductor_api::Duration, Error> {
        let millis = u64::try_from(GUARD_TTL.as_millis()).unwrap_or_default();
        let default = konductor_api::Duration::from_millis(millis);
        let asked = self.ttl.clone().unwrap_or(default);
        if self.target.kind == LedgerKind::Lease {
            let lease = self.client.api::<Lease>().get(&self.target.name).await;
            let ceiling = lease
                .map_err(|error| self.object().explain(error))?
                .spec
                .ttl;
            if let (Ok(length), Ok(most)) = (asked.parse(), ceiling.parse())
                && most < length
            {
                return Ok(ceiling);
            }
        }
        Ok(asked)
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
    async fn is_unseen(&self, was_seen: bool) -> bool {
        if self.timeout == Some(Duration::ZERO) {
            return true;
        }
        if was_seen {
            return false;
        }
        let is_seen = tokio::time::timeout(LAST_WORDS, self.is_seen()).await;
        matches!(is_seen, Ok(Ok(false)))
    }

    async fn claim_once(&self) -> Result<Claimed, Error> {
        let was_seen = self.is_seen().await?;
        let object = self.object();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let prefix: String = self.target.name.chars().take(200).collect();
        let name = format!("{prefix}-{}", &id[..12]);
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
        let api = self.client.api::<Claim>();
        // From here on it may exist, whatever the answer is.
        let mut pending = Pending {
            api: api.clone(),
            name: Some(name.clone()),
        };
        let created = match api
            .create(&PostParams::default(), &Claim::new(&name, spec))
            .await
        {
            Ok(claim) => claim,
            Err(error @ kube::Error::Api(_)) => {
                pending.name = None;
                return Err(object.explain(error));
            }
            // The answer was lost; the name tells whether the request was.
            Err(_) => api
                .get(&name)
                .await
                .map_err(|error| object.explain(error))?,
        };
        let uid = created.metadata.uid.clone().unwrap_or_default();
        let claim = Object {
            kind: "claim",
            name: name.clone(),
            ..object.clone()
        };
        // A question without waiting is answered by the operator; somebody must be there to.
        let timeout = match self.timeout {
            Some(Duration::ZERO) => Some(ANSWER_WITHIN),
            other => other,
        };
        let asked = object.clone();
        let granted = wait_until(&api, claim, timeout, |claim: &Claim| match phase(claim) {
            ClaimPhase::Queued => None,
            ClaimPhase::Granted => Some(Ok(claim.status.as_ref().and_then(|s| s.token))),
            ClaimPhase::Denied => Some(Err(Error::Denied {
                object: asked.clone(),
            })),
            ClaimPhase::Expired => {
                let message = claim.status.as_ref().map(|s| s.message.clone());
                Some(Err(Error::Lost {
                    object: asked.clone(),
                    message: message.unwrap_or_default(),
                }))
            }
        })
        .await;
        match granted {
            Ok(token) => {
                pending.name = None;
                Ok(Claimed { name, uid, token })
            }
            Err(error) => {
                pending.name = None;
                // What is left of it would stand in the queue.
                let _ = delete(&api, &name, Some(uid)).await;
                Err(match error {
                    Error::TimedOut { after, .. } => Error::TimedOut {
                        object,
                        after,
                        unanswered: self.is_unseen(was_seen).await,
                    },
                    other => other,
                })
            }
        }
    }
}

/// How long a call may go on after its timeout, to tell why.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long an answer that needs no waiting may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

fn phase(claim: &Claim) -> ClaimPhase {
    claim
        .status
        .as_ref()
        .map(|status| status.phase)
        .unwrap_or_default()
}

/// A Claim that is deleted when nobody waits for it any more.
struct Pending {
    api: Api<Claim>,
    name: Option<String>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let (Some(name), Ok(runtime)) = (self.name.take(), tokio::runtime::Handle::try_current())
        {
            let api = self.api.clone();
            runtime.spawn(async move {
                let _ = delete(&api, &name, None).await;
            });
        }
    }
}

/// Deletes a Claim; one that is gone already is what was wanted.
pub(crate) async fn delete(
    api: &Api<Claim>,
    name: &str,
    uid: Option<String>,
) -> Result<(), kube::Error> {
    let preconditions = uid.map(|uid| Preconditions {
        uid: Some(uid),
        resource_version: None,
    });
    let params = DeleteParams {
        preconditions,
        ..DeleteParams::default()
    };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(error),
    }
}

fn default_holder() -> String {
    ["KONDUCTOR_HOLDER", "POD_NAME", "HOSTNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
        .unwrap_or_else(|| format!("process-{}", std::process::id()))
}
