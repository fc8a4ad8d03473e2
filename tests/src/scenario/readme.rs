//! The README that konductor began with, command by command, on a real control plane:
//! `first-readme.md` is played.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::Router;
use axum::extract::State;
use http::{StatusCode, Uri};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::DeleteParams;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, ResourceExt};

use super::chart;
use crate::built::koncli;
use crate::cluster::{Cluster, START_WITHIN};
use crate::kubelet::{Script, play};
use crate::operator::Operator;
use crate::transcript;

/// Where the README says that the chart is.
const REPOSITORY: &str = "https://logiciq.github.io/helm-charts";

/// Its Helm commands, its kubectl, its CLI, its manifests. The chart brings the CRDs, and nobody but the
/// registry's host is another.
pub async fn the_first_readme_works_command_by_command(cluster: &Cluster) {
    let namespace = cluster.namespace("seed").await;
    remove_crds(cluster).await;
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("home");
    std::fs::create_dir(&home).expect("a folder");
    let address = chart_repository(&folder.path().join("charts")).await;
    let programs = folder.path().join("programs");
    fill(&programs, cluster, &address);
    let inherited = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{inherited}", programs.display());
    let config = folder.path().join("config");
    let text = std::fs::read_to_string(&cluster.kubeconfig).expect("a kubeconfig");
    let mut kubeconfig: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    kubeconfig["contexts"][0]["context"]["namespace"] = namespace.as_str().into();
    std::fs::write(&config, kubeconfig.to_string()).expect("a file");
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scenario/first-readme.md");
    let own = namespace.clone();
    let played = tokio::task::spawn_blocking(move || {
        transcript::play(
            &page,
            &home,
            |command| {
                command
                    .env("KUBECONFIG", &config)
                    .env("PATH", &path)
                    .env("HOME", &home)
                    .env("HOSTNAME", "report-28491");
            },
            |printed| {
                let printed = printed
                    .replace(&address, REPOSITORY)
                    .replace(&own, "default");
                // Helm's log has its time and its process in each line.
                let lines = printed.lines().filter(|line| !is_log(line));
                lines.map(|line| format!("{line}\n")).collect()
            },
        );
    });
    // There are no nodes for the pods of the chart's operator: this one works in their place.
    let operator = async {
        established(cluster).await;
        Operator::start(cluster, &namespace)
    };
    let (_operator, played) = tokio::join!(operator, played);
    if let Err(failed) = played {
        std::panic::resume_unwind(failed.into_panic());
    }
}

/// A line of a Go program's log: `I0131 02:00:05.123456 …`.
fn is_log(line: &str) -> bool {
    let mut words = line.split(' ');
    let first = words.next().unwrap_or_default();
    let is_day = |rest: &str| rest.len() == 4 && rest.chars().all(|c| c.is_ascii_digit());
    first.strip_prefix(['I', 'W']).is_some_and(is_day)
}

fn crds(cluster: &Cluster) -> (Api<CustomResourceDefinition>, Vec<String>) {
    let names = konductor_api::crds();
    let names = names.iter().map(ResourceExt::name_any).collect();
    (Api::all(cluster.client.clone()), names)
}

async fn remove_crds(cluster: &Cluster) {
    let (api, names) = crds(cluster);
    for name in names {
        let crd = api.get(&name).await.expect("a CRD");
        let uid = crd.metadata.uid.expect("a uid");
        let deleted = api.delete(&name, &DeleteParams::default()).await;
        deleted.expect("deleted");
        let gone = await_condition(api.clone(), &name, conditions::is_deleted(&uid));
        let gone = tokio::time::timeout(START_WITHIN, gone).await;
        gone.expect("in time").expect("gone");
    }
}

async fn established(cluster: &Cluster) {
    let (api, names) = crds(cluster);
    for name in names {
        let is_there = await_condition(api.clone(), &name, conditions::is_crd_established());
        let is_there = tokio::time::timeout(START_WITHIN, is_there).await;
        is_there.expect("in time").expect("established");
    }
}

/// The programs that the README calls.
fn fill(folder: &Path, cluster: &Cluster, repository: &str) {
    std::fs::create_dir(folder).expect("a folder");
    symlink(cluster.kubectl(), folder.join("kubectl")).expect("a link");
    symlink(koncli(), folder.join("koncli")).expect("a link");
    let helm = chart::program();
    let scripts = [
        ("generate-report", "echo report".to_owned()),
        (
            "helm",
            format!(
                "for argument; do\n  case $argument in {REPOSITORY}) argument={repository};; esac\n  \
                 set -- \"$@\" \"$argument\"; shift\ndone\nexec {} \"$@\"",
                helm.display()
            ),
        ),
    ];
    for (name, script) in scripts {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, executable).expect("executable");
    }
}

/// A Helm repository on loopback with the chart as it is here; its address. It lasts as long as the
/// runtime.
async fn chart_repository(folder: &Path) -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/konductor");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let helm = |arguments: &[&str]| {
        let done = Command::new(chart::program()).args(arguments).output();
        let done = done.expect("helm runs");
        assert!(done.status.success(), "{done:?}");
    };
    let (chart, shown) = (chart.display().to_string(), folder.display().to_string());
    helm(&["package", &chart, "--destination", &shown]);
    helm(&["repo", "index", &shown, "--url", &address]);
    let app = Router::new().fallback(file).with_state(folder.to_owned());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn file(State(folder): State<PathBuf>, uri: Uri) -> Result<Vec<u8>, StatusCode> {
    let name = uri.path().trim_start_matches('/');
    let is_plain = !name.contains('/') && !name.contains("..");
    let content = is_plain.then(|| std::fs::read(folder.join(name)).ok());
    content.flatten().ok_or(StatusCode::NOT_FOUND)
}
