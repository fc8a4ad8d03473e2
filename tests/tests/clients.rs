//! The clients that people have, against the API server of `koncli dev`: with its kubeconfig each gets in, and
//! without the token in it none does. kubectl and helm are built with the real control plane, so they are here
//! where `KONDUCTOR_TEST_CLUSTER=real` asks for that; both are client-go, as the Go SDK is, whose tests run on
//! `koncli dev`.

use std::path::Path;
use std::process::{Command, Output};

use k8s_openapi::api::core::v1::ConfigMap;
use konductor_tests::cluster::{Wanted, wanted};
use konductor_tests::dev::Dev;
use konductor_tests::{control_plane, scenario};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::Value;

/// One object of Kubernetes and one of konductor.
const OBJECTS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\n\
                       apiVersion: konductor.io/v1\nkind: Semaphore\nmetadata: {name: s}\nspec: {permits: 2}\n";

async fn by_kube_rs(kubeconfig: &Path) -> Result<usize, kube::Error> {
    let read = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.expect("a config")).expect("a client");
    let all: Api<ConfigMap> = Api::namespaced(client, "default");
    let list = all.list_metadata(&ListParams::default()).await?;
    Ok(list.items.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_helm_and_kube_rs_get_in_with_the_kubeconfig_and_not_without_its_token() {
    if wanted() != Wanted::Real {
        eprintln!("skipped: kubectl and helm are built with a real control plane");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let dev = Dev::start(&[]);
    let kubeconfig = &dev.kubeconfig;
    let (kubectl, helm) = (
        control_plane::binaries().join("kubectl"),
        scenario::chart::program(),
    );
    std::fs::write(folder.path().join("objects.yaml"), OBJECTS).expect("written");
    let run = |program: &Path, kubeconfig: &Path, arguments: &[&str]| -> Output {
        Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .env("KUBECONFIG", kubeconfig)
            .env("HOME", folder.path())
            .output()
            .expect("it runs")
    };
    let attempts: [(&Path, &[&str]); 4] = [
        (&kubectl, &["get", "namespaces"]),
        (&kubectl, &["apply", "--filename", "objects.yaml"]),
        (&kubectl, &["get", "semaphore/s", "configmap/c"]),
        (&helm, &["list", "--all-namespaces"]),
    ];

    let text = std::fs::read_to_string(kubeconfig).expect("a kubeconfig");
    let mut without: Value = serde_json::from_str(&text).expect("JSON");
    without["users"][0]["user"] = serde_json::json!({"token": "x"});
    let stranger = folder.path().join("without");
    std::fs::write(&stranger, without.to_string()).expect("written");
    for (program, arguments) in attempts {
        let output = run(program, &stranger, arguments);
        let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
        let is_refused = ["unauthorized", "logged in", "provide credentials"]
            .iter()
            .any(|words| said.contains(words));
        assert!(
            !output.status.success() && is_refused,
            "{arguments:?}: {output:?}"
        );
    }
    let refused = by_kube_rs(&stranger).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 401));

    for (program, arguments) in attempts {
        let output = run(program, kubeconfig, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    assert_eq!(by_kube_rs(kubeconfig).await.expect("a list"), 1);
}
