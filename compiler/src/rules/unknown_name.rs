//! K0201: a name that nothing of this kind has.

use konductor_dsl::{Code, Diagnostic, Edit, Fix, Span, ast, did_you_mean};

use super::listed;
use super::unknown_attribute::kebab;
use super::wrong_type::example;
use crate::value::{Type, parse_duration};

/// A name that should be that of a `what`. Those that are `near` are listed only if they are meant.
pub(crate) fn report(name: &ast::Name, what: &str, names: &[&str], near: &[&str]) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        Code::K0201,
        name.span,
        format!("`{}` is not declared", name.text),
    )
    .here(format!("no {what} has this name"));
    let of_run = match name.text.as_str() {
        "date" | "today" => Some("run.date"),
        "now" | "time" | "timestamp" | "datetime" => Some("run.time"),
        "run-id" | "run_id" | "runid" | "run-name" | "run_name" => Some("run.name"),
        _ => None,
    };
    match did_you_mean(&name.text, names.iter().chain(near).copied()) {
        Some(near) => meant(diagnostic, near),
        None if what.starts_with("parameter") && of_run.is_some() => {
            let value = of_run.unwrap_or_default();
            diagnostic.help(format!(
                "write `{value}`, or declare `param {}: string`",
                kebab(&name.text)
            ))
        }
        None if names.is_empty() && what.starts_with("parameter") => {
            diagnostic.help(format!("declare it: `param {}: string`", name.text))
        }
        None if what.starts_with("stage") && matches!(&*name.text, "all" | "everything") => diagnostic
            .help(
                "list what it waits for: `after a, b`; a `finally stage` waits for all stages without `after`",
            ),
        None if names.is_empty() => diagnostic.help(format!("declare the {what} `{}`", name.text)),
        None => diagnostic.help(format!("declare it, or use {}", listed(names, "or"))),
    }
}

/// The names of other languages under which values are found, such as `params.day`; `meant` is what
/// is declared here under the last part, or a stage and its output.
pub(crate) fn of_another_language(reference: &ast::Ref, meant: Option<&str>) -> Option<Diagnostic> {
    let head = reference.head.text.as_str();
    let last = reference.fields.last()?.text.as_str();
    let other = match head.to_ascii_lowercase().as_str() {
        "param" | "params" | "parameters" | "input" | "inputs" | "var" | "vars" | "variables"
        | "local" | "locals" | "values" | "args" | "workflow" | "config" => {
            format!("declare `param {}: string`, and write `{0}`", kebab(last))
        }
        "pipeline" | "pipelines" | "dag" if last == "name" || last == "id" => {
            "write `run.name`: each run has its own name".to_owned()
        }
        "stage" | "self" | "this" if last == "name" => {
            "write the stage's name itself: it is fixed".to_owned()
        }
        "env" | "environ" => {
            format!("a script reads its environment itself: write `${last}` in `run`")
        }
        "secret" | "secrets" | "vault" => format!(
            "write `env {{ {last} = secret(\"NAME\", \"{last}\") }}`, and `${last}` in `run`"
        ),
        "lease" | "leases" | "lock" | "mutex" => {
            format!("write `token.{last}` for the token of a lease that the stage is `holding`")
        }
        "semaphore" | "semaphores" => {
            format!("a semaphore has no value: write `holding {last}` in the header to hold it")
        }
        "approval" | "approvals" => {
            format!("an approval has no value: write `after {last}` in the header to wait for it")
        }
        "template" | "templates" => {
            "a template has no value: write `use TEMPLATE { … }` in the body".to_owned()
        }
        "matrix" | "item" | "each" | "loop" => {
            "write the variable of `for`, as in `for os in [\"linux\", \"mac\"]`".to_owned()
        }
        "github" | "gitlab" | "ci" | "context" | "build" | "git" | "drone" | "buildkite" => {
            let name = kebab(last);
            format!("declare `param {name}: string`, and give it: `--set {name}=…`")
        }
        "stage" | "step" | "steps" | "task" | "tasks" | "job" | "jobs" | "needs" | "stages"
        | "outputs" => "write `STAGE.OUTPUT`, of an output that the stage declares".to_owned(),
        _ => return None,
    };
    let message = format!("`{head}` is not declared");
    let diagnostic = Diagnostic::error(Code::K0201, reference.span, message)
        .here("values are found by their own names");
    Some(match meant {
        Some(near) => self::meant(diagnostic, near),
        None => diagnostic.help(other),
    })
}

/// Says that a name was meant that exists.
fn meant(diagnostic: Diagnostic, near: &str) -> Diagnostic {
    let fix = Edit::replace(diagnostic.span(), near);
    diagnostic.fixed(format!("write `{near}`"), [fix])
}

/// What something is called in a message, and what to write to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stage,
    Approval,
    Semaphore,
    Lease,
    Workspace,
    Param,
}

