#![doc = include_str!("../README.md")]

mod backoff;
mod claim;
mod clock;
mod connection;
mod error;
mod guard;
mod lively;
mod renewal;
mod request;
mod tidying;
mod wait;

use std::time::Duration;

use konductor_api::{
    Arrival, ArrivalOutcome, ArrivalSpec, Barrier, BarrierPhase, Gate, GatePhase, LedgerKind,
    arrival_name,
};
use kube::Api;
use tracing::instrument;

pub use claim::{Claimed, Request};
pub use error::{Error, Object};
pub use guard::Guard;
pub use wait::wait_until;

/// How long an arrival is tried again where the API server has no answer.
const ARRIVE_WITHIN: Duration = Duration::from_secs(10);

/// A connection to one namespace.
#[derive(Clone)]
pub struct Client {
    kube: kube::Client,
    namespace: String,
    tidying: tidying::Tidying,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Client")
            .field("namespace", &self.namespace)
            .finish()
    }
}

impl Client {
    /// Connects as kubectl does: by the kubeconfig, or in a pod by its service account.
    ///
    /// # Errors
    /// Where neither is there.
    pub async fn try_default() -> Result<Self, Error> {
        let unreachable = |message: String| Error::Unreachable { message };
        let config = kube::Config::infer().await;
        let config = config.map_err(|error| unreachable(error.to_string()))?;
        Self::from_config(config).map_err(|error| unreachable(error.to_string()))
    }

    /// Connects by a configuration, to its default namespace.
    ///
    /// A request that a server refuses because it is busy or starting (429, 503, 504) is sent again
    /// for some seconds, the first time after some 50 ms: kube's own client waits as long as the
    /// server asks for, which is 5 s for one that starts.
    ///
    /// # Errors
    /// Where no connection can be made of it: a certificate that can't be read, a header that is none.
    pub fn from_config(config: kube::Config) -> Result<Self, kube::Error> {
        let namespace = config.default_namespace.clone();
        Ok(Self::new(connection::connect(config)?, namespace))
    }

    /// Uses a client that is there already.
    pub fn new(kube: kube::Client, namespace: impl Into<String>) -> Self {
        Self {
            kube,
            namespace: namespace.into(),
            tidying: tidying::Tidying::default(),
        }
    }

    /// The namespace that names are looked up in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Kubernetes client underneath.
    pub fn kube(&self) -> &kube::Client {
        &self.kube
    }

    /// Waits until what was dropped has been given back: guards, and acquisitions that nobody waits
    /// for any more. A program calls it before its runtime ends, which would end that too. It takes
    /// seven seconds at most; what could not be given back then ends with its TTL.
    pub async fn settled(&self) {
        self.tidying.settled().await;
    }

