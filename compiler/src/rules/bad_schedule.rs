//! K0510: a schedule that can't be installed.

use konductor_dsl::{Code, Diagnostic, Span};

use crate::pipeline::Name;

/// An expression that the CronJob controller would refuse.
pub(crate) fn unreadable(span: Span, problem: &str) -> Diagnostic {
    Diagnostic::error(
        Code::K0510,
        span,
        format!("this is not a cron expression: {problem}"),
    )
    .help("write minute, hour, day, month and weekday, such as \"0 2 * * *\", or \"@daily\"")
}

/// An expression with `${…}`.
pub(crate) fn interpolated(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0510, span, "a schedule is fixed").help("write it without `${…}`")
}

/// A second schedule.
pub(crate) fn second(second: Span, first: Span) -> Diagnostic {
    Diagnostic::error(Code::K0510, second, "a pipeline has one schedule")
        .label(first, "the first one")
        .help("join them, such as \"0 2,14 * * *\"")
}

/// Something that is no time zone.
pub(crate) fn time_zone(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0510, span, "this is not the name of a time zone")
        .help("write a name such as \"Europe/Berlin\" or \"UTC\"")
}

/// A parameter that nobody will give.
pub(crate) fn param(name: &Name, schedule: Span) -> Diagnostic {
    let message = format!("a scheduled run has no value for `{}`", name.text);
    Diagnostic::error(Code::K0510, name.span, message)
        .label(schedule, "runs by itself")
        .help("add a default, or give it when the schedule is installed")
}
