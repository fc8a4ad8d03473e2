//! What koncli's commands take by themselves. K1: the start of each. P10, P11, K3: pipelines of up to 100,000 stages.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use konductor_tests::built::koncli;
use konductor_tests::scenario::pipeline::compiled;
use serde::Serialize;

use crate::generated::{LAYER, pipeline};
use crate::local::lasts;
use crate::measure::{Extent, Of, Row, ms, progress, quantile};

/// K1: `koncli version`, and the help of each subcommand, beside a program that does nothing.
pub(crate) fn starts(extent: Extent) -> Vec<Row> {
    let rounds = extent.rounds(21);
    let (mut floors, mut version) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        floors.push(ms(lasts(&mut Command::new("true"))));
        version.push(ms(lasts(Command::new(koncli()).arg("version"))));
    }
    let mut helps = BTreeMap::new();
    for subcommand in subcommands() {
        let took: Vec<f64> = (0..rounds)
            .map(|_| ms(lasts(Command::new(koncli()).args([&subcommand, "--help"]))))
            .collect();
        helps.insert(format!("{subcommand} --help"), quantile(&took, 0.5));
    }
    let medians: Vec<f64> = helps.values().copied().collect();
    let what = format!("`--help` of each of {} subcommands", medians.len());
    vec![
        Row::new("K1", "`koncli version`", "ms", &version)
            .beside("`true`", &floors, &version)
            .at_most(Of::Konductor, 5.0),
        Row::new("K1", what, "ms", &medians).with_detail(helps),
    ]
}

/// The subcommands, as `koncli help` lists them.
///
/// # Panics
/// If it lists none.
fn subcommands() -> Vec<String> {
    let help = Command::new(koncli())
        .arg("help")
        .output()
        .expect("koncli starts");
    let help = String::from_utf8(help.stdout).expect("text");
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = lines.take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.split_whitespace().next());
    // `help` has no help of its own.
    let names: Vec<String> = names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect();
    assert!(
        !names.is_empty(),
        "koncli help lists no subcommand:\n{help}"
    );
    names
}

/// P10: `koncli compile`, K3: `koncli check` and `koncli graph`, of 100 to 100,000 stages. P11: what is compiled.
pub(crate) fn pipelines(extent: Extent) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rows = Vec::new();
    for stages in extent.sizes(&[100, 1000, 10_000, 100_000]) {
        let text = pipeline(stages);
        let file: PathBuf = folder.path().join(format!("{stages}.kon"));
        std::fs::write(&file, &text).expect("a file");
        for (id, command) in [("P10", "compile"), ("K3", "check"), ("K3", "graph")] {
            // Nobody looks at a table of so many stages.
            if command == "graph" && stages > 10_000 {
                continue;
            }
            progress(&format!("{id}: koncli {command} of {stages} stages"));
            let took: Vec<f64> = (0..extent.rounds(5))
                .map(|_| ms(lasts(Command::new(koncli()).arg(command).arg(&file))))
                .collect();
            let row = Row::new(id, format!("`koncli {command}`"), "ms", &took);
            let row = row.sized(stages, "stages");
            rows.push(match (command, stages) {
                ("compile", 10_000) => row.at_most(Of::Konductor, 150.0),
                _ => row,
            });
        }
        if stages == extent.of(10_000) {
            rows.extend(objects(&text, stages));
        }
    }
    rows
}

/// P11: how many objects there are, and the largest.
fn objects(text: &str, stages: usize) -> [Row; 2] {
    let manifests = compiled(text);
    let sizes = manifests.objects().map(|object| size(&object) as f64);
    let largest = sizes.fold(0.0, f64::max) / 1024.0;
    // Those beside the Run: a Job for each stage and a Gate for each that is after others.
    let objects = (manifests.len() - 1) as f64;
    let after = stages.saturating_sub(LAYER) as f64;
    let expected = stages as f64 + after;
    [
        Row::new(
            "P11",
            format!("objects of {stages} stages"),
            "objects",
            &[objects],
        )
        .beside("stages, Gates and primitives", &[expected], &[objects])
        .at_most(Of::Ratio, 1.0),
        Row::new(
            "P11",
            format!("the largest object of {stages} stages"),
            "KiB",
            &[largest],
        )
        .at_most(Of::Konductor, 64.0),
    ]
}

/// Bytes as JSON.
fn size(object: &impl Serialize) -> usize {
    serde_json::to_vec(object).map_or(0, |bytes| bytes.len())
}
