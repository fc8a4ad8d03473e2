//! P15: from a list that is found at run time to the start of its last item. S2: up to ten thousand items.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Run, annotation, label};
use konductor_compiler::Object;
use konductor_tests::cluster::Cluster;
use konductor_tests::kubelet::{Script, play};
use konductor_tests::operator::OperatorProcess;
use konductor_tests::scenario::pipeline::{compiled, create as create_run, create_changed};
use kube::ResourceExt;

use crate::measure::{Extent, Of, Row, progress};
use crate::raw::{api, has_succeeded, reached, watch};
use crate::usage::{memory, processor, requests};

const WITHIN: Duration = Duration::from_secs(1800);

/// Where the items of an Indexed Job come from.
#[derive(Clone, Copy)]
enum Items {
    /// A list that is found at run time.
    List,
    /// The same pods, each with the list and the wrapper that picks its item, of a Job whose size was known.
    SamePods,
    /// A range: its pods have neither.
    Range,
}

/// P15: as many items as the list has, against as many of a range, which one Indexed Job is, too.
pub(crate) async fn lists(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let items = extent.of(1000);
    let (mut ranges, mut same_pods, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    let mut writes = Vec::new();
    for round in 1..=extent.rounds(3) {
        progress(&format!("P15: {items} items, round {round}"));
        let (took, _) = once(cluster, Items::Range, items).await;
        ranges.push(took.as_secs_f64());
        let (took, _) = once(cluster, Items::SamePods, items).await;
        same_pods.push(took.as_secs_f64());
        let (took, patches) = once(cluster, Items::List, items).await;
        ours.push(took.as_secs_f64());
        writes.push(patches / items as f64);
    }
    let what = format!("a list is written → {items} items have pods");
    vec![
        Row::new("P15", what.clone(), "s", &ours)
            .beside(
                "the same pods of a Job whose size was known",
                &same_pods,
                &ours,
            )
            .at_most(Of::Ratio, 1.15),
        Row::new("P15", what.clone(), "s", &ours)
            .beside(
                "as many items of a range, whose pods have no wrapper",
                &ranges,
                &ours,
            )
            .at_most(Of::Ratio, 1.15),
        Row::new(
            "P15",
            format!("{what}: patches of Jobs for each item"),
            "writes",
            &writes,
        ),
    ]
}

/// S2: a stage for each of 100, 1,000 and 10,000 items, from its start to the end of its run.
pub(crate) async fn fan_out(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let mut rows = Vec::new();
    for items in extent.sizes(&[100, 1000, 10_000]) {
        let (mut took, mut requests_per_item, mut worked) = (Vec::new(), Vec::new(), Vec::new());
        let mut resident = Vec::new();
        for round in 1..=extent.rounds(if items > 1000 { 1 } else { 3 }) {
            progress(&format!("S2: {items} items, round {round}"));
            let namespace = cluster.namespace("s2").await;
            let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
            let operator = OperatorProcess::start(cluster, &namespace);
            let runs = api::<Run>(&cluster.client, &namespace);
            let place = cluster.audited_until();
            let begun = Instant::now();
            let text = format!(
                "pipeline p {{\n  defaults {{ image = \"busybox:1.36\" }}\n  \
                 stage work for x in 0..<{items} {{ run = \"echo ${{x}}\" }}\n}}\n"
            );
            create_run(cluster, &namespace, &compiled(&text)).await;
            reached(&runs, "p", WITHIN, has_succeeded).await;
            took.push(begun.elapsed().as_secs_f64());
            let requests = cluster.requests_since(place);
            let by_operator = requests
                .iter()
                .filter(|((caller, ..), _)| caller == "koncli");
            let by_operator: u64 = by_operator.map(|(_, count)| count).sum();
            requests_per_item.push(by_operator as f64 / items as f64);
            worked.push(processor(operator.id()) * 1000.0 / items as f64);
            resident.push(memory(operator.id()).0);
        }
        let row = |what: &str, unit, figures: &[f64]| {
            Row::new("S2", what, unit, figures).sized(items, "items")
        };
        rows.extend([
            row("a run of one stage for each item", "s", &took),
            row(
                "the operator's requests for each item",
                "requests",
                &requests_per_item,
            ),
            row("the operator's processor time for each item", "ms", &worked),
            row(
                "the operator's memory after a run with items",
                "MiB",
                &resident,
            ),
        ]);
    }
    rows
}

/// How long it takes from the end of `split` to the last pod of `work`, and how many patches of Jobs there were in all.
async fn once(cluster: &Cluster, of: Items, items: usize) -> (Duration, f64) {
    let namespace = cluster.namespace("p15").await;
    let list = serde_json::json!((0..items).collect::<Vec<_>>()).to_string();
    let written = format!("parts={list}\n");
    let _kubelet = play(&cluster.client, &namespace, move |pod| {
        match pod.labels().get(label::STAGE).map(String::as_str) {
            Some("split") => Script::with_outputs(&written),
            _ => Script::succeed(),
        }
    });
    let _operator = OperatorProcess::start(cluster, &namespace);
    let jobs = api::<Job>(&cluster.client, &namespace);
    let split = watch(&jobs, |job: Job| {
        job.name_any() == "p-split" && konductor_api::job_ended(&job).is_some()
    })
    .await;
    let mut seen = BTreeSet::new();
    let pods = api::<Pod>(&cluster.client, &namespace);
    let all = watch(&pods, move |pod: Pod| {
        if pod.labels().get(label::STAGE).map(String::as_str) == Some("work") {
            seen.insert(pod.name_any());
        }
        seen.len() == items
    })
    .await;
    let before = requests(cluster).await;
    let header = match of {
        Items::List | Items::SamePods => format!("for x in split.parts max {items}"),
        Items::Range => format!("for x in 0..<{items} after split"),
    };
    let text = format!(
        "pipeline p {{\n  defaults {{ image = \"busybox:1.36\" }}\n  stage split {{ run = \"true\", output parts: list<int> }}\n  \
         stage work {header} {{ run = \"echo ${{x}}\" }}\n}}\n"
    );
    create_changed(cluster, &namespace, &compiled(&text), |object| {
        if let (Items::SamePods, Object::Job(job)) = (of, object) {
            give_size(job, items, &list);
        }
    })
    .await;
    split.await.expect("split ends");
    let begun = Instant::now();
    all.await.expect("all have pods");
    let took = begun.elapsed();
    let patches = requests(cluster).await.since(&before);
    (took, patches.of(&["jobs"], &["PATCH"]))
}

/// Makes a Job whose items are a list what the operator makes of it when it knows the list.
fn give_size(job: &mut Job, items: usize, list: &str) {
    let annotations = job.metadata.annotations.get_or_insert_default();
    if annotations.remove(annotation::ITEMS).is_none() {
        return;
    }
    let spec = job.spec.get_or_insert_default();
    let size = i32::try_from(items).expect("a size");
    (spec.completions, spec.parallelism) = (Some(size), Some(size));
    let template = spec.template.metadata.get_or_insert_default();
    let annotations = template.annotations.get_or_insert_default();
    annotations.insert(annotation::ITEMS.to_owned(), list.to_owned());
}
