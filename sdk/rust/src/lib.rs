#![doc = include_str!("../README.md")]

mod answered;
mod backoff;
#[cfg(feature = "blocking")]
pub mod blocking;
mod claim;
mod claimed;
mod clock;
mod connection;
mod error;
mod event;
mod guard;
mod holder;
mod inspect;
mod lenient;
mod lively;
mod name;
mod notice;
mod pending;
mod renewal;
mod request;
mod settings;
mod shared;
#[cfg(feature = "testing")]
pub mod testing;
mod tidying;
mod transport;
mod wait;

use std::time::Duration;

use kube::Api;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::instrument;

use self::request::{Limits, create_named, decoded, is_not_installed, persist};
use self::settings::Settings;
use self::shared::Watches;

pub use claim::{Request, acquire_all};
pub use claimed::Claimed;
pub use error::{Error, LastSeen, Object};
#[doc(hidden)]
pub use error::{answer, is_foreign};
pub use event::Event;
pub use guard::Guard;
pub use holder::env_holder;
pub use inspect::Primitive;
/// The objects of `konductor.io/v1`, as types.
pub use konductor_api as api;
pub use konductor_api::{
    Arrival, ArrivalOutcome, Barrier, BarrierSpec, Gate, Lease, LeaseSpec, PodReference, Semaphore,
    SemaphoreSpec,
};
pub use notice::Notice;

use konductor_api::{
    ArrivalSpec, BarrierPhase, GatePhase, LedgerKind, arrival_name, condition::OPEN,
};

/// A connection to one namespace.
#[derive(Clone)]
pub struct Client {
    kube: kube::Client,
    namespace: String,
    tidying: tidying::Tidying,
    limits: Limits,
    watches: Watches,
    settings: Settings,
}

