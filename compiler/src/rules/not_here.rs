//! K0306: a value that does not exist at this place.

use konductor_dsl::{Code, Diagnostic, Edit, Span, ast};

/// `run.outcome` in a stage that is not `finally`.
pub(crate) fn run_outcome(span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0306,
        span,
        "`run.outcome` exists only in finally stages",
    )
    .here("the run has not ended here")
    .help("write `finally stage` if it is to start when everything else has ended")
}

/// The token of a Lease that the stage does not hold.
pub(crate) fn token_not_held(name: &ast::Name, stage: Option<&ast::Stage>) -> Diagnostic {
    let message = format!("the lease `{}` is not held here", name.text);
    let diagnostic = Diagnostic::error(Code::K0306, name.span, message).here("no token");
    match stage {
        Some(stage) => {
            let mut clauses = stage.clauses.iter();
            let held = clauses.find(|clause| matches!(clause.kind, ast::ClauseKind::Holding(_)));
            let fix = match held {
                Some(holding) => Edit::behind(holding.span, format!(", {}", name.text)),
                None => Edit::behind(stage.name.span, format!(" holding {}", name.text)),
            };
            let stage = &stage.name;
            let help = format!(
                "add `holding {}` to the header of `{}`",
                name.text, stage.text
            );
            diagnostic
                .label(stage.span, "this stage")
                .fixed(help, [fix])
        }
        None => diagnostic.help("use it in a stage that holds the lease"),
    }
}

/// The token of a Semaphore.
pub(crate) fn semaphore_token(name: &ast::Name, declared: Span) -> Diagnostic {
    let message = format!("`{}` is a semaphore and has no token", name.text);
    Diagnostic::error(Code::K0306, name.span, message)
        .label(declared, "declared here")
        .help("declare it as `lease`, which gives each holder a token")
}

/// The path of a workspace that the stage does not mount.
pub(crate) fn workspace_not_mounted(name: &ast::Name, stage: Option<&ast::Stage>) -> Diagnostic {
    let message = format!("the workspace `{}` is not mounted here", name.text);
    let diagnostic = Diagnostic::error(Code::K0306, name.span, message).here("no path");
    match stage {
        Some(stage) => {
            let mount = format!("mount {0} at \"/{0}\"", name.text);
            let help = format!("add `{mount}` to `{}`", stage.name.text);
            let fix = Edit::item(stage.body.span, mount);
            diagnostic
                .label(stage.name.span, "this stage")
                .fixed(help, [fix])
        }
        None => diagnostic.help("use it in a stage that mounts the workspace"),
    }
}

/// A parameter that is declared further down.
pub(crate) fn later_param(name: &ast::Name, declared: Span) -> Diagnostic {
    let message = format!("`{}` is declared later", name.text);
    Diagnostic::error(Code::K0306, name.span, message)
        .here("a default uses only earlier parameters")
        .label(declared, "declared here")
        .help("move the declaration up")
}

/// A secret where its value would be written out.
pub(crate) fn secret(span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0306,
        span,
        "a secret or config key can only be a whole `env` value",
    )
    .help("write `env { NAME = secret(\"object\", \"key\") }` and use \"$NAME\"")
}

/// `secret("${x}", …)` with a value that differs from item to item or is not known.
pub(crate) fn interpolated_secret(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0306, span, "the name of a secret or config is fixed")
        .help("write it without `${…}`")
}

/// `within` behind something that has no end.
pub(crate) fn within(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0306, span, "`within` goes with `pipeline(…)` only").help("remove it")
}

/// A token or path in a condition.
pub(crate) fn in_when(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0306, span, "a condition can't use this")
        .here("not known when the condition is evaluated")
        .help("compare parameters, loop variables and outputs of other stages")
}
