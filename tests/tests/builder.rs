//! The example of the builder, as people start it.

use std::path::Path;
use std::process::{Command, Output};

use konductor_tests::built::{example, koncli};

fn run(program: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = Command::new(program);
    let ran = command.args(arguments).env("NO_COLOR", "1").output();
    let Output {
        status,
        stdout,
        stderr,
    } = ran.expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(stdout), text(stderr), status.code())
}

const TABLES: [&str; 3] = ["orders", "O'Brien; rm -rf /", "${HOME} \"\\"];

#[test]
fn what_the_example_builds_is_clean_and_laid_out() {
    let (text, said, code) = run(&example("build_pipeline"), &TABLES);
    assert_eq!((said.as_str(), code), ("", Some(0)));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sales.kon");
    std::fs::write(&path, &text).expect("a file");
    let file = path.to_str().expect("a path");
    let (_, said, code) = run(&koncli(), &["check", file]);
    assert_eq!((said.as_str(), code), ("", Some(0)), "{text}");
    let (_, said, code) = run(&koncli(), &["fmt", "--check", file]);
    assert_eq!((said.as_str(), code), ("", Some(0)), "{text}");
}

#[test]
fn the_example_prints_the_objects_that_koncli_compiles() {
    let (text, ..) = run(&example("build_pipeline"), &TABLES);
    let mut arguments = TABLES.to_vec();
    arguments.push("--objects");
    let (objects, said, code) = run(&example("build_pipeline"), &arguments);
    assert_eq!((said.as_str(), code), ("", Some(0)));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sales.kon");
    std::fs::write(&path, text).expect("a file");
    let (compiled, said, code) = run(&koncli(), &["compile", path.to_str().expect("a path")]);
    assert_eq!((said.as_str(), code), ("", Some(0)));
    // The date may have changed in between.
    let undated = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains("value: 20"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(undated(&objects), undated(&compiled));
}
