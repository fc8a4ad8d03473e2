//! P3 to P6: permits and leases, from one holder to the next.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use konductor_api::{Claim, ClaimPhase, Lease, Semaphore};
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::OperatorProcess;
use konductor_tests::watching::until;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::measure::{Row, median, ms, quantile, rate, times};
use crate::raw::{api, create, names, object, patch, patch_status, patch_status_and_delete, watch};
use crate::scale::writes_of;

const ROUNDS: usize = 3;

fn claim(name: &str, kind: &str, on: &str, more: Value) -> Claim {
    let mut spec = json!({"target": {"kind": kind, "name": on}, "holder": name});
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    object(name, spec)
}

fn granted(claim: &Claim) -> bool {
    claim
        .status
        .as_ref()
        .is_some_and(|status| status.phase == ClaimPhase::Granted)
}

/// What a raw client does in a second, of as many distinct Claims as there will be grants.
struct Floor {
    /// Patches of their status.
    patched: f64,
    /// The same, each with a deletion: what a grant and its release take at least.
    released: f64,
}

async fn floor(cluster: &Cluster, count: usize) -> Floor {
    let namespace = cluster.namespace("raw").await;
    let claims = api::<Claim>(&cluster.client, &namespace);
    let all = names("c", count);
    let made = all
        .iter()
        .map(|name| claim(name, "Semaphore", "none", json!({})));
    create(&claims, made.collect()).await;
    let status = json!({"status": {"phase": "Granted", "message": "granted"}});
    let patched = rate(count, patch_status(&claims, &all, &status).await);
    let again = json!({"status": {"phase": "Granted", "message": "granted again"}});
    let released = patch_status_and_delete(&claims, &all, &again).await;
    Floor {
        patched,
        released: rate(count, released),
    }
}

struct Grants {
    took: Duration,
    writes_a_grant: f64,
}

/// So many Claims on so many Semaphores; each releases what it was granted at once.
async fn grants(cluster: &Cluster, semaphores: usize, permits: u32, count: usize) -> Grants {
    let namespace = cluster.namespace("grants").await;
    let _operator = OperatorProcess::start(cluster, &namespace);
    let ledgers = api::<Semaphore>(&cluster.client, &namespace);
    let all = names("s", semaphores);
    // Nothing is granted until all have asked.
    let paused = all.iter().map(|name| object(name, json!({"permits": 0})));
    create(&ledgers, paused.collect()).await;
    let claims = api::<Claim>(&cluster.client, &namespace);
    let asked = names("c", count);
    let asking = asked.iter().enumerate();
    let asking =
        asking.map(|(index, name)| claim(name, "Semaphore", &all[index % semaphores], json!({})));
    create(&claims, asking.collect()).await;
    for name in &all {
        until(&cluster.client, &namespace, name, |one: &Semaphore| {
            one.status.is_some()
        })
        .await;
    }
    let (releases, mut release) = mpsc::unbounded_channel();
    let mut seen = BTreeSet::new();
    let watching = watch(&claims, move |claim: Claim| {
        if granted(&claim) && seen.insert(claim.name_any()) {
            let _ = releases.send(claim.name_any());
        }
        seen.len() == count
    })
    .await;
    let deleting = tokio::spawn({
        let claims = claims.clone();
        async move {
            let mut under_way = tokio::task::JoinSet::new();
            while let Some(name) = release.recv().await {
                let claims = claims.clone();
                under_way.spawn(async move {
                    let _ = claims.delete(&name, &DeleteParams::default()).await;
                });
            }
            while under_way.join_next().await.is_some() {}
        }
    });
    let before = writes_of(cluster).await;
    let begun = Instant::now();
    patch(&ledgers, &all, &json!({"spec": {"permits": permits}})).await;
    watching.await.expect("all granted");
    let took = begun.elapsed();
    deleting.await.expect("all released");
    let written = writes_of(cluster).await.since(&before);
    let writes = written.of(&["semaphores", "claims"], &["PUT", "PATCH"]) - all.len() as f64;
    Grants {
        took,
        writes_a_grant: writes / count as f64,
    }
}

async fn compared(
    cluster: &Cluster,
    id: &'static str,
    target: &'static str,
    semaphores: usize,
    permits: u32,
    count: usize,
) -> Vec<Row> {
    let (mut patched, mut released) = (Vec::new(), Vec::new());
    let (mut ours, mut writes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let floor = floor(cluster, count).await;
        patched.push(floor.patched);
        released.push(floor.released);
        let measured = grants(cluster, semaphores, permits, count).await;
        ours.push(rate(count, measured.took));
        writes.push(measured.writes_a_grant);
    }
    let (patched, released) = (median(patched), median(released));
    let (ours, writes) = (median(ours), median(writes));
    vec![Row {
        id,
        what: format!(
            "{count} Claims on {semaphores} Semaphores of {permits}, each released when granted"
        ),
        floor: format!("{patched:.0} status patches/s; {released:.0} with a deletion each"),
        ours: format!("{ours:.0} grants/s, {writes:.2} writes a grant"),
        ratio: format!("{:.2}×; {:.2}×", ours / patched, ours / released),
        target,
    }]
}

