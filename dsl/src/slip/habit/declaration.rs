//! Slips of declarations and attributes.

use konductor_grammar::Rule;

use super::header::WAITS;
use super::{CLAUSE_WORDS, Habit, ITEM_WORDS, Place};
use crate::cut::Cut;
use crate::name::{is_identifier, is_name, nearest_name};
use crate::token::Kind;

/// `run => "x"`, `run == "x"`
pub(super) fn other_equals_sign(place: &Place<'_>) -> Option<Habit> {
    let is_sign = matches!(place.token, "=" | ">") && place.last(0) == Some("=");
    let touches = place.before.last().is_some_and(|last| last.end == place.at);
    let key = place.last(1).filter(|key| is_identifier(key))?;
    if is_sign && touches && place.clause().is_none() {
        return Habit::replace(place.here(), "", format!("write `{key} = …`"));
    }
    None
}

/// `pipeline order`, and its stages below it
pub(super) fn no_brace(place: &Place<'_>) -> Option<Habit> {
    if !place.wants(Rule::open) || place.wants_clause() || place.token == ":" {
        return None;
    }
    let (kind, name) = place.words_before();
    // On the same line something else is wrong.
    if kind != "pipeline" || !is_identifier(name) || !place.before.is_empty() {
        return None;
    }
    let end = place.text.cut(..place.at).trim_end().len();
    let message = format!("`pipeline {name}` has no `{{`");
    Habit::at(
        end - name.len()..end,
        message,
        format!("write `pipeline {name} {{`, and `}}` behind its last stage"),
    )
}

/// Attributes that are maps.
const MAPS: [&str; 8] = [
    "annotations",
    "defaults",
    "env",
    "labels",
    "node",
    "resources",
    "selector",
    "store",
];

/// `env foo { A = "b" }`, `store main { … }`
pub(super) fn map_with_a_name(place: &Place<'_>) -> Option<Habit> {
    let map = place.last(0).filter(|word| MAPS.contains(word))?;
    if !place.wants(Rule::open) || !is_identifier(place.token.trim_matches('"')) {
        return None;
    }
    match place.next().next() {
        Some("{") => Habit::replace(
            place.here(),
            "",
            format!("write `{map} {{ … }}`: it has no name"),
        ),
        Some("=") => Habit::help(format!("write `{map} {{ {} = … }}`", place.token)),
        _ => None,
    }
}

/// `labels { app.kubernetes.io/name = "a" }`, `resources.cpu = 1`
pub(super) fn key_with_a_path(place: &Place<'_>) -> Option<Habit> {
    if !matches!(place.token, "." | "/") || !place.wants(Rule::open) || place.wants_clause() {
        return None;
    }
    let first = place.before.last()?;
    let of_key = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let rest = place.text.cut(first.start..);
    let key = rest.split(|c| !of_key(c)).next()?;
    let is_set = rest.cut(key.len()..).trim_start().starts_with(['=', '{']);
    let word = first.text(place.text);
    if !is_set || !is_identifier(word) {
        return None;
    }
    if MAPS.contains(&word) {
        let rest = key.cut(word.len()..).trim_start_matches('.');
        return Habit::help(format!("write `{word} {{ {rest} = … }}`"));
    }
    if !matches!(place.owner(), Some("labels" | "annotations" | "selector")) {
        return None;
    }
    let at = first.start..first.start + key.len();
    let quoted = format!("\"{key}\"");
    Habit::at(
        at.clone(),
        format!("`{key}` is no name"),
        format!("put it in quotes: `{quoted} = …`"),
    )?
    .writing(at, quoted)
}

/// `pipeline nightly v2 { … }`, `stage load all { … }`, `pipeline p stage a { … }`
pub(super) fn name_of_two_words(place: &Place<'_>) -> Option<Habit> {
    if !place.wants(Rule::open) || !place.follows_declared_name() || !is_identifier(place.token) {
        return None;
    }
    let (kind, first) = (place.last(1)?, place.last(0)?);
    let name = format!("{first}-{}", place.token);
    let is_last = place.next().next().is_none_or(|next| next == "{");
    if is_last && is_name(&name) && !ITEM_WORDS.contains(&place.token) {
        return Habit::help(format!("write `{kind} {name} {{ … }}`: a name is one word"));
    }
    let help = format!("write `{kind} {first} {{ … }}`: what belongs to it stands in braces");
    (!place.wants_clause()).then(|| Habit::help(help))?
}

