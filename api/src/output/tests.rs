//! Values and declarations of outputs.

use super::*;

fn output(name: &str, ty: OutputType, optional: bool) -> DeclaredOutput {
    DeclaredOutput {
        name: name.to_owned(),
        ty: Some(ty),
        optional,
    }
}

fn list(item: OutputType) -> OutputType {
    OutputType::List(Box::new(item))
}

fn samples() -> OutputType {
    let field = |name: &str, ty| OutputField {
        name: name.to_owned(),
        ty,
    };
    OutputType::Record(vec![
        field("name", OutputType::String),
        field("reads", OutputType::Int(Some(1..=9))),
        field("mode", words(&["full", "delta"])),
    ])
}

fn words(words: &[&str]) -> OutputType {
    OutputType::Words(words.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn declared_outputs_are_read_back_as_they_were_written() {
    let all = [
        output("a", OutputType::String, false),
        output("b", OutputType::Int(None), true),
        output("c", OutputType::Int(Some(-5..=i64::MAX)), false),
        output("d", OutputType::Number, true),
        output("e", OutputType::Bool, false),
        output("f", OutputType::Duration, false),
        output("g", OutputType::Quantity, true),
        output("h", words(&["full", "delta", "v1.2"]), false),
        output("i", words(&["int"]), false),
        output(
            "j",
            words(&["a, b?: c", "x|y", "\"", "", "é\n", "string"]),
            true,
        ),
        DeclaredOutput {
            name: "k".to_owned(),
            ty: None,
            optional: true,
        },
        output("l", list(OutputType::String), false),
        output("m", list(OutputType::Int(Some(0..=9))), true),
        output("n", list(words(&["full", "a>b}"])), false),
        output("o", list(samples()), true),
    ];
    for first in &all {
        for second in &all {
            let both = [first.clone(), second.clone()];
            let text = format_declared_outputs(&both);
            assert_eq!(
                parse_declared_outputs(&text).as_deref(),
                Ok(&both[..]),
                "{text}"
            );
        }
    }
    let text = format_declared_outputs(&all[..8]);
    assert_eq!(
        text,
        "a: string, b?: int, c: int in -5..9223372036854775807, d?: number, e: bool, \
         f: duration, g?: quantity, h: full|delta|v1.2"
    );
    let text = format_declared_outputs(&all[11..]);
    assert_eq!(
        text,
        "l: list<string>, m?: list<int in 0..9>, n: list<full|\"a>b}\">, \
         o?: list<{name: string, reads: int in 1..9, mode: full|delta}>"
    );
}

#[test]
fn bare_names_promise_nothing() {
    let names = parse_declared_outputs("rows, ok,,").map(|all| {
        let bare = |output: &DeclaredOutput| output.ty.is_none() && output.optional;
        assert!(all.iter().all(bare), "{all:?}");
        all.into_iter()
            .map(|output| output.name)
            .collect::<Vec<_>>()
    });
    assert_eq!(names, Ok(vec!["rows".to_owned(), "ok".to_owned()]));
    assert_eq!(parse_declared_outputs(""), Ok(Vec::new()));
}

#[test]
fn malformed_declarations_are_refused() {
    let table = [
        "rows int",
        "rows:",
        "rows?",
        ": int",
        "rows: int in 9..0",
        "rows: int in 0",
        "a: b|",
        "a: \"b",
        "a: b c",
        "a=b",
        "a: int in 0..9 x",
        "a: +",
        "a: list<",
        "a: list<>",
        "a: list<int",
        "a: list<list<int>>",
        "a: {b: int}",
        "a: list<{}>",
        "a: list<{b}>",
        "a: list<{b: int>",
        "a: list<{b: {c: int}}>",
        "a: list<{b: list<int>}>",
    ];
    for text in table {
        assert!(parse_declared_outputs(text).is_err(), "{text}");
    }
}

#[test]
fn values_are_of_a_type_to_the_letter() {
    let int = OutputType::Int(Some(0..=9));
    let table = [
        (&OutputType::String, vec!["", " x", "é"], vec!["a\0b"]),
        (
            &int,
            vec!["0", "9", "007"],
            vec![
                "10",
                "-1",
                " 1",
                "1 ",
                "+1",
                "1.0",
                "",
                "0x1",
                "1e0",
                "99999999999999999999",
            ],
        ),
        (
            &OutputType::Int(None),
            vec!["-9223372036854775808"],
            vec!["9223372036854775808", "-", "１"],
        ),
        (
            &OutputType::Number,
            vec!["0.95", "-1", "9.1e-05", "1E6", "10"],
            vec![
                "", ".5", "5.", "nan", "inf", "Infinity", "1e999", "+1", "0x1", " 1", "1,5", "1e",
                "--1",
            ],
        ),
        (
            &OutputType::Bool,
            vec!["true", "false"],
            vec!["True", "yes", "1", "true ", ""],
        ),
        (
            &OutputType::Duration,
            vec!["5m", "1h30m"],
            vec!["5 m", "5", "m", ""],
        ),
        (
            &OutputType::Quantity,
            vec!["1Gi", "500m", "0.5"],
            vec!["1 Gi", "1gi", "-1", ""],
        ),
        (
            &words(&["low", "high"]),
            vec!["low"],
            vec!["High", "low ", ""],
        ),
    ];
    for (ty, right, wrong) in table {
        for value in right {
            assert!(ty.admits(value), "{ty}: {value:?}");
        }
        for value in wrong {
            assert!(!ty.admits(value), "{ty}: {value:?}");
        }
    }
}

#[test]
fn lists_are_json_whose_wrong_element_is_named() {
    let table = [
        (list(OutputType::String), "[]", None),
        (list(OutputType::String), r#" [ "a", "é" ] "#, None),
        (list(OutputType::Int(None)), "[1,-2]", None),
        (list(OutputType::Number), "[1,0.5,1e3]", None),
        (list(OutputType::Bool), "[true,false]", None),
        (list(OutputType::Duration), r#"["5m"]"#, None),
        (list(OutputType::Quantity), r#"["1Gi",2,0.5]"#, None),
        (list(words(&["a"])), r#"["a"]"#, None),
        (
            list(samples()),
            r#"[{"mode":"full","name":"a","reads":1}]"#,
            None,
        ),
        (
            list(OutputType::String),
            r#"["a",1]"#,
            Some("element 2 is 1"),
        ),
        (
            list(OutputType::String),
            r#"[["a"]]"#,
            Some(r#"element 1 is ["a"]"#),
        ),
        (
            list(OutputType::String),
            "[null]",
            Some("element 1 is null"),
        ),
        (
            list(OutputType::Int(Some(0..=9))),
            "[1,10]",
            Some("element 2 is 10"),
        ),
        (
            list(OutputType::Int(None)),
            "[1.0]",
            Some("element 1 is 1.0"),
        ),
        (
            list(OutputType::Int(None)),
            r#"["1"]"#,
            Some(r#"element 1 is "1""#),
        ),
        (
            list(OutputType::Duration),
            r#"["5m","5 m"]"#,
            Some(r#"element 2 is "5 m""#),
        ),
        (
            list(OutputType::String),
            r#""a""#,
            Some("it is not a JSON list: write it as in [1,2]"),
        ),
        (
            list(OutputType::String),
            r#"{"a":1}"#,
            Some("it is not a JSON list: write it as in [1,2]"),
        ),
        (
            list(OutputType::String),
            "a,b",
            Some("it is not JSON at character 1"),
        ),
        (
            list(OutputType::String),
            "['a']",
            Some("it is not JSON at character 2"),
        ),
        (
            list(OutputType::Number),
            "[1,1e400]",
            Some("its number at character 8 is larger than a number can be"),
        ),
        (
            list(OutputType::String),
            r#"["a","#,
            Some("its JSON ends too early: write all of it on one line"),
        ),
        (
            list(samples()),
            r#"[{"name":"a","reads":1}]"#,
            Some("element 1 has no field mode"),
        ),
        (
            list(samples()),
            r#"[{"name":"a","reads":1,"mode":"full","x":1}]"#,
            Some(r#"element 1 has the field "x", which is unknown"#),
        ),
        (
            list(samples()),
            r#"[{"name":"a","reads":0,"mode":"full"}]"#,
            Some("element 1 has reads=0, not of type int in 1..9"),
        ),
        (
            list(samples()),
            r#"["a"]"#,
            Some(r#"element 1 is "a", not a record"#),
        ),
    ];
    for (ty, value, problem) in table {
        assert_eq!(ty.instead_of(value).as_deref(), problem, "{ty}: {value}");
        assert_eq!(ty.admits(value), problem.is_none(), "{ty}: {value}");
    }
    let long = format!("[\"{}\"]", "é".repeat(1_000));
    let expected = format!("element 1 is \"{}…", "é".repeat(39));
    assert_eq!(list(OutputType::Bool).instead_of(&long), Some(expected));
    let deep = "[".repeat(100_000);
    assert!(!list(OutputType::String).admits(&deep));
}

#[test]
fn values_become_elements_of_a_list() {
    let table = [
        (OutputType::String, "1", r#""1""#),
        (OutputType::String, "a\"b", r#""a\"b""#),
        (OutputType::Int(None), "007", "7"),
        (OutputType::Number, "9.1e-05", "9.1e-05"),
        (
            OutputType::Number,
            "12345678901234567890123",
            "12345678901234567890123",
        ),
        (OutputType::Number, "007", "7"),
        (OutputType::Number, "00.5", "0.5"),
        (OutputType::Bool, "true", "true"),
        (OutputType::Duration, "5m", r#""5m""#),
        (OutputType::Quantity, "1Gi", r#""1Gi""#),
        (words(&["a"]), "a", r#""a""#),
        (
            list(samples()),
            r#"[ {"reads":1,"name":"a","mode":"full"} ]"#,
            r#"[{"reads":1,"name":"a","mode":"full"}]"#,
        ),
        (
            list(OutputType::String),
            r#"[ "a b", "\" c", "\\" , " " ]"#,
            r#"["a b","\" c","\\"," "]"#,
        ),
        (
            list(OutputType::Number),
            "[ 0.12345678901234567890, 1e3 ]",
            "[0.12345678901234567890,1e3]",
        ),
    ];
    for (ty, value, expected) in table {
        let json = ty.json(value);
        assert_eq!(json.as_deref(), Some(expected), "{ty}: {value}");
    }
    assert_eq!(OutputType::Int(None).json("x"), None);
    assert_eq!(list(OutputType::Bool).json("[1]"), None);
}

#[test]
fn hostile_declarations_end_in_time() {
    let deep = "a: \"".repeat(20_000);
    assert!(parse_declared_outputs(&deep).is_err());
    let long = "a?: b|c, ".repeat(20_000);
    assert_eq!(
        parse_declared_outputs(&long).map(|all| all.len()),
        Ok(20_000)
    );
}
