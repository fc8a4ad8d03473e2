//! K0510: a schedule that can't be installed.

use konductor_dsl::{Code, Diagnostic, Edit, Span, did_you_mean};

use crate::limits::CONFIG_MAP_BYTES_MAX;
use crate::pipeline::Name;
use crate::zone;

/// An expression that the CronJob controller would refuse.
pub(crate) fn unreadable(span: Span, cron: &str, problem: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        Code::K0510,
        span,
        format!("this is not a cron expression: {problem}"),
    );
    let zone = ["TZ=", "CRON_TZ="]
        .iter()
        .find_map(|prefix| cron.strip_prefix(prefix));
    if let Some((zone, fields)) = zone.and_then(|zone| zone.split_once(' ')) {
        let fields = fields.trim();
        let help = format!("write `schedule \"{fields}\" {{ timezone = \"{zone}\" }}`");
        return diagnostic.help(help);
    }
    if problem.contains("`7` is not a day of the week") {
        return diagnostic.help("write `0` for Sunday");
    }
    if problem.contains("has 6 fields") {
        return diagnostic
            .help("remove the field of the seconds, or of the year: Kubernetes counts minutes");
    }
    diagnostic
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
pub(crate) fn time_zone(span: Span, text: Option<&str>) -> Diagnostic {
    let near = text.and_then(|text| did_you_mean(text, zone::names()));
    let diagnostic = Diagnostic::error(Code::K0510, span, "this is not the name of a time zone");
    match near {
        Some(near) => diagnostic.fixed(
            format!("did you mean \"{near}\"?"),
            [Edit::replace(span, format!("\"{near}\""))],
        ),
        None => diagnostic.help("write a name such as \"Europe/Berlin\" or \"UTC\""),
    }
}

/// Files that don't fit where the schedule's pods read them.
pub(crate) fn large_files(span: Span, bytes: usize) -> Diagnostic {
    let message = format!(
        "the pipeline's files have {bytes} bytes: a schedule keeps them in a ConfigMap, which takes \
         {CONFIG_MAP_BYTES_MAX}"
    );
    Diagnostic::error(Code::K0510, span, message)
        .help("make more of them templates and fan-outs, or split the pipeline")
}

/// A parameter that nobody will give.
pub(crate) fn param(name: &Name, schedule: Span) -> Diagnostic {
    let message = format!("a scheduled run has no value for `{}`", name.text);
    Diagnostic::error(Code::K0510, name.span, message)
        .label(schedule, "runs by itself")
        .help("add a default, or give it: `koncli apply --set NAME=VALUE`")
}
