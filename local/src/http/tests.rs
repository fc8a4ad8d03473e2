//! What kubectl asks beside JSON: protobuf, events of both groups, what it may do, and what is not served.

use axum::http::{Request, header};
use kube::client::Body;
use serde_json::{Value, json};

use crate::protobuf;
use crate::{ApiServer, ServerOptions, kind};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

struct Kubectl(kube::Client);

/// An answer: its code, its media type and its body.
type Answer = (u16, String, Vec<u8>);

impl Kubectl {
    async fn send(&self, method: &str, path: &str, headers: [&str; 2], body: Vec<u8>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, headers[0])
            .header(header::ACCEPT, headers[1])
            .body(Body::from(body))
            .expect("a request");
        let answer = self.0.send(request).await.expect("an answer");
        let media = answer.headers()[header::CONTENT_TYPE].to_str();
        let (code, media) = (answer.status().as_u16(), media.expect("text").to_owned());
        let body = answer.into_body().collect_bytes().await.expect("a body");
        (code, media, body.to_vec())
    }

    async fn json(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let json = "application/json";
        let body = body.to_string().into_bytes();
        let (code, _, body) = self.send(method, path, [json; 2], body).await;
        (code, serde_json::from_slice(&body).expect("JSON"))
    }
}

fn server() -> (ApiServer, Kubectl) {
    let api = ApiServer::new(ServerOptions::default());
    let client = kube::Client::new(api.router(), "default");
    (api, Kubectl(client))
}

fn config_map(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"},
    })
}

#[tokio::test]
async fn protobuf_is_read_and_is_written_for_those_who_take_nothing_else() {
    let (api, kubectl) = server();
    let path = "/api/v1/namespaces/default/configmaps";
    let body = protobuf::write(&config_map("x")).expect("protobuf");
    // As kubectl sends it: the answer may be JSON.
    let both = "application/vnd.kubernetes.protobuf,application/json";
    let (code, media, _) = kubectl.send("POST", path, [PROTOBUF, both], body).await;
    assert_eq!((code, media.as_str()), (201, "application/json"));
    let stored = api
        .get(&kind::CONFIG_MAP, "default", "x")
        .expect("it is stored");
    assert_eq!(stored["data"], json!({"a": "b"}));
    let only = [PROTOBUF, PROTOBUF];
    for path in [format!("{path}/x"), path.to_owned()] {
        let (code, media, body) = kubectl.send("GET", &path, only, Vec::new()).await;
        assert_eq!((code, media.as_str()), (200, PROTOBUF));
        let read = protobuf::read(&body).expect("an object");
        let object = read["items"].get(0).unwrap_or(&read);
        assert_eq!(object["metadata"]["uid"], stored["metadata"]["uid"]);
    }
    let watched = format!("{path}?watch=1&timeoutSeconds=0");
    let (code, media, body) = kubectl.send("GET", &watched, only, Vec::new()).await;
    assert_eq!((code, media), (200, format!("{PROTOBUF};stream=watch")));
    assert!(body.windows(5).any(|part| part == b"ADDED"));
    // Options of a deletion have the version of the kind that is deleted.
    let options = protobuf::write(&json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
    }));
    let (code, ..) = kubectl
        .send(
            "DELETE",
            &format!("{path}/x"),
            [PROTOBUF, both],
            options.expect("protobuf"),
        )
        .await;
    assert_eq!(code, 200);
    assert!(api.get(&kind::CONFIG_MAP, "default", "x").is_none());
}

#[tokio::test]
async fn what_is_no_protobuf_or_has_none_is_refused() {
    let (_, kubectl) = server();
    let path = "/api/v1/namespaces/default/configmaps";
    let (code, ..) = kubectl
        .send("POST", path, [PROTOBUF; 2], b"k8s\0\x0a".to_vec())
        .await;
    assert_eq!(code, 400);
    let other = protobuf::write(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}}));
    let other = other.expect("protobuf");
    let (code, ..) = kubectl.send("POST", path, [PROTOBUF; 2], other).await;
    assert_eq!(code, 400);
    let unknown = b"k8s\0\x0a\x08\x0a\x02v1\x12\x02No".to_vec();
    let (code, ..) = kubectl.send("POST", path, [PROTOBUF; 2], unknown).await;
    assert_eq!(code, 415);
}

