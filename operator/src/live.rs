//! Live reads. Those that ask for the same at the same time share one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::lenient::{Lenient, Shape};
use konductor_api::limits::LABEL_VALUE_MAX;
use konductor_api::{Barrier, ClaimTarget, Gate, Participant, Run, label};
use konductor_core::{Fact, Held, Listed, ObjectName, Objects, RunObjects, WaitedFor};
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::abridged::Abridge;
use crate::fair::Fair;
use crate::needed::{Needed, WithAnnotations, WithManagers};
use crate::watch::PAGE;

/// How many reads are under way at once: enough to keep an API server busy, few enough to leave it
/// some air.
const AT_ONCE: usize = 32;

/// A read that several may wait for.
pub(crate) type Read = Shared<BoxFuture<'static, Result<Objects, Arc<kube::Error>>>>;

/// Reads from the API server.
///
/// # Guarantees
/// A read answers the callers that asked before it began. A caller that asks during a read gets the next one:
/// the answer to an earlier question may be older than what has been seen since (rule B). So a
/// thousand Jobs that start by one Gate cost a few reads of it, and no one starts by an old one.
/// Namespaces share the reads fairly: what one of them asks for keeps no other waiting.
pub(crate) struct Live {
    client: Client,
    fair: Fair,
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
            fair: Fair::new(AT_ONCE),
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
            self.fair.clone(),
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

impl Live {
    /// Reads the objects by which it is known when what happened in a Run.
    ///
    /// # Errors
    /// What the API server answered; nothing that is missing is an error.
    pub(crate) async fn around(&self, run: &Run) -> Result<RunObjects, kube::Error> {
        let ObjectName { namespace, name } = ObjectName::of(&run.metadata);
        let labels = BTreeMap::from([(label::RUN.to_owned(), name)]);
        let Some(selector) = selector(&labels) else {
            return Ok(RunObjects::default());
        };
        let _turn = self.fair.turn(&namespace).await;
        let reader = Reader {
            client: &self.client,
        };
        let mut listed = Listed {
            run: Some(run.clone()),
            ..Listed::default()
        };
        let its = || ListParams::default().labels(&selector);
        let job = |job| listed.jobs.push(job);
        reader.each::<_, Needed>(&namespace, its(), job).await?;
        let pod = |pod| listed.pods.push(pod);
        reader.each::<_, Needed>(&namespace, its(), pod).await?;
        let gate = |gate| listed.gates.push(gate);
        reader.each::<_, Needed>(&namespace, its(), gate).await?;
        let barrier = |barrier| listed.barriers.push(barrier);
        reader.each::<_, Needed>(&namespace, its(), barrier).await?;
        Ok(RunObjects::from(listed))
    }
}

/// One read, when the one before it has ended.
async fn next(
    client: Client,
    fair: Fair,
    fact: Fact,
    under_way: Option<Read>,
    begun: Arc<AtomicBool>,
    turns: Arc<Mutex<BTreeMap<Fact, Turn>>>,
) -> Result<Objects, Arc<kube::Error>> {
    if let Some(under_way) = under_way {
        // Whatever came of it is not our business.
        let _ = under_way.await;
    }
    let turn = fair.turn(fact.namespace()).await;
    begun.store(true, Ordering::SeqCst);
    let objects = fetch(&client, &fact).await;
    drop(turn);
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
        Fact::Job(name) => Objects::Jobs(reader.job(name).await?),
        Fact::Gate(name) => Objects::Gates(reader.get(name).await?),
        Fact::Barrier(name) => Objects::Barriers(reader.get(name).await?),
        Fact::Run(name) => Objects::Runs(reader.get(name).await?),
        Fact::Claim(name) => Objects::Claims(reader.get(name).await?),
        Fact::Arrival(name) => Objects::Arrivals(reader.get(name).await?),
        Fact::Semaphore(name) => Objects::Semaphores(reader.get(name).await?),
        Fact::Lease(name) => Objects::Leases(reader.get(name).await?),
        Fact::Pod(name) => Objects::Pods(reader.get(name).await?),
        Fact::JobsLabelled { namespace, labels } => {
            let Some(selector) = selector(labels) else {
                return Ok(Objects::Jobs(Vec::new()));
            };
            let params = ListParams::default().labels(&selector);
            Objects::Jobs(reader.list(namespace, params).await?)
        }
        // What only the operator's memory knows is not asked for here.
        Fact::JobsShown(_) | Fact::JobsGone { .. } | Fact::JobGone(_) | Fact::ArrivingGone(_) => {
            Objects::Jobs(Vec::new())
        }
        Fact::JobsHolding { kind, name } => {
            let asks = |job: &Participant| job.ledgers().contains(&(*kind, name.name.as_str()));
            let all = ListParams::default();
            Objects::Jobs(reader.list_those(&name.namespace, all, asks).await?)
        }
        Fact::WaitedFor(namespace) => {
            Objects::WaitedFor(Arc::new(reader.waited_for(namespace).await?))
        }
        Fact::ClaimsOn { kind, name } => {
            let target = ClaimTarget {
                kind: *kind,
                name: name.name.clone(),
            };
            let params = ListParams::default().fields(&target.field_selector());
            Objects::Claims(reader.list(&name.namespace, params).await?)
        }
        Fact::ArrivalsAt(name) => {
            let params = ListParams::default().fields(&format!("spec.barrier={}", name.name));
            Objects::Arrivals(reader.list(&name.namespace, params).await?)
        }
        Fact::RunsOf(name) if !is_word(&name.name, LABEL_VALUE_MAX) => Objects::Runs(Vec::new()),
        Fact::RunsOf(name) => {
            let params = ListParams::default().fields(&format!("spec.pipeline={}", name.name));
            Objects::Runs(reader.list(&name.namespace, params).await?)
        }
        Fact::PodsOf { namespace, job_uid } => {
            let params = ListParams::default().labels(&format!("{}={job_uid}", label::JOB_UID));
            Objects::Pods(reader.list(namespace, params).await?)
        }
        Fact::HeldIn(namespace) => Objects::Held(Arc::new(reader.held(namespace).await?)),
    })
}

