//! K0412: a timeout above one that ends it.

use std::collections::BTreeSet;

use konductor_dsl::{Code, Diagnostic, Edit};

use crate::eval::Values;
use crate::pipeline::Pipeline;
use crate::value::Value;

/// Reports timeouts of stages and approvals that the pipeline's cuts short. Each place once.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    check_pending(pipeline, diagnostics);
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
                format!("this timeout of {own} exceeds the pipeline's timeout of {all}"),
            )
            .label(whole.span, format!("the whole run ends after {all}"))
            .help(format!(
                "write at most {all}, or raise the pipeline's `timeout`"
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

/// Reports a stage's `pending` above its own timeout, which ends the stage first. Each place once.
fn check_pending(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let values = Values::of(pipeline);
    let mut reported = BTreeSet::new();
    for body in pipeline.stages.iter().map(|stage| &stage.body) {
        let (Some(pending), Some(timeout)) = (&body.pending, &body.timeout) else {
            continue;
        };
        let millis = (values.millis(&body.pending), values.millis(&body.timeout));
        let (Some(own), Some(most)) = millis else {
            continue;
        };
        if own > most && reported.insert(pending.span) {
            let (own, most) = (Value::Duration(own).text(), Value::Duration(most).text());
            let message = format!("`pending` of {own} exceeds the stage's timeout of {most}");
            let diagnostic = Diagnostic::error(Code::K0412, pending.span, message)
                .label(timeout.span, format!("the stage ends after {most}"))
                .help(format!(
                    "write at most {most}, or raise the stage's `timeout`"
                ))
                .fix(
                    format!("write `{most}`"),
                    [Edit::replace(pending.span, most.as_str())],
                )
                .fix(
                    format!("raise the stage's `timeout` to {own}"),
                    [Edit::replace(timeout.span, own.as_str())],
                );
            diagnostics.push(diagnostic);
        }
    }
}
