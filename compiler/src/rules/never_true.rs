//! K0416: a condition that is never true.

use konductor_dsl::{Code, Diagnostic};

use crate::eval::{Values, compare};
use crate::limits::INPUTS_CHECKED_MAX;
use crate::pipeline::{Expr, Pipeline, Reference, Source, Stage, Term, When, same_address};
use crate::value::{Type, Value};

/// Reports conditions that are false whatever their parameters, loop variables and outputs are.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    for stage in &pipeline.stages {
        if let Some(when) = &stage.when
            && Domain::of(pipeline, Some(stage), &when.expr).is_never_true(&when.expr)
        {
            diagnostics.push(report(when));
        }
    }
    for when in pipeline
        .approvals
        .iter()
        .filter_map(|approval| approval.when.as_deref())
    {
        if Domain::of(pipeline, None, &when.expr).is_never_true(&when.expr) {
            diagnostics.push(report(when));
        }
    }
}

fn report(when: &When) -> Diagnostic {
    Diagnostic::warning(Code::K0416, when.span, "this is never true")
        .here("false for every value that it can have")
        .help("correct the condition, or write `when false` to switch the stage off")
}

/// The inputs of a condition, and for each the values that can make a difference.
struct Domain<'p> {
    pipeline: &'p Pipeline,
    inputs: Vec<(&'p Source, Vec<Value>)>,
}

impl<'p> Domain<'p> {
    fn of(pipeline: &'p Pipeline, stage: Option<&'p Stage>, expr: &'p Expr) -> Self {
        let mut terms = Vec::new();
        collect(expr, &mut terms);
        let literals: Vec<&Value> = terms.iter().flat_map(|term| literals(term)).collect();
        if terms.len() > INPUTS_CHECKED_MAX {
            return Self {
                pipeline,
                inputs: Vec::new(),
            };
        }
        let mut domain = Self {
            pipeline,
            inputs: Vec::new(),
        };
        for term in terms {
            let Term::Reference(reference) = term else {
                continue;
            };
            if domain.place(&reference.source).is_none() {
                let values = candidates(reference, stage, &literals);
                domain.inputs.push((&reference.source, values));
            }
        }
        domain
    }

    fn place(&self, source: &Source) -> Option<usize> {
        self.inputs
            .iter()
            .position(|(input, _)| same(input, source))
    }

    /// Tries every combination. If there are too many, or an input can be anything, nothing is
    /// said.
    fn is_never_true(&self, expr: &Expr) -> bool {
        const COMBINATIONS_MAX: usize = 10_000;
        let counts = self.inputs.iter().map(|(_, values)| values.len());
        let count = counts
            .clone()
            .try_fold(1_usize, usize::checked_mul)
            .unwrap_or(usize::MAX);
        if self.inputs.is_empty() || count == 0 || count > COMBINATIONS_MAX {
            return false;
        }
        let mut chosen = vec![0; self.inputs.len()];
        for _ in 0..count {
            if self.truth(expr, &chosen) != Some(false) {
                return false;
            }
            for (place, (_, values)) in chosen.iter_mut().zip(&self.inputs) {
                *place += 1;
                if *place < values.len() {
                    break;
                }
                *place = 0;
            }
        }
        true
    }

    fn truth(&self, expr: &Expr, chosen: &[usize]) -> Option<bool> {
        match expr {
            Expr::Or(parts) => self.joined(parts, chosen, true),
            Expr::And(parts) => self.joined(parts, chosen, false),
            Expr::Not(inner) => self.truth(inner, chosen).map(|value| !value),
            Expr::Bool(term) => match self.value(term, chosen)? {
                Value::Bool(value) => Some(value),
                _ => None,
            },
            Expr::Compare {
                operator,
                left,
                right,
            } => {
                let (left, right) = (self.value(left, chosen)?, self.value(right, chosen)?);
                Some(compare(*operator, &left, &right))
            }
        }
    }

    fn joined(&self, parts: &[Expr], chosen: &[usize], decisive: bool) -> Option<bool> {
        let mut all_known = true;
        for part in parts {
            match self.truth(part, chosen) {
                Some(value) if value == decisive => return Some(decisive),
                Some(_) => {}
                None => all_known = false,
            }
        }
        all_known.then_some(!decisive)
    }

    fn value(&self, term: &Term, chosen: &[usize]) -> Option<Value> {
        match term {
            Term::Reference(reference) => {
                let place = self.place(&reference.source)?;
                self.inputs[place].1.get(chosen[place]).cloned()
            }
            other => Values::of(self.pipeline).term(other),
        }
    }
}

fn same(left: &Source, right: &Source) -> bool {
    match (left, right) {
        (
            Source::Output {
                stage,
                address,
                output,
            },
            Source::Output {
                stage: other,
                address: other_address,
                output: other_output,
            },
        ) => stage == other && output == other_output && same_address(address, other_address),
        (Source::RunOutcome, Source::RunOutcome) => true,
        _ => left.is_same_input(right),
    }
}

fn collect<'e>(expr: &'e Expr, terms: &mut Vec<&'e Term>) {
    match expr {
        Expr::Or(parts) | Expr::And(parts) => parts.iter().for_each(|part| collect(part, terms)),
        Expr::Not(inner) => collect(inner, terms),
        Expr::Bool(term) => terms.push(term),
        Expr::Compare { left, right, .. } => terms.extend([left, right]),
    }
}

fn literals(term: &Term) -> Vec<&Value> {
    match term {
        Term::Value(Value::List(values)) => values.iter().collect(),
        Term::Value(value) => vec![value],
        Term::List(terms) => terms.iter().flat_map(literals).collect(),
        Term::Reference(_) | Term::Text(_) | Term::Every | Term::Unknown => Vec::new(),
    }
}

/// The values of an input that can make a difference: all of a small type, else what it is compared
/// with, what is beside that, and the bounds. None where it can be anything.
fn candidates(reference: &Reference, stage: Option<&Stage>, literals: &[&Value]) -> Vec<Value> {
    let items = stage.and_then(|stage| stage.items.as_ref());
    if let (
        Source::Loop {
            variable,
            field: None,
            ..
        },
        Some(items),
    ) = (&reference.source, items)
    {
        let mut values: Vec<Value> = Vec::new();
        for value in items.iter().filter_map(|item| item.values.get(*variable)) {
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
        return values;
    }
    match &reference.ty {
        Type::Bool => vec![Value::Bool(false), Value::Bool(true)],
        Type::Words(words) => words.iter().cloned().map(Value::String).collect(),
        Type::Int(range) => {
            let numbers = literals.iter().filter_map(|value| match value {
                Value::Int(number) => Some(*number),
                _ => None,
            });
            let near = numbers.flat_map(|n| [n.saturating_sub(1), n, n.saturating_add(1)]);
            let bounds = range
                .iter()
                .flat_map(|range| [*range.start(), *range.end()]);
            let mut all: Vec<i64> = near.chain(bounds).collect();
            all.retain(|n| range.as_ref().is_none_or(|range| range.contains(n)));
            all.sort_unstable();
            all.dedup();
            all.into_iter().map(Value::Int).collect()
        }
        _ => Vec::new(),
    }
}
