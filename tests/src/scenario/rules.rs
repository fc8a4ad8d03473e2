//! Rule C: the API server itself refuses what an operator must never write.

use std::fmt::Debug;

use konductor_api::{Barrier, Claim, Gate, Lease, Run, Semaphore};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::api;
use crate::cluster::Cluster;

async fn create<K>(cluster: &Cluster, namespace: &str, object: Value) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let object: K = serde_json::from_value(object).expect("an object");
    api::<K>(cluster, namespace)
        .create(&PostParams::default(), &object)
        .await
}

/// Sends a spec as it is, so that the API server and not a Rust type refuses it.
async fn send(
    cluster: &Cluster,
    namespace: &str,
    kind: &str,
    plural: &str,
    spec: Value,
) -> Result<DynamicObject, kube::Error> {
    let version = GroupVersionKind::gvk("konductor.io", "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&version, plural);
    let api: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), namespace, &resource);
    let mut object = DynamicObject::new("", &resource).data(json!({ "spec": spec }));
    object.metadata.name = None;
    object.metadata.generate_name = Some("sent-".into());
    api.create(&PostParams::default(), &object).await
}

async fn patch_status<K>(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    status: Value,
) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let patch = Patch::Merge(json!({ "status": status }));
    api::<K>(cluster, namespace)
        .patch_status(name, &PatchParams::default(), &patch)
        .await
}

fn refused<T: Debug>(result: Result<T, kube::Error>, words: &str) {
    match result {
        Err(kube::Error::Api(status)) if status.code == 422 => {
            assert!(
                status.message.contains(words),
                "{words:?} is not in {:?}",
                status.message
            );
        }
        other => panic!("not refused ({words}): {other:?}"),
    }
}

fn holders(permits: &[u32]) -> Value {
    let entries = permits.iter().enumerate().map(|(index, permits)| {
        json!({"kind": "Claim", "name": format!("c{index}"), "uid": format!("u{index}"),
            "holder": "h", "permits": permits})
    });
    json!({"holders": entries.collect::<Vec<_>>()})
}

/// The sum of holders stays within permits, but what is above already may shrink.
pub async fn the_api_server_refuses_a_ledger_beyond_its_permits(cluster: &Cluster) {
    let namespace = cluster.namespace("ledger").await;
    let semaphore = json!({"metadata": {"name": "s"}, "spec": {"permits": 3}});
    create::<Semaphore>(cluster, &namespace, semaphore)
        .await
        .expect("created");
    let write = |permits: &'static [u32]| {
        patch_status::<Semaphore>(cluster, &namespace, "s", holders(permits))
    };
    write(&[]).await.expect("an empty ledger");
    write(&[1, 1, 1]).await.expect("three of three");
    refused(
        write(&[1, 1, 1, 1]).await,
        "more permits would be held than there are",
    );
    refused(
        write(&[2, 2]).await,
        "more permits would be held than there are",
    );
    let lower = Patch::Merge(json!({"spec": {"permits": 1}}));
    let semaphores = api::<Semaphore>(cluster, &namespace);
    semaphores
        .patch("s", &PatchParams::default(), &lower)
        .await
        .expect("lowered below use");
    write(&[1, 1]).await.expect("it may shrink");
    refused(
        write(&[1, 1, 1]).await,
        "more permits would be held than there are",
    );
    let twice = json!({"holders": [
        {"kind": "Claim", "name": "a", "uid": "u", "holder": "h", "permits": 1},
        {"kind": "Claim", "name": "b", "uid": "u", "holder": "h", "permits": 1},
    ]});
    refused(
        patch_status::<Semaphore>(cluster, &namespace, "s", twice).await,
        "Duplicate value",
    );
}

