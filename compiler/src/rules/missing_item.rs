//! K0404: an item that its stage does not have.

use konductor_dsl::{Code, Diagnostic};

use super::listed;
use crate::eval::Values;
use crate::pipeline::{Dependency, Item, Pipeline, Stage, Target};
use crate::plan::gate::dependency_varies;
use crate::plan::job::{Jobs, key};
use crate::value::Value;

/// Tells addresses of items that do not exist: of dependencies, and of outputs, which are
/// dependencies too. Each place once.
pub(crate) fn check(pipeline: &Pipeline, jobs: &Jobs, diagnostics: &mut Vec<Diagnostic>) {
    for stage in &pipeline.stages {
        let Some(items) = &stage.items else { continue };
        let varies = stage.after.iter().any(dependency_varies);
        let tried = if varies {
            items.len()
        } else {
            items.len().min(1)
        };
        let mut open: Vec<&Dependency> = stage.after.iter().collect();
        for item in &items[..tried] {
            let values = Values {
                params: &pipeline.params,
                item: &item.values,
            };
            open.retain(|dependency| {
                let found = missing(pipeline, jobs, dependency, values);
                let complete = found.is_empty();
                diagnostics.extend(found);
                complete
            });
        }
    }
    for approval in &pipeline.approvals {
        for dependency in &approval.after {
            diagnostics.extend(missing(pipeline, jobs, dependency, Values::of(pipeline)));
        }
    }
}

fn missing(
    pipeline: &Pipeline,
    jobs: &Jobs,
    dependency: &Dependency,
    values: Values<'_>,
) -> Vec<Diagnostic> {
    match &dependency.target {
        Target::Any(parts) => parts
            .iter()
            .flat_map(|part| missing(pipeline, jobs, part, values))
            .collect(),
        Target::Stage {
            stage,
            address: Some(address),
        } => {
            let known: Option<Vec<Value>> = address.iter().map(|term| values.term(term)).collect();
            let Some(known) = known else {
                return Vec::new();
            };
            let target = &pipeline.stages[*stage];
            let Some(items) = target.items.as_deref() else {
                return Vec::new();
            };
            let declared = items.iter().any(|item| key(&item.values) == key(&known));
            if declared && jobs.addressed(*stage, address, values).is_some() {
                return Vec::new();
            }
            let wished = Item { values: known }.text();
            vec![report(target, items, dependency, &wished, declared)]
        }
        _ => Vec::new(),
    }
}

fn report(
    target: &Stage,
    items: &[Item],
    dependency: &Dependency,
    wished: &str,
    left_out: bool,
) -> Diagnostic {
    let name = &target.name;
    let message = format!("`{}` has no item `{wished}`", name.text);
    let diagnostic = Diagnostic::error(Code::K0404, dependency.span, message)
        .here(format!("no item `{wished}`"));
    if let (true, Some(when)) = (left_out, &target.when) {
        return diagnostic
            .label(when.span, "this leaves it out")
            .help("add the same `when` here, so that both leave out the same items");
    }
    let texts: Vec<String> = items.iter().map(Item::text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    diagnostic
        .label(name.span, "this stage")
        .help(format!("its items are {}", listed(&texts, "and")))
}
