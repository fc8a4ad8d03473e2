//! Calls of the Rust SDK that other SDKs have in another form, so that no scenario of the contract plays them: to
//! inspect, to create, to hold several, to observe, to block, and what a thousand tasks that wait cost.

use std::time::Duration;

use futures::StreamExt;
use konductor::testing::Dev;
use konductor::{
    Barrier, BarrierSpec, Client, Error, Event, Lease, LeaseSpec, Semaphore, SemaphoreSpec,
    blocking,
};
use konductor_api::{Claim, ClaimPhase};
use konductor_tests::built::koncli;
use konductor_tests::cluster::Cluster;
use konductor_tests::freezer::Freezer;
use konductor_tests::operator::Operator;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;

/// How long anything that must happen may take.
const WITHIN: Duration = Duration::from_secs(60);

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(WITHIN, work).await;
    done.unwrap_or_else(|_| panic!("{what} in time"))
}

fn lease(name: &str, ttl: &str) -> Lease {
    let ttl = ttl.parse().expect("a duration");
    Lease::new(name, LeaseSpec { ttl })
}

fn semaphore(name: &str, permits: u32) -> Semaphore {
    let spec = json!({"permits": permits});
    let spec: SemaphoreSpec = serde_json::from_value(spec).expect("a spec");
    Semaphore::new(name, spec)
}

async fn place() -> (Cluster, Client, Operator) {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("calls").await;
    let client = cluster.konductor(&namespace);
    let operator = Operator::start(&cluster, &namespace);
    (cluster, client, operator)
}

