//! Fan-outs over lists that are found at run time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use konductor_api::{JobPhase, Participant, RunPhase};
use konductor_core::explain;
use kube::ResourceExt;

use super::api;
use super::pipeline::{compiled, create, stage, until_ended};
use super::retry::{retry, until_attempt_2_ended};
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::Operator;

const LISTED: &str = r#"
pipeline listed {
  defaults { image = "busybox:1.36" }
  stage split { run = "split", output parts: list<{id: string, size: int}> }
  stage none { run = "none", output parts: list<string> = [] }
  stage twice { run = "twice", output parts: list<string> }
  stage count for part in split.parts max 9 parallel 2 {
    run = "count \"${part.id}\" \"${part.size}\""
    output n: int
    output tag: string = "none"
  }
  stage each for n in count[*].n { run = "each \"${n}\"" }
  stage total { run = "total \"${count[*].n}\" \"${count[*].tag}\"" }
  stage nothing for part in none.parts { run = "nothing \"${part}\"" }
  stage wrong for part in twice.parts { run = "wrong \"${part}\"", may-fail = true }
  stage mend after wrong.failed { run = "mend" }
}
"#;

/// Which pods ran, by stage and index.
type Ran = Arc<Mutex<Vec<(String, Option<u32>)>>>;

async fn job(cluster: &Cluster, namespace: &str, name: &str) -> Participant {
    let jobs = api::<Participant>(cluster, namespace);
    let job = jobs.get(name).await;
    job.unwrap_or_else(|error| panic!("job/{name}: {error}"))
}

fn given(job: &Participant) -> BTreeMap<String, String> {
    let template = job
        .spec
        .as_ref()
        .and_then(|spec| spec.template.metadata.clone());
    template
        .and_then(|metadata| metadata.annotations)
        .unwrap_or_default()
}

/// A list of three makes three pods, two at once; what they write is a list in its order, over which another stage goes;
/// an empty list skips its stage, and a list with one item twice fails it.
pub async fn a_list_that_is_found_at_run_time_is_gone_over(cluster: &Cluster) {
    let namespace = cluster.namespace("listed").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |pod| {
        match (stage(pod).as_str(), explain::index(pod)) {
            ("split", _) => Script::with_outputs(
                "parts=[{\"size\":3,\"id\":\"a\"},{\"id\":\"b\",\"size\":1},{\"id\":\"c\",\"size\":2}]\n",
            ),
            ("twice", _) => Script::with_outputs("parts=[\"x\",\"y\",\"x\"]\n"),
            ("count", Some(1)) => Script::with_outputs("n=10\ntag=mine\n"),
            ("count", Some(index)) => Script::with_outputs(&format!("n={index}\n")),
            _ => Script::succeed(),
        }
    });
    create(cluster, &namespace, &compiled(LISTED)).await;
    let run = until_ended(cluster, &namespace, "listed").await;
    let status = run.status.expect("a status");
    assert_eq!(status.phase, RunPhase::Succeeded, "{status:#?}");
    let count = job(cluster, &namespace, "listed-count").await;
    assert_eq!(count.item_names(), ["a", "b", "c"]);
    let spec = count.spec.clone().expect("a spec");
    assert_eq!((spec.completions, spec.parallelism), (Some(3), Some(2)));
    assert_eq!(
        count.outputs().expect("outputs"),
        BTreeMap::from([
            ("n".to_owned(), "[0,10,2]".to_owned()),
            ("tag".to_owned(), "[null,\"mine\",null]".to_owned()),
        ])
    );
    let total = given(&job(cluster, &namespace, "listed-total").await);
    assert_eq!(total["konductor.io/in-0"], "[0,10,2]");
    assert_eq!(total["konductor.io/in-1"], r#"["none","mine","none"]"#);
    let each = job(cluster, &namespace, "listed-each").await;
    assert_eq!(each.item_names(), ["0", "10", "2"]);
    let nothing = job(cluster, &namespace, "listed-nothing").await;
    assert_eq!(nothing.phase, Some(JobPhase::Skipped));
    assert_eq!(nothing.reason(), Some("its fan-out has no items"));
    let wrong = job(cluster, &namespace, "listed-wrong").await;
    assert_eq!(wrong.phase, Some(JobPhase::Failed));
    assert_eq!(
        wrong.reason(),
        Some(
            "InvalidItems: output parts of stage twice has the item \"x\" twice, as the elements 1 and 3"
        )
    );
}

const AGAIN: &str = r#"
pipeline again {
  defaults { image = "busybox:1.36" }
  stage split { run = "split", output parts: list<string> }
  stage count for part in split.parts { run = "count \"${part}\"", output n: int }
  stage total { run = "total \"${count[*].n}\"" }
}
"#;

/// Only the items that failed, by their pods or their outputs, run again, and what the others wrote is still there.
pub async fn a_retry_of_a_list_runs_only_the_items_that_failed(cluster: &Cluster) {
    let namespace = cluster.namespace("again").await;
    let _operator = Operator::start(cluster, &namespace);
    let ran: Ran = Arc::default();
    let noted = Arc::clone(&ran);
    let _kubelet = play(&cluster.client, &namespace, move |pod| {
        let (stage, index) = (stage(pod), explain::index(pod));
        let mut ran = noted.lock().expect("no panic");
        let is_first = !ran.contains(&(stage.clone(), index));
        ran.push((stage.clone(), index));
        match (stage.as_str(), index) {
            ("split", _) => Script::with_outputs("parts=[\"a\",\"b\",\"c\"]\n"),
            ("count", Some(1)) if is_first => Script::fail(),
            ("count", Some(2)) if is_first => Script::with_outputs("n=two\n"),
            ("count", Some(index)) => Script::with_outputs(&format!("n={index}\n")),
            _ => Script::succeed(),
        }
    });
    create(cluster, &namespace, &compiled(AGAIN)).await;
    let run = until_ended(cluster, &namespace, "again").await;
    assert_eq!(run.status.expect("a status").phase, RunPhase::Failed);
    let count = job(cluster, &namespace, "again-count").await;
    assert_eq!(count.reason(), Some("item b: exit code 1"));
    retry(cluster, &namespace, "again");
    let run = until_attempt_2_ended(cluster, &namespace, "again").await;
    assert_eq!(run.status.expect("a status").phase, RunPhase::Succeeded);
    let mut ran = ran.lock().expect("no panic").clone();
    ran.sort();
    let of = |stage: &str, index| (stage.to_owned(), index);
    let expected = [
        of("count", Some(0)),
        of("count", Some(1)),
        of("count", Some(1)),
        of("count", Some(2)),
        of("count", Some(2)),
        of("split", None),
        of("total", None),
    ];
    assert_eq!(ran, expected);
    let total = job(cluster, &namespace, "again-total").await;
    assert_eq!(given(&total)["konductor.io/in-0"], "[0,1,2]");
    assert!(total.annotations().contains_key("konductor.io/inputs"));
}