/// `stage a { readonly  run = "x" }`
pub(super) fn word_without_a_value(place: &Place<'_>) -> Option<Habit> {
    let word = place.last(0).filter(|word| is_identifier(word))?;
    let is_next = is_identifier(place.token) || place.token == "}";
    if !place.wants(Rule::open) || place.wants_clause() || !is_next || place.last(1) == Some("=") {
        return None;
    }
    Habit::help(format!(
        "give it a value, as in `{word} = …`, or remove `{word}`"
    ))
}

/// `semaphore s { 3 }`, `lease l { 30s }`
pub(super) fn value_without_a_key(place: &Place<'_>) -> Option<Habit> {
    if !place.wants(Rule::attribute) || place.token.is_empty() {
        return None;
    }
    // Outside of braces there are no attributes.
    place.owner()?;
    let key = match place.last(2) {
        Some("semaphore") => "permits",
        Some("lease") => "ttl",
        Some("workspace") => "size",
        _ => "NAME",
    };
    // A text is read as a key.
    let is_value = place.token.bytes().all(|b| b.is_ascii_alphanumeric());
    is_value.then(|| Habit::help(format!("write `{key} = {}`", place.token)))?
}

/// `image: "…"`, `stage load:`, `holding db:2`
pub(super) fn colon(place: &Place<'_>) -> Option<Habit> {
    if place.token != ":" {
        return None;
    }
    let word = place.last(0)?;
    let declares = place.last(1).filter(|_| place.follows_declared_name());
    if let Some(kind) = declares {
        return Habit::help(format!(
            "write `{kind} {word} {{ … }}`: what belongs to it stands in braces"
        ));
    }
    if word == "defaults" {
        return Habit::help("write `defaults { … }`: what belongs to it stands in braces");
    }
    if place.clause() == Some("holding") {
        let count = place.next_number().unwrap_or("n");
        return Habit::help(format!("write `{word}({count})`"));
    }
    if word == "on" {
        return Habit::help(
            "write `schedule \"0 2 * * *\"` in the pipeline, or `after STAGE` in a stage's header",
        );
    }
    if WAITS.contains(&word) {
        return Habit::help("write `after STAGE` in the stage's header");
    }
    if ITEM_WORDS.contains(&word)
        && let Some(name) = place.next().next().filter(|next| is_identifier(next))
    {
        let help = format!("write `{word} {name}`, without `:`");
        return Habit::replace(place.here(), "", help);
    }
    if matches!(word, "pipeline" | "template") {
        let name = place.next().find(|next| is_identifier(next));
        let name = name.unwrap_or("NAME");
        return Habit::help(format!("write `{word} {name} {{ … }}`"));
    }
    if matches!(word, "stages" | "jobs" | "tasks" | "steps" | "templates") {
        return Habit::help("write `stage NAME { … }` for each, in the pipeline itself");
    }
    let owner = place.owner();
    if matches!(
        owner,
        Some("params" | "parameters" | "param" | "inputs" | "variables")
    ) {
        let ty = place.next().find(|next| is_identifier(next));
        return Habit::help(format!(
            "write `param {word}: {}` for each, in the pipeline itself",
            ty.unwrap_or("string")
        ));
    }
    if place.has("outputs") || place.has("output") || matches!(owner, Some("outputs" | "output")) {
        let ty = place.next().find(|next| is_identifier(next));
        return Habit::help(format!(
            "write `output {word}: {}` for each",
            ty.unwrap_or("string")
        ));
    }
    if CLAUSE_WORDS.contains(&word) {
        let next = place.next().next().unwrap_or("…");
        return Habit::help(format!("write `{word} {next}`, without `:`"));
    }
    let bare = Some(word.trim_matches('"')).filter(|word| is_identifier(word));
    if let Some(kind) = bare.filter(|bare| ITEM_WORDS.contains(bare)) {
        return Habit::help(format!("write `{kind} NAME {{ … }}`"));
    }
    let behind = place.rest().strip_prefix(':').unwrap_or("…").trim();
    match bare {
        // The values of YAML stand in the lines below.
        Some(map) if behind.is_empty() && MAPS.contains(&map) => {
            return Habit::help(format!(
                "write `{map} {{ NAME = … }}`: maps stand in braces"
            ));
        }
        Some(list) if behind.is_empty() && matches!(list, "args" | "command" | "exec") => {
            return Habit::help(format!("write `{list} = [\"…\"]` for a list"));
        }
        Some(attribute) if behind.is_empty() => {
            return Habit::help(format!(
                "write `{attribute} = …`: attributes are set with `=`"
            ));
        }
        Some(text) if matches!(behind, "|" | ">" | "|-" | ">-") => {
            let block = "\"\"\"…\"\"\"";
            return Habit::help(format!(
                "write `{text} = {block}`: a text of several lines is a block"
            ));
        }
        _ => {}
    }
    let help = format!(
        "write `{} = …`: attributes are set with `=`",
        bare.unwrap_or(word)
    );
    match bare.zip(place.with_last()) {
        Some((bare, at)) => Habit::replace(at, format!("{bare} ="), help),
        None => Habit::help(help),
    }
}

