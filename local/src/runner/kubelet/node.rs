//! This machine as the node of the cluster.

use serde_json::{Value, json};

use super::{KubeletOptions, Runtime};
use crate::kind;
use crate::version::KUBERNETES;
use crate::{ApiServer, Reason, Status};

/// Registers the node, or says again how it is.
pub(super) fn register(api: &ApiServer, options: &KubeletOptions) {
    let name = options.node_name.as_str();
    let node = json!({"metadata": {"name": name, "labels": {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": std::env::consts::OS,
        "kubernetes.io/arch": architecture(),
    }}});
    let created = match api.create(&kind::NODE, "", node.clone()) {
        Err(status) if status.reason == Reason::AlreadyExists => Ok(()),
        other => other.map(drop),
    };
    let written = created.and_then(|()| write_status(api, node, options));
    if let Err(error) = written {
        tracing::warn!(node = name, %error, "kubelet can't register its node");
    }
}

fn write_status(api: &ApiServer, mut node: Value, options: &KubeletOptions) -> Result<(), Status> {
    let now = crate::metadata::time(api.now());
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let capacity = json!({"cpu": cpus.to_string(), "pods": options.pods_max.to_string()});
    let runtime = match &options.runtime {
        Runtime::Process => "process://",
        Runtime::Engine(_) => "engine://",
    };
    node["status"] = json!({
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [
            {"type": "InternalIP", "address": "127.0.0.1"},
            {"type": "Hostname", "address": options.node_name},
        ],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady",
            "message": "pods run on this machine",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
        "nodeInfo": {
            "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": std::env::consts::OS,
            "containerRuntimeVersion": runtime, "kubeletVersion": KUBERNETES, "kubeProxyVersion": "",
            "operatingSystem": std::env::consts::OS, "architecture": architecture(),
        },
    });
    api.replace_status(&kind::NODE, "", node).map(drop)
}

/// This machine's architecture, as Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