fn claims(client: &Client) -> Api<Claim> {
    Api::namespaced(client.kube().clone(), client.namespace())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_created_on_first_use_and_inspected() {
    let (_cluster, client, _operator) = place().await;
    let missing = client.get::<Lease>("report-acme").await;
    assert!(
        matches!(missing, Err(Error::NotFound { .. })),
        "{missing:?}"
    );
    let made = client.ensure(&lease("report-acme", "7s")).await;
    let made = made.expect("a lease");
    // One that exists stays as it is.
    let again = client.ensure(&lease("report-acme", "9s")).await;
    let again = again.expect("a lease");
    assert_eq!(made.metadata.uid, again.metadata.uid);
    assert_eq!(again.spec.ttl, made.spec.ttl);
    let expected = json!({"expected": 2});
    let expected: BarrierSpec = serde_json::from_value(expected).expect("a spec");
    let barrier = client.ensure(&Barrier::new("workers", expected)).await;
    assert_eq!(barrier.expect("a barrier").spec.expected, 2);
    let odd = client.ensure(&lease("a/b", "7s")).await;
    assert!(matches!(odd, Err(Error::Invalid { .. })), "{odd:?}");

    assert_eq!(client.leader("report-acme").await.expect("a lease"), None);
    let free = client.lease("report-acme").holder("one").try_acquire();
    let guard = free.await.expect("an answer").expect("it is free");
    let leader = client.leader("report-acme").await.expect("a lease");
    assert_eq!(leader.as_deref(), Some("one"));
    let other = client.lease("report-acme").holder("two").try_acquire();
    assert!(other.await.expect("an answer").is_none());
    guard.release().await.expect("a release");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_is_reported() {
    let (_cluster, client, _operator) = place().await;
    client
        .ensure(&lease("scheduler", "30s"))
        .await
        .expect("a lease");
    let (send, mut seen) = unbounded_channel();
    let watching = client.clone();
    let watching = tokio::spawn(async move {
        let report = |leader: Option<&str>| send.send(leader.map(str::to_owned)).expect("a test");
        watching.watch_leader("scheduler", report).await
    });
    let mut next = async || soon("a report", seen.recv()).await.expect("it watches");
    assert_eq!(next().await, None);
    for holder in ["one", "two"] {
        let guard = client.lease("scheduler").holder(holder).acquire().await;
        let guard = guard.expect("a guard");
        assert_eq!(next().await.as_deref(), Some(holder));
        guard.release().await.expect("a release");
        assert_eq!(next().await, None);
    }
    let leases: Api<Lease> = Api::namespaced(client.kube().clone(), client.namespace());
    let deleted = leases.delete("scheduler", &DeleteParams::default()).await;
    deleted.expect("a deletion");
    let ended = soon("an end", watching).await.expect("no panic");
    assert!(matches!(ended, Err(Error::NotFound { .. })), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_are_acquired_in_one_order_whatever_order_they_are_asked_in() {
    const ROUNDS: usize = 5;
    let (_cluster, client, _operator) = place().await;
    for name in ["a", "b", "c"] {
        client.ensure(&lease(name, "30s")).await.expect("a lease");
    }
    let mut parties = JoinSet::new();
    for names in [["a", "b", "c"], ["c", "b", "a"], ["b", "a", "c"]] {
        let client = client.clone();
        parties.spawn(async move {
            for _ in 0..ROUNDS {
                let requests = names.map(|name| client.lease(name).holder(names.concat()));
                let guards = konductor::acquire_all(requests).await.expect("guards");
                let held = guards.iter().map(|guard| guard.claim().chars().next());
                assert_eq!(
                    held.collect::<Vec<_>>(),
                    names.map(|name| name.chars().next())
                );
                for guard in guards {
                    guard.release().await.expect("a release");
                }
            }
        });
    }
    soon("all", parties.join_all()).await;
    let twice = konductor::acquire_all([client.lease("a"), client.lease("b"), client.lease("a")]);
    let twice = twice.await;
    assert!(matches!(twice, Err(Error::Invalid { .. })), "{twice:?}");
    let left = claims(&client).list(&ListParams::default()).await;
    assert_eq!(left.expect("claims").items.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_in_calls_is_reported_for_metrics() {
    let (_cluster, client, _operator) = place().await;
    let (send, mut seen) = unbounded_channel();
    let observed = client
        .clone()
        .on_event(move |event| send.send(event.clone()).expect("a test"));
    client
        .ensure(&lease("report", "6s"))
        .await
        .expect("a lease");
    let mut until = async |name: &str| loop {
        let event = soon(name, seen.recv()).await.expect("events");
        let text = format!("{event:?}");
        if text.starts_with(name) {
            break event;
        }
    };
    let first = observed.lease("report").holder("first").acquire().await;
    let first = first.expect("a guard");
    assert!(matches!(until("Acquired").await, Event::Acquired { .. }));
    assert!(matches!(until("Renewed").await, Event::Renewed { .. }));
    let second = tokio::spawn(observed.lease("report").holder("second").acquire());
    let Event::Waiting { object, message } = until("Waiting").await else {
        panic!("another event");
    };
    assert_eq!((object.kind, &*object.name), ("lease", "report"));
    assert!(!message.is_empty());
    first.release().await.expect("a release");
    assert!(matches!(until("Released").await, Event::Released { .. }));
    let second = second.await.expect("no panic").expect("a guard");
    let deleted = claims(&client)
        .delete(second.claim(), &DeleteParams::default())
        .await;
    deleted.expect("a deletion");
    assert!(matches!(until("Lost").await, Event::Lost { .. }));
}

#[test]
fn a_program_without_a_runtime_waits_and_holds() {
    let dev = Dev::start_program(koncli()).expect("koncli dev");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let config = runtime.block_on(async {
        let kubeconfig =
            kube::config::Kubeconfig::read_from(dev.kubeconfig()).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await;
        config.expect("a configuration")
    });
    let client = blocking::Client::from_config(config).expect("a client");
    client.ensure(&lease("report", "5s")).expect("a lease");
    let guard = client.acquire(client.lease("report")).expect("a guard");
    assert!(guard.token() > Some(0));
    // A thread of the crate renews it.
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(7) {
        guard.check().expect("it is held");
        let busy = client.acquire(client.lease("report").timeout(Some(Duration::ZERO)));
        assert!(matches!(busy, Err(Error::Denied { .. })), "{busy:?}");
    }
    drop(guard);
    let again = client.acquire(client.lease("report").timeout(Some(WITHIN)));
    again
        .expect("it was released")
        .release()
        .expect("a release");
    let within = runtime.block_on(async { client.get::<Lease>("report") });
    assert!(matches!(within, Err(Error::InRuntime)), "{within:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_in_memory_is_started_for_a_test() {
    let dev = Dev::start_program(koncli()).expect("koncli dev");
    let client = dev.client().await.expect("a client");
    client
        .ensure(&semaphore("database", 1))
        .await
        .expect("a semaphore");
    let permit = client.semaphore("database").acquire().await;
    permit
        .expect("a permit")
        .release()
        .await
        .expect("a release");
}

/// What this process has used so far; the embedded cluster and the operator run in it too.
fn cost() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default();
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    format!("{memory}, {} s of CPU", time.tv_sec)
}

/// `KONDUCTOR_WAITERS=1000 cargo test --test sdk_calls many -- --nocapture` prints what it costs.
#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_that_wait_share_a_few_connections() {
    let waiters =
        std::env::var("KONDUCTOR_WAITERS").map_or(200, |text| text.parse().expect("a number"));
    let (cluster, plain, _operator) = place().await;
    let (freezer, mut config) = Freezer::before(&cluster.kubeconfig).await;
    plain.namespace().clone_into(&mut config.default_namespace);
    let client = Client::from_config(config).expect("a client");
    client
        .ensure(&semaphore("batch", 0))
        .await
        .expect("a semaphore");
    let mut tasks = JoinSet::new();
    for number in 0..waiters {
        let request = client.semaphore("batch").holder(format!("task-{number}"));
        tasks.spawn(async move {
            request
                .acquire()
                .await
                .map(|guard| guard.claim().to_owned())
        });
    }
    let queued = async {
        let mut names = std::collections::HashSet::new();
        let events = watcher(claims(&plain), watcher::Config::default());
        let mut events = std::pin::pin!(events.applied_objects());
        while names.len() < waiters {
            let claim = events.next().await.expect("a watch").expect("a claim");
            let status = claim.status.as_ref();
            if status.is_some_and(|status| status.phase == ClaimPhase::Queued) {
                names.insert(claim.metadata.name);
            }
        }
    };
    soon("all queue", queued).await;
    println!(
        "{waiters} tasks wait: {} connections at most, {}",
        freezer.most_connections(),
        cost()
    );
    let semaphores: Api<Semaphore> = Api::namespaced(plain.kube().clone(), plain.namespace());
    let patch = Patch::Merge(json!({"spec": {"permits": waiters}}));
    let raised = semaphores
        .patch("batch", &PatchParams::default(), &patch)
        .await;
    raised.expect("more permits");
    let all = soon("all hold", tasks.join_all()).await;
    for guard in all {
        guard.expect("a guard");
    }
    println!(
        "all have held: {} connections at most, {}",
        freezer.most_connections(),
        cost()
    );
    assert!(
        freezer.most_connections() <= 80,
        "{}",
        freezer.most_connections()
    );
}
