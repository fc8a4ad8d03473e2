//! K0406: more permits than there will ever be.

use konductor_dsl::{Code, Diagnostic, Edit, Span};

use crate::eval::Values;
use crate::pipeline::{Hold, Ledger, Pipeline};

/// Reports holds that ask for more than their Semaphore has. Each place once.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    for stage in &pipeline.stages {
        for hold in &stage.holding {
            let ledger = &pipeline.ledgers[hold.ledger];
            let permits = Values::of(pipeline).int(&ledger.permits);
            let Some(permits) = permits.filter(|_| !ledger.external) else {
                continue;
            };
            let items = stage.items.iter().flatten();
            let demand = items
                .filter_map(|item| {
                    let values = Values {
                        params: &pipeline.params,
                        item: &item.values,
                    };
                    values.int(&hold.permits)
                })
                .chain(hold.permits.is_none().then_some(1))
                .max();
            // No permits at all is a pause, on purpose.
            if let Some(demand) = demand.filter(|demand| *demand > permits && permits > 0) {
                diagnostics.push(report(hold, ledger, demand, permits));
            }
        }
    }
}

/// Says of permits that are no count of permits how many the Semaphore has.
pub(crate) fn within(reported: &mut [Diagnostic], most: Option<i64>) {
    let Some(most) = most.filter(|most| *most > 0) else {
        return;
    };
    let wrong = reported
        .iter_mut()
        .filter(|diagnostic| diagnostic.code == Code::K0302);
    wrong.for_each(|diagnostic| {
        diagnostic.help = Some(format!("write a whole number from 1 to {most}"));
    });
}

fn report(hold: &Hold, ledger: &Ledger, demand: i64, permits: i64) -> Diagnostic {
    let name = &ledger.name.text;
    let message = format!("`{name}` can never grant {demand} permits: it has {permits}");
    let span = hold
        .permits
        .as_ref()
        .map_or(hold.span, |permits| permits.span);
    let diagnostic = Diagnostic::error(Code::K0406, span, message)
        .here(format!("asks for {demand}"))
        .label(
            ledger.permits.as_ref().map_or(ledger.name.span, |p| p.span),
            format!("has {permits}"),
        )
        .help(format!(
            "ask for at most {permits}, or raise `permits` of `{name}`"
        ));
    match (&hold.permits, &ledger.permits) {
        (Some(own), Some(all)) => diagnostic
            .fix(
                format!("ask for {permits}"),
                [Edit::replace(own.span, permits.to_string())],
            )
            .fix(
                format!("raise `permits` of `{name}` to {demand}"),
                [Edit::replace(all.span, demand.to_string())],
            ),
        _ => diagnostic,
    }
}

/// Permits of a Lease.
pub(crate) fn of_a_lease(span: Span, lease: Span) -> Diagnostic {
    Diagnostic::error(Code::K0406, span, "a lease has one holder, and no permits")
        .label(lease, "declared as a lease here")
        .help("remove the number, or declare a `semaphore`")
}
