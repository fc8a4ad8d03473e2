//! Values of references, texts and conditions for one item of a fan-out.
//!
//! What enters: resolved terms, the parameters and the item's values. What leaves: values, or for a
//! condition that needs outputs, the CEL expression that the Gate evaluates. What must never happen
//! here: a diagnostic; types were checked before.

use std::borrow::Cow;
use std::cmp::Ordering;

use konductor_api::gate::COMPARE_NUMBERS;
use konductor_api::number::{compare_numbers, parse_quantity};

use crate::pipeline::{
    Expr, Operator, Param, Piece, Pipeline, Security, Setting, Source, Term, Text,
};
use crate::value::{Type, Value};

/// What is known about one item before the run.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    pub params: &'a [Param],
    pub item: &'a [Value],
}

impl<'a> Values<'a> {
    /// Outside any fan-out.
    pub(crate) fn of(pipeline: &'a Pipeline) -> Self {
        Self {
            params: &pipeline.params,
            item: &[],
        }
    }

    /// The value of a source; `None` if it is known only at run time, or a parameter has none.
    pub(crate) fn source<'b>(&self, source: &'b Source) -> Option<Cow<'b, Value>>
    where
        'a: 'b,
    {
        match source {
            Source::Constant { value, .. } => Some(Cow::Borrowed(value)),
            Source::Param { param, field } => {
                let value = self.params.get(*param)?.value.as_ref()?;
                part(value, field.as_deref()).map(Cow::Borrowed)
            }
            Source::Loop {
                variable, field, ..
            } => part(self.item.get(*variable)?, field.as_deref()).map(Cow::Borrowed),
            Source::Argument { value, .. } => self.term(value).map(Cow::Owned),
            Source::Output { .. }
            | Source::OwnOutput { .. }
            | Source::Token { .. }
            | Source::Workspace { .. }
            | Source::RunOutcome => None,
        }
    }

    /// The value of a term, where it is known.
    pub(crate) fn term(&self, term: &Term) -> Option<Value> {
        match term {
            Term::Value(value) => Some(value.clone()),
            Term::Reference(reference) => self.source(&reference.source).map(Cow::into_owned),
            Term::Every | Term::Unknown => None,
            Term::Text(text) => self.text(text).map(Value::String),
            Term::List(terms) => {
                let values = terms.iter().map(|term| self.term(term));
                values.collect::<Option<Vec<_>>>().map(Value::List)
            }
        }
    }

    /// A text, where all of it is known.
    pub(crate) fn text(&self, text: &Text) -> Option<String> {
        let mut whole = String::new();
        for piece in &text.pieces {
            match piece {
                Piece::Literal(literal) => whole.push_str(literal),
                Piece::Reference(reference) => {
                    whole.push_str(&self.source(&reference.source)?.text());
                }
            }
        }
        Some(whole)
    }

    /// How many bytes a text has, as far as it is known.
    pub(crate) fn length(&self, text: &Text) -> usize {
        let lengths = text.pieces.iter().map(|piece| match piece {
            Piece::Literal(literal) => literal.len(),
            Piece::Reference(reference) => self
                .source(&reference.source)
                .map_or(0, |value| value.text().len()),
        });
        lengths.fold(0, usize::saturating_add)
    }

    /// How many bytes a term's value has, as far as it is known.
    pub(crate) fn term_length(&self, term: &Term) -> usize {
        match term {
            Term::Every | Term::Unknown => 0,
            Term::Value(value) => value.text().len(),
            Term::Reference(reference) => self
                .source(&reference.source)
                .map_or(0, |value| value.text().len()),
            Term::Text(text) => self.length(text),
            Term::List(terms) => terms
                .iter()
                .map(|term| self.term_length(term))
                .fold(0, usize::saturating_add),
        }
    }

    /// A whole number that an attribute takes.
    pub(crate) fn int(&self, setting: &Option<Setting>) -> Option<i64> {
        match self.term(&setting.as_ref()?.term)? {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    /// Milliseconds that an attribute takes.
    pub(crate) fn millis(&self, setting: &Option<Setting>) -> Option<u64> {
        match self.term(&setting.as_ref()?.term)? {
            Value::Duration(millis) => Some(millis),
            _ => None,
        }
    }

    /// Whether an attribute is set and true.
    pub(crate) fn is_true(&self, setting: &Option<Setting>) -> bool {
        let value = setting
            .as_ref()
            .and_then(|setting| self.term(&setting.term));
        value == Some(Value::Bool(true))
    }

    /// The level of security that an attribute takes: the lower one only if that is what it says, or if it is
    /// not set.
    pub(crate) fn security(&self, setting: &Option<Setting>) -> Security {
        let Some(setting) = setting else {
            return Security::Baseline;
        };
        let value = self.term(&setting.term);
        let level = value.and_then(|value| Security::parse(&value.text()));
        level.unwrap_or(Security::Restricted)
    }

    /// A quantity that an attribute takes, as it is written.
    pub(crate) fn quantity(&self, setting: &Option<Setting>) -> Option<String> {
        Some(self.term(&setting.as_ref()?.term)?.text())
    }
}

fn part<'v>(value: &'v Value, field: Option<&str>) -> Option<&'v Value> {
    match field {
        None => Some(value),
        Some(field) => value.field(field),
    }
}

