//! Objects that a client can't decode, of every kind that the operator reads: whoever may create one
//! in any namespace takes nothing from anybody else.
//!
//! On the embedded API server behind a front that puts hostile JSON into lists and watches, whatever a
//! real one would store; and on a real one, where `KONDUCTOR_TEST_CLUSTER=real` asks for it, with what
//! it stores.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Method, Request, Response};
use k8s_openapi::api::events::v1::Event;
use konductor_api::{Claim, ClaimPhase};
use konductor_operator::{Options, Telemetry};
use konductor_tests::cluster::{Cluster, Wanted, wanted};
use kube::api::{ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// How soon somebody else's Claim is granted.
const SOON: Duration = Duration::from_secs(1);
/// The most that anything here takes on a machine that is busy.
const WITHIN: Duration = Duration::from_secs(90);

/// The resources that are listed and watched, and what an object of each has at least.
fn kinds() -> [(&'static str, &'static str, &'static str, Value); 9] {
    let spec = |spec: Value| json!({"spec": spec});
    let konductor = "konductor.io/v1";
    [
        ("jobs", "batch/v1", "Job", spec(json!({"template": {}}))),
        ("pods", "v1", "Pod", spec(json!({"containers": []}))),
        (
            "arrivals",
            konductor,
            "Arrival",
            spec(json!({"barrier": "b", "holder": "h"})),
        ),
        (
            "barriers",
            konductor,
            "Barrier",
            spec(json!({"expected": 1})),
        ),
        (
            "claims",
            konductor,
            "Claim",
            spec(json!({"target": {"kind": "Semaphore", "name": "s"}, "holder": "h"})),
        ),
        (
            "gates",
            konductor,
            "Gate",
            spec(json!({"conditions": [{"type": "Job", "name": "j", "state": "Complete"}]})),
        ),
        ("leases", konductor, "Lease", spec(json!({"ttl": "1m"}))),
        (
            "runs",
            konductor,
            "Run",
            spec(json!({"pipeline": "p", "jobs": 1})),
        ),
        (
            "semaphores",
            konductor,
            "Semaphore",
            spec(json!({"permits": 1})),
        ),
    ]
}

fn nested(levels: usize) -> String {
    format!("{}1{}", r#"{"f:a":"#.repeat(levels), "}".repeat(levels))
}

/// What is wrong with an object: the field at a pointer is this text.
fn shapes() -> Vec<(&'static str, &'static str, String)> {
    let managed = "/metadata/managedFields";
    let text = str::to_owned;
    vec![
        (
            "a year before 0 in managedFields",
            managed,
            text(r#"[{"manager":"m","operation":"Update","time":"-0001-12-31T01:00:00Z"}]"#),
        ),
        (
            "a year after 9999 in managedFields",
            managed,
            text(r#"[{"manager":"m","operation":"Update","time":"10000-01-01T22:59:59Z"}]"#),
        ),
        (
            "150 levels in managedFields",
            managed,
            format!(r#"[{{"manager":"m","fieldsV1":{}}}]"#, nested(150)),
        ),
        (
            "5,000 levels in managedFields",
            managed,
            format!(r#"[{{"manager":"m","fieldsV1":{}}}]"#, nested(5000)),
        ),
        ("managedFields that are no list", managed, text("7")),
        (
            "a creation in the year 10000",
            "/metadata/creationTimestamp",
            text(r#""10000-01-01T22:59:59Z""#),
        ),
        (
            "a creation that is no time",
            "/metadata/creationTimestamp",
            text("true"),
        ),
        (
            "owners that are no list",
            "/metadata/ownerReferences",
            text(r#"{"a":1}"#),
        ),
        ("labels that are no map", "/metadata/labels", text("[1]")),
        (
            "half a character",
            "/metadata/annotations",
            text(r#"{"a":"\ud800"}"#),
        ),
        (
            "a number without end",
            "/metadata/generation",
            text("1e99999"),
        ),
        ("5,000 levels in metadata", "/metadata/labels", nested(5000)),
        ("no metadata", "/metadata", text("null")),
        ("metadata that is a text", "/metadata", text(r#""a""#)),
        ("status that is a number", "/status", text("7")),
    ]
}

/// An object of a kind, with what is wrong with it, as JSON.
fn poisoned(
    kind: &(&str, &str, &str, Value),
    index: usize,
    shape: &(&str, &str, String),
) -> String {
    let (_, api_version, word, rest) = kind;
    let mut object = json!({
        "apiVersion": api_version, "kind": word,
        "metadata": {"name": format!("poison-{index}"), "namespace": "default",
            "uid": format!("uid-{word}-{index}"), "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z"},
    });
    object["spec"] = rest["spec"].clone();
    let (_, pointer, text) = shape;
    let mut at = &mut object;
    for part in pointer.split('/').skip(1) {
        at = &mut at[part];
    }
    *at = "?".into();
    object.to_string().replacen("\"?\"", text, 1)
}

/// A client whose lists of every kind hold what is poisoned, too.
fn poisoning(to: &Client) -> Client {
    let to = to.clone();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let to = to.clone();
        async move {
            let path = request.uri().path().to_owned();
            let query = request.uri().query().unwrap_or_default().to_owned();
            let lists = request.method() == Method::GET && !query.contains("watch=true");
            let answer = to.send(request).await?;
            let kinds = kinds();
            let kind = kinds
                .iter()
                .find(|(plural, ..)| path.ends_with(&format!("/{plural}")));
            let Some(kind) = kind.filter(|_| lists) else {
                return Ok::<_, tower::BoxError>(answer.map(Body::new));
            };
            let (head, body) = answer.into_parts();
            let body = axum::body::to_bytes(Body::new(body), usize::MAX).await?;
            let body = String::from_utf8(body.to_vec())?;
            let poison: Vec<String> = shapes()
                .iter()
                .enumerate()
                .map(|(index, shape)| poisoned(kind, index, shape))
                .collect();
            let comma = if body.contains(r#""items":[]"#) {
                ""
            } else {
                ","
            };
            let poison = format!(r#""items":[{}{comma}"#, poison.join(","));
            let body = body.replacen(r#""items":["#, &poison, 1);
            let mut head = head;
            head.headers.remove(http::header::CONTENT_LENGTH);
            Ok(Response::from_parts(head, Body::from(body)))
        }
    });
    Client::new(service, "default")
}

/// Runs an operator for every namespace with this client while `what` runs.
async fn with_operator<T>(
    client: Client,
    telemetry: Telemetry,
    what: impl Future<Output = T>,
) -> T {
    let (stop, stopped) = oneshot::channel::<()>();
    let options = Options {
        telemetry,
        ..Options::default()
    };
    let operator = tokio::spawn(konductor_operator::run(client, options, async {
        let _ = stopped.await;
    }));
    let result = what.await;
    drop(stop);
    operator.await.expect("no panic").expect("it ended well");
    result
}

/// How long new Claims on a new Semaphore of another namespace wait for their grant, at best.
async fn grant(cluster: &Cluster, name: &str) -> Duration {
    let namespace = cluster.namespace("bystander").await;
    let semaphores: Api<konductor_api::Semaphore> =
        Api::namespaced(cluster.client.clone(), &namespace);
    let claims: Api<Claim> = Api::namespaced(cluster.client.clone(), &namespace);
    let semaphore = json!({"metadata": {"name": "s"}, "spec": {"permits": 3}});
    let semaphore = serde_json::from_value(full("Semaphore", semaphore)).expect("a Semaphore");
    semaphores
        .create(&PostParams::default(), &semaphore)
        .await
        .expect("created");
    // A machine that is busy with other tests may be late once.
    let mut fastest = Duration::MAX;
    for round in 0..3 {
        let name = format!("{name}-{round}");
        let begun = Instant::now();
        let claim = json!({"metadata": {"name": name},
            "spec": {"target": {"kind": "Semaphore", "name": "s"}, "holder": "h"}});
        let claim = serde_json::from_value(full("Claim", claim)).expect("a Claim");
        let created = claims.create(&PostParams::default(), &claim).await;
        created.expect("created");
        let granted = |claim: Option<&Claim>| {
            let status = claim.and_then(|claim| claim.status.as_ref());
            status.is_some_and(|status| status.phase == ClaimPhase::Granted)
        };
        let waits = await_condition(claims.clone(), &name, granted);
        let waits = tokio::time::timeout(WITHIN, waits).await;
        waits.expect("granted in time").expect("a watch");
        fastest = fastest.min(begun.elapsed());
    }
    fastest
}

fn full(kind: &str, mut object: Value) -> Value {
    object["apiVersion"] = "konductor.io/v1".into();
    object["kind"] = kind.into();
    object
}

/// Waits until the operator works.
async fn ready(telemetry: &Telemetry) {
    let ready = async {
        while !telemetry.is_ready() {
            tokio::task::yield_now().await;
        }
    };
    let waits = tokio::time::timeout(WITHIN, ready).await;
    waits.expect("the operator lists every kind");
}

/// The series of a metric by its kind.
fn series(telemetry: &Telemetry, metric: &str) -> Vec<(String, f64)> {
    let text = telemetry.metrics_text();
    let lines = text.lines().filter_map(|line| line.strip_prefix(metric));
    lines
        .filter_map(|line| {
            let (kind, value) = line.strip_prefix("{kind=\"")?.split_once("\"} ")?;
            Some((kind.to_owned(), value.parse().ok()?))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_nobody_can_decode_hide_nothing_of_any_kind() {
    assert!(shapes().len() >= 12);
    let cluster = Cluster::embedded().await;
    let telemetry = Telemetry::default();
    let client = poisoning(&cluster.client);
    with_operator(client, telemetry.clone(), async {
        ready(&telemetry).await;
        let waited = grant(&cluster, "c").await;
        assert!(waited < SOON, "granted after {waited:?}");
        let reported = tokio::time::timeout(WITHIN, reported(&cluster)).await;
        let reported = reported.expect("reported in time");
        assert!(
            reported.iter().all(|name| name.starts_with("poison-")),
            "{reported:?}"
        );
    })
    .await;
    let failures = series(&telemetry, "konductor_watch_failures_total");
    assert!(
        failures.iter().all(|(_, count)| *count == 0.0),
        "{failures:?}"
    );
    let left_out = series(&telemetry, "konductor_undecodable_objects");
    assert_eq!(left_out.len(), kinds().len(), "{left_out:?}");
    for (kind, count) in left_out {
        // What is wrong in managedFields hurts nobody; a Pod's status and a Job's may be empty.
        assert!(count >= 7.0, "{kind}: {count}");
    }
}

/// Whom the operator has reported by an Event, as soon as it has reported anybody.
async fn reported(cluster: &Cluster) -> Vec<String> {
    let events: Api<Event> = Api::all(cluster.client.clone());
    loop {
        let events = events.list(&ListParams::default()).await.expect("events");
        let about = |event: &Event| {
            let about = event.regarding.as_ref()?;
            about.name.clone()
        };
        let reported: Vec<String> = events
            .items
            .iter()
            .filter(|event| event.reason.as_deref() == Some("Undecodable"))
            .filter_map(about)
            .collect();
        if !reported.is_empty() {
            return reported;
        }
    }
}

/// What a real API server stores, by kind: the request's body has this in place of a field.
fn stored(kind: &(&str, &str, &str, Value)) -> Vec<(String, String)> {
    let (_, api_version, word, rest) = kind;
    let managed = [
        r#"[{"manager":"m","operation":"Update","apiVersion":"V","time":"0000-01-01T00:00:00+23:00","fieldsType":"FieldsV1","fieldsV1":{}}]"#.to_owned(),
        r#"[{"manager":"m","operation":"Update","apiVersion":"V","time":"9999-12-31T23:59:59-23:00","fieldsType":"FieldsV1","fieldsV1":{}}]"#.to_owned(),
        format!(r#"[{{"manager":"m","operation":"Update","apiVersion":"V","fieldsType":"FieldsV1","fieldsV1":{}}}]"#, nested(150)),
        format!(r#"[{{"manager":"m","operation":"Update","apiVersion":"V","fieldsType":"FieldsV1","fieldsV1":{}}}]"#, nested(1000)),
    ];
    let times = ["0000-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"];
    let mut bodies = Vec::new();
    let mut add = |name: String, metadata: Value, template: Option<Value>| {
        let mut object =
            json!({"apiVersion": api_version, "kind": word, "metadata": {"name": name}});
        for (key, value) in metadata.as_object().into_iter().flatten() {
            object["metadata"][key] = value.clone();
        }
        object["spec"] = rest["spec"].clone();
        let containers = json!([{"name": "main", "image": "none"}]);
        match *word {
            "Pod" => object["spec"]["containers"] = containers,
            "Job" => {
                object["spec"] = json!({"suspend": true, "template": {
                    "spec": {"restartPolicy": "Never", "containers": containers}}});
                if let Some(template) = template {
                    object["spec"]["template"]["metadata"] = template;
                }
            }
            _ => {}
        }
        bodies.push((name, object.to_string()));
    };
    for index in 0..managed.len() {
        add(
            format!("managed-{index}"),
            json!({"managedFields": "?"}),
            None,
        );
    }
    for (index, time) in times.iter().enumerate() {
        add(
            format!("created-{index}"),
            json!({"creationTimestamp": time}),
            None,
        );
        add(
            format!("deleted-{index}"),
            json!({"deletionTimestamp": time}),
            None,
        );
        let template = json!({"creationTimestamp": time, "deletionTimestamp": time});
        add(format!("template-{index}"), json!({}), Some(template));
    }
    add("self-link".into(), json!({"selfLink": "\u{0}"}), None);
    add("generation".into(), json!({"generation": i64::MIN}), None);
    add(
        "grace".into(),
        json!({"deletionGracePeriodSeconds": i64::MIN}),
        None,
    );
    for (index, text) in managed.iter().enumerate() {
        let (_, body) = &mut bodies[index];
        *body = body.replacen(
            "\"?\"",
            &text.replace("\"V\"", &format!("\"{api_version}\"")),
            1,
        );
    }
    bodies
}

/// What became of the hostile objects of a kind.
struct Row {
    kind: &'static str,
    sent: usize,
    stored: usize,
    left_out: f64,
    granted_after: Duration,
}

/// Sends the hostile objects of a kind; returns how many there are, and those that the API server refuses.
async fn store(
    cluster: &Cluster,
    namespace: &str,
    kind: &(&'static str, &'static str, &'static str, Value),
) -> (usize, Vec<String>) {
    let (plural, api_version, word, _) = kind;
    let root = match api_version.contains('/') {
        true => "apis",
        false => "api",
    };
    let url = format!("/{root}/{api_version}/namespaces/{namespace}/{plural}");
    let bodies = stored(kind);
    assert!(bodies.len() >= 12, "{}", bodies.len());
    let sent = bodies.len();
    let mut refused = Vec::new();
    for (name, body) in bodies {
        let request = Request::post(&url).header("content-type", "application/json");
        let request = request.body(body.into_bytes()).expect("a request");
        if let Err(error) = cluster.client.request_text(request).await {
            refused.push(format!("{word} {name}: {error}"));
        }
    }
    (sent, refused)
}

/// koncli's own lists still show what can be decoded.
fn koncli_lists(cluster: &Cluster, namespace: &str) {
    for list in [
        &["runs"][..],
        &["gate", "list"],
        &["barrier", "list"],
        &["semaphore", "list"],
        &["lease", "list"],
        &["doctor"],
        &["status", "good"],
    ] {
        let output = std::process::Command::new(konductor_tests::built::koncli())
            .args(list)
            .args(["--namespace", namespace, "--kubeconfig"])
            .arg(&cluster.kubeconfig)
            .output()
            .expect("koncli runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let is_there = !said.contains("deserializ") && !said.contains("SerdeError");
        let listed = list == ["doctor"] || output.status.success();
        assert!(is_there && listed, "koncli {list:?}: {said}");
    }
}

/// Prints the table, past what the test runner captures.
fn publish(rows: &[Row]) {
    let mut text =
        "| kind | shapes sent | stored | left out | grant elsewhere |\n|---|--:|--:|--:|--:|\n"
            .to_owned();
    for row in rows {
        text += &format!(
            "| {} | {} | {} | {} | {} ms |\n",
            row.kind,
            row.sent,
            row.stored,
            row.left_out,
            row.granted_after.as_millis()
        );
    }
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_real_api_server_stores_blinds_no_operator_that_starts() {
    if wanted() == Wanted::None {
        return;
    }
    let cluster = Cluster::real().await;
    let hostile = cluster.namespace("hostile").await;
    let good = json!({"apiVersion": "konductor.io/v1", "kind": "Run", "metadata": {"name": "good"},
        "spec": {"pipeline": "p", "jobs": 1}});
    let url = format!("/apis/konductor.io/v1/namespaces/{hostile}/runs");
    let request = Request::post(&url).header("content-type", "application/json");
    let request = request
        .body(good.to_string().into_bytes())
        .expect("a request");
    let created = cluster.client.request_text(request).await;
    created.expect("created");
    let mut rows = Vec::new();
    for kind in kinds() {
        let (plural, _, word, _) = &kind;
        let (sent, refused) = store(&cluster, &hostile, &kind).await;
        let stored = sent - refused.len();
        // What it refuses can blind nobody.
        assert!(stored >= 3, "{word}: {stored} are stored; {refused:#?}");
        // Started with them there.
        let telemetry = Telemetry::default();
        let granted_after = with_operator(cluster.client.clone(), telemetry.clone(), async {
            ready(&telemetry).await;
            grant(&cluster, &format!("after-{plural}")).await
        })
        .await;
        // A busy API server ends a young watch as too old now and then; what can't be decoded fails every time.
        let failures = series(&telemetry, "konductor_watch_failures_total");
        assert!(
            failures.iter().all(|(_, count)| *count <= 1.0),
            "{failures:?}"
        );
        let left_out = series(&telemetry, "konductor_undecodable_objects");
        let left_out = left_out.iter().find(|(kind, _)| kind == word);
        rows.push(Row {
            kind: word,
            sent,
            stored,
            left_out: left_out.map_or(0.0, |(_, count)| *count),
            granted_after,
        });
    }
    publish(&rows);
    for row in &rows {
        let waited = row.granted_after;
        assert!(waited < SOON, "{}: granted after {waited:?}", row.kind);
    }
    koncli_lists(&cluster, &hostile);
}
