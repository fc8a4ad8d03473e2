//! The downward API: what a pod may learn about itself.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::quantity;
use super::references::ConfigError;

/// Where a process "runs": this machine, reached over loopback.
pub(super) const POD_IP: &str = "127.0.0.1";

/// The value of a `fieldRef`.
pub(super) fn field(pod: &Pod, path: &str, node_name: &str) -> Result<String, ConfigError> {
    let metadata = &pod.metadata;
    let entry = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref()
            .and_then(|map| map.get(key))
            .cloned()
            .unwrap_or_default()
    };
    if let Some(key) = key_of(path, "metadata.labels") {
        return Ok(entry(&metadata.labels, key));
    }
    if let Some(key) = key_of(path, "metadata.annotations") {
        return Ok(entry(&metadata.annotations, key));
    }
    let service_account = || {
        let name = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.service_account_name.clone());
        name.unwrap_or_else(|| "default".into())
    };
    Ok(match path {
        "metadata.name" => metadata.name.clone().unwrap_or_default(),
        "metadata.namespace" => metadata.namespace.clone().unwrap_or_default(),
        "metadata.uid" => metadata.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(metadata.labels.as_ref()),
        "metadata.annotations" => lines(metadata.annotations.as_ref()),
        "spec.nodeName" => node_name.into(),
        "spec.serviceAccountName" => service_account(),
        "status.hostIP" | "status.hostIPs" | "status.podIP" | "status.podIPs" => POD_IP.into(),
        _ => {
            let message = format!("field path {path:?} is not one the downward API has");
            return Err(ConfigError::Invalid(message));
        }
    })
}

/// The value of a `resourceFieldRef`, of `own` unless it names another container.
pub(super) fn resource(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
) -> Result<String, ConfigError> {
    let named = selector
        .container_name
        .as_deref()
        .filter(|name| !name.is_empty());
    let container = match named {
        Some(name) => {
            let spec = pod.spec.as_ref();
            let containers = spec
                .map(|spec| spec.containers.as_slice())
                .unwrap_or_default();
            let init = spec
                .and_then(|spec| spec.init_containers.as_deref())
                .unwrap_or_default();
            containers
                .iter()
                .chain(init)
                .find(|container| container.name == name)
        }
        None => own,
    };
    let resource = &selector.resource;
    let invalid = |reason: &str| ConfigError::Invalid(format!("resource {resource:?}: {reason}"));
    let container = container.ok_or_else(|| invalid("there is no such container"))?;
    let (side, name) = resource
        .split_once('.')
        .ok_or_else(|| invalid("unknown resource"))?;
    let resources = container.resources.as_ref();
    let quantities: Option<&BTreeMap<String, Quantity>> = match side {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        "requests" => resources.and_then(|resources| resources.requests.as_ref()),
        _ => return Err(invalid("unknown resource")),
    };
    let quantity = match (
        quantities.and_then(|quantities| quantities.get(name)),
        side,
        name,
    ) {
        (Some(quantity), ..) => quantity.0.clone(),
        // What is not limited may use the whole node.
        (None, "limits", "cpu") => std::thread::available_parallelism()
            .map_or(1, NonZeroUsize::get)
            .to_string(),
        (None, "requests", _) => "0".into(),
        (None, ..) => return Err(invalid("the container sets no such limit")),
    };
    let divisor = selector
        .divisor
        .as_ref()
        .map_or("1", |divisor| divisor.0.as_str());
    let divisor = if matches!(divisor, "" | "0") {
        "1"
    } else {
        divisor
    };
    let value = quantity::divide(&quantity, divisor)
        .ok_or_else(|| invalid(&format!("{quantity:?} can't be divided by {divisor:?}")))?;
    Ok(value.to_string())
}

/// `x` of `prefix['x']`.
fn key_of<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix)?
        .strip_prefix("['")?
        .strip_suffix("']")
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let entries = map.into_iter().flatten();
    entries
        .map(|(key, value)| format!("{key}={value:?}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u",
                "labels": {"app.kubernetes.io/name": "x", "b": "2"},
                "annotations": {"note": "say \"hi\""},
            },
            "spec": {"containers": [
                {"name": "main", "resources": {
                    "requests": {"cpu": "250m"}, "limits": {"memory": "1Gi"}}},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn fields_are_those_of_the_pod() {
        let cases = [
            ("metadata.name", "p"),
            ("metadata.namespace", "n"),
            ("metadata.uid", "u"),
            ("metadata.labels['app.kubernetes.io/name']", "x"),
            ("metadata.labels['absent']", ""),
            ("metadata.annotations['note']", "say \"hi\""),
            ("metadata.labels", "app.kubernetes.io/name=\"x\"\nb=\"2\"\n"),
            ("metadata.annotations", "note=\"say \\\"hi\\\"\"\n"),
            ("spec.nodeName", "here"),
            ("spec.serviceAccountName", "default"),
            ("status.podIP", "127.0.0.1"),
        ];
        for (path, expected) in cases {
            assert_eq!(
                field(&pod(), path, "here").as_deref(),
                Ok(expected),
                "{path}"
            );
        }
        let unknown = field(&pod(), "spec.containers", "here")
            .unwrap_err()
            .to_string();
        assert_eq!(
            unknown,
            "field path \"spec.containers\" is not one the downward API has"
        );
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let value = |selector: serde_json::Value| {
            let pod = pod();
            let own = pod.spec.as_ref().map(|spec| &spec.containers[0]);
            let selector = serde_json::from_value(selector).unwrap();
            resource(&pod, own, &selector).map_err(|error| error.to_string())
        };
        assert_eq!(
            value(json!({"resource": "requests.cpu", "divisor": "1m"})),
            Ok("250".into())
        );
        assert_eq!(
            value(json!({"resource": "requests.cpu", "divisor": "0"})),
            Ok("1".into())
        );
        assert_eq!(
            value(json!({"resource": "limits.memory", "divisor": "1Mi"})),
            Ok("1024".into())
        );
        assert_eq!(
            value(json!({"resource": "requests.memory"})),
            Ok("0".into())
        );
        assert_eq!(
            value(json!({"resource": "limits.cpu", "containerName": "other"})),
            Err("resource \"limits.cpu\": there is no such container".into())
        );
    }
}
