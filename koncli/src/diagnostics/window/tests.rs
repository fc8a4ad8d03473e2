//! Long lines, wide characters and tabs in terminals of several widths.

use konductor_dsl::{Code, Diagnostic, SourceId, Sources, Span};

use super::super::{Files, render};
use crate::output::width::width;

const HERE: &str = "HERE";

/// What is shown of a text with `HERE` in it, in so many columns.
fn shown(text: &str, label: &str, columns: usize) -> String {
    let mut sources = Sources::default();
    sources.add("pipeline.kon", text);
    let start = u32::try_from(text.find(HERE).unwrap()).unwrap();
    let place = Span {
        source: SourceId(0),
        start,
        end: start + u32::try_from(HERE.len()).unwrap(),
    };
    let reported = Diagnostic::error(Code::K0101, place, "this is wrong").here(label);
    render(
        &Files::of(&sources),
        &reported.help("write `that`"),
        false,
        columns,
    )
}

/// Where a part of a line begins, in columns.
fn column(line: &str, part: &str) -> usize {
    width(line.split(part).next().unwrap())
}

#[test]
fn a_line_of_any_length_fits_and_its_mark_stands_below_its_place() {
    for filler in ["x", "日本", "\t", "e\u{301}", "ab cd ", "→"] {
        for (before, after) in [
            (0, 0),
            (1, 0),
            (3, 90),
            (25, 1),
            (200, 0),
            (200, 200),
            (30_000, 30_000),
        ] {
            for columns in [40, 60, 80, 120] {
                for label in ["", "declared here"] {
                    let line = format!("{}{HERE}{}", filler.repeat(before), filler.repeat(after));
                    let text = format!("pipeline p {{\n{line}\n{}\n}}\n", filler.repeat(300));
                    let shown = shown(&text, label, columns);
                    for line in shown.lines() {
                        assert!(width(line) <= columns, "{columns}: {line}");
                    }
                    let lines: Vec<&str> = shown.lines().collect();
                    let at = lines.iter().position(|line| line.contains(HERE)).unwrap();
                    let mark = if label.is_empty() {
                        "────"
                    } else {
                        "──┬─"
                    };
                    let places = (column(lines[at], HERE), column(lines[at + 1], mark));
                    assert_eq!(places.0, places.1, "{shown}");
                    assert!(shown.contains(label), "{shown}");
                    let column = filler.chars().count() * before + 1;
                    assert!(
                        shown.contains(&format!("[pipeline.kon:2:{column}]")),
                        "{shown}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_short_line_is_shown_as_it_is_written() {
    let shown = shown("pipeline p {\n  stage HERE\n}\n", "unknown", 40);
    let expected = "error[K0101]\n\n  × this is wrong\n   ╭─[pipeline.kon:2:9]\n 1 │ pipeline p {\n \
                    2 │   stage HERE\n   ·         ──┬─\n   ·           ╰── unknown\n 3 │ }\n   \
                    ╰────\n  help: write `that`\n";
    assert_eq!(shown, expected);
}

#[test]
fn a_place_of_several_lines_and_one_far_away_are_shown_by_their_numbers() {
    let mut text = "pipeline p {\n".to_owned();
    for number in 0..300 {
        text += &format!("  stage s{number} {{ run = \"{}\" }}\n", "y".repeat(number));
    }
    text.push('}');
    let mut sources = Sources::default();
    sources.add("pipeline.kon", &*text);
    let place = |part: &str, length: u32| {
        let start = u32::try_from(text.find(part).unwrap()).unwrap();
        Span {
            source: SourceId(0),
            start,
            end: start + length,
        }
    };
    let reported = Diagnostic::error(Code::K0101, place("s250", 2_000), "this is wrong")
        .here("all of it")
        .label(place("s3 ", 2), "and this");
    let shown = render(&Files::of(&sources), &reported, false, 60);
    for line in shown.lines() {
        assert!(width(line) <= 60, "{line}");
    }
    for part in [
        " 5 │   stage s3",
        "252 │",
        "all of it",
        "and this",
        ":252:9]",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
