//! Drawings of made-up graphs.

use std::collections::BTreeMap;

use konductor_compiler::graph::Edge;
use konductor_compiler::{Options, check};
use konductor_dsl::Sources;

use super::*;
use crate::output::documented::{documented, keys};

const PIPELINE: &str = r#"
pipeline p {
  defaults { image = "busybox:1.36" }
  param target: "dev" | "prod" = "dev"
  stage a for i in 1..3 quorum 2 { run = "echo ${i}" }
  stage b after any(a, ok.skipped) when target == "prod" { run = "true" }
  approval ok
}
"#;

/// With all that a drawing shows beside its stages.
const HOLDING: &str = r#"
pipeline night {
  schedule "30 2 * * *" { timezone = "Europe/Berlin" }
  defaults { image = "busybox:1.36" }
  semaphore slots { permits = 2 }
  lease database {}
  stage load for i in 1..4 when i != 2 holding slots { run = "echo ${i}" }
  approval sign-off after load
  stage publish after sign-off, gate("go-live") holding slots, database { run = "true" }
  stage report after publish.failed { run = "true" }
  finally stage tidy { run = "true" }
}
"#;

fn drawn_from(pipeline: &str) -> Drawn {
    let mut sources = Sources::default();
    sources.add("p.kon", pipeline);
    let compiled = check(sources, &Options::at(jiff::Timestamp::UNIX_EPOCH));
    assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
    Drawn::of_file(compiled.graph.unwrap())
}

fn assert_has(drawing: &str, parts: &[&str]) {
    for part in parts {
        assert!(drawing.contains(part), "{part}: {drawing}");
    }
}

#[test]
fn every_format_has_conditions_quorums_and_the_ends_within_any() {
    let drawn = drawn_from(PIPELINE);
    let table = text(&drawn, None);
    let rows = table.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.join(" ")
    });
    let expected = [
        "STAGE AFTER WHEN HOLDING",
        "a [3, quorum 2]",
        "ok (approval)",
        "b any(a, ok.skipped) target == \"prod\"",
    ];
    assert_eq!(rows.collect::<Vec<_>>(), expected);
    let mermaid = mermaid(&drawn);
    for written in [
        "n0[\"a [3, quorum 2]\"]",
        "n1[\"b<br/>when target == #quot;prod#quot;\"]",
        "n2 -->|any skipped| n1",
    ] {
        assert!(mermaid.contains(written), "{written}: {mermaid}");
    }
    let dot = dot(&drawn);
    assert!(dot.contains("when target == \\\"prod\\\""), "{dot}");
    let svg = svg(&drawn);
    assert!(svg.contains("quorum q: what waits"), "{svg}");
}

#[test]
fn narrow_table_breaks_lists_at_their_words() {
    let headers = ["STAGE", "AFTER", "HOLDING"];
    let rows = [
        ["build-all-the-things-linux", "", ""],
        ["build-all-the-things-mac", "", ""],
        [
            "release",
            "build-all-the-things-linux, build-all-the-things-mac",
            "lease/deploy, semaphore/db",
        ],
    ];
    let rows: Vec<Vec<String>> = rows.map(|row| row.map(str::to_owned).into()).into();
    let table = output::table(&headers, &folded(&headers, &rows, 60), false);
    let expected = "\
STAGE             AFTER                        HOLDING
build-al…s-linux
build-al…ngs-mac
release           build-all-the-things-linux,  lease/deploy,
                  build-all-the-things-mac     semaphore/db
";
    assert_eq!(table, expected);
    for columns in 40..100 {
        let table = output::table(&headers, &folded(&headers, &rows, columns), false);
        assert!(table.lines().all(|line| width(line) <= columns), "{table}");
    }
    assert_eq!(folded(&headers, &rows, 200), rows);
}

#[test]
fn text_shows_the_schedule_holds_approvals_and_counts_only_the_items_that_when_leaves() {
    let expected = "\
schedule: 30 2 * * * Europe/Berlin

STAGE                     AFTER                   WHEN    HOLDING
load [3]                                          i != 2  slots
sign-off (approval)       load
gate go-live (elsewhere)
publish                   sign-off, gate go-live          slots, database
report                    publish.failed
tidy (finally)
";
    assert_eq!(text(&drawn_from(HOLDING), None), expected);
}

