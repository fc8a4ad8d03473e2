//! What Kubernetes fills in for a pod that does not say.

use serde_json::{Map, Value, json};

const TERMINATION_MESSAGE_PATH: &str = "/dev/termination-log";
const GRACE_SECONDS: i64 = 30;
const FILE_MODE: i64 = 0o644;
const TOKEN_SECONDS: i64 = 3600;

/// Sets a field that is absent.
pub(super) fn default(value: &mut Value, field: &str, to: impl Into<Value>) {
    if let Some(fields) = value.as_object_mut()
        && fields.get(field).is_none_or(Value::is_null)
    {
        fields.insert(field.to_owned(), to.into());
    }
}

fn each(value: &mut Value, field: &str, change: impl FnMut(&mut Value)) {
    if let Some(items) = value.get_mut(field).and_then(Value::as_array_mut) {
        items.iter_mut().for_each(change);
    }
}

fn with(value: &mut Value, field: &str, change: impl FnOnce(&mut Value)) {
    if let Some(inner) = value.get_mut(field).filter(|inner| inner.is_object()) {
        change(inner);
    }
}

/// Fills in the spec of a pod or of a pod template.
pub(super) fn spec(spec: &mut Value) {
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "restartPolicy", "Always");
    default(spec, "securityContext", json!({}));
    default(spec, "terminationGracePeriodSeconds", GRACE_SECONDS);
    default(spec, "schedulerName", "default-scheduler");
    let account = spec["serviceAccountName"].clone();
    if let (Value::String(_), Value::Null) = (&account, &spec["serviceAccount"]) {
        // The old name of the field is kept in step with the new one.
        spec["serviceAccount"] = account;
    }
    each(spec, "volumes", volume);
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, field, container);
    }
}

/// Fills in what only a pod has, and a pod template has not.
pub(super) fn pod(pod: &mut Value) {
    with(pod, "spec", |spec| {
        self::spec(spec);
        default(spec, "enableServiceLinks", true);
        for field in ["containers", "initContainers"] {
            each(spec, field, requests);
        }
    });
}

/// A container that only has limits requests as much.
fn requests(container: &mut Value) {
    let Some(limits) = container["resources"]["limits"].as_object().cloned() else {
        return;
    };
    with(container, "resources", |resources| {
        default(resources, "requests", Map::new());
        for (name, limit) in limits {
            default(&mut resources["requests"], &name, limit);
        }
    });
}

fn volume(volume: &mut Value) {
    let has_source = volume
        .as_object()
        .is_some_and(|fields| fields.keys().any(|key| key != "name"));
    if !has_source {
        default(volume, "emptyDir", json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        with(volume, source, |source| {
            default(source, "defaultMode", FILE_MODE)
        });
    }
    with(volume, "hostPath", |path| default(path, "type", ""));
    with(volume, "downwardAPI", |source| {
        each(source, "items", field_ref)
    });
    with(volume, "projected", |projected| {
        each(projected, "sources", |source| {
            with(source, "downwardAPI", |source| {
                each(source, "items", field_ref)
            });
            with(source, "serviceAccountToken", |token| {
                default(token, "expirationSeconds", TOKEN_SECONDS);
            });
        });
    });
    with(volume, "ephemeral", |ephemeral| {
        with(ephemeral, "volumeClaimTemplate", |template| {
            with(template, "spec", |spec| {
                default(spec, "volumeMode", "Filesystem")
            });
        });
    });
}

fn field_ref(item: &mut Value) {
    with(item, "fieldRef", |field| default(field, "apiVersion", "v1"));
}

fn container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let policy = if is_latest(image) {
        "Always"
    } else {
        "IfNotPresent"
    };
    default(container, "imagePullPolicy", policy);
    default(
        container,
        "terminationMessagePath",
        TERMINATION_MESSAGE_PATH,
    );
    default(container, "terminationMessagePolicy", "File");
    default(container, "resources", json!({}));
    each(container, "ports", |port| default(port, "protocol", "TCP"));
    each(container, "env", |variable| {
        with(variable, "valueFrom", |source| {
            field_ref(source);
            with(source, "fileKeyRef", |file| {
                default(file, "optional", false)
            });
        });
    });
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        with(container, field, probe);
    }
    with(container, "lifecycle", |lifecycle| {
        for field in ["postStart", "preStop"] {
            with(lifecycle, field, |action| with(action, "httpGet", http_get));
        }
    });
}

fn probe(probe: &mut Value) {
    for (field, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        default(probe, field, value);
    }
    with(probe, "httpGet", http_get);
    with(probe, "grpc", |grpc| default(grpc, "service", ""));
}

fn http_get(action: &mut Value) {
    default(action, "path", "/");
    default(action, "scheme", "HTTP");
}

/// Whether an image has no tag, or the tag `latest`, and no digest.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        for (image, latest) in [
            ("busybox", true),
            ("busybox:latest", true),
            ("busybox:1", false),
            ("localhost:5000/busybox", true),
            ("localhost:5000/busybox:1", false),
            ("busybox@sha256:0", false),
        ] {
            assert_eq!(is_latest(image), latest, "{image}");
        }
    }
}
