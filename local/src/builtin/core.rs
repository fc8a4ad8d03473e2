//! The rules of the smaller kinds.

use serde_json::{Value, json};

use super::pod_defaults::default;
use crate::definition::{NO_RULES, Rules};
use crate::encoding;
use crate::field::Path;
use crate::metadata;
use crate::names;
use crate::status::Cause;

/// The finalizer that a namespace has until it is empty.
pub(crate) const KUBERNETES: &str = "kubernetes";
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const DATA_BYTES_MAX: usize = 1024 * 1024;

pub(super) const NAMESPACE: Rules = Rules {
    default: label_with_name,
    prepare_create: |namespace| {
        namespace["spec"] = json!({"finalizers": [KUBERNETES]});
        namespace["status"] = json!({"phase": "Active"});
        label_with_name(namespace);
    },
    prepare_update: |namespace, old| {
        namespace["spec"] = old["spec"].clone();
    },
    ..NO_RULES
};

fn label_with_name(namespace: &mut Value) {
    let name = metadata::name(namespace).to_owned();
    if name.is_empty() || !namespace["metadata"].is_object() {
        return;
    }
    if !namespace["metadata"]["labels"].is_object() {
        namespace["metadata"]["labels"] = json!({});
    }
    namespace["metadata"]["labels"][NAME_LABEL] = name.into();
}

pub(super) const SECRET: Rules = Rules {
    default: |secret| {
        default(secret, "type", "Opaque");
        encode_texts(secret);
    },
    validate: |secret| {
        let mut causes = validate_data(secret, &["data"]);
        let data = secret["data"].as_object().into_iter().flatten();
        causes.extend(data.filter_map(|(key, value)| {
            let value = value.as_str().unwrap_or_default();
            let path = Path::new("data").key(key);
            (!encoding::is_base64(value)).then(|| path.invalid("<redacted>", "illegal base64 data"))
        }));
        causes
    },
    validate_update: |secret, old| {
        let mut causes = validate_immutable(secret, old, &["data"]);
        if secret["type"] != old["type"] {
            let path = Path::new("type");
            causes.push(path.invalid(secret["type"].clone(), "field is immutable"));
        }
        causes
    },
    ..NO_RULES
};

/// `stringData` is written, and never read: it becomes `data`.
fn encode_texts(secret: &mut Value) {
    let Some(fields) = secret.as_object_mut() else {
        return;
    };
    let Some(Value::Object(texts)) = fields.shift_remove("stringData") else {
        return;
    };
    let data = fields.entry("data").or_insert_with(|| json!({}));
    for (key, text) in texts {
        let encoded = encoding::base64(text.as_str().unwrap_or_default().as_bytes());
        if let Some(data) = data.as_object_mut() {
            data.insert(key, encoded.into());
        }
    }
}

pub(super) const CONFIG_MAP: Rules = Rules {
    validate: |config_map| validate_data(config_map, &["data", "binaryData"]),
    validate_update: |config_map, old| validate_immutable(config_map, old, &["data", "binaryData"]),
    ..NO_RULES
};

fn validate_data(object: &Value, fields: &[&str]) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut bytes = 0;
    for field in fields {
        for (key, value) in object[*field].as_object().into_iter().flatten() {
            let path = Path::new(field).key(key);
            bytes += value.as_str().unwrap_or_default().len();
            let mistakes = names::config_key(key).into_iter();
            causes.extend(mistakes.map(|why| path.invalid(key.as_str(), why)));
            if *field == "data" && !object["binaryData"][key.as_str()].is_null() {
                let why = "duplicate of key present in binaryData";
                causes.push(path.invalid(key.as_str(), why));
            }
        }
    }
    if bytes > DATA_BYTES_MAX {
        causes.push(Path::new(fields[0]).too_long(DATA_BYTES_MAX));
    }
    causes
}

fn validate_immutable(object: &Value, old: &Value, fields: &[&str]) -> Vec<Cause> {
    if old["immutable"] != true {
        return Vec::new();
    }
    let mut causes = Vec::new();
    if object["immutable"] != true {
        let why = "field is immutable when `immutable` is set";
        causes.push(Path::new("immutable").forbidden(why));
    }
    for field in fields {
        if object[*field] != old[*field] {
            let why = "field is immutable when `immutable` is set";
            causes.push(Path::new(field).forbidden(why));
        }
    }
    causes
}

pub(super) const PERSISTENT_VOLUME_CLAIM: Rules = Rules {
    default: |claim| {
        if let Some(spec) = claim.get_mut("spec") {
            default(spec, "volumeMode", "Filesystem");
        }
        if !claim["status"].is_object() {
            claim["status"] = json!({});
        }
        default(&mut claim["status"], "phase", "Pending");
    },
    prepare_create: |claim| {
        claim["status"] = json!({"phase": "Pending"});
    },
    validate: |claim| {
        let path = Path::new("spec");
        let mut causes = Vec::new();
        let modes = claim["spec"]["accessModes"].as_array();
        if modes.is_none_or(Vec::is_empty) {
            let why = "at least 1 access mode is required";
            causes.push(path.child("accessModes").required(why));
        }
        if claim["spec"]["resources"]["requests"]["storage"].is_null() {
            causes.push(path.child("resources").key("storage").required(""));
        }
        causes
    },
    ..NO_RULES
};

pub(super) const RESOURCE_QUOTA: Rules = Rules {
    warn: |_, old| match old {
        None => vec!["quotas are stored and have no effect in this cluster".to_owned()],
        Some(_) => Vec::new(),
    },
    ..NO_RULES
};

pub(super) const LEASE: Rules = Rules {
    validate: |lease| {
        let path = Path::new("spec");
        let spec = &lease["spec"];
        let mut causes = Vec::new();
        if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|n| *n <= 0) {
            let path = path.child("leaseDurationSeconds");
            causes.push(path.invalid(seconds, "must be greater than 0"));
        }
        if let Some(count) = spec["leaseTransitions"].as_i64().filter(|n| *n < 0) {
            let path = path.child("leaseTransitions");
            causes.push(path.invalid(count, "must be greater than or equal to 0"));
        }
        causes
    },
    ..NO_RULES
};
