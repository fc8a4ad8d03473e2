//! Kubernetes' protobuf, which kubectl and client-go write built-in kinds with.
//!
//! An envelope of bytes enters, and the JSON leaves that a typed client would have sent instead; or the other way
//! round. Bytes that are not what they claim to be are an error, and never an object that lacks something.
//!
//! The wire format is read here, by a table of fields, because what prost offers are types: k8s-pb has one for each of
//! Kubernetes' messages, some megabytes of code, and each would still have to be turned into JSON.

mod read;
mod table;
mod unreadable;
mod wire;
mod write;

use serde_json::Value;

pub(crate) use self::read::read;
pub(crate) use self::unreadable::Unreadable;
pub(crate) use self::write::{watch_event, write};

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// What every envelope begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Whether objects of this kind can be written as protobuf.
pub(crate) fn is_known(api_version: &str, kind: &str) -> bool {
    table::kind(api_version, kind).is_some()
}

/// The `apiVersion` and `kind` of an object.
fn names(value: &Value) -> (&str, &str) {
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    (text("apiVersion"), text("kind"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Writes and reads an object; what comes back is what a typed client would have sent as JSON.
    fn round(value: &Value) -> Value {
        let bytes = write(value).expect("written");
        read(&bytes).expect("read")
    }

    #[test]
    fn objects_are_read_as_they_were_written() {
        for value in [
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {
                    "name": "a", "creationTimestamp": "2026-03-01T02:03:04Z", "labels": {"x": "", "y": "z"},
                    "managedFields": [{
                        "manager": "m", "operation": "Update", "apiVersion": "v1", "time": "2026-03-01T02:03:04Z",
                        "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}}},
                    }],
                },
                "data": {"k": "AAH/"}, "type": "Opaque", "immutable": false,
            }),
            json!({
                "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
                "spec": {
                    "parallelism": 0, "backoffLimit": 3, "suspend": false, "activeDeadlineSeconds": 5_000_000_000i64,
                    "template": {"metadata": {}, "spec": {
                        "containers": [{
                            "name": "c", "command": ["sh", "-c", ""], "resources": {"limits": {"cpu": "500m"}},
                            "livenessProbe": {"httpGet": {"port": "web"}, "initialDelaySeconds": -1},
                            "readinessProbe": {"tcpSocket": {"port": 8080}},
                        }],
                        "volumes": [{"name": "v", "emptyDir": {}}],
                        "restartPolicy": "Never",
                    }},
                },
                "status": {},
            }),
            json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
                "spec": {"renewTime": "2026-03-01T02:03:04.000005Z", "leaseTransitions": 0},
            }),
            json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "metadata": {},
                "spec": {"namespace": "default"},
                "status": {"resourceRules": [{"verbs": ["*"]}], "nonResourceRules": [], "incomplete": false},
            }),
            json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": "a.b"},
                "spec": {
                    "group": "b", "names": {"plural": "a", "kind": "A"}, "scope": "Namespaced",
                    "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                        "type": "object", "properties": {
                            "x": {"type": "array", "items": {"type": "number", "maximum": 1.5, "default": {"a": [null]}}},
                            "y": {"additionalProperties": false}, "z": {"additionalProperties": {"type": "string"}},
                        },
                    }}}],
                },
                "status": {"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": null},
            }),
        ] {
            let mut read = round(&value);
            let mut expected = value;
            prune(&mut read);
            prune(&mut expected);
            assert_eq!(read, expected);
        }
    }

    /// A typed client writes empty lists and maps, or does not: it is the same.
    fn prune(value: &mut Value) {
        let says_nothing = |value: &Value| {
            value.is_null() || value.as_array().is_some_and(Vec::is_empty) || *value == json!("")
        };
        match value {
            Value::Object(fields) => {
                fields.values_mut().for_each(prune);
                fields.retain(|name, value| name == "x" || !says_nothing(value));
            }
            Value::Array(items) => items.iter_mut().for_each(prune),
            _ => {}
        }
    }

    #[test]
    fn fields_that_a_typed_client_always_writes_say_nothing_if_they_are_empty() {
        // Pod{ObjectMeta: {Name: "p", GenerateName: "", CreationTimestamp: {}}, Spec: {HostNetwork: false}}
        let pod =
            b"k8s\0\n\x09\n\x02v1\x12\x03Pod\x12\x0f\n\x07\n\x01p\x12\0B\0\x12\x04\x58\0\x52\0";
        assert_eq!(
            read(pod).expect("read"),
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "p"}, "spec": {},
            })
        );
    }

    #[test]
    fn bytes_that_end_early_are_an_error_wherever_they_end() {
        let value = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"x": "y"}},
            "data": {"k": "v", "long": "w".repeat(300)},
        });
        let bytes = write(&value).expect("written");
        // Behind the object there are two empty texts, of two bytes each.
        let whole = bytes.len() - 4;
        let names = MAGIC.len() + 2 + "..v1..ConfigMap".len();
        for end in 0..bytes.len() {
            match read(&bytes[..end]) {
                Ok(read) if end == names => {
                    assert_eq!(read, json!({"apiVersion": "v1", "kind": "ConfigMap"}));
                }
                Ok(read) => {
                    assert!(end >= whole, "{end}");
                    assert_eq!(read, value);
                }
                Err(_) => assert!(end < whole || end % 2 == (whole + 1) % 2, "{end}"),
            }
        }
    }

    #[test]
    fn a_watch_event_is_framed_by_its_length() {
        let event = json!({"type": "ADDED", "object": {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
        }});
        let frame = watch_event(&event).expect("a frame");
        let length = u32::from_be_bytes(frame[..4].try_into().expect("four bytes"));
        assert_eq!(usize::try_from(length).expect("a length"), frame.len() - 4);
        assert!(frame.windows(5).any(|part| part == b"ADDED"));
    }
}
