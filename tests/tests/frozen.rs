//! Connections that are frozen: nothing arrives, and nothing says so. On the embedded API server, and
//! on a real one where `KONDUCTOR_TEST_CLUSTER=real` asks for it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use konductor_api::{Claim, ClaimPhase, Semaphore};
use konductor_operator::{Options, Telemetry};
use konductor_tests::cluster::{Cluster, Wanted, wanted};
use konductor_tests::freezer::Freezer;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// How soon everything works again.
const RECOVERS_WITHIN: Duration = Duration::from_secs(15);
/// The most that anything else takes on a machine that is busy.
const WITHIN: Duration = Duration::from_secs(90);

async fn cluster() -> Cluster {
    match wanted() {
        Wanted::None => Cluster::embedded().await,
        Wanted::Real | Wanted::External => Cluster::real().await,
    }
}

fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: Value) -> K {
    let object = json!({"apiVersion": "konductor.io/v1", "kind": kind,
        "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(object).expect("an object")
}

async fn claim(claims: &Api<Claim>, name: &str) -> Duration {
    let target = json!({"target": {"kind": "Semaphore", "name": "s"}, "holder": name});
    let claim = object("Claim", name, target);
    let created = claims.create(&PostParams::default(), &claim).await;
    created.expect("a Claim");
    let begun = Instant::now();
    let granted = |claim: Option<&Claim>| {
        let status = claim.and_then(|claim| claim.status.as_ref());
        status.is_some_and(|status| status.phase == ClaimPhase::Granted)
    };
    let waits = await_condition(claims.clone(), name, granted);
    let waits = tokio::time::timeout(WITHIN, waits).await;
    waits.expect("granted in time").expect("a watch");
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_whose_connections_are_frozen_grants_again_within_15_seconds() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("frozen").await;
    let (freezer, config) = Freezer::before(&cluster.kubeconfig).await;
    let through = konductor::Client::from_config(config).expect("a client");
    let telemetry = Telemetry::default();
    let options = Options {
        namespace: Some(namespace.clone()),
        telemetry: telemetry.clone(),
        ..Options::default()
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let operator = konductor_operator::run(through.kube().clone(), options, async {
        let _ = stopped.await;
    });
    let operator = tokio::spawn(operator);
    let semaphores: Api<Semaphore> = Api::namespaced(cluster.client.clone(), &namespace);
    let claims: Api<Claim> = Api::namespaced(cluster.client.clone(), &namespace);
    let semaphore = object("Semaphore", "s", json!({"permits": 10}));
    let created = semaphores.create(&PostParams::default(), &semaphore).await;
    created.expect("a Semaphore");
    claim(&claims, "before").await;
    for round in 0..2 {
        freezer.freeze();
        let waited = claim(&claims, &format!("frozen-{round}")).await;
        println!("granted {waited:.1?} after the connections were frozen");
        assert!(waited < RECOVERS_WITHIN, "granted after {waited:?}");
    }
    assert!(telemetry.is_ready());
    drop(stop);
    operator.await.expect("no panic").expect("it ended well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_on_a_frozen_connection_is_notified_within_15_seconds() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("frozen").await;
    let (freezer, config) = Freezer::before(&cluster.kubeconfig).await;
    let through = konductor::Client::from_config(config).expect("a client");
    let direct: Api<Semaphore> = Api::namespaced(cluster.client.clone(), &namespace);
    let semaphore = object("Semaphore", "s", json!({"permits": 1}));
    let created = direct.create(&PostParams::default(), &semaphore).await;
    created.expect("a Semaphore");
    let watched: Api<Semaphore> = Api::namespaced(through.kube().clone(), &namespace);
    let (seen, sees) = oneshot::channel();
    let seen = Mutex::new(Some(seen));
    let changed = await_condition(
        watched.clone(),
        "s",
        move |semaphore: Option<&Semaphore>| {
            let seen = seen.lock().expect("nobody panicked").take();
            if let Some(seen) = seen.filter(|_| semaphore.is_some()) {
                let _ = seen.send(());
            }
            semaphore.is_some_and(|semaphore| semaphore.spec.permits == 2)
        },
    );
    let changed = tokio::spawn(changed);
    sees.await.expect("it sees the Semaphore");
    freezer.freeze();
    let begun = Instant::now();
    let more = Patch::Merge(json!({"spec": {"permits": 2}}));
    let patched = direct.patch("s", &PatchParams::default(), &more).await;
    patched.expect("patched");
    let changed = tokio::time::timeout(WITHIN, changed).await;
    changed
        .expect("in time")
        .expect("no panic")
        .expect("a watch");
    let waited = begun.elapsed();
    println!("heard {waited:.1?} after the connection was frozen");
    assert!(waited < RECOVERS_WITHIN, "heard after {waited:?}");
    // Other requests don't use what is frozen either.
    let begun = Instant::now();
    watched.get("s").await.expect("an answer");
    assert!(begun.elapsed() < RECOVERS_WITHIN);
}
