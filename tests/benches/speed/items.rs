//! P15: from a list that is found at run time to the start of its last item.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::label;
use konductor_tests::cluster::Cluster;
use konductor_tests::kubelet::{Script, play};
use konductor_tests::operator::OperatorProcess;
use konductor_tests::scenario::pipeline::{compiled, create as create_run};
use kube::ResourceExt;

use crate::measure::{Row, median};
use crate::raw::{api, watch};
use crate::scale::writes_of;

const ROUNDS: usize = 3;
const ITEMS: usize = 1000;

/// P15: as many items as the list has, against as many of a range, which one Indexed Job is, too.
pub(crate) async fn lists(cluster: &Cluster) -> Vec<Row> {
    let listed = format!("for x in split.parts max {ITEMS}");
    let range = format!("for x in 0..<{ITEMS} after split");
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    let mut writes = Vec::new();
    for _ in 0..ROUNDS {
        floors.push(once(cluster, "p15-raw", &range).await.0.as_secs_f64());
        let (took, patches) = once(cluster, "p15", &listed).await;
        ours.push(took.as_secs_f64());
        writes.push(patches);
    }
    let (floor, ours) = (median(floors), median(ours));
    let patches = median(writes) / ITEMS as f64;
    vec![Row {
        id: "P15",
        what: format!(
            "a list is written → {ITEMS} items have pods, {patches:.3} patches of Jobs an item"
        ),
        floor: format!("{floor:.1} s"),
        ours: format!("{ours:.1} s"),
        ratio: format!("{:.2}×", ours / floor),
        target: "≤ 1.15×",
    }]
}

/// How long it takes from the end of `split` to the last pod of `work`, and how many patches of Jobs there were in all.
async fn once(cluster: &Cluster, namespace: &str, header: &str) -> (Duration, f64) {
    let namespace = cluster.namespace(namespace).await;
    let list: Vec<usize> = (0..ITEMS).collect();
    let written = format!("parts={}\n", serde_json::json!(list));
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
        seen.len() == ITEMS
    })
    .await;
    let before = writes_of(cluster).await;
    let text = format!(
        "pipeline p {{\n  defaults {{ image = \"busybox:1.36\" }}\n  stage split {{ run = \"true\", output parts: list<int> }}\n  \
         stage work {header} {{ run = \"echo ${{x}}\" }}\n}}\n"
    );
    create_run(cluster, &namespace, &compiled(&text)).await;
    split.await.expect("split ends");
    let begun = Instant::now();
    all.await.expect("all have pods");
    let took = begun.elapsed();
    let patches = writes_of(cluster).await.since(&before);
    (took, patches.of(&["jobs"], &["PATCH"]))
}
