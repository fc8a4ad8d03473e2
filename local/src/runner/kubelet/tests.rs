//! Pods with real processes, seen from the API server.

use std::fs;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use serde_json::{Value, json};

use super::{Kubelet, KubeletOptions, LogOptions};
use crate::ApiServer;
use crate::runner::bench::{api, create, ending, options, pod, until, until_logged, until_phase};
use crate::runner::cluster::{Change, Cluster, name, namespace, uid};

struct Node {
    api: ApiServer,
    kubelet: Kubelet,
    folder: tempfile::TempDir,
}

impl Node {
    fn start() -> Self {
        Self::start_with(api(), None)
    }

    fn start_with(api: ApiServer, pods_max: Option<usize>) -> Self {
        Self::start_limited(api, pods_max, |_| {})
    }

    fn start_limited(
        api: ApiServer,
        pods_max: Option<usize>,
        with: impl FnOnce(&mut KubeletOptions),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path());
        with(&mut options);
        if let Some(pods_max) = pods_max.and_then(NonZeroUsize::new) {
            options.pods_max = pods_max;
        }
        options.kubeconfig = Some("/embedded/kubeconfig".into());
        let kubelet = Kubelet::start(&api, options).unwrap();
        Self {
            api,
            kubelet,
            folder,
        }
    }

    /// Runs a pod to its end.
    async fn run(&self, object: Value) -> Pod {
        let created: Pod = create(&self.api, object);
        let ended = |pod: Option<&Pod>| {
            let phase = pod.and_then(|pod| pod.status.as_ref()?.phase.clone());
            matches!(phase.as_deref(), Some("Succeeded" | "Failed"))
        };
        until(&self.api, name(&created), ended).await.unwrap()
    }

    async fn log(&self, pod: &Pod) -> String {
        let log = self
            .kubelet
            .logs()
            .read(uid(pod), "main", LogOptions::default())
            .unwrap();
        let bytes: Vec<u8> = log
            .flat_map(|piece| futures::stream::iter(piece.unwrap()))
            .collect()
            .await;
        String::from_utf8(bytes).unwrap()
    }

    /// Waits until the log of a pod begins with `text`.
    async fn until_logged(&self, pod: &Pod, text: &str) {
        until_phase(&self.api, name(pod), "Running").await;
        until_logged(self.kubelet.logs(), pod, text).await;
    }

    fn delete(&self, pod: &Pod, grace: i64) {
        let cluster = Cluster::new(self.api.clone());
        cluster
            .delete::<Pod>(namespace(pod), name(pod), uid(pod), Some(grace))
            .unwrap();
    }
}

fn phase(pod: &Pod) -> &str {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase.unwrap_or("Pending")
}

