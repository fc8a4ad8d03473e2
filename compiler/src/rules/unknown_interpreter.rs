//! K0332: an interpreter that can't be given a script.

use konductor_dsl::{Code, Diagnostic, Edit, Span};

use super::listed;
use crate::pipeline::script::Interpreter;

/// The line `#!…` of a script.
pub(crate) fn of_script(span: Span, line: &str) -> Diagnostic {
    const SHOWN_MAX: usize = 60;
    let line: String = line.trim().chars().take(SHOWN_MAX).collect();
    report(span, format!("`#!{line}` can't be given a script"))
}

/// `shell = "…"`; `word` is one that only misses its quotes.
pub(crate) fn of_shell(span: Span, word: Option<Interpreter>) -> Diagnostic {
    let diagnostic = report(span, "this can't be given a script".to_owned());
    match word {
        Some(word) => {
            let quoted = format!("\"{}\"", word.name());
            let fix = Edit::replace(span, quoted.as_str());
            diagnostic.fixed(format!("put it in quotes: {quoted}"), [fix])
        }
        None => diagnostic,
    }
}

fn report(span: Span, message: String) -> Diagnostic {
    let names = Interpreter::names();
    let interpreters: Vec<&str> = ["bash", "python3", "node"]
        .into_iter()
        .chain(
            names
                .into_iter()
                .filter(|name| !matches!(*name, "bash" | "python" | "node")),
        )
        .collect();
    Diagnostic::error(Code::K0332, span, message)
        .here("no interpreter that konductor knows")
        .help(format!(
            "use {}, or put the script into the image and run it with `exec`",
            listed(&interpreters, "or")
        ))
}
