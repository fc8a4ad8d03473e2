//! Scripts, and which interpreter executes one.
//!
//! What enters: the text of `run`, `shell = "…"`, and the line `#!…`. What leaves: a command line
//! that ends with the script. What must never happen here: a value in a script. A POSIX shell reads
//! values from variables, and no other interpreter is given a script with values.

use konductor_dsl::{Span, ast};

use super::{Piece, Text};
use crate::interpreter::base;

/// The text of `run`.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// The text; its references are in the order of the holes.
    pub text: Text,
    /// Each `${…}` as it is written.
    pub holes: Vec<Hole>,
    /// Where its first line is written, or the whole.
    pub head: Span,
}

/// A `${…}` in a script.
#[derive(Clone, Debug)]
pub(crate) struct Hole {
    /// What is between the braces.
    pub written: String,
    /// The whole, with its braces.
    pub span: Span,
    /// Whether it stands in a `"…"`, in which quotes are written `\"`.
    pub in_line: bool,
}

impl Hole {
    /// It in the shell's double quotes, as they are written where it stands.
    pub(crate) fn in_double_quotes(&self) -> String {
        let quote = if self.in_line { "\\\"" } else { "\"" };
        format!("{quote}${{{}}}{quote}", self.written)
    }
}

impl Script {
    pub(crate) fn new(written: &ast::Str, text: Text) -> Self {
        let holes = written.parts.iter().filter_map(|part| match part {
            ast::Part::Hole(reference, span) => Some(Hole {
                written: reference.to_string(),
                span: *span,
                in_line: !written.block,
            }),
            ast::Part::Text { .. } | ast::Part::Shell(_) => None,
        });
        let head = match written.parts.first() {
            Some(ast::Part::Text { span, .. }) if written.block => *span,
            _ => written.span,
        };
        Self {
            holes: holes.collect(),
            text,
            head,
        }
    }

    /// What is behind `#!` in the first line.
    pub(crate) fn shebang(&self) -> Option<&str> {
        let Some(Piece::Literal(first)) = self.text.pieces.first() else {
            return None;
        };
        first.strip_prefix("#!")?.lines().next()
    }

    /// What executes it: what its first line says, else what `shell` says, else `/bin/sh`.
    ///
    /// # Errors
    /// If the first line names something that can't be given a script: what it names.
    pub(crate) fn interpreter(&self, shell: Option<&Interpreter>) -> Result<Interpreter, &str> {
        match self.shebang() {
            Some(line) => Interpreter::parse(line).ok_or(line),
            None => Ok(shell.cloned().unwrap_or_default()),
        }
    }
}

/// What executes a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interpreter {
    program: String,
    options: Vec<String>,
    kind: &'static Kind,
}

/// How a kind of interpreter takes a script.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    names: &'static [&'static str],
    /// Before the script.
    flags: &'static [&'static str],
    /// How it reads the environment variable `@`; `None` of a POSIX shell, which reads `${v}` itself.
    variable: Option<&'static str>,
}

/// Interpreters are known by the last part of their path, without a version.
const KINDS: [Kind; 9] = [
    Kind {
        names: &["sh", "dash", "ash"],
        flags: &["-eu", "-c"],
        variable: None,
    },
    Kind {
        names: &["bash", "ksh", "zsh"],
        flags: &["-euo", "pipefail", "-c"],
        variable: None,
    },
    Kind {
        names: &["python", "pypy"],
        flags: &["-c"],
        variable: Some("os.environ[\"@\"]"),
    },
    Kind {
        names: &["node"],
        flags: &["-e"],
        variable: Some("process.env.@"),
    },
    Kind {
        names: &["perl"],
        flags: &["-e"],
        variable: Some("$ENV{@}"),
    },
    Kind {
        names: &["ruby"],
        flags: &["-e"],
        variable: Some("ENV[\"@\"]"),
    },
    Kind {
        names: &["php"],
        flags: &["-r"],
        variable: Some("getenv(\"@\")"),
    },
    Kind {
        names: &["lua"],
        flags: &["-e"],
        variable: Some("os.getenv(\"@\")"),
    },
    Kind {
        names: &["pwsh"],
        flags: &["-NoProfile", "-NonInteractive", "-Command"],
        variable: Some("$env:@"),
    },
];

