//! Schedules on a real control plane: what its CronJob controller makes of them, and what their pods may
//! do.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRole;
use konductor_api::{Run, RunPhase};
use kube::api::{ListParams, PostParams};
use kube::config::Kubeconfig;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{api, chart};
use crate::built::koncli;
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::Operator;
use crate::watching::until;

/// A little more than from one minute to the next.
const NEXT_SLOT_WITHIN: Duration = Duration::from_secs(90);

const NIGHT: &str = r#"pipeline night {
  schedule "* * * * *" { timezone = "Europe/Berlin", overlap = replace, catch-up = 10m }
  semaphore source { permits = 2 }
  lease schema { ttl = 1m }
  workspace data { size = 1Gi }
  defaults { image = "busybox:1.36" }
  approval ok after first { approvers = 1 }
  stage first holding source { run = "true" mount data at "/data" }
  stage many for x in ["a", "b"] after first { run = "echo \"${x}\"" }
  stage last after many, ok holding schema { run = "true" }
}
"#;

/// Runs koncli as whom a kubeconfig names.
fn as_whom(kubeconfig: &Path, namespace: &str, words: &[&str]) -> Output {
    Command::new(koncli())
        .args(words)
        .env("KUBECONFIG", kubeconfig)
        .env("KONCLI_NAMESPACE", namespace)
        .output()
        .expect("koncli runs")
}

fn text(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    format!("{stdout}{}", String::from_utf8_lossy(&output.stderr))
}

/// A kubeconfig with a token of a service account.
async fn kubeconfig_of(cluster: &Cluster, namespace: &str, account: &str, path: &Path) {
    let request: TokenRequest =
        serde_json::from_value(json!({"spec": {"audiences": []}})).expect("a request");
    let token = api::<ServiceAccount>(cluster, namespace)
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .expect("a token");
    let mut kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig).expect("a kubeconfig");
    let user = kubeconfig.auth_infos[0].auth_info.as_mut().expect("a user");
    *user = serde_json::from_value(json!({"token": token.status.expect("a token").token}))
        .expect("a user");
    let text = serde_json::to_string(&kubeconfig).expect("JSON");
    std::fs::write(path, text).expect("a file");
}

/// The first pod of a Job of the schedule.
async fn pod_of_next_slot(cluster: &Cluster, namespace: &str) -> Pod {
    let pods = watcher(api::<Pod>(cluster, namespace), watcher::Config::default());
    let mut pods = pods.boxed();
    let first_pod = async {
        loop {
            let event = pods.next().await;
            if let Some(Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) = event
                && !pod.labels().contains_key("konductor.io/run")
            {
                return pod;
            }
        }
    };
    tokio::time::timeout(NEXT_SLOT_WITHIN, first_pod)
        .await
        .expect("a slot comes each minute")
}

