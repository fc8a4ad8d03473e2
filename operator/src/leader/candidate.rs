//! One who takes part: it asks the election what to do, and does it.
//!
//! What enters: what a watch of the Lease shows, and the answers to one's own requests. What leaves:
//! requests, one at a time, and whether this candidate leads. What must never happen here: a decision.

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::sync::{oneshot, watch};

use super::LeaderElection;
use super::clock::{self, Moment};
use super::election::{Decision, Next, Seen, Step, Terms, View, decide};
use crate::backoff::{self, LONGEST, WatchBackoff};
use crate::needed::Read;
use crate::options::{Clock, WatchesLast};
use crate::watch::{self as watching, Failure, Observer};

/// The field manager of the Lease's fields, when this candidate leads.
const FIELD_MANAGER: &str = "konductor-operator";
/// A request that is not answered by then won't be.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// A candidate that ends waits no longer than this for the release: the Lease expires anyway.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// How a candidate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has not seen the Lease yet.
    NotKnown,
    /// Somebody else leads, or nobody yet.
    StandsBy,
    /// It leads; this is how often it has begun to.
    Leads(u64),
}

/// Why a request did not do what it should.
enum Failed {
    /// Somebody else wrote first.
    Conflict,
    /// The API server says no, and why.
    Refused { code: u16, message: String },
    /// The API server is away, or has too much to do.
    Passing(String),
}

/// One who takes part.
pub(crate) struct Candidate {
    api: Api<Read<Lease>>,
    /// The Lease's name.
    lease: String,
    terms: Terms,
    /// The time of day, as it is written into the Lease.
    time: Clock,
    view: View,
    /// What was once allowed and is refused now may be refused because an API server has just started.
    may_look: bool,
    may_write: bool,
    watch_is_broken: bool,
    /// How often it has begun to lead.
    led: u64,
    failures: u32,
    rests_until: Moment,
}

impl Candidate {
    pub(crate) fn new(
        client: Client,
        election: &LeaderElection,
        terms: Terms,
        time: Clock,
    ) -> Self {
        Self {
            api: Api::namespaced(client, &election.namespace),
            lease: election.lease.clone(),
            terms,
            time,
            view: View::default(),
            may_look: false,
            may_write: false,
            watch_is_broken: false,
            led: 0,
            failures: 0,
            rests_until: Moment::ZERO,
        }
    }

    /// Takes part until asked to resign, then releases what it holds.
    ///
    /// # Errors
    /// What the API server refuses that it has never allowed. What passes is tried again.
    pub(crate) async fn run(
        mut self,
        standing: watch::Sender<Standing>,
        mut resign: oneshot::Receiver<()>,
    ) -> Result<(), String> {
        let mut changes = pin!(self.changes());
        loop {
            let now = clock::now();
            let decision = decide(&self.terms, &self.view, false, now);
            self.publish(&standing, &decision);
            let due = match decision.next {
                Next::Wait(until) => {
                    self.failures = 0;
                    until
                }
                Next::Look | Next::Write(_) if now < self.rests_until => Some(self.rests_until),
                Next::Look => {
                    self.look(&decision, now).await?;
                    continue;
                }
                Next::Write(step) => {
                    self.write(step, &decision, now).await?;
                    continue;
                }
            };
            let due = due.into_iter().chain(decision.leads_until).min();
            tokio::select! {
                Some(change) = changes.next() => self.notice(change),
                () = clock::reaches(due) => {}
                // Who can't resign any more is gone as well.
                _ = &mut resign => break,
            }
        }
        standing.send_replace(Standing::StandsBy);
        let released = tokio::time::timeout(RELEASE_WITHIN, self.release()).await;
        released.unwrap_or(Ok(()))
    }

    /// Gives the Lease back, if it is this candidate's.
    async fn release(&mut self) -> Result<(), String> {
        loop {
            clock::reaches(Some(self.rests_until)).await;
            let now = clock::now();
            let decision = decide(&self.terms, &self.view, true, now);
            match decision.next {
                Next::Wait(_) => return Ok(()),
                Next::Look => self.look(&decision, now).await?,
                Next::Write(step) => self.write(step, &decision, now).await?,
            }
        }
    }

    fn publish(&mut self, standing: &watch::Sender<Standing>, decision: &Decision) {
        let before = *standing.borrow();
        let now = match (decision.leads_until, before) {
            (Some(_), Standing::Leads(_)) => before,
            (Some(_), _) => {
                self.led += 1;
                Standing::Leads(self.led)
            }
            (None, _) if self.may_look => Standing::StandsBy,
            (None, _) => Standing::NotKnown,
        };
        if now != before {
            standing.send_replace(now);
        }
    }