/// What gets into a selector, a path or a terminal is refused where it could mean something else there.
pub async fn the_api_server_refuses_texts_that_could_mean_something_else(cluster: &Cluster) {
    let namespace = cluster.namespace("texts").await;
    let ns = namespace.as_str();
    let claim = |name: &str, holder: &str| json!({"target": {"kind": "Lease", "name": name}, "holder": holder});
    let jobs =
        |key: &str, value: &str| json!({"expected": 1, "jobs": {"matchLabels": {key: value}}});
    let selector = |key: &str| {
        let jobs = json!({"matchLabels": {key: "d"}});
        json!({"conditions": [{"type": "Job", "selector": jobs, "count": 1, "state": "Complete"}]})
    };
    let barrier = |kind: &str| json!({"conditions": [{"type": kind, "name": "b", "state": "Finished", "verified": true}]});
    let (pattern, key) = ("should match", "the key of a label");
    let table = [
        ("Barrier", "barriers", jobs("a", "b,c=d"), pattern),
        ("Barrier", "barriers", jobs("b,c", "d"), key),
        ("Barrier", "barriers", jobs("b c", "d"), key),
        (
            "Barrier",
            "barriers",
            jobs("app.kubernetes.io/name", "etl_2"),
            "",
        ),
        (
            "Barrier",
            "barriers",
            json!({"expected": 1, "gate": "a/b"}),
            pattern,
        ),
        ("Gate", "gates", selector("b,c"), key),
        ("Gate", "gates", selector("konductor.io/run"), ""),
        (
            "Gate",
            "gates",
            barrier("Gate"),
            "verified goes with type Barrier",
        ),
        ("Gate", "gates", barrier("Barrier"), ""),
        ("Claim", "claims", claim("../a", "me"), pattern),
        ("Claim", "claims", claim("a", "me\u{1b}[2J"), pattern),
        ("Claim", "claims", claim("a", "me\u{202e}"), pattern),
        (
            "Claim",
            "claims",
            claim("a", "system:serviceaccount:ns:worker"),
            "",
        ),
        ("Claim", "claims", claim("a.b-c", "Zoë Müller"), ""),
        (
            "Arrival",
            "arrivals",
            json!({"barrier": "A", "holder": "me"}),
            pattern,
        ),
        (
            "Arrival",
            "arrivals",
            json!({"barrier": "a", "holder": "a\nb"}),
            pattern,
        ),
        (
            "Run",
            "runs",
            json!({"pipeline": "a b", "jobs": 1}),
            pattern,
        ),
    ];
    for (kind, plural, spec, words) in table {
        let answer = send(cluster, ns, kind, plural, spec.clone()).await;
        match words {
            "" => {
                answer.unwrap_or_else(|error| panic!("{kind} {spec}: {error}"));
            }
            words => refused(answer, words),
        }
    }
}

/// Phases are latched and tokens only rise.
pub async fn the_api_server_refuses_to_reopen_and_to_lower_tokens(cluster: &Cluster) {
    let namespace = cluster.namespace("latch").await;
    let ns = namespace.as_str();
    create::<Barrier>(
        cluster,
        ns,
        json!({"metadata": {"name": "b"}, "spec": {"expected": 1}}),
    )
    .await
    .expect("created");
    create::<Gate>(cluster, ns, json!({"metadata": {"name": "g"}, "spec": {}}))
        .await
        .expect("made");
    for phase in ["Waiting", "Open"] {
        let status = json!({ "phase": phase });
        patch_status::<Barrier>(cluster, ns, "b", status.clone())
            .await
            .expect("written");
        patch_status::<Gate>(cluster, ns, "g", status)
            .await
            .expect("written");
    }
    let reopened = json!({"phase": "Failed"});
    refused(
        patch_status::<Barrier>(cluster, ns, "b", reopened.clone()).await,
        "stays as it is",
    );
    refused(
        patch_status::<Gate>(cluster, ns, "g", reopened).await,
        "stays as it is",
    );

    create::<Lease>(
        cluster,
        ns,
        json!({"metadata": {"name": "l"}, "spec": {"ttl": "30s"}}),
    )
    .await
    .expect("created");
    let token = |token: i64| patch_status::<Lease>(cluster, ns, "l", json!({ "token": token }));
    token(7).await.expect("a token");
    token(8).await.expect("a higher one");
    refused(token(6).await, "a Lease's token never falls");
    let mut next = holders(&[1]);
    refused(
        patch_status::<Lease>(cluster, ns, "l", next.clone()).await,
        "a new holder needs a higher token",
    );
    next["token"] = 9.into();
    patch_status::<Lease>(cluster, ns, "l", next)
        .await
        .expect("a holder with a higher token");
    refused(
        patch_status::<Lease>(cluster, ns, "l", holders(&[1, 1])).await,
        "Too many",
    );

    let claim = json!({"metadata": {"name": "c"},
        "spec": {"target": {"kind": "Lease", "name": "l"}, "holder": "h"}});
    let created = create::<Claim>(cluster, ns, claim).await.expect("created");
    assert_eq!(
        format!("{:?}", created.status.expect("a default").phase),
        "Queued"
    );
    let phase =
        |phase: &'static str| patch_status::<Claim>(cluster, ns, "c", json!({ "phase": phase }));
    phase("Granted").await.expect("granted");
    refused(phase("Denied").await, "a Claim goes from Queued");
    phase("Expired").await.expect("expired");
    refused(phase("Granted").await, "a Claim goes from Queued");
    let edited = Patch::Merge(json!({"spec": {"holder": "somebody else"}}));
    let claims = api::<Claim>(cluster, ns);
    refused(
        claims.patch("c", &PatchParams::default(), &edited).await,
        "a Claim is immutable",
    );

    create::<Run>(
        cluster,
        ns,
        json!({"metadata": {"name": "r"}, "spec": {"pipeline": "p", "jobs": 1}}),
    )
    .await
    .expect("created");
    let ended = json!({"phase": "Succeeded", "attempt": 1, "outcome": "Succeeded"});
    patch_status::<Run>(cluster, ns, "r", ended)
        .await
        .expect("ended");
    let failed = patch_status::<Run>(cluster, ns, "r", json!({"phase": "Failed"})).await;
    refused(failed, "a Run that has ended stays as it is");
    let retry = Patch::Merge(json!({"spec": {"attempt": 2}}));
    api::<Run>(cluster, ns)
        .patch("r", &PatchParams::default(), &retry)
        .await
        .expect("retried");
    patch_status::<Run>(
        cluster,
        ns,
        "r",
        json!({"phase": "Running", "attempt": 2, "outcome": null}),
    )
    .await
    .expect("a retry starts an attempt");
}

