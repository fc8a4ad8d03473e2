//! Programs can write all that the language has.

use std::collections::BTreeSet;
use std::time::Duration;

use konductor_compiler::BODY_ATTRIBUTES;
use konductor_dsl::ast::{self, BodyItem};
use konductor_dsl::build::{Body, Map, Stage};

/// Fails for a new attribute until a method is called here that sets it.
#[test]
fn every_attribute_has_a_method_of_the_builder() {
    let stage = Stage::new("a")
        .image("busybox:1.36")
        .run("true")
        .exec(["true"])
        .shell("bash")
        .env("NAME", "value")
        .retries(3)
        .timeout(Duration::from_secs(60))
        .pending(Duration::from_secs(60))
        .may_fail()
        .cpu(1)
        .security("restricted")
        .service_account("builder")
        .priority_class("low")
        .queue("batch")
        .label("team", "data")
        .annotation("team", "data")
        .tolerations([Map::new()]);
    let set: BTreeSet<String> = ast::Stage::from(stage)
        .body
        .items
        .into_iter()
        .filter_map(|item| match item {
            BodyItem::Attribute(attribute) => Some(attribute.key.text),
            _ => None,
        })
        .collect();
    assert_eq!(set, BTreeSet::from(BODY_ATTRIBUTES.map(str::to_owned)));
}
