//! Patches: from an object as it is to the object as a client wants it.
//!
//! A patch as a client sent it enters; the changed object leaves. Whether that is a valid object is
//! not decided here.

mod strategic;

use json_patch::PatchOperation;
use serde_json::Value;

use crate::definition::{Definition, Nature};
use crate::schema::Schema;
use crate::status::{Details, Reason, Status};

/// The most operations of a JSON patch, as on a real server.
const OPERATIONS_MAX: usize = 10_000;
/// How many bytes of JSON the copies of a JSON patch add together, as on a real server.
const COPIED_MAX: usize = 3 * 1024 * 1024;

/// How a patch is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchType {
    /// The patch that a media type means, if the kind takes it.
    pub(crate) fn parse(media: &str, definition: &Definition) -> Result<Self, Status> {
        let builtin = matches!(definition.nature, Nature::Builtin(_));
        match media {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" if builtin => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ => {
                let mut media_types = vec![
                    "application/json-patch+json",
                    "application/merge-patch+json",
                ];
                if builtin {
                    media_types.push("application/strategic-merge-patch+json");
                }
                media_types.push("application/apply-patch+yaml");
                if builtin {
                    let message = "415: Unsupported Media Type";
                    return Err(Status::of_route(Reason::UnsupportedMediaType, message));
                }
                Err(Status::new(
                    Reason::UnsupportedMediaType,
                    format!(
                        "the body of the request was in an unknown format - accepted media types \
                         include: {}",
                        media_types.join(", ")
                    ),
                ))
            }
        }
    }
}

/// A patch.
#[derive(Clone, Debug)]
pub(crate) enum Patch {
    Json(json_patch::Patch),
    Merge(Value),
    Strategic(Value),
    Apply(Value),
}

impl Patch {
    pub(crate) fn read(kind: PatchType, body: &[u8]) -> Result<Self, Status> {
        let json = || {
            serde_json::from_slice::<Value>(body)
                .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))
        };
        let object = || match json()? {
            object @ Value::Object(_) => Ok(object),
            _ => Err(Status::bad_request(
                "error decoding patch: not a JSON object",
            )),
        };
        match kind {
            PatchType::Json => {
                if !json()?.is_array() {
                    return Err(Status::bad_request(
                        "error decoding patch: json: cannot unmarshal object into Go value of \
                         type []handlers.jsonPatchOp",
                    ));
                }
                let patch: json_patch::Patch =
                    serde_json::from_value(json()?).map_err(|error| {
                        Status::bad_request(format!("error decoding patch: {error}"))
                    })?;
                if patch.0.len() > OPERATIONS_MAX {
                    return Err(Status::new(
                        Reason::RequestEntityTooLarge,
                        format!(
                            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, \
                             got {}",
                            patch.0.len()
                        ),
                    ));
                }
                Ok(Self::Json(patch))
            }
            PatchType::Merge => Ok(Self::Merge(object()?)),
            PatchType::Strategic => Ok(Self::Strategic(object()?)),
            PatchType::Apply => match read_yaml(body)? {
                object @ Value::Object(_) => Ok(Self::Apply(object)),
                _ => Err(Status::bad_request("error decoding YAML: not an object")),
            },
        }
    }

    /// The object after the patch.
    pub(crate) fn change(&self, object: &Value, schema: &Schema) -> Result<Value, Status> {
        let mut object = object.clone();
        match self {
            Patch::Json(patch) => change_one_by_one(&mut object, patch)?,
            Patch::Merge(patch) => json_patch::merge(&mut object, patch),
            Patch::Strategic(patch) => {
                strategic::merge(&mut object, patch.clone(), schema)
                    .map_err(Status::bad_request)?;
            }
            Patch::Apply(_) => {
                return Err(Status::internal("an apply is merged with managed fields"));
            }
        }
        Ok(object)
    }
}

/// Each copy may double an object, so what they add together is limited, as a real API server limits it.
fn change_one_by_one(object: &mut Value, patch: &json_patch::Patch) -> Result<(), Status> {
    let mut copied = 0;
    for operation in &patch.0 {
        if let PatchOperation::Copy(copy) = operation
            && let Some(value) = object.pointer(copy.from.as_str())
        {
            copied += value.to_string().len();
            if copied > COPIED_MAX {
                return Err(Status::new(
                    Reason::RequestEntityTooLarge,
                    format!(
                        "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding \
                         the limit {COPIED_MAX}"
                    ),
                ));
            }
        }
        json_patch::patch(object, std::slice::from_ref(operation)).map_err(|_| rejected())?;
    }
    Ok(())
}

/// The answer to a JSON patch whose operations don't fit the object.
fn rejected() -> Status {
    let mut status = Status::new(
        Reason::Invalid,
        "the server rejected our request due to an error in our request",
    );
    status.details = Some(Box::new(Details::default()));
    status
}

/// Reads YAML, of which JSON is a part.
pub(crate) fn read_yaml(body: &[u8]) -> Result<Value, Status> {
    // Nearly every client sends JSON, which is read faster as such.
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let invalid = |error: &dyn std::fmt::Display| {
        Status::bad_request(format!("error decoding YAML: {error}"))
    };
    let text = std::str::from_utf8(body).map_err(|error| invalid(&error))?;
    serde_saphyr::from_str(text).map_err(|error| invalid(&error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn copies_that_double_an_object_again_and_again_are_refused() {
        let copy = json!({"op": "copy", "from": "/spec/x", "path": "/spec/x/0"});
        let schema = Schema::default();
        let object = json!({"spec": {"x": ["a value"]}});
        for (copies, fits) in [(10, true), (60, false)] {
            let body = Value::from(vec![copy.clone(); copies]).to_string();
            let patch = Patch::read(PatchType::Json, body.as_bytes()).expect("a patch");
            match patch.change(&object, &schema) {
                Ok(changed) => assert!(fits, "{} bytes", changed.to_string().len()),
                Err(status) => {
                    assert!(!fits, "{status:?}");
                    assert_eq!(status.code, 413);
                }
            }
        }
    }
}
