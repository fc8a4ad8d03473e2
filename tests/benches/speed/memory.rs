//! M1: what each Job and each primitive takes of the operator's memory, and what stays when they are deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use konductor_api::Gate;
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::OperatorProcess;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use crate::measure::{Extent, Row, progress, slope};
use crate::raw::{api, create, is_open, names, object, reached, watch};
use crate::scale::{jobs, primitives};
use crate::usage::{memory, settled};

/// So many points are on each line, besides the one without any object.
const POINTS: usize = 4;
const WITHIN: Duration = Duration::from_secs(300);

/// M1: 10,000 Jobs, 10,000 primitives, and 5,000 Gates that open and are deleted.
pub(crate) async fn objects(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let step = extent.of(10_000 / POINTS);
    let (of_jobs, of_primitives) = (
        cluster.namespace("m1-jobs").await,
        cluster.namespace("m1-primitives").await,
    );
    let each = (step / 4).max(1);
    let mut rows = Vec::new();
    let (mut jobs_line, mut primitives_line) = (Vec::new(), Vec::new());
    for point in 0..=POINTS {
        progress(&format!(
            "M1: {} Jobs, and as many primitives",
            point * step
        ));
        if point > 0 {
            // They wait for a Gate that does not exist.
            let more = jobs((point - 1) * step..point * step, |_| "none".to_owned());
            create(&api::<Job>(&cluster.client, &of_jobs), more).await;
            primitives(cluster, &of_primitives, (point - 1) * each..point * each).await;
        }
        for (namespace, count, of, line) in [
            (&of_jobs, point * step, "Jobs", &mut jobs_line),
            (
                &of_primitives,
                point * 4 * each,
                "primitives",
                &mut primitives_line,
            ),
        ] {
            let mut figures = Vec::new();
            for round in 0..extent.rounds(3) {
                let operator = OperatorProcess::start(cluster, namespace);
                // When it decides on this one, it has read all others.
                let name = format!("last-{point}-{round}");
                let gates = api::<Gate>(&cluster.client, namespace);
                create(&gates, vec![object(&name, json!({"decision": "Open"}))]).await;
                reached(&gates, &name, WITHIN, is_open).await;
                settled(cluster).await;
                figures.push(memory(operator.id()).0);
            }
            let row = Row::new(
                "M1",
                format!("the operator's memory beside {of}"),
                "MiB",
                &figures,
            );
            line.push((
                count as f64,
                figures.iter().sum::<f64>() / figures.len() as f64,
            ));
            rows.push(row.sized(count, of));
        }
    }
    for (of, line) in [("Job", jobs_line), ("primitive", primitives_line)] {
        let kib = slope(&line) * 1024.0;
        let what = format!("the operator's memory for each {of} (the slope of the line above)");
        rows.push(Row::new("M1", what, "KiB", &[kib]));
    }
    rows.push(deleted(cluster, extent).await);
    rows
}

/// What the operator has more than before, when Gates have opened and are gone.
async fn deleted(cluster: &Cluster, extent: Extent) -> Row {
    let count = extent.of(5000);
    let namespace = cluster.namespace("m1-deleted").await;
    let operator = OperatorProcess::start(cluster, &namespace);
    let gates = api::<Gate>(&cluster.client, &namespace);
    let mut more = Vec::new();
    for round in 0..extent.rounds(3) {
        progress(&format!(
            "M1: {count} Gates open and are deleted, round {}",
            round + 1
        ));
        settled(cluster).await;
        let (before, _) = memory(operator.id());
        let mut open = BTreeSet::new();
        let watching = watch(&gates, move |gate: Gate| {
            if is_open(&gate) {
                open.extend(gate.metadata.name);
            }
            open.len() == count
        })
        .await;
        let made = names(&format!("g-{round}"), count);
        let made = made
            .iter()
            .map(|name| object(name, json!({"decision": "Open"})));
        create(&gates, made.collect()).await;
        watching.await.expect("all are open");
        let deleted = gates
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await;
        deleted.expect("deleted");
        settled(cluster).await;
        more.push(memory(operator.id()).0 - before);
    }
    let what = format!("what {count} Gates leave in the operator's memory when they are deleted");
    Row::new("M1", what, "MiB", &more)
}
