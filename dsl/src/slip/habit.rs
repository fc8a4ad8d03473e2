//! Usual slips: what hands write that are used to YAML, HCL, a shell or another language, and what
//! to type instead.
//!
//! What enters: where reading stopped. What leaves: what to do, and sometimes a better place or
//! message than the grammar has. What must never happen here: a refusal; something was refused.

use std::ops::Range;

use konductor_grammar::Rule;

use super::ITEM_WORDS;
use crate::did_you_mean;
use crate::name::is_identifier;
use crate::token::{Kind, Token, tokens};

/// How many bytes of its line are looked at before a place.
const BEFORE_MAX: usize = 400;
/// How many characters are repeated to say what to type.
const SHOWN_MAX: usize = 60;

/// Where reading stopped.
pub(super) struct Place<'t> {
    text: &'t str,
    at: usize,
    /// The token that is there; empty at the end of the file.
    found: &'t str,
    /// What the grammar would have read.
    pub(super) wanted: &'t [Rule],
    /// The tokens before it on its line.
    before: Vec<Token>,
}

/// What was meant.
pub(super) struct Habit {
    /// Where the slip is, if not at the token where reading stopped.
    pub(super) written: Option<Range<usize>>,
    /// What to say, if not what was expected.
    pub(super) message: Option<String>,
    /// What to type.
    pub(super) help: String,
}

impl Habit {
    fn help(help: impl Into<String>) -> Option<Self> {
        Some(Self {
            written: None,
            message: None,
            help: help.into(),
        })
    }

    fn at(
        written: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<Self> {
        Some(Self {
            written: Some(written),
            message: Some(message.into()),
            help: help.into(),
        })
    }
}

/// The first slip of the table that this is.
pub(super) fn find(place: &Place<'_>) -> Option<Habit> {
    const HABITS: [fn(&Place<'_>) -> Option<Habit>; 24] = [
        end_of_file,
        quote_in_a_string,
        single_quotes,
        other_comment,
        reference_outside_of_a_string,
        string_without_quotes,
        colon,
        equals_sign,
        outside_of_a_pipeline,
        name_in_quotes,
        name_with_a_digit,
        no_name,
        no_type,
        use_with_parentheses,
        import_with_a_name,
        other_range,
        loop_without_brackets,
        after_nothing_or_a_list,
        body_without_a_brace,
        not_in_a_word,
        names_without_a_comma,
        clause_of_another_language,
        sign_of_another_language,
        misspelt,
    ];
    HABITS.iter().find_map(|habit| habit(place))
}

impl<'t> Place<'t> {
    pub(super) fn new(text: &'t str, at: usize, found: &str, wanted: &'t [Rule]) -> Self {
        let mut start = at.saturating_sub(BEFORE_MAX);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        let line = text[start..at]
            .rfind('\n')
            .map_or(start, |newline| start + newline + 1);
        let cut = |start: usize| -> Vec<Token> {
            let cut = tokens(&text[start..at]).map(|token| Token {
                start: start + token.start,
                end: start + token.end,
                ..token
            });
            cut.collect()
        };
        let mut before = cut(line);
        // What begins within a string looks as if one began where that ends.
        let is_inside = before.last().map(|token| token.kind) == Some(Kind::Unclosed);
        if let Some(quote) = text[line..at].rfind('"').filter(|_| is_inside) {
            before = cut(line + quote + 1);
        }
        Self {
            text,
            at,
            found: text.get(at..at + found.len()).unwrap_or_default(),
            wanted,
            before,
        }
    }

    /// Whether a declaration's word and name are before it.
    pub(super) fn follows_declared_name(&self) -> bool {
        matches!(self.last(1), Some(word) if word == "pipeline" || ITEM_WORDS.contains(&word))
    }

    fn wants(&self, rule: Rule) -> bool {
        self.wanted.contains(&rule)
    }

    /// Whether a header could go on here.
    fn wants_clause(&self) -> bool {
        self.wants(Rule::after) || self.wants(Rule::kw_after)
    }

    fn wants_name(&self) -> bool {
        self.wants(Rule::ident) || self.wants(Rule::target)
    }

    /// The token so many before the last one on the line.
    fn last(&self, back: usize) -> Option<&'t str> {
        let index = self.before.len().checked_sub(back + 1)?;
        Some(self.before[index].text(self.text))
    }

    /// Whether a word is on the line before.
    fn has(&self, word: &str) -> bool {
        self.before
            .iter()
            .any(|token| token.text(self.text) == word)
    }

    /// The clause of a header that goes on here.
    fn clause(&self) -> Option<&'t str> {
        let words = self.before.iter().rev().map(|token| token.text(self.text));
        words.into_iter().find(|word| CLAUSE_WORDS.contains(word))
    }

