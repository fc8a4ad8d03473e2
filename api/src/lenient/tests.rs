use k8s_openapi::api::batch::v1::Job;
use kube::core::{ObjectList, WatchEvent};
use serde_json::{Value, json};

use super::*;

fn nested(levels: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
}

/// A Job of this name, with this text in place of `"?"`.
fn job(name: &str, field: &Value, text: &str) -> String {
    let mut job = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": "u", "resourceVersion": "7"},
        "spec": {"template": {}},
    });
    json_patch(&mut job, field);
    job.to_string().replace("\"?\"", text)
}

fn json_patch(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                json_patch(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn list(items: &[String]) -> Vec<Lenient<Job>> {
    let text = format!(
        r#"{{"kind":"JobList","apiVersion":"batch/v1","metadata":{{"resourceVersion":"9"}},"items":[{}]}}"#,
        items.join(",")
    );
    let list: ObjectList<Lenient<Job>> = serde_json::from_str(&text).expect("a list");
    list.items
}

#[test]
fn managed_fields_are_not_decoded_whatever_they_hold() {
    let field = json!({"metadata": {"managedFields": "?"}});
    let texts = [
        r#"[{"time":"-0001-12-31T01:00:00Z"}]"#.to_owned(),
        r#"[{"time":"10000-01-01T22:59:59Z"}]"#.to_owned(),
        format!(r#"[{{"fieldsV1":{}}}]"#, nested(5000)),
        r#"{"not":"a list"}"#.to_owned(),
        "1e9999".to_owned(),
        r#""\ud800""#.to_owned(),
    ];
    for text in texts {
        let mut all = list(&[job("a", &field, &text), job("b", &json!({}), "")]);
        let b = all.pop().unwrap().decoded().expect("a Job");
        let a = all.pop().unwrap().decoded().expect("a Job");
        assert_eq!(a.metadata.managed_fields, None, "{text}");
        assert_eq!(a.metadata.name.as_deref(), Some("a"));
        assert_eq!(b.metadata.name.as_deref(), Some("b"));
    }
}

#[test]
fn what_cannot_be_decoded_is_named_and_the_others_are_decoded() {
    let table = [
        (
            json!({"metadata": {"creationTimestamp": "?"}}),
            r#""-0001-12-31T01:00:00Z""#.to_owned(),
        ),
        (
            json!({"spec": {"template": {"metadata": {"creationTimestamp": "?"}}}}),
            r#""10000-01-01T22:59:59Z""#.to_owned(),
        ),
        (json!({"spec": {"parallelism": "?"}}), "1e9999".to_owned()),
        (json!({"spec": {"parallelism": "?"}}), nested(5000)),
        (json!({"spec": {"suspend": "?"}}), "[]".to_owned()),
        (json!({"status": "?"}), "7".to_owned()),
        (
            json!({"metadata": {"labels": "?"}}),
            r#""\ud800""#.to_owned(),
        ),
    ];
    for (field, text) in table {
        let mut all = list(&[job("a", &field, &text), job("b", &json!({}), "")]);
        assert!(all.pop().unwrap().decoded().is_ok());
        let undecodable = all.pop().unwrap().decoded().expect_err(&text);
        assert_eq!(undecodable.to_string(), "Job ns/a can't be decoded");
        let identity = &undecodable.metadata;
        assert_eq!(identity.uid.as_deref(), Some("u"));
        assert_eq!(identity.resource_version.as_deref(), Some("7"));
    }
    for text in ["null", "7", "\"a\"", "[]", "{}", r#"{"metadata":7}"#] {
        let mut all = list(&[text.to_owned()]);
        let item = all.pop().unwrap();
        let _ = item.meta();
        let undecodable = item.decoded().expect_err(text);
        assert_eq!(
            undecodable.to_string(),
            "Job ?/? can't be decoded",
            "{text}"
        );
    }
}

#[test]
fn managed_fields_are_left_out_of_every_kind_of_answer() {
    let managed = format!(r#""managedFields":[{{"fieldsV1":{}}}]"#, nested(5000));
    let table = [
        (
            r#"{"metadata":{"name":"a",?},"x":1}"#,
            r#"{"metadata":{"name":"a"},"x":1}"#,
        ),
        (
            r#"{"items":[{"metadata":{?}},7],"metadata":{"resourceVersion":"9"}}"#,
            r#"{"items":[{"metadata":{}},7],"metadata":{"resourceVersion":"9"}}"#,
        ),
        (
            r#"{"type":"ADDED","object":{"metadata":{?,"uid":"u"}}}"#,
            r#"{"type":"ADDED","object":{"metadata":{"uid":"u"}}}"#,
        ),
        (
            r#"{"data":{?},"items":null}"#,
            r#"{"data":{?},"items":null}"#,
        ),
    ];
    for (before, after) in table {
        let [before, after] = [before, after].map(|text| text.replace('?', &managed));
        assert_eq!(without_managed_fields(&before), Some(after));
    }
    for text in [
        r#"{"metadata":{}}"#,
        "managedFields",
        r#"["managedFields"]"#,
        "{\"managedFields",
    ] {
        assert_eq!(without_managed_fields(text), None, "{text}");
    }
}

#[test]
fn an_event_of_a_watch_is_decoded_as_leniently() {
    let bad = job("a", &json!({"spec": {"suspend": "?"}}), &nested(5000));
    for (word, object) in [("ADDED", &bad), ("MODIFIED", &bad), ("DELETED", &bad)] {
        let line = format!(r#"{{"type":"{word}","object":{object}}}"#);
        let event: WatchEvent<Lenient<Job>> = serde_json::from_str(&line).expect("an event");
        let (WatchEvent::Added(job) | WatchEvent::Modified(job) | WatchEvent::Deleted(job)) = event
        else {
            panic!("{word}");
        };
        assert_eq!(job.meta().resource_version.as_deref(), Some("7"));
        assert!(job.decoded().is_err());
    }
}

#[test]
fn fields_of_a_shape_are_left_out_at_any_depth_and_the_rest_is_kept() {
    #[derive(Clone, Debug)]
    struct Slim;
    impl Shape<Job> for Slim {
        const LEFT_OUT: &'static [Path] =
            &[MANAGED_FIELDS, &["spec", "template", "spec"], &["status"]];
    }
    let text = job(
        "a\"b",
        &json!({"spec": {"suspend": true, "template": {"spec": {"containers": "?"}}},
            "status": 7, "metadata": {"annotations": {"managedFields": "kept"}}}),
        &nested(5000),
    );
    let job: Lenient<Job, Slim> = serde_json::from_str(&text).expect("never fails");
    let job = job.decoded().expect("a Job");
    assert_eq!(job.metadata.name.as_deref(), Some("a\"b"));
    assert_eq!(
        job.metadata.annotations.expect("kept")["managedFields"],
        "kept"
    );
    let spec = job.spec.expect("a spec");
    assert_eq!(spec.suspend, Some(true));
    assert!(spec.template.spec.is_none() && job.status.is_none());
}
