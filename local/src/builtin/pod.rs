//! The rules of pods and of pod templates.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use konductor_api::number::parse_quantity;
use serde_json::{Map, Value, json};

use super::{pod_defaults, pod_values};
use crate::definition::{NO_RULES, Rules};
use crate::field::Path;
use crate::names;
use crate::status::Cause;

const CHANGEABLE: &str = "pod updates may not change fields other than \
    `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) const RULES: Rules = Rules {
    default: pod_defaults::pod,
    prepare_create,
    validate: |pod| validate_spec(&pod["spec"], &Path::new("spec")),
    validate_update,
    ..NO_RULES
};

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn prepare_create(pod: &mut Value) {
    pod["status"] = json!({"phase": "Pending", "qosClass": qos_class(&pod["spec"])});
}

/// How a pod is treated where a node runs short.
fn qos_class(spec: &Value) -> &'static str {
    let containers: Vec<_> = items(&spec["containers"])
        .iter()
        .chain(items(&spec["initContainers"]))
        .collect();
    let of =
        |container: &Value, kind: &str, name: &str| container["resources"][kind].get(name).cloned();
    let asks = |container: &&Value| {
        ["cpu", "memory"].iter().any(|name| {
            of(container, "requests", name).is_some() || of(container, "limits", name).is_some()
        })
    };
    let guaranteed = |container: &&Value| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = of(container, "limits", name);
            limit.is_some() && of(container, "requests", name) == limit
        })
    };
    if !containers.iter().any(asks) {
        return "BestEffort";
    }
    if containers.iter().all(guaranteed) {
        return "Guaranteed";
    }
    "Burstable"
}

/// What is wrong with a pod template.
pub(super) fn validate_template(template: &Value, path: &Path) -> Vec<Cause> {
    let metadata = path.child("metadata");
    let mut causes =
        crate::metadata::validate_labels(&template["metadata"]["labels"], &path.child("labels"));
    causes.extend(crate::metadata::validate_annotations(
        &template["metadata"]["annotations"],
        &metadata.child("annotations"),
    ));
    causes.extend(validate_spec(&template["spec"], &path.child("spec")));
    causes
}

/// What is wrong with the spec of a pod.
pub(super) fn validate_spec(spec: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let volumes = validate_volumes(&spec["volumes"], &path.child("volumes"), &mut causes);
    let containers = items(&spec["containers"]);
    if containers.is_empty() {
        causes.push(path.child("containers").required(""));
    }
    let mut names = BTreeSet::new();
    for (field, containers) in [
        ("containers", containers),
        ("initContainers", items(&spec["initContainers"])),
    ] {
        for (index, container) in containers.iter().enumerate() {
            let path = path.child(field).index(index);
            validate_container(container, &volumes, &path, &mut causes);
            if field == "initContainers" {
                validate_init_container(container, &path, &mut causes);
            }
            let name = text(container, "name");
            if !names.insert(name) {
                causes.push(path.child("name").duplicate(name));
            }
        }
    }
    pod_values::validate_pod(spec, path, &mut causes);
    let policies = ["Always", "OnFailure", "Never"];
    one_of(spec, "restartPolicy", &policies, path, &mut causes);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(spec, "dnsPolicy", &policies, path, &mut causes);
    let selector = &spec["nodeSelector"];
    causes.extend(crate::metadata::validate_labels(
        selector,
        &path.child("nodeSelector"),
    ));
    let account = text(spec, "serviceAccountName");
    if !account.is_empty() {
        let path = path.child("serviceAccountName");
        let mistakes = names::subdomain(account).into_iter();
        causes.extend(mistakes.map(|why| path.invalid(account, why)));
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64()
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let why = format!("must be between 1 and {}, inclusive", i32::MAX);
        causes.push(path.child("activeDeadlineSeconds").invalid(seconds, why));
    }
    for field in ["hostname", "subdomain"] {
        label_or_nothing(text(spec, field), &path.child(field), &mut causes);
    }
    causes
}

fn label_or_nothing(name: &str, path: &Path, causes: &mut Vec<Cause>) {
    if !name.is_empty() {
        let mistakes = names::label(name).into_iter();
        causes.extend(mistakes.map(|why| path.invalid(name, why)));
    }
}

fn required_label(name: &str, path: &Path, causes: &mut Vec<Cause>) {
    if name.is_empty() {
        causes.push(path.required(""));
    }
    label_or_nothing(name, path, causes);
}

