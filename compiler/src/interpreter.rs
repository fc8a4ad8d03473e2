//! Which words of a command line are code for an interpreter.
//!
//! What enters: the words of a command line, with [`HOLE`] where a value is not known. What leaves:
//! the places of those that something executes as a program. What must never happen here: a guess
//! that misses code. A word that may be code is code.

/// Stands for a value that is not known yet.
pub(crate) const HOLE: char = '\u{fffc}';

/// What executes a word, which decides how a value gets there safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    /// `sh -c` and its kind.
    Shell,
    /// `eval`, `trap`, `watch`: a shell that is there already.
    Eval,
    /// `ssh`: a shell on another machine.
    Remote,
    Python,
    Node,
    Perl,
    Ruby,
    Awk,
    /// Any other.
    Other,
}

/// How a program's code is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// A flag says that the first operand is code: `sh -c -e CODE`.
    FirstOperand,
    /// A flag is followed by code: `python -c CODE`, `perl -eCODE`.
    AfterFlag,
    /// As `AfterFlag`, also behind operands: `su - user -c CODE`.
    AnywhereAfterFlag,
    /// A flag makes all that follows code: `pwsh -Command CODE…`.
    AllAfterFlag,
    /// The first operand is code, without a flag: `awk CODE`.
    Operand,
    /// Every operand is code: `eval CODE…`.
    AllOperands,
    /// Every operand behind the first is code: `ssh HOST CODE…`.
    AllButFirst,
    /// Every operand behind this word is code: `deno eval CODE`.
    Behind(&'static str),
}

/// A program that executes some of its words.
struct Program {
    names: &'static [&'static str],
    language: Language,
    style: Style,
    /// Letters of the flags that are followed by code, or announce it.
    code: &'static str,
    /// The same flags in long, without their dashes.
    long: &'static [&'static str],
    /// Letters of the flags that take a word of their own.
    takes: &'static str,
    /// Letters of the flags that take the rest of their word.
    attached: &'static str,
    /// Long flags that take a word of their own, without their dashes.
    long_takes: &'static [&'static str],
    /// Letters of the flags that name a file with the code instead.
    file: &'static str,
    /// Whether it executes its standard input where nothing else is given.
    stdin: bool,
}

const BASE: Program = Program {
    names: &[],
    language: Language::Other,
    style: Style::AfterFlag,
    code: "",
    long: &[],
    takes: "",
    attached: "",
    long_takes: &[],
    file: "",
    stdin: false,
};

