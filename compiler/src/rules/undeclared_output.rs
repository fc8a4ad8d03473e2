//! K0207: an output that its stage does not declare.

use konductor_dsl::{Code, Diagnostic, Edit, Span, ast, did_you_mean, meant_end};

use crate::value::Type;

/// A use of an output that the stage does not declare.
pub(crate) fn report<'a>(
    output: &ast::Name,
    stage: &ast::Name,
    outputs: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let message = format!("`{}` declares no output `{}`", stage.text, output.text);
    let diagnostic = Diagnostic::error(Code::K0207, output.span, message)
        .here("not declared")
        .label(stage.span, "this stage");
    let near = did_you_mean(&output.text, outputs);
    if let Some(end) = meant_end(&output.text).filter(|_| near.is_none()) {
        return diagnostic.help(format!(
            "write `after {}{end}` in the header to wait for that",
            stage.text
        ));
    }
    if matches!(
        &*output.text,
        "status" | "state" | "outcome" | "conclusion" | "result" | "exitCode"
    ) && near.is_none()
    {
        return diagnostic.help(format!(
            "wait for an end in the header: `after {0}`, `after {0}.failed` or `after {0}.finished`",
            stage.text
        ));
    }
    match near {
        Some(near) => diagnostic.fixed(
            format!("write `{}.{near}`", stage.text),
            [Edit::replace(output.span, near)],
        ),
        None => diagnostic.help(format!(
            "add `output {}: string` to `{}`, and let it append `{}=…` to \"$KON_OUTPUT\"",
            output.text, stage.text, output.text
        )),
    }
}

/// Says of an undeclared output what type its place wants: that of what it is compared with, and `bool` of a condition.
pub(crate) fn of_type(reported: &mut [Diagnostic], reference: &ast::Ref, expected: &Type) {
    let is_every = |index: &ast::Index| matches!(index, ast::Index::Every(_));
    let address = reference.address.as_ref();
    let is_gathered = address.is_some_and(|address| address.indices.iter().any(is_every));
    let ty = match expected {
        // The outputs of all items are a list as they are.
        Type::List(item) if is_gathered => item,
        _ if is_gathered => return,
        other => other,
    };
    let ty = match ty {
        Type::Int(_) => Type::Int(None),
        // CEL compares these only as numbers.
        Type::Duration | Type::Quantity => Type::Number,
        Type::Record(_) | Type::File | Type::Dir => return,
        other => other.clone(),
    };
    for diagnostic in reported {
        let help = diagnostic.help.as_mut();
        if let Some(help) = help.filter(|help| help.starts_with("add `output ")) {
            *help = help.replacen(": string`", &format!(": {ty}`"), 1);
        }
    }
}

/// `output.NAME` of a stage that declares no such file.
pub(crate) fn own<'a>(output: &ast::Name, files: impl IntoIterator<Item = &'a str>) -> Diagnostic {
    let message = format!("this stage declares no file `{}`", output.text);
    let diagnostic = Diagnostic::error(Code::K0207, output.span, message).here("not declared");
    match did_you_mean(&output.text, files) {
        Some(near) => diagnostic.fixed(
            format!("write `output.{near}`"),
            [Edit::replace(output.span, near)],
        ),
        None => diagnostic.help(format!(
            "add `output {}: file`, or `dir` for a folder",
            output.text
        )),
    }
}

/// `output.NAME` of an output that is no file.
pub(crate) fn no_file(output: &ast::Name, declared: Span) -> Diagnostic {
    let message = format!("the output `{}` is no file", output.text);
    Diagnostic::error(Code::K0207, output.span, message)
        .here("only a file or folder has a path")
        .label(declared, "declared here")
        .help(format!(
            "let the script append `{}=…` to \"$KON_OUTPUT\", or declare the type as `file`",
            output.text
        ))
}

/// A stage where a value is wanted.
pub(crate) fn stage_is_no_value(reference: &ast::Ref, outputs: &[&str]) -> Diagnostic {
    let stage = &reference.head.text;
    let message = format!("`{stage}` is a stage, not a value");
    let diagnostic = Diagnostic::error(Code::K0207, reference.span, message).here("a stage");
    match outputs.first() {
        Some(output) => {
            let items = reference.address.as_ref().map(ast::Address::to_string);
            diagnostic.help(format!(
                "use one of its outputs, such as `{stage}{}.{output}`",
                items.unwrap_or_default()
            ))
        }
        None => diagnostic.help(format!(
            "declare an output in `{stage}` and write `{stage}.OUTPUT`"
        )),
    }
}
