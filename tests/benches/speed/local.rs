//! Without a cluster. P13: a small pipeline. K2: a thousand stages that do nothing, beside `xargs` and GNU make.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use konductor_tests::built::koncli;

use crate::measure::{Extent, Of, Row, ms, progress, quantile};

/// How long a program takes from its start to its end.
///
/// # Panics
/// If it can't be started, or fails.
pub(crate) fn lasts(command: &mut Command) -> Duration {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let begun = Instant::now();
    let ended = command.status().expect("it starts");
    let took = begun.elapsed();
    assert!(ended.success(), "{command:?}: {ended}");
    took
}

/// Whether a program is installed.
fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    let command = command.arg("--version").stdin(Stdio::null());
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// P13: `koncli run` of three stages in a row that do nothing.
pub(crate) fn three_stages(extent: Extent) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("three.kon");
    let text = "pipeline three {\n  defaults { image = \"busybox:1.36\" }\n  stage a { run = \"true\" }\n  \
                stage b after a { run = \"true\" }\n  stage c after b { run = \"true\" }\n}\n";
    std::fs::write(&file, text).expect("a file");
    let took: Vec<f64> = (0..extent.rounds(21))
        .map(|_| ms(lasts(Command::new(koncli()).arg("run").arg(&file))))
        .collect();
    let what = "`koncli run` of three stages of `true`";
    vec![
        Row::new("P13", what, "ms", &took).at_most(Of::Konductor, 150.0),
        Row::new(
            "P13",
            format!("{what}, longest"),
            "ms",
            &[quantile(&took, 1.0)],
        ),
    ]
}

/// K2: a thousand stages of `true`, as many at once as there are processors, by koncli, `xargs -P` and `make -j`.
pub(crate) fn thousand_trues(extent: Extent) -> Vec<Row> {
    let count = extent.of(1000);
    let at_once = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = String::from("pipeline many {\n  defaults { image = \"busybox:1.36\" }\n");
    let mut makefile = format!(
        ".PHONY: all\nall: {}\n",
        (0..count).map(|n| format!("s{n} ")).collect::<String>()
    );
    let mut lines = String::new();
    for index in 0..count {
        let _ = writeln!(text, "  stage s{index} {{ run = \"true\" }}");
        let _ = writeln!(makefile, ".PHONY: s{index}\ns{index}:\n\t@true");
        let _ = writeln!(lines, "{index}");
    }
    text.push_str("}\n");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let pipeline = write("many.kon", &text);
    let (makefile, lines) = (write("Makefile", &makefile), write("lines", &lines));
    let with_xargs = |lines: &Path| {
        let mut command = Command::new("xargs");
        command
            .args(["-P", &at_once, "-n", "1", "-a"])
            .arg(lines)
            .arg("true");
        lasts(&mut command)
    };
    let with_make = |makefile: &Path| {
        let mut command = Command::new("make");
        command
            .args(["--silent", "-j", &at_once, "-f"])
            .arg(makefile);
        lasts(&mut command)
    };
    let has_make = is_installed("make");
    if !has_make {
        progress("K2: make is not installed; nothing is compared with it");
    }
    let (mut ours, mut xargs, mut make) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=extent.rounds(5) {
        progress(&format!("K2: {count} stages, round {round}"));
        xargs.push(with_xargs(&lines).as_secs_f64());
        if has_make {
            make.push(with_make(&makefile).as_secs_f64());
        }
        let mut run = Command::new(koncli());
        run.args(["run", "--jobs", &at_once]).arg(&pipeline);
        ours.push(lasts(&mut run).as_secs_f64());
    }
    let what = format!("`koncli run` of {count} stages of `true`, {at_once} at once");
    let mut rows =
        vec![Row::new("K2", what.clone(), "s", &ours).beside("`xargs -P`", &xargs, &ours)];
    if has_make {
        rows.push(Row::new("K2", what, "s", &ours).beside("`make -j`", &make, &ours));
    }
    rows
}
