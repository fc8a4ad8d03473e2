//! What kubectl shows of all this, on a real control plane: `docs/kubectl.md` is played.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{RunPhase, annotation};
use kube::ResourceExt;

use super::pipeline::{compiled, stage, until_ended};
use crate::built::koncli;
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::Operator;
use crate::transcript;
use crate::watching::{Versions, until};

/// Get, describe, wait, scale, explain and what is refused.
pub async fn kubectl_prints_what_its_page_shows(cluster: &Cluster) {
    let namespace = cluster.namespace("kubectl").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let folder = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(&cluster.kubeconfig).expect("a kubeconfig");
    let mut kubeconfig: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    kubeconfig["contexts"][0]["context"]["namespace"] = namespace.as_str().into();
    let config = folder.path().join("config");
    std::fs::write(&config, kubeconfig.to_string()).expect("a file");
    let (kubectl, koncli) = (cluster.kubectl(), koncli());
    let folders = [&kubectl, &koncli].map(|program| program.parent().expect("a folder").to_owned());
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&inherited)));
    let path = path.expect("a PATH");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubectl.md");
    let played = tokio::task::spawn_blocking(move || {
        transcript::play(
            &page,
            folder.path(),
            |command| {
                command.env("KUBECONFIG", &config).env("PATH", &path);
            },
            |printed| printed.replace(&namespace, "default"),
        );
    });
    if let Err(failed) = played.await {
        std::panic::resume_unwind(failed.into_panic());
    }
}

const SYNCED: &str = r#"
pipeline synced {
  semaphore batch { permits = 1 }
  defaults { image = "busybox:1.36" }
  stage extract {
    run = "extract"
    output rows: int
  }
  stage load after extract holding batch { run = "load ${extract.rows}" }
  stage report after load { run = "report" }
}
"#;

const TIDIED: &str = r#"
pipeline tidied {
  defaults { image = "busybox:1.36" }
  stage extract { run = "extract" }
  stage list for i in 0..<3 { run = "list ${i}" }
  stage load after extract, list { run = "load" }
}
"#;

/// As a tool that syncs does it, without the chart's policies: each stage runs once.
pub async fn a_pipeline_that_kubectl_applies_every_second_while_it_runs_ends_right(
    cluster: &Cluster,
) {
    let namespace = cluster.namespace("applied").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |pod| {
        let seconds = match stage(pod).as_str() {
            "extract" => 1,
            _ => 4,
        };
        Script::with_outputs("rows=7\n").lasting(Duration::from_secs(seconds))
    });
    let versions = Versions::<Pod>::watch(&cluster.client, &namespace).await;
    let manifests = compiled(SYNCED);
    let run = manifests.run().name_any();
    let ended = until_ended(cluster, &namespace, &run);
    let ended = applied_meanwhile(cluster, &namespace, &manifests.to_yaml(), ended).await;
    let status = ended.status.expect("a status");
    assert_eq!(status.phase, RunPhase::Succeeded, "{status:?}");
    let pods = pod_names(&versions).await;
    assert_eq!(
        pods.len(),
        3,
        "no pod was ended by applying over it: {pods:?}"
    );
}

/// Each Job is deleted when it ends, and the tool creates it again, also after the end of the Run: no stage runs a
/// second time, the first ones included.
pub async fn jobs_that_a_ttl_deletes_and_kubectl_creates_again_run_once(cluster: &Cluster) {
    let namespace = cluster.namespace("tidied").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let versions = Versions::<Pod>::watch(&cluster.client, &namespace).await;
    let manifests = compiled(TIDIED);
    let run = manifests.run().name_any();
    // As an admission policy may add it.
    let (created, ttl) = ("\n  suspend: true\n", "  ttlSecondsAfterFinished: 0\n");
    let yaml = manifests
        .to_yaml()
        .replace(created, &format!("{created}{ttl}"));
    assert_eq!(yaml.matches(ttl).count(), 3, "{yaml}");
    let refused = async {
        let ended = until_ended(cluster, &namespace, &run).await;
        for stage in ["extract", "list", "load"] {
            until(
                &cluster.client,
                &namespace,
                &format!("{run}-{stage}"),
                |job: &Job| {
                    let reason = job.annotations().get(annotation::REASON);
                    reason.is_some_and(|reason| reason.contains("has had a Job of this name"))
                },
            )
            .await;
        }
        ended
    };
    let ended = applied_meanwhile(cluster, &namespace, &yaml, refused).await;
    let status = ended.status.expect("a status");
    assert_eq!(status.phase, RunPhase::Succeeded, "{status:?}");
    let pods = pod_names(&versions).await;
    assert_eq!(pods.len(), 5, "each stage ran once: {pods:?}");
}

/// The names of all pods that there have been.
async fn pod_names(versions: &Versions<Pod>) -> BTreeSet<String> {
    let versions = versions.until_now().await;
    versions.iter().map(ResourceExt::name_any).collect()
}

/// Applies a file with kubectl every second until something has happened.
async fn applied_meanwhile<T>(
    cluster: &Cluster,
    namespace: &str,
    yaml: &str,
    until: impl Future<Output = T>,
) -> T {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("applied.yaml");
    std::fs::write(&file, yaml).expect("a file");
    let apply = async {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            let mut kubectl = tokio::process::Command::new(cluster.kubectl());
            kubectl
                .env("KUBECONFIG", &cluster.kubeconfig)
                .args(["apply", "--namespace", namespace, "--filename"])
                .arg(&file)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true);
            // What was started is refused, and what was not stays as it is.
            kubectl.status().await.expect("kubectl runs");
        }
    };
    tokio::select! {
        happened = until => happened,
        () = apply => unreachable!("it applies until that has happened"),
    }
}