impl Default for Interpreter {
    fn default() -> Self {
        Self {
            program: "/bin/sh".to_owned(),
            options: Vec::new(),
            kind: &KINDS[0],
        }
    }
}

impl Interpreter {
    /// Reads `bash`, `python3 -u` or `/usr/bin/env -S python3 -u`; `None` where that can't be given
    /// a script.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let mut program = words.next()?;
        if base(program) == "env" {
            program = words.find(|word| *word != "-S")?;
        }
        let kind = KINDS
            .iter()
            .find(|kind| kind.names.contains(&base(program)))?;
        let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
        let options: Vec<String> = words.map(str::to_owned).collect();
        let is_right =
            program.chars().all(is_path) && options.iter().all(|word| word.starts_with('-'));
        is_right.then(|| Self {
            program: if program == "sh" { "/bin/sh" } else { program }.to_owned(),
            options,
            kind,
        })
    }

    /// The names of all.
    pub(crate) fn names() -> Vec<&'static str> {
        KINDS.iter().flat_map(|kind| kind.names).copied().collect()
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        self.program.rsplit('/').next().unwrap_or(&self.program)
    }

    /// How its scripts read the environment variable of this name; `None` of a POSIX shell, whose
    /// scripts may have values.
    pub(crate) fn reads(&self, variable: &str) -> Option<String> {
        Some(self.kind.variable?.replace('@', variable))
    }

    /// The command line.
    pub(crate) fn command(&self, script: String) -> Vec<String> {
        // Not everything takes the line `#!…` for a comment; without its newline lines keep their
        // numbers.
        let script = match script.split_once('\n') {
            Some((first, rest)) if first.starts_with("#!") && self.kind.variable.is_some() => {
                format!("\n{rest}")
            }
            _ => script,
        };
        let flags = self.kind.flags.iter().map(|flag| (*flag).to_owned());
        let mut command = vec![self.program.clone()];
        command.extend(self.options.iter().cloned().chain(flags));
        command.push(script);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_and_a_shebang_say_the_command_line() {
        let table: [(&str, Option<&str>); 20] = [
            ("sh", Some("/bin/sh -eu -c @")),
            ("/bin/sh", Some("/bin/sh -eu -c @")),
            ("/bin/sh -x", Some("/bin/sh -x -eu -c @")),
            ("bash", Some("bash -euo pipefail -c @")),
            (" /bin/bash", Some("/bin/bash -euo pipefail -c @")),
            ("/usr/bin/env bash", Some("bash -euo pipefail -c @")),
            ("dash", Some("dash -eu -c @")),
            ("/usr/bin/env python3", Some("python3 -c @")),
            ("/usr/bin/env -S python3 -u", Some("python3 -u -c @")),
            ("python3.13", Some("python3.13 -c @")),
            ("node", Some("node -e @")),
            ("perl -w", Some("perl -w -e @")),
            ("ruby", Some("ruby -e @")),
            ("php8.2", Some("php8.2 -r @")),
            ("pwsh", Some("pwsh -NoProfile -NonInteractive -Command @")),
            ("/usr/bin/make -f", None),
            ("/usr/bin/env", None),
            ("", None),
            ("bash script.sh", None),
            ("$(x)/bash", None),
        ];
        for (line, expected) in table {
            let command = Interpreter::parse(line)
                .map(|interpreter| interpreter.command("@".to_owned()).join(" "));
            assert_eq!(command.as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn lines_keep_their_numbers_without_the_shebang() {
        let command = |line: &str| Interpreter::parse(line).unwrap_or_default();
        let script = "#!x\ny";
        assert_eq!(command("node").command(script.to_owned())[2], "\ny");
        assert_eq!(command("sh").command(script.to_owned())[3], script);
    }
}
