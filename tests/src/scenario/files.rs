//! Files between containers of a real node, by way of a server that speaks S3.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::deployed::{file, koncli, koncli_with, kubectl, namespace};
use crate::cluster::Cluster;
use crate::node;
use crate::s3::{BUCKET, S3};

/// What the server takes for credentials.
const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "id"),
    ("AWS_SECRET_ACCESS_KEY", "key"),
];

/// An example, its pipeline, what it is given, and a file that it leaves in the store, with what is in it.
struct Example {
    folder: &'static str,
    run: &'static str,
    parameters: &'static [&'static str],
    file: &'static str,
    content: &'static str,
}

const EXAMPLES: [Example; 5] = [
    Example {
        folder: "14-files",
        run: "files",
        parameters: &["parts=2"],
        file: "count/1/lines",
        content: "part 50 2500\n",
    },
    Example {
        folder: "16-samples",
        run: "samples",
        parameters: &[],
        file: "report/report",
        // As `koncli run` of it writes it.
        content: include_str!("../../../koncli/tests/examples/16-samples.txt"),
    },
    Example {
        folder: "17-training",
        run: "training",
        parameters: &[],
        file: "publish/published/card.txt",
        content: "trained for 20 epochs in training\naccuracy 0.960\n",
    },
    Example {
        folder: "18-release",
        run: "release",
        parameters: &["systems=linux"],
        file: "pack/release/index.txt",
        content: "hello-1.4.0-linux-amd64: 40 bytes\nhello-1.4.0-linux-arm64: 40 bytes\n",
    },
    Example {
        folder: "19-requests",
        run: "requests",
        parameters: &["days=2"],
        file: "total/table",
        content: "127 3 /login\n126 4 /\n119 0 /cart\n117 2 /search\n111 0 /about\n\
                  of [300,300] requests\n",
    },
];

/// What a pod of an example is in containers: its image has a user who may write nowhere but there.
const DEFAULTS: &str = r#"  defaults {
    image   = "busybox:1.36"
    timeout = 4m
    pod """
      containers: [{name: main, workingDir: /tmp}]
    """
  }"#;

/// The pipeline of an example, which keeps its files in a server of this machine.
fn pipeline(example: &Example, server: &S3) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(example.folder)
        .join("pipeline.kon");
    let text = fs::read_to_string(&file).expect("an example");
    let line = |word: &str| {
        let mut lines = text.lines();
        let line = lines.find(|line| line.trim_start().starts_with(word));
        line.unwrap_or_else(|| panic!("{}: no {word}", file.display()))
    };
    let store = format!(
        "  store {{ url = \"s3://{BUCKET}/{}\", secret = \"s3\", endpoint = \"{}\" }}",
        example.folder, server.url
    );
    text.replace(line("store {"), &store)
        .replace(line("defaults {"), DEFAULTS)
}

/// A Secret with credentials, which are any.
fn secret(cluster: &Cluster, namespace: &str) {
    let mut create = vec!["create", "secret", "generic", "s3"];
    let keys = KEYS.map(|(name, value)| format!("--from-literal={name}={value}"));
    create.extend(keys.iter().map(String::as_str));
    kubectl(cluster, namespace, &create);
}

/// Each example with files runs in containers, which reach the server by their own network; what they have stored is read
/// back with `koncli files`.
pub async fn files_of_the_examples_pass_by_way_of_s3(cluster: &Cluster) {
    let server = S3::start(node::ADDRESS);
    let namespace = namespace(cluster, "files").await;
    secret(cluster, &namespace);
    let folder = tempfile::tempdir().expect("a folder");
    for example in &EXAMPLES {
        let own = folder.path().join(format!("{}.kon", example.folder));
        fs::write(&own, pipeline(example, &server)).expect("written");
        let own = own.display().to_string();
        let mut apply = vec!["apply", own.as_str(), "--wait", "--timeout", "6m"];
        apply.extend(
            example
                .parameters
                .iter()
                .flat_map(|parameter| ["--set", *parameter]),
        );
        koncli(cluster, &namespace, &apply);
        let to = folder.path().join(example.run);
        fetch(cluster, &namespace, &server, example.run, &to);
        let content = fs::read_to_string(to.join(example.file)).expect(example.file);
        assert_eq!(content, example.content, "{}", example.folder);
    }
    // A program is executable wherever it arrives, and what is none is not.
    let is_executable = |path: &str| {
        let metadata = fs::metadata(folder.path().join(path)).expect(path);
        metadata.permissions().mode() & 0o111 != 0
    };
    assert!(is_executable("release/build/linux-amd64/program"));
    assert!(!is_executable("files/count/1/lines"));
}

/// Fetches what a run has stored into a folder, with credentials of the caller's, who names the server.
fn fetch(cluster: &Cluster, namespace: &str, server: &S3, run: &str, to: &Path) {
    let to = to.display().to_string();
    let mut variables = vec![("AWS_ENDPOINT_URL", server.url.as_str())];
    variables.extend(KEYS);
    koncli_with(
        cluster,
        namespace,
        &["files", run, "--get", &to],
        &variables,
    );
}

/// Files need no shell in the image, no root and no root file system that can be written to.
pub async fn files_of_restricted_containers_pass_by_way_of_s3(cluster: &Cluster) {
    let server = S3::start(node::ADDRESS);
    let namespace = namespace(cluster, "restricted-files").await;
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(
        cluster,
        &namespace,
        &["label", "namespace", &namespace, restricted],
    );
    secret(cluster, &namespace);
    let endpoint = format!("endpoint={}", server.url);
    let image = format!(
        "koncli=ghcr.io/logiciq/konductor:{}",
        env!("CARGO_PKG_VERSION")
    );
    let pipeline = file("restricted.kon");
    let apply = [
        "apply",
        &pipeline,
        "--set",
        &endpoint,
        "--set",
        &image,
        "--wait",
        "--timeout",
        "5m",
    ];
    koncli(cluster, &namespace, &apply);
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("files");
    fetch(cluster, &namespace, &server, "restricted", &to);
    let content = fs::read_to_string(to.join("read/found")).expect("a file");
    assert_eq!(content, "user 1000 found stages: 1\n");
}
