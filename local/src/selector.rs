//! Which objects a request is about: label selectors and field selectors.
//!
//! Text from a query enters; a predicate on objects leaves. What can't be read is a bad request,
//! never a selector that matches something else.

use serde_json::Value;

use crate::field::{Path, quote};
use crate::kind::Kind;
use crate::names;
use crate::status::Status;

/// The groups whose kinds say in their own words which fields they are not selected by.
const BUILTIN_GROUPS: [&str; 4] = [
    "batch",
    "coordination.k8s.io",
    "rbac.authorization.k8s.io",
    "apiextensions.k8s.io",
];

/// How a value is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
    Greater(i64),
    Less(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

/// A label selector: all its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Requirement>);

/// A field selector: all its terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<FieldTerm>);

/// A field that is, or is not, a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldTerm {
    pub(crate) path: String,
    pub(crate) equal: bool,
    pub(crate) value: String,
}

impl LabelSelector {
    /// Reads a selector such as `app=web,tier in (a, b),!legacy`.
    pub(crate) fn parse(text: &str) -> Result<Self, Status> {
        Parser::new(text)
            .requirements()
            .map(Self)
            .map_err(|why| Status::bad_request(format!("unable to parse requirement: {why}")))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object has such labels.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0
            .iter()
            .all(|requirement| requirement.matches(labels[&requirement.key].as_str()))
    }
}

impl Requirement {
    fn matches(&self, label: Option<&str>) -> bool {
        let number = || label.and_then(|label| label.parse::<i64>().ok());
        match &self.operator {
            Operator::In(values) => {
                label.is_some_and(|label| values.iter().any(|value| value == label))
            }
            Operator::NotIn(values) => {
                label.is_none_or(|label| values.iter().all(|value| value != label))
            }
            Operator::Exists => label.is_some(),
            Operator::Missing => label.is_none(),
            Operator::Greater(limit) => number().is_some_and(|number| number > *limit),
            Operator::Less(limit) => number().is_some_and(|number| number < *limit),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Symbol(&'static str),
}

const SYMBOLS: [&str; 9] = ["!=", "==", "=", "!", ",", "(", ")", ">", "<"];

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            tokens.push(Token::Symbol(symbol));
            rest = rest[symbol.len()..].trim_start();
            continue;
        }
        let end = rest
            .find(|character: char| character.is_whitespace() || "=!,()><".contains(character))
            .unwrap_or(rest.len());
        tokens.push(Token::Word(rest[..end].to_owned()));
        rest = rest[end..].trim_start();
    }
    tokens
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    fn new(text: &str) -> Self {
        Self {
            tokens: tokens(text).into_iter().peekable(),
        }
    }

    fn next_is(&mut self, symbol: &str) -> bool {
        let is = matches!(self.tokens.peek(), Some(Token::Symbol(next)) if *next == symbol);
        if is {
            self.tokens.next();
        }
        is
    }

    fn found(&mut self) -> String {
        match self.tokens.next() {
            Some(Token::Word(word)) => word,
            Some(Token::Symbol(symbol)) => symbol.to_owned(),
            None => String::new(),
        }
    }

