//! Files that ask for too much, or for as much as is allowed: each ends in time and within bounds.
//! Every one of them would take minutes or all memory if something grew with a square.
#![expect(clippy::unwrap_used, reason = "a test")]

use konductor_compiler::{Compiled, Object, Options, compile};
use konductor_dsl::{Code, Sources};

fn compiled(text: &str) -> Compiled {
    let mut sources = Sources::default();
    sources.add("test.kon", text);
    compile(
        sources,
        &Options::at("2026-01-31T02:03:04Z".parse().unwrap()),
    )
}

fn codes(text: &str) -> Vec<Code> {
    compiled(text)
        .diagnostics
        .iter()
        .map(|reported| reported.code)
        .collect()
}

fn pipeline(inside: &str) -> String {
    format!(
        "pipeline p {{\n  defaults {{ image = \"busybox:1.36\", run = \"true\" }}\n{inside}\n}}"
    )
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

#[test]
fn fan_outs_together_have_a_limit() {
    let stages = lines(3_000, |i| {
        format!("stage s-{i} for x in 1..10000, y in [\"a\"] {{ }}\n")
    });
    let reported = codes(&pipeline(&stages));
    assert!(
        reported.iter().all(|code| *code == Code::K0501),
        "{reported:?}"
    );
}

#[test]
fn parameters_that_double_end_at_the_largest_value() {
    let ten = |i: usize| format!("${{a-{i}}}").repeat(10);
    let params = lines(30, |i| {
        format!("param a-{}: string = \"{}\"\n", i + 1, ten(i))
    });
    let reported = codes(&pipeline(&format!(
        "param a-0: string = \"0123456789\"\n{params}\nstage s {{ }}"
    )));
    assert_eq!(reported.first(), Some(&Code::K0505));
}

#[test]
fn templates_that_double_end_at_the_number_of_uses() {
    let templates = lines(40, |i| {
        format!("template t-{i}() {{ use t-{} use t-{0} }}\n", i + 1)
    });
    let text = format!(
        "{templates}template t-40() {{ }}\n{}",
        pipeline("stage s { use t-0 }")
    );
    let reported = codes(&text);
    assert!(reported.contains(&Code::K0214), "{reported:?}");
}

#[test]
fn a_template_used_by_every_stage_counts_every_time() {
    let script = "x".repeat(60_000);
    let stages = lines(6_000, |i| format!("stage s-{i} {{ use t }}\n"));
    let text = format!(
        "template t() {{ run = \"{script}\" }}\n{}",
        pipeline(&stages)
    );
    assert!(codes(&text).contains(&Code::K0505));
}

#[test]
fn long_cycle_is_reported_soon_with_its_first_edges() {
    let count = 50_000;
    let stages = lines(count, |i| {
        format!("stage s-{i} after s-{} {{ }}\n", (i + 1) % count)
    });
    let reported = compiled(&pipeline(&stages)).diagnostics;
    let [cycle] = reported.as_slice() else {
        panic!("{} diagnostics", reported.len())
    };
    assert_eq!((cycle.code, cycle.labels.len()), (Code::K0401, 12));
    assert!(cycle.message.len() < 300, "{}", cycle.message);
}

#[test]
fn shortest_cycle_is_reported() {
    let ring = lines(50, |i| {
        format!(
            "stage s-{i} after s-{}{} {{ }}\n",
            (i + 1) % 50,
            if i == 30 { ", s-28" } else { "" }
        )
    });
    let reported = compiled(&pipeline(&ring)).diagnostics;
    let labels: Vec<&str> = reported[0]
        .labels
        .iter()
        .map(|label| label.text.as_str())
        .collect();
    let expected = [
        "`s-28` waits for `s-29`",
        "`s-29` waits for `s-30`",
        "`s-30` waits for `s-28`",
    ];
    assert_eq!(labels, expected);
}

#[test]
fn no_gate_has_more_conditions_than_it_may() {
    let count = 5_000;
    let stages = lines(count, |i| format!("stage s-{i} {{ }}\n"));
    let names: Vec<String> = (0..count).map(|i| format!("s-{i}")).collect();
    let all = names.join(", ");
    let last = format!("stage all after {all} {{ }}\nstage one after any({all}), s-1 {{ }}\n");
    let compiled = compiled(&pipeline(&format!("{stages}{last}")));
    assert!(!compiled.has_errors());
    let manifests = compiled.manifests.unwrap();
    let mut jobs_waited_for = 0;
    for object in manifests.objects() {
        if let Object::Gate(gate) = object {
            let conditions = &gate.spec.conditions;
            assert!(
                (1..=256).contains(&conditions.len()),
                "{}",
                conditions.len()
            );
            let jobs = conditions
                .iter()
                .filter(|c| c.name.as_ref().unwrap().starts_with("p-s-"));
            jobs_waited_for += jobs.count();
        }
    }
    assert_eq!(jobs_waited_for, 2 * count + 1);
}

#[test]
fn the_largest_fan_out_pairs_with_another() {
    let text = pipeline(
        "stage a for i in 1..10000 { }\nstage b for i in 1..10000 after a[i] { }\nstage c after b { }",
    );
    let compiled = compiled(&text);
    assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
    // A Job and a Gate for each item of b, Jobs for a's, c with its Gate, b's Barrier, the Run.
    assert_eq!(compiled.manifests.unwrap().len(), 30_000 + 2 + 1 + 1);
}

#[test]
fn files_that_no_config_map_takes_are_reported_at_the_schedule() {
    let script = "x".repeat(60_000);
    let templates = lines(20, |i| {
        format!("template t-{i}() {{ run = \"{script}\" }}\n")
    });
    let uses = lines(20, |i| format!("stage s-{i} {{ use t-{i} }}\n"));
    let text = |schedule: &str| format!("{templates}{}", pipeline(&format!("{schedule}{uses}")));
    assert_eq!(codes(&text("")), []);
    let reported = compiled(&text("schedule \"@daily\"\n"));
    let [large] = reported.diagnostics.as_slice() else {
        panic!("{:?}", reported.diagnostics);
    };
    let source = reported.sources.get(large.span().source).unwrap();
    assert_eq!(
        (large.code, source.slice(large.span())),
        (Code::K0510, "\"@daily\"")
    );
    assert!(reported.schedule.is_none());
}

#[test]
fn a_script_or_argument_that_linux_does_not_take_is_an_error() {
    let long = "x".repeat(96 * 1024);
    let table = [
        ("run = \"@\"", true),
        ("exec = [\"echo\", \"@\"]", true),
        ("run = \"true\" env { A = \"@\" }", true),
        ("run = \"true\" annotations { a = \"@\" }", false),
        ("run = \"echo ${a}${b}\"", false),
        ("exec = [\"echo\", \"${a}${b}\"]", true),
    ];
    for (body, expected) in table {
        let half = "y".repeat(60 * 1024);
        let params = format!("param a: string = \"{half}\"\nparam b: string = a\n");
        let stage = format!(
            "stage s {{ image = \"a:1\" {} }}",
            body.replace('@', &(long.clone() + "x"))
        );
        let reported = codes(&pipeline(&format!("{params}{stage}")));
        assert_eq!(
            reported.contains(&Code::K0505),
            expected,
            "{body}: {reported:?}"
        );
        let stage = format!("stage s {{ image = \"a:1\" {} }}", body.replace('@', &long));
        if !body.contains("${") {
            let reported = codes(&pipeline(&stage));
            assert!(!reported.contains(&Code::K0505), "{body}: {reported:?}");
        }
    }
}

#[test]
fn gathered_outputs_that_never_fit_are_refused() {
    let word = |length: usize| format!("\"{}\" | \"{}\"", "a".repeat(length), "b".repeat(length));
    let table = [
        ("[*, *]", word(11), true),
        ("[*, *]", "int".to_owned(), false),
        ("[*, *]", word(9), false),
        ("[1, *]", word(40), false),
    ];
    for (address, ty, expected) in table {
        let text = format!(
            "stage a for x in 1..50, y in 1..100 {{ output o: {ty} }}\n\
             stage b {{ exec = [\"${{a{address}.o}}\"] }}"
        );
        let reported = codes(&pipeline(&text));
        assert_eq!(
            reported.contains(&Code::K0505),
            expected,
            "{address} {ty}: {reported:?}"
        );
    }
}

#[test]
fn a_given_value_that_is_too_long_is_refused_and_not_repeated() {
    let long = "x".repeat(90_000);
    let text = pipeline("param a: string\nstage s { image = \"b:1\" run = \"echo \\\"${a}\\\"\" }");
    let mut options = Options::at("2026-01-31T02:03:04Z".parse().unwrap());
    options.set.push(("a".to_owned(), long.clone()));
    let mut by_file = Options::at("2026-01-31T02:03:04Z".parse().unwrap());
    by_file.params.insert("a".to_owned(), long.into());
    for options in [options, by_file] {
        let mut sources = Sources::default();
        sources.add("test.kon", text.clone());
        let reported = compile(sources, &options).diagnostics;
        assert!(
            reported.iter().any(|reported| reported.code == Code::K0303),
            "{reported:?}"
        );
        assert!(reported.iter().all(|reported| reported.message.len() < 400));
    }
}