/// The CronJob controller starts a slot's pod; that creates the run with the rights of its Role, and a
/// later slot's replaces it. It may do nothing else.
pub async fn the_pods_of_a_schedule_do_all_they_must_and_may_do_nothing_else(cluster: &Cluster) {
    let namespace = cluster.namespace("schedule").await;
    let _operator = Operator::start(cluster, &namespace);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pipeline.kon");
    std::fs::write(&file, NIGHT).expect("a file");
    let file = file.display().to_string();
    let installed = as_whom(&cluster.kubeconfig, &namespace, &["apply", &file]);
    assert!(installed.status.success(), "{}", text(&installed));
    let printed = text(&installed);
    assert!(
        printed.contains("cronjob/night: 5 created, 0 configured, 0 unchanged\n"),
        "{printed}"
    );
    let again = text(&as_whom(&cluster.kubeconfig, &namespace, &["apply", &file]));
    assert!(
        again.contains("cronjob/night: 0 created, 0 configured, 5 unchanged\n"),
        "{again}"
    );
    let same = as_whom(&cluster.kubeconfig, &namespace, &["diff", &file]);
    assert!(same.status.success(), "{}", text(&same));

    let pod = pod_of_next_slot(cluster, &namespace).await;
    let spec = pod.spec.clone().expect("a spec");
    let job = pod.labels()["batch.kubernetes.io/job-name"].clone();
    let minutes: i64 = job
        .strip_prefix("night-")
        .expect("a slot")
        .parse()
        .expect("minutes");
    let slot = jiff::Timestamp::from_second(minutes * 60).expect("a time");
    let owned = api::<Job>(cluster, &namespace)
        .get(&job)
        .await
        .expect("a Job");
    let said = &owned.annotations()["batch.kubernetes.io/cronjob-scheduled-timestamp"];
    assert_eq!(said.parse().ok(), Some(slot), "{said}");

    // What kubelet would do: the files of the volume, the account's token, the command.
    let account = spec.service_account_name.as_deref().expect("an account");
    let kubeconfig = folder.path().join("kubeconfig");
    kubeconfig_of(cluster, &namespace, account, &kubeconfig).await;
    let volumes = spec.volumes.as_ref().expect("volumes");
    let files = volumes.iter().find_map(|volume| volume.config_map.as_ref());
    let files = &files.expect("files").name;
    let files = api::<ConfigMap>(cluster, &namespace)
        .get(files)
        .await
        .expect("files");
    assert_eq!(files.data.expect("files")["file-0.kon"], NIGHT);
    let command = spec.containers[0].command.clone().expect("a command");
    let words: Vec<String> = command[1..]
        .iter()
        .map(|word| {
            word.replace("$(KON_SLOT)", &job)
                .replace("/pipeline/", &format!("{}/", folder.path().display()))
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let created = as_whom(&kubeconfig, &namespace, &words);
    let printed = text(&created);
    assert!(created.status.success(), "{words:?}: {printed}");
    assert!(
        printed.contains(&format!(": run/{job}: ")) && printed.contains(" created, "),
        "{printed}"
    );
    // Another pod of the same Job changes nothing.
    let again = text(&as_whom(&kubeconfig, &namespace, &words));
    assert!(again.contains(": 0 created, 0 configured, "), "{again}");

    // The next slot: the run that waits for its approval is cancelled, and ends.
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let next = (minutes + 1).to_string();
    let mut replacing = words.clone();
    let at = replacing
        .iter()
        .position(|word| *word == "--slot")
        .expect("a slot");
    replacing[at + 1] = &next;
    let replaced = as_whom(&kubeconfig, &namespace, &replacing);
    let printed = text(&replaced);
    assert!(replaced.status.success(), "{printed}");
    assert!(
        printed.contains(&format!("replaces run/{job}: waiting for its end")),
        "{printed}"
    );
    until(&cluster.client, &namespace, &job, |run: &Run| {
        run.status
            .as_ref()
            .is_some_and(|status| status.phase == RunPhase::Cancelled)
    })
    .await;
    let events = api::<k8s_openapi::api::events::v1::Event>(cluster, &namespace);
    let events = events.list(&ListParams::default()).await.expect("events");
    let replaced = events
        .iter()
        .filter(|event| event.reason.as_deref() == Some("RunReplaced"));
    assert_eq!(replaced.count(), 1);

    let run = format!("night-{next}");
    for forbidden in [
        &["delete", &run][..],
        &["semaphore", "create", "other", "--permits", "1"],
        &["semaphore", "list"],
        &["lease", "delete", "night-schema"],
        &["approve", &format!("{run}-ok")],
        &["logs", &run],
        &["apply", &file],
    ] {
        let refused = as_whom(&kubeconfig, &namespace, forbidden);
        // To create a Semaphore of any name is what RBAC can't distinguish from creating its own.
        let expected = if forbidden[1] == "create" { 0 } else { 5 };
        assert_eq!(
            refused.status.code(),
            Some(expected),
            "{forbidden:?}: {}",
            text(&refused)
        );
    }
    let elsewhere = as_whom(&kubeconfig, "default", &words);
    assert_eq!(elsewhere.status.code(), Some(5), "{}", text(&elsewhere));
}

/// Whoever installs a schedule grants the rights of its pods: the API server lets nobody grant what he has
/// not himself, and makes no Role for who may make none. `admin` may do both.
pub async fn a_schedule_is_installed_by_who_has_the_rights_that_it_gives(cluster: &Cluster) {
    let namespace = cluster.namespace("installs").await;
    chart::install(cluster, "installs", &namespace, &[]);
    // All that it takes but for the rights on konductor.io, which would be given away.
    let everything_else = json!({
        "metadata": {"name": "everything-else"},
        "rules": [
            {"apiGroups": ["", "batch", "events.k8s.io"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"],
                "verbs": ["get", "create", "patch"]},
        ],
    });
    let role: ClusterRole = serde_json::from_value(everything_else).expect("a role");
    let roles: Api<ClusterRole> = Api::all(cluster.client.clone());
    let created = roles.create(&PostParams::default(), &role).await;
    created.expect("created");
    let konductor = ["installs-konductor-edit", "installs-konductor-view"];
    for (user, own) in [
        ("installs-else", &["everything-else"][..]),
        ("installs-edit", &["edit", konductor[0], konductor[1]]),
        ("installs-admin", &["admin", konductor[0], konductor[1]]),
    ] {
        for role in own {
            chart::bind(cluster, &namespace, user, role).await;
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pipeline.kon");
    std::fs::write(&file, NIGHT).expect("a file");
    let file = file.display().to_string();
    for (user, code, words) in [
        (
            "installs-else",
            5,
            "is attempting to grant RBAC permissions not currently held",
        ),
        ("installs-edit", 5, "cannot get resource \"roles\""),
        (
            "installs-admin",
            0,
            "cronjob/night: 4 created, 0 configured, 1 unchanged",
        ),
    ] {
        let kubeconfig = chart::kubeconfig_of(cluster, user);
        let installed = as_whom(&kubeconfig, &namespace, &["apply", &file]);
        let printed = text(&installed);
        assert_eq!(installed.status.code(), Some(code), "{user}: {printed}");
        assert!(printed.contains(words), "{user}: {printed}");
    }
    chart::done(chart::helm(
        cluster,
        &["uninstall", "installs", "--namespace", &namespace],
    ));
}
