//! Live reads. Those that ask for the same at the same time share one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use k8s_openapi::NamespaceResourceScope;
use konductor_api::label;
use konductor_core::{Fact, ObjectName, Objects};
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::observe::asks_for;

/// A read that several may wait for.
pub(crate) type Read = Shared<BoxFuture<'static, Result<Objects, Arc<kube::Error>>>>;

/// Reads from the API server.
///
/// # Guarantees
/// A read answers those that asked before it began. Who asks while one is under way gets the next:
/// the answer to an earlier question may be older than what has been seen since (rule B). So a
/// thousand Jobs that start by one Gate cost a few reads of it, and no one starts by an old one.
pub(crate) struct Live {
    client: Client,
    turns: Arc<Mutex<BTreeMap<Fact, Turn>>>,
}

/// The last read of a fact that was asked for.
struct Turn {
    begun: Arc<AtomicBool>,
    read: Read,
}

impl Live {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            turns: Arc::default(),
        }
    }

    /// Reads a fact; nothing that is missing is an error.
    pub(crate) fn read(&self, fact: &Fact) -> Read {
        let mut turns = lock(&self.turns);
        let last = turns.get(fact);
        if let Some(turn) = last.filter(|turn| !turn.begun.load(Ordering::SeqCst)) {
            return turn.read.clone();
        }
        let under_way = last.map(|turn| turn.read.clone());
        let begun = Arc::new(AtomicBool::new(false));
        let read = next(
            self.client.clone(),
            fact.clone(),
            under_way,
            Arc::clone(&begun),
            Arc::clone(&self.turns),
        );
        let read = read.boxed().shared();
        let turn = Turn {
            begun,
            read: read.clone(),
        };
        turns.insert(fact.clone(), turn);
        read
    }
}

/// One read, when the one before it has ended.
async fn next(
    client: Client,
    fact: Fact,
    under_way: Option<Read>,
    begun: Arc<AtomicBool>,
    turns: Arc<Mutex<BTreeMap<Fact, Turn>>>,
) -> Result<Objects, Arc<kube::Error>> {
    if let Some(under_way) = under_way {
        // Whatever came of it is not our business.
        let _ = under_way.await;
    }
    begun.store(true, Ordering::SeqCst);
    let objects = fetch(&client, &fact).await;
    let mut turns = lock(&turns);
    if turns
        .get(&fact)
        .is_some_and(|turn| Arc::ptr_eq(&turn.begun, &begun))
    {
        turns.remove(&fact);
    }
    objects.map_err(Arc::new)
}

fn lock(turns: &Mutex<BTreeMap<Fact, Turn>>) -> MutexGuard<'_, BTreeMap<Fact, Turn>> {
    // A panic in between leaves at most a turn that the next one waits for.
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads now.
async fn fetch(client: &Client, fact: &Fact) -> Result<Objects, kube::Error> {
    let reader = Reader { client };
    Ok(match fact {
        Fact::Job(name) => Objects::Jobs(reader.get(name).await?),
        Fact::Gate(name) => Objects::Gates(reader.get(name).await?),
        Fact::Barrier(name) => Objects::Barriers(reader.get(name).await?),
        Fact::Run(name) => Objects::Runs(reader.get(name).await?),
        Fact::Claim(name) => Objects::Claims(reader.get(name).await?),
        Fact::Arrival(name) => Objects::Arrivals(reader.get(name).await?),
        Fact::Semaphore(name) => Objects::Semaphores(reader.get(name).await?),
        Fact::Lease(name) => Objects::Leases(reader.get(name).await?),
        Fact::Pod(name) => Objects::Pods(reader.get(name).await?),
        Fact::JobsLabelled { namespace, labels } => {
            let pairs: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let params = ListParams::default().labels(&pairs.join(","));
            Objects::Jobs(reader.list(namespace, params).await?)
        }
        Fact::JobsHolding { kind, name } => {
            let mut jobs = reader.list(&name.namespace, ListParams::default()).await?;
            jobs.retain(|job| asks_for(job, *kind, &name.name));
            Objects::Jobs(jobs)
        }
        Fact::JobsIn(namespace) => {
            Objects::Jobs(reader.list(namespace, ListParams::default()).await?)
        }
        Fact::GatesIn(namespace) => {
            Objects::Gates(reader.list(namespace, ListParams::default()).await?)
        }
        Fact::BarriersIn(namespace) => {
            Objects::Barriers(reader.list(namespace, ListParams::default()).await?)
        }
        Fact::ClaimsOn { kind, name } => {
            let fields = format!("spec.target.kind={kind:?},spec.target.name={}", name.name);
            let params = ListParams::default().fields(&fields);
            Objects::Claims(reader.list(&name.namespace, params).await?)
        }
        Fact::ArrivalsAt(name) => {
            let params = ListParams::default().fields(&format!("spec.barrier={}", name.name));
            Objects::Arrivals(reader.list(&name.namespace, params).await?)
        }
        Fact::RunsOf(name) => {
            let params = ListParams::default().fields(&format!("spec.pipeline={}", name.name));
            Objects::Runs(reader.list(&name.namespace, params).await?)
        }
        Fact::PodsOf { namespace, job_uid } => {
            let params = ListParams::default().labels(&format!("{}={job_uid}", label::JOB_UID));
            Objects::Pods(reader.list(namespace, params).await?)
        }
    })
}