    /// What follows, up to the end of its line.
    fn rest(&self) -> &'t str {
        let rest = &self.text[self.at..];
        rest.split('\n').next().unwrap_or(rest)
    }

    /// What follows the token, as tokens of the same line.
    fn next(&self) -> impl Iterator<Item = &'t str> {
        let rest = &self.rest()[self.found.len().min(self.rest().len())..];
        tokens(rest).map(|token| token.text(rest))
    }
}

/// A text in quotes, to be typed; `None` where it is too long to repeat, or has some of its own.
fn quoted(text: &str) -> Option<String> {
    let fits = text.chars().count() <= SHOWN_MAX && !text.contains(['"', '\\', '\n']);
    (fits && !text.is_empty()).then(|| format!("\"{text}\""))
}

fn end_of_file(place: &Place<'_>) -> Option<Habit> {
    if place.found.is_empty() {
        return Habit::help("close what is open with `}`");
    }
    None
}

/// `"say "hello" to all"`
fn quote_in_a_string(place: &Place<'_>) -> Option<Habit> {
    let touches = place.before.windows(2).any(|pair| {
        pair[0].kind == Kind::String && pair[1].kind == Kind::Word && pair[0].end == pair[1].start
    });
    if touches {
        return Habit::help("write `\\\"` for a quote in a string, or a block: `\"\"\"…\"\"\"`");
    }
    None
}

/// `'echo hi'`
fn single_quotes(place: &Place<'_>) -> Option<Habit> {
    let inner = place.rest().strip_prefix('\'')?;
    let message = "strings are written in double quotes";
    let Some((inner, _)) = inner.split_once('\'') else {
        return Habit::at(place.at..place.at + 1, message, "write `\"…\"`");
    };
    let help = match quoted(inner) {
        Some(quoted) => format!("write `{quoted}`"),
        None => "write `\"…\"`, or a block, in which quotes stand for themselves: `\"\"\"…\"\"\"`"
            .to_owned(),
    };
    Habit::at(place.at..place.at + inner.len() + 2, message, help)
}

/// `// …` and `/* … */`
fn other_comment(place: &Place<'_>) -> Option<Habit> {
    let rest = place.rest();
    if !(rest.starts_with("//") || rest.starts_with("/*")) {
        return None;
    }
    let message = format!("`{}` is not expected here", &rest[..2]);
    Habit::at(place.at..place.at + 2, message, "a comment begins with `#`")
}

/// `image = $tag`
fn reference_outside_of_a_string(place: &Place<'_>) -> Option<Habit> {
    let inner = place.rest().strip_prefix('$')?;
    let name = match inner.strip_prefix('{') {
        Some(inner) => inner.split('}').next()?,
        None => inner
            .split(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))
            .next()?,
    };
    let is_reference =
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.split('.').all(is_identifier);
    if is_reference {
        return Habit::help(format!(
            "write `{name}`: outside of a string a name stands for its value"
        ));
    }
    Habit::help("put it into a string: \"${…}\"")
}

