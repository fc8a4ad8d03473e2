//! K0335: words of a shell where there is no shell.

use foldhash::HashSet;
use konductor_dsl::{Code, Diagnostic, Span};

use crate::interpreter::base;
use crate::pipeline::{Action, EnvValue, Piece, Pipeline, Text};

/// What joins commands and redirects files. A `;` ends what `find -exec` runs.
const OPERATORS: [&str; 7] = ["&&", "||", "|", ">", ">>", "<", "2>&1"];
/// What joins two commands, and what redirects to the file behind it or from it.
const JOINING: [&str; 3] = ["&&", "||", "|"];
const REDIRECTING: [&str; 6] = [">", ">>", "<", "1>", "2>", "2>>"];
/// What redirects, and has no file behind it.
const MERGING: [&str; 3] = ["2>&1", "1>&2", ">&2"];
/// Programs that put the values of variables into their arguments themselves, or take `$` for something of their own.
const READING_DOLLARS: [&str; 20] = [
    "ash", "awk", "bash", "busybox", "dash", "env", "envsubst", "eval", "fish", "gawk", "jq",
    "ksh", "make", "mawk", "mongosh", "perl", "php", "pwsh", "sh", "zsh",
];
/// Programs that compute with such signs.
const COMPUTING: [&str; 5] = ["[", "[[", "dpkg", "expr", "test"];
/// Programs whose first argument is what they look for, or replace.
const SEEKING: [&str; 8] = ["ack", "ag", "awk", "egrep", "fgrep", "grep", "rg", "tr"];
/// What stands behind a `|` of a shell most often. Elsewhere `|` is more likely a separator.
const PIPED: [&str; 24] = [
    "awk", "base64", "bash", "cat", "column", "cut", "egrep", "grep", "gzip", "head", "jq", "less",
    "more", "python3", "sed", "sh", "sort", "tail", "tar", "tee", "tr", "uniq", "wc", "xargs",
];
/// How much is repeated to say what to type.
const SHOWN_MAX: usize = 60;

/// Reports `exec = ["make", "&&", "make", "test"]` and `env { D = "$(date)" }`, each once, whatever stages have it.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let mut reported: HashSet<Span> = HashSet::default();
    for stage in &pipeline.stages {
        let of_exec = match &stage.body.action {
            Some(Action::Exec(words)) => of_words(words).or_else(|| of_dollars(words)),
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
        diagnostics.extend(all.filter(|diagnostic| reported.insert(diagnostic.span())));
    }
}

/// A command line with signs that only a shell reads, or one in a single word.
fn of_words(words: &[Text]) -> Option<Diagnostic> {
    let (program, arguments) = words.split_first()?;
    let is_path = |program: &str| program.starts_with(['/', '.']);
    let line = program.plain();
    if let Some(line) = line.filter(|line| line.contains(' ') && !is_path(line)) {
        let message = "a program's name with a blank in it";
        let is_short =
            line.len() <= SHOWN_MAX && !line.contains(['"', '\\', '\n']) && !line.contains("${");
        let pieces: Vec<&str> = line.split_whitespace().collect();
        let help = if !is_short || !arguments.is_empty() {
            "write the line as `run`, or each word by itself".to_owned()
        } else if pieces.iter().all(|piece| is_bare(piece)) {
            let pieces = pieces.join("\", \"");
            format!("write `run = \"{line}\"`, or each word by itself: `exec = [\"{pieces}\"]`")
        } else {
            format!("write `run = \"{line}\"`")
        };
        let diagnostic = Diagnostic::warning(Code::K0335, program.span, message);
        return Some(diagnostic.here("no shell cuts this into words").help(help));
    }
    let plain: Vec<Option<&str>> = words.iter().map(Text::plain).collect();
    let operator = (1..words.len()).find(|at| is_operator(&plain, *at))?;
    let sign = plain[operator].unwrap_or_default();
    let written: Option<Vec<String>> = (0..words.len())
        .map(|at| match plain[at]? {
            word if is_bare(word) || is_joined(&plain, at) => Some(word.to_owned()),
            // Without a blank it may be meant for the shell: a file of any name, or what redirects.
            word if !word.is_empty() && !word.contains(' ') => None,
            word if word.contains(['\'', '"', '\\', '\n', '$']) => None,
            word => Some(format!("'{word}'")),
        })
        .collect();
    let line = written.map(|words| words.join(" "));
    let message = format!("`{sign}` is an argument of the program here");
    let diagnostic = Diagnostic::warning(Code::K0335, words[operator].span, message);
    let line = line.filter(|line| line.len() <= SHOWN_MAX);
    Some(diagnostic.here("no shell reads this").help(match line {
        Some(line) => format!("write `run = \"{line}\"`"),
        None => "write the line as `run`, which a shell reads".to_owned(),
    }))
}

