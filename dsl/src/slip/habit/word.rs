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
    let name = match is_identifier(place.token) {
        true => place.token,
        false => place.token.trim_matches('"'),
    };
    let name = if is_identifier(name) { name } else { "NAME" };
    match word {
        "job" | "task" | "step" | "node" | "action" | "process" | "rule" | "target" => {
            Habit::help(format!("write `stage {name} {{ … }}`"))
        }
        "variable" | "var" | "let" | "input" | "parameter" | "arg" | "const" | "export" | "set"
        | "local" | "def" | "val" => Habit::help(match value_behind(place) {
            Some((ty, value)) => format!("write `param {name}: {ty} = {value}`"),
            None => format!("write `param {name}: string = \"…\"`"),
        }),
        "gate" | "manual" | "approve" if place.wants(Rule::open) => Habit::help(format!(
            "write `approval {name}` to wait for people, or `after` to wait for stages"
        )),
        "resource" | "module" => Habit::help("write `stage NAME { … }`"),
        "mutex" | "lock" => Habit::help(format!("write `lease {name}`")),
        "volume" | "pvc" => Habit::help(format!("write `workspace {name} {{ size = 1Gi }}`")),
        "retry" | "repeat" => Habit::help("write `retries = 3`"),
        "cron" | "trigger" => Habit::help("write `schedule \"0 2 * * *\"`"),
        "barrier" => Habit::help(format!(
            "remove it: a barrier is an object of the cluster, and a stage waits for it with `after barrier(\"{name}\")`"
        )),
        "output" => {
            let ty = place.next().next().filter(|next| is_identifier(next));
            let ty = ty.unwrap_or("string");
            Habit::help(format!("write `output {name}: {ty}`, with its type"))
        }
        "uses" | "include" | "extends" | "from" => Habit::help(
            "write `import \"lib/x.kon\"` above the pipeline, and `use TEMPLATE` in the body",
        ),
        _ => None,
    }
}

/// The value that is given to a name behind `=`, and its type.
fn value_behind<'p>(place: &Place<'p>) -> Option<(&'static str, &'p str)> {
    let mut next = place.next();
    next.next().filter(|sign| *sign == "=")?;
    let value = next.next().filter(|value| value.len() <= 40)?;
    let ty = match value {
        "true" | "false" => "bool",
        value if value.bytes().all(|b| b.is_ascii_digit()) => "int",
        value if value.starts_with('"') => "string",
        _ => return None,
    };
    Some((ty, value))
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
    if is_alone || !place.wants_clause() || !ATTRIBUTES.contains(&place.token) {
        return None;
    }
    let value = place.next().find(|next| !matches!(*next, "=" | ":"));
    let value = value.filter(|value| *value != "{").unwrap_or("…");
    let key = place.token;
    Habit::help(format!(
        "write `{key} = {value}` in the braces: it belongs to the body"
    ))
}

/// `stage a { stage b { … } }`, `stage b { after a }`
pub(super) fn word_of_the_pipeline_in_a_body(place: &Place<'_>) -> Option<Habit> {
    let word = place.last(0)?;
    if !place.wants(Rule::open) || place.wants_clause() {
        return None;
    }
    if matches!(word, "if" | "unless") && place.last(1) != Some("=") && is_identifier(place.token) {
        let condition = match word {
            "if" => place.token.to_owned(),
            _ => format!("!({})", place.token),
        };
        return Habit::help(format!(
            "write it in the header: `stage NAME when {condition} {{ … }}`"
        ));
    }
    if CLAUSE_WORDS.contains(&word) {
        let more = if word == "for" { " in …" } else { "" };
        return Habit::help(format!(
            "write it in the header: `stage NAME {word} {}{more} {{ … }}`",
            place.token
        ));
    }
    if place.wants(Rule::param_decl) || place.wants(Rule::kw_stage) {
        return None;
    }
    let stands_alone = place.last(1) != Some("=") && !place.follows_declared_name();
    if word == "schedule" && stands_alone && is_identifier(place.token) {
        return Habit::help(format!("write `schedule {}`", cron(place)));
    }
    let is_schedule = word == "schedule" && place.token.starts_with('"');
    if ITEM_WORDS.contains(&word) && stands_alone && (is_identifier(place.token) || is_schedule) {
        return Habit::help(format!("move the {word} into the pipeline itself"));
    }
    None
}

/// The text that `schedule daily` and `schedule every 5m` are meant for, quotes included.
fn cron(place: &Place<'_>) -> String {
    match place.token {
        "hourly" | "daily" | "weekly" | "monthly" | "yearly" | "annually" | "midnight" => {
            format!("\"@{}\"", place.token)
        }
        "every" => {
            let interval = place.next().find_map(interval);
            interval.unwrap_or_else(|| "\"0 * * * *\"".to_owned())
        }
        _ => "\"0 2 * * *\"".to_owned(),
    }
}

