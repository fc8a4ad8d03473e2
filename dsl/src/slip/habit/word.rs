//! Words of other languages where a declaration or a clause is wanted.

use konductor_grammar::Rule;

use super::{Habit, Place};
use crate::name::is_identifier;

/// Attributes of a body, as they are written into a header by hands used to other languages.
const ATTRIBUTES: [&str; 10] = [
    "env",
    "exec",
    "image",
    "may-fail",
    "queue",
    "resources",
    "retries",
    "run",
    "shell",
    "timeout",
];

/// A Kubernetes manifest, or a workflow in YAML.
pub(super) fn manifest(place: &Place<'_>) -> Option<Habit> {
    let wants = place.wants(Rule::next_declaration) || place.wants(Rule::lone_declaration);
    if !wants || place.next().next() != Some(":") {
        return None;
    }
    if matches!(place.found, "apiVersion" | "kind" | "metadata") {
        return Habit::help(
            "this is a manifest: call the file `….yaml`, and `koncli check` reads it as one",
        );
    }
    None
}

/// `job load {`, `variable "day" {`, `gate go { }`
pub(super) fn declaration_of_another_language(place: &Place<'_>) -> Option<Habit> {
    // It begins what it stands in, so it is no value.
    let begins = matches!(place.last(1), None | Some("{" | "}"));
    let word = place.last(0).filter(|_| begins)?;
    let name = match is_identifier(place.found) {
        true => place.found,
        false => place.found.trim_matches('"'),
    };
    let name = if is_identifier(name) { name } else { "NAME" };
    match word {
        "job" | "task" | "step" | "node" | "action" | "process" | "rule" | "target" => {
            Habit::help(format!("write `stage {name} {{ … }}`"))
        }
        "variable" | "var" | "let" | "input" | "parameter" | "arg" | "const" => {
            Habit::help(format!("write `param {name}: string = \"…\"`"))
        }
        "gate" | "manual" | "approve" => Habit::help(format!(
            "write `approval {name}` to wait for people; who waits for stages says `after`"
        )),
        "mutex" | "lock" => Habit::help(format!("write `lease {name}`")),
        "volume" | "pvc" => Habit::help(format!("write `workspace {name} {{ size = 1Gi }}`")),
        "cron" | "trigger" => Habit::help("write `schedule \"0 2 * * *\"`"),
        "output" => Habit::help(format!("write `output {name}: string`, with its type")),
        "uses" | "include" | "extends" | "from" => Habit::help(
            "write `import \"lib/x.kon\"` above the pipeline, and `use TEMPLATE` in the body",
        ),
        _ => None,
    }
}

/// `stages { stage a { … } }`
pub(super) fn group_of_stages(place: &Place<'_>) -> Option<Habit> {
    const GROUPS: [&str; 6] = ["jobs", "stages", "steps", "tasks", "workflow", "params"];
    let mut words = place.before.iter().map(|token| token.text(place.text));
    let group = words.find(|word| GROUPS.contains(word))?;
    let is_inside = matches!(
        place.last(0),
        Some("stage" | "param" | "task" | "job" | "step")
    );
    is_inside.then(|| {
        let help = format!("remove `{group} {{` and its `}}`: each stands in the pipeline itself");
        Habit::help(help)
    })?
}

/// `stage load timeout 30m {`
pub(super) fn attribute_in_a_header(place: &Place<'_>) -> Option<Habit> {
    // On a line of its own it is most likely the brace that is missing.
    let is_alone = place.before.is_empty();
    if is_alone || !place.wants_clause() || !ATTRIBUTES.contains(&place.found) {
        return None;
    }
    let value = place.next().find(|next| !matches!(*next, "=" | ":"));
    let value = value.filter(|value| *value != "{").unwrap_or("…");
    let found = place.found;
    Habit::help(format!(
        "write `{found} = {value}` in the braces: it belongs to the body"
    ))
}

/// `for x of list`, `after any a, b`, `after all(a, b)`, `after !a`, `a -> b`
pub(super) fn clause_of_another_shape(place: &Place<'_>) -> Option<Habit> {
    if place.wants(Rule::kw_in) && matches!(place.found, "of" | ":" | "=") && place.has("for") {
        return Habit::help("write `in`, as in `for x in [\"a\", \"b\"]`");
    }
    if place.found == "-" && place.next().next() == Some(">") {
        let (left, right) = (place.last(0)?, place.next().nth(1).unwrap_or("b"));
        return Habit::help(format!("write `stage {right} after {left}`"));
    }
    if place.clause() != Some("after") {
        return None;
    }
    let next = || place.next().find(|next| is_identifier(next));
    match (place.last(0)?, place.found) {
        ("any", first) if is_identifier(first) => {
            Habit::help(format!("write `any({first}, {})`", next().unwrap_or("…")))
        }
        ("all", "(") => Habit::help("write `after a, b`, which waits for all of them"),
        ("after" | ",", "!") => {
            let name = next().unwrap_or("a");
            Habit::help(format!(
                "write `after {name}.failed` to wait for its failure"
            ))
        }
        _ => None,
    }
}
