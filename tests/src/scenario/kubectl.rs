//! What kubectl shows of all this, on a real control plane: `docs/kubectl.md` is played.

use std::path::Path;

use crate::built::koncli;
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::Operator;
use crate::transcript;

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