#[tokio::test]
async fn a_pod_goes_from_pending_over_running_to_its_end() {
    let node = Node::start();
    let cluster = Cluster::new(node.api.clone());
    let (_, version) = cluster.list::<Pod>();
    let pod = node.run(pod("p", "echo hello", json!({}))).await;
    let history = cluster.watch::<Pod>(version);
    let phases = history.map(|change| match change {
        Change::Set(pod) => phase(&pod).to_owned(),
        Change::Gone(_) => "gone".to_owned(),
    });
    let mut phases: Vec<String> = phases
        .take_while(|phase| {
            let is_open = phase != "Succeeded";
            async move { is_open }
        })
        .collect()
        .await;
    phases.dedup();
    assert_eq!(phases, ["Pending", "Running"]);
    assert_eq!(
        (phase(&pod), ending(&pod)),
        ("Succeeded", (0, "Completed".into(), "".into()))
    );
    assert_eq!(
        pod.spec.as_ref().unwrap().node_name.as_deref(),
        Some("local")
    );
    assert_eq!(node.log(&pod).await, "hello\n");
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn the_exit_code_decides_between_succeeded_and_failed() {
    let node = Node::start();
    for (at, (script, expected_phase, code, reason)) in [
        ("exit 0", "Succeeded", 0, "Completed"),
        ("exit 3", "Failed", 3, "Error"),
        ("kill -9 $$$$", "Failed", 137, "Error"),
    ]
    .into_iter()
    .enumerate()
    {
        let pod = node.run(pod(&format!("p{at}"), script, json!({}))).await;
        let (exit_code, why, _) = ending(&pod);
        assert_eq!(
            (phase(&pod), exit_code, why.as_str()),
            (expected_phase, code, reason)
        );
    }
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_container_leaves_a_message() {
    let node = Node::start();
    let output = json!({"containers": [{"env": [
        {"name": "KON_OUTPUT", "value": "/dev/termination-log"}]}]});
    let written = node
        .run(pod("out", "echo rows=3 >> \"$KON_OUTPUT\"", output))
        .await;
    assert_eq!(ending(&written).2, "rows=3\n");

    let own_path = json!({"containers": [{"terminationMessagePath": "/out/message", "env": [
        {"name": "KON_OUTPUT", "value": "/out/message"}]}]});
    let written = node
        .run(pod("own", "echo x >> \"$KON_OUTPUT\"", own_path))
        .await;
    assert_eq!(ending(&written).2, "x\n");

    let fallback = json!({"containers": [{"terminationMessagePolicy": "FallbackToLogsOnError"}]});
    let failed = node
        .run(pod("log", "echo disk full >&2; exit 1", fallback.clone()))
        .await;
    assert_eq!(ending(&failed).2, "disk full\n");
    let fine = node.run(pod("fine", "echo disk full >&2", fallback)).await;
    assert_eq!(ending(&fine).2, "");
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn steps_share_a_workspace_by_its_mount_path() {
    let node = Node::start();
    let claim = json!({
        "metadata": {"name": "run-data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    create::<PersistentVolumeClaim>(&node.api, claim);
    create::<Secret>(
        &node.api,
        json!({"metadata": {"name": "login"}, "data": {"user": "bWU="}}),
    );
    let more = json!({
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "run-data"}},
            {"name": "login", "secret": {"secretName": "login"}},
        ],
        "containers": [{
            "env": [{"name": "WORKSPACE", "value": "/data"}],
            "volumeMounts": [
                {"name": "data", "mountPath": "/data"},
                {"name": "login", "mountPath": "/etc/login"},
            ],
        }],
    });
    let write = "cat \"$KONDUCTOR_MOUNT_LOGIN/user\" > \"$WORKSPACE/who\"";
    assert_eq!(
        phase(&node.run(pod("write", write, more.clone())).await),
        "Succeeded"
    );
    let mut read = pod("read", "", more);
    read["spec"]["containers"][0]["command"] = json!(["cat", "/data/who", "$(WORKSPACE)/who"]);
    let read = node.run(read).await;
    assert_eq!(node.log(&read).await, "meme");
    let claim = Cluster::new(node.api.clone()).get::<PersistentVolumeClaim>("default", "run-data");
    let phase = claim.unwrap().status.unwrap().phase;
    assert_eq!(phase.as_deref(), Some("Bound"));
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_process_inherits_little_and_learns_where_the_cluster_is() {
    let node = Node::start();
    let more = json!({"containers": [{"env": [{"name": "LANG", "value": "xx"}]}]});
    let script =
        "pwd; echo \"$HOSTNAME $KUBECONFIG $LANG\"; env | cut -d= -f1 | sort | tr '\\n' ' '";
    let pod = node.run(pod("p", script, more)).await;
    let log = node.log(&pod).await;
    let lines: Vec<&str> = log.lines().collect();
    let here = node.folder.path().canonicalize().unwrap();
    assert_eq!(
        lines[..2],
        [here.to_str().unwrap(), "p /embedded/kubeconfig xx"]
    );
    let allowed = [
        "HOME",
        "HOSTNAME",
        "KUBECONFIG",
        "LANG",
        "PATH",
        "PWD",
        "TMPDIR",
        "USER",
    ];
    assert!(
        lines[2]
            .split_whitespace()
            .all(|name| allowed.contains(&name)),
        "{}",
        lines[2]
    );
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn init_containers_run_one_after_the_other_before_the_rest() {
    let node = Node::start();
    let init = |name: &str, script: &str| {
        json!({"name": name, "image": "ignored", "command": ["/bin/sh", "-c", script],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}], "workingDir": "/v"})
    };
    let main = json!({"workingDir": "/v", "volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    let more = |second: &str| {
        json!({
            "volumes": [{"name": "v", "emptyDir": {}}],
            "initContainers": [init("one", "echo 1 >> order"), init("two", second)],
            "containers": [main],
        })
    };
    let pod_ok = node
        .run(pod("ok", "cat order", more("echo 2 >> order")))
        .await;
    assert_eq!(node.log(&pod_ok).await, "1\n2\n");

    let failed = node.run(pod("bad", "cat order", more("exit 4"))).await;
    assert_eq!(phase(&failed), "Failed");
    let status = serde_json::to_value(failed.status.unwrap()).unwrap();
    let states: Vec<&Value> = ["initContainerStatuses", "containerStatuses"]
        .iter()
        .flat_map(|list| status[*list].as_array().unwrap())
        .map(|container| &container["state"])
        .collect();
    assert_eq!(states[0]["terminated"]["exitCode"], 0);
    assert_eq!(states[1]["terminated"]["exitCode"], 4);
    assert_eq!(
        *states[2],
        json!({"waiting": {"reason": "PodInitializing"}})
    );
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn containers_of_a_pod_run_at_once() {
    let node = Node::start();
    // Each waits for the other: a named pipe opens only when both ends do.
    let end = |name: &str, script: &str| {
        json!({"name": name, "image": "ignored", "command": ["/bin/sh", "-c", script],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}], "workingDir": "/v"})
    };
    let spec = json!({
        "restartPolicy": "Never",
        "volumes": [{"name": "v", "emptyDir": {}}],
        "initContainers": [end("pipe", "mkfifo pipe")],
        "containers": [end("main", "cat pipe"), end("other", "echo together > pipe")],
    });
    let pod = node
        .run(json!({"metadata": {"name": "p"}, "spec": spec}))
        .await;
    assert_eq!(
        (phase(&pod), node.log(&pod).await.as_str()),
        ("Succeeded", "together\n")
    );
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_failed_container_is_restarted_in_its_pod() {
    let node = Node::start();
    let more = json!({
        "restartPolicy": "OnFailure",
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/v"}], "workingDir": "/v"}],
    });
    let script = "echo x >> tries; test $(wc -l < tries) -ge 3";
    let pod = node.run(pod("p", script, more)).await;
    let container = &pod
        .status
        .as_ref()
        .unwrap()
        .container_statuses
        .as_ref()
        .unwrap()[0];
    assert_eq!((phase(&pod), container.restart_count), ("Succeeded", 2));
    let last = container
        .last_state
        .as_ref()
        .unwrap()
        .terminated
        .as_ref()
        .unwrap();
    assert_eq!(last.exit_code, 1);
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn what_cannot_be_started_fails_with_a_reason() {
    let node = Node::start();
    let mut unknown = pod("unknown", "", json!({}));
    unknown["spec"]["containers"][0]["command"] = json!(["nonesuch"]);
    let expected = "exec: \"nonesuch\": executable file not found in $PATH";
    let unknown = node.run(unknown).await;
    assert_eq!(phase(&unknown), "Failed");
    assert_eq!(
        ending(&unknown),
        (127, "StartError".into(), expected.into())
    );

    let elsewhere = json!({"containers": [{"workingDir": "/none/such"}]});
    let elsewhere = node.run(pod("elsewhere", "true", elsewhere)).await;
    let expected = "chdir /none/such: no such folder on this machine";
    assert_eq!(
        ending(&elsewhere),
        (128, "StartError".into(), expected.into())
    );

    let sidecar = json!({"initContainers": [
        {"name": "proxy", "image": "ignored", "restartPolicy": "Always"}]});
    let sidecar = node.run(pod("sidecar", "true", sidecar)).await;
    let status = sidecar.status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("UnsupportedPod"));

    let nfs = json!({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]});
    let nfs = node.run(pod("nfs", "true", nfs)).await;
    assert_eq!(nfs.status.unwrap().reason.as_deref(), Some("FailedMount"));
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_missing_object_is_waited_for() {
    let node = Node::start();
    let more = json!({"containers": [{"env": [{"name": "LEVEL", "valueFrom": {
        "configMapKeyRef": {"name": "settings", "key": "level"}}}]}]});
    let waiting: Pod = create(&node.api, pod("p", "echo \"$LEVEL\"", more));
    let state = |pod: Option<&Pod>| {
        let status = pod?.status.as_ref()?;
        let state = status.container_statuses.as_ref()?[0]
            .state
            .clone()?
            .waiting?;
        Some((state.reason?, state.message?))
    };
    let expected = (
        "CreateContainerConfigError".into(),
        "configmap \"settings\" not found".into(),
    );
    until::<Pod>(&node.api, "p", |pod| state(pod).as_ref() == Some(&expected)).await;
    let settings = json!({"metadata": {"name": "settings"}, "data": {"level": "info"}});
    create::<ConfigMap>(&node.api, settings);
    until_phase(&node.api, "p", "Succeeded").await;
    assert_eq!(node.log(&waiting).await, "info\n");
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_deleted_pod_is_asked_to_end_and_then_removed() {
    let node = Node::start();
    let mark = node.folder.path().join("ended");
    let script =
        "trap 'echo end > ended; exit 0' TERM; echo up; while :; do sleep 600 & wait; done";
    let running: Pod = create(&node.api, pod("p", script, json!({})));
    node.until_logged(&running, "up").await;
    node.delete(&running, 600);
    until::<Pod>(&node.api, "p", |pod| pod.is_none()).await;
    assert_eq!(fs::read_to_string(mark).unwrap(), "end\n");
    // Nothing is kept of it.
    let kept = || {
        fs::read_dir(node.folder.path().join("kubelet/pods"))
            .unwrap()
            .count()
    };
    assert_eq!(
        (kept(), node.kubelet.logs().path(uid(&running), "main")),
        (0, None)
    );
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_pod_that_does_not_end_in_time_is_killed() {
    let node = Node::start();
    let script = "trap '' TERM; echo up; while :; do sleep 600 & wait; done";
    let running: Pod = create(&node.api, pod("p", script, json!({})));
    node.until_logged(&running, "up").await;
    node.delete(&running, 1);
    until::<Pod>(&node.api, "p", |pod| pod.is_none()).await;
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_pod_past_its_deadline_fails() {
    let node = Node::start();
    let more = json!({"activeDeadlineSeconds": 1});
    let pod = node.run(pod("p", "sleep 600", more)).await;
    assert_eq!(phase(&pod), "Failed");
    assert_eq!(
        pod.status.as_ref().unwrap().reason.as_deref(),
        Some("DeadlineExceeded")
    );
    assert_eq!(ending(&pod).0, 143);
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn pods_beyond_the_limit_wait_in_the_order_of_their_creation() {
    let node = Node::start_with(api(), Some(1));
    let script = "echo $HOSTNAME >> order; until test -e go; do sleep 0.01; done";
    for pod_name in ["a", "b", "c"] {
        create::<Pod>(&node.api, pod(pod_name, script, json!({})));
    }
    until_phase(&node.api, "a", "Running").await;
    let waiting = |pod: Option<&Pod>| {
        let conditions = pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
    };
    let last = until::<Pod>(&node.api, "c", waiting).await.unwrap();
    let message = last.status.unwrap().conditions.unwrap()[0].message.clone();
    assert_eq!(
        message.as_deref(),
        Some("No place is free: at most 1 pods run at once")
    );
    fs::write(node.folder.path().join("go"), "").unwrap();
    until_phase(&node.api, "c", "Succeeded").await;
    let order = fs::read_to_string(node.folder.path().join("order")).unwrap();
    assert_eq!(order, "a\nb\nc\n");
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn pods_that_wait_start_by_the_rank_of_their_jobs_and_name_the_option_that_limits_them() {
    let node = Node::start_limited(api(), Some(1), |options| {
        options.pods_max_option = Some("--jobs");
        options.rank = |job| {
            job.metadata
                .name
                .as_deref()
                .map_or(0, |name| name.len() as u64)
        };
    });
    for name in ["j", "jj", "jjj"] {
        create::<Job>(
            &node.api,
            json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"suspend": true, "template": {
                "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}}}}),
        );
    }
    let script = "echo $HOSTNAME >> order; until test -e go; do sleep 0.01; done";
    let of = |job: &str| json!({"ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": "u"}]});
    for (name, job) in [("first", "j"), ("late", "jjj"), ("early", "jj")] {
        let mut waiting = pod(name, script, json!({}));
        waiting["metadata"]
            .as_object_mut()
            .unwrap()
            .extend(of(job).as_object().unwrap().clone());
        create::<Pod>(&node.api, waiting);
        until::<Pod>(&node.api, name, |pod| {
            pod.is_some_and(|pod| {
                pod.status
                    .as_ref()
                    .is_some_and(|status| status.conditions.is_some())
            })
        })
        .await;
    }
    let early: Pod = until::<Pod>(&node.api, "early", |pod| pod.is_some())
        .await
        .unwrap();
    let condition = early.status.unwrap().conditions.unwrap().remove(0);
    assert_eq!(
        condition.message.as_deref(),
        Some("waits for one of --jobs 1")
    );
    assert_eq!(condition.reason, None);
    fs::write(node.folder.path().join("go"), "").unwrap();
    until_phase(&node.api, "late", "Succeeded").await;
    let order = fs::read_to_string(node.folder.path().join("order")).unwrap();
    assert_eq!(order, "first\nearly\nlate\n");
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_pod_starts_behind_that_of_the_job_before_its_own_or_after_two_seconds() {
    let before = [("b", "a"), ("c", "b"), ("alone", "never")];
    let node = Node::start_limited(api(), Some(1), |options| {
        options.before = before
            .map(|(name, before)| (name.into(), before.into()))
            .into();
    });
    let create_of_job = |name: &str| {
        let mut waiting = pod(name, "echo $HOSTNAME >> order", json!({}));
        waiting["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": "u"}]);
        create::<Pod>(&node.api, waiting);
    };
    ["c", "b", "a"].iter().for_each(|name| create_of_job(name));
    until_phase(&node.api, "c", "Succeeded").await;
    let begun = Instant::now();
    create_of_job("alone");
    until_phase(&node.api, "alone", "Succeeded").await;
    assert!(begun.elapsed() >= Duration::from_secs(2));
    let order = fs::read_to_string(node.folder.path().join("order")).unwrap();
    assert_eq!(order, "a\nb\nc\nalone\n");
    node.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn shutting_down_ends_every_process_and_says_so() {
    let node = Node::start();
    let stubborn = "trap '' TERM; echo up; while :; do sleep 600 & wait; done";
    let polite = "echo up; sleep 600";
    let pods = [("stubborn", stubborn), ("polite", polite)]
        .map(|(pod_name, script)| create::<Pod>(&node.api, pod(pod_name, script, json!({}))));
    for pod in &pods {
        node.until_logged(pod, "up").await;
    }
    node.kubelet.shutdown(Duration::from_secs(2)).await;
    for (pod_name, exit_code) in [("stubborn", 137), ("polite", 143)] {
        let pod = until_phase(&node.api, pod_name, "Failed").await;
        assert_eq!(
            pod.status.as_ref().unwrap().reason.as_deref(),
            Some("Terminated")
        );
        assert_eq!(ending(&pod).0, exit_code);
    }
}

#[tokio::test]
async fn a_pod_of_a_kubelet_that_is_gone_has_failed() {
    let api = api();
    let node = Node::start_with(api.clone(), None);
    let running: Pod = create(&api, pod("p", "echo up; sleep 600", json!({})));
    node.until_logged(&running, "up").await;
    // As good as killed: nothing is written any more.
    node.kubelet.task.abort();
    let after = Node::start_with(api.clone(), None);
    let lost = until_phase(&api, "p", "Failed").await;
    assert_eq!(
        lost.status.unwrap().reason.as_deref(),
        Some("ContainerStatusUnknown")
    );
    after.kubelet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_pod_deleted_before_its_turn_never_runs() {
    let node = Node::start_with(api(), Some(1));
    let first: Pod = create(&node.api, pod("first", "echo up; sleep 600", json!({})));
    node.until_logged(&first, "up").await;
    let second: Pod = create(&node.api, pod("second", "touch ran", json!({})));
    node.delete(&second, 30);
    until::<Pod>(&node.api, "second", |pod| pod.is_none()).await;
    node.delete(&first, 30);
    until::<Pod>(&node.api, "first", |pod| pod.is_none()).await;
    node.kubelet.shutdown(Duration::ZERO).await;
    assert!(!node.folder.path().join("ran").exists());
}