/// A name of something else than the `what` that is wanted here, perhaps for its value.
pub(crate) fn of_another_kind(
    name: &ast::Name,
    what: &str,
    (kind, declared): (Kind, Span),
    is_value: bool,
) -> Diagnostic {
    let text = &name.text;
    let (actual, help) = match kind {
        Kind::Stage => ("a stage", format!("write `after {text}` to wait for it")),
        Kind::Approval => (
            "an approval",
            format!("write `after {text}` to wait for it"),
        ),
        Kind::Lease if is_value => (
            "a lease",
            format!("write `token.{text}` for its holder's token"),
        ),
        Kind::Lease => ("a lease", format!("write `holding {text}` to hold it")),
        Kind::Semaphore => ("a semaphore", format!("write `holding {text}` to hold it")),
        Kind::Workspace if is_value => (
            "a workspace",
            format!("write `workspace.{text}` for the path where it is mounted"),
        ),
        Kind::Workspace => (
            "a workspace",
            format!("write `mount {text} at \"/{text}\"` in the body to use it"),
        ),
        Kind::Param => (
            "a parameter",
            format!("write `${{{text}}}` in a text, or `{text}` in `when`, to use its value"),
        ),
    };
    let message = format!("`{text}` is {actual}, not a {what}");
    Diagnostic::error(Code::K0201, name.span, message)
        .here(format!("a {what} is wanted here"))
        .label(declared, "declared here")
        .help(help)
}

/// A name in a template, which sees nothing but its own parameters; `ty` is that of the value which it has in a stage.
pub(crate) fn in_template<'a>(
    reference: &ast::Ref,
    params: impl IntoIterator<Item = &'a str>,
    ty: Option<&Type>,
) -> Diagnostic {
    let params: Vec<&str> = params.into_iter().collect();
    let name = reference.fields.last().unwrap_or(&reference.head);
    let parameter = kebab(&name.text);
    let meant_here = Some(&*parameter).filter(|name| params.contains(name));
    let head = reference.head.text.as_str();
    if matches!(head, "env" | "environ" | "secret" | "secrets" | "vault")
        && let Some(diagnostic) = of_another_language(reference, meant_here)
    {
        return diagnostic;
    }
    let diagnostic = Diagnostic::error(
        Code::K0201,
        reference.head.span,
        format!("`{head}` is not declared"),
    )
    .here("a template sees only its own parameters");
    if reference.fields.is_empty()
        && let Some(near) = did_you_mean(head, params.iter().copied())
    {
        return meant(diagnostic, near);
    }
    let usage = format!("`use TEMPLATE {{ {parameter} = {reference} }}`");
    diagnostic.help(match (ty, meant_here) {
        (Some(ty), _) if ty.is_file() => {
            "write this in the stage itself: a template takes no file".to_owned()
        }
        (Some(_), Some(_)) => format!("write `{parameter}` here, and {usage}"),
        (Some(ty), None) if name.text == head => {
            format!("add the parameter `{parameter}: {ty}` to the template, and write {usage}")
        }
        (Some(ty), None) => format!(
            "add the parameter `{parameter}: {ty}` to the template, write `{parameter}` here, and {usage}"
        ),
        (None, Some(_)) => format!("write `{parameter}`"),
        (None, None) if name.text == head => {
            format!("add the parameter `{}: string` to the template", name.text)
        }
        (None, None) => format!(
            "add the parameter `{parameter}: string` to the template, and write `{parameter}` here"
        ),
    })
}

/// Adds to what is reported about a `${name}` of a script that it may be meant for the shell.
pub(crate) fn in_script(reported: &mut [Diagnostic], reference: &ast::Ref) {
    let name = &reference.head.text;
    // With the `${` before it.
    let open = Span {
        start: reference.span.start.saturating_sub(2),
        ..reference.span
    };
    if let Some(address) = reference
        .address
        .as_ref()
        .filter(|_| reference.fields.is_empty())
    {
        for diagnostic in reported {
            if diagnostic.code == Code::K0201 && diagnostic.span() == reference.head.span {
                let help = format!("for an array of the shell write `$${{{name}{address}}}`");
                diagnostic.fixes.clear();
                *diagnostic = diagnostic.clone().fixed(help, [Edit::before(open, "$")]);
            }
        }
        return;
    }
    let is_plain =
        reference.fields.is_empty() && reference.address.is_none() && !name.contains('-');
    for diagnostic in reported {
        if !is_plain || diagnostic.code != Code::K0201 || diagnostic.span() != reference.head.span {
            continue;
        }
        let shell = format!("for a variable of the script write `${name}` or `$${{{name}}}`");
        diagnostic.help = Some(match diagnostic.help.take() {
            Some(help) if ["write", "add"].iter().any(|word| help.starts_with(word)) => {
                format!("{help}; {shell}")
            }
            _ => shell,
        });
        if !diagnostic.fixes.is_empty() {
            // Either may have been meant: a person chooses.
            let escaped = Edit::before(open, "$");
            diagnostic.fixes.push(Fix {
                message: format!("write `$${{{name}}}`"),
                edits: vec![escaped],
                certain: true,
            });
        }
    }
}

