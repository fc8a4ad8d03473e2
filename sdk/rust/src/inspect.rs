//! Looking at objects, and creating those that do not exist.

use std::convert::Infallible;
use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use konductor_api::{Barrier, Gate, Lease, Semaphore};
use kube::Resource;
use kube::core::Status;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::request::{create_named, decoded, is_not_served, persist};
use crate::{Client, Error, LastSeen, Object, runtime};

/// A primitive: [`Semaphore`], [`Lease`], [`Barrier`] or [`Gate`].
pub trait Primitive:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + sealed::Sealed
{
    /// The kind, in lower case.
    const KIND: &'static str;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! primitives {
    ($($kind:ty: $word:expr),*) => {$(
        impl sealed::Sealed for $kind {}
        impl Primitive for $kind {
            const KIND: &'static str = $word;
        }
    )*};
}

primitives!(
    Semaphore: "semaphore",
    Lease: "lease",
    Barrier: "barrier",
    Gate: "gate"
);

impl Client {
    /// Returns an object as it is now. An API server that is away is waited out for as long as
    /// [`Client::timeout`].
    ///
    /// ```no_run
    /// # async fn example(client: konductor::Client) -> Result<(), konductor::Error> {
    /// let semaphore: konductor::Semaphore = client.get("database").await?;
    /// let in_use = semaphore.status.map(|status| status.in_use);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TimedOut`], [`Error::Unauthorized`], [`Error::Forbidden`],
    /// [`Error::Invalid`].
    pub async fn get<K: Primitive>(&self, name: &str) -> Result<K, Error> {
        runtime()?;
        let object = self.object(K::KIND, name).checked()?;
        let read = async |last_seen: &watch::Sender<LastSeen>| {
            let (api, is_retried) = (self.api::<K>(), self.is_retried(&object, last_seen));
            let read = || async { api.get(name).await.and_then(decoded) };
            persist(&self.limits.requests, read, is_retried).await
        };
        self.within_timeout(&object, read).await
    }

    /// Returns the object of this name, which is created as given if it does not exist. One that exists is
    /// not changed.
    ///
    /// ```no_run
    /// # async fn example(client: konductor::Client, customer: &str) -> Result<(), konductor::Error> {
    /// use konductor::{Lease, LeaseSpec};
    ///
    /// let ttl = "30s".parse().expect("a duration");
    /// let lease = Lease::new(&format!("report-{customer}"), LeaseSpec { ttl });
    /// client.ensure(&lease).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`Client::get`], without [`Error::NotFound`]; what the API server refuses.
    pub async fn ensure<K: Primitive>(&self, object: &K) -> Result<K, Error> {
        runtime()?;
        let name = object.meta().name.as_deref().unwrap_or_default();
        let on = self.object(K::KIND, name).checked()?;
        let create = async |last_seen: &watch::Sender<LastSeen>| {
            let (api, limit) = (self.api::<K>(), &self.limits.requests);
            let is_retried = self.is_retried(&on, last_seen);
            let read = || async {
                match api.get(name).await {
                    Err(kube::Error::Api(status)) if is_missing(&status) => Ok(None),
                    answer => decoded(answer?).map(Some),
                }
            };
            match persist(limit, read, &is_retried).await? {
                Some(stored) => Ok(stored),
                None => {
                    let params = self.settings.post_params();
                    create_named(limit, &api, object, &params, is_retried).await
                }
            }
        };
        self.within_timeout(&on, create).await
    }

    /// Returns the holder of a Lease, if there is one.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn leader(&self, lease: &str) -> Result<Option<String>, Error> {
        let lease: Lease = self.get(lease).await?;
        Ok(leader(&lease).map(str::to_owned))
    }

    /// Reports the holder of a Lease, now and whenever it changes, until the future is dropped. A Lease that
    /// does not exist yet and an API server that is away are waited out.
    ///
    /// ```no_run
    /// # async fn example(client: konductor::Client) -> Result<(), konductor::Error> {
    /// let ended = client.watch_leader("scheduler", |leader| match leader {
    ///     Some(leader) => tracing::info!(leader, "follows a new leader"),
    ///     None => tracing::info!("nobody leads"),
    /// });
    /// tokio::select! {
    ///     Err(error) = ended => return Err(error),
    ///     () = std::future::pending() => {} // what this replica does
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`] when the Lease is deleted, and those of [`Client::wait_until`].
    pub async fn watch_leader(
        &self,
        lease: &str,
        mut on_change: impl FnMut(Option<&str>),
    ) -> Result<Infallible, Error> {
        let mut reported: Option<Option<String>> = None;
        let verdict = |lease: &Lease| {
            let leader = leader(lease);
            if reported.as_ref().map(Option::as_deref) != Some(leader) {
                on_change(leader);
                reported = Some(leader.map(str::to_owned));
            }
            None
        };
        self.wait_until(Lease::KIND, lease, Some(Duration::MAX), verdict)
            .await
    }

    /// Bounds requests about an object by [`Client::timeout`], and explains what has failed.
    pub(crate) async fn within_timeout<T>(
        &self,
        object: &Object,
        work: impl AsyncFnOnce(&watch::Sender<LastSeen>) -> Result<T, kube::Error>,
    ) -> Result<T, Error> {
        let last_seen = watch::Sender::new(LastSeen::unheard());
        let working = work(&last_seen);
        let done = match self.settings.timeout.filter(|timeout| !timeout.is_zero()) {
            None => working.await,
            Some(after) => match tokio::time::timeout(after, working).await {
                Ok(done) => done,
                Err(_) => return Err(object.late(after, last_seen.borrow().clone())),
            },
        };
        done.map_err(|error| object.explain(error))
    }
}

/// Whether there is no such object, where its kind is served.
fn is_missing(status: &Status) -> bool {
    status.code == 404 && !is_not_served(status)
}

fn leader(lease: &Lease) -> Option<&str> {
    let status = lease.status.as_ref()?;
    Some(&*status.holders.first()?.holder)
}
