//! Outputs as a contract, and items that are left out: pipelines that were once decided wrongly.

use k8s_openapi::api::batch::v1::Job;
use konductor_api::{JobPhase, RunPhase, annotation, job_ended, job_phase};
use kube::ResourceExt;

use super::api;
use super::pipeline::{compiled, create, stage, until_ended};
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::Operator;

const WRONG: &str = r#"
pipeline wrong {
  defaults { image = "busybox:1.36" }
  stage a {
    run = "a"
    output rows: int = 0
    output ok: bool = false
    output lvl: "low" | "high" = "low"
    output dur: duration = 1m
    output q: quantity = 1Mi
    output share: number = 0.5
    output name: string
  }
  stage used { run = "echo \"${a.rows} ${a.ok} ${a.lvl} ${a.dur} ${a.q} ${a.share} ${a.name}\"" }
  stage asked when !a.ok { run = "true" }
  finally stage page { run = "echo \"${a.rows}\"" }
}
"#;

const LONG: &str = r#"
pipeline long {
  defaults { image = "busybox:1.36" }
  stage a {
    run = "a"
    output o: string = ""
    output n: int = 0
  }
  stage b when a.n == 0 { run = "echo \"${a.o}\"" }
}
"#;

const LEFT_OUT: &str = r#"
pipeline left-out {
  param units: list<{name: string, mate: string = ""}> = [{ name = "a" }, { name = "b", mate = "x" }]
  param extra: list<string> = []
  defaults { image = "busybox:1.36" }
  stage single for u in units when u.mate == "" { run = "true", output free: int = 999 }
  stage paired for u in units when u.mate != "" { run = "true" }
  stage sort for u in units after any(single[u], paired[u]) { run = "true" }
  stage more for x in extra { run = "echo \"${x}\"" }
  stage then after more { run = "true" }
  stage anyway after more.skipped { run = "true" }
  stage clean for u in units after single.finished when single[u].free < 100 { run = "true" }
  stage keep for u in units after single.finished when single[u].free >= 100 { run = "true" }
}
"#;

const GATHERED: &str = r#"
pipeline gathered {
  param nothing: list<string> = []
  defaults { image = "busybox:1.36" }
  stage split { run = "a", output parts: list<{name: string, size: int in 1..9}> }
  stage count for region in ["eu", "US east"], part in ["a", "b", "c"]
    when !(region == "eu" && part == "c")
    after split
  {
    run      = "a"
    may-fail = true
    output n: int
    output tag: string = "none"
  }
  stage empty for x in nothing { run = "echo \"${x}\"", output n: int }
  stage total after count.finished {
    run = "total \"${count[*, *].n}\" \"${count[*, *].tag}\" \"${count["eu", *].n}\" \"${split.parts}\""
  }
  stage each for region in ["eu", "US east"] after count[region, *] { run = "echo \"${count[region, *].n}\"" }
  stage rescue for region in ["eu", "US east"] after count[region, *].failed { run = "echo \"${region}\"" }
  stage none after empty.skipped { run = "echo \"${empty[*].n}\"" }
}
"#;

async fn job(cluster: &Cluster, namespace: &str, name: &str) -> Job {
    api::<Job>(cluster, namespace)
        .get(name)
        .await
        .unwrap_or_else(|error| panic!("job/{name}: {error}"))
}

/// Each wrong output is named with its value and type; no stage continues with a default instead.
pub async fn a_stage_whose_outputs_are_wrong_fails_and_names_each(cluster: &Cluster) {
    let namespace = cluster.namespace("wrong").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |pod| {
        match stage(pod).as_str() {
            "a" => {
                Script::with_outputs("rows= 12 \nok=True\nlvl=High\ndur=5 m\nq=1 Gi\nshare=nan\n")
            }
            _ => Script::succeed(),
        }
    });
    create(cluster, &namespace, &compiled(WRONG)).await;
    let run = until_ended(cluster, &namespace, "wrong").await;
    let status = run.status.expect("a status");
    assert_eq!(status.phase, RunPhase::Failed, "{status:#?}");
    let a = job(cluster, &namespace, "wrong-a").await;
    // What `kubectl get jobs` shows is the Job controller's word.
    assert_eq!(job_ended(&a), Some(true));
    assert_eq!(job_phase(&a), Some(JobPhase::Failed));
    let reason = a.annotations()[annotation::REASON].clone();
    let expected = "InvalidOutputs: rows=\" 12 \" is not of type int; ok=\"True\" is not of type bool; \
         lvl=\"High\" is not one of low|high; dur=\"5 m\" is not of type duration; \
         q=\"1 Gi\" is not of type quantity; share=\"nan\" is not of type number: it has to be \
         finite; name was not written";
    assert_eq!(reason, expected);
    for name in ["wrong-used", "wrong-asked"] {
        let job = job(cluster, &namespace, name).await;
        assert_eq!(job_phase(&job), Some(JobPhase::Unreached), "{name}");
    }
    let page = job(cluster, &namespace, "wrong-page").await;
    assert_eq!(job_ended(&page), Some(true));
    let template = page
        .spec
        .expect("a spec")
        .template
        .metadata
        .expect("metadata");
    let annotations = template.annotations.expect("annotations");
    assert_eq!(
        annotations["konductor.io/in-0"], "0",
        "a finally stage gets the default"
    );
}

