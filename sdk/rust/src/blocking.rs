//! The same calls for programs without a runtime: each blocks its thread. Holds are renewed by a thread of this
//! crate.
//!
//! ```no_run
//! # fn write(token: Option<i64>) {}
//! use std::time::Duration;
//!
//! use konductor::blocking::Client;
//!
//! # fn main() -> Result<(), konductor::Error> {
//! let client = Client::try_default()?;
//! client.wait_gate("dependencies-ready", Some(Duration::from_secs(1800)))?;
//! let lease = client.acquire(client.lease("daily-report"))?;
//! for _page in 0..3 {
//!     lease.check()?; // an error before another holder is granted it
//!     write(lease.token());
//! }
//! lease.release()?;
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};

use crate::inspect::Primitive;
use crate::{Arrival, ArrivalOutcome, Barrier, Error, Gate, Request};

/// A connection to one namespace. It may be used by many threads.
#[derive(Clone, Debug)]
pub struct Client {
    client: crate::Client,
    runtime: Runtime,
}

impl Client {
    /// Connects as kubectl does: by the kubeconfig, or in a pod by its service account.
    ///
    /// # Errors
    /// As for [`crate::Client::try_default`]; [`Error::InRuntime`].
    pub fn try_default() -> Result<Self, Error> {
        let runtime = Runtime::start()?;
        let client = runtime.block_on(crate::Client::try_default())?;
        Ok(Self { client, runtime })
    }

    /// Connects by a configuration, to its default namespace.
    ///
    /// # Errors
    /// As for [`crate::Client::from_config`]; [`Error::InRuntime`].
    pub fn from_config(config: kube::Config) -> Result<Self, Error> {
        let runtime = Runtime::start()?;
        let client = runtime.block_on(async { crate::Client::from_config(config) })?;
        Ok(Self { client, runtime })
    }

    /// Changes what all calls have in common, such as [`crate::Client::timeout`].
    ///
    /// ```no_run
    /// # fn main() -> Result<(), konductor::Error> {
    /// use std::time::Duration;
    ///
    /// let client = konductor::blocking::Client::try_default()?
    ///     .with(|client| client.timeout(Duration::from_secs(60)));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with(self, change: impl FnOnce(crate::Client) -> crate::Client) -> Self {
        Self {
            client: change(self.client),
            runtime: self.runtime,
        }
    }

    /// Waits until a Barrier is open: [`crate::Client::wait_barrier`].
    ///
    /// # Errors
    /// As for that, and [`Error::InRuntime`].
    pub fn wait_barrier(&self, name: &str, timeout: Option<Duration>) -> Result<Barrier, Error> {
        self.runtime
            .block_on(self.client.wait_barrier(name, timeout))
    }

    /// Waits until a Gate is open: [`crate::Client::wait_gate`].
    ///
    /// # Errors
    /// As for that, and [`Error::InRuntime`].
    pub fn wait_gate(&self, name: &str, timeout: Option<Duration>) -> Result<Gate, Error> {
        self.runtime.block_on(self.client.wait_gate(name, timeout))
    }

    /// Arrives at a Barrier: [`crate::Client::arrive_barrier`].
    ///
    /// # Errors
    /// As for that, and [`Error::InRuntime`].
    pub fn arrive_barrier(
        &self,
        name: &str,
        holder: &str,
        outcome: ArrivalOutcome,
    ) -> Result<Arrival, Error> {
        self.runtime
            .block_on(self.client.arrive_barrier(name, holder, outcome))
    }

    /// Returns an object as it is now: [`crate::Client::get`].
    ///
    /// # Errors
    /// As for that, and [`Error::InRuntime`].
    pub fn get<K: Primitive>(&self, name: &str) -> Result<K, Error> {
        self.runtime.block_on(self.client.get(name))
    }

    /// Returns an object, which is created if it does not exist: [`crate::Client::ensure`].
    ///
    /// # Errors
    /// As for that, and [`Error::InRuntime`].
    pub fn ensure<K: Primitive>(&self, object: &K) -> Result<K, Error> {
        self.runtime.block_on(self.client.ensure(object))
    }

    /// Asks for permits of a Semaphore, to [`Client::acquire`] it.
    pub fn semaphore(&self, name: &str) -> Request {
        self.client.semaphore(name)
    }

    /// Asks for a Lease, to [`Client::acquire`] it.
    pub fn lease(&self, name: &str) -> Request {
        self.client.lease(name)
    }

    /// Waits for a grant, and renews it until it is released or dropped.
    ///
    /// # Errors
    /// As for [`Request::acquire`], and [`Error::InRuntime`].
    pub fn acquire(&self, request: Request) -> Result<Guard, Error> {
        let guard = self.runtime.block_on(request.acquire())?;
        Ok(Guard {
            guard: Some(guard),
            client: self.clone(),
        })
    }
}

/// A grant that is held. Dropping it releases it.
#[derive(Debug)]
pub struct Guard {
    /// Nothing once it is released.
    guard: Option<crate::Guard>,
    client: Client,
}

impl Guard {
    /// The fencing token of a Lease's grant: let the storage that you protect refuse lower ones.
    pub fn token(&self) -> Option<i64> {
        self.guard.as_ref().and_then(crate::Guard::token)
    }

    /// Whether it is held in this moment: call it before each step that must not run twice. It looks at the
    /// clock, and makes no request.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn check(&self) -> Result<(), Error> {
        self.guard.as_ref().map_or(Ok(()), crate::Guard::check)
    }

    /// Releases it, and waits until that is done, for 5 s at most.
    ///
    /// # Errors
    /// As for [`crate::Guard::release`], and [`Error::InRuntime`].
    pub fn release(mut self) -> Result<(), Error> {
        match self.guard.take() {
            Some(guard) => self.client.runtime.block_on(guard.release()),
            None => Ok(()),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(guard) = self.guard.take() else {
            return;
        };
        self.client.runtime.enter(|| drop(guard));
        // Within another runtime it is released in the background.
        let _ = self.client.runtime.block_on(async {
            self.client.client.settled().await;
            Ok(())
        });
    }
}

/// A thread in which holds are renewed.
#[derive(Clone)]
struct Runtime(Arc<Owned>);

impl fmt::Debug for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Runtime")
    }
}

struct Owned(Option<tokio::runtime::Runtime>);

impl Runtime {
    fn start() -> Result<Self, Error> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("konductor");
        let runtime = builder.enable_all().build();
        let runtime = runtime.map_err(|error| Error::Unreachable {
            message: format!("no thread can be started: {error}"),
            source: Some(error.into()),
        })?;
        Ok(Self(Arc::new(Owned(Some(runtime)))))
    }

    fn block_on<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        // It would panic.
        if Handle::try_current().is_ok() {
            return Err(Error::InRuntime);
        }
        match &self.0.0 {
            Some(runtime) => runtime.block_on(work),
            None => Err(Error::NoRuntime),
        }
    }

    fn enter(&self, work: impl FnOnce()) {
        let _entered = self.0.0.as_ref().map(tokio::runtime::Runtime::enter);
        work();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Within another runtime, waiting for its thread would panic.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