/// `semaphore db = 5`, `stage a = {`, `when x = 3`
pub(super) fn equals_sign(place: &Place<'_>) -> Option<Habit> {
    if place.token != "=" {
        return None;
    }
    if place.clause() == Some("when") {
        // `==` where no condition can be is not read as a sign.
        if place.rest().starts_with("==") {
            return Habit::help("compare with `==`");
        }
        return Habit::replace(place.here(), "==", "compare with `==`");
    }
    let (kind, name) = (place.last(1)?, place.last(0)?);
    if !place.follows_declared_name() {
        return None;
    }
    let attribute = match kind {
        "semaphore" => Some(("permits", "5")),
        "lease" => Some(("ttl", "30s")),
        "workspace" => Some(("size", "10Gi")),
        _ => None,
    };
    Habit::help(match attribute {
        Some((key, usual)) => {
            let value = place.next_number().unwrap_or(usual);
            format!("write `{kind} {name} {{ {key} = {value} }}`")
        }
        None => format!("write `{kind} {name} {{ … }}`, without `=`"),
    })
}

/// `stage a { may-fail }`
pub(super) fn flag(place: &Place<'_>) -> Option<Habit> {
    const FLAGS: [&str; 3] = ["may-fail", "fail-fast", "external"];
    // It may stand on the line before.
    let before = place.text.cut(..place.at).trim_end();
    let key = FLAGS.into_iter().find(|flag| before.ends_with(flag))?;
    if place.wants(Rule::open) && !place.wants_clause() && place.token != ":" {
        let at = before.len();
        return Habit::replace(at..at, " = true", format!("write `{key} = true`"));
    }
    None
}

/// `stage d { = "x" }`
pub(super) fn no_attribute(place: &Place<'_>) -> Option<Habit> {
    if place.token == "=" && place.wants(Rule::attribute) {
        return Habit::help("write the attribute's name before the `=`");
    }
    None
}

/// `stage "load"`
pub(super) fn name_in_quotes(place: &Place<'_>) -> Option<Habit> {
    let inner = place.token.strip_prefix('"')?.strip_suffix('"')?;
    if !place.wants_name() && !place.follows_word_of_a_name() {
        return None;
    }
    let name = nearest_name(inner);
    if is_identifier(inner) && is_name(&name) {
        let help = format!("write `{name}`: names stand without quotes");
        return Habit::replace(place.here(), name, help);
    }
    if place.wants(Rule::number) && !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_digit()) {
        let help = format!("write `{inner}`: numbers stand without quotes");
        return Habit::replace(place.here(), inner, help);
    }
    Habit::help("write a name of letters, digits and `-`, beginning with a letter, without quotes")
}

/// `stage -a`
pub(super) fn name_with_a_dash(place: &Place<'_>) -> Option<Habit> {
    if place.token != "-" || !place.follows_word_of_a_name() {
        return None;
    }
    let name = place.next().find(|next| is_identifier(next));
    Habit::help(match name {
        Some(name) => format!("write `{name}`: a name starts with a letter"),
        None => "start the name with a letter".to_owned(),
    })
}