    fn requirements(mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        if self.tokens.peek().is_none() {
            return Ok(requirements);
        }
        loop {
            requirements.push(self.requirement()?);
            if self.tokens.peek().is_none() {
                return Ok(requirements);
            }
            if !self.next_is(",") {
                return Err(format!(
                    "found '{}', expected: ',' or 'end of string'",
                    self.found()
                ));
            }
            if self.tokens.peek().is_none() {
                return Err("found '', expected: identifier after ','".to_owned());
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let missing = self.next_is("!");
        let key = match self.tokens.next() {
            Some(Token::Word(word)) => word,
            Some(Token::Symbol(symbol)) => {
                return Err(format!(
                    "found '{symbol}', expected: !, identifier, or 'end of string'"
                ));
            }
            None => return Err("found '', expected: identifier".to_owned()),
        };
        let path = Path::new("key");
        if let Some(why) = names::qualified_name(&key).first() {
            let cause = path.invalid(key.as_str(), why);
            return Err(format!("{}: {}", path.as_str(), cause.message));
        }
        let operator = if missing {
            Operator::Missing
        } else {
            self.operator(&key)?
        };
        Ok(Requirement { key, operator })
    }

    fn operator(&mut self, key: &str) -> Result<Operator, String> {
        match self.tokens.peek() {
            None | Some(Token::Symbol(",")) => return Ok(Operator::Exists),
            _ => {}
        }
        let word = self.found();
        match word.as_str() {
            "=" | "==" => Ok(Operator::In(vec![self.value(key)?])),
            "!=" => Ok(Operator::NotIn(vec![self.value(key)?])),
            "in" => Ok(Operator::In(self.values(key)?)),
            "notin" => Ok(Operator::NotIn(self.values(key)?)),
            ">" => Ok(Operator::Greater(self.integer()?)),
            "<" => Ok(Operator::Less(self.integer()?)),
            _ => Err(format!(
                "found '{word}', expected: in, notin, =, ==, !=, gt, lt"
            )),
        }
    }

    /// A value, which may be empty.
    fn value(&mut self, key: &str) -> Result<String, String> {
        match self.tokens.peek() {
            None | Some(Token::Symbol(",")) => Ok(String::new()),
            Some(Token::Word(_)) => {
                let value = self.found();
                check_value(key, &value).map(|()| value)
            }
            Some(Token::Symbol(symbol)) => Err(format!("found '{symbol}', expected: identifier")),
        }
    }

    fn integer(&mut self) -> Result<i64, String> {
        let word = self.found();
        word.parse().map_err(|_| {
            let path = Path::new("values").index(0);
            let why = "for 'Gt', 'Lt' operators, the value must be an integer";
            format!(
                "{}: {}",
                path.as_str(),
                path.invalid(word.as_str(), why).message
            )
        })
    }

    fn values(&mut self, key: &str) -> Result<Vec<String>, String> {
        if !self.next_is("(") {
            return Err(format!("found '{}' expected: '('", self.found()));
        }
        let mut values = Vec::new();
        loop {
            let value = match self.tokens.peek() {
                Some(Token::Word(_)) => self.found(),
                Some(Token::Symbol("," | ")")) => String::new(),
                _ => {
                    return Err(format!(
                        "found '{}', expected: ',', or identifier",
                        self.found()
                    ));
                }
            };
            check_value(key, &value)?;
            values.push(value);
            if self.next_is(")") {
                return Ok(values);
            }
            if !self.next_is(",") {
                return Err(format!("found '{}', expected: ',' or ')'", self.found()));
            }
        }
    }
}

fn check_value(key: &str, value: &str) -> Result<(), String> {
    let path = Path::new("values").index(0).key(key);
    match names::label_value(value).first() {
        Some(why) => Err(format!(
            "{}: {}",
            path.as_str(),
            path.invalid(value, why).message
        )),
        None => Ok(()),
    }
}

impl FieldSelector {
    /// Reads a selector such as `metadata.name=a,status.phase!=Running`.
    pub(crate) fn parse(text: &str) -> Result<Self, Status> {
        let terms = split_terms(text)
            .into_iter()
            .filter(|term| !term.is_empty());
        terms
            .map(|term| {
                FieldTerm::parse(&term).ok_or_else(|| {
                    Status::bad_request(format!(
                        "invalid selector: '{text}'; can't understand '{term}'"
                    ))
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The object of this name, and no other.
    pub(crate) fn of_name(name: &str) -> Self {
        Self(vec![FieldTerm {
            path: "metadata.name".to_owned(),
            equal: true,
            value: name.to_owned(),
        }])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn terms(&self) -> &[FieldTerm] {
        &self.0
    }

    /// The name that an object must have, if it must have one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0
            .iter()
            .find(|term| term.path == "metadata.name" && term.equal)
            .map(|term| term.value.as_str())
    }

    /// Whether an object's fields are so.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0
            .iter()
            .all(|term| (printed(object, &term.path) == term.value) == term.equal)
    }
}

/// A field as selectors compare it.
fn printed(object: &Value, path: &str) -> String {
    if path == "status.successful" {
        // What a Job calls succeeded, and counts from nothing.
        let succeeded = object["status"]["succeeded"].as_i64();
        return succeeded.unwrap_or_default().to_string();
    }
    let value = path.split('.').fold(object, |value, name| &value[name]);
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl FieldTerm {
    fn parse(term: &str) -> Option<Self> {
        let (path, equal, value) = ["!=", "==", "="]
            .iter()
            .filter_map(|operator| Some((term.find(operator)?, *operator)))
            .min_by_key(|(at, operator)| (*at, std::cmp::Reverse(operator.len())))
            .map(|(at, operator)| (&term[..at], operator != "!=", &term[at + operator.len()..]))?;
        Some(Self {
            path: path.to_owned(),
            equal,
            value: value
                .replace("\\,", ",")
                .replace("\\=", "=")
                .replace("\\\\", "\\"),
        })
    }

    /// The message for a field that can't be selected by.
    pub(crate) fn unsupported(&self, kind: &Kind) -> String {
        let path = quote(&self.path);
        match (kind.group(), kind.kind.as_ref()) {
            ("batch", "Job") => format!("field label {path} not supported for Job"),
            ("", "Pod" | "Namespace" | "Secret" | "Event") | ("events.k8s.io", "Event") => {
                format!("field label not supported: {}", self.path)
            }
            (group, _) if group.is_empty() || BUILTIN_GROUPS.contains(&group) => format!(
                "{path} is not a known field selector: only \"metadata.name\", \
                 \"metadata.namespace\""
            ),
            _ => format!("field label not supported: {}", self.path),
        }
    }
}

/// Splits at commas that are not escaped.
fn split_terms(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut escaped = false;
    for character in text.chars() {
        if character == ',' && !escaped {
            terms.push(String::new());
            continue;
        }
        escaped = character == '\\' && !escaped;
        if let Some(term) = terms.last_mut() {
            term.push(character);
        }
    }
    terms
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matching(selector: &str) -> Vec<&'static str> {
        let selector = LabelSelector::parse(selector).expect(selector);
        let objects = [
            (
                "a",
                json!({"metadata": {"labels": {"app": "web", "tier": "1"}}}),
            ),
            (
                "b",
                json!({"metadata": {"labels": {"app": "db", "tier": "2"}}}),
            ),
            ("c", json!({"metadata": {}})),
        ];
        let matching = objects
            .iter()
            .filter(|(_, object)| selector.matches(object));
        matching.map(|(name, _)| *name).collect()
    }

    #[test]
    fn label_selectors_mean_what_kubernetes_says() {
        for (selector, expected) in [
            ("", vec!["a", "b", "c"]),
            ("app=web", vec!["a"]),
            ("app==web,tier=1", vec!["a"]),
            ("app!=web", vec!["b", "c"]),
            ("app in (web, db)", vec!["a", "b"]),
            ("app notin (web)", vec!["b", "c"]),
            ("app", vec!["a", "b"]),
            ("!app", vec!["c"]),
            ("tier>1", vec!["b"]),
            ("tier < 2", vec!["a"]),
            ("app=", vec![]),
        ] {
            assert_eq!(matching(selector), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_not_a_label_selector_is_a_bad_request() {
        for selector in [
            "app in web",
            "=web",
            "app=web,",
            "app~web",
            "app in (web",
            "-=a",
        ] {
            let status = LabelSelector::parse(selector).expect_err(selector);
            assert_eq!(status.code, 400, "{selector}: {status}");
        }
    }

    #[test]
    fn field_selectors_compare_the_printed_value() {
        let object = json!({"metadata": {"name": "a"}, "status": {"phase": "x=y", "ready": 2}});
        for (selector, matches) in [
            ("metadata.name=a", true),
            ("metadata.name!=a", false),
            ("status.phase=x\\=y", true),
            ("status.ready==2,metadata.name=a", true),
            ("spec.gate=", true),
            ("spec.gate!=", false),
        ] {
            let selector = FieldSelector::parse(selector).expect(selector);
            assert_eq!(selector.matches(&object), matches, "{selector:?}");
        }
        assert!(FieldSelector::parse("metadata.name").is_err());
    }
}
