//! Scans of whole namespaces: one answers all objects that ask for it.
//!
//! What enters: objects that can't be decided about before all objects of their namespace were read. What leaves: the
//! same objects, queued again, each with an answer. What must never happen here: an object that has a turn, or a
//! future that is polled, while it waits. There may be thousands, and everybody else would wait for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use konductor_core::{Fact, ObjectName, Objects};
use tokio::time::{Instant, sleep};

use crate::fair::Fair;
use crate::index::Watched;
use crate::live::Live;

/// How many namespaces are scanned at once: few of the live reads, so that scans don't delay the others.
const AT_ONCE: usize = 4;
/// After a scan its namespace is left alone for this many times as long as the scan took. The next one answers all
/// that ask meanwhile.
const REST: u32 = 4;

type Asker = (Watched, ObjectName);
type Answer = Result<Objects, Arc<kube::Error>>;

/// The objects that ask for a scan, and the answers of the last ones.
pub(crate) struct Scans {
    inner: Mutex<Inner>,
    requests: UnboundedSender<Fact>,
}

#[derive(Default)]
struct Inner {
    /// Those that the next scan answers.
    asking: BTreeMap<Fact, BTreeSet<Asker>>,
    /// Those that the scans under way answer.
    scanning: BTreeMap<Fact, BTreeSet<Asker>>,
    /// What is scanned, or waits for that, or rests.
    busy: BTreeSet<Fact>,
    /// Each until its object is decided about, or an event concerns it.
    answers: HashMap<Asker, (Fact, Answer)>,
}

/// What is to be scanned.
pub(crate) struct Asked(UnboundedReceiver<Fact>);

impl Scans {
    pub(crate) fn new() -> (Self, Asked) {
        let (requests, receiver) = unbounded();
        let inner = Mutex::default();
        (Self { inner, requests }, Asked(receiver))
    }

    /// Returns the answer of a scan that began after this object had asked, once. Otherwise the object asks now, and
    /// is queued again with the answer.
    pub(crate) fn ask(&self, fact: &Fact, kind: Watched, name: ObjectName) -> Option<Answer> {
        let mut inner = self.inner();
        let asker = (kind, name);
        let answered = inner.answers.remove(&asker);
        if let Some((_, answer)) = answered.filter(|(answered, _)| answered == fact) {
            return Some(answer);
        }
        inner.asking.entry(fact.clone()).or_default().insert(asker);
        if inner.busy.insert(fact.clone()) {
            // A closed channel means that the operator stops.
            let _ = self.requests.unbounded_send(fact.clone());
        }
        None
    }

    /// Forgets the answer to an object that an event concerns, also one that is on its way: the scan may not have seen
    /// what has happened.
    pub(crate) fn forget(&self, kind: Watched, namespace: &str, name: &str) {
        let mut inner = self.inner();
        if inner.answers.is_empty() && inner.scanning.is_empty() {
            return;
        }
        let asker = (kind, ObjectName::new(namespace, name));
        let Inner {
            asking,
            scanning,
            answers,
            ..
        } = &mut *inner;
        answers.remove(&asker);
        for (fact, askers) in scanning {
            if askers.remove(&asker) {
                let asking = asking.entry(fact.clone()).or_default();
                asking.insert(asker.clone());
            }
        }
    }

    /// Forgets all answers: what has happened had no events.
    pub(crate) fn forget_all(&self) {
        let mut inner = self.inner();
        let Inner {
            asking,
            scanning,
            answers,
            ..
        } = &mut *inner;
        answers.clear();
        for (fact, askers) in scanning {
            asking.entry(fact.clone()).or_default().append(askers);
        }
    }

    /// Scans as long as somebody asks for this.
    async fn serve(
        &self,
        fact: Fact,
        live: &Live,
        fair: &Fair,
        queue: &impl Fn(Watched, &ObjectName) -> bool,
    ) {
        loop {
            let turn = fair.turn(fact.namespace()).await;
            self.begin(&fact);
            let began = Instant::now();
            let answer = live.read(&fact).await;
            let took = began.elapsed();
            drop(turn);
            let askers = self.inner().scanning.remove(&fact);
            for (kind, name) in askers.unwrap_or_default() {
                // To be queued forgets answers, so this one comes after it.
                if queue(kind, &name) {
                    let answer = (fact.clone(), answer.clone());
                    self.inner().answers.insert((kind, name), answer);
                }
            }
            sleep(took * REST).await;
            if self.rests(&fact) {
                return;
            }
        }
    }