/// P3: many Semaphores.
pub(crate) async fn many_semaphores(cluster: &Cluster) -> Vec<Row> {
    compared(cluster, "P3", "≥ 0.7×, ≤ 2.15 writes", 100, 10, 5000).await
}

/// P4: one hot Semaphore.
pub(crate) async fn one_semaphore(cluster: &Cluster) -> Vec<Row> {
    compared(cluster, "P4", "≥ 0.6×", 1, 100, 1000).await
}

/// P5: a release, until the next has it.
pub(crate) async fn releases(cluster: &Cluster) -> Vec<Row> {
    const SAMPLES: usize = 100;
    let namespace = cluster.namespace("p5").await;
    let _operator = OperatorProcess::start(cluster, &namespace);
    let ledgers = api::<Semaphore>(&cluster.client, &namespace);
    create(&ledgers, vec![object("s", json!({"permits": 1}))]).await;
    let claims = api::<Claim>(&cluster.client, &namespace);
    let mine = |name: &str| claim(name, "Semaphore", "s", json!({}));
    create(&claims, vec![mine("c-0")]).await;
    until(&cluster.client, &namespace, "c-0", granted).await;
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    for sample in 0..SAMPLES {
        let (name, next) = (format!("c-{sample}"), format!("c-{}", sample + 1));
        let label = Patch::Merge(json!({"metadata": {"labels": {"sample": "1"}}}));
        let begun = Instant::now();
        let patched = claims.patch(&name, &PatchParams::default(), &label).await;
        patched.expect("patched");
        floors.push(begun.elapsed());
        create(&claims, vec![mine(&next)]).await;
        let watching = {
            let next = next.clone();
            watch(&claims, move |claim: Claim| {
                claim.name_any() == next && granted(&claim)
            })
            .await
        };
        let begun = Instant::now();
        let deleted = claims.delete(&name, &DeleteParams::default()).await;
        deleted.expect("deleted");
        watching.await.expect("granted");
        ours.push(begun.elapsed());
    }
    let (floor, ours) = (quantile(&floors, 0.5), quantile(&ours, 0.5));
    vec![Row {
        id: "P5",
        what: "release → the next has it, p50".into(),
        floor: ms(floor),
        ours: ms(ours),
        ratio: times(ours, floor),
        target: "≤ 2.5×",
    }]
}

/// P6: a Lease that nobody renews passes on.
pub(crate) async fn expiries(cluster: &Cluster) -> Vec<Row> {
    const SAMPLES: usize = 100;
    const TTL: Duration = Duration::from_secs(5);
    let namespace = cluster.namespace("p6").await;
    let _operator = OperatorProcess::start(cluster, &namespace);
    let leases = api::<Lease>(&cluster.client, &namespace);
    let all = names("l", SAMPLES);
    let ttl = json!({"ttl": format!("{}s", TTL.as_secs())});
    create(
        &leases,
        all.iter().map(|name| object(name, ttl.clone())).collect(),
    )
    .await;
    let claims = api::<Claim>(&cluster.client, &namespace);
    let (times_seen, mut seen) = mpsc::unbounded_channel();
    let mut known = BTreeSet::new();
    let watching = watch(&claims, move |claim: Claim| {
        if granted(&claim) && known.insert(claim.name_any()) {
            let _ = times_seen.send((claim.spec.target.name.clone(), Timestamp::now()));
        }
        known.len() == 2 * SAMPLES
    })
    .await;
    for turn in ["first", "second"] {
        let asking = all
            .iter()
            .map(|name| claim(&format!("{name}-{turn}"), "Lease", name, json!({})));
        create(&claims, asking.collect()).await;
    }
    watching.await.expect("all granted twice");
    let mut begun = std::collections::BTreeMap::new();
    let mut late = Vec::new();
    while let Ok((lease, at)) = seen.try_recv() {
        match begun.get(&lease) {
            None => {
                begun.insert(lease, at);
            }
            Some(first) => {
                let passed = Duration::try_from(at.duration_since(*first)).unwrap_or_default();
                late.push(passed.saturating_sub(TTL));
            }
        }
    }
    vec![Row {
        id: "P6",
        what: format!(
            "a Lease of {} s is not renewed → the next has it, p99",
            TTL.as_secs()
        ),
        floor: "TTL".into(),
        ours: format!("TTL + {}", ms(quantile(&late, 0.99))),
        ratio: String::new(),
        target: "≤ TTL + 100 ms",
    }]
}