    /// An API of this namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.kube.clone(), &self.namespace)
    }

    /// Names an object of this namespace, for an error.
    pub(crate) fn object(&self, kind: &'static str, name: &str) -> Object {
        Object {
            kind,
            name: name.to_owned(),
            namespace: self.namespace.clone(),
        }
    }

    /// Waits until a Barrier is open; `None` waits for ever, zero looks once.
    ///
    /// # Errors
    /// [`Error::Failed`] as soon as it can't open any more, [`Error::TimedOut`], which tells where no
    /// operator has looked at it,
    /// [`Error::NotFound`] also where it is deleted meanwhile, and what the API server refuses.
    pub async fn wait_barrier(
        &self,
        name: &str,
        timeout: Option<Duration>,
    ) -> Result<Barrier, Error> {
        let object = self.object("barrier", name);
        let failed = object.clone();
        let mut unanswered = false;
        let waited = wait_until(
            &self.api::<Barrier>(),
            object,
            timeout,
            |barrier: &Barrier| {
                let status = barrier.status.as_ref()?;
                unanswered = status.observed_generation.is_none();
                let message = open_message(&status.conditions);
                match status.phase {
                    BarrierPhase::Waiting => None,
                    BarrierPhase::Open => Some(Ok(barrier.clone())),
                    phase => Some(Err(failed.failed(format!("{phase:?}"), message))),
                }
            },
        )
        .await;
        waited.map_err(|error| error.unanswered(unanswered))
    }

    /// Waits until a Gate is open; `None` waits for ever, zero looks once.
    ///
    /// # Errors
    /// As for [`Client::wait_barrier`].
    pub async fn wait_gate(&self, name: &str, timeout: Option<Duration>) -> Result<Gate, Error> {
        let object = self.object("gate", name);
        let failed = object.clone();
        let mut unanswered = false;
        let waited = wait_until(&self.api::<Gate>(), object, timeout, |gate: &Gate| {
            let status = gate.status.as_ref()?;
            unanswered = status.observed_generation.is_none();
            let message = open_message(&status.conditions);
            match status.phase {
                GatePhase::Waiting => None,
                GatePhase::Open => Some(Ok(gate.clone())),
                phase => Some(Err(failed.failed(format!("{phase:?}"), message))),
            }
        })
        .await;
        waited.map_err(|error| error.unanswered(unanswered))
    }

    /// Arrives at a Barrier. Arriving again with the same outcome changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such Barrier, [`Error::Failed`] where this holder has
    /// arrived with another outcome, and what the API server refuses.
    pub async fn arrive_barrier(
        &self,
        name: &str,
        holder: &str,
        outcome: ArrivalOutcome,
    ) -> Result<Arrival, Error> {
        self.arrive(name, holder, outcome, false).await
    }

    /// Gives an approval, or denies it by [`ArrivalOutcome::Failed`], as `user`: one's own user
    /// name, which the chart's admission policy checks.
    ///
    /// # Errors
    /// As for [`Client::arrive_barrier`]; [`Error::Forbidden`] or [`Error::Refused`] where one may
    /// not `approve` that Barrier.
    pub async fn approve_barrier(
        &self,
        name: &str,
        user: &str,
        outcome: ArrivalOutcome,
    ) -> Result<Arrival, Error> {
        self.arrive(name, user, outcome, true).await
    }

    #[instrument(level = "debug", skip_all, fields(on = %self.object("barrier", name), holder))]
    async fn arrive(
        &self,
        name: &str,
        holder: &str,
        outcome: ArrivalOutcome,
        verified: bool,
    ) -> Result<Arrival, Error> {
        let object = self.object("barrier", name);
        let barrier = self
            .api::<Barrier>()
            .get(name)
            .await
            .map_err(|e| object.explain(e))?;
        let uid = barrier.metadata.uid.clone().unwrap_or_default();
        let arrival_name = arrival_name(name, &uid, holder);
        let spec = ArrivalSpec {
            barrier: name.to_owned(),
            holder: holder.to_owned(),
            outcome,
            verified,
        };
        let mut arrival = Arrival::new(&arrival_name, spec);
        arrival.metadata.owner_references = Some(vec![konductor_api::barrier_owner(&barrier)]);
        let api = self.api::<Arrival>();
        let known = request::create_named(&api, &arrival, Some(ARRIVE_WITHIN)).await;
        let known = known.map_err(|error| object.explain(error))?;
        if known.spec.outcome == outcome {
            return Ok(known);
        }
        let message = format!("{holder} has arrived as {:?}", known.spec.outcome);
        Err(object.failed("AlreadyArrived".to_owned(), message))
    }

    /// Asks for permits of a Semaphore.
    pub fn semaphore(&self, name: &str) -> Request {
        Request::new(self.clone(), LedgerKind::Semaphore, name)
    }

    /// Asks for a Lease.
    pub fn lease(&self, name: &str) -> Request {
        Request::new(self.clone(), LedgerKind::Lease, name)
    }
}

fn open_message(conditions: &[konductor_api::condition::Condition]) -> String {
    let open = conditions
        .iter()
        .find(|one| one.type_ == konductor_api::condition::OPEN);
    open.map(|one| one.message.clone()).unwrap_or_default()
}