/// Bounds and combinations, each with the words of its error.
pub async fn the_api_server_refuses_specs_that_make_no_sense(cluster: &Cluster) {
    let namespace = cluster.namespace("specs").await;
    let ns = namespace.as_str();
    let barrier = |spec: Value| send(cluster, ns, "Barrier", "barriers", spec);
    refused(
        barrier(json!({"expected": 0})).await,
        "greater than or equal to 1",
    );
    refused(
        barrier(json!({"expected": 2, "quorum": 3})).await,
        "quorum must not be more",
    );
    refused(
        barrier(json!({"expected": 1, "timeout": "soon"})).await,
        "timeout",
    );
    refused(barrier(json!({"quorum": 1})).await, "Required value");
    refused(
        barrier(json!({"expected": 1, "jobs": {"matchLabels": {}}})).await,
        "at least 1",
    );
    barrier(json!({"expected": 2, "quorum": 1, "timeout": "1h30m"}))
        .await
        .expect("valid");

    let gate = |condition: Value| {
        send(
            cluster,
            ns,
            "Gate",
            "gates",
            json!({"conditions": [condition]}),
        )
    };
    let gates: &[(Value, &str)] = &[
        (
            json!({"type": "Job", "name": "a", "state": "Open"}),
            "a Job's state is",
        ),
        (
            json!({"type": "Barrier", "name": "a", "state": "Complete"}),
            "a Barrier's or Gate's state",
        ),
        (
            json!({"type": "Run", "name": "a", "state": "Open"}),
            "a Run's state is",
        ),
        (
            json!({"type": "Job", "state": "Complete"}),
            "a Job is named by name or by selector",
        ),
        (json!({"type": "Gate", "state": "Open"}), "name is missing"),
        (
            json!({"type": "Job", "name": "a", "count": 2, "state": "Complete"}),
            "count goes with",
        ),
        (
            json!({"type": "Run", "name": "a", "within": "1h", "state": "Succeeded"}),
            "within goes",
        ),
        (
            json!({"type": "Pod", "name": "a", "state": "Complete"}),
            "Unsupported value",
        ),
    ];
    for (condition, words) in gates {
        refused(gate(condition.clone()).await, words);
    }
    gate(json!({"type": "Job", "name": "a", "state": "Complete"}))
        .await
        .expect("valid");
}

/// What is installed is understood as a whole: nobody is warned of a format that is not known, or of
/// anything else. They are sent under another group, as new ones, and nothing is stored.
pub async fn the_api_server_installs_the_definitions_without_a_warning(cluster: &Cluster) {
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All";
    for mut crd in konductor_api::crds() {
        crd.spec.group = "konductor.example".into();
        let name = format!("{}.{}", crd.spec.names.plural, crd.spec.group);
        crd.metadata.name = Some(name.clone());
        let body = serde_json::to_vec(&crd).expect("JSON");
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body))
            .expect("a request");
        let answer = cluster.client.send(request).await.expect("an answer");
        let warnings: Vec<_> = answer.headers().get_all("warning").iter().collect();
        assert_eq!(
            (answer.status().as_u16(), warnings),
            (201, Vec::new()),
            "{name}"
        );
    }
}
