//! Which words of a command line are code for an interpreter.
//!
//! What enters: the words of a command line, with [`HOLE`] where a value is not known. What leaves:
//! the places of those that something executes as a program. What must never happen here: a guess
//! that misses code. A word that may be code is code.

mod flag;
mod program;
mod setting;

use flag::Flag;
pub(crate) use program::Language;
use program::{PROGRAMS, Program, Style};
pub(crate) use setting::is_executed_variable;

/// Stands for a value that is not known yet.
pub(crate) const HOLE: char = '\u{fffc}';

/// Programs that show or search what follows, and run none of it.
const SHOWS_WORDS: [&str; 6] = ["echo", "printf", "grep", "egrep", "fgrep", "rg"];

/// Operators of `[[` whose operands are computed.
const COMPARES_NUMBERS: [&str; 6] = ["-eq", "-ne", "-lt", "-le", "-gt", "-ge"];

/// Programs that start what follows.
const STARTERS: [&str; 21] = [
    "busybox",
    "chroot",
    "chrt",
    "doas",
    "dumb-init",
    "env",
    "find",
    "gosu",
    "ionice",
    "nice",
    "nohup",
    "nsenter",
    "setpriv",
    "setsid",
    "stdbuf",
    "su-exec",
    "sudo",
    "timeout",
    "tini",
    "unshare",
    "xargs",
];

/// Words before a command that change nothing about what it executes.
const PREFIXES: [&str; 7] = [
    "builtin", "command", "exec", "nohup", "setsid", "sudo", "time",
];

/// The words of a command line that are executed as code, each once, in order.
pub(crate) fn code_words(words: &[String]) -> Vec<(usize, Language)> {
    let mut code: Vec<(usize, Language)> = Vec::new();
    for (at, program) in programs(words) {
        let rest = &words[at + 1..];
        let places = Rest::of(program, rest).code.into_iter();
        code.extend(places.map(|word| (at + 1 + word, program.language)));
        let settings = (program.settings)(rest).into_iter();
        code.extend(settings.map(|word| (at + 1 + word, Language::Command)));
    }
    if !shows_words(words) {
        code.extend(setting::variables(words).map(|word| (word, Language::Variable)));
    }
    code.sort_unstable();
    code.dedup_by_key(|(word, _)| *word);
    code
}

/// What executes the standard input of a command line, if anything does.
pub(crate) fn executes_input(words: &[String]) -> Option<Language> {
    for (at, program) in programs(words) {
        let rest = Rest::of(program, &words[at + 1..]);
        if program.stdin && rest.reads_input {
            return Some(program.language);
        }
        if program.names.contains(&"xargs") {
            let line = setting::xargs_line(&words[at + 1..]);
            let mut code = code_words(&line).into_iter();
            let read = code.find(|(word, _)| line[*word].contains(HOLE));
            return read.map(|(_, language)| language);
        }
        // What follows code are its arguments, whatever they are called.
        if rest.has_code {
            return None;
        }
    }
    None
}

/// The word that names the file with the code, where a command line executes one.
pub(crate) fn script_word(words: &[String]) -> Option<(usize, Language)> {
    let (at, program) = programs(words).next()?;
    let rest = Rest::of(program, &words[at + 1..]);
    let operand = rest.operand.filter(|_| program.stdin && !rest.has_code)?;
    (program.language != Language::Remote).then_some((at + 1 + operand, program.language))
}

/// The words that bash and its kin compute as an expression, in which `a[$(…)]` runs a command. dash
/// computes no such thing, but `sh` may be either.
pub(crate) fn arithmetic_words(words: &[String]) -> Vec<usize> {
    let Some(first) = words.first() else {
        return Vec::new();
    };
    match first.as_str() {
        "let" => (1..words.len()).collect(),
        "[[" | "[" | "test" => {
            let computes = |at: &usize| {
                let is_double = first == "[[";
                let operator = |word: Option<&String>| {
                    word.is_some_and(|word| is_double && COMPARES_NUMBERS.contains(&word.as_str()))
                };
                operator(words.get(at + 1)) || operator(words.get(at - 1)) || words[at - 1] == "-v"
            };
            (1..words.len()).filter(computes).collect()
        }
        "printf" if words.get(1).is_some_and(|word| word == "-v") => vec![2],
        _ => Vec::new(),
    }
}