/// `image = busybox:1.36`, `import python.kon`, `schedule 0 2 * * *`
fn string_without_quotes(place: &Place<'_>) -> Option<Habit> {
    let is_schedule = place.last(0) == Some("schedule");
    let only_string = place.wants(Rule::string) && !place.wants(Rule::list) && !place.wants_name();
    let is_sign = place
        .found
        .chars()
        .all(|c| !(c.is_alphanumeric() || "\"'{}[](),;=<>&|!".contains(c)));
    let start = match place.before.last() {
        _ if only_string => place.at,
        // It has begun as a name or a number.
        Some(last) if last.end == place.at && is_sign => {
            let glued = place
                .before
                .windows(2)
                .rev()
                .take_while(|pair| pair[0].end == pair[1].start);
            let first = place.before.len() - 1 - glued.count();
            let delimiter = first
                .checked_sub(1)
                .map(|index| place.before[index].text(place.text));
            if !matches!(delimiter, Some("=" | "[" | ",")) && first == place.before.len() - 1 {
                return None;
            }
            let value = place.before[first..].iter();
            let value = value.skip_while(|token| matches!(token.text(place.text), "=" | "[" | ","));
            value.map(|token| token.start).next()?
        }
        Some(_) if is_sign && place.wants(Rule::list) => place.at,
        _ => return None,
    };
    let rest = &place.text[start..];
    let ends = |c: char| {
        if is_schedule {
            "{}\n#".contains(c)
        } else {
            c.is_whitespace() || ",;{}[]()".contains(c)
        }
    };
    let raw = rest.split(ends).next().unwrap_or_default().trim_end();
    let quoted = quoted(raw).filter(|_| raw.len() > 1)?;
    let message = format!("`{raw}` has no quotes");
    Habit::at(
        start..start + raw.len(),
        message,
        format!("write `{quoted}`"),
    )
}

/// `image: "…"`, `stage load:`, `holding db:2`
fn colon(place: &Place<'_>) -> Option<Habit> {
    if place.found != ":" {
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
        let count = place
            .next()
            .next()
            .filter(|count| count.bytes().all(|b| b.is_ascii_digit()));
        return Habit::help(format!("write `{word}({})`", count.unwrap_or("n")));
    }
    if WAITS.contains(&word) {
        return Habit::help("write `after STAGE` in the stage's header");
    }
    Habit::help(format!("write `{word} = …`: attributes are set with `=`"))
}

/// `semaphore db = 5`, `stage a = {`, `when x = 3`
fn equals_sign(place: &Place<'_>) -> Option<Habit> {
    if place.found != "=" {
        return None;
    }
    if place.clause() == Some("when") {
        return Habit::help("compare with `==`");
    }
    let (kind, name) = (place.last(1)?, place.last(0)?);
    if !place.follows_declared_name() {
        return None;
    }
    let value = place
        .next()
        .next()
        .filter(|value| value.starts_with(|c: char| c.is_ascii_digit()));
    let attribute = match kind {
        "semaphore" => Some(("permits", "5")),
        "lease" => Some(("ttl", "30s")),
        "workspace" => Some(("size", "10Gi")),
        _ => None,
    };
    Habit::help(match attribute {
        Some((key, usual)) => {
            format!(
                "write `{kind} {name} {{ {key} = {} }}`",
                value.unwrap_or(usual)
            )
        }
        None => format!("write `{kind} {name} {{ … }}`, without `=`"),
    })
}

/// `stage …` without a pipeline, or a word that is nearly `pipeline`
fn outside_of_a_pipeline(place: &Place<'_>) -> Option<Habit> {
    if !(place.wants(Rule::next_declaration) || place.wants(Rule::lone_declaration)) {
        return None;
    }
    if ITEM_WORDS.contains(&place.found) {
        let message = format!("`{}` stands outside of a pipeline", place.found);
        let written = place.at..place.at + place.found.len();
        return Habit::at(written, message, "put it into `pipeline NAME { … }`");
    }
    let meant = did_you_mean(place.found, ["import", "pipeline", "template"])?;
    Habit::help(format!("did you mean `{meant}`?"))
}

