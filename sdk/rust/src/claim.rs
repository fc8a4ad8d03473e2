//! Asking for permits or a Lease: one Claim for each acquisition.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use konductor_api::{
    Claim, ClaimPhase, ClaimSpec, ClaimTarget, Lease, LedgerKind, PodReference, Semaphore, label,
};
use kube::ResourceExt;
use kube::api::ListParams;
use kube::core::Request as Requests;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::instrument;

use crate::claimed::Claimed;
use crate::event::Event;
use crate::guard::{Guard, TIDY_WITHIN};
use crate::holder::env_holder;
use crate::lenient::{Found, List};
use crate::pending::{LAST_WORDS, Pending};
use crate::request::{decoded, delete, persist};
use crate::shared::Selector;
use crate::wait::{Waiting, until_no_operator};
use crate::{Client, Error, LastSeen, Notice, Object, clock, runtime};

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

impl Request {
    pub(crate) fn new(client: Client, kind: LedgerKind, name: &str) -> Self {
        Self {
            timeout: client.settings.timeout,
            client,
            target: ClaimTarget {
                kind,
                name: name.to_owned(),
            },
            holder: default_holder(),
            permits: 1,
            priority: 0,
            ttl: None,
            pod: None,
        }
    }

    /// The holder's name; by default that of [`env_holder`], or this process.
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

    /// How long to wait; by default as long as [`Client::timeout`], zero asks once.
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
    /// # Guarantees
    /// A Semaphore or Lease that does not exist yet, and an API server that is away, are waited out
    /// within the timeout.
    ///
    /// # Errors
    /// [`Error::Denied`] with a timeout of zero; [`Error::TimedOut`], with what was known at last;
    /// [`Error::Refused`] at once if it asks for more permits than there are; [`Error::Invalid`]; those
    /// of [`Client::wait_until`].
    #[instrument(level = "debug", skip_all, fields(on = %self.object(), holder = self.holder))]
    pub async fn acquire(mut self) -> Result<Guard, Error> {
        let begun = Instant::now();
        let ledger = self.ledger().await?;
        let ttl = self.guard_ttl(&ledger)?;
        self.ttl = Some(in_whole_millis(ttl));
        let claimed_at = clock::now();
        let pending = self.claim_once(&ledger, begun).await?;
        let (object, claimed) = (self.object(), pending.claimed.clone());
        let started = Guard::start(&self.client, object.clone(), claimed, ttl, claimed_at);
        let started = match self.left(begun) {
            None => started.await,
            Some((left, after)) => match timeout(left, started).await {
                Ok(started) => started,
                Err(_) => Err(object.late(after, LastSeen::Undecided)),
            },
        };
        match started {
            Ok(guard) => {
                pending.keep();
                let after = begun.elapsed();
                let acquired = || Event::Acquired { object, after };
                self.client.settings.observer.report(acquired);
                Ok(guard)
            }
            Err(error) => {
                pending.give_up().await;
                Err(error)
            }
        }
    }

