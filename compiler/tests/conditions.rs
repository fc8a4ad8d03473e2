//! What a condition becomes: nothing where it is known before the run, else CEL that means the same.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, ExecutionError, Program, Value};
use konductor_api::gate::COMPARE_NUMBERS;
use konductor_api::number::compare_numbers;
use konductor_compiler::{Object, Options, compile};
use konductor_dsl::Sources;

/// The `when` of the Gate before the stage `last`; `None` without one, and an error if
/// the stage is skipped from the start.
fn when(condition: &str) -> Result<Option<String>, &'static str> {
    let text = format!(
        r#"pipeline p {{
            param target: "dev" | "prod" = "prod"
            param limit: int = 10
            param threshold: number = 0.95
            defaults {{ image = "busybox:1.36" }}
            stage a {{
                run = "true"
                output rows: int
                output ok: bool
                output text: string
                output kind: "small" | "big"
                output loss: number
            }}
            stage b {{ run = "true", output rows: int = 7, output acc: number = 0.5 }}
            stage last after a, b.finished when {condition} {{ run = "echo ${{target}} ${{limit}} ${{threshold}}" }}
        }}"#
    );
    let mut sources = Sources::default();
    sources.add("test.kon", text.as_str());
    let options = Options::at("2026-01-31T02:03:04Z".parse().unwrap());
    let compiled = compile(sources, &options);
    assert!(
        !compiled.has_errors(),
        "{condition}: {:?}",
        compiled.diagnostics
    );
    let mut when = Err("skipped");
    for object in compiled.manifests.unwrap().objects() {
        if let Object::Gate(gate) = object
            && gate.metadata.name.as_deref() == Some("p-last")
        {
            when = Ok(gate.spec.when);
        }
    }
    when
}

/// As the operator evaluates it.
fn evaluate(cel: &str, outputs: &[(&str, &str, &str)]) -> Option<bool> {
    let mut jobs: HashMap<String, HashMap<String, String>> = HashMap::new();
    for (job, name, value) in outputs {
        jobs.entry((*job).to_owned())
            .or_default()
            .insert((*name).to_owned(), (*value).to_owned());
    }
    let mut context = Context::default();
    context.add_variable_from_value("outputs", jobs);
    let compare = |left: Arc<String>, right: Arc<String>| {
        let order = compare_numbers(&left, &right);
        order
            .map(|order| i64::from(order as i8))
            .map_err(|error| ExecutionError::function_error(COMPARE_NUMBERS, error))
    };
    context.add_function(COMPARE_NUMBERS, compare).unwrap();
    match Program::compile(cel).unwrap().execute(&context).ok()? {
        Value::Bool(answer) => Some(answer),
        other => panic!("{cel} gives {other:?}"),
    }
}

