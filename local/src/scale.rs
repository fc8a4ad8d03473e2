//! The scale subresource: how many of something there are to be.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use crate::field::Path;
use crate::kind::Kind;
use crate::metadata;
use crate::schema::{self, Schema};
use crate::status::Status;
use crate::subresource::ScalePaths;

const SCALE: Kind = Kind::namespaced("autoscaling", "v1", "Scale", "scales");

/// The schema of a Scale.
pub(crate) static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    schema::builtin::schema("io.k8s.api.autoscaling.v1.Scale").unwrap_or_default()
});

/// The Scale of an object.
pub(crate) fn of(value: &Value, paths: &ScalePaths) -> Value {
    let mut own = json!({});
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if !metadata::text(value, field).is_empty() {
            own[field] = metadata::text(value, field).into();
        }
    }
    let number = |path: &str| {
        find(value, path)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    };
    let mut status = json!({"replicas": number(&paths.status_replicas)});
    let selector = paths.label_selector.as_deref();
    if let Some(selector) = selector.and_then(|path| find(value, path)) {
        status["selector"] = selector.clone();
    }
    let mut spec = json!({});
    let replicas = number(&paths.spec_replicas);
    if replicas != 0 {
        spec["replicas"] = replicas.into();
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": own,
        "spec": spec,
        "status": status,
    })
}

/// Sets the replicas of an object to those of a Scale.
pub(crate) fn set(value: &mut Value, paths: &ScalePaths, scale: &Value) -> Result<(), Status> {
    let replicas = &scale["spec"]["replicas"];
    let replicas = match replicas {
        Value::Null => 0,
        other => other.as_i64().ok_or_else(|| {
            Status::bad_request("spec.replicas of a Scale is an integer, and this is none")
        })?,
    };
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        let cause = path.invalid(replicas, "must be greater than or equal to 0");
        return Err(Status::invalid(&SCALE, metadata::name(value), vec![cause]));
    }
    let mut place = value;
    for name in segments(&paths.spec_replicas) {
        let Some(fields) = place.as_object_mut() else {
            let why = format!("{} is not in an object", paths.spec_replicas);
            return Err(Status::bad_request(why));
        };
        place = fields.entry(name).or_insert_with(|| json!({}));
    }
    *place = replicas.into();
    Ok(())
}

fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    segments(path).try_fold(value, |value, name| value.get(name))
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.trim_start_matches('.').split('.')
}
