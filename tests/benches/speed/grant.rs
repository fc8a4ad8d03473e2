//! P3 to P6: permits and leases, from one holder to the next. S4: a queue of fifty thousand.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use konductor_api::{Claim, ClaimPhase, Lease, Semaphore};
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::OperatorProcess;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::measure::{Extent, Of, Row, ms, progress, quantile, rate};
use crate::raw::{
    api, create, names, object, patch, patch_status, patch_status_and_delete, reached, watch,
};
use crate::usage::{memory, processor, requests, settled};

const ROUNDS: usize = 3;
const WITHIN: Duration = Duration::from_secs(300);

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
    let claim_names = names("c", count);
    let asking = claim_names.iter().enumerate();
    let asking =
        asking.map(|(index, name)| claim(name, "Semaphore", &all[index % semaphores], json!({})));
    create(&claims, asking.collect()).await;
    for name in &all {
        reached(&ledgers, name, WITHIN, |semaphore| {
            semaphore.status.is_some()
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
    let before = requests(cluster).await;
    let begun = Instant::now();
    patch(&ledgers, &all, &json!({"spec": {"permits": permits}})).await;
    watching.await.expect("all granted");
    let took = begun.elapsed();
    deleting.await.expect("all released");
    let written = requests(cluster).await.since(&before);
    let writes = written.of(&["semaphores", "claims"], &["PUT", "PATCH"]) - all.len() as f64;
    Grants {
        took,
        writes_a_grant: writes / count as f64,
    }
}

struct Comparison {
    id: &'static str,
    /// Of konductor's rate to the floor's.
    ratio_at_least: f64,
    writes_at_most: Option<f64>,
    semaphores: usize,
    permits: u32,
    claims: usize,
}

async fn compared(cluster: &Cluster, extent: Extent, comparison: Comparison) -> Vec<Row> {
    let (semaphores, permits) = (extent.of(comparison.semaphores), comparison.permits);
    let (id, count) = (comparison.id, extent.of(comparison.claims));
    let (mut patched, mut released) = (Vec::new(), Vec::new());
    let (mut ours, mut writes) = (Vec::new(), Vec::new());
    for round in 1..=extent.rounds(ROUNDS) {
        progress(&format!("{id}: round {round}, the floor"));
        let floor = floor(cluster, count).await;
        patched.push(floor.patched);
        released.push(floor.released);
        progress(&format!("{id}: round {round}, {count} Claims"));
        let measured = grants(cluster, semaphores, permits, count).await;
        ours.push(rate(count, measured.took));
        writes.push(measured.writes_a_grant);
    }
    let what = format!(
        "{count} Claims on {semaphores} Semaphores of {permits}, each released when granted"
    );
    let mut written = Row::new(id, format!("{what}: writes of a grant"), "writes", &writes);
    if let Some(most) = comparison.writes_at_most {
        written = written.at_most(Of::Konductor, most);
    }
    let granted = Row::new(id, &what, "grants/s", &ours)
        .beside("patches of the status of as many Claims", &patched, &ours)
        .at_least(Of::Ratio, comparison.ratio_at_least);
    let both = "patches of the status and deletions of as many Claims";
    let with_releases = Row::new(id, what, "grants/s", &ours).beside(both, &released, &ours);
    vec![granted, with_releases, written]
}

/// P3: many Semaphores.
pub(crate) async fn many_semaphores(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let comparison = Comparison {
        id: "P3",
        ratio_at_least: 0.7,
        writes_at_most: Some(2.15),
        semaphores: 100,
        permits: 10,
        claims: 5000,
    };
    compared(cluster, extent, comparison).await
}

/// P4: one hot Semaphore.
pub(crate) async fn one_semaphore(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let comparison = Comparison {
        id: "P4",
        ratio_at_least: 0.6,
        writes_at_most: None,
        semaphores: 1,
        permits: 100,
        claims: 1000,
    };
    compared(cluster, extent, comparison).await
}

/// A Claim on the Semaphore of [`one_permit`].
fn on_one_permit(name: &str) -> Claim {
    claim(name, "Semaphore", "s", json!({}))
}

/// An operator, and the Claims of a namespace with a Semaphore of one permit, which the Claim `first` holds.
async fn one_permit(cluster: &Cluster, namespace: &str) -> (OperatorProcess, Api<Claim>) {
    let namespace = cluster.namespace(namespace).await;
    let operator = OperatorProcess::start(cluster, &namespace);
    let ledgers = api::<Semaphore>(&cluster.client, &namespace);
    create(&ledgers, vec![object("s", json!({"permits": 1}))]).await;
    let claims = api::<Claim>(&cluster.client, &namespace);
    create(&claims, vec![on_one_permit("first")]).await;
    reached(&claims, "first", WITHIN, granted).await;
    (operator, claims)
}

/// Deletes the Claim that holds the permit; how long it takes until the next has it, and which that is.
async fn passed_on(claims: &Api<Claim>, holder: &str) -> (Duration, String) {
    let (next, mut has_it) = mpsc::unbounded_channel();
    let last = holder.to_owned();
    let watching = watch(claims, move |claim: Claim| {
        let is_next = granted(&claim) && claim.name_any() != last;
        if is_next {
            let _ = next.send(claim.name_any());
        }
        is_next
    })
    .await;
    let begun = Instant::now();
    let deleted = claims.delete(holder, &DeleteParams::default()).await;
    deleted.expect("deleted");
    watching.await.expect("granted");
    (begun.elapsed(), has_it.try_recv().expect("a name"))
}

/// P5: a release, until the next has it.
pub(crate) async fn releases(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let samples = extent.rounds(100);
    let (_operator, claims) = one_permit(cluster, "p5").await;
    let mut holder = "first".to_owned();
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    for sample in 0..samples {
        let label = Patch::Merge(json!({"metadata": {"labels": {"sample": "1"}}}));
        let begun = Instant::now();
        let patched = claims.patch(&holder, &PatchParams::default(), &label).await;
        patched.expect("patched");
        floors.push(ms(begun.elapsed()));
        create(&claims, vec![on_one_permit(&format!("c-{sample}"))]).await;
        let (took, next) = passed_on(&claims, &holder).await;
        ours.push(ms(took));
        holder = next;
    }
    let row = Row::new("P5", "release → the next has it", "ms", &ours);
    vec![
        row.beside("one patch", &floors, &ours)
            .at_most(Of::Ratio, 2.5),
    ]
}

/// P6: a Lease that nobody renews passes on.
pub(crate) async fn expiries(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    const TTL: Duration = Duration::from_secs(5);
    let samples = extent.of(100);
    let namespace = cluster.namespace("p6").await;
    let _operator = OperatorProcess::start(cluster, &namespace);
    let leases = api::<Lease>(&cluster.client, &namespace);
    let all = names("l", samples);
    let ttl = json!({"ttl": format!("{}s", TTL.as_secs())});
    create(
        &leases,
        all.iter().map(|name| object(name, ttl.clone())).collect(),
    )
    .await;
    let claims = api::<Claim>(&cluster.client, &namespace);
    let (times_seen, mut seen) = mpsc::unbounded_channel();
    let mut granted_names = BTreeSet::new();
    let watching = watch(&claims, move |claim: Claim| {
        if granted(&claim) && granted_names.insert(claim.name_any()) {
            let _ = times_seen.send((claim.spec.target.name.clone(), Timestamp::now()));
        }
        granted_names.len() == 2 * samples
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
                late.push(ms(passed.saturating_sub(TTL)));
            }
        }
    }
    let what = format!(
        "a Lease of {} s is not renewed → after the TTL, the next has it",
        TTL.as_secs()
    );
    vec![
        Row::new("P6", format!("{what}, p50"), "ms", &late),
        Row::new("P6", format!("{what}, p99"), "ms", &[quantile(&late, 0.99)])
            .at_most(Of::Konductor, 100.0),
    ]
}

/// S4: 500, 5,000 and 50,000 Claims that wait for the one permit of a Semaphore, and releases of it.
pub(crate) async fn queue(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    const RELEASES: usize = 21;
    let mut rows = Vec::new();
    for count in extent.sizes(&[500, 5000, 50_000]) {
        progress(&format!("S4: {count} Claims"));
        let (operator, claims) = one_permit(cluster, "s4").await;
        let before = processor(operator.id());
        let begun = Instant::now();
        let queued = names("c", count);
        let waiting = queued.iter().map(|name| on_one_permit(name));
        create(&claims, waiting.collect()).await;
        let created = begun.elapsed();
        settled(cluster).await;
        let worked = processor(operator.id()) - before;
        let (resident, _) = memory(operator.id());
        progress(&format!("S4: {RELEASES} releases"));
        let mut holder = "first".to_owned();
        let mut passed = Vec::new();
        for _ in 0..RELEASES.min(count) {
            let (took, next) = passed_on(&claims, &holder).await;
            passed.push(ms(took));
            holder = next;
        }
        let each = 1000.0 / count as f64;
        let row = |what: &str, unit, figures: &[f64]| {
            Row::new("S4", what, unit, figures).sized(count, "Claims queued")
        };
        rows.extend([
            row("release → the next of a long queue has it", "ms", &passed),
            row("a queue is created", "s", &[created.as_secs_f64()]),
            row(
                "the operator's processor time for each Claim that is queued",
                "ms",
                &[worked * each],
            ),
            row(
                "the operator's memory beside a long queue",
                "MiB",
                &[resident],
            ),
        ]);
    }
    rows
}
