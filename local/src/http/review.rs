//! What clients ask about themselves: who they are, and what they may do.
//!
//! Whoever has the kubeconfig may do everything, and nobody else gets in: roles are stored, and have no effect.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Call, respond};
use crate::kind;
use crate::status::Status;

const REASON: &str =
    "whoever has the kubeconfig may do everything; roles are stored and have no effect";

/// Answers a review; nothing is stored.
pub(super) fn answer(call: &Call, body: &[u8]) -> Result<Response, Status> {
    let mut review = call.read_object(body, None)?;
    let resource = &call.definition.kind.resource;
    review["status"] = if *resource == kind::SELF_SUBJECT_REVIEW.resource {
        json!({"userInfo": {
            "username": "local",
            "groups": ["system:masters", "system:authenticated"],
            "extra": {crate::NO_USERS: ["whoever has the kubeconfig"]},
        }})
    } else if *resource == kind::SELF_SUBJECT_RULES_REVIEW.resource {
        rules()
    } else {
        json!({"allowed": true, "reason": REASON})
    };
    Ok(respond::json(StatusCode::CREATED, review.to_string()))
}

fn rules() -> Value {
    json!({
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "incomplete": false,
    })
}
