//! K0335: words of a shell where there is no shell.

use foldhash::HashSet;
use konductor_dsl::{Code, Diagnostic, Span};

use crate::interpreter::base;
use crate::pipeline::{Action, EnvValue, Pipeline, Text};

/// What joins commands and redirects files. A `;` ends what `find -exec` runs.
const OPERATORS: [&str; 7] = ["&&", "||", "|", ">", ">>", "<", "2>&1"];
/// Programs that compute with such signs.
const COMPUTING: [&str; 3] = ["[", "expr", "test"];
/// How much is repeated to say what to type.
const SHOWN_MAX: usize = 60;

/// Reports `exec = ["make", "&&", "make", "test"]` and `env { D = "$(date)" }`, each once, whatever stages have it.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let mut reported: HashSet<Span> = HashSet::default();
    for stage in &pipeline.stages {
        let of_exec = match &stage.body.action {
            Some(Action::Exec(words)) => of_words(words),
            Some(Action::Run(_)) | None => None,
        };
        let of_env = stage
            .body
            .env
            .iter()
            .filter_map(|(name, value)| match value {
                EnvValue::Text(text) => of_variable(name, text),
                EnvValue::Secret { .. } | EnvValue::Config { .. } => None,
            });
        let all = of_exec.into_iter().chain(of_env);
        diagnostics.extend(all.filter(|one| reported.insert(one.span())));
    }
}

/// A command line with signs that only a shell reads, or one in a single word.
fn of_words(words: &[Text]) -> Option<Diagnostic> {
    let plain: Option<Vec<&str>> = words.iter().map(Text::plain).collect();
    let (program, arguments) = words.split_first()?;
    if let Some(line) = program.plain().filter(|program| program.contains(' ')) {
        let message = "a program's name with a blank in it";
        let pieces: Vec<String> = line
            .split_whitespace()
            .map(|word| format!("\"{word}\""))
            .collect();
        let help = format!(
            "write `run = \"{line}\"`, or each word by itself: `exec = [{}]`",
            pieces.join(", ")
        );
        let is_short = line.len() <= SHOWN_MAX && !line.contains(['"', '\\', '\n']);
        let help = match is_short {
            true => help,
            false => "write the line as `run`, or each word by itself".to_owned(),
        };
        let diagnostic = Diagnostic::warning(Code::K0335, program.span, message);
        return Some(diagnostic.here("no shell cuts this into words").help(help));
    }
    let is_computing = program
        .plain()
        .is_some_and(|program| COMPUTING.contains(&base(program)));
    let is_operator = |text: &&Text| text.plain().is_some_and(|word| OPERATORS.contains(&word));
    let operator = arguments
        .iter()
        .find(is_operator)
        .filter(|_| !is_computing)?;
    let sign = operator.plain().unwrap_or_default();
    let line = plain.map(|words| words.join(" "));
    let line =
        line.filter(|line| line.len() <= SHOWN_MAX && !line.contains(['"', '\\', '\n', '$']));
    let message = format!("`{sign}` is an argument of the program here");
    let diagnostic = Diagnostic::warning(Code::K0335, operator.span, message);
    Some(diagnostic.here("no shell reads this").help(match line {
        Some(line) => format!("write `run = \"{line}\"`"),
        None => "write the line as `run`, which a shell reads".to_owned(),
    }))
}

/// `D = "$(date +%F)"`, `PATH = "$PATH:/opt/bin"`: the container gets these characters.
fn of_variable(name: &str, text: &Text) -> Option<Diagnostic> {
    let value = text.plain()?;
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let own = format!("${name}");
    let mut parts = value.split(&own).skip(1);
    let is_own = parts.any(|after| !after.starts_with(is_of_name));
    let (written, help) = match substitution(value) {
        Some(inner) if !inner.is_empty() && inner.chars().all(is_of_name) => (
            format!("$({inner})"),
            format!("write the value itself, or `export {name}=…` in `run`, with `${inner}`"),
        ),
        Some(inner) => (
            format!("$({inner})"),
            format!("compute it in `run`: `{name}=$({inner})`"),
        ),
        None if is_own => (
            own,
            format!("write the value as a whole, or `export {name}=\"{value}\"` in `run`"),
        ),
        None => return None,
    };
    let message = format!("`{written}` stays as it is in a variable");
    let diagnostic = Diagnostic::warning(Code::K0335, text.span, message);
    Some(diagnostic.here("no shell reads this").help(help))
}

/// What is in the `$(…)` of a value that is nothing but a word around it; a text with blanks outside is one for people,
/// or a script.
fn substitution(value: &str) -> Option<&str> {
    const FOREIGN: [&str; 5] = ["params.", "tasks.", "context.", "workspaces.", "results."];
    let (before, rest) = value.split_once("$(")?;
    let (inner, after) = rest.split_once(')')?;
    let is_word = !before.contains(char::is_whitespace) && !after.contains(char::is_whitespace);
    let is_foreign = FOREIGN.iter().any(|head| inner.starts_with(head));
    let is_plain = !inner.contains(['(', '"', '\n']) && inner.len() <= SHOWN_MAX;
    (is_word && is_plain && !is_foreign && !before.ends_with('$')).then_some(inner)
}
