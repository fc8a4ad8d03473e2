//! A Gate's `when`: a CEL expression over the outputs of the Jobs that it waits for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use cel::{Context, ExecutionError, Program, Value};
use konductor_api::gate::COMPARE_NUMBERS;
use konductor_api::number::compare_numbers;

/// Evaluates `when`. `outputs` has one entry for each Job that the Gate waits for by name; `outcome` is
/// that of the Run it waits for, as `run.outcome`.
///
/// # Errors
/// Why it has no answer, in words for the author: it does not parse, reads a value that is not
/// there, or gives something else than true or false.
pub(crate) fn evaluate(
    when: &str,
    outputs: &BTreeMap<String, BTreeMap<String, String>>,
    outcome: Option<&str>,
) -> Result<bool, String> {
    let program = Program::compile(when).map_err(|error| error.to_string())?;
    let mut context = Context::default();
    let compare = |left: Arc<String>, right: Arc<String>| {
        let order = compare_numbers(&left, &right);
        order
            .map(|order| i64::from(order as i8))
            .map_err(|error| ExecutionError::function_error(COMPARE_NUMBERS, error))
    };
    context
        .add_function(COMPARE_NUMBERS, compare)
        .map_err(|error| error.to_string())?;
    let value: HashMap<String, HashMap<String, String>> = outputs
        .iter()
        .map(|(job, values)| (job.clone(), values.clone().into_iter().collect()))
        .collect();
    context.add_variable_from_value("outputs", value);
    if let Some(outcome) = outcome {
        let run = HashMap::from([("outcome".to_owned(), outcome.to_owned())]);
        context.add_variable_from_value("run", run);
    }
    match program
        .execute(&context)
        .map_err(|error| in_words(&error))?
    {
        Value::Bool(answer) => Ok(answer),
        other => Err(format!("it gives {}, not true or false", other.type_of())),
    }
}

/// A value that a `when` reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The outcome of the Run.
    Outcome,
    /// An output of a Job.
    Output { job: String, output: String },
}

/// What a `when` reads, each once, in its order.
pub(crate) fn reads(when: &str) -> Vec<Read> {
    let mut reads = Vec::new();
    if let Ok(program) = Program::compile(when) {
        collect(program.expression(), &mut reads);
    }
    reads
}

fn collect(expr: &IdedExpr, reads: &mut Vec<Read>) {
    let read = match path(expr).as_deref() {
        Some(["outputs", job, output]) => Some(Read::Output {
            job: (*job).to_owned(),
            output: (*output).to_owned(),
        }),
        Some(["run", "outcome"]) => Some(Read::Outcome),
        Some(_) | None => None,
    };
    if let Some(read) = read {
        if !reads.contains(&read) {
            reads.push(read);
        }
        return;
    }
    match &expr.expr {
        Expr::Call(call) => {
            let parts = call.target.iter().map(AsRef::as_ref).chain(&call.args);
            parts.for_each(|part| collect(part, reads));
        }
        Expr::Select(select) => collect(&select.operand, reads),
        Expr::List(list) => list.elements.iter().for_each(|part| collect(part, reads)),
        Expr::Comprehension(all) => {
            let parts = [&all.iter_range, &all.accu_init, &all.loop_cond];
            let parts = parts.into_iter().chain([&all.loop_step, &all.result]);
            parts.for_each(|part| collect(part, reads));
        }
        // What is made here is compared with what is read elsewhere.
        Expr::Map(_) | Expr::Struct(_) => {}
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
    }
}

/// The way from a variable to a value of it: `outputs['a'].rows` and `outputs.a.rows` are the same.
fn path(expr: &IdedExpr) -> Option<Vec<&str>> {
    let (before, last) = match &expr.expr {
        Expr::Ident(name) => return Some(vec![name]),
        Expr::Select(select) => (select.operand.as_ref(), select.field.as_str()),
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [before, key] => match &key.expr {
                Expr::Literal(LiteralValue::String(key)) => (before, key.inner()),
                _ => return None,
            },
            _ => return None,
        },
        _ => return None,
    };
    let mut path = path(before)?;
    path.push(last);
    Some(path)
}