/// `stage "load"`
fn name_in_quotes(place: &Place<'_>) -> Option<Habit> {
    let inner = place.found.strip_prefix('"')?.strip_suffix('"')?;
    if !place.wants_name() && !place.follows_word_of_a_name() {
        return None;
    }
    Habit::help(match is_identifier(inner) {
        true => format!("write `{inner}`: names stand without quotes"),
        false => "write a name of letters, digits and `-`, without quotes".to_owned(),
    })
}

/// `stage 1load`
fn name_with_a_digit(place: &Place<'_>) -> Option<Habit> {
    if place.found.starts_with(|c: char| c.is_ascii_digit()) && place.follows_word_of_a_name() {
        return Habit::help("start the name with a letter");
    }
    None
}

/// `pipeline { … }`
fn no_name(place: &Place<'_>) -> Option<Habit> {
    if place.found == "{" && place.follows_word_of_a_name() {
        return Habit::help(format!("give it a name: `{} NAME {{ … }}`", place.last(0)?));
    }
    None
}

/// `param n = 3`, `template t(x)`
fn no_type(place: &Place<'_>) -> Option<Habit> {
    if !place.wants(Rule::param_decl) || !is_identifier(place.found) {
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
        place.found
    ))
}

/// `use python("…")`
fn use_with_parentheses(place: &Place<'_>) -> Option<Habit> {
    if place.found == "(" && place.last(1) == Some("use") {
        return Habit::help(format!("write `use {} {{ NAME = … }}`", place.last(0)?));
    }
    None
}

/// `import "python.kon" as py`
fn import_with_a_name(place: &Place<'_>) -> Option<Habit> {
    if place.found == "as" && place.last(1) == Some("import") {
        return Habit::help("remove it: a template is used by its own name");
    }
    None
}

/// `range(3)`, `1..=3`
fn other_range(place: &Place<'_>) -> Option<Habit> {
    if place.found == "(" && place.last(0) == Some("range") {
        let count = place
            .next()
            .next()
            .filter(|count| count.bytes().all(|b| b.is_ascii_digit()));
        return Habit::help(format!("write `0..<{}`", count.unwrap_or("n")));
    }
    if place.found == "=" && place.text[..place.at].ends_with("..") {
        return Habit::help("remove the `=`: both ends of `..` are in it");
    }
    None
}

/// `for region in eu, us {`
fn loop_without_brackets(place: &Place<'_>) -> Option<Habit> {
    if place.wants(Rule::kw_in) && place.has("for") && place.has("in") {
        return Habit::help("write a list in brackets: [\"a\", \"b\"]");
    }
    None
}

/// `after { … }`, `after [a, b]`
fn after_nothing_or_a_list(place: &Place<'_>) -> Option<Habit> {
    if place.last(0) != Some("after") {
        return None;
    }
    match place.found {
        "{" => Habit::help("name what it waits for, or remove `after`"),
        "[" => Habit::help("write `after a, b`, without brackets"),
        _ => None,
    }
}

/// A header that goes on with what is in the body
fn body_without_a_brace(place: &Place<'_>) -> Option<Habit> {
    if place.before.is_empty() && place.wants_clause() && matches!(place.next().next(), Some("=")) {
        return Habit::help("end the header with `{`: the body begins here");
    }
    None
}

/// `when not ok`
fn not_in_a_word(place: &Place<'_>) -> Option<Habit> {
    if place.last(0) == Some("not") && place.clause() == Some("when") {
        return Habit::help(format!("write `!{}`", place.found));
    }
    None
}

