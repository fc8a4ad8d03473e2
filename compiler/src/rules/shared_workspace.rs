//! K0417: a workspace for one that several stages mount at once.

use konductor_api::LedgerKind;
use konductor_dsl::{Code, Diagnostic, Span};

use crate::eval::Values;
use crate::limits::CYCLE_VISITS_MAX;
use crate::pipeline::{Hold, Pipeline, Stage};
use crate::plan::Dag;

/// Reports workspaces with `access = one` that stages mount which may run at the same time. Each
/// workspace once.
pub(crate) fn check(pipeline: &Pipeline, dag: &Dag, diagnostics: &mut Vec<Diagnostic>) {
    let mut visits = CYCLE_VISITS_MAX;
    let mut places = vec![0; pipeline.stages.len() + pipeline.approvals.len()];
    for (place, node) in dag.order().enumerate() {
        places[node] = place;
    }
    for (index, workspace) in pipeline.workspaces.iter().enumerate() {
        if workspace.many || workspace.external {
            continue;
        }
        let stages = pipeline.stages.iter().enumerate();
        let mounting = stages.filter(|(_, stage)| mount(stage, index).is_some());
        let mut users: Vec<usize> = mounting.map(|(node, _)| node).collect();
        // One after the other they must be ordered; then all of them are.
        users.sort_unstable_by_key(|node| (pipeline.stages[*node].finally, places[*node]));
        let alone = users.iter().map(|node| (*node, *node));
        let pairs = users.windows(2).map(|pair| (pair[0], pair[1]));
        let clash = alone
            .chain(pairs)
            .find(|(first, second)| overlap(pipeline, dag, *first, *second, &mut visits));
        if let Some((first, second)) = clash {
            diagnostics.push(report(
                pipeline,
                index,
                first.min(second),
                first.max(second),
            ));
        }
    }
}

fn mount(stage: &Stage, workspace: usize) -> Option<Span> {
    let mount = stage
        .body
        .mounts
        .iter()
        .find(|mount| mount.workspace == workspace);
    mount.map(|mount| mount.span)
}

/// Whether two stages, or two items of one, may run at the same time.
fn overlap(
    pipeline: &Pipeline,
    dag: &Dag,
    first: usize,
    second: usize,
    visits: &mut usize,
) -> bool {
    let (stage, other) = (&pipeline.stages[first], &pipeline.stages[second]);
    if first == second {
        let several = stage.items.as_ref().is_some_and(|items| items.len() > 1)
            || stage.list.is_some() && Values::of(pipeline).int(&stage.parallel) != Some(1);
        return several && !takes_turns(pipeline, stage, stage);
    }
    let ordered = stage.finally != other.finally || dag.is_before(first, second, visits);
    !ordered && !takes_turns(pipeline, stage, other)
}

/// Whether both hold something that only one of them can have.
fn takes_turns(pipeline: &Pipeline, stage: &Stage, other: &Stage) -> bool {
    let values = Values::of(pipeline);
    let permits = |hold: &Hold| values.int(&hold.permits).unwrap_or(1);
    stage.holding.iter().any(|hold| {
        let ledger = &pipeline.ledgers[hold.ledger];
        let both = other.holding.iter().find(|also| also.ledger == hold.ledger);
        both.is_some_and(|also| {
            let room = values.int(&ledger.permits).unwrap_or(i64::MAX);
            ledger.kind == LedgerKind::Lease || permits(hold).saturating_add(permits(also)) > room
        })
    })
}

fn report(pipeline: &Pipeline, workspace: usize, first: usize, second: usize) -> Diagnostic {
    let (stage, other) = (&pipeline.stages[first], &pipeline.stages[second]);
    let name = &pipeline.workspaces[workspace].name;
    let (message, at) = if first == second {
        (
            format!(
                "items of `{}` may mount `{}` at once",
                stage.name.text, name.text
            ),
            stage,
        )
    } else {
        let (first_name, second_name) = (&stage.name.text, &other.name.text);
        (
            format!(
                "`{first_name}` and `{second_name}` may mount `{}` at once",
                name.text
            ),
            other,
        )
    };
    let span = mount(at, workspace).unwrap_or(at.name.span);
    let diagnostic = Diagnostic::warning(Code::K0417, span, message)
        .here("waits for the other to end, or for its node")
        .label(name.span, "`access = one`, which is the default");
    let diagnostic = match mount(stage, workspace) {
        Some(span) if first != second => diagnostic.label(span, "also mounted here"),
        _ => diagnostic,
    };
    diagnostic.help(match first == second {
        true => "write `access = many`, or let the items take turns: `holding` a lease",
        false => "write `access = many`, or let one come `after` the other",
    })
}