/// `use lib.python`
pub(super) fn template_with_a_path(place: &Place<'_>) -> Option<Habit> {
    if place.token != "." || place.last(1) != Some("use") {
        return None;
    }
    let name = place.next().find(|next| is_identifier(next));
    let name = name.unwrap_or("TEMPLATE");
    Habit::help(format!(
        "write `use {name}`: a template is used by its own name"
    ))
}

/// `stage 1load`
pub(super) fn name_with_a_digit(place: &Place<'_>) -> Option<Habit> {
    if place.token.starts_with(|c: char| c.is_ascii_digit()) && place.follows_word_of_a_name() {
        return Habit::help("start the name with a letter");
    }
    None
}

/// `param day: string required`
pub(super) fn word_behind_a_type(place: &Place<'_>) -> Option<Habit> {
    const WORDS: [&str; 6] = [
        "default",
        "mandatory",
        "nullable",
        "optional",
        "readonly",
        "required",
    ];
    if place.last(1) != Some(":") || !WORDS.contains(&place.token) {
        return None;
    }
    Habit::help(match place.token {
        "required" | "mandatory" | "readonly" => {
            "remove it: a parameter without a default must be given"
        }
        _ => "write a default behind `=`",
    })
}

/// `stage größe`, `stage 🚀`, and letters of other alphabets that look like the usual ones
pub(super) fn name_of_other_letters(place: &Place<'_>) -> Option<Habit> {
    if place.token.is_ascii() {
        return None;
    }
    let letter = place.rest().chars().find(|c| !c.is_ascii())?;
    let help = format!(
        "write a name of the letters a to z, digits and `-`; `{letter}` is U+{:04X}",
        u32::from(letter)
    );
    // What is before it on the line may be the beginning of the same name.
    let beginning = place.before.last().filter(|last| {
        last.end == place.at
            && last.kind == Kind::Word
            && place.token.starts_with(char::is_alphabetic)
    });
    if let Some(beginning) = beginning {
        let at = beginning.start..place.at + place.token.len();
        let message = format!("`{}` can't be a name", place.text.cut(at.clone()));
        return Habit::at(at, message, help);
    }
    if place.wants_name() || place.follows_word_of_a_name() {
        return Habit::help(help);
    }
    None
}

/// `pipeline { … }`, `stage , { … }`
pub(super) fn no_name(place: &Place<'_>) -> Option<Habit> {
    let is_sign = place.token.bytes().all(|b| b.is_ascii_punctuation());
    let is_value = matches!(place.last(1), Some("=" | "in" | "after" | "holding"));
    if !is_sign || is_value || !place.follows_word_of_a_name() {
        return None;
    }
    Habit::help(match place.last(0)? {
        "param" => "give it a name: `param NAME: string`".to_owned(),
        "template" => "give it a name: `template NAME() { … }`".to_owned(),
        kind => format!("give it a name: `{kind} NAME {{ … }}`"),
    })
}

/// `param n = 3`, `template t(x)`
pub(super) fn no_type(place: &Place<'_>) -> Option<Habit> {
    if !place.wants(Rule::param_decl) || !is_identifier(place.token) {
        return None;
    }
    let mut next = place.next();
    let value = next
        .next()
        .filter(|sign| *sign == "=")
        .and_then(|_| next.next());
    let ty = match value.unwrap_or_default() {
        "true" | "false" => "bool",
        value if value.starts_with(|c: char| c.is_ascii_digit()) => "int",
        _ => "string",
    };
    Habit::help(format!(
        "say of which type it is, such as `{}: {ty}`",
        place.token
    ))
}

/// `use python("…")`
pub(super) fn use_with_parentheses(place: &Place<'_>) -> Option<Habit> {
    if place.token == "(" && place.last(1) == Some("use") {
        return Habit::help(format!("write `use {} {{ NAME = … }}`", place.last(0)?));
    }
    None
}

/// `import "python.kon" as py`
pub(super) fn import_with_a_name(place: &Place<'_>) -> Option<Habit> {
    if place.token == "as" && place.last(1) == Some("import") {
        return Habit::help("remove it: a template is used by its own name");
    }
    None
}
