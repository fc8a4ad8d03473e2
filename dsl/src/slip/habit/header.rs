//! Slips between a stage's name and its body.

use konductor_grammar::Rule;

use super::{CLAUSE_WORDS, Habit, Place};
use crate::cut::Cut;
use crate::did_you_mean;
use crate::name::is_identifier;

/// Words of others for `after`.
pub(super) const WAITS: [&str; 11] = [
    "depends",
    "depends-on",
    "dependsOn",
    "depends_on",
    "follows",
    "needs",
    "on",
    "requires",
    "wait",
    "wait-for",
    "waits",
];
/// Words of others for the other clauses.
const WORDS: [(&[&str], &str); 6] = [
    (&["if", "where"], "write `when CONDITION`"),
    (&["unless"], "write `when !(CONDITION)`"),
    (
        &[
            "each",
            "foreach",
            "loop",
            "matrix",
            "with_items",
            "withItems",
            "with-items",
        ],
        "write `for NAME in [\"a\", \"b\"]`",
    ),
    (
        &[
            "acquire", "hold", "holds", "lock", "locking", "locks", "mutex", "uses", "using",
            "with",
        ],
        "write `holding NAME`, of a semaphore or lease",
    ),
    (
        &["extends", "from", "implements", "inherits"],
        "write `use TEMPLATE` in the body",
    ),
    (
        &["approve", "approved", "manual", "approval"],
        "declare `approval NAME` in the pipeline, and write `after NAME`",
    ),
];

/// `range(3)`, `1..=3`
pub(super) fn other_range(place: &Place<'_>) -> Option<Habit> {
    if place.token == "(" && place.last(0) == Some("range") {
        let count = place.next_number().unwrap_or("n");
        return Habit::help(format!("write `0..<{count}`"));
    }
    if place.token == "=" && place.text.cut(..place.at).ends_with("..") {
        return Habit::help("remove the `=`: both ends of `..` are in it");
    }
    None
}

/// `for region in eu, us {`
pub(super) fn loop_without_brackets(place: &Place<'_>) -> Option<Habit> {
    if place.wants(Rule::kw_in) && place.has("for") && place.has("in") {
        return Habit::help("write a list in brackets: [\"a\", \"b\"]");
    }
    None
}

/// `for (x in xs)`, `for x, y in xs`, `for x in "a b"`, `for x in xs and y in ys`, `0..10..2`
pub(super) fn loop_of_another_language(place: &Place<'_>) -> Option<Habit> {
    if place.clause() != Some("for") {
        return None;
    }
    match (place.last(0)?, place.token) {
        ("for", "(") => Habit::help("remove the parentheses"),
        (first, ",") if place.wants(Rule::kw_in) && !place.has("in") => {
            let second = place.next().find(|next| is_identifier(next));
            let second = second.unwrap_or("b");
            Habit::help(format!("write `for {first} in …, {second} in …`"))
        }
        ("in", "{") => {
            let inner = place.rest().cut(1..).split('}').next()?.trim();
            Habit::help(match inner.contains("..") {
                true => format!("write `{inner}`, without braces"),
                false => "write a list in brackets: [\"a\", \"b\"]".to_owned(),
            })
        }
        ("in", text) if text.starts_with("\"${") && text.ends_with("}\"") => {
            let name = text.cut(3..text.len() - 2);
            Habit::replace(
                place.here(),
                name,
                format!("write `{name}`: a list stands without quotes"),
            )
        }
        ("in", text) if text.starts_with('"') => {
            let more = place
                .next()
                .take_while(|next| *next == "," || next.starts_with('"'));
            let all: Vec<&str> = std::iter::once(text)
                .chain(more)
                .filter(|text| *text != ",")
                .collect();
            if let [_, _, ..] = all.as_slice() {
                return Habit::help(format!("write a list: `[{}]`", all.join(", ")));
            }
            let words = text.trim_matches('"').split([' ', ',']);
            let words = words.filter(|word| !word.is_empty()).take(4);
            let words: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
            Habit::help(format!("write a list: `[{}]`", words.join(", ")))
        }
        ("each", name) if is_identifier(name) => {
            Habit::help(format!("write `for {name} in …`, without `each`"))
        }
        ("for", "[") => Habit::help("name a variable: `for x in [\"a\", \"b\"]`"),
        (_, "and" | "&") => Habit::help("write a comma: `for a in …, b in …`"),
        (_, ".") if place.has(".") => {
            Habit::help("there are no steps: list the numbers: `[0, 2, 4]`")
        }
        _ => None,
    }
}

