//! K0508: a value that a field of Kubernetes does not take.

use k8s_openapi::api::batch::v1::JobSpec;
use konductor_dsl::{Code, Diagnostic, Span};

use super::parallel_lease;
use crate::lower::job::bare;
use crate::lower::passthrough::merge;
use crate::plan::Planned;

/// A value of another type than the schema's.
pub(crate) fn wrong(span: Span, schema_type: &str) -> Diagnostic {
    let (expected, help) = match schema_type {
        "string" => ("a text", "put it in quotes"),
        "integer" | "number" => ("a number", "write a number without quotes"),
        "boolean" => ("true or false", "write `true` or `false` without quotes"),
        "array" => (
            "a list",
            "write each element on a line of its own, behind `- `",
        ),
        "object" => ("a map", "write `key: value` on indented lines"),
        _ => ("a single value", "write one value"),
    };
    Diagnostic::error(Code::K0508, span, format!("expected {expected} here")).help(help)
}

/// A field that the schema requires.
pub(crate) fn missing(span: Span, field: &str) -> Diagnostic {
    Diagnostic::error(Code::K0508, span, format!("`{field}` is missing here"))
        .help(format!("add `{field}: …`"))
}

/// Tries the passthrough of every stage on one of its Jobs.
pub(crate) fn check(all: &Planned, diagnostics: &mut Vec<Diagnostic>) {
    for (index, stage) in all.pipeline.stages.iter().enumerate() {
        let blocks = &stage.body.passthrough;
        if blocks.is_empty() {
            continue;
        }
        let Some(first) = all.plan.jobs.of_stage(index).next() else {
            continue;
        };
        let mut job = bare(all, first);
        let values = all.plan.jobs.list[first].values(&all.pipeline);
        for block in blocks {
            if let Err(problem) = merge(&mut job, block, values) {
                let message = format!("Kubernetes does not take this: {problem}");
                let diagnostic = Diagnostic::error(Code::K0508, block.span, message)
                    .help("compare it with `kubectl explain job.spec`");
                diagnostics.push(diagnostic);
            }
        }
        let spec = job.spec.unwrap_or_default();
        if let (Some((field, needed)), Some(block)) = (incomplete(&spec), blocks.last()) {
            let message = format!("Kubernetes does not take `{field}` without `{needed}`");
            let diagnostic = Diagnostic::error(Code::K0508, block.span, message);
            diagnostics.push(diagnostic.help(format!("add `{needed}` to `spec`")));
        }
        let parallelism = spec.parallelism.unwrap_or(1);
        diagnostics.extend(parallel_lease::check(&all.pipeline, stage, parallelism));
    }
}

/// A field of a Job that the API server refuses without another one, and that one.
fn incomplete(spec: &JobSpec) -> Option<(&'static str, &'static str)> {
    let indexed = spec.completion_mode.as_deref() == Some("Indexed");
    let needs = [
        (
            indexed && spec.completions.is_none(),
            ("completionMode: Indexed", "completions: N"),
        ),
        (
            !indexed && spec.backoff_limit_per_index.is_some(),
            ("backoffLimitPerIndex", "completionMode: Indexed"),
        ),
        (
            spec.backoff_limit_per_index.is_none() && spec.max_failed_indexes.is_some(),
            ("maxFailedIndexes", "backoffLimitPerIndex: N"),
        ),
        (
            !indexed && spec.success_policy.is_some(),
            ("successPolicy", "completionMode: Indexed"),
        ),
    ];
    let mut missing = needs.into_iter().filter(|(is_missing, _)| *is_missing);
    missing.next().map(|(_, fields)| fields)
}
