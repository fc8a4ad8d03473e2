//! A Gate's `when`: a CEL expression over the outputs of the Jobs that it waits for.

use std::collections::{BTreeMap, HashMap};

use cel::{Context, ExecutionError, Program, Value};

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

/// An error of evaluation for the author of the condition, who need not know CEL.
fn in_words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("it reads `{key}`, which does not exist"),
        ExecutionError::UndeclaredReference(name) => {
            format!("it reads `{name}`, which does not exist here")
        }
        ExecutionError::FunctionError { function, .. } => match function.as_str() {
            "int" => "a value that it reads is not a whole number".to_owned(),
            "double" => "a value that it reads is not a number".to_owned(),
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
    fn when_reads_outputs_and_tells_what_is_wrong() {
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