fn one_of(value: &Value, field: &str, choices: &[&str], path: &Path, causes: &mut Vec<Cause>) {
    let choice = text(value, field);
    let path = path.child(field);
    if choice.is_empty() {
        causes.push(path.required(""));
    } else if !choices.contains(&choice) {
        causes.push(path.not_supported(choice, choices));
    }
}

fn validate_volumes<'a>(
    volumes: &'a Value,
    path: &Path,
    causes: &mut Vec<Cause>,
) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (index, volume) in items(volumes).iter().enumerate() {
        let path = path.index(index);
        let name = text(volume, "name");
        let before = causes.len();
        validate_source(volume, &path, causes);
        required_label(name, &path.child("name"), causes);
        if names.contains(name) {
            causes.push(path.child("name").duplicate(name));
        }
        if causes.len() == before {
            names.insert(name);
        }
    }
    names
}

/// A volume has one source.
fn validate_source(volume: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let sources = volume.as_object().into_iter().flatten();
    let mut sources = sources.filter(|(key, _)| *key != "name");
    let Some((kind, source)) = sources.next() else {
        causes.push(path.required("must specify a volume type"));
        return;
    };
    for (kind, _) in sources {
        let why = "may not specify more than 1 volume type";
        causes.push(path.child(kind).forbidden(why));
    }
    let required = match kind.as_str() {
        "configMap" => "name",
        "secret" => "secretName",
        "persistentVolumeClaim" => "claimName",
        "hostPath" => "path",
        _ => return,
    };
    if text(source, required).is_empty() {
        causes.push(path.child(kind).child(required).required(""));
    }
}

fn validate_container(
    container: &Value,
    volumes: &BTreeSet<&str>,
    path: &Path,
    causes: &mut Vec<Cause>,
) {
    pod_values::validate_container(container, path, causes);
    required_label(text(container, "name"), &path.child("name"), causes);
    if text(container, "image").is_empty() {
        causes.push(path.child("image").required(""));
    }
    let policies = ["File", "FallbackToLogsOnError"];
    one_of(
        container,
        "terminationMessagePolicy",
        &policies,
        path,
        causes,
    );
    validate_env(&container["env"], &path.child("env"), causes);
    validate_mounts(
        &container["volumeMounts"],
        volumes,
        &path.child("volumeMounts"),
        causes,
    );
    let policies = ["Always", "IfNotPresent", "Never"];
    one_of(container, "imagePullPolicy", &policies, path, causes);
    validate_resources(&container["resources"], &path.child("resources"), causes);
    for (index, port) in items(&container["ports"]).iter().enumerate() {
        let path = path.child("ports").index(index).child("containerPort");
        match port["containerPort"].as_i64() {
            None | Some(0) => causes.push(path.required("")),
            Some(1..=65_535) => {}
            Some(other) => {
                causes.push(path.invalid(other, "must be between 1 and 65535, inclusive"));
            }
        }
    }
}

/// What a container requests and may use: known resources, and no request above its limit. Resources of devices, such
/// as `nvidia.com/gpu`, can't be overcommitted.
fn validate_resources(resources: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let none = Map::new();
    let [limits, requests] =
        ["limits", "requests"].map(|field| resources[field].as_object().unwrap_or(&none));
    for (field, amounts) in [("limits", limits), ("requests", requests)] {
        for (name, amount) in amounts {
            let path = path.child(field).key(name);
            pod_values::validate_amount(name, amount, &path, causes);
            let is_standard = matches!(&**name, "cpu" | "memory" | "ephemeral-storage")
                || name.starts_with("hugepages-");
            if !name.contains('/') && !is_standard {
                let why = "must be a standard resource for containers";
                causes.push(path.invalid(name.as_str(), why));
            }
        }
    }
    let amount = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    for (name, request) in requests {
        let is_device = name.contains('/') && !name.contains("kubernetes.io/")
            || name.starts_with("hugepages-");
        let Some(limit) = limits.get(name) else {
            if is_device {
                let why = "Limit must be set for non overcommitable resources";
                causes.push(path.child("limits").required(why));
            }
            continue;
        };
        let (Some(request), Some(limit)) = (amount(request), amount(limit)) else {
            continue;
        };
        let (Some(requested), Some(limited)) = (parse_quantity(&request), parse_quantity(&limit))
        else {
            continue;
        };
        let relation = match requested.cmp(&limited) {
            Ordering::Equal => continue,
            _ if is_device => "equal to",
            Ordering::Greater => "less than or equal to",
            Ordering::Less => continue,
        };
        let why = format!("must be {relation} {name} limit of {limit}");
        causes.push(path.child("requests").invalid(request, why));
    }
}