/// Whether a word of a command line is most likely meant for a shell: what stands behind an option is its value, and
/// many a program takes `|`, `<` and `>` as a separator, or looks for them.
fn is_operator(words: &[Option<&str>], at: usize) -> bool {
    let word = |at: usize| words.get(at).copied().flatten();
    let (Some(sign), Some(program)) = (word(at), word(0).map(base)) else {
        return false;
    };
    if at == 0 || !OPERATORS.contains(&sign) || COMPUTING.contains(&program) {
        return false;
    }
    if sign == "2>&1" {
        return true;
    }
    let is_option = |word: &Option<&str>| word.is_some_and(|word| word.starts_with('-'));
    let is_first = words[1..at].iter().all(is_option);
    if is_option(&words[at - 1]) || is_first && SEEKING.contains(&program) {
        return false;
    }
    let Some(next) = word(at + 1) else {
        return false;
    };
    match sign {
        "&&" | "||" => true,
        "|" => PIPED.contains(&next),
        _ => {
            let has_letter = next.contains(|c: char| c.is_ascii_alphabetic());
            is_bare(next) && has_letter && next.contains(['.', '/']) && !next.starts_with('-')
        }
    }
}

/// Whether a sign is one of a shell, in a line that has another one for certain.
fn is_joined(words: &[Option<&str>], at: usize) -> bool {
    let word = |at: usize| words.get(at).copied().flatten();
    let is_sign = |at: usize| {
        let signs = [&JOINING[..], &REDIRECTING[..], &MERGING[..]];
        word(at).is_some_and(|word| signs.iter().any(|signs| signs.contains(&word)))
    };
    // The command that it stands in begins behind what joins it to the one before.
    let is_joining = |at: &usize| word(*at).is_some_and(|word| JOINING.contains(&word));
    let start = (0..at).rev().find(is_joining).map_or(0, |sign| sign + 1);
    let Some(program) = word(start).map(base).filter(|_| start < at && is_sign(at)) else {
        return false;
    };
    let is_option = |word: &Option<&str>| word.is_some_and(|word| word.starts_with('-'));
    let is_first = words[start + 1..at].iter().all(is_option);
    let is_text = is_option(&words[at - 1])
        || COMPUTING.contains(&program)
        || is_first && SEEKING.contains(&program);
    let is_merging = word(at).is_some_and(|sign| MERGING.contains(&sign));
    let is_followed = word(at + 1).is_some() && !is_sign(at + 1);
    is_merging || !is_text && (is_followed || is_operator(words, at))
}

/// `exec = ["echo", "$HOME"]`: the program gets these characters.
fn of_dollars(words: &[Text]) -> Option<Diagnostic> {
    let reads = |text: &Text| {
        let program = text.plain().map(base);
        program.is_some_and(|program| READING_DOLLARS.contains(&program))
    };
    let words_of_no_shell = words.iter().take_while(|text| !reads(text));
    let (text, name) = words_of_no_shell
        .skip(1)
        .find_map(|text| Some((text, variable(text)?)))?;
    let written: Option<Vec<String>> = words
        .iter()
        .map(|text| match text.plain()? {
            word if is_bare(word) => Some(word.to_owned()),
            word if is_bare(&word.replace('$', "")) && variable(text).is_some() => {
                Some(format!("\\\"{word}\\\""))
            }
            _ => None,
        })
        .collect();
    let line = written.map(|words| words.join(" "));
    let message = format!("`${name}` stays as it is in an argument");
    let diagnostic = Diagnostic::warning(Code::K0335, text.span, message);
    let line = line.filter(|line| line.len() <= SHOWN_MAX);
    Some(diagnostic.here("no shell reads this").help(match line {
        Some(line) => format!("write `run = \"{line}\"`"),
        None => "write the line as `run`, which a shell reads".to_owned(),
    }))
}

/// The variable in a word that is a name or a path but for it: `$HOME`, `--home=$HOME/x`.
fn variable(text: &Text) -> Option<&str> {
    let mut literals = text.pieces.iter().filter_map(|piece| match piece {
        Piece::Literal(literal) => Some(literal.as_str()),
        Piece::Reference(_) => None,
    });
    literals.find_map(|literal| {
        let mut parts = literal.split('$');
        let before = parts.next()?;
        let first = parts.next()?;
        let is_variable = |part: &&str| part.starts_with(|c: char| c.is_ascii_uppercase());
        let is_path = (before.is_empty() || is_bare(before))
            && literal
                .split('$')
                .skip(1)
                .all(|part| is_variable(&part) && is_bare(part));
        let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let name = first.split(|c: char| !is_of_name(c)).next()?;
        // `$Id` is a word of others.
        let rest = first.strip_prefix(name)?;
        let is_name = !rest.starts_with(|c: char| c.is_ascii_alphabetic());
        (is_path && is_name && name.len() > 1).then_some(name)
    })
}

