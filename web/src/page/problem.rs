//! Why there is no page, or nothing was done.

use maud::{Markup, html};

use crate::model::{Problem, ProblemKind};

/// Returns what is shown in place of a page.
pub(crate) fn problem(problem: &Problem) -> Markup {
    let heading = match problem.kind {
        ProblemKind::NotFound => "Not found",
        ProblemKind::Forbidden => "Forbidden",
        ProblemKind::Unreachable => "Unreachable",
        ProblemKind::Refused => "Not done",
    };
    html! {
        section.problem role="alert" {
            h1 { span.mark.bad aria-hidden="true" { "✗" } (heading) }
            p { (problem.message) }
            @if let Some(help) = &problem.help {
                p.muted { (help) }
            }
            p { a.button href="/" { "All runs" } }
        }
    }
}
