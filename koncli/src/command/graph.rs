//! `koncli graph`: the dependency graph of a pipeline file or of a run.

use std::path::Path;

use konductor_api::Run;

use super::get;
use super::objects::objects_of;
use crate::arguments::{Drawing, Global, GraphSelection};
use crate::exit::{Failure, USAGE};
use crate::graph::{self, Drawn};
use crate::view::view;
use crate::{cluster, diagnostics, load, output};

/// Draws a pipeline file, or a run as it stands. `--as` wins over a format that the environment sets.
pub(crate) async fn graph(global: &Global, selection: &GraphSelection) -> Result<(), Failure> {
    let drawn = match run(&selection.what) {
        Some(name) => of_run(global, name).await?,
        None => of_file(selection)?,
    };
    if selection.drawing.is_none() && output::document(global, &graph::document(&drawn))? {
        return Ok(());
    }
    match selection.drawing.unwrap_or(Drawing::Text) {
        Drawing::Text => output::stdout(&graph::text(&drawn, output::columns())),
        Drawing::Mermaid => output::stdout_exact(&graph::mermaid(&drawn)),
        Drawing::Dot => output::stdout_exact(&graph::dot(&drawn)),
        Drawing::Svg => output::stdout_exact(&graph::svg(&drawn)),
    }
    Ok(())
}

/// The run that is meant: one that is named as such, or what can be no file.
fn run(what: &str) -> Option<&str> {
    if let Some(name) = what.strip_prefix("run/") {
        return Some(name);
    }
    let path = Path::new(what);
    let is_name = what
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    (is_name && what != "-" && !path.exists()).then_some(what)
}

async fn of_run(global: &Global, name: &str) -> Result<Drawn, Failure> {
    let client = cluster::connect(global).await?;
    let run: Run = get(&client, "run", name).await?;
    let objects = objects_of(&client, name).await?;
    let view = view(&run, &objects, &[]);
    Ok(graph::of_run(&run, &objects, &view))
}

fn of_file(selection: &GraphSelection) -> Result<Drawn, Failure> {
    let compiled = load::checked(Path::new(&selection.what), &selection.params)?;
    diagnostics::print_in_short(&compiled, Path::new(&selection.what));
    let graph = compiled.graph.clone().filter(|_| !compiled.has_errors());
    graph
        .map(Drawn::of_file)
        .ok_or_else(|| Failure::silent(USAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_no_file_is_a_run() {
        let table = [
            ("nightly-2026", Some("nightly-2026")),
            ("run/nightly.kon", Some("nightly.kon")),
            ("nightly.kon", None),
            ("./nightly", None),
            ("-", None),
            ("src", None),
        ];
        for (what, expected) in table {
            assert_eq!(run(what), expected, "{what}");
        }
    }
}