/// `after a b`, `after a and b`, `holding db 2`
fn names_without_a_comma(place: &Place<'_>) -> Option<Habit> {
    let clause = place
        .clause()
        .filter(|clause| matches!(*clause, "after" | "holding"))?;
    let last = place
        .last(0)
        .filter(|last| !CLAUSE_WORDS.contains(last) && *last != ",")?;
    if !place.wants_clause() {
        return None;
    }
    let is_number = place.found.bytes().all(|b| b.is_ascii_digit());
    if clause == "holding" && is_number {
        return Habit::help(format!("write `{last}({})`", place.found));
    }
    let next = place.next().find(|next| is_identifier(next));
    match place.found {
        "and" | "&" => Habit::help(format!("write a comma: `{last}, {}`", next.unwrap_or("…"))),
        "or" | "|" if clause == "after" => {
            Habit::help(format!("write `any({last}, {})`", next.unwrap_or("…")))
        }
        // Then it's a word of a clause, which comes first.
        found
            if WAITS.contains(&found) || WORDS.iter().any(|(words, _)| words.contains(&found)) =>
        {
            None
        }
        found if is_identifier(found) && did_you_mean(found, CLAUSE_WORDS).is_none() => {
            Habit::help(format!("write a comma between them: `{last}, {found}`"))
        }
        _ => None,
    }
}

/// `depends_on a`, `if x`
fn clause_of_another_language(place: &Place<'_>) -> Option<Habit> {
    if !place.wants_clause() {
        return None;
    }
    if WAITS.contains(&place.found) {
        let next = place
            .next()
            .find(|next| is_identifier(next) && *next != "on");
        return Habit::help(format!("write `after {}`", next.unwrap_or("STAGE")));
    }
    let (_, help) = WORDS
        .iter()
        .find(|(words, _)| words.contains(&place.found))?;
    Habit::help(*help)
}

/// `a and b`, `x & y`, `- item`, `;`
fn sign_of_another_language(place: &Place<'_>) -> Option<Habit> {
    Habit::help(match place.found {
        "&" | "|" => format!("write `{0}{0}`", place.found),
        "and" | "AND" => "write `&&`".to_owned(),
        "or" | "OR" => "write `||`".to_owned(),
        "not" | "NOT" => "write `!`".to_owned(),
        "-" => "list elements are written in brackets: [\"a\", \"b\"]".to_owned(),
        ";" => "remove it: a newline or a comma is enough".to_owned(),
        _ => return None,
    })
}

/// `stag a`, `stage b aftr a`
fn misspelt(place: &Place<'_>) -> Option<Habit> {
    let item = place
        .last(0)
        .and_then(|word| did_you_mean(word, ITEM_WORDS).filter(|near| *near != word));
    let clause = || did_you_mean(place.found, CLAUSE_WORDS).filter(|near| *near != place.found);
    Habit::help(format!("did you mean `{}`?", item.or_else(clause)?))
}

impl Place<'_> {
    /// Whether a word is before it that a name must follow.
    fn follows_word_of_a_name(&self) -> bool {
        const WORDS: [&str; 8] = [
            "approval",
            "lease",
            "param",
            "pipeline",
            "semaphore",
            "stage",
            "template",
            "workspace",
        ];
        matches!(self.last(0), Some(word) if WORDS.contains(&word))
    }
}

const CLAUSE_WORDS: [&str; 5] = ["after", "for", "holding", "quorum", "when"];
/// Words of others for `after`.
const WAITS: [&str; 11] = [
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
const WORDS: [(&[&str], &str); 3] = [
    (&["if", "unless", "where"], "write `when CONDITION`"),
    (
        &["each", "foreach", "loop", "matrix", "parallel"],
        "write `for NAME in [\"a\", \"b\"]`",
    ),
    (
        &[
            "acquire", "hold", "holds", "lock", "locking", "locks", "mutex", "with",
        ],
        "write `holding NAME`, of a semaphore or lease",
    ),
];
