//! A kubelet with a script: pods run and end as a test's script says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to a pod.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// How its container ends.
    pub exit_code: i32,
    /// What it leaves as its termination message.
    pub message: String,
    /// How long it runs, on tokio's clock.
    pub lasts: Duration,
    /// It runs until this says true.
    pub until: Option<watch::Receiver<bool>>,
}

impl Script {
    /// It succeeds at once.
    pub fn succeed() -> Self {
        Self::default()
    }

    /// It fails at once.
    pub fn fail() -> Self {
        Self {
            exit_code: 1,
            ..Self::default()
        }
    }

    /// It succeeds at once, with these outputs.
    pub fn with_outputs(message: &str) -> Self {
        Self {
            message: message.to_owned(),
            ..Self::default()
        }
    }

    /// The same, but it takes its time.
    pub fn lasting(self, lasts: Duration) -> Self {
        Self { lasts, ..self }
    }

    /// It runs until it is released, and then succeeds.
    pub fn until(released: &watch::Receiver<bool>) -> Self {
        Self {
            until: Some(released.clone()),
            ..Self::default()
        }
    }
}

/// Plays the kubelet in one namespace until it is dropped.
pub struct Kubelet(JoinHandle<()>);

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts one: each new pod follows what `script` says of it.
pub fn play(
    client: &Client,
    namespace: &str,
    script: impl Fn(&Pod) -> Script + Send + Sync + 'static,
) -> Kubelet {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let script = Arc::new(script);
    Kubelet(tokio::spawn(async move {
        let events = watcher::watcher(pods.clone(), watcher::Config::default()).default_backoff();
        let mut events = std::pin::pin!(events);
        let mut uids = BTreeSet::new();
        while let Some(event) = events.next().await {
            let Ok(Event::Apply(pod) | Event::InitApply(pod)) = event else {
                continue;
            };
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            if pod.metadata.deletion_timestamp.is_none() && uids.insert(uid) {
                let (pods, script) = (pods.clone(), script(&pod));
                tokio::spawn(async move { live(&pods, &pod, script).await });
            }
        }
    }))
}

async fn live(pods: &Api<Pod>, pod: &Pod, script: Script) {
    let name = pod.name_any();
    let now = jiff::Timestamp::now().to_string();
    let running = json!({"running": {"startedAt": now}});
    if !patch(pods, &name, status(pod, "Running", &now, running)).await {
        return;
    }
    tokio::time::sleep(script.lasts).await;
    if let Some(mut until) = script.until {
        // A test that has ended releases nobody: its pods end with its namespace.
        if until.wait_for(|released| *released).await.is_err() {
            return;
        }
    }
    let ended = json!({"terminated": {
        "exitCode": script.exit_code,
        "reason": if script.exit_code == 0 { "Completed" } else { "Error" },
        "message": script.message,
        "startedAt": now,
        "finishedAt": jiff::Timestamp::now().to_string(),
    }});
    let phase = if script.exit_code == 0 {
        "Succeeded"
    } else {
        "Failed"
    };
    patch(pods, &name, status(pod, phase, &now, ended)).await;
}

fn status(pod: &Pod, phase: &str, started: &str, state: Value) -> Value {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let statuses = containers.map(|container| {
        json!({
            "name": container.name,
            "image": container.image,
            "imageID": "",
            "ready": phase == "Running",
            "restartCount": 0,
            "state": state,
        })
    });
    json!({"status": {
        "phase": phase,
        "startTime": started,
        "containerStatuses": statuses.collect::<Vec<_>>(),
    }})
}

/// Whether the pod was still there.
async fn patch(pods: &Api<Pod>, name: &str, body: Value) -> bool {
    for _ in 0..100 {
        match pods
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&body))
            .await
        {
            Ok(_) => return true,
            Err(kube::Error::Api(status)) if status.is_not_found() => return false,
            // The API server is being restarted.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    false
}