/// An error of evaluation for the author of the condition, who need not know CEL.
fn in_words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("it reads `{key}`, which does not exist"),
        ExecutionError::UndeclaredReference(name) => {
            format!("it reads `{name}`, which does not exist here")
        }
        ExecutionError::FunctionError { function, .. } => match function.as_str() {
            "int" => "a value that it reads is not a whole number".to_owned(),
            "double" | COMPARE_NUMBERS => "a value that it reads is not a number".to_owned(),
            "duration" => "a value that it reads is not a duration".to_owned(),
            "timestamp" => "a value that it reads is not a time".to_owned(),
            other => format!("`{other}` has no result for a value that it reads"),
        },
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "it divides by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a number in it becomes too large".to_owned(),
        _ => "the values that it compares are not of one type".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_condition_reads_is_found_in_each_way_to_write_it() {
        let output = |job: &str, output: &str| Read::Output {
            job: job.to_owned(),
            output: output.to_owned(),
        };
        let table = [
            ("outputs['r-a'].rows > '1'", vec![output("r-a", "rows")]),
            (
                "!(int(outputs['r-a']['rows']) > 1) && run.outcome != ''",
                vec![output("r-a", "rows"), Read::Outcome],
            ),
            // As the compiler writes an output with a default.
            (
                "('a' in outputs && 'n' in outputs['a'] ? int(outputs['a']['n']) : 250) < 100",
                vec![output("a", "n")],
            ),
            (
                "outputs.a.n in ['x', outputs.b.m] || outputs.a.n.startsWith('y')",
                vec![output("a", "n"), output("b", "m")],
            ),
            ("has(outputs['a'].n)", vec![output("a", "n")]),
            ("['x'].exists(x, x == outputs.a.n)", vec![output("a", "n")]),
            (
                "['1', '2'].exists(n, compareNumbers(outputs.a.n, n) == 0)",
                vec![output("a", "n")],
            ),
            ("false", vec![]),
            ("outputs[", vec![]),
        ];
        for (when, expected) in table {
            assert_eq!(reads(when), expected, "{when}");
        }
    }

    #[test]
    fn errors_of_evaluation_are_in_words() {
        let values = BTreeMap::from([("mode".to_owned(), "fulll".to_owned())]);
        let outputs = BTreeMap::from([("run-a".to_owned(), values)]);
        let table = [
            (
                "int(outputs['run-a'].mode) > 1",
                "a value that it reads is not a whole number",
            ),
            (
                "outputs['run-a'].rows == ''",
                "it reads `rows`, which does not exist",
            ),
            (
                "run.outcome == ''",
                "it reads `run`, which does not exist here",
            ),
            (
                "outputs['run-a'].mode < 3",
                "the values that it compares are not of one type",
            ),
        ];
        for (when, expected) in table {
            assert_eq!(
                evaluate(when, &outputs, None),
                Err(expected.to_owned()),
                "{when}"
            );
        }
    }

    #[test]
    fn numbers_are_compared_exactly() {
        let values = [
            ("n", "9007199254740993"),
            ("m", "9007199254740992"),
            ("m2", "9007199254740992.0"),
            ("x", "many"),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let outputs = BTreeMap::from([("a".to_owned(), BTreeMap::from(values))]);
        let table = [
            ("compareNumbers(outputs.a.n, outputs.a.m) == 0", Some(false)),
            ("compareNumbers(outputs.a.n, outputs.a.m) != 0", Some(true)),
            ("compareNumbers(outputs.a.n, outputs.a.m) > 0", Some(true)),
            ("compareNumbers(outputs.a.n, outputs.a.m) <= 0", Some(false)),
            ("compareNumbers(outputs.a.m, outputs.a.n) < 0", Some(true)),
            ("compareNumbers(outputs.a.m, outputs.a.m2) == 0", Some(true)),
            (
                "['1.5', '9007199254740993'].exists(n, compareNumbers(outputs.a.m, n) == 0)",
                Some(false),
            ),
            (
                "['1.5', '9007199254740993'].exists(n, compareNumbers(outputs.a.n, n) == 0)",
                Some(true),
            ),
            ("compareNumbers(outputs.a.x, '1') == 0", None),
        ];
        for (when, expected) in table {
            let answer = evaluate(when, &outputs, None);
            if expected.is_none() {
                let problem = "a value that it reads is not a number".to_owned();
                assert_eq!(answer, Err(problem), "{when}");
            }
            assert_eq!(answer.ok(), expected, "{when}");
        }
    }

    #[test]
    fn when_reads_outputs_and_reports_what_is_wrong() {
        let values = BTreeMap::from([("rows".to_owned(), "12".to_owned())]);
        let outputs = BTreeMap::from([("run-extract".to_owned(), values)]);
        let table = [
            ("outputs['run-extract'].rows == '12'", Some(true)),
            ("int(outputs['run-extract'].rows) > 12", Some(false)),
            ("'x' in outputs['run-extract'] || true", Some(true)),
            ("outputs['run-extract'].missing == ''", None),
            ("outputs['other'].rows == ''", None),
            ("outputs['run-extract'].rows", None),
            ("outputs[", None),
            ("run.outcome == 'failed'", Some(true)),
            ("run.name == ''", None),
        ];
        for (when, expected) in table {
            assert_eq!(
                evaluate(when, &outputs, Some("failed")).ok(),
                expected,
                "{when}"
            );
        }
    }
}