/// `holding db = 1`, `holding [db]`, `stage a()`, `stage a.b`, `semaphore db(2)`, `finally a`
pub(super) fn sign_behind_a_name(place: &Place<'_>) -> Option<Habit> {
    let last = place.last(0)?;
    if place.clause() == Some("holding") {
        let count = place.next_number().unwrap_or("2");
        return match (last, place.token) {
            ("holding", "[") => Habit::help("write `holding a, b`, without brackets"),
            ("holding", "(" | "{" | "=" | ":") => {
                let name = place.next().find(|next| is_identifier(next));
                Habit::help(format!(
                    "write `holding {}`, and nothing around it",
                    name.unwrap_or("NAME")
                ))
            }
            (name, "=" | "*") => Habit::help(format!("write `{name}({count})`")),
            _ => None,
        };
    }
    if last == "finally" && is_identifier(place.token) {
        return Habit::help(format!("write `finally stage {} {{ … }}`", place.token));
    }
    let kind = place.last(1).filter(|_| place.follows_declared_name())?;
    match (place.token, kind) {
        ("(", "semaphore") => {
            let count = place.next_number().unwrap_or("2");
            Habit::help(format!("write `semaphore {last} {{ permits = {count} }}`"))
        }
        ("(", _) => Habit::help(format!(
            "write `{kind} {last} {{ … }}`, without parentheses"
        )),
        (sign @ ("." | "/"), _) => {
            let rest = place.next().next().unwrap_or("b");
            Habit::help(format!("write `{last}-{rest}`: a name has no `{sign}`"))
        }
        _ => None,
    }
}

/// `mount data "/data"`, `mount data to "/data"`
pub(super) fn mount_without_at(place: &Place<'_>) -> Option<Habit> {
    if !place.wants(Rule::kw_at) || place.last(1) != Some("mount") {
        return None;
    }
    let here = std::iter::once(place.token);
    let path = here.chain(place.next()).find(|text| text.starts_with('"'));
    let name = place.last(0)?;
    Habit::help(format!(
        "write `mount {name} at {}`",
        path.unwrap_or("\"/data\"")
    ))
}

/// `after { … }`, `after [a, b]`, `when { … }`, `after a.*`
pub(super) fn after_nothing_or_a_list(place: &Place<'_>) -> Option<Habit> {
    if place.last(0) == Some("when") && place.token == "{" {
        return Habit::help("write a condition, as in `when mode == \"full\"`, or remove `when`");
    }
    if place.last(0) == Some(".") && place.token == "*" {
        let name = place.last(1).unwrap_or("a");
        return Habit::help(format!(
            "write `{name}[*]` for all items, and `{name}[*].OUTPUT` for the list of their outputs"
        ));
    }
    if place.last(0) != Some("after") {
        return None;
    }
    match place.token {
        "{" => Habit::help("name what it waits for, or remove `after`"),
        "[" => Habit::help("write `after a, b`, without brackets"),
        _ => None,
    }
}

/// Whether a word of another language says that a stage's name follows: `stage("a")`, and not an item of a stage that
/// has this name.
pub(super) fn is_kind(place: &Place<'_>, word: &str) -> bool {
    let is_kind = matches!(word, "job" | "node" | "stage" | "step" | "task");
    is_kind && !place.text.contains(&format!("stage {word} "))
}