/// Whether a shell takes a word as it is.
fn is_bare(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-+=:,./@%".contains(c);
    !word.is_empty() && word.chars().all(is_plain)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_comparisons_are_no_words_of_a_shell() {
        let table: [(&[&str], Option<usize>); 22] = [
            (&["cut", "-d", "|", "-f1"], None),
            (&["awk", "-F", "|", "{ print }"], None),
            (&["sort", "-t", "|"], None),
            (&["psql", "-F", "|", "-c", "select 1"], None),
            (&["expr", "1", "<", "2"], None),
            (&["test", "a", ">", "b"], None),
            (&["dpkg", "--compare-versions", "1.0a", "<", "2.0b"], None),
            (&["find", ".", "-exec", "ls", ";"], None),
            (&["grep", ">", "a.fasta"], None),
            (&["grep", "-c", ">", "a.fasta"], None),
            (&["tr", "|", "tee"], None),
            (&["paste", "-d", "||", "a", "b"], None),
            (&["compare", "a", "<", "b"], None),
            (&["split", "a.txt", "|"], None),
            (&["echo", "a", "||"], None),
            (&["ls", "|", "wc"], Some(1)),
            (&["ls", "-l", "a", "|", "wc", "-l"], Some(3)),
            (&["ls", ">", "out.txt"], Some(1)),
            (&["jq", ".a", "<", "/in/x"], Some(2)),
            (&["make", "&&", "make", "test"], Some(1)),
            (&["make", "-k", "2>&1"], Some(2)),
            (&["cut", "-d", "|", "a", "|", "sort"], Some(4)),
        ];
        for (words, expected) in table {
            let plain: Vec<Option<&str>> = words.iter().copied().map(Some).collect();
            let position = (0..words.len()).find(|at| is_operator(&plain, *at));
            assert_eq!(position, expected, "{words:?}");
        }
    }

    #[test]
    fn signs_are_written_as_a_shell_reads_them_or_not_at_all() {
        let table: [(&[&str], Option<&str>); 17] = [
            (
                &["cat", "a.txt", "|", "grep", "x", ">", "out"],
                Some("cat a.txt | grep x > out"),
            ),
            (
                &["prog", "2>", "err", "||", "true"],
                Some("prog 2> err || true"),
            ),
            (&["prog", "<", "in", "2>&1"], Some("prog < in 2>&1")),
            (&["make", "-k", "2>&1"], Some("make -k 2>&1")),
            (&["a", "&&", "echo", "b c"], Some("a && echo 'b c'")),
            (&["a", "&&", "echo", ""], Some("a && echo ''")),
            (&["cut", "-d", "|", "a", "|", "sort"], None),
            (&["cat", "a", "|", "grep", ">", "b"], None),
            (&["cat", "a", "|", "grep", ">", "b.fasta"], None),
            (&["a", "|", "wc", ">"], None),
            (&["a", "2>/dev/null", "|", "wc"], None),
            (&["cat", "*.txt", "|", "wc"], None),
            (&["cat", "~/a", "|", "wc"], None),
            (&["a", "&&", "b", "&"], None),
            (&["a", "&&", "b", ";"], None),
            (&["a", "&&", "echo", "$HOME"], None),
            (&["a", "&&", "echo", "it's b"], None),
        ];
        for (words, expected) in table {
            let texts = words.iter().map(|word| Text {
                pieces: vec![Piece::Literal((*word).to_owned())],
                span: Span::default(),
            });
            let texts: Vec<Text> = texts.collect();
            let help = of_words(&texts).and_then(|reported| reported.help);
            let expected = match expected {
                Some(line) => format!("write `run = \"{line}\"`"),
                None => "write the line as `run`, which a shell reads".to_owned(),
            };
            assert_eq!(help, Some(expected), "{words:?}");
        }
    }

    #[test]
    fn variables_are_words_of_a_shell_where_no_program_reads_them() {
        let table: [(&[&str], Option<&str>); 14] = [
            (
                &["echo", "$HOME"],
                Some("write `run = \"echo \\\"$HOME\\\"\"`"),
            ),
            (
                &["ls", "-l", "--in=$HOME/x", "/y"],
                Some("write `run = \"ls -l \\\"--in=$HOME/x\\\" /y\"`"),
            ),
            (
                &["echo", "$HOME", "a b"],
                Some("write the line as `run`, which a shell reads"),
            ),
            (&["sh", "-c", "$CMD"], None),
            (&["/bin/bash", "-c", "$CMD"], None),
            (&["timeout", "9", "sh", "-c", "$CMD"], None),
            (&["envsubst", "$HOME"], None),
            (&["awk", "$NF"], None),
            (&["grep", "END$"], None),
            (&["echo", "$1"], None),
            (&["echo", "$Id$"], None),
            (&["echo", "$(HOME)"], None),
            (&["echo", "a costs $US 3"], None),
            (&["$HOME/bin/x"], None),
        ];
        for (words, expected) in table {
            let texts = words.iter().map(|word| Text {
                pieces: vec![Piece::Literal((*word).to_owned())],
                span: Span::default(),
            });
            let texts: Vec<Text> = texts.collect();
            let help = of_dollars(&texts).and_then(|reported| reported.help);
            assert_eq!(help.as_deref(), expected, "{words:?}");
        }
    }
}
