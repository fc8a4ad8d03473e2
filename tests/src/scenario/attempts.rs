//! Tables of requests that people make in a namespace with the chart's policies, and who is refused what.

use k8s_openapi::api::rbac::v1::Role;
use konductor_api::annotation::NONCE;
use kube::Client;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::api;
use super::chart::{bind, client_of, done, helm, install, job};
use crate::cluster::Cluster;

/// One request of somebody, and what the API server says: a part of its refusal, or nothing.
struct Attempt {
    who: &'static str,
    what: &'static str,
    request: http::Request<Vec<u8>>,
    refusal: &'static str,
}

impl Attempt {
    /// Whether the API server refuses a dry run of it before long, for whatever reason.
    async fn is_refused_soon(&self, client: &Client) -> bool {
        let mut dry = self.request.clone();
        if dry.method() == http::Method::DELETE {
            // The options of a deletion are its body; those in the path are ignored beside it.
            *dry.body_mut() = json!({"dryRun": ["All"]}).to_string().into_bytes();
        } else {
            let uri = format!("{}?dryRun=All", dry.uri());
            *dry.uri_mut() = uri.parse().expect("a path");
        }
        let begun = std::time::Instant::now();
        while answer(client, dry.clone()).await.is_empty() {
            if begun.elapsed() > crate::watching::WITHIN {
                return false;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        true
    }
}

/// What the API server answers: its error, or nothing.
async fn answer(client: &Client, request: http::Request<Vec<u8>>) -> String {
    match client.request::<Value>(request).await {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

/// The root of a kind's paths in a namespace.
pub(super) fn path(namespace: &str, plural: &str) -> String {
    let group = match plural {
        "jobs" | "cronjobs" => "batch",
        _ => "konductor.io",
    };
    format!("/apis/{group}/v1/namespaces/{namespace}/{plural}")
}

pub(super) fn send(method: &str, path: String, body: &Value) -> http::Request<Vec<u8>> {
    let media = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = http::Request::builder().method(method).uri(path);
    let request = request.header("content-type", media);
    request
        .body(body.to_string().into_bytes())
        .expect("a request")
}

/// The value that lets `admin` play the operator.
pub(super) const ADMIN: &str = "policies.operatorUsers={admin}";
/// A user whose name would break out of a text.
pub(super) const ODD: &str = "a\"b'c\\";

/// A Run with a nonce.
pub(super) fn run(name: &str, nonce: &str) -> Value {
    json!({"apiVersion": "konductor.io/v1", "kind": "Run",
        "metadata": {"name": name, "annotations": {NONCE: nonce}},
        "spec": {"pipeline": "p", "jobs": 1}})
}

/// A table of attempts in one namespace.
pub(super) struct Attempts {
    namespace: String,
    all: Vec<Attempt>,
}

impl Attempts {
    pub(super) fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            all: Vec::new(),
        }
    }

    fn add(
        &mut self,
        who: &'static str,
        what: &'static str,
        request: http::Request<Vec<u8>>,
        refusal: &'static str,
    ) {
        self.all.push(Attempt {
            who,
            what,
            request,
            refusal,
        });
    }

    pub(super) fn create(
        &mut self,
        who: &'static str,
        what: &'static str,
        plural: &str,
        object: &Value,
        refusal: &'static str,
    ) {
        let path = path(&self.namespace, plural);
        self.add(who, what, send("POST", path, object), refusal);
    }

    pub(super) fn patch(
        &mut self,
        who: &'static str,
        what: &'static str,
        object: &str,
        body: &Value,
        refusal: &'static str,
    ) {
        let (plural, name) = object.split_once('/').expect("plural/name");
        let path = format!("{}/{name}", path(&self.namespace, plural));
        self.add(who, what, send("PATCH", path, body), refusal);
    }

    pub(super) fn delete(
        &mut self,
        who: &'static str,
        what: &'static str,
        object: &str,
        refusal: &'static str,
    ) {
        let (plural, name) = object.split_once('/').expect("plural/name");
        let path = format!("{}/{name}", path(&self.namespace, plural));
        self.add(who, what, send("DELETE", path, &json!({})), refusal);
    }

    /// Makes each attempt in order, and compares all answers with what is expected.
    ///
    /// An API server loads each policy on its own, a moment after it is stored. So what should be refused is tried as a
    /// dry run until it is, and only then for real.
    pub(super) async fn make(self, cluster: &Cluster) {
        let mut wrong = Vec::new();
        for attempt in self.all {
            let client = match attempt.who {
                "operator" => cluster.client.clone(),
                who => client_of(cluster, who).await,
            };
            let refused = attempt.refusal.is_empty() || attempt.is_refused_soon(&client).await;
            let said = if refused {
                answer(&client, attempt.request).await
            } else {
                "accepted as a dry run".to_owned()
            };
            let right = match attempt.refusal {
                "" => said.is_empty(),
                words => said.contains(words),
            };
            if !right {
                wrong.push(format!("{} {}: {said:?}", attempt.who, attempt.what));
            }
        }
        assert_eq!(wrong, [""; 0]);
    }
}

/// A chart with its policies, for which `admin` plays the operator; who may do what there:
/// `alice` edits, `bob` edits and approves, `jobber` has every right on Jobs and no other, `mallory` edits and has no
/// right on Jobs, `part` takes part.
pub(super) async fn policies(cluster: &Cluster, release: &str, values: &[&str]) -> String {
    let namespace = cluster.namespace(release).await;
    install(cluster, release, &namespace, values);
    let jobs = json!({
        "metadata": {"name": "jobs"},
        "rules": [{"apiGroups": ["batch"], "resources": ["jobs", "jobs/status", "cronjobs"], "verbs": ["*"]}],
    });
    let role: Role = serde_json::from_value(jobs).expect("a role");
    let made = api::<Role>(cluster, &namespace)
        .create(&PostParams::default(), &role)
        .await;
    made.expect("a role");
    let subjects = ["alice", "bob", "jobber", ODD]
        .map(|name| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}));
    let binding = json!({
        "metadata": {"name": "jobs"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "jobs"},
        "subjects": subjects,
    });
    let made = cluster.client.request::<Value>(send(
        "POST",
        format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"),
        &binding,
    ));
    made.await.expect("bound");
    for (user, roles) in [
        ("alice", &["edit", "view"][..]),
        ("bob", &["edit", "view", "approve"]),
        ("mallory", &["edit", "view"]),
        ("part", &["participant"]),
    ] {
        for role in roles {
            bind(
                cluster,
                &namespace,
                user,
                &format!("{release}-konductor-{role}"),
            )
            .await;
        }
    }
    in_effect(cluster, &namespace).await;
    namespace
}