/// Programs are known by the last part of their path, without a version.
const PROGRAMS: [Program; 21] = [
    Program {
        names: &[
            "sh", "bash", "dash", "ash", "rbash", "ksh", "mksh", "oksh", "lksh", "pdksh", "yash",
            "zsh", "fish", "csh", "tcsh", "osh", "xonsh", "nu", "elvish", "$SHELL",
        ],
        language: Language::Shell,
        style: Style::FirstOperand,
        code: "c",
        long: &["command", "commands", "init-command"],
        takes: "oO",
        long_takes: &["rcfile", "init-file"],
        stdin: true,
        ..BASE
    },
    Program {
        names: &["python", "pypy", "ipython", "micropython", "jython"],
        language: Language::Python,
        code: "c",
        takes: "WX",
        file: "m",
        stdin: true,
        ..BASE
    },
    Program {
        names: &["node", "nodejs", "bun", "tsx", "ts-node"],
        language: Language::Node,
        code: "ep",
        long: &["eval", "print"],
        takes: "rC",
        long_takes: &["require", "import", "loader", "conditions", "input-type"],
        stdin: true,
        ..BASE
    },
    Program {
        names: &["perl", "raku"],
        language: Language::Perl,
        code: "eE",
        takes: "I",
        attached: "MmiFDCx",
        stdin: true,
        ..BASE
    },
    Program {
        names: &["ruby", "jruby", "crystal"],
        language: Language::Ruby,
        code: "e",
        takes: "rICE",
        attached: "iFKTWx",
        stdin: true,
        ..BASE
    },
    Program {
        names: &["php"],
        code: "rRBE",
        long: &["run", "process-code", "process-begin", "process-end"],
        takes: "dczS",
        file: "fF",
        stdin: true,
        ..BASE
    },
    Program {
        names: &[
            "Rscript",
            "R",
            "lua",
            "luajit",
            "groovy",
            "scala",
            "elixir",
            "osascript",
        ],
        code: "e",
        long: &["eval"],
        takes: "l",
        stdin: true,
        ..BASE
    },
    Program {
        names: &["julia"],
        code: "eE",
        long: &["eval", "print"],
        takes: "LpHCtJ",
        stdin: true,
        ..BASE
    },
    Program {
        names: &["erl"],
        long: &["eval"],
        ..BASE
    },
    Program {
        names: &["deno"],
        language: Language::Node,
        style: Style::Behind("eval"),
        ..BASE
    },
    Program {
        names: &["pwsh", "powershell"],
        style: Style::AllAfterFlag,
        code: "cCeE",
        stdin: true,
        ..BASE
    },
    Program {
        names: &["awk", "gawk", "mawk", "nawk", "goawk"],
        language: Language::Awk,
        style: Style::Operand,
        code: "e",
        long: &["source"],
        takes: "Fviel",
        long_takes: &["field-separator", "assign", "include", "load"],
        file: "f",
        ..BASE
    },
    Program {
        names: &["eval"],
        language: Language::Eval,
        style: Style::AllOperands,
        ..BASE
    },
    Program {
        names: &["trap"],
        language: Language::Eval,
        style: Style::Operand,
        ..BASE
    },
    Program {
        names: &["watch"],
        language: Language::Eval,
        style: Style::AllOperands,
        takes: "n",
        long_takes: &["interval"],
        ..BASE
    },
    Program {
        names: &["parallel"],
        language: Language::Eval,
        style: Style::AllOperands,
        takes: "jISNnLPSs",
        long_takes: &["jobs", "delay", "timeout", "results", "joblog"],
        ..BASE
    },
    Program {
        names: &["su", "runuser"],
        language: Language::Shell,
        style: Style::AnywhereAfterFlag,
        code: "c",
        long: &["command", "session-command"],
        takes: "sgGw",
        long_takes: &["shell", "group", "supp-group", "whitelist-environment"],
        stdin: true,
        ..BASE
    },
    Program {
        names: &["script", "flock"],
        language: Language::Shell,
        style: Style::AnywhereAfterFlag,
        code: "c",
        long: &["command"],
        takes: "wEIOBTmo",
        long_takes: &["timeout", "wait", "conflict-exit-code"],
        ..BASE
    },
    Program {
        names: &["env"],
        language: Language::Eval,
        code: "S",
        long: &["split-string"],
        takes: "uC",
        long_takes: &["unset", "chdir"],
        ..BASE
    },
    Program {
        names: &["expect"],
        code: "c",
        file: "f",
        stdin: true,
        ..BASE
    },
    Program {
        names: &["ssh", "rsh", "autossh"],
        language: Language::Remote,
        style: Style::AllButFirst,
        takes: "bcDEeFIiJLlmoOpQRSWw",
        stdin: true,
        ..BASE
    },
];

/// Programs that show or search what follows, and run none of it.
const SHOWS_WORDS: [&str; 6] = ["echo", "printf", "grep", "egrep", "fgrep", "rg"];

/// Words before a command that change nothing about what it executes.
const PREFIXES: [&str; 7] = [
    "builtin", "command", "exec", "nohup", "setsid", "sudo", "time",
];

/// The words of a command line that are executed as code, each once, in order.
pub(crate) fn code_words(words: &[String]) -> Vec<(usize, Language)> {
    let mut code: Vec<(usize, Language)> = Vec::new();
    for (at, program) in programs(words) {
        let rest = Rest::of(program, &words[at + 1..]);
        let found = rest.code.into_iter();
        code.extend(found.map(|word| (at + 1 + word, program.language)));
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
        // What follows code are its arguments, whatever they are called.
        if rest.has_code {
            return None;
        }
    }
    None
}