/// The text that `5m`, `2h` and `day` behind `every` are meant for, quotes included.
fn interval(word: &str) -> Option<String> {
    let count = |unit: &str, end: u32| -> Option<u32> {
        let count = word.strip_suffix(unit)?.parse().ok()?;
        (1..end).contains(&count).then_some(count)
    };
    if let Some(minutes) = count("min", 60).or_else(|| count("m", 60)) {
        return Some(format!("\"*/{minutes} * * * *\""));
    }
    if let Some(hours) = count("h", 24) {
        return Some(format!("\"0 */{hours} * * *\""));
    }
    match word {
        "day" | "night" => Some("\"@daily\"".to_owned()),
        "hour" | "week" | "month" | "year" => Some(format!("\"@{word}ly\"")),
        _ => None,
    }
}

/// `approval ok by "anna"`
pub(super) fn who_approves(place: &Place<'_>) -> Option<Habit> {
    let is_word = matches!(place.token, "by" | "from" | "for" | "of" | "to");
    if !is_word || place.last(1) != Some("approval") || !place.wants_clause() {
        return None;
    }
    Habit::help(
        "remove it: `approvers = 2` says how many people approve, and the cluster's roles say who may",
    )
}

/// `semaphore w 3`
pub(super) fn resource_without_braces(place: &Place<'_>) -> Option<Habit> {
    let (kind, name) = (place.last(1)?, place.last(0)?);
    let key = match kind {
        "semaphore" => "permits",
        "lease" => "ttl",
        "workspace" => "size",
        _ => return None,
    };
    let is_value = place.token.starts_with(|c: char| c.is_ascii_digit());
    is_value.then(|| {
        Habit::help(format!(
            "write `{kind} {name} {{ {key} = {} }}`",
            place.token
        ))
    })?
}

/// `schedule "0 2 * * *" "UTC"`
pub(super) fn time_zone_of_a_schedule(place: &Place<'_>) -> Option<Habit> {
    let is_zone = place.last(1) == Some("schedule") && place.token.starts_with('"');
    is_zone.then(|| {
        let cron = place.last(0).unwrap_or("\"0 2 * * *\"");
        Habit::help(format!(
            "write `schedule {cron} {{ timezone = {} }}`",
            place.token
        ))
    })?
}

/// `STAGE a { … }`, `Param x: string`
pub(super) fn word_in_upper_case(place: &Place<'_>) -> Option<Habit> {
    let word = place.before.last()?;
    let written = word.text(place.text);
    let lower = written.to_ascii_lowercase();
    let is_first = place.before.len() == 1 && written != lower;
    if !is_first || !ITEM_WORDS.contains(&&*lower) {
        return None;
    }
    let help = format!("write `{lower}`: words of the language are in lower case");
    Habit::replace(word.start..word.end, lower, help)
}

/// `{% for x in xs %}`
pub(super) fn template_of_text(place: &Place<'_>) -> Option<Habit> {
    let opens = place.rest().starts_with("{%");
    if opens || place.token == "%" && place.last(0) == Some("{") {
        return Habit::help(
            "remove it: a file is not made by a template; for several items write `for x in […]` in a stage's header",
        );
    }
    None
}

/// `run "x"`, `timeout 5m`
pub(super) fn attribute_without_a_sign(place: &Place<'_>) -> Option<Habit> {
    let key = place.last(0).filter(|key| is_identifier(key))?;
    let is_key = place.wants(Rule::open) && !place.wants_clause() && place.last(1) != Some("=");
    if key == "use" && place.token.starts_with('"') {
        let name = Some(place.token.trim_matches('"')).filter(|name| is_identifier(name));
        return Habit::help(format!(
            "write `use {} {{ … }}`",
            name.unwrap_or("TEMPLATE")
        ));
    }
    if key == "mount" && place.token.starts_with('"') {
        let name = Some(place.token.trim_matches('"')).filter(|name| is_identifier(name));
        let mut rest = place.next();
        let path = rest
            .find(|next| next.starts_with('"'))
            .unwrap_or("\"/data\"");
        return Habit::help(format!(
            "write `mount {} at {path}`",
            name.unwrap_or("WORKSPACE")
        ));
    }
    if is_key && place.token == "(" && (ATTRIBUTES.contains(&key) || key == "mount") {
        let value = place.next().next().filter(|value| value.len() <= 40);
        return Habit::help(format!("write `{key} = {}`", value.unwrap_or("…")));
    }
    if is_key && place.token == "[" && matches!(key, "env" | "labels" | "annotations") {
        let entry = place.next().next().unwrap_or_default().trim_matches('"');
        let (name, value) = entry.split_once(['=', ':']).unwrap_or(("NAME", "value"));
        let value = value.trim();
        return Habit::help(format!("write `{key} {{ {name} = \"{value}\" }}`"));
    }
    // `shedule "0 2 * * *"`
    if crate::did_you_mean(key, ITEM_WORDS).is_some() {
        return None;
    }
    let is_value = place
        .token
        .starts_with(|c: char| c == '"' || c == '[' || c.is_ascii_digit());
    if !is_key || !is_value || ITEM_WORDS.contains(&key) || CLAUSE_WORDS.contains(&key) {
        return None;
    }
    let is_whole = !place.token.contains('\n') && place.token != "[" && place.token.len() <= 40;
    let value = if is_whole { place.token } else { "…" };
    Habit::help(match key {
        "store" => format!("write `store {{ url = {value} }}`"),
        "resources" => "write `resources { cpu = 500m, memory = 1Gi }`".to_owned(),
        "node" => "write `node { selector { KEY = \"VALUE\" } }`".to_owned(),
        "annotations" | "env" | "labels" => format!("write `{key} {{ NAME = \"value\" }}`"),
        _ => format!("write `{key} = {value}`"),
    })
}