/// What the kubelet cuts off is no reason to take defaults.
pub async fn a_stage_whose_outputs_are_cut_off_fails(cluster: &Cluster) {
    let namespace = cluster.namespace("long").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |pod| {
        match stage(pod).as_str() {
            "a" => Script::with_outputs(&format!("{}\nn=5\n", "x".repeat(4091))),
            _ => Script::succeed(),
        }
    });
    create(cluster, &namespace, &compiled(LONG)).await;
    let run = until_ended(cluster, &namespace, "long").await;
    assert_eq!(run.status.expect("a status").phase, RunPhase::Failed);
    let a = job(cluster, &namespace, "long-a").await;
    assert_eq!(
        a.annotations()[annotation::REASON],
        "InvalidOutputs: together they are 4096 bytes or more, and were cut by the kubelet"
    );
    let b = job(cluster, &namespace, "long-b").await;
    assert_eq!(job_phase(&b), Some(JobPhase::Unreached));
}

/// An item that its condition leaves out, and a stage over an empty list, count as skipped; a
/// condition on an item's output reads what the item wrote.
pub async fn items_that_are_left_out_count_as_skipped(cluster: &Cluster) {
    let namespace = cluster.namespace("left-out").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |pod| {
        match stage(pod).as_str() {
            "single" => Script::with_outputs("free=5\n"),
            _ => Script::succeed(),
        }
    });
    create(cluster, &namespace, &compiled(LEFT_OUT)).await;
    let run = until_ended(cluster, &namespace, "left-out").await;
    let status = run.status.expect("a status");
    assert_eq!(status.phase, RunPhase::Succeeded, "{status:#?}");
    for name in ["sort-a", "sort-b", "anyway", "clean-a"] {
        let job = job(cluster, &namespace, &format!("left-out-{name}")).await;
        assert_eq!(job_ended(&job), Some(true), "{name}");
    }
    // `clean[b]` reads the default of an item that writes nothing.
    for name in ["more", "then"] {
        let job = job(cluster, &namespace, &format!("left-out-{name}")).await;
        assert_eq!(job_phase(&job), Some(JobPhase::Skipped), "{name}");
    }
    let keep = job(cluster, &namespace, "left-out-keep-a").await;
    assert_eq!(job_phase(&keep), Some(JobPhase::Skipped));
    assert_eq!(
        keep.annotations()[annotation::REASON],
        "when single[u].free >= 100: single[a].free was 5"
    );
}

/// The annotations that a Job's pods carry.
fn given(job: Job) -> std::collections::BTreeMap<String, String> {
    let template = job.spec.and_then(|spec| spec.template.metadata);
    template
        .and_then(|metadata| metadata.annotations)
        .unwrap_or_default()
}

/// Outputs of a fan-out reach their readers as a list, in the order of the items, without those that failed or were
/// left out; and what waits for some of the items waits for no other.
pub async fn outputs_of_a_fan_out_are_gathered_in_the_order_of_its_items(cluster: &Cluster) {
    let namespace = cluster.namespace("gathered").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |pod| {
        let labels = pod.labels();
        let label = |key: &str| labels.get(key).map_or("", String::as_str);
        let (region, part) = (
            label("item.konductor.io/region"),
            label("item.konductor.io/part"),
        );
        match (stage(pod).as_str(), region, part) {
            ("split", ..) => Script::with_outputs(
                "parts=[{\"name\":\"a\",\"size\":1},{\"size\":2,\"name\":\"b\"}]\n",
            ),
            ("count", "eu", "a") => Script::with_outputs("n=1\ntag=x,y\n"),
            ("count", "eu", _) => Script::with_outputs("n=02\n"),
            ("count", _, "b") => Script::fail(),
            ("count", _, "a") => Script::with_outputs("n=-3\n"),
            ("count", ..) => Script::with_outputs("n=4\ntag=last\n"),
            _ => Script::succeed(),
        }
    });
    create(cluster, &namespace, &compiled(GATHERED)).await;
    let run = until_ended(cluster, &namespace, "gathered").await;
    let status = run.status.expect("a status");
    assert_eq!(status.phase, RunPhase::Failed, "{status:#?}");
    let total = given(job(cluster, &namespace, "gathered-total").await);
    assert_eq!(total["konductor.io/in-0"], "[1,2,-3,4]");
    assert_eq!(
        total["konductor.io/in-1"],
        r#"["x,y","none","none","last"]"#
    );
    assert_eq!(total["konductor.io/in-2"], "[1,2]");
    assert_eq!(
        total["konductor.io/in-3"],
        r#"[{"name":"a","size":1},{"size":2,"name":"b"}]"#
    );
    let each = job(cluster, &namespace, "gathered-each-eu").await;
    assert_eq!(job_ended(&each), Some(true));
    assert_eq!(given(each)["konductor.io/in-0"], "[1,2]");
    let none = given(job(cluster, &namespace, "gathered-none").await);
    assert_eq!(none["konductor.io/in-0"], "[]");
    let jobs = api::<Job>(cluster, &namespace);
    let jobs = jobs.list(&kube::api::ListParams::default()).await;
    let jobs = jobs.expect("the Jobs").items;
    let phase = |stage: &str| {
        let is_it = |job: &&Job| {
            let labels = job.labels();
            labels["konductor.io/stage"] == stage && labels["konductor.io/item"] != "eu"
        };
        job_phase(jobs.iter().find(is_it).expect("an item"))
    };
    assert_eq!(phase("each"), Some(JobPhase::Unreached));
    assert_eq!(phase("rescue"), Some(JobPhase::Running));
    let rescue = job(cluster, &namespace, "gathered-rescue-eu").await;
    assert_eq!(job_phase(&rescue), Some(JobPhase::Skipped));
}