/// The chart's policies in a namespace, for an operator that runs as `admin`, in effect.
pub async fn for_operators(cluster: &Cluster, release: &str, namespace: &str) {
    install(
        cluster,
        release,
        namespace,
        &["--set", ADMIN, "--set", "replicas=0"],
    );
    let alice = format!("{release}-konductor-edit");
    bind(cluster, namespace, "alice", &alice).await;
    bind(cluster, namespace, "alice", "edit").await;
    let alice = client_of(cluster, "alice").await;
    let begun = std::time::Instant::now();
    loop {
        let forged = job("early", true, json!({"konductor.io/phase": "Running"}));
        let path = format!("{}?dryRun=All", path(namespace, "jobs"));
        let forged = serde_json::to_value(forged).expect("JSON");
        let answer = alice.request::<Value>(send("POST", path, &forged)).await;
        match answer {
            Err(error) if error.to_string().contains("written by the operator only") => return,
            other => assert!(begun.elapsed() < crate::watching::WITHIN, "{other:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Policies and rights take effect a moment after they are stored: waits for the last ones of each kind.
async fn in_effect(cluster: &Cluster, namespace: &str) {
    let jobber = client_of(cluster, "jobber").await;
    let bob = client_of(cluster, "bob").await;
    let mallory = client_of(cluster, "mallory").await;
    let taken = |client: Client, plural: &'static str, object: Value| {
        let path = format!("{}?dryRun=All", path(namespace, plural));
        async move {
            client
                .request::<Value>(send("POST", path, &object))
                .await
                .is_ok()
        }
    };
    let begun = std::time::Instant::now();
    loop {
        let arrives = job("early", true, json!({"konductor.io/arrive": "b"}));
        let forged = job("early", true, json!({"konductor.io/phase": "Running"}));
        let plain = job("early", true, json!({}));
        let value = |job| serde_json::to_value(job).expect("JSON");
        let barrier = json!({"apiVersion": "konductor.io/v1", "kind": "Barrier",
            "metadata": {"name": "early"}, "spec": {"expected": 1}});
        let refused = !taken(jobber.clone(), "jobs", value(arrives)).await
            && !taken(jobber.clone(), "jobs", value(forged)).await
            && !taken(mallory.clone(), "runs", run("early", "n")).await;
        let allowed = taken(jobber.clone(), "jobs", value(plain)).await
            && taken(mallory.clone(), "barriers", barrier.clone()).await
            && taken(bob.clone(), "barriers", barrier).await;
        if refused && allowed {
            return;
        }
        assert!(
            begun.elapsed() < crate::watching::WITHIN,
            "the policies take no effect"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

pub(super) fn uninstall(cluster: &Cluster, release: &str, namespace: &str) {
    done(helm(
        cluster,
        &["uninstall", release, "--namespace", namespace],
    ));
}

pub(super) fn with(job: k8s_openapi::api::batch::v1::Job, labels: Value) -> Value {
    let mut job = serde_json::to_value(job).expect("JSON");
    job["metadata"]["labels"] = labels;
    job
}

pub(super) fn annotated(key: &str, value: Value) -> Value {
    json!({"metadata": {"annotations": {key: value}}})
}