/// `for x of list`, `after any a, b`, `after all(a, b)`, `after !a`, `a -> b`
pub(super) fn clause_of_another_shape(place: &Place<'_>) -> Option<Habit> {
    if place.wants(Rule::kw_in) && matches!(place.token, "of" | ":" | "=") && place.has("for") {
        return Habit::help("write `in`, as in `for x in [\"a\", \"b\"]`");
    }
    let is_arrow = place.token == "-" || place.token == ">" && place.clause().is_none();
    if is_arrow && place.next().next() == Some(">") {
        let (left, right) = (place.last(0)?, place.next().nth(1).unwrap_or("b"));
        return Habit::help(format!("write `stage {right} after {left}`"));
    }
    if place.token == "." && matches!(place.next().next(), Some("after" | "depends_on" | "needs")) {
        let name = place.next().skip(1).find(|next| is_identifier(next));
        let (stage, other) = (place.last(0)?, name.unwrap_or("OTHER"));
        return Habit::help(format!("write `stage {stage} after {other} {{ … }}`"));
    }
    if place.clause() != Some("after") {
        return None;
    }
    let next = || {
        let mut next = place.next().map(|next| next.trim_matches('"'));
        next.find(|next| is_identifier(next))
    };
    match (place.last(0)?, place.token) {
        (kind, "(") if super::header::is_kind(place, kind) => Habit::help(format!(
            "write `{}`: a stage is named without a word before it",
            next().unwrap_or("NAME")
        )),
        ("(", ")") if place.last(1) == Some("any") => {
            Habit::help("name what it waits for: `any(a, b)`")
        }
        (",", "{") => Habit::help("remove the comma, or name another stage"),
        ("after", ",") => Habit::replace(place.here(), "", "remove the comma"),
        (kind @ ("gate" | "barrier" | "pipeline"), name) if name.starts_with('"') => {
            Habit::help(format!("write `{kind}({name})`"))
        }
        ("any", "[") => Habit::help("write `any(a, b)`, in parentheses"),
        (word, number)
            if number.bytes().all(|b| b.is_ascii_digit())
                && (word == "any" || word == "(" && place.last(1) == Some("any")) =>
        {
            Habit::help(
                "write `any(a, b)`, which waits for one of them; to wait for some items of one stage, write `quorum 2` behind its `for`",
            )
        }
        ("any", first) if is_identifier(first) => {
            Habit::help(format!("write `any({first}, {})`", next().unwrap_or("…")))
        }
        ("after", "(" | "=") => Habit::help(format!(
            "write `after {}`, and nothing around it",
            next().unwrap_or("NAME")
        )),
        ("not", name) if is_identifier(name) => Habit::help(format!(
            "write `after {name}.failed` to wait for its failure"
        )),
        ("approval", "(") => Habit::help(format!(
            "write `after {}`, of an approval that the pipeline declares",
            next().unwrap_or("NAME")
        )),
        (")", ".") if place.has("pipeline") || place.has("gate") || place.has("barrier") => {
            Habit::help(
                "remove it: what another pipeline, gate or barrier does is waited for as a whole",
            )
        }
        ("all", "(") => Habit::help("write `after a, b`, which waits for all of them"),
        ("after" | ",", "!") => {
            let mut rest = place.next();
            let name = rest.next().unwrap_or("a");
            let end = rest.next().filter(|sign| *sign == ".").and(rest.next());
            Habit::help(match end {
                Some("failed") => {
                    format!("write `after {name}` to wait for its success")
                }
                Some("finished") => {
                    "remove it: nothing starts before what it waits for has ended".to_owned()
                }
                Some("skipped") => format!("write `after any({name}, {name}.failed)`"),
                _ => format!("write `after {name}.failed` to wait for its failure"),
            })
        }
        _ => None,
    }
}