/// `after a(1)`, `after a{1}`, `after a.1`, `after a[1..2]`, `after a[i=1]`
pub(super) fn item_of_another_shape(place: &Place<'_>) -> Option<Habit> {
    if !place.has("after") {
        return None;
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let name = |back: usize| place.last(back).filter(|name| is_identifier(name));
    let (item, name) = match (place.last(0)?, place.token) {
        (last, "(")
            if is_identifier(last)
                && !matches!(last, "all" | "any" | "approval" | "after")
                && !is_kind(place, last) =>
        {
            let item = place
                .next()
                .next()
                .filter(|item| is_number(item) || item.starts_with('"'))?;
            (item, last)
        }
        ("{" | ".", item) if is_number(item) => (item, name(1)?),
        ("[", first) => {
            // `for i in [1..3]` is a list.
            let name = name(1).filter(|name| *name != "in")?;
            let mut next = place.next();
            match (next.next()?, next.next()?) {
                (".", ".") => {
                    let range = place.rest().split(']').next()?.trim_end();
                    return Habit::at(
                        place.at..place.at + range.len(),
                        format!("`{range}` is not one item"),
                        format!(
                            "name each item, as in `{name}[{first}], {name}[…]`, or all: `{name}[*]`"
                        ),
                    );
                }
                ("=" | ":", item) if item != "]" => (item, name),
                _ => return None,
            }
        }
        _ => return None,
    };
    Habit::help(format!("write `{name}[{item}]`"))
}

/// `any(a))`, `stage a [ … ]`, `stage stage a`
pub(super) fn bracket_of_nothing(place: &Place<'_>) -> Option<Habit> {
    if !place.wants_clause() {
        return None;
    }
    if matches!(place.token, ")" | "]") {
        return Habit::replace(place.here(), "", "remove it: nothing opens it");
    }
    if place.token == "[" && place.follows_declared_name() {
        return Habit::help(format!(
            "write the body in braces: `stage {} {{ … }}`",
            place.last(0)?
        ));
    }
    let first = place.before.first()?;
    if place.last(0) == Some("stage")
        && place.last(1) == Some("stage")
        && is_identifier(place.token)
    {
        return Habit::replace(first.start..first.end, "", "remove one `stage`");
    }
    None
}

/// `quorum = 2`, `parallel = 3`
pub(super) fn clause_with_a_sign(place: &Place<'_>) -> Option<Habit> {
    let clause = place
        .last(0)
        .filter(|word| place.token == "=" && matches!(*word, "max" | "parallel" | "quorum"))?;
    let count = place.next_number().unwrap_or("2");
    let help = format!("write `{clause} {count}`, without `=`");
    Habit::replace(place.here(), "", help)
}

/// A header that continues with what is in the body
pub(super) fn body_without_a_brace(place: &Place<'_>) -> Option<Habit> {
    let is_of_a_body = match place.next().next() {
        Some("=") => true,
        Some("{") => matches!(
            place.token,
            "env" | "resources" | "labels" | "annotations" | "node"
        ),
        Some(_) => matches!(place.token, "output" | "mount" | "use" | "pod" | "job"),
        None => false,
    };
    if place.before.is_empty() && place.wants_clause() && is_of_a_body {
        return Habit::help("end the header with `{`: the body begins here");
    }
    None
}

/// `depends_on a`, `if x`
pub(super) fn clause_of_another_language(place: &Place<'_>) -> Option<Habit> {
    if !place.wants_clause() {
        return None;
    }
    if place.token == "with" && place.next().next() == Some("items") {
        return Habit::help("write `for NAME in [\"a\", \"b\"]`");
    }
    if place.token == "finally" {
        let name = place.last(0).filter(|_| place.last(1) == Some("stage"));
        let name = name.unwrap_or("NAME");
        return Habit::help(format!("write `finally stage {name} {{ … }}`"));
    }
    let lower = place.token.to_ascii_lowercase();
    if place.token != lower && CLAUSE_WORDS.contains(&&*lower) {
        let help = format!("write `{lower}`: words of the language are in lower case");
        return Habit::replace(place.here(), lower, help);
    }
    if WAITS.contains(&place.token) {
        let next = place
            .next()
            .find(|next| is_identifier(next) && *next != "on");
        return Habit::help(format!("write `after {}`", next.unwrap_or("STAGE")));
    }
    let (_, help) = WORDS
        .iter()
        .find(|(words, _)| words.contains(&place.token))?;
    Habit::help(*help)
}

/// `after a b`, `after a and b`, `holding db 2`
pub(super) fn names_without_a_comma(place: &Place<'_>) -> Option<Habit> {
    let clause = place
        .clause()
        .filter(|clause| matches!(*clause, "after" | "holding"))?;
    let last = place
        .last(0)
        .filter(|last| !CLAUSE_WORDS.contains(last) && *last != ",")?;
    if !place.wants_clause() {
        return None;
    }
    if clause == "after" && place.token == "within" {
        return Habit::help(
            "remove it: `within` belongs to `pipeline(\"NAME\")`, and a stage has `timeout` in its body",
        );
    }
    let is_number = place.token.bytes().all(|b| b.is_ascii_digit());
    if clause == "holding" && is_number {
        return Habit::help(format!("write `{last}({})`", place.token));
    }
    let next = place.next().find(|next| is_identifier(next));
    match place.token {
        "and" | "&" => Habit::help(format!("write a comma: `{last}, {}`", next.unwrap_or("…"))),
        "or" | "|" if clause == "after" => {
            Habit::help(format!("write `any({last}, {})`", next.unwrap_or("…")))
        }
        word if is_identifier(word) && did_you_mean(word, CLAUSE_WORDS).is_none() => {
            Habit::help(format!("write a comma between them: `{last}, {word}`"))
        }
        _ => None,
    }
}

/// `when not ok`
pub(super) fn not_in_a_word(place: &Place<'_>) -> Option<Habit> {
    if place.last(0) == Some("not") && place.clause() == Some("when") {
        return Habit::help(format!("write `!{}`", place.token));
    }
    None
}

/// `when [ "$t" = "a" ]`, `when (( n > 3 ))`
pub(super) fn brackets_of_a_shell(place: &Place<'_>) -> Option<Habit> {
    if place.last(0) == Some("when") && place.token == "[" {
        return Habit::help("write a condition without brackets, as in `when mode == \"full\"`");
    }
    None
}

/// `holding 2 db`
pub(super) fn count_before_the_name(place: &Place<'_>) -> Option<Habit> {
    let is_number = !place.token.is_empty() && place.token.bytes().all(|b| b.is_ascii_digit());
    if !is_number || !matches!(place.last(0), Some("holding" | ",")) {
        return None;
    }
    let name = place.next().find(|next| is_identifier(next));
    match place.clause()? {
        "holding" => Habit::help(format!("write `{}({})`", name.unwrap_or("db"), place.token)),
        _ => None,
    }
}

/// `stage a &base { … }`, `stage a *base`
pub(super) fn anchor(place: &Place<'_>) -> Option<Habit> {
    let is_sign = matches!(place.token, "&" | "*");
    if is_sign && place.follows_declared_name() {
        return Habit::help("there are no anchors: write a `template`, and `use` it in the body");
    }
    None
}

/// `quorum 1 of 2`, `quorum 2/3`
pub(super) fn quorum_of_all(place: &Place<'_>) -> Option<Habit> {
    if place.last(1) == Some("quorum") && matches!(place.token, "of" | "/") {
        return Habit::help(format!("write `quorum {}` alone", place.last(0)?));
    }
    None
}

/// `for x in xs { stage s … }`, `when t stage a`, `stage b { … } after a`, `stage a` without a body
pub(super) fn clause_outside_of_a_header(place: &Place<'_>) -> Option<Habit> {
    if place.wants_clause() && place.token == "}" && place.before.is_empty() {
        return Habit::help("write the stage's body in braces: `stage NAME { … }`");
    }
    if place.wants_clause() || !CLAUSE_WORDS.contains(&place.token) {
        return None;
    }
    let rest: Vec<&str> = place.next().take_while(|next| *next != "{").collect();
    let is_short = !rest.is_empty() && rest.len() <= 8;
    let operand = match place.token {
        "for" => "x in …",
        "max" | "parallel" | "quorum" => "2",
        "when" => "CONDITION",
        _ if is_short && rest.len() == 1 => rest[0],
        _ => "OTHER",
    };
    Habit::help(format!(
        "write it in the header of a stage: `stage NAME {} {operand} {{ … }}`",
        place.token
    ))
}

/// What stands on the line before, if it is a header that needs a body.
fn header<'p>(place: &Place<'p>) -> Option<&'p str> {
    const SHOWN_MAX: usize = 60;
    let first = place.before.first()?;
    let needs_body = matches!(
        first.text(place.text),
        "defaults" | "finally" | "pipeline" | "stage" | "template"
    );
    let header = place.text.cut(first.start..place.at).trim_end();
    let is_header = place.wants(Rule::open) && !place.has("{") && header.len() <= SHOWN_MAX;
    (needs_body && is_header).then_some(header)
}

/// `a and b`, `x & y`, `- item`, `;`
pub(super) fn sign_of_another_language(place: &Place<'_>) -> Option<Habit> {
    Habit::help(match place.token {
        "&" | "|" => format!("write `{0}{0}`", place.token),
        "and" | "AND" => "write `&&`".to_owned(),
        "or" | "OR" => "write `||`".to_owned(),
        "not" | "NOT" => "write `!`".to_owned(),
        "-" => "list elements are written in brackets: [\"a\", \"b\"]".to_owned(),
        ";" => match header(place) {
            Some(header) => format!("write the body in its place: `{header} {{ … }}`"),
            None => "remove it: a newline or a comma is enough".to_owned(),
        },
        _ => return None,
    })
}
