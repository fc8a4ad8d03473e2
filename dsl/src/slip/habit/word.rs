//! Words of other languages where a declaration or a clause is wanted.

use konductor_grammar::Rule;

use super::{CLAUSE_WORDS, Habit, ITEM_WORDS, Place};
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

/// `job load {`, `variable "day" {`, `gate go { }`
pub(super) fn declaration_of_another_language(place: &Place<'_>) -> Option<Habit> {
    // It begins something, so it is no value.
    let is_value = matches!(
        place.last(1),
        Some("=" | "(" | "[" | "," | ":" | "." | "in" | "after" | "holding" | "use" | "mount")
    );
    let word = place
        .last(0)
        .filter(|_| !is_value && !place.wants_clause())?;
    let name = match is_identifier(place.found) {
        true => place.found,
        false => place.found.trim_matches('"'),
    };
    let name = if is_identifier(name) { name } else { "NAME" };
    match word {
        "job" | "task" | "step" | "node" | "action" | "process" | "rule" | "target" => {
            Habit::help(format!("write `stage {name} {{ … }}`"))
        }
        "variable" | "var" | "let" | "input" | "parameter" | "arg" | "const" | "export" | "set"
        | "local" | "def" | "val" => Habit::help(format!("write `param {name}: string = \"…\"`")),
        "gate" | "manual" | "approve" if place.wants(Rule::open) => Habit::help(format!(
            "write `approval {name}` to wait for people, or `after` to wait for stages"
        )),
        "resource" | "module" => Habit::help("write `stage NAME { … }`"),
        "mutex" | "lock" => Habit::help(format!("write `lease {name}`")),
        "volume" | "pvc" => Habit::help(format!("write `workspace {name} {{ size = 1Gi }}`")),
        "retry" | "repeat" => Habit::help("write `retries = 3`"),
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

/// `stage a { stage b { … } }`, `stage b { after a }`
pub(super) fn word_of_the_pipeline_in_a_body(place: &Place<'_>) -> Option<Habit> {
    let word = place.last(0)?;
    if !place.wants(Rule::open) || place.wants_clause() {
        return None;
    }
    if CLAUSE_WORDS.contains(&word) {
        let more = if word == "for" { " in …" } else { "" };
        return Habit::help(format!(
            "write it in the header: `stage NAME {word} {}{more} {{ … }}`",
            place.found
        ));
    }
    if place.wants(Rule::param_decl) || place.wants(Rule::kw_stage) {
        return None;
    }
    let stands_alone = place.last(1) != Some("=") && !place.follows_declared_name();
    if ITEM_WORDS.contains(&word) && stands_alone && is_identifier(place.found) {
        return Habit::help(format!("move the {word} into the pipeline itself"));
    }
    None
}

/// `run "x"`, `timeout 5m`
pub(super) fn attribute_without_a_sign(place: &Place<'_>) -> Option<Habit> {
    let key = place.last(0).filter(|key| is_identifier(key))?;
    let is_key = place.wants(Rule::open) && !place.wants_clause() && place.last(1) != Some("=");
    let is_value = place
        .found
        .starts_with(|c: char| c == '"' || c == '[' || c.is_ascii_digit());
    if !is_key || !is_value || ITEM_WORDS.contains(&key) || CLAUSE_WORDS.contains(&key) {
        return None;
    }
    let is_whole = !place.found.contains('\n') && place.found != "[" && place.found.len() <= 40;
    let value = if is_whole { place.found } else { "…" };
    Habit::help(format!("write `{key} = {value}`"))
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
        ("(", ")") if place.last(1) == Some("any") => {
            Habit::help("name what it waits for: `any(a, b)`")
        }
        (",", "{") => Habit::help("remove the comma, or name another stage"),
        (kind @ ("gate" | "barrier" | "pipeline"), name) if name.starts_with('"') => {
            Habit::help(format!("write `{kind}({name})`"))
        }
        ("any", "[") => Habit::help("write `any(a, b)`, in parentheses"),
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