    /// The Lease whenever it changes, and what keeps one from seeing it.
    fn changes(&self) -> impl Stream<Item = Result<Option<Lease>, Failure>> + use<> {
        let itself = Some(format!("metadata.name={}", self.lease));
        let backoff = WatchBackoff::new(&self.lease, LONGEST);
        let lasts = WatchesLast::default();
        let mut listed_lease = None;
        watching::watch(self.api.clone(), itself, lasts, backoff, Nobody).filter_map(move |event| {
            let change = match event {
                Err(failure) => Some(Err(failure)),
                Ok(Event::Init) => {
                    listed_lease = None;
                    None
                }
                Ok(Event::InitApply(lease)) => {
                    listed_lease = lease.decoded().ok();
                    None
                }
                Ok(Event::InitDone) => Some(Ok(listed_lease.take())),
                // One that can't be decoded is as good as gone: then one looks.
                Ok(Event::Apply(lease)) => Some(Ok(lease.decoded().ok())),
                Ok(Event::Delete(_)) => Some(Ok(None)),
            };
            std::future::ready(change)
        })
    }

    fn notice(&mut self, change: Result<Option<Lease>, Failure>) {
        match change {
            Ok(lease) => {
                self.watch_is_broken = false;
                self.view
                    .noticed(&self.terms, lease.map(Seen::from), clock::now());
            }
            // As often as it is tried again, one looks.
            Err(error) => {
                if !self.watch_is_broken {
                    tracing::warn!(%error, "the Lease of the leader election can't be watched");
                }
                self.watch_is_broken = true;
                self.view.doubt();
            }
        }
    }
}

impl Candidate {
    async fn look(&mut self, decision: &Decision, now: Moment) -> Result<(), String> {
        let request = self.api.get_opt(&self.lease);
        match answered(self.waits(decision, now), request).await {
            Ok(lease) => {
                self.may_look = true;
                match lease.map(Read::decoded).transpose() {
                    Ok(lease) => {
                        self.view
                            .looked(&self.terms, lease.map(Seen::from), clock::now());
                        Ok(())
                    }
                    Err(undecodable) => self.rest(Failed::Passing(undecodable.to_string()), true),
                }
            }
            Err(failed) => self.rest(failed, self.may_look),
        }
    }

    async fn write(&mut self, step: Step, decision: &Decision, now: Moment) -> Result<(), String> {
        let write = self.view.write(step, &self.terms, now, self.time.now());
        let waits = self.waits(decision, now);
        let spec = LeaseSpec::from(&write.record);
        let stored = match &write.on {
            None => {
                let params = PostParams {
                    field_manager: Some(FIELD_MANAGER.to_owned()),
                    ..PostParams::default()
                };
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(self.lease.clone()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(spec),
                };
                answered(waits, self.api.create(&params, &lease.into())).await
            }
            Some(version) => {
                let params = PatchParams {
                    field_manager: Some(FIELD_MANAGER.to_owned()),
                    ..PatchParams::default()
                };
                let on = json!({"resourceVersion": version});
                let merge = Patch::Merge(json!({"metadata": on, "spec": spec}));
                let patched = self.api.patch(&self.lease, &params, &merge);
                match answered(waits, patched).await {
                    // It was deleted: the latest version is "absent".
                    Err(Failed::Refused { code: 404, .. }) => Err(Failed::Conflict),
                    stored => stored,
                }
            }
        };
        match stored {
            Ok(lease) => {
                self.may_write = true;
                self.failures = 0;
                let version = lease.meta().resource_version.clone();
                self.view.answered(write, version.unwrap_or_default());
                Ok(())
            }
            Err(failed) => self.rest(failed, self.may_write),
        }
    }

    /// How long an answer is waited for: the leader must know before its Lease expires.
    fn waits(&self, decision: &Decision, now: Moment) -> Duration {
        let leads_for = decision.leads_until.map(|end| end.saturating_sub(now));
        self.terms
            .renews_every
            .min(ANSWERS_WITHIN)
            .min(leads_for.unwrap_or(Duration::MAX))
    }

    /// Waits for a while before the next request, unless there is no use in one.
    fn rest(&mut self, failed: Failed, was_allowed: bool) -> Result<(), String> {
        self.failures = self.failures.saturating_add(1);
        let wait = backoff::after(self.failures, &self.terms.identity);
        self.rests_until = clock::now() + wait;
        match failed {
            Failed::Conflict => {}
            Failed::Refused { message, .. } if !was_allowed => return Err(message),
            Failed::Refused { message: error, .. } | Failed::Passing(error) => {
                tracing::warn!(
                    error,
                    ?wait,
                    "the Lease of the leader election can't be read or written"
                );
            }
        }
        Ok(())
    }
}

/// A watch of the Lease that fails is reported to the reader of its failures.
struct Nobody;

impl Observer for Nobody {
    fn heard(&self) {}

    fn failed(&self, _: &Failure, _: Duration) {}
}

impl From<Lease> for Seen {
    fn from(lease: Lease) -> Self {
        Self {
            record: lease.spec.unwrap_or_default().into(),
            version: lease.metadata.resource_version.unwrap_or_default(),
        }
    }
}

async fn answered<T>(
    within: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, Failed> {
    let Ok(answer) = tokio::time::timeout(within, request).await else {
        return Err(Failed::Passing(format!("no answer within {within:.1?}")));
    };
    answer.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 409 => Failed::Conflict,
        kube::Error::Api(status) if matches!(status.code, 408 | 429 | 500..) => {
            Failed::Passing(status.message)
        }
        kube::Error::Api(status) => Failed::Refused {
            code: status.code,
            message: status.message,
        },
        error => Failed::Passing(error.to_string()),
    })
}
