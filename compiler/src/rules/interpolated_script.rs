//! K0331: a value in a script of a language that is not the shell's.

use konductor_dsl::{Code, Diagnostic};

use crate::pipeline::script::{Interpreter, Script};

/// Reports every `${…}` of a script that only a POSIX shell could read.
pub(crate) fn check<'a>(
    script: &'a Script,
    interpreter: &'a Interpreter,
) -> impl Iterator<Item = Diagnostic> + 'a {
    script.holes.iter().filter_map(|hole| {
        let variable = variable(&hole.written);
        let read = interpreter.reads(&variable)?;
        let (name, written) = (interpreter.name(), &hole.written);
        let message = format!("a script of {name} can't have a value in it");
        let diagnostic = Diagnostic::error(Code::K0331, hole.span, message)
            .here("it would become code")
            .help(format!(
                "write `env {{ {variable} = {written} }}` and read `{read}`; for the characters \
                 themselves write `$${{{written}}}`"
            ));
        Some(diagnostic)
    })
}

/// The name that a variable for a reference would have.
fn variable(written: &str) -> String {
    let name: String = written
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    name.trim_matches('_').replace("__", "_")
}