#[test]
fn what_is_known_before_the_run_is_left_out() {
    let table = [
        (r#"target == "prod""#, Ok(None)),
        (r#"target == "dev""#, Err("skipped")),
        ("limit >= 10 && !(limit > 10)", Ok(None)),
        ("limit in [1, 2]", Err("skipped")),
        (
            "threshold > 0.9 && threshold < 1 && threshold == 0.950",
            Ok(None),
        ),
        ("threshold >= limit", Err("skipped")),
        (r#"target == "prod" || a.rows > 1"#, Ok(None)),
        (r#"target == "dev" && a.rows > 1"#, Err("skipped")),
        (
            r#"target == "prod" && a.rows > limit"#,
            Ok(Some("int(outputs['p-a']['rows']) > 10")),
        ),
        (
            r#"!(target == "dev" || a.ok)"#,
            Ok(Some("!((outputs['p-a']['ok'] == 'true'))")),
        ),
        (
            r#"a.text in ["x", "it's", "\\"]"#,
            Ok(Some(r"outputs['p-a']['text'] in ['x', 'it\'s', '\\']")),
        ),
        (
            "b.rows == 1",
            Ok(Some(
                "('p-b' in outputs && 'rows' in outputs['p-b'] ? int(outputs['p-b']['rows']) : 7) == 1",
            )),
        ),
    ];
    for (condition, expected) in table {
        assert_eq!(
            when(condition),
            expected.map(|cel| cel.map(str::to_owned)),
            "{condition}"
        );
    }
}

#[test]
fn cel_means_what_the_condition_says() {
    let outputs = [
        ("p-a", "rows", "12"),
        ("p-a", "ok", "true"),
        ("p-a", "text", "it's \\ fine"),
        ("p-a", "kind", "big"),
        ("p-a", "loss", "9.1e-05"),
    ];
    let table = [
        ("a.rows > limit", Some(true)),
        ("a.rows < 2", Some(false)),
        ("9 < a.rows", Some(true)),
        ("a.rows in [1, 12]", Some(true)),
        ("a.ok", Some(true)),
        ("!a.ok || a.rows == 12", Some(true)),
        ("a.ok == false", Some(false)),
        (r#"a.text == "it's \\ fine""#, Some(true)),
        (r#"a.text != "a" && a.kind != "small""#, Some(true)),
        // As texts they would compare the other way round.
        ("a.loss >= 0.95", Some(false)),
        ("a.loss < threshold", Some(true)),
        ("a.loss == 0.000091", Some(true)),
        ("a.loss > 9e-5 && a.loss < 1e-4", Some(true)),
        ("a.loss in [1, 0.5]", Some(false)),
        ("a.loss < 1 && a.loss > -0.5", Some(true)),
        ("a.rows > threshold", Some(true)),
        ("threshold < a.rows", Some(true)),
        ("a.rows > a.loss", Some(true)),
        ("b.acc == 0.50", Some(true)),
        ("b.acc >= limit", Some(false)),
        ("b.rows == 7", Some(true)),
        ("b.rows > 7 || a.rows > 100", Some(false)),
    ];
    for (condition, expected) in table {
        let cel = when(condition).unwrap().unwrap();
        assert_eq!(evaluate(&cel, &outputs), expected, "{condition}: {cel}");
    }
}

#[test]
fn an_int_and_a_number_are_compared_to_the_last_digit() {
    // Next to each other, and one float.
    let outputs = [
        ("p-a", "rows", "9007199254740993"),
        ("p-a", "loss", "9007199254740992"),
        ("p-b", "acc", "9007199254740993.0"),
    ];
    let table = [
        ("a.rows == a.loss", false),
        ("a.rows != a.loss", true),
        ("a.rows < a.loss", false),
        ("a.rows <= a.loss", false),
        ("a.rows > a.loss", true),
        ("a.rows >= a.loss", true),
        ("a.loss < a.rows", true),
        ("a.rows == b.acc", true),
        ("a.loss in [0.5, 9007199254740993]", false),
        ("b.acc in [0.5, 9007199254740993]", true),
        ("!(b.acc in [0.5])", true),
    ];
    for (condition, expected) in table {
        let cel = when(condition).unwrap().unwrap();
        assert_eq!(
            evaluate(&cel, &outputs),
            Some(expected),
            "{condition}: {cel}"
        );
    }
    let cel = when("a.loss > 0.5").unwrap().unwrap();
    assert_eq!(cel, "compareNumbers(outputs['p-a']['loss'], '0.5') > 0");
}

#[test]
fn a_missing_output_without_default_has_no_answer() {
    let cel = when("a.rows > 1").unwrap().unwrap();
    assert_eq!(evaluate(&cel, &[]), None);
    assert_eq!(evaluate(&cel, &[("p-a", "rows", "many")]), None);
}

#[test]
fn a_fan_out_over_an_empty_list_is_skipped_and_named_in_a_warning() {
    let text = r#"pipeline p {
        defaults { image = "busybox:1.36" }
        stage a for x in [] { run = "echo \"${x}\"", output n: int }
        stage b for x in ["u", "v"], y in [] { run = "echo \"${x}${y}\"" }
        stage last after any(a, a.skipped), b["u", *].skipped { run = "echo \"${a[*].n}\"" }
    }"#;
    let mut sources = Sources::default();
    sources.add("test.kon", text);
    let options = Options::at("2026-01-31T02:03:04Z".parse().unwrap());
    let compiled = compile(sources, &options);
    assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
    assert_eq!(compiled.diagnostics.len(), 2, "{:?}", compiled.diagnostics);
    let mut phases = Vec::new();
    for object in compiled.manifests.unwrap().objects() {
        if let Object::Job(job) = object {
            let annotations = job.metadata.annotations.unwrap();
            let phase = annotations.get("konductor.io/phase").cloned();
            phases.push((job.metadata.name.unwrap(), phase));
        }
    }
    let skipped = || Some("Skipped".to_owned());
    let expected = [("p-a", skipped()), ("p-b", skipped()), ("p-last", None)];
    assert_eq!(
        phases,
        expected.map(|(name, phase)| (name.to_owned(), phase))
    );
}
