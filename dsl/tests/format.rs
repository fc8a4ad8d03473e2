//! The formatter: fixtures, and laws that hold for every file that parses.
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

#[path = "../../tests/bless.rs"]
mod bless;
mod generate;
mod tree;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use konductor_dsl::{Source, SourceId, format, parse};
use tree::tree;

fn source(text: &str) -> Source {
    Source {
        id: SourceId(0),
        name: "test.kon".to_owned(),
        text: text.into(),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file with this ending in a folder and what is in it, sorted.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == ending)
            {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

/// The comments of a text that parses, sorted: found by another way than the formatter does.
fn comments(text: &str) -> Vec<String> {
    let mut comments = Vec::new();
    let (mut quote, mut rest) = ("", text);
    while let Some(at) = rest.find(['#', '"', '\\', '$']) {
        rest = &rest[at..];
        let next = if !quote.is_empty() && rest.starts_with(quote) {
            let length = quote.len();
            quote = "";
            length
        } else if quote == "\"" && rest.starts_with('\\') {
            1 + rest[1..].chars().next().map_or(0, char::len_utf8)
        } else if quote == "\"" && rest.starts_with("$${") {
            3
        } else if quote == "\"" && rest.starts_with("${b[\"") {
            // The one interpolation with a string in it that the generator writes.
            rest.find("].").unwrap()
        } else if quote.is_empty() && rest.starts_with("\"\"\"") {
            quote = "\"\"\"";
            3
        } else if quote.is_empty() && rest.starts_with('"') {
            quote = "\"";
            1
        } else if quote.is_empty() && rest.starts_with('#') {
            let line = rest.lines().next().unwrap();
            comments.push(line.trim_end().to_owned());
            line.len()
        } else {
            1
        };
        rest = &rest[next..];
    }
    comments.sort();
    comments
}

/// Formats a file and holds the result against the laws.
fn lawful(text: &str, name: &str) -> String {
    let (before, _) = parse(&source(text));
    let once =
        format(&source(text)).unwrap_or_else(|reported| panic!("{name}: {reported:?}\n{text}"));
    let (after, reported) = parse(&source(&once));
    assert!(
        reported.is_empty(),
        "{name}: {reported:?}\n{text}\n-- formatted\n{once}"
    );
    let (after, before) = (tree(&after), tree(&before));
    let differ = after
        .bytes()
        .zip(before.bytes())
        .take_while(|(a, b)| a == b);
    let (rest, differ) = (after.len().abs_diff(before.len()), differ.count());
    let place = before.floor_char_boundary(differ);
    assert!(
        rest == 0 && differ == before.len(),
        "{name}: the tree changes before `{}`\n{text}\n-- formatted\n{once}",
        before[place..].chars().take(300).collect::<String>(),
    );
    assert_eq!(
        comments(&once),
        comments(text),
        "{name}: the comments\n{text}\n--\n{once}"
    );
    let twice = format(&source(&once)).unwrap();
    assert_eq!(twice, once, "{name}: formatted twice\n{text}");
    once
}

#[test]
fn files_are_laid_out_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format");
    for path in files(&folder, "kon") {
        let text = std::fs::read_to_string(&path).unwrap();
        let reported = lawful(&text, &path.display().to_string());
        let expected = path.with_extension("txt");
        bless::compare(&expected, &reported);
    }
}

#[test]
fn every_file_of_the_repository_keeps_its_tree_and_its_comments() {
    let mut formatted = 0;
    for room in ["dsl", "compiler", "examples"] {
        for path in files(&root().join(room), "kon") {
            let text = std::fs::read_to_string(&path).unwrap();
            if format(&source(&text)).is_ok() {
                lawful(&text, &path.display().to_string());
                formatted += 1;
            }
        }
    }
    assert!(formatted >= 10, "only {formatted} files parse");
}

#[test]
fn ten_thousand_generated_files_keep_their_tree_and_their_comments() {
    std::thread::scope(|scope| {
        for first in 0..4 {
            scope.spawn(move || {
                for seed in (first..10_000).step_by(4) {
                    lawful(&generate::file(seed), &format!("seed {seed}"));
                }
            });
        }
    });
}

#[test]
fn examples_are_in_formatted_form() {
    for path in files(&root().join("examples"), "kon") {
        let text = std::fs::read_to_string(&path).unwrap();
        let formatted = format(&source(&text)).unwrap();
        bless::compare(&path, &formatted);
    }
}

#[test]
fn code_in_the_readme_is_in_formatted_form() {
    let path = root().join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut formatted = String::new();
    for (index, piece) in text.split("```kon\n").enumerate() {
        if index == 0 {
            formatted.push_str(piece);
            continue;
        }
        let (code, rest) = piece.split_once("```").unwrap();
        let code = format(&source(code)).unwrap();
        formatted.push_str(&format!("```kon\n{code}```{rest}"));
    }
    assert!(formatted.contains("```kon\n"));
    bless::compare(&path, &formatted);
}

#[test]
fn a_file_with_errors_is_not_laid_out() {
    let reported = format(&source(
        "pipeline p {\n  stage a {\n    run = \"x\n  }\n}\n",
    ))
    .unwrap_err();
    let codes: Vec<&str> = reported
        .iter()
        .map(|diagnostic| diagnostic.code.name())
        .collect();
    assert_eq!(codes, ["K0102"]);
}

#[test]
fn a_carriage_return_before_a_newline_is_no_text() {
    let text =
        "pipeline p {\n  stage a { run = \"\"\"\r\r\n    one\r\r\r\n    two\rthree\r\"\"\" }\n}\n";
    assert_eq!(
        lawful(text, "carriage returns"),
        "pipeline p {\n  stage a {\n    run = \"\"\"\n      one\n      two\rthree\n    \"\"\"\n  }\n}\n"
    );
}

#[test]
fn an_attribute_that_is_called_defaults_stays_one() {
    let text = "pipeline p {\n  defaults={ image=\"a:1\" }\n  \"defaults\"={}\n}\n";
    assert_eq!(
        lawful(text, "defaults"),
        "pipeline p {\n  defaults = { image = \"a:1\" }\n  \"defaults\" {}\n}\n"
    );
}

#[test]
fn a_file_without_anything_stays_empty() {
    assert_eq!(format(&source(" \r\n\n")).unwrap(), "");
    assert_eq!(
        format(&source("\n\n# only this\n\n")).unwrap(),
        "# only this\n"
    );
}

#[test]
fn ten_thousand_stages_are_laid_out_in_linear_time() {
    let made = |count: usize| {
        let stages: Vec<String> = (0..count)
            .map(|i| format!("stage s{i} after a, b[x], any(c,d) {{ # {i}\nrun = [\"a\", b] }}\n"))
            .collect();
        let text = source(&format!("pipeline p {{ {} }}", stages.concat()));
        (text, count)
    };
    let once = |(text, count): &(Source, usize)| {
        let started = Instant::now();
        let formatted = format(text).unwrap();
        assert!(formatted.len() > count * 50);
        started.elapsed()
    };
    let (few, many) = (made(2_500), made(10_000));
    let (mut small, mut large) = (Duration::MAX, Duration::MAX);
    // The best of several, by turns, as others use this machine too.
    for round in 0..20 {
        small = small.min(once(&few));
        large = large.min(once(&many));
        // Four times the text: a square would take sixteen times as long.
        if round > 1 && large < small * 10 {
            assert!(large < Duration::from_secs(20), "{large:?}");
            return;
        }
    }
    panic!("{small:?} and then {large:?}");
}
