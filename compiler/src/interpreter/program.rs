//! The programs that execute some of their words, and how each is given its code.

use super::setting;

/// What executes a word, which decides how a value gets there safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    /// `sh -c` and its kind.
    Shell,
    /// `eval`, `trap`, `watch`: a shell that is already running.
    Eval,
    /// `ssh`: a shell on another machine.
    Remote,
    Python,
    Node,
    Perl,
    Ruby,
    Awk,
    Sed,
    /// An expression that the shell computes, in which an array's index is expanded.
    Arithmetic,
    /// A program that starts what it is given, or reads it as its own options.
    Command,
    /// An environment variable that some program executes.
    Variable,
    /// Any other.
    Other,
}

/// How a program's code is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
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
    /// Only what `settings` finds is code.
    SettingsOnly,
}

/// A program that executes some of its words.
pub(super) struct Program {
    pub(super) names: &'static [&'static str],
    pub(super) language: Language,
    pub(super) style: Style,
    /// Letters of the flags that are followed by code, or announce it.
    pub(super) code: &'static str,
    /// The same flags in long, without their dashes.
    pub(super) long: &'static [&'static str],
    /// Letters of the flags that take a word of their own.
    pub(super) takes: &'static str,
    /// Letters of the flags that take the rest of their word.
    pub(super) attached: &'static str,
    /// Long flags that take a word of their own, without their dashes.
    pub(super) long_takes: &'static [&'static str],
    /// Letters of the flags that name a file with the code instead.
    pub(super) file: &'static str,
    /// Whether it executes its standard input where nothing else is given.
    pub(super) stdin: bool,
    /// A flag with which its code can do nothing but edit text.
    pub(super) harmless_with: Option<&'static str>,
    /// Finds words that it starts or that configure what it starts, whatever the other fields say.
    pub(super) settings: fn(&[String]) -> Vec<usize>,
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
    harmless_with: None,
    settings: |_| Vec::new(),
};

/// Programs are known by the last part of their path, without a version.
pub(super) const PROGRAMS: [Program; 38] = [
    Program {
        names: &[
            "sh",
            "bash",
            "dash",
            "ash",
            "rbash",
            "ksh",
            "mksh",
            "oksh",
            "lksh",
            "pdksh",
            "yash",
            "zsh",
            "csh",
            "tcsh",
            "osh",
            "ysh",
            "xonsh",
            "nu",
            "elvish",
            "posh",
            "hush",
            "brush",
            "bash-static",
            "git-shell",
            "sh.distrib",
            "$SHELL",
        ],
        language: Language::Shell,
        style: Style::FirstOperand,
        code: "c",
        long: &["command", "commands"],
        takes: "oO",
        long_takes: &["rcfile", "init-file"],
        stdin: true,
        ..BASE
    },
    Program {
        names: &["fish"],
        language: Language::Shell,
        code: "cC",
        long: &["command", "init-command"],
        takes: "dfo",
        stdin: true,
        ..BASE
    },
    Program {
        names: &[
            "python",
            "pythonw",
            "pypy",
            "graalpy",
            "ipython",
            "bpython",
            "micropython",
            "jython",
        ],
        language: Language::Python,
        code: "c",
        takes: "WX",
        long_takes: &["check-hash-based-pycs"],
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
            "kotlin",
            "ghc",
            "clojure",
            "clj",
            "bb",
            "racket",
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
    // GNU sed's `s/…/…/e` and `e` execute commands, and `w` writes files.
    Program {
        names: &["sed", "gsed"],
        language: Language::Sed,
        style: Style::Operand,
        code: "e",
        long: &["expression"],
        takes: "l",
        attached: "i",
        long_takes: &["line-length"],
        file: "f",
        harmless_with: Some("--sandbox"),
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
        stdin: true,
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
        names: &["ssh", "rsh", "autossh", "dbclient", "plink"],
        language: Language::Remote,
        style: Style::AllButFirst,
        takes: "bcDEeFIiJLlmoOpQRSWw",
        stdin: true,
        settings: setting::ssh,
        ..BASE
    },
    // What `-S` names is started in place of ssh.
    Program {
        names: &["scp", "sftp"],
        language: Language::Command,
        style: Style::AnywhereAfterFlag,
        code: "S",
        takes: "cDFiJloPX",
        settings: setting::ssh,
        ..BASE
    },
    Program {
        names: &["git"],
        language: Language::Command,
        style: Style::SettingsOnly,
        settings: setting::git,
        ..BASE
    },
    // What these start for each file or line, and what they are given as options.
    Program {
        names: &["find", "gfind"],
        language: Language::Command,
        style: Style::AnywhereAfterFlag,
        long: &["exec", "execdir", "ok", "okdir"],
        ..BASE
    },
    Program {
        names: &["xargs", "gxargs"],
        language: Language::Command,
        style: Style::Operand,
        takes: "adEILnPs",
        attached: "eil",
        long_takes: &[
            "arg-file",
            "delimiter",
            "max-lines",
            "max-args",
            "max-procs",
            "max-chars",
            "process-slot-var",
        ],
        ..BASE
    },
    Program {
        names: &["at", "batch"],
        language: Language::Eval,
        style: Style::AnywhereAfterFlag,
        takes: "qt",
        file: "f",
        stdin: true,
        ..BASE
    },
    // Its standard input may hold commands behind `!`.
    Program {
        names: &["ed"],
        style: Style::AnywhereAfterFlag,
        stdin: true,
        ..BASE
    },
    Program {
        names: &["source"],
        language: Language::Eval,
        stdin: true,
        ..BASE
    },
    Program {
        names: &["guile"],
        code: "c",
        stdin: true,
        ..BASE
    },
    // Text of a makefile, and what an editor, debugger or database shell does first.
    Program {
        names: &["make", "gmake", "gnumake"],
        style: Style::AnywhereAfterFlag,
        code: "E",
        long: &["eval"],
        takes: "CfIoW",
        ..BASE
    },
    Program {
        names: &["vi", "vim", "nvim", "ex", "sqlite", "duckdb"],
        style: Style::AnywhereAfterFlag,
        code: "c",
        long: &["cmd"],
        ..BASE
    },
    Program {
        names: &[
            "emacs",
            "gdb",
            "octave",
            "octave-cli",
            "sbcl",
            "mongosh",
            "mongo",
        ],
        style: Style::AnywhereAfterFlag,
        long: &[
            "eval",
            "execute",
            "ex",
            "iex",
            "eval-command",
            "init-eval-command",
        ],
        ..BASE
    },
    // Programs that these start for each file, or in place of their own work.
    Program {
        names: &["tar", "gtar"],
        language: Language::Command,
        style: Style::AnywhereAfterFlag,
        code: "IF",
        long: &[
            "checkpoint-action",
            "to-command",
            "use-compress-program",
            "info-script",
            "new-volume-script",
            "rsh-command",
            "rmt-command",
        ],
        takes: "fCTXbgKLNV",
        ..BASE
    },
    Program {
        names: &["rsync"],
        language: Language::Command,
        style: Style::AnywhereAfterFlag,
        code: "e",
        long: &["rsh", "rsync-path"],
        takes: "fMTB",
        ..BASE
    },
    Program {
        names: &["nc", "ncat", "netcat"],
        language: Language::Command,
        style: Style::AnywhereAfterFlag,
        code: "ce",
        long: &["sh-exec", "exec", "lua-exec"],
        takes: "giopqswxX",
        ..BASE
    },
    Program {
        names: &["npx"],
        style: Style::AnywhereAfterFlag,
        code: "c",
        long: &["call"],
        ..BASE
    },
];