/// The programs that a command line names: the first word, and any other that could be one behind
/// `timeout 5`, `xargs`, `find -exec`, `kubectl exec pod --` and whatever else starts a program.
fn programs(words: &[String]) -> impl Iterator<Item = (usize, &'static Program)> + '_ {
    let prefixes = words.iter();
    let prefixes = prefixes.take_while(|word| PREFIXES.contains(&word.as_str()));
    let first = prefixes.count();
    let shows = words
        .get(first)
        .is_some_and(|word| SHOWS_WORDS.contains(&base(word)));
    let words = words.iter().enumerate().skip(first).filter(move |_| !shows);
    words.filter_map(move |(at, word)| {
        let name = base(word);
        let program = PROGRAMS
            .iter()
            .find(|program| program.names.contains(&name))?;
        let is_builtin = matches!(program.language, Language::Eval) && name != "env";
        (at == first || !is_builtin).then_some((at, program))
    })
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
    has_code: bool,
    reads_input: bool,
}

/// What one flag means.
#[derive(Clone, Copy)]
enum Flag {
    /// Nothing here.
    Plain,
    /// It has code in itself.
    CodeHere,
    /// The next word is code.
    CodeNext,
    /// The first operand is code.
    CodeOperand,
    /// The next word belongs to it, and the operand behind is code.
    TakesBeforeCode,
    /// The next word belongs to it.
    Takes,
    /// A file has the code.
    File,
    /// The standard input has the code, whatever the operands are.
    Input,
}

impl Rest {
    fn of(program: &Program, words: &[String]) -> Self {
        let mut rest = Self::default();
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
            _ => matches!(first, None | Some("-" | "/dev/stdin")),
        };
        rest.reads_input = input || (!rest.has_code && nothing_else);
        rest
    }
}

impl Program {
    fn flag(&self, word: &str) -> Flag {
        if let Some(long) = word.strip_prefix("--") {
            return self.long_flag(long);
        }
        let letters = &word[1..];
        if self.long.contains(&letters) {
            return Flag::CodeNext;
        }
        if self.style == Style::AllAfterFlag {
            let is_code = letters.starts_with(|c| self.code.contains(c) || c == HOLE);
            return if is_code && !letters.to_ascii_lowercase().starts_with("ex") {
                Flag::CodeNext
            } else {
                Flag::Plain
            };
        }
        let mut found = Flag::Plain;
        for (place, letter) in letters.char_indices() {
            let is_last = place + letter.len_utf8() == letters.len();
            // A letter that is not known yet may be any.
            if self.code.contains(letter) || letter == HOLE {
                match self.style {
                    Style::FirstOperand => found = Flag::CodeOperand,
                    _ if is_last => return Flag::CodeNext,
                    // `node -pe CODE`
                    _ if self.language == Language::Node => {}
                    _ => return Flag::CodeHere,
                }
            } else if self.file.contains(letter) {
                return Flag::File;
            } else if self.attached.contains(letter) {
                return found;
            } else if letter == 's' && self.style == Style::FirstOperand {
                if matches!(found, Flag::Plain) {
                    found = Flag::Input;
                }
            } else if self.takes.contains(letter) {
                return match (is_last, found) {
                    (true, Flag::CodeOperand) => Flag::TakesBeforeCode,
                    (true, _) => Flag::Takes,
                    (false, _) if self.style == Style::FirstOperand => continue,
                    (false, _) => Flag::Plain,
                };
            }
        }
        found
    }