    /// Acquires it if it is free now; else returns nothing.
    ///
    /// # Errors
    /// As for [`Request::acquire`], without [`Error::Denied`].
    pub async fn try_acquire(self) -> Result<Option<Guard>, Error> {
        match self.timeout(Some(Duration::ZERO)).acquire().await {
            Ok(guard) => Ok(Some(guard)),
            Err(Error::Denied { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits for the grant and leaves it: for scripts, which release it by holder.
    ///
    /// # Errors
    /// As for [`Request::acquire`].
    #[instrument(level = "debug", skip_all, fields(on = %self.object(), holder = self.holder))]
    pub async fn claim(self) -> Result<Claimed, Error> {
        let begun = Instant::now();
        let ledger = self.ledger().await?;
        Ok(self.claim_once(&ledger, begun).await?.keep())
    }

    /// Acquires, does the work, releases; the work is dropped if the grant is lost. If releasing fails,
    /// the TTL ends the grant, and that is logged: the work is done.
    ///
    /// # Errors
    /// The work's own; as for [`Request::acquire`], and [`Error::Lost`].
    pub async fn with<T, E>(self, work: impl AsyncFnOnce(&Guard) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error>,
    {
        let guard = self.acquire().await?;
        let done = tokio::select! {
            done = work(&guard) => done,
            lost = guard.lost() => return Err(lost.into()),
        };
        if let Err(error) = guard.release().await {
            tracing::warn!(%error, "it could not be released; its TTL ends it");
        }
        done
    }

    /// Releases every Claim of this holder, whichever process made it; returns how many.
    ///
    /// # Errors
    /// What the API server refuses.
    #[instrument(level = "debug", skip_all, fields(on = %self.object(), holder = self.holder))]
    pub async fn release(self) -> Result<usize, Error> {
        let object = self.checked()?;
        let on = self.target.field_selector();
        let fields = format!("{on},spec.holder={}", self.holder);
        let api = self.client.api::<Claim>();
        let params = ListParams::default().fields(&fields);
        let begun = Instant::now();
        let list = || async {
            let request = Requests::new(api.resource_url()).list(&params);
            let request = request.map_err(kube::Error::BuildRequest)?;
            self.client.kube.request::<List>(request).await
        };
        let stays = !self.client.settings.fail_if_unreachable;
        let limit = &self.client.limits.requests;
        let claims = persist(limit, list, |_| stays && begun.elapsed() < TIDY_WITHIN).await;
        let claims = claims.map_err(|error| object.explain(error))?.items;
        let is_live = |phase: &str| !matches!(phase, "Denied" | "Expired");
        let live = claims
            .iter()
            .filter(|claim| is_live(claim.text("/status/phase")));
        let count = live.count();
        for claim in &claims {
            let uid = Some(claim.text("/metadata/uid").to_owned());
            delete(limit, &api, claim.text("/metadata/name"), uid, TIDY_WITHIN)
                .await
                .map_err(|error| object.explain(error))?;
        }
        Ok(count)
    }

    /// Where it stands among several.
    fn rank(&self) -> (String, &'static str, String) {
        let Object {
            kind,
            name,
            namespace,
        } = self.object();
        (namespace, kind, name)
    }

    fn object(&self) -> Object {
        self.client
            .object(self.target.kind.word(), &self.target.name)
    }

    /// Names what is asked for, if that can exist and be asked for.
    fn checked(&self) -> Result<Object, Error> {
        runtime()?;
        let object = self.object().checked()?;
        object.checked_holder(&self.holder)?;
        if self.permits == 0 {
            return Err(object.invalid("0 permits can't be held; ask for at least 1"));
        }
        if let Some(ttl) = &self.ttl
            && length(ttl).is_none()
        {
            let message = format!("a TTL of {ttl} can't be kept; use at least 100ms");
            return Err(object.invalid(message));
        }
        Ok(object)
    }

    /// How much is left of a timeout that began then, and how long it is; `None` is no limit. A request
    /// without waiting is answered by the operator, if one runs.
    fn left(&self, begun: Instant) -> Option<(Duration, Duration)> {
        let after = match self.timeout? {
            Duration::ZERO => ANSWER_WITHIN,
            after => after,
        };
        Some((after.saturating_sub(begun.elapsed()), after))
    }

    /// Waits until what is asked for exists, and reads it.
    async fn ledger(&self) -> Result<Ledger, Error> {
        let object = self.checked()?;
        let (client, kind, name) = (&self.client, object.kind, &*object.name);
        let ledger = match self.target.kind {
            LedgerKind::Semaphore => {
                let read = |semaphore: &Semaphore| Some(Ok(Ledger::of_semaphore(semaphore)));
                client.wait_until(kind, name, self.timeout, read).await?
            }
            LedgerKind::Lease => {
                let read = |lease: &Lease| Some(Ok(Ledger::of_lease(lease)));
                client.wait_until(kind, name, self.timeout, read).await?
            }
        };
        // Zero is a pause, which will end.
        match ledger.permits {
            Some(permits) if permits > 0 && self.permits > permits => Err(Error::Refused {
                message: format!(
                    "{} permits can't be held: there are only {permits}; ask for fewer, or raise \
                     spec.permits",
                    self.permits
                ),
                object,
                source: None,
            }),
            _ => Ok(ledger),
        }
    }

    /// What stays and renews uses 30 s if nothing else is asked for, and no more than the Lease's TTL:
    /// the operator counts no more either.
    fn guard_ttl(&self, ledger: &Ledger) -> Result<Duration, Error> {
        let ttl = self.ttl.as_ref().and_then(length).unwrap_or(GUARD_TTL);
        Ok(ledger.ttl.map_or(ttl, |ceiling| ttl.min(ceiling)))
    }

    /// Whether an operator has ever looked at what is asked for; `None` if that can't be known.
    async fn is_seen(&self) -> Option<bool> {
        let name = &self.target.name;
        let looked = async {
            match self.target.kind {
                LedgerKind::Semaphore => {
                    let semaphore = self.client.api::<Semaphore>().get(name).await;
                    Some(semaphore.and_then(decoded).ok()?.status.is_some())
                }
                LedgerKind::Lease => {
                    let lease = self.client.api::<Lease>().get(name).await;
                    Some(lease.and_then(decoded).ok()?.status.is_some())
                }
            }
        };
        timeout(LAST_WORDS, looked).await.ok().flatten()
    }

    /// Creates a Claim and waits until it is granted. After an error, or if this is dropped, there is
    /// none.
    async fn claim_once(&self, ledger: &Ledger, begun: Instant) -> Result<Pending, Error> {
        let last_seen = watch::Sender::new(LastSeen::Undecided);
        let (claim, object) = (self.new_claim(), self.object());
        let queued = Object {
            kind: "claim",
            name: claim.metadata.name.clone().unwrap_or_default(),
            ..object.clone()
        };
        let selector = Selector::Client(Arc::clone(&self.client.watches.id));
        let decide = |claim: &Claim| verdict(claim, &object);
        let waiting = Waiting::new(&self.client, queued, selector, last_seen.clone(), decide);
        let mut waiting = waiting.about(object.clone());
        waiting.mark();
        let mut pending = Pending::begin(&self.client, claim, last_seen.clone());
        let granted = self.granted(&mut pending, waiting, ledger, last_seen.clone());
        let granted = match self.left(begun) {
            None => granted.await,
            Some((left, after)) => match timeout(left, granted).await {
                Ok(granted) => granted,
                Err(_) => {
                    let last_seen = last_seen.borrow().clone();
                    Err(self.late(after, last_seen, ledger).await)
                }
            },
        };
        match granted {
            Ok(()) => Ok(pending),
            Err(error) => {
                pending.give_up().await;
                Err(error)
            }
        }
    }

    /// Says what a timeout was about. A queued Claim does not show whether there is an operator;
    /// one that is not to wait is always answered.
    async fn late(&self, after: Duration, last_seen: LastSeen, ledger: &Ledger) -> Error {
        let last_seen = match last_seen {
            LastSeen::Undecided | LastSeen::NoOperator => {
                let is_silent = self.timeout == Some(Duration::ZERO)
                    || (!ledger.is_seen && self.is_seen().await == Some(false));
                match is_silent {
                    true => LastSeen::NoOperator,
                    false => LastSeen::Undecided,
                }
            }
            other => other,
        };
        self.object().late(after, last_seen)
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
        let mut claim = Claim::new(&format!("{prefix}-{}", &id[..12]), spec);
        let client = self.client.watches.id.to_string();
        claim.labels_mut().insert(label::CLIENT.to_owned(), client);
        claim
    }

    async fn granted(
        &self,
        pending: &mut Pending,
        mut waiting: Waiting<Claim, impl FnMut(&Claim) -> Option<Result<Option<i64>, Error>>>,
        ledger: &Ledger,
        last_seen: watch::Sender<LastSeen>,
    ) -> Result<(), Error> {
        let created = pending.created().await.and_then(Found::of);
        let created = created.map_err(|error| self.object().explain(error))?;
        let silent = self.report_silence(ledger, last_seen.subscribe());
        pending.claimed.token = tokio::select! {
            token = waiting.resume_from(&created) => token?,
            never = silent => match never {},
        };
        Ok(())
    }

    /// Reports once that no operator answers.
    async fn report_silence(
        &self,
        ledger: &Ledger,
        last_seen: watch::Receiver<LastSeen>,
    ) -> Infallible {
        if !ledger.is_seen {
            until_no_operator(last_seen).await;
            if self.is_seen().await == Some(false) {
                let object = self.object();
                let notice = Notice::NoOperator { object };
                self.client.settings.listener.report(&notice);
            }
        }
        std::future::pending().await
    }
}

/// Acquires several Semaphores and Leases, one after another in an order that all programs have in common:
/// those that acquire some of the same never wait for each other in a circle. The guards are in the order
/// of the requests. After an error nothing is held.
///
/// ```no_run
/// # async fn example(client: konductor::Client) -> Result<(), konductor::Error> {
/// let requests = [client.lease("ledger"), client.semaphore("database").permits(2)];
/// let guards = konductor::acquire_all(requests).await?;
/// for guard in guards {
///     guard.release().await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As for [`Request::acquire`]; [`Error::Invalid`] if one is asked for twice, which could never be granted.
pub async fn acquire_all(requests: impl IntoIterator<Item = Request>) -> Result<Vec<Guard>, Error> {
    let mut requests: Vec<(usize, Request)> = requests.into_iter().enumerate().collect();
    requests.sort_by_cached_key(|(_, request)| request.rank());
    let twice = requests
        .windows(2)
        .find(|pair| pair[0].1.rank() == pair[1].1.rank());
    if let Some([_, (_, again)]) = twice {
        let message = "it is asked for twice; ask once, for more permits";
        return Err(again.object().invalid(message));
    }
    let mut guards = Vec::with_capacity(requests.len());
    for (index, request) in requests {
        guards.push((index, request.acquire().await?));
    }
    guards.sort_by_key(|(index, _)| *index);
    Ok(guards.into_iter().map(|(_, guard)| guard).collect())
}

/// What a Claim's phase says about its acquisition: the fencing token of a grant.
fn verdict(claim: &Claim, object: &Object) -> Option<Result<Option<i64>, Error>> {
    let status = claim.status.as_ref()?;
    match status.phase {
        ClaimPhase::Queued => None,
        ClaimPhase::Granted => Some(Ok(status.token)),
        ClaimPhase::Denied => Some(Err(Error::Denied {
            object: object.clone(),
        })),
        ClaimPhase::Expired => Some(Err(Error::Lost {
            object: object.clone(),
            message: status.message.clone(),
        })),
    }
}

/// What must be known about a Semaphore or Lease before it is claimed.
struct Ledger {
    /// Of a Semaphore.
    permits: Option<u32>,
    /// Of a Lease.
    ttl: Option<Duration>,
    /// Whether an operator has ever looked at it.
    is_seen: bool,
}

impl Ledger {
    fn of_semaphore(semaphore: &Semaphore) -> Self {
        Self {
            permits: Some(semaphore.spec.permits),
            ttl: None,
            is_seen: semaphore.status.is_some(),
        }
    }

    fn of_lease(lease: &Lease) -> Self {
        Self {
            permits: None,
            ttl: length(&lease.spec.ttl),
            is_seen: lease.status.is_some(),
        }
    }
}

/// The TTL of what stays and renews.
const GUARD_TTL: Duration = Duration::from_secs(30);
/// The shortest TTL that the operator counts.
const TTL_MIN: Duration = Duration::from_millis(100);
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

fn default_holder() -> String {
    env_holder().unwrap_or_else(|| format!("process-{}", std::process::id()))
}
