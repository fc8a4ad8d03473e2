//! Custom resources: what their definitions say about them, and whether objects keep to it.
//!
//! A CustomResourceDefinition enters; kinds that can be served leave, whose objects are checked by
//! schema and by rules, with the messages of the real server.

mod constraints;
pub(crate) mod crd;
mod definition_rules;
mod format;
mod lists;
mod old;
mod rules;

use std::sync::Arc;

use serde_json::Value;

use crate::field::Path;
use crate::json_path::JsonPath;
use crate::schema::Schema;
use crate::status::Cause;
use crate::subresource::{ScalePaths, Subresource};
use constraints::Constraints;
use rules::RuleTree;

/// What a CustomResourceDefinition says about the objects of one version.
#[derive(Debug)]
pub(crate) struct Custom {
    /// The schema as it was written.
    source: Value,
    constraints: Constraints,
    rules: RuleTree,
}

impl Custom {
    pub(crate) fn source(&self) -> &Value {
        &self.source
    }

    /// What is wrong with a new object, its metadata aside.
    pub(crate) fn validate_create(
        &self,
        schema: &Arc<Schema>,
        scale: Option<&ScalePaths>,
        value: &Value,
    ) -> Vec<Cause> {
        let mut causes = Vec::new();
        self.constraints
            .check(value, None, "", &Path::default(), &mut causes);
        causes.extend(validate_scale(scale, value));
        lists::check(value, schema, &Path::default(), &mut causes);
        self.check_rules(schema, value, None, &mut causes);
        causes
    }

    /// What is wrong with a change, that of metadata aside. What is as it was is not held against
    /// the object, except by rules that compare.
    pub(crate) fn validate_update(
        &self,
        schema: &Arc<Schema>,
        scale: Option<&ScalePaths>,
        (value, old): (&Value, &Value),
        subresource: Option<Subresource>,
    ) -> Vec<Cause> {
        let mut causes = Vec::new();
        if subresource == Some(Subresource::Status) {
            let status = self.constraints.property("status");
            if let (Some(constraints), Some(status)) = (status, value.get("status")) {
                let path = Path::new("status");
                let before = old.get("status").map(|old| old::Old {
                    value: old,
                    schema: crate::schema::field_of(schema, "status"),
                });
                constraints.check(status, before.as_ref(), "", &path, &mut causes);
            }
        } else {
            let before = old::Old {
                value: old,
                schema: schema.clone(),
            };
            let root = Path::default();
            self.constraints
                .check(value, Some(&before), "", &root, &mut causes);
            causes.extend(validate_scale(scale, value));
        }
        let mut before = Vec::new();
        lists::check(old, schema, &Path::default(), &mut before);
        if before.is_empty() {
            lists::check(value, schema, &Path::default(), &mut causes);
        }
        self.check_rules(schema, value, Some(old), &mut causes);
        causes
    }

    fn check_rules(
        &self,
        schema: &Arc<Schema>,
        value: &Value,
        old: Option<&Value>,
        causes: &mut Vec<Cause>,
    ) {
        if self.rules.is_empty() {
            return;
        }
        if causes.iter().any(blocks_rules) {
            let why = "some validation rules were not checked because the object was invalid; \
                       correct the existing errors to complete validation";
            causes.push(Path::default().invalid(Value::Null, why));
            return;
        }
        let root = Path::default();
        causes.extend(self.rules.check(value, old, schema, &root));
    }
}

/// Whether an object is so wrong that rules can't be asked about it.
fn blocks_rules(cause: &Cause) -> bool {
    matches!(
        cause.reason,
        "FieldValueNotSupported"
            | "FieldValueRequired"
            | "FieldValueTooLong"
            | "FieldValueTooMany"
            | "FieldValueTypeInvalid"
    )
}

/// The replicas of an object that scales are numbers that a Scale can hold.
fn validate_scale(scale: Option<&ScalePaths>, value: &Value) -> Vec<Cause> {
    let Some(ScalePaths {
        spec_replicas,
        status_replicas,
        ..
    }) = scale
    else {
        return Vec::new();
    };
    let mut causes = Vec::new();
    for path in [spec_replicas, status_replicas] {
        let Some(json_path) = JsonPath::parse(path) else {
            continue;
        };
        let Some(replicas) = json_path
            .find(value)
            .first()
            .and_then(|value| value.as_i64())
        else {
            continue;
        };
        let field = Path::new(path);
        if replicas < 0 {
            causes.push(field.invalid(replicas, "should be a non-negative integer"));
        } else if replicas > i64::from(i32::MAX) {
            let why = format!("should be less than or equal to {}", i32::MAX);
            causes.push(field.invalid(replicas, why));
        }
    }
    causes
}
