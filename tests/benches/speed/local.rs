//! P13: a small pipeline without a cluster.

use std::process::{Command, Stdio};
use std::time::Instant;

use konductor_tests::built::koncli;

use crate::measure::{Row, ms, quantile};

const ROUNDS: usize = 21;

/// `koncli run` of three stages in a row that do nothing.
pub(crate) fn three_stages() -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("three.kon");
    let text = "pipeline three {\n  defaults { image = \"busybox:1.36\" }\n  stage a { run = \"true\" }\n  \
                stage b after a { run = \"true\" }\n  stage c after b { run = \"true\" }\n}\n";
    std::fs::write(&file, text).expect("a file");
    let once = |_| {
        let begun = Instant::now();
        let ended = Command::new(koncli())
            .arg("run")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(ended.expect("koncli starts").success());
        begun.elapsed()
    };
    let took: Vec<_> = (0..ROUNDS).map(once).collect();
    vec![Row {
        id: "P13",
        what: "`koncli run` of three stages of `true`, p50 (most)".into(),
        floor: String::new(),
        ours: format!(
            "{} ({})",
            ms(quantile(&took, 0.5)),
            ms(quantile(&took, 1.0))
        ),
        ratio: String::new(),
        target: "≤ 150 ms",
    }]
}