    /// From here on, those that ask are answered by the next scan.
    fn begin(&self, fact: &Fact) {
        let mut inner = self.inner();
        let askers = inner.asking.remove(fact).unwrap_or_default();
        inner.scanning.insert(fact.clone(), askers);
    }

    /// Whether nothing asks for this any more; then the next object that asks starts another scan.
    fn rests(&self, fact: &Fact) -> bool {
        let mut inner = self.inner();
        let rests = !inner.asking.contains_key(fact);
        if rests {
            inner.busy.remove(fact);
        }
        rests
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing in between can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// Scans what is asked for, forever. `queue` queues an object, and returns whether it exists.
    pub(crate) async fn scan(
        self,
        scans: &Scans,
        live: &Live,
        queue: impl Fn(Watched, &ObjectName) -> bool,
    ) {
        let fair = Fair::new(AT_ONCE);
        let serve = |fact| scans.serve(fact, live, &fair, &queue);
        self.0.for_each_concurrent(None, serve).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held_server::Server;

    /// An API server without objects.
    fn server() -> (Server, Live) {
        let list = serde_json::json!({
            "apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "7"}, "items": [],
        });
        Server::start(http::StatusCode::OK, &list)
    }

    /// What the test does beside the scans: `queued` are the names of those that were queued again.
    async fn beside<Doing: Future<Output = ()>>(
        live: &Live,
        is_there: impl Fn(&ObjectName) -> bool,
        doing: impl FnOnce(Arc<Scans>, Arc<Mutex<Vec<String>>>) -> Doing,
    ) {
        let (scans, requests) = Scans::new();
        let scans = Arc::new(scans);
        let queued: Arc<Mutex<Vec<String>>> = Arc::default();
        let queue = |kind, name: &ObjectName| {
            scans.forget(kind, &name.namespace, &name.name);
            queued.lock().unwrap().push(name.name.clone());
            is_there(name)
        };
        tokio::select! {
            // What the test does is first, so that it sees each step of the scans.
            biased;
            () = doing(Arc::clone(&scans), Arc::clone(&queued)) => {}
            () = requests.scan(&scans, live, queue) => panic!("it never ends"),
        }
    }

    async fn until(queued: &Mutex<Vec<String>>, expected: &[&str]) {
        loop {
            let queued = queued.lock().unwrap().clone();
            if queued == expected {
                return;
            }
            assert!(queued.len() < expected.len(), "{queued:?}");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_scan_answers_those_that_asked_before_it_began_once_each() {
        let (server, live) = server();
        let requests = Arc::clone(&server.requests);
        let script = |scans: Arc<Scans>, queued: Arc<Mutex<Vec<String>>>| async move {
            let fact = Fact::WaitedFor("ns".to_owned());
            let ask = |name| scans.ask(&fact, Watched::Gate, ObjectName::new("ns", name));
            assert!(ask("a").is_none() && ask("b").is_none() && ask("a").is_none());
            server.is_asked().await;
            // It is under way: an object that asks now is answered by the next one.
            assert!(ask("c").is_none());
            // The scan may not see what happens now.
            scans.forget(Watched::Gate, "ns", "b");
            server.answers.add_permits(3);
            until(&queued, &["a"]).await;
            scans.forget(Watched::Gate, "ns", "a");
            assert!(ask("a").is_none());
            server.answers.add_permits(3);
            until(&queued, &["a", "a", "b", "c"]).await;
            assert!(matches!(ask("a"), Some(Ok(Objects::WaitedFor(_)))));
            assert!(ask("b").is_some() && ask("c").is_some() && ask("a").is_none());
        };
        beside(&live, |_| true, script).await;
        assert_eq!(requests.available_permits(), 5, "six lists in all");
    }

    #[tokio::test]
    async fn nothing_is_kept_of_what_is_gone_or_of_a_scan_that_has_ended() {
        let (server, live) = server();
        server.answers.add_permits(3);
        let script = |scans: Arc<Scans>, queued: Arc<Mutex<Vec<String>>>| async move {
            let fact = Fact::WaitedFor("ns".to_owned());
            let ask = |name| scans.ask(&fact, Watched::Gate, ObjectName::new("ns", name));
            assert!(ask("gone").is_none());
            until(&queued, &["gone"]).await;
            while !scans.inner().busy.is_empty() {
                tokio::task::yield_now().await;
            }
            let inner = scans.inner();
            assert!(inner.answers.is_empty() && inner.asking.is_empty());
        };
        beside(&live, |name| name.name != "gone", script).await;
    }
}