/// The programs that a command line names: the first word, and any other that could be one behind
/// `timeout 5`, `xargs`, `find -exec`, `kubectl exec pod --` and whatever else starts a program.
fn programs(words: &[String]) -> impl Iterator<Item = (usize, &'static Program)> + '_ {
    let first = first_of(words);
    let shows = shows_words(words);
    let is_starter = |word: &String| STARTERS.contains(&base(word));
    let is_copied = words.get(first).is_some_and(|word| base(word) == "rsync");
    let starts_others = words.iter().take(first + 1).any(is_starter);
    let words = words.iter().enumerate().skip(first).filter(move |_| !shows);
    words.filter_map(move |(at, word)| {
        // `base` takes a version from the end, and its dot.
        let name = if word == "." { "source" } else { base(word) };
        let program = PROGRAMS
            .iter()
            .find(|program| program.names.contains(&name))?;
        let may_stand = match (program.language, name) {
            (Language::Eval, "eval" | "trap" | "source") => false,
            // `npm run watch` starts something else.
            (Language::Eval, "watch" | "parallel" | "at" | "batch") => starts_others,
            (_, "ed") => starts_others,
            // `rsync -e ssh FROM TO` names what it goes through.
            (Language::Remote, _) => !is_copied,
            _ => true,
        };
        (at == first || may_stand).then_some((at, program))
    })
}

/// The place of the first word that names a program.
fn first_of(words: &[String]) -> usize {
    let prefixes = words.iter();
    let prefixes = prefixes.take_while(|word| PREFIXES.contains(&word.as_str()));
    prefixes.count()
}

/// Whether a command line only shows or searches its words.
fn shows_words(words: &[String]) -> bool {
    let first = words.get(first_of(words));
    first.is_some_and(|word| SHOWS_WORDS.contains(&base(word)))
}

/// `/usr/bin/python3.13` is `python`.
pub(crate) fn base(word: &str) -> &str {
    let name = word.rsplit(['/', '\\']).next().unwrap_or(word);
    let name = name.strip_suffix(".exe").unwrap_or(name);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    bare.strip_suffix('-').unwrap_or(bare)
}

/// What follows a program's name.
#[derive(Default)]
struct Rest {
    code: Vec<usize>,
    /// The first word that is no flag.
    operand: Option<usize>,
    has_code: bool,
    reads_input: bool,
}

impl Rest {
    fn of(program: &Program, words: &[String]) -> Self {
        let mut rest = Self::default();
        if program.style == Style::SettingsOnly {
            return rest;
        }
        let mut flags = words.iter().take_while(|word| *word != "--");
        if flags.any(|word| Some(word.as_str()) == program.harmless_with) {
            return rest;
        }
        let mut operands = Vec::new();
        let (mut operand_is_code, mut has_file, mut input) = (false, false, false);
        let mut at = 0;
        while let Some(word) = words.get(at) {
            if word == "--" {
                operands.extend(at + 1..words.len());
                break;
            }
            let is_flag = word.len() > 1
                && (word.starts_with('-')
                    || program.style == Style::FirstOperand && word.starts_with('+'));
            if !is_flag {
                operands.push(at);
                if program.style == Style::AnywhereAfterFlag {
                    at += 1;
                    continue;
                }
                operands.extend(at + 1..words.len());
                break;
            }
            at += 1;
            match program.flag(word) {
                Flag::Plain => {}
                Flag::CodeHere => rest.code.push(at - 1),
                Flag::CodeNext if program.style == Style::AllAfterFlag => {
                    rest.code.extend(at..words.len());
                    break;
                }
                Flag::CodeNext => {
                    rest.code.extend((at < words.len()).then_some(at));
                    at += 1;
                }
                Flag::CodeOperand => operand_is_code = true,
                Flag::TakesBeforeCode => {
                    operand_is_code = true;
                    at += 1;
                }
                Flag::Takes => at += 1,
                Flag::File => {
                    has_file = true;
                    at += 1;
                    // What follows `python -m MODULE` is the module's.
                    if program.style == Style::AfterFlag {
                        break;
                    }
                }
                Flag::Input => input = true,
            }
        }
        rest.has_code = !rest.code.is_empty() || has_file || operand_is_code;
        match program.style {
            Style::FirstOperand if operand_is_code => {
                rest.code.extend(operands.first());
            }
            Style::Operand if !rest.has_code => rest.code.extend(operands.first()),
            Style::AllOperands => {
                let ends = operands.iter().position(|at| words[*at].starts_with(":::"));
                rest.code
                    .extend(&operands[..ends.unwrap_or(operands.len())]);
            }
            Style::AllButFirst => rest.code.extend(operands.iter().skip(1)),
            Style::Behind(word) if operands.first().is_some_and(|at| words[*at] == word) => {
                rest.code.extend(operands.iter().skip(1));
            }
            _ => {}
        }
        let first = operands.first().map(|at| words[*at].as_str());
        let nothing_else = match program.style {
            Style::AllButFirst => operands.len() < 2,
            Style::AnywhereAfterFlag => true,
            _ => matches!(
                first,
                None | Some("-" | "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0")
            ),
        };
        rest.operand = operands.first().copied();
        rest.reads_input = input || (!rest.has_code && nothing_else);
        rest
    }
}

#[cfg(test)]
mod tests;