/// Says of an unknown name in brackets how an item is named.
pub(crate) fn in_address(reported: &mut [Diagnostic], name: &ast::Ref, expected: &Type) {
    let text = &name.head.text;
    let example = match expected {
        Type::Int(_) | Type::Number => "a number".to_owned(),
        _ => format!("a text in quotes, such as `\"{text}\"`"),
    };
    for diagnostic in reported {
        let is_it = diagnostic.code == Code::K0201 && diagnostic.span() == name.head.span;
        if is_it && diagnostic.fixes.is_empty() {
            let help =
                format!("add `for {text} in …` to this stage, or name the item by {example}");
            diagnostic.help = Some(help);
        }
    }
}

/// Says of an unknown name, or output, that a loop goes over how a list is declared.
pub(crate) fn in_loop(reported: &mut [Diagnostic], over: &ast::Ref) {
    let name = &over.head.text;
    let texts = Type::List(Box::new(Type::String));
    super::undeclared_output::of_type(reported, over, &texts);
    for diagnostic in reported {
        let is_it = diagnostic.code == Code::K0201 && diagnostic.span() == over.head.span;
        let is_declared = |help: &String| help.starts_with("declare it: ");
        if is_it && diagnostic.help.as_ref().is_some_and(is_declared) {
            diagnostic.help = Some(match over.fields.first() {
                None => format!("declare it: `param {name}: list<string>`"),
                Some(output) => format!(
                    "declare it: a stage `{name}` with `output {}: list<string>`",
                    output.text
                ),
            });
        }
    }
}

/// Says what to write for a word that is no name, where a value of a type is wanted.
pub(crate) fn of_type(reported: &mut [Diagnostic], reference: &ast::Ref, expected: &Type) {
    let word = &reference.head.text;
    let is_word = reference.fields.is_empty() && reference.address.is_none();
    if let Some(call) = secret_of_a_path(reference).filter(|_| *expected == Type::String) {
        let reported = reported.iter_mut();
        let reported = reported.filter(|diagnostic| {
            diagnostic.code == Code::K0201 && diagnostic.span() == reference.span
        });
        for diagnostic in reported {
            diagnostic.help = Some(format!("write `{call}`"));
        }
        return;
    }
    let mut written = None;
    let mut write = |text: String, help: String| {
        written = Some(text);
        help
    };
    let help = match (expected, word.as_str()) {
        (Type::Bool, "True" | "TRUE" | "yes" | "on") => {
            write("true".to_owned(), "write `true`".to_owned())
        }
        (Type::Bool, "False" | "FALSE" | "no" | "off") => {
            write("false".to_owned(), "write `false`".to_owned())
        }
        (_, "None" | "null" | "nil" | "undefined") => {
            "leave it out: there is no value for nothing".to_owned()
        }
        (Type::String | Type::Words(_), word) => write(
            format!("\"{word}\""),
            format!("put it in quotes: \"{word}\""),
        ),
        (Type::Int(_), word) if word.ends_with("-1") => {
            let last = word.trim_end_matches("-1");
            format!(
                "there is no arithmetic: write `..<{last}`, which excludes `{last}`, or declare a parameter"
            )
        }
        (Type::Int(_), word) if word.contains('-') => {
            "there is no arithmetic: declare a parameter for the number".to_owned()
        }
        (Type::Duration, word) => match iso_duration(word) {
            Some(duration) => write(duration.clone(), format!("write `{duration}`")),
            None => format!("write {}", example(expected)),
        },
        (expected, _) => format!("write {}", example(expected)),
    };
    for diagnostic in reported {
        let is_near = diagnostic
            .help
            .as_ref()
            .is_some_and(|help| help.starts_with("write") || help.contains("`use TEMPLATE"));
        let is_it = diagnostic.code == Code::K0201 && diagnostic.span() == reference.head.span;
        if is_word && is_it && !is_near {
            diagnostic.help = Some(help.clone());
            diagnostic.fixes = written
                .iter()
                .map(|text| Fix {
                    message: help.clone(),
                    edits: vec![Edit::replace(reference.head.span, text.clone())],
                    certain: true,
                })
                .collect();
        }
    }
}

/// `secret.db.password` as it is written here.
fn secret_of_a_path(reference: &ast::Ref) -> Option<String> {
    let kind = match reference.head.text.as_str() {
        "secret" | "secrets" => "secret",
        "config" | "configmap" => "config",
        _ => return None,
    };
    Some(match reference.fields.as_slice() {
        [key] => format!("{kind}(\"NAME\", \"{}\")", key.text),
        [name, key] => format!("{kind}(\"{}\", \"{}\")", name.text, key.text),
        _ => return None,
    })
}

/// `PT1H30M` as it is written here.
fn iso_duration(word: &str) -> Option<String> {
    let text = word
        .strip_prefix('P')?
        .replace('T', "")
        .to_ascii_lowercase();
    parse_duration(&text).map(|_| text)
}