fn validate_init_container(container: &Value, path: &Path, causes: &mut Vec<Cause>) {
    if text(container, "restartPolicy") == "Always" {
        return;
    }
    for field in [
        "lifecycle",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
    ] {
        if !container[field].is_null() {
            let why = "may not be set for init containers without restartPolicy=Always";
            causes.push(path.child(field).forbidden(why));
        }
    }
}

fn validate_env(env: &Value, path: &Path, causes: &mut Vec<Cause>) {
    for (index, variable) in items(env).iter().enumerate() {
        let path = path.index(index);
        let name = text(variable, "name");
        if name.is_empty() {
            causes.push(path.child("name").required(""));
        } else if !name
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=')
        {
            let why = "a valid environment variable name must consist only of printable ASCII \
                       characters other than '='";
            causes.push(path.child("name").invalid(name, why));
        }
        let Some(source) = variable["valueFrom"].as_object() else {
            continue;
        };
        let path = path.child("valueFrom");
        if source.is_empty() {
            let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, \
                       `secretKeyRef` or `fileKeyRef`";
            causes.push(path.invalid("", why));
        } else if !text(variable, "value").is_empty() {
            causes.push(path.invalid("", "may not be specified when `value` is not empty"));
        } else if source.len() > 1 {
            let why = "may not have more than one field specified at a time";
            causes.push(path.invalid("", why));
        }
        for kind in ["configMapKeyRef", "secretKeyRef"] {
            if let Some(reference) = source.get(kind)
                && text(reference, "key").is_empty()
            {
                causes.push(path.child(kind).child("key").required(""));
            }
        }
        if let Some(reference) = source.get("fieldRef")
            && text(reference, "fieldPath").is_empty()
        {
            causes.push(path.child("fieldRef").child("fieldPath").required(""));
        }
    }
}

fn validate_mounts(mounts: &Value, volumes: &BTreeSet<&str>, path: &Path, causes: &mut Vec<Cause>) {
    let mut places = BTreeSet::new();
    for (index, mount) in items(mounts).iter().enumerate() {
        let path = path.index(index);
        let (name, place) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            causes.push(path.child("name").required(""));
        }
        if !volumes.contains(name) {
            causes.push(path.child("name").not_found(name));
        }
        if place.is_empty() {
            causes.push(path.child("mountPath").required(""));
        }
        if !places.insert(place) {
            causes.push(path.child("mountPath").invalid(place, "must be unique"));
        }
    }
}

fn validate_update(pod: &Value, old: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let (spec, old) = (&pod["spec"], &old["spec"]);
    for field in ["containers", "initContainers"] {
        if items(&spec[field]).len() != items(&old[field]).len() {
            let why = "pod updates may not add or remove containers";
            return vec![path.child(field).forbidden(why)];
        }
    }
    let mut causes = Vec::new();
    let deadline = path.child("activeDeadlineSeconds");
    let seconds = |spec: &Value| spec["activeDeadlineSeconds"].as_i64();
    match (seconds(old), seconds(spec)) {
        (Some(before), Some(after)) if after > before => {
            let why = "must be less than or equal to previous value";
            causes.push(deadline.invalid(after, why));
        }
        (Some(_), None) => {
            let why = "must not update from a positive integer to nil value";
            causes.push(deadline.invalid(Value::Null, why));
        }
        _ => {}
    }
    let tolerations = items(&spec["tolerations"]);
    let kept = items(&old["tolerations"])
        .iter()
        .all(|toleration| tolerations.contains(toleration));
    if !kept {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        causes.push(path.child("tolerations").forbidden(why));
    }
    if comparable(spec) != comparable(old) {
        causes.push(path.forbidden(CHANGEABLE));
    }
    causes
}

/// A pod's spec without what may change.
fn comparable(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for field in ["containers", "initContainers"] {
        for container in spec[field].as_array_mut().into_iter().flatten() {
            container["image"] = Value::Null;
        }
    }
    if let Some(fields) = spec.as_object_mut() {
        for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
            fields.shift_remove(field);
        }
    }
    spec
}