#[test]
fn schedule_of_a_narrow_text_is_no_wider_than_its_terminal() {
    let text = text(&drawn_from(HOLDING), Some(24));
    assert!(
        text.starts_with("schedule: 30 2 * * *\nEurope/Berlin\n\n"),
        "{text}"
    );
}

#[test]
fn mermaid_shows_the_schedule_holds_approvals_and_counts_only_the_items_that_when_leaves() {
    let expected = "\
flowchart LR
  schedule([\"schedule 30 2 * * * Europe/Berlin\"])
  n0[\"load [3]<br/>when i != 2<br/>holds slots\"]
  n1[\"publish<br/>holds slots, database\"]
  n2[\"report\"]
  n3[/\"tidy (finally)\"/]
  n4{{\"sign-off (approval)\"}}
  n5([\"gate go-live (elsewhere)\"])
  n4 --> n1
  n5 --> n1
  n1 -->|failed| n2
  n0 --> n4
";
    assert_eq!(mermaid(&drawn_from(HOLDING)), expected);
}

#[test]
fn dot_shows_the_schedule_holds_approvals_and_counts_only_the_items_that_when_leaves() {
    let expected = r#"digraph "night" {
  rankdir=LR;
  schedule [label="schedule 30 2 * * * Europe/Berlin", shape=ellipse];
  n0 [label="load [3]\nwhen i != 2\nholds slots", shape=box];
  n1 [label="publish\nholds slots, database", shape=box];
  n2 [label="report", shape=box];
  n3 [label="tidy (finally)", shape=parallelogram];
  n4 [label="sign-off (approval)", shape=hexagon];
  n5 [label="gate go-live (elsewhere)", shape=ellipse];
  n4 -> n1;
  n5 -> n1;
  n1 -> n2 [label="failed"];
  n0 -> n4;
}
"#;
    assert_eq!(dot(&drawn_from(HOLDING)), expected);
}

#[test]
fn svg_shows_the_schedule_holds_approvals_and_counts_only_the_items_that_when_leaves() {
    let drawing = svg(&drawn_from(HOLDING));
    assert_has(
        &drawing,
        &[
            ">load [3]</text>",
            ">when i != 2</text>",
            ">holds slots</text>",
            ">sign-off (approval)</text>",
            ">holds slots, database</text>",
            ">gate go-live (elsewhere)</text>",
            ">failed</text>",
        ],
    );
    let legend = drawing
        .lines()
        .filter(|line| line.starts_with("<text class=\"legend\""));
    let legend = legend.filter_map(|line| line.split('>').nth(1)?.strip_suffix("</text"));
    assert_eq!(
        legend.collect::<Vec<_>>(),
        [
            "schedule: 30 2 * * * Europe/Berlin",
            "round: an approval",
            "dashed: runs in any case, last",
            "dotted: outside of the pipeline",
            "[n]: n items",
            "holds: of a semaphore or lease, while it runs",
            "failed, skipped, finished: the end that is waited for",
        ]
    );
}

#[test]
fn svg_of_its_own_is_dark_where_its_viewer_is_and_a_section_has_the_colours_of_its_page() {
    let drawn = drawn_from(HOLDING);
    let dark =
        "@media (prefers-color-scheme: dark) { svg { filter: invert(1) hue-rotate(180deg) } }";
    assert_has(&svg(&drawn), &[dark]);
    let section = section(&drawn, &|_| None);
    assert!(!section.contains("prefers-color-scheme"), "{section}");
}

/// A run as it may stand, with a value of each kind.
fn of_a_run() -> Drawn {
    let mut drawn = drawn_from(HOLDING);
    drawn.run = Some(("night-1".into(), "Running".into()));
    drawn.graph.nodes[0].quorum = Some(2);
    drawn.states[0] = Some((State::Running, 1));
    drawn.durations[0] = Some(SignedDuration::from_millis(3_900));
    drawn.states[4] = Some((State::Waiting, 0));
    drawn
}

#[test]
fn document_has_what_the_drawings_have() {
    let document = serde_json::to_value(document(&of_a_run())).unwrap();
    let head = ["pipeline", "run", "phase", "schedule", "timeZone"];
    assert_eq!(
        head.map(|field| document[field].as_str().unwrap()),
        ["night", "night-1", "Running", "30 2 * * *", "Europe/Berlin"]
    );
    let node = |index: usize| document["nodes"][index].clone();
    assert_eq!(
        node(0),
        serde_json::json!({
            "name": "load", "kind": "stage", "items": 3, "listed": false, "quorum": 2, "when": "i != 2",
            "holding": ["slots"], "state": "running", "ended": 1, "seconds": 3,
        })
    );
    assert_eq!(
        node(4),
        serde_json::json!({"name": "sign-off", "kind": "approval", "listed": false, "state": "waiting"})
    );
    let kinds = document["nodes"].as_array().unwrap().iter();
    let kinds = kinds.map(|node| node["kind"].as_str().unwrap());
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [
            "stage",
            "stage",
            "stage",
            "finally",
            "approval",
            "elsewhere"
        ]
    );
    assert_eq!(
        document["edges"],
        serde_json::json!([
            {"from": "sign-off", "to": "publish", "end": "succeeded", "any": false},
            {"from": "gate go-live", "to": "publish", "end": "succeeded", "any": false},
            {"from": "publish", "to": "report", "end": "failed", "any": false},
            {"from": "load", "to": "sign-off", "end": "succeeded", "any": false},
        ])
    );
    let any = serde_json::to_value(super::document(&drawn_from(PIPELINE))).unwrap();
    assert_eq!(
        any["edges"],
        serde_json::json!([
            {"from": "a", "to": "b", "end": "succeeded", "any": true},
            {"from": "ok", "to": "b", "end": "skipped", "any": true},
        ])
    );
}

#[test]
fn each_field_of_the_document_is_in_the_docs_and_each_listed_one_is_there() {
    let document = serde_json::to_value(document(&of_a_run())).unwrap();
    assert_eq!(keys(&document), documented("A graph"));
}

/// So many stages, each after all that are before it. Each holds something, so that cells stand right of the long lists.
fn dense(stages: usize) -> Drawn {
    let name = |index: usize| format!("s{index:04}");
    let nodes = (0..stages).map(|index| Node {
        name: name(index),
        kind: NodeKind::Stage,
        items: None,
        is_listed: false,
        holding: vec!["slots".into()],
        quorum: None,
        when: None,
    });
    let pairs = (0..stages).flat_map(|to| (0..to).map(move |from| (from, to)));
    let edges = pairs.map(|(from, to)| Edge {
        from,
        to,
        label: "",
    });
    Drawn::of_file(Graph {
        pipeline: "dense".into(),
        schedule: None,
        nodes: nodes.collect(),
        edges: edges.collect(),
    })
}

#[test]
fn drawings_grow_as_the_number_of_edges_does() {
    let (small, large) = (dense(100), dense(400));
    let sizes = |drawn: &Drawn| {
        let graph = &drawn.graph;
        let parts = graph.edges.len() + graph.nodes.len();
        let json = serde_json::to_string(&document(drawn)).unwrap();
        let all = [
            ("text", text(drawn, None)),
            ("text of a terminal", text(drawn, Some(80))),
            ("mermaid", mermaid(drawn)),
            ("dot", dot(drawn)),
            ("svg", svg(drawn)),
            ("json", json),
        ];
        all.map(|(format, drawing)| (format, drawing.len() as f64 / parts as f64))
    };
    let large: BTreeMap<&str, f64> = sizes(&large).into();
    for (format, size) in sizes(&small) {
        assert!(
            large[format] < 1.25 * size,
            "{format}: {size}, then {}",
            large[format]
        );
    }
}

#[test]
fn one_long_list_makes_no_other_row_of_the_text_longer() {
    let mut drawn = dense(0);
    let stages = 2_000;
    drawn.graph.nodes = vec![dense(1).graph.nodes.remove(0); stages + 1];
    let edges = (0..stages).map(|from| Edge {
        from,
        to: stages,
        label: "",
    });
    drawn.graph.edges = edges.collect();
    let drawn = Drawn::of_file(drawn.graph);
    let text = text(&drawn, None);
    let bound = 300 * drawn.graph.nodes.len();
    assert!(text.len() < bound, "{} of {bound} bytes", text.len());
    let last = text.lines().last().unwrap();
    assert!(last.ends_with("s0000, s0000  slots"), "{last}");
}