/// What is known of a condition before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    /// It is true or false whatever happens.
    Known(bool),
    /// A parameter it needs has no value: the file is only being checked.
    Unknown,
    /// The run decides; a CEL expression.
    RunTime(String),
}

/// Where an expression reads outputs: the name of the Job of a stage's item; `None` if the item has no Job,
/// because the item is left out.
pub(crate) type JobName<'a> = &'a dyn Fn(usize, &[Term]) -> Option<String>;

/// Evaluates a condition for one item.
pub(crate) struct Condition<'a> {
    pub values: Values<'a>,
    pub pipeline: &'a Pipeline,
    pub job_name: JobName<'a>,
}

impl Condition<'_> {
    /// What is known of it, and the rest as CEL.
    pub(crate) fn truth(&self, expr: &Expr) -> Truth {
        match expr {
            Expr::Or(parts) => self.joined(parts, true),
            Expr::And(parts) => self.joined(parts, false),
            Expr::Not(inner) => match self.truth(inner) {
                Truth::Known(value) => Truth::Known(!value),
                Truth::Unknown => Truth::Unknown,
                Truth::RunTime(cel) => Truth::RunTime(format!("!({cel})")),
            },
            Expr::Bool(term) => match self.value(term) {
                Some(Value::Bool(value)) => Truth::Known(value),
                _ => self.cel(term, false).map_or(Truth::Unknown, Truth::RunTime),
            },
            Expr::Compare {
                operator,
                left,
                right,
            } => self.compared(*operator, left, right),
        }
    }

    /// `decisive` is the value that decides the whole: true for `||`, false for `&&`.
    fn joined(&self, parts: &[Expr], decisive: bool) -> Truth {
        let mut rest = Vec::new();
        let mut unknown = false;
        for part in parts {
            match self.truth(part) {
                Truth::Known(value) if value == decisive => return Truth::Known(decisive),
                Truth::Known(_) => {}
                Truth::Unknown => unknown = true,
                Truth::RunTime(cel) => rest.push(cel),
            }
        }
        if unknown {
            return Truth::Unknown;
        }
        match rest.as_slice() {
            [] => Truth::Known(!decisive),
            [only] => Truth::RunTime(only.clone()),
            _ => Truth::RunTime(format!(
                "({})",
                rest.join(if decisive { " || " } else { " && " })
            )),
        }
    }

    fn compared(&self, operator: Operator, left: &Term, right: &Term) -> Truth {
        if let (Some(left), Some(right)) = (self.value(left), self.value(right)) {
            return Truth::Known(compare(operator, &left, &right));
        }
        if is_decimal(left) || is_decimal(right) {
            let compared = self.compared_numbers(operator, left, right);
            return compared.map_or(Truth::Unknown, Truth::RunTime);
        }
        let (Some(left), Some(right)) = (self.cel(left, false), self.cel(right, false)) else {
            return Truth::Unknown;
        };
        let sign = sign(operator);
        Truth::RunTime(format!("{left} {sign} {right}"))
    }

    /// A comparison of numbers in CEL, whose own would round them.
    fn compared_numbers(&self, operator: Operator, left: &Term, right: &Term) -> Option<String> {
        let (left, right) = (self.cel(left, true)?, self.cel(right, true)?);
        Some(match operator {
            Operator::In => format!("{right}.exists(n, {COMPARE_NUMBERS}({left}, n) == 0)"),
            _ => format!("{COMPARE_NUMBERS}({left}, {right}) {} 0", sign(operator)),
        })
    }

    /// The value of a term, where it is known. An item that is left out writes nothing, so its output is
    /// the default.
    fn value(&self, term: &Term) -> Option<Value> {
        if let Term::Reference(reference) = term
            && let Source::Output {
                stage,
                address,
                output,
            } = &reference.source
            && (self.job_name)(*stage, address).is_none()
        {
            let source = self.pipeline.stages.get(*stage)?;
            return source.body.outputs.get(*output)?.default.clone();
        }
        self.values.term(term)
    }

    /// A side of a comparison in CEL; `as_number` if one of them is a decimal number: then its text.
    fn cel(&self, term: &Term, as_number: bool) -> Option<String> {
        let literal = |value: &Value| cel_literal(value, as_number);
        if let Some(value) = self.value(term) {
            return Some(literal(&value));
        }
        let Term::Reference(reference) = term else {
            return None;
        };
        match &reference.source {
            Source::RunOutcome => Some("run.outcome".to_owned()),
            Source::Output {
                stage,
                address,
                output,
            } => {
                let output = self
                    .pipeline
                    .stages
                    .get(*stage)?
                    .body
                    .outputs
                    .get(*output)?;
                let job = cel_string(&(self.job_name)(*stage, address)?);
                let name = cel_string(&output.name.text);
                let value = format!("outputs[{job}][{name}]");
                let value = match as_number {
                    true => value,
                    false => converted(&value, &output.ty),
                };
                Some(match &output.default {
                    None => value,
                    Some(default) => format!(
                        "({job} in outputs && {name} in outputs[{job}] ? {value} : {})",
                        literal(default)
                    ),
                })
            }
            _ => None,
        }
    }
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Equal => "==",
        Operator::NotEqual => "!=",
        Operator::Less => "<",
        Operator::LessOrEqual => "<=",
        Operator::Greater => ">",
        Operator::GreaterOrEqual => ">=",
        Operator::In => "in",
    }
}