#[tokio::test]
async fn events_of_both_groups_are_one_store() {
    let (_, kubectl) = server();
    let core = "/api/v1/namespaces/default/events";
    let new = "/apis/events.k8s.io/v1/namespaces/default/events";
    let object = json!({"kind": "Job", "name": "j", "namespace": "default"});
    let (code, _) = kubectl
        .json(
            "POST",
            new,
            &json!({
                "metadata": {"name": "by-new"}, "regarding": object, "note": "hello",
                "reason": "R", "type": "Normal", "action": "A", "reportingController": "c",
                "reportingInstance": "i", "eventTime": "2026-03-01T02:03:04.000000Z",
            }),
        )
        .await;
    assert_eq!(code, 201);
    let (code, _) = kubectl
        .json(
            "POST",
            core,
            &json!({
                "metadata": {"name": "by-core"}, "involvedObject": object, "message": "hello",
            }),
        )
        .await;
    assert_eq!(code, 201);
    let nothing = json!({});
    let (_, list) = kubectl.json("GET", core, &nothing).await;
    let of_core: Vec<_> = list["items"].as_array().expect("items").iter().collect();
    assert_eq!(of_core.len(), 2);
    assert!(of_core.iter().all(|event| event["message"] == "hello"));
    assert!(
        of_core
            .iter()
            .all(|event| event["involvedObject"]["name"] == "j")
    );
    let (_, list) = kubectl.json("GET", new, &nothing).await;
    let of_new: Vec<_> = list["items"].as_array().expect("items").iter().collect();
    assert_eq!(of_new.len(), 2);
    assert!(of_new.iter().all(|event| event["note"] == "hello"));
    assert!(of_new.iter().all(|event| event["regarding"]["name"] == "j"));
    let selected = format!("{core}?fieldSelector=involvedObject.name%3Dj,reason%3DR");
    let (_, list) = kubectl.json("GET", &selected, &nothing).await;
    assert_eq!(list["items"][0]["metadata"]["name"], "by-new");
    let (code, deleted) = kubectl
        .json("DELETE", &format!("{new}/by-core"), &nothing)
        .await;
    assert_eq!(code, 200, "{deleted}");
    let (code, _) = kubectl
        .json("GET", &format!("{core}/by-core"), &nothing)
        .await;
    assert_eq!(code, 404);
    let replaced = json!({"kind": "Event", "metadata": {"name": "by-new"}, "regarding": object, "note": "again"});
    let (code, _) = kubectl
        .json("PUT", &format!("{new}/by-new"), &replaced)
        .await;
    assert_eq!(code, 200);
    let (_, event) = kubectl
        .json("GET", &format!("{core}/by-new"), &nothing)
        .await;
    assert_eq!(event["message"], "again");
}

#[tokio::test]
async fn reviews_are_answered_and_not_stored() {
    let (_, kubectl) = server();
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json!({"spec": {"resourceAttributes": {"verb": "create", "resource": "jobs"}}});
    let (code, answer) = kubectl.json("POST", path, &review).await;
    assert_eq!((code, &answer["status"]["allowed"]), (201, &json!(true)));
    let (code, _) = kubectl.json("GET", path, &json!({})).await;
    assert_eq!(code, 405);
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (_, answer) = kubectl.json("POST", path, &json!({})).await;
    assert_eq!(answer["status"]["userInfo"]["username"], "local");
}

#[tokio::test]
async fn what_is_not_served_says_what_the_cluster_lacks() {
    let (api, kubectl) = server();
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    api.create(&kind::POD, "default", pod).expect("a pod");
    api.create(&kind::NODE, "", json!({"metadata": {"name": "local"}}))
        .expect("a node");
    let of_pod = "/api/v1/namespaces/default/pods/p";
    for (method, path, expected) in [
        (
            "POST",
            format!("{of_pod}/exec?command=ls"),
            "exec is not supported",
        ),
        (
            "GET",
            format!("{of_pod}/portforward"),
            "portforward is not supported",
        ),
        (
            "PATCH",
            format!("{of_pod}/ephemeralcontainers"),
            "debug containers are not supported",
        ),
        (
            "PATCH",
            "/api/v1/nodes/local".to_owned(),
            "the only node is this machine",
        ),
        (
            "POST",
            "/api/v1/namespaces/default/services".to_owned(),
            "no pod network",
        ),
    ] {
        let (code, status) = kubectl.json(method, &path, &json!({})).await;
        assert_eq!(code, 405, "{path}");
        let message = status["message"].as_str().expect("a message");
        assert!(message.contains(expected), "{message}");
    }
    let (code, _) = kubectl
        .json(
            "POST",
            "/api/v1/namespaces/default/pods/gone/exec",
            &json!({}),
        )
        .await;
    assert_eq!(code, 404);
    let gone = "/api/v1/namespaces/default/services/gone";
    let (code, _) = kubectl.json("DELETE", gone, &json!({})).await;
    assert_eq!(code, 404);
    let (code, nodes) = kubectl.json("GET", "/api/v1/nodes", &json!({})).await;
    assert_eq!(
        (code, nodes["items"].as_array().map(Vec::len)),
        (200, Some(1))
    );
}