/// Whether an object may have this name. Others may not be sent: a `/` in one would lead to another
/// object.
fn is_name(name: &str) -> bool {
    is_word(name, 253)
}

/// Whether a text is of letters, digits, `-`, `_` and `.`, as each name and each value of a label is,
/// and begins and ends with one of the first two.
fn is_word(text: &str, longest: usize) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= longest
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// These labels as a selector; `None` where no object can have them. What is no label would become
/// other terms of the selector.
fn selector(labels: &BTreeMap<String, String>) -> Option<String> {
    let pairs = labels.iter().map(|(key, value)| {
        let (prefix, name) = match key.split_once('/') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, key.as_str()),
        };
        let is_key = prefix.is_none_or(is_name) && is_word(name, LABEL_VALUE_MAX);
        let is_value = value.is_empty() || is_word(value, LABEL_VALUE_MAX);
        (is_key && is_value).then(|| format!("{key}={value}"))
    });
    Some(pairs.collect::<Option<Vec<_>>>()?.join(","))
}

struct Reader<'a> {
    client: &'a Client,
}

impl Reader<'_> {
    fn api<K, S>(&self, namespace: &str) -> Api<Lenient<K, S>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// No resourceVersion is asked for, so the API server answers with the newest.
    ///
    /// One that can't be decoded is an error: it is not missing, and what holds a permit may be such.
    async fn get<K>(&self, name: &ObjectName) -> Result<Vec<Arc<K>>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
        Needed: Shape<K>,
    {
        self.get_as::<K, Needed>(name).await
    }

    async fn get_as<K, S>(&self, name: &ObjectName) -> Result<Vec<Arc<K>>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
        S: Shape<K>,
    {
        if !is_name(&name.name) || !is_name(&name.namespace) {
            return Ok(Vec::new());
        }
        let api = self.api::<K, S>(&name.namespace);
        let object = api.get_opt(&name.name).await?;
        let object = object.map(Lenient::decoded).transpose();
        let object = object.map_err(|error| kube::Error::Service(error.into()))?;
        Ok(object.map(Arc::new).into_iter().collect())
    }

    /// A Job, with those who wrote its fields where they can be decoded.
    async fn job(&self, name: &ObjectName) -> Result<Vec<Arc<Participant>>, kube::Error> {
        match self.get_as::<Participant, WithManagers>(name).await {
            Err(kube::Error::Service(_)) => self.get(name).await,
            read => read,
        }
    }

    async fn list<K>(&self, namespace: &str, params: ListParams) -> Result<Vec<Arc<K>>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Abridge
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
        Needed: Shape<K>,
    {
        self.list_those(namespace, params, |_: &K| true).await
    }

    /// Lists what is like this. Of many, little is kept.
    async fn list_those<K>(
        &self,
        namespace: &str,
        params: ListParams,
        is_meant: impl Fn(&K) -> bool,
    ) -> Result<Vec<Arc<K>>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Abridge
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
        Needed: Shape<K>,
    {
        let mut objects = Vec::new();
        let keep = |mut object: K| {
            if is_meant(&object) {
                object.abridge();
                objects.push(Arc::new(object));
            }
        };
        self.each::<K, Needed>(namespace, params, keep).await?;
        Ok(objects)
    }

    /// What the unfinished objects of a namespace name.
    async fn waited_for(&self, namespace: &str) -> Result<WaitedFor, kube::Error> {
        let mut names = WaitedFor::default();
        let all = ListParams::default;
        let by_job = |job: Participant| names.by_job(&job);
        self.each::<_, Needed>(namespace, all(), by_job).await?;
        let by_gate = |gate: Gate| names.by_gate(&gate);
        self.each::<_, Needed>(namespace, all(), by_gate).await?;
        let by_barrier = |barrier: Barrier| names.by_barrier(&barrier);
        self.each::<_, Needed>(namespace, all(), by_barrier).await?;
        Ok(names)
    }

    /// What the Jobs and pods of a namespace hold.
    async fn held(&self, namespace: &str) -> Result<Held, kube::Error> {
        let mut held = Held::default();
        let by_job = |job: Participant| held.by_job(&job);
        self.each::<_, Needed>(namespace, ListParams::default(), by_job)
            .await?;
        let marked = ListParams::default().labels(&format!("{}=true", label::HELD));
        let by_pod = |pod: Pod| held.by_pod(&pod);
        self.each::<_, WithAnnotations>(namespace, marked, by_pod)
            .await?;
        Ok(held)
    }

    /// Lists page by page, so that what is not kept needs no memory.
    async fn each<K, S>(
        &self,
        namespace: &str,
        mut params: ListParams,
        mut keep: impl FnMut(K),
    ) -> Result<(), kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
        S: Shape<K>,
    {
        if !is_name(namespace) {
            return Ok(());
        }
        let api = self.api::<K, S>(namespace);
        params.limit = Some(PAGE);
        loop {
            #[expect(clippy::disallowed_methods, reason = "its objects are Lenient")]
            let page = api.list(&params).await?;
            // The watch reports those that can't be decoded.
            let decoded = page
                .items
                .into_iter()
                .filter_map(|object| object.decoded().ok());
            decoded.for_each(&mut keep);
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{join, join3};
    use futures::poll;

    use super::*;
    use crate::held_server::Server;

    /// An API server without objects.
    fn server() -> (Server, Live) {
        let none = serde_json::json!({
            "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
        });
        Server::start(http::StatusCode::NOT_FOUND, &none)
    }

    #[tokio::test]
    async fn a_read_answers_those_that_asked_before_it_began_and_nobody_else() {
        let (server, live) = server();
        let gate = Fact::Gate(ObjectName::new("ns", "g"));
        let (a, b) = (live.read(&gate), live.read(&gate));
        assert!(poll!(a.clone()).is_pending());
        server.is_asked().await;
        // It is under way: a caller that asks now waits for the next read, and shares it.
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
    async fn names_and_labels_that_no_object_has_are_not_asked_for() {
        let (server, live) = server();
        for name in [
            "",
            "a/status",
            "..",
            "a?watch=true",
            "a b",
            "-a",
            "a-",
            &"a".repeat(254),
        ] {
            let gate = Fact::Gate(ObjectName::new("ns", name));
            let Ok(Objects::Gates(gates)) = live.read(&gate).await else {
                panic!("{name}");
            };
            assert!(gates.is_empty(), "{name}");
        }
        for (key, value) in [
            ("a", "b,c=d"),
            ("a,b", "c"),
            ("a/b/c", "d"),
            ("", "a"),
            ("a", "b c"),
        ] {
            let labels = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let namespace = "ns".to_owned();
            let jobs = Fact::JobsLabelled { namespace, labels };
            let Ok(Objects::Jobs(jobs)) = live.read(&jobs).await else {
                panic!("{key}={value}");
            };
            assert!(jobs.is_empty(), "{key}={value}");
        }
        assert!(
            live.read(&Fact::RunsOf(ObjectName::new("ns", "a,b=c")))
                .await
                .is_ok()
        );
        assert_eq!(server.requests.available_permits(), 0);
        let labels = [("konductor.io/run", "r-1"), ("empty", "")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let selector = selector(&BTreeMap::from(labels));
        assert_eq!(selector.as_deref(), Some("empty=,konductor.io/run=r-1"));
    }

    #[tokio::test]
    async fn a_read_that_everybody_has_given_up_does_not_hold_up_the_next() {
        let (server, live) = server();
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