/// Refuses what needs a runtime before something that spawns would panic without one.
fn runtime() -> Result<(), Error> {
    Handle::try_current()
        .map(drop)
        .map_err(|_| Error::NoRuntime)
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
    /// [`Error::Unreachable`] if there is neither, [`Error::NoRuntime`].
    pub async fn try_default() -> Result<Self, Error> {
        runtime()?;
        let config = kube::Config::infer().await;
        let config = config.map_err(|error| Error::Unreachable {
            message: error.to_string(),
            source: Some(error.into()),
        })?;
        Self::from_config(config)
    }

    /// Connects by a configuration, to its default namespace.
    ///
    /// A request that a server refuses because it is busy or starting (429, 503, 504) is sent again
    /// for some seconds, the first time after some 50 ms: kube's own client waits as long as the
    /// server asks for, which is 5 s for one that starts.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if no connection can be made of it, such as by a certificate that can't
    /// be read; [`Error::NoRuntime`].
    pub fn from_config(config: kube::Config) -> Result<Self, Error> {
        runtime()?;
        let namespace = config.default_namespace.clone();
        let kube = connection::connect(config).map_err(|error| Error::Unreachable {
            message: error::unreachable(&error),
            source: Some(error.into()),
        })?;
        Ok(Self::new(kube, namespace))
    }

    /// Uses an existing client.
    pub fn new(kube: kube::Client, namespace: impl Into<String>) -> Self {
        Self {
            kube,
            namespace: namespace.into(),
            tidying: tidying::Tidying::default(),
            limits: Limits::default(),
            watches: Watches::default(),
            settings: Settings::default(),
        }
    }

    /// Bounds every call without its own timeout; no limit by default. Zero checks once.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// Lets waits and acquisitions end with [`Error::NotFound`] at once if their object does not exist,
    /// instead of waiting until it is created.
    #[must_use]
    pub fn fail_if_missing(mut self) -> Self {
        self.settings.fail_if_missing = true;
        self
    }

    /// Lets calls end with [`Error::Unreachable`] at once if no API server answers their first request,
    /// instead of trying again.
    #[must_use]
    pub fn fail_if_unreachable(mut self) -> Self {
        self.settings.fail_if_unreachable = true;
        self
    }

    /// Reports what happens in calls and to what they acquired: for metrics and progress. It is
    /// called by the tasks that renew, so it must not block.
    #[must_use]
    pub fn on_event(mut self, observe: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.settings.observer = event::Observer::new(observe);
        self
    }

    /// Names who writes, in the objects' managed fields; `konductor-sdk` by default.
    #[must_use]
    pub fn field_manager(mut self, name: impl Into<String>) -> Self {
        self.settings.field_manager = name.into();
        self
    }

    /// Reports what keeps calls waiting, each once per call; by default it is logged as a warning.
    #[must_use]
    pub fn on_notice(mut self, listen: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.settings.listener = notice::Listener::new(listen);
        self
    }

    /// The namespace that names are looked up in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Kubernetes client underneath.
    pub fn kube(&self) -> &kube::Client {
        &self.kube
    }

    /// Waits until dropped guards have been released, and acquisitions that no caller waits
    /// for any more. A program calls it before its runtime ends, which would end that too. It takes
    /// seven seconds at most; what could not be released then ends with its TTL.
    pub async fn settled(&self) {
        self.tidying.settled().await;
    }

    /// An API of this namespace.
    pub(crate) fn api<K>(&self) -> Api<konductor_api::Lenient<K>>
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

    /// Waits until a Barrier is open; `None` waits as long as [`Client::timeout`], zero looks once.
    ///
    /// # Errors
    /// [`Error::Failed`] as soon as it can't open any more, and those of [`Client::wait_until`].
    pub async fn wait_barrier(
        &self,
        name: &str,
        timeout: Option<Duration>,
    ) -> Result<Barrier, Error> {
        let object = self.object("barrier", name);
        self.wait_until("barrier", name, timeout, |barrier: &Barrier| {
            let status = barrier.status.as_ref()?;
            match status.phase {
                BarrierPhase::Waiting => None,
                BarrierPhase::Open => Some(Ok(barrier.clone())),
                phase => {
                    let why = open_message(&status.conditions);
                    Some(Err(object.failed(format!("{phase:?}"), why)))
                }
            }
        })
        .await
    }

    /// Waits until a Gate is open; `None` waits as long as [`Client::timeout`], zero looks once.
    ///
    /// # Errors
    /// As for [`Client::wait_barrier`].
    pub async fn wait_gate(&self, name: &str, timeout: Option<Duration>) -> Result<Gate, Error> {
        let object = self.object("gate", name);
        self.wait_until("gate", name, timeout, |gate: &Gate| {
            let status = gate.status.as_ref()?;
            match status.phase {
                GatePhase::Waiting => None,
                GatePhase::Open => Some(Ok(gate.clone())),
                phase => {
                    let why = open_message(&status.conditions);
                    Some(Err(object.failed(format!("{phase:?}"), why)))
                }
            }
        })
        .await
    }

    /// Arrives at a Barrier. Arriving again with the same outcome changes nothing. An API server that is
    /// away is waited out for as long as [`Client::timeout`].
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such Barrier, [`Error::Failed`] if this holder has
    /// arrived with another outcome, [`Error::TimedOut`], [`Error::Invalid`], and what the API server
    /// refuses.
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
        runtime()?;
        let object = self.object("barrier", name).checked()?;
        object.checked_holder(holder)?;
        let arriving = async |last_seen: &watch::Sender<LastSeen>| {
            let is_retried = self.is_retried(&object, last_seen);
            self.arrive_once(&object, holder, outcome, verified, is_retried)
                .await
        };
        let arrival = self.within_timeout(&object, arriving).await?;
        if arrival.spec.outcome == outcome {
            return Ok(arrival);
        }
        let message = format!("{holder} has arrived as {:?}", arrival.spec.outcome);
        Err(object.failed("AlreadyArrived", message))
    }

    async fn arrive_once(
        &self,
        object: &Object,
        holder: &str,
        outcome: ArrivalOutcome,
        verified: bool,
        is_retried: impl Fn(&kube::Error) -> bool,
    ) -> Result<Arrival, kube::Error> {
        let (barriers, name) = (self.api::<Barrier>(), &object.name);
        let read = || async { barriers.get(name).await.and_then(decoded) };
        let barrier = persist(&self.limits.requests, read, &is_retried).await?;
        let uid = barrier.metadata.uid.clone().unwrap_or_default();
        let spec = ArrivalSpec {
            barrier: name.clone(),
            holder: holder.to_owned(),
            outcome,
            verified,
        };
        let mut arrival = Arrival::new(&arrival_name(name, &uid, holder), spec);
        arrival.metadata.owner_references = Some(vec![konductor_api::barrier_owner(&barrier)]);
        let (api, params) = (self.api::<Arrival>(), self.settings.post_params());
        // What may have been carried out is asked again in any case.
        create_named(&self.limits.requests, &api, &arrival, &params, &is_retried).await
    }

    /// Decides whether a request is sent again, and reports once that no API server answers.
    fn is_retried(
        &self,
        object: &Object,
        last_seen: &watch::Sender<LastSeen>,
    ) -> impl Fn(&kube::Error) -> bool + use<> {
        let (settings, object, last_seen) =
            (self.settings.clone(), object.clone(), last_seen.clone());
        move |error| {
            let at_once = settings.fail_if_unreachable || settings.timeout == Some(Duration::ZERO);
            // An API server that was away may not serve everything at first.
            let was_away = *last_seen.borrow() != LastSeen::unheard();
            if at_once || (is_not_installed(error) && !was_away) {
                return false;
            }
            let message = error::unreachable(error);
            last_seen.send_replace(LastSeen::Unreachable(message.clone()));
            if !was_away {
                let object = object.clone();
                let notice = Notice::Unreachable { object, message };
                settings.listener.report(&notice);
            }
            true
        }
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
    let open = konductor_api::condition::find(conditions, OPEN);
    open.map(|condition| condition.message.clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The crates that a text's paths begin with.
    fn crates(code: &str) -> BTreeSet<&str> {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let roots = code.match_indices("::").filter_map(|(at, _)| {
            let before = &code[..at];
            let start = before.rfind(|c| !is_word(c)).map_or(0, |end| end + 1);
            let root = &before[start..];
            let is_root = !before[..start].ends_with(':') && root.starts_with(char::is_lowercase);
            is_root.then_some(root)
        });
        roots.collect()
    }

    #[test]
    fn the_readme_needs_no_crate_that_it_does_not_list() {
        let readme = include_str!("../README.md");
        let blocks: Vec<&str> = readme.split("```").skip(1).step_by(2).collect();
        let listed = blocks.iter().find_map(|block| block.strip_prefix("toml"));
        let names = listed.expect("its dependencies").lines();
        let mut dependencies: BTreeSet<&str> = names
            .filter_map(|line| line.split_once(" = "))
            .map(|(name, _)| name)
            .collect();
        dependencies.insert("std");
        let code: Vec<_> = blocks
            .iter()
            .filter(|block| block.starts_with("rust"))
            .collect();
        assert!(code.len() > 4, "{} blocks", code.len());
        for block in code {
            let unlisted: Vec<_> = crates(block).difference(&dependencies).copied().collect();
            assert!(unlisted.is_empty(), "{unlisted:?} in {block}");
        }
    }

    #[test]
    fn without_a_runtime_there_is_an_error_and_no_panic() {
        let connected = futures::executor::block_on(Client::try_default());
        assert!(matches!(connected, Err(Error::NoRuntime)), "{connected:?}");
        let address = "http://127.0.0.1:1".parse().expect("an address");
        let connected = Client::from_config(kube::Config::new(address));
        assert!(matches!(connected, Err(Error::NoRuntime)), "{connected:?}");
    }
}
