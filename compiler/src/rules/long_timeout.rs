//! K0412: a timeout above the pipeline's.

use std::collections::BTreeSet;

use konductor_dsl::{Code, Diagnostic, Edit};

use crate::eval::Values;
use crate::pipeline::Pipeline;
use crate::value::Value;

/// Reports timeouts of stages and approvals that the pipeline's cuts short. Each place once.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let Some(whole) = &pipeline.timeout else {
        return;
    };
    let values = Values::of(pipeline);
    let Some(most) = values.millis(&pipeline.timeout) else {
        return;
    };
    let stages = pipeline
        .stages
        .iter()
        .filter(|stage| !stage.finally)
        .map(|s| &s.body.timeout);
    let approvals = pipeline.approvals.iter().map(|approval| &approval.timeout);
    let mut reported = BTreeSet::new();
    for setting in stages.chain(approvals) {
        let (Some(span), Some(millis)) = (setting.as_ref().map(|s| s.span), values.millis(setting))
        else {
            continue;
        };
        if millis > most && reported.insert(span) {
            let (own, all) = (Value::Duration(millis).text(), Value::Duration(most).text());
            let diagnostic = Diagnostic::error(
                Code::K0412,
                span,
                format!("{own} is more than the pipeline has"),
            )
            .label(whole.span, format!("the whole run ends after {all}"))
            .help(format!(
                "write less than {all}, or raise the pipeline's `timeout`"
            ))
            .fix(
                format!("write `{all}`"),
                [Edit::replace(span, all.as_str())],
            )
            .fix(
                format!("raise the pipeline's `timeout` to {own}"),
                [Edit::replace(whole.span, own.as_str())],
            );
            diagnostics.push(diagnostic);
        }
    }
}
