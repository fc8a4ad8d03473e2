//! Files of other languages, and what stands around a pipeline.

use konductor_grammar::Rule;

use super::{Habit, ITEM_WORDS, Place};
use crate::did_you_mean;
use crate::name::is_identifier;

fn is_at_a_declaration(place: &Place<'_>) -> bool {
    place.wants(Rule::next_declaration) || place.wants(Rule::lone_declaration)
}

/// A Kubernetes manifest, or a workflow in YAML.
pub(super) fn yaml(place: &Place<'_>) -> Option<Habit> {
    if !is_at_a_declaration(place) {
        return None;
    }
    let next = place.next().next();
    let is_document = place.token == "-" && place.rest().starts_with("---");
    let is_key = next == Some(":") && place.before.is_empty();
    if matches!(place.token, "apiVersion" | "kind" | "metadata") && is_key {
        return Habit::help(
            "this is a manifest: call the file `….yaml`, and `koncli check` reads it as one",
        );
    }
    if is_document || matches!(place.token, "{" | "[") {
        return Habit::help(
            "a pipeline begins with `pipeline NAME {`; call a manifest `….yaml`, and `koncli \
             check` reads it as one",
        );
    }
    if is_key {
        return Habit::help(
            "a pipeline is not YAML: write `pipeline NAME { stage NAME { image = \"…\", run = \
             \"…\" } }`",
        );
    }
    None
}

/// `template t { … }`
pub(super) fn template_without_parentheses(place: &Place<'_>) -> Option<Habit> {
    if !is_at_a_declaration(place) || place.token != "template" {
        return None;
    }
    let mut next = place.next();
    let name = next.next().filter(|name| is_identifier(name))?;
    if next.next() != Some("{") {
        return None;
    }
    let message = "a template has its parameters in parentheses, even without any";
    let at = place.at..place.at + place.token.len();
    Habit::at(at, message, format!("write `template {name}() {{ … }}`"))
}

/// `stage …` without a pipeline, a word that is nearly `pipeline`, or anything else there.
pub(super) fn outside_of_a_pipeline(place: &Place<'_>) -> Option<Habit> {
    if !is_at_a_declaration(place) {
        return None;
    }
    if place.token == "include" || place.token == "require" {
        let path = place.next().find(|next| next.starts_with('"'));
        return Habit::help(format!(
            "write `import {}`",
            path.unwrap_or("\"lib/x.kon\"")
        ));
    }
    if ITEM_WORDS.contains(&place.token) {
        let message = format!("`{}` stands outside of a pipeline", place.token);
        let written = place.at..place.at + place.token.len();
        return Habit::at(written, message, "put it into `pipeline NAME { … }`");
    }
    let meant = did_you_mean(place.token, ["import", "pipeline", "template"]);
    if let Some(meant) = meant.filter(|meant| *meant != place.token) {
        return Habit::help(format!("did you mean `{meant}`?"));
    }
    let mut next = place.next();
    let name = next.next().filter(|name| is_identifier(name));
    match name.filter(|_| next.next() == Some("{")) {
        Some(name) => Habit::help(format!("write `pipeline {name} {{ … }}`")),
        None => {
            Habit::help("a file has one `pipeline NAME { … }`, below its imports and templates")
        }
    }
}

/// `template t() { … } stage a { … }`
pub(super) fn behind_a_template(place: &Place<'_>) -> Option<Habit> {
    let is_alone = place.before.is_empty() && !place.wants_clause() && !place.wants(Rule::open);
    if is_alone && ITEM_WORDS.contains(&place.token) {
        return Habit::help("put it into `pipeline NAME { … }`");
    }
    None
}

/// `import python from "lib/python.kon"`
pub(super) fn import_of_a_name(place: &Place<'_>) -> Option<Habit> {
    if place.last(0) != Some("import") || !is_identifier(place.token) {
        return None;
    }
    let path = place.next().find(|next| next.starts_with('"'))?;
    Habit::help(format!(
        "write `import {path}`: all its templates are known by their names"
    ))
}

/// `---` and `-- a comment` within a pipeline
pub(super) fn document(place: &Place<'_>) -> Option<Habit> {
    let rest = place.rest();
    if !place.before.is_empty() || !rest.starts_with("--") {
        return None;
    }
    match rest.trim_end().bytes().all(|byte| byte == b'-') {
        true => Habit::help("remove it: a file has one pipeline"),
        false => Habit::help("a comment begins with `#`"),
    }
}

/// `pipeline p { template t() { … } }`
pub(super) fn template_in_a_pipeline(place: &Place<'_>) -> Option<Habit> {
    if place.last(0) != Some("template") || !place.wants(Rule::open) {
        return None;
    }
    Habit::at(
        place.with_last()?,
        "templates stand above the pipeline",
        format!("move `template {} …` above it", place.token),
    )
}

/// `pipeline p { import "x.kon" }`, `import { x } from "x.kon"`
pub(super) fn import(place: &Place<'_>) -> Option<Habit> {
    if place.last(0) != Some("import") {
        return None;
    }
    if place.wants(Rule::open) {
        return Habit::at(
            place.with_last()?,
            "imports stand above the pipeline",
            "move it to the top of the file",
        );
    }
    if place.token != "{" {
        return None;
    }
    let path = place.next().find(|next| next.starts_with('"'));
    Habit::help(format!(
        "write `import {}`",
        path.unwrap_or("\"lib/x.kon\"")
    ))
}