fn converted(value: &str, ty: &Type) -> String {
    match ty {
        Type::Int(_) => format!("int({value})"),
        Type::Bool => format!("({value} == 'true')"),
        _ => value.to_owned(),
    }
}

/// Whether a side of a comparison is a decimal number, or a list of them.
fn is_decimal(term: &Term) -> bool {
    let is_number = |ty: &Type| match ty {
        Type::List(item) => **item == Type::Number,
        other => *other == Type::Number,
    };
    match term {
        Term::Value(Value::Number(_)) => true,
        Term::Value(Value::List(values)) => values.iter().any(|v| matches!(v, Value::Number(_))),
        Term::List(terms) => terms.iter().any(is_decimal),
        Term::Reference(reference) => is_number(&reference.ty),
        Term::Value(_) | Term::Text(_) | Term::Every | Term::Unknown => false,
    }
}

fn cel_literal(value: &Value, as_number: bool) -> String {
    match value {
        Value::Int(_) | Value::Number(_) if as_number => cel_string(&value.text()),
        Value::Int(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::List(values) => {
            let values = values.iter().map(|value| cel_literal(value, as_number));
            let values: Vec<String> = values.collect();
            format!("[{}]", values.join(", "))
        }
        other => cel_string(&other.text()),
    }
}

fn cel_string(text: &str) -> String {
    let mut literal = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => literal.push_str("\\'"),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            c if c.is_control() => literal.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => literal.push(c),
        }
    }
    literal.push('\'');
    literal
}

/// Compares two values of one type.
pub(crate) fn compare(operator: Operator, left: &Value, right: &Value) -> bool {
    match operator {
        Operator::Equal => equal(left, right),
        Operator::NotEqual => !equal(left, right),
        Operator::Less => order(left, right) == Some(Ordering::Less),
        Operator::LessOrEqual => {
            matches!(order(left, right), Some(Ordering::Less | Ordering::Equal))
        }
        Operator::Greater => order(left, right) == Some(Ordering::Greater),
        Operator::GreaterOrEqual => {
            matches!(
                order(left, right),
                Some(Ordering::Greater | Ordering::Equal)
            )
        }
        Operator::In => match right {
            Value::List(values) => values.iter().any(|value| equal(left, value)),
            _ => false,
        },
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Quantity(_), Value::Quantity(_))
        | (Value::Number(_), Value::Number(_) | Value::Int(_))
        | (Value::Int(_), Value::Number(_)) => order(left, right) == Some(Ordering::Equal),
        _ => left == right,
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Duration(left), Value::Duration(right)) => Some(left.cmp(right)),
        (Value::Number(_), Value::Number(_) | Value::Int(_))
        | (Value::Int(_), Value::Number(_)) => compare_numbers(&left.text(), &right.text()).ok(),
        (Value::Quantity(left), Value::Quantity(right)) => {
            Some(parse_quantity(left)?.cmp(&parse_quantity(right)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_int_and_a_number_are_compared_to_the_last_digit() {
        use Operator::*;
        let int = Value::Int(9_007_199_254_740_993);
        let number = |text: &str| Value::Number(text.to_owned());
        let below = number("9007199254740992.5");
        for (operator, expected) in [
            (Equal, false),
            (NotEqual, true),
            (Less, false),
            (LessOrEqual, false),
            (Greater, true),
            (GreaterOrEqual, true),
        ] {
            assert_eq!(compare(operator, &int, &below), expected, "{operator:?}");
        }
        let list = |last: Value| Value::List(vec![number("0.5"), last]);
        assert!(!compare(In, &int, &list(below)));
        assert!(compare(In, &int, &list(number("9007199254740993.0"))));
    }
}