struct Reader<'a> {
    client: &'a Client,
}

impl Reader<'_> {
    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// No resourceVersion is asked for, so the API server answers with the newest.
    async fn get<K>(&self, name: &ObjectName) -> Result<Vec<Arc<K>>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let found = self.api::<K>(&name.namespace).get_opt(&name.name).await?;
        Ok(found.map(Arc::new).into_iter().collect())
    }

    async fn list<K>(&self, namespace: &str, params: ListParams) -> Result<Vec<Arc<K>>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let found = self.api::<K>(namespace).list(&params).await?;
        Ok(found.items.into_iter().map(Arc::new).collect())
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{join, join3};
    use futures::poll;
    use kube::client::Body;
    use tokio::sync::Semaphore;

    use super::*;

    /// An API server that answers a request when it is let to.
    #[derive(Clone)]
    struct Server {
        requests: Arc<Semaphore>,
        answers: Arc<Semaphore>,
    }

    impl Server {
        fn start() -> (Self, Live) {
            let server = Self {
                requests: Arc::new(Semaphore::new(0)),
                answers: Arc::new(Semaphore::new(0)),
            };
            let serving = server.clone();
            let service = tower::service_fn(move |_: http::Request<Body>| {
                serving.requests.add_permits(1);
                let server = serving.clone();
                async move {
                    server.answers.acquire().await.expect("open").forget();
                    let none = serde_json::json!({
                        "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
                    });
                    let answer = http::Response::builder().status(404);
                    Ok::<_, tower::BoxError>(
                        answer.body(Body::from(none.to_string().into_bytes()))?,
                    )
                }
            });
            (server, Live::new(Client::new(service, "default")))
        }

        async fn is_asked(&self) {
            self.requests.acquire().await.expect("open").forget();
        }
    }

    #[tokio::test]
    async fn a_read_answers_those_that_asked_before_it_began_and_nobody_else() {
        let (server, live) = Server::start();
        let gate = Fact::Gate(ObjectName::new("ns", "g"));
        let (a, b) = (live.read(&gate), live.read(&gate));
        assert!(poll!(a.clone()).is_pending());
        server.is_asked().await;
        // It is under way: who asks now waits for the next, and shares that.
        let (c, d, e) = (live.read(&gate), live.read(&gate), live.read(&gate));
        assert!(poll!(c.clone()).is_pending());
        server.answers.add_permits(2);
        let (a, b) = join(a, b).await;
        assert!(a.is_ok() && b.is_ok());
        let (c, d, e) = join3(c, d, e).await;
        assert!(c.is_ok() && d.is_ok() && e.is_ok());
        server.is_asked().await;
        assert_eq!(
            server.requests.available_permits(),
            0,
            "two requests in all"
        );
        assert!(lock(&live.turns).is_empty());
    }

    #[tokio::test]
    async fn a_read_that_everybody_has_given_up_does_not_hold_up_the_next() {
        let (server, live) = Server::start();
        let gate = Fact::Gate(ObjectName::new("ns", "g"));
        let given_up = live.read(&gate);
        assert!(poll!(given_up.clone()).is_pending());
        server.is_asked().await;
        drop(given_up);
        server.answers.add_permits(2);
        live.read(&gate).await.expect("none");
        server.is_asked().await;
    }
}
