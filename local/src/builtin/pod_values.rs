//! The values that fields of a pod can have: words, numbers, and what goes together.

use konductor_api::number::parse_quantity;
use serde_json::Value;

use crate::field::Path;
use crate::names;
use crate::status::Cause;

/// What a field can be.
enum Rule {
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A number between these, both included.
    Between(i64, i64),
    /// A number that is not negative.
    NotNegative,
    /// An amount, such as `1Gi`.
    Quantity,
    /// The permissions of a file.
    Mode,
}

use Rule::{Between, Mode, NotNegative, OneOf, Quantity};

const NOT_A_QUANTITY: &str = "quantities must match the regular expression \
                              '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const ID: Rule = Between(0, i32::MAX as i64);
const PORT: Rule = Between(1, 65_535);
const SECCOMP: Rule = OneOf(&["Localhost", "RuntimeDefault", "Unconfined"]);

/// Fields of a pod's spec, by the way to them; `*` is each element of a list.
const OF_A_POD: &[(&str, Rule)] = &[
    ("tolerations.*.operator", OneOf(&["Equal", "Exists"])),
    (
        "tolerations.*.effect",
        OneOf(&["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    ),
    (
        "topologySpreadConstraints.*.whenUnsatisfiable",
        OneOf(&["DoNotSchedule", "ScheduleAnyway"]),
    ),
    ("securityContext.runAsUser", ID),
    ("securityContext.runAsGroup", ID),
    ("securityContext.fsGroup", ID),
    ("securityContext.supplementalGroups.*", ID),
    (
        "securityContext.fsGroupChangePolicy",
        OneOf(&["Always", "OnRootMismatch"]),
    ),
    ("securityContext.seccompProfile.type", SECCOMP),
    ("volumes.*.configMap.defaultMode", Mode),
    ("volumes.*.secret.defaultMode", Mode),
    ("volumes.*.projected.defaultMode", Mode),
    ("volumes.*.emptyDir.sizeLimit", Quantity),
    (
        "volumes.*.ephemeral.volumeClaimTemplate.spec.resources.requests.storage",
        Quantity,
    ),
    (
        "volumes.*.hostPath.type",
        OneOf(&[
            "",
            "BlockDevice",
            "CharDevice",
            "Directory",
            "DirectoryOrCreate",
            "File",
            "FileOrCreate",
            "Socket",
        ]),
    ),
];

/// Fields of a container.
const OF_A_CONTAINER: &[(&str, Rule)] = &[
    ("restartPolicy", OneOf(&["Always", "Never", "OnFailure"])),
    ("ports.*.protocol", OneOf(&["SCTP", "TCP", "UDP"])),
    ("ports.*.hostPort", PORT),
    ("securityContext.runAsUser", ID),
    ("securityContext.runAsGroup", ID),
    ("securityContext.procMount", OneOf(&["Default", "Unmasked"])),
    ("securityContext.seccompProfile.type", SECCOMP),
    (
        "env.*.valueFrom.resourceFieldRef.resource",
        OneOf(&[
            "limits.cpu",
            "limits.ephemeral-storage",
            "limits.memory",
            "requests.cpu",
            "requests.ephemeral-storage",
            "requests.memory",
        ]),
    ),
];

/// Fields of its pod that a container can read as variables.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// The beginnings of those that name a label or an annotation.
const FIELD_MAPS: [&str; 2] = ["metadata.labels['", "metadata.annotations['"];

/// Fields of a probe.
const OF_A_PROBE: &[(&str, Rule)] = &[
    ("initialDelaySeconds", NotNegative),
    ("timeoutSeconds", NotNegative),
    ("periodSeconds", NotNegative),
    ("successThreshold", NotNegative),
    ("failureThreshold", NotNegative),
];

impl Rule {
    fn check(&self, value: &Value, path: &Path, causes: &mut Vec<Cause>) {
        match self {
            OneOf(words) => {
                // A field that is empty has its default.
                let word = value.as_str().filter(|word| !word.is_empty());
                if let Some(word) = word.filter(|word| !words.contains(word)) {
                    causes.push(path.not_supported(word, words));
                }
            }
            Between(least, most) => {
                let number = value.as_i64();
                if let Some(number) = number.filter(|number| !(least..=most).contains(&number)) {
                    let why = format!("must be between {least} and {most}, inclusive");
                    causes.push(path.invalid(number, why));
                }
            }
            Quantity => {
                let unsigned = value
                    .as_str()
                    .map(|text| text.trim_start_matches(['+', '-']));
                if unsigned.is_some_and(|text| parse_quantity(text).is_none()) {
                    causes.push(path.invalid(value.clone(), NOT_A_QUANTITY));
                }
            }
            Mode => {
                if let Some(mode) = value.as_i64().filter(|mode| !(0..=0o777).contains(mode)) {
                    let why = "must be a number between 0 and 0777 (octal), both inclusive";
                    causes.push(path.invalid(mode, why));
                }
            }
            NotNegative => {
                if let Some(number) = value.as_i64().filter(|number| *number < 0) {
                    causes.push(path.invalid(number, "must be greater than or equal to 0"));
                }
            }
        }
    }
}

/// What is wrong with the values of a pod's spec, its containers aside.
pub(super) fn validate_pod(spec: &Value, path: &Path, causes: &mut Vec<Cause>) {
    check(spec, path, OF_A_POD, causes);
    visit(spec, "tolerations.*", path, &mut |toleration, path| {
        validate_toleration(toleration, path, causes);
    });
    let terms = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.\
                 nodeSelectorTerms.*.matchExpressions.*";
    let preferred = "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution.*.\
                     preference.matchExpressions.*";
    for way in [terms, preferred] {
        visit(spec, way, path, &mut |requirement, path| {
            validate_requirement(requirement, path, causes);
        });
    }
}

/// What is wrong with an amount of a resource.
pub(super) fn validate_amount(name: &str, amount: &Value, path: &Path, causes: &mut Vec<Cause>) {
    Quantity.check(amount, path, causes);
    let text = match amount {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let below_zero = text.strip_prefix('-').and_then(parse_quantity);
    if below_zero.is_some_and(|less| less > 0) {
        causes.push(path.invalid(&*text, "must be greater than or equal to 0"));
    }
    // Billionths of a device.
    let is_part = |quantity: i128| quantity % 1_000_000_000 != 0;
    if name.contains('/') && parse_quantity(&text).is_some_and(is_part) {
        causes.push(path.invalid(text, "must be an integer"));
    }
}

/// What is wrong with the values of a container.
pub(super) fn validate_container(container: &Value, path: &Path, causes: &mut Vec<Cause>) {
    check(container, path, OF_A_CONTAINER, causes);
    let image = text(container, "image");
    if image.trim() != image {
        let why = "must not have leading or trailing whitespace";
        causes.push(path.child("image").invalid(image, why));
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        visit(container, probe, path, &mut |value, path| {
            check(value, path, OF_A_PROBE, causes);
            let kinds = ["exec", "httpGet", "tcpSocket", "grpc"];
            validate_handler(value, &kinds, path, causes);
            let successes = value["successThreshold"].as_i64();
            if let Some(other) = successes.filter(|number| *number > 1)
                && probe != "readinessProbe"
            {
                let path = path.child("successThreshold");
                causes.push(path.invalid(other, "must be 1"));
            }
        });
    }
    for hook in ["lifecycle.postStart", "lifecycle.preStop"] {
        visit(container, hook, path, &mut |value, path| {
            let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
            validate_handler(value, &kinds, path, causes);
        });
    }
    validate_env_from(&container["envFrom"], &path.child("envFrom"), causes);
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        let way = format!("env.*.valueFrom.{kind}.key");
        visit(container, &way, path, &mut |key, path| {
            let key = key.as_str().unwrap_or_default();
            if !key.is_empty() {
                let mistakes = names::config_key(key).into_iter();
                causes.extend(mistakes.map(|why| path.invalid(key, why)));
            }
        });
    }
    let way = "env.*.valueFrom.fieldRef.fieldPath";
    visit(container, way, path, &mut |field, path| {
        let field = field.as_str().unwrap_or_default();
        let is_entry = FIELD_MAPS.iter().any(|map| field.starts_with(map));
        if !field.is_empty() && !is_entry && !FIELDS.contains(&field) {
            let why = format!("error converting fieldPath: field label not supported: {field}");
            causes.push(path.invalid(field, why));
        }
    });
    let mounts = container["volumeMounts"].as_array();
    for mount in mounts.into_iter().flatten() {
        // Kubernetes names these without the mount's place.
        let path = path.child("volumeMounts");
        let propagation = &mount["mountPropagation"];
        OneOf(&["Bidirectional", "HostToContainer", "None"]).check(
            propagation,
            &path.child("mountPropagation"),
            causes,
        );
        let place = text(mount, "subPath");
        if place.starts_with('/') {
            let why = "must be a relative path";
            causes.push(path.child("subPath").invalid(place, why));
        }
        if place.split('/').any(|part| part == "..") {
            let why = "must not contain '..'";
            causes.push(path.child("subPath").invalid(place, why));
        }
    }
}

fn validate_toleration(toleration: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let [key, operator, value, effect] =
        ["key", "operator", "value", "effect"].map(|field| text(toleration, field));
    if key.is_empty() && operator != "Exists" {
        let why = "operator must be Exists when `key` is empty, which means \"match all values \
                   and all keys\"";
        causes.push(path.child("operator").invalid(operator, why));
    }
    if operator == "Exists" && !value.is_empty() {
        let why = "value must be empty when `operator` is 'Exists'";
        causes.push(path.child("operator").invalid(value, why));
    }
    if !toleration["tolerationSeconds"].is_null() && effect != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        causes.push(path.child("effect").invalid(effect, why));
    }
}

/// A requirement on the labels of a node.
fn validate_requirement(requirement: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let operator = text(requirement, "operator");
    let count = requirement["values"].as_array().map_or(0, Vec::len);
    let values = path.child("values");
    match operator {
        "In" | "NotIn" if count == 0 => {
            let why = "must be specified when `operator` is 'In' or 'NotIn'";
            causes.push(values.required(why));
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            causes.push(values.forbidden(why));
        }
        "Gt" | "Lt" if count != 1 => {
            let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            causes.push(values.required(why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        _ => {
            let path = path.child("operator");
            causes.push(path.invalid(operator, "not a valid selector operator"));
        }
    }
}

/// What a probe or a hook does: one of several kinds of things.
fn validate_handler(handler: &Value, kinds: &[&str], path: &Path, causes: &mut Vec<Cause>) {
    let mut given = kinds.iter().filter(|kind| !handler[**kind].is_null());
    let Some(first) = given.next() else {
        causes.push(path.required("must specify a handler type"));
        return;
    };
    for other in given {
        let why = "may not specify more than 1 handler type";
        causes.push(path.child(other).forbidden(why));
    }
    let path = path.child(first);
    let value = &handler[*first];
    match *first {
        "exec" if value["command"].as_array().is_none_or(Vec::is_empty) => {
            causes.push(path.child("command").required(""));
        }
        "httpGet" | "tcpSocket" => PORT.check(&value["port"], &path.child("port"), causes),
        _ => {}
    }
}

fn validate_env_from(sources: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let sources = sources.as_array().into_iter().flatten();
    for (index, source) in sources.enumerate() {
        let references = ["configMapRef", "secretRef"];
        let given: Vec<&str> = references
            .into_iter()
            .filter(|kind| !source[*kind].is_null())
            .collect();
        match given[..] {
            [] => {
                let why = "must specify one of: `configMapRef` or `secretRef`";
                causes.push(path.invalid("", why));
            }
            [_] => {}
            _ => {
                let why = "may not have more than one field specified at a time";
                causes.push(path.invalid("", why));
            }
        }
        for kind in given {
            let path = path.index(index).child(kind).child("name");
            let name = text(&source[kind], "name");
            if name.is_empty() {
                causes.push(path.required(""));
            } else {
                let mistakes = names::subdomain(name).into_iter();
                causes.extend(mistakes.map(|why| path.invalid(name, why)));
            }
        }
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn check(value: &Value, path: &Path, fields: &[(&str, Rule)], causes: &mut Vec<Cause>) {
    for (way, rule) in fields {
        visit(value, way, path, &mut |value, path| {
            rule.check(value, path, causes);
        });
    }
}

/// Shows each value that there is at the end of a way.
fn visit(value: &Value, way: &str, path: &Path, show: &mut dyn FnMut(&Value, &Path)) {
    let (first, rest) = match way.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (way, None),
    };
    let mut next = |value: &Value, path: Path| match rest {
        Some(rest) => visit(value, rest, &path, show),
        None => show(value, &path),
    };
    if first == "*" {
        for (index, value) in value.as_array().into_iter().flatten().enumerate() {
            next(value, path.index(index));
        }
    } else if let Some(value) = value.get(first).filter(|value| !value.is_null()) {
        next(value, path.child(first));
    }
}