    fn long_flag(&self, long: &str) -> Flag {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let is_code = self.long.contains(&name) || name.contains(HOLE);
        match (is_code, value) {
            (true, Some(_)) => Flag::CodeHere,
            (true, None) => Flag::CodeNext,
            (false, None) if self.long_takes.contains(&name) => Flag::Takes,
            (false, _) => Flag::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ')
            .map(|word| word.replace('@', "\u{fffc}"))
            .collect()
    }

    #[test]
    fn code_of_every_interpreter_is_found_wherever_it_stands() {
        use Language::{Awk, Eval, Node, Other, Perl, Python, Remote, Ruby, Shell};
        let table: [(&str, &[(usize, Language)]); 74] = [
            ("sh -c @", &[(2, Shell)]),
            ("/bin/sh -lc @", &[(2, Shell)]),
            ("bash -euo pipefail -c @ bash x", &[(4, Shell)]),
            ("bash -o pipefail -ec @", &[(4, Shell)]),
            ("bash +x -c -e @ y", &[(4, Shell)]),
            ("bash -c -- @", &[(3, Shell)]),
            ("bash --norc --rcfile f -c @", &[(5, Shell)]),
            ("bash -@ @", &[(2, Shell)]),
            ("bash script.sh -c @", &[]),
            ("bash -c true bash @", &[(2, Shell)]),
            ("zsh -fc @", &[(2, Shell)]),
            ("fish --command=@", &[(1, Shell)]),
            ("fish --command @", &[(2, Shell)]),
            ("$SHELL -c @", &[(2, Shell)]),
            ("env bash -c @", &[(3, Shell)]),
            ("env A=1 /bin/ash -ec @", &[(4, Shell)]),
            ("/usr/bin/env -S @", &[(2, Eval)]),
            ("busybox sh -c @", &[(3, Shell)]),
            ("timeout 5 sh -c @", &[(4, Shell)]),
            ("timeout -k 5 10 dash -c @", &[(6, Shell)]),
            ("xargs -0 -n1 sh -c @ sh", &[(5, Shell)]),
            ("find . -exec sh -c @ ;", &[(5, Shell)]),
            ("kubectl exec pod -- bash -c @", &[(6, Shell)]),
            ("docker run image sh -c @", &[(5, Shell)]),
            ("tini -- nice -n 5 bash -c @", &[(7, Shell)]),
            ("su - postgres -c @", &[(4, Shell)]),
            ("su -c @ postgres", &[(2, Shell)]),
            ("runuser -u x --command=@", &[(3, Shell)]),
            ("flock -n /lock -c @", &[(4, Shell)]),
            ("script -qc @ /dev/null", &[(2, Shell)]),
            ("python -c @", &[(2, Python)]),
            ("python3.13 -Ic @", &[(2, Python)]),
            ("/usr/bin/python3 -W ignore -X dev -c @", &[(6, Python)]),
            ("python3 -cprint(@)", &[(1, Python)]),
            ("python3 -m module -c @", &[]),
            ("python3 script.py -c @", &[]),
            ("poetry run python -c @", &[(4, Python)]),
            ("node -e @", &[(2, Node)]),
            ("node -pe @", &[(2, Node)]),
            ("node --eval=@", &[(1, Node)]),
            ("node -r x --print @", &[(4, Node)]),
            ("node server.js -e @", &[]),
            ("deno eval @", &[(2, Node)]),
            ("perl -e @", &[(2, Perl)]),
            ("perl -lane @ file", &[(2, Perl)]),
            ("perl -ne print(@)", &[(2, Perl)]),
            ("perl -eprint(@)", &[(1, Perl)]),
            ("perl -Mre -pi -e @ file", &[(4, Perl)]),
            ("bash -co pipefail @", &[(3, Shell)]),
            ("deno run x.ts @", &[]),
            ("ruby -rjson -ne @", &[(3, Ruby)]),
            ("php -r @", &[(2, Other)]),
            ("php -f x.php @", &[]),
            ("Rscript -e @", &[(2, Other)]),
            ("lua5.4 -e @", &[(2, Other)]),
            ("julia --eval=@", &[(1, Other)]),
            ("erl -noshell -eval @", &[(3, Other)]),
            ("pwsh -NoProfile -Command @ @", &[(3, Other), (4, Other)]),
            ("pwsh -ExecutionPolicy x -File @", &[]),
            ("awk @ file", &[(1, Awk)]),
            ("awk -F , -v a=@ {print} @", &[(5, Awk)]),
            ("gawk -f prog.awk @", &[]),
            ("busybox awk @", &[(2, Awk)]),
            ("eval echo @", &[(1, Eval), (2, Eval)]),
            ("builtin eval @", &[(2, Eval)]),
            ("trap @ EXIT", &[(1, Eval)]),
            ("watch -n 5 ls @", &[(3, Eval), (4, Eval)]),
            ("parallel -j 4 run @ ::: @", &[(3, Eval), (4, Eval)]),
            ("ssh -p 22 host ls @", &[(4, Remote), (5, Remote)]),
            ("ssh @", &[]),
            ("etl load --code -c @", &[]),
            ("psql -c @", &[]),
            ("echo bash -c @", &[]),
            ("grep sh -c @", &[]),
        ];
        for (line, expected) in table {
            assert_eq!(code_words(&words(line)), expected, "{line}");
        }
    }

    #[test]
    fn a_standard_input_that_is_executed_is_found() {
        let table = [
            ("bash", true),
            ("bash -s @", true),
            ("bash -eu", true),
            ("sh script.sh", false),
            ("sh -c true", false),
            ("python3 -", true),
            ("python3 -u", true),
            ("python3 -m module", false),
            ("python3 script.py", false),
            ("perl", true),
            ("node", true),
            ("ssh host", true),
            ("ssh host bash -s", true),
            ("ssh host sort", false),
            ("kubectl exec -i pod -- sh", true),
            ("cat", false),
            ("psql -f -", false),
            ("xargs sh -c true sh", false),
        ];
        for (line, expected) in table {
            assert_eq!(executes_input(&words(line)).is_some(), expected, "{line}");
        }
    }
}
