//! Every command of koncli is shown in each situation: the table in `tests/transcripts/README.md`.
//!
//! The commands are those of `docs/cli/`, which a test of koncli compares with its help; what is shown
//! is read from the pages. A cell without a page needs a reason, and a reason none with a page.

#[path = "../bless.rs"]
mod bless;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- by `BLESS=1 cargo test --test matrix` -->\n";

/// What a command may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Situation {
    Done,
    Failed,
    BadInput,
    TimedOut,
    NotFound,
    Forbidden,
    Unreachable,
    NoKubeconfig,
    NoOperator,
}

impl Situation {
    const ALL: [(Self, &str); 9] = [
        (Self::Done, "done"),
        (Self::Failed, "failed"),
        (Self::BadInput, "bad input"),
        (Self::TimedOut, "timeout"),
        (Self::NotFound, "not found"),
        (Self::Forbidden, "forbidden"),
        (Self::Unreachable, "unreachable"),
        (Self::NoKubeconfig, "no cluster"),
        (Self::NoOperator, "no operator"),
    ];

    /// What a page of this folder shows by this exit code.
    fn shown(folder: &str, code: u8) -> Vec<Self> {
        let of_folder = match (folder, code) {
            ("forbidden", 5) => Some(Self::Forbidden),
            ("unreachable", 6 | 0) => Some(Self::Unreachable),
            ("no-cluster", 6 | 0) => Some(Self::NoKubeconfig),
            ("no-operator", _) => Some(Self::NoOperator),
            _ => None,
        };
        let with_operator = matches!(folder, "operator" | "no-cluster");
        let of_code = match code {
            0 if with_operator => Some(Self::Done),
            1 if with_operator => Some(Self::Failed),
            2 => Some(Self::BadInput),
            3 if with_operator => Some(Self::TimedOut),
            4 if with_operator => Some(Self::NotFound),
            _ => None,
        };
        of_folder.into_iter().chain(of_code).collect()
    }
}

/// A command, its form, and the words that identify it.
type Form = (&'static str, &'static str, fn(&str) -> bool);

/// Commands that do several things, by what distinguishes them: a row for each.
const FORMS: [Form; 22] = [
    ("graph", "RUN", |word| {
        !word.ends_with(".kon") && !word.starts_with('-')
    }),
    ("explain", "KIND", |word| !word.starts_with('K')),
    ("apply", "--slot", |word| word == "--slot"),
    ("apply", "--dry-run", |word| word == "--dry-run"),
    ("apply", "--wait", |word| word == "--wait"),
    ("apply", "of a schedule", |word| {
        word.ends_with("nightly.kon")
    }),
    ("diff", "of a schedule", |word| {
        word.ends_with("nightly.kon")
    }),
    ("status", "--watch", |word| word == "--watch"),
    ("status", "RUN", |word| !word.starts_with('-')),
    ("logs", "--follow", |word| word == "--follow"),
    ("wait", "run/…", |word| word.starts_with("run/")),
    ("wait", "gate/…", |word| word.starts_with("gate/")),
    ("wait", "barrier/…", |word| word.starts_with("barrier/")),
    ("wait", "claim/…", |word| word.starts_with("claim/")),
    ("wait", "job/…", |word| word.starts_with("job/")),
    ("cancel", "--wait", |word| word == "--wait"),
    ("retry", "--wait", |word| word == "--wait"),
    ("delete", "--files", |word| word == "--files"),
    ("delete", "--wait", |word| word == "--wait"),
    ("approve", "--deny", |word| word == "--deny"),
    ("install", "--dry-run", |word| word == "--dry-run"),
    ("uninstall", "--crds", |word| word == "--crds"),
];

/// A reason, for which situations it holds, and for which commands.
type Reason = (&'static str, &'static [Situation], fn(&Row) -> bool);

/// Why a situation can't be met.
const REASONS: [Reason; 11] = [
    (
        "It asks no cluster.",
        &[
            Situation::Forbidden,
            Situation::Unreachable,
            Situation::NoOperator,
        ],
        |row| {
            let of_files = ["check", "fmt", "init", "compile", "explain", "run", "dev"];
            let of_itself = ["crds", "completion", "lsp", "man", "version"];
            of_files
                .iter()
                .chain(&of_itself)
                .any(|command| row.command == *command)
                || row.is("graph", "")
                || row.is("install", "--dry-run")
        },
    ),
    ("It waits for nothing.", &[Situation::TimedOut], |row| {
        !row.waits
    }),
    ("It names no object.", &[Situation::NotFound], |row| {
        let alone = [
            "runs",
            "ui",
            "crds",
            "dev",
            "operator",
            "uninstall",
            "completion",
            "lsp",
            "man",
            "version",
        ];
        alone.contains(&&*row.command)
            || row.command.ends_with(" list")
            || row.is("status", "")
            || row.is("install", "--dry-run")
    }),
    (
        "A code or a kind that is not there is bad input.",
        &[Situation::NotFound],
        |row| row.command == "explain",
    ),
    (
        "A holder that holds nothing has lost it: exit code 1.",
        &[Situation::NotFound],
        |row| row.is("lease renew", ""),
    ),
    (
        "Each kind has a row of its own.",
        &[
            Situation::Done,
            Situation::TimedOut,
            Situation::NotFound,
            Situation::Forbidden,
            Situation::Unreachable,
            Situation::NoKubeconfig,
            Situation::NoOperator,
        ],
        |row| row.is("wait", ""),
    ),
    (
        "`koncli dev` runs no Deployments: a real cluster is asked by `tests/src/scenario/deployed.rs`.",
        &[Situation::Done],
        |row| row.is("install", ""),
    ),
    (
        "Played where clusters are shared, it would take the CRDs from all other pages.",
        &[Situation::Done, Situation::NoOperator],
        |row| row.is("uninstall", "--crds"),
    ),
    (
        "It is what brings an operator.",
        &[Situation::NoOperator],
        |row| row.command == "install" || row.command == "operator",
    ),
    (
        "As without the flag: what is asked first is the same.",
        &[
            Situation::BadInput,
            Situation::NotFound,
            Situation::Forbidden,
            Situation::Unreachable,
            Situation::NoKubeconfig,
            Situation::NoOperator,
        ],
        |row| {
            let same = [("approve", "--deny"), ("uninstall", "--crds")];
            same.iter().any(|(command, form)| row.is(command, form))
        },
    ),
    (
        "Its name is made up, and it goes with whoever acquires: no page can type it.",
        &[Situation::TimedOut],
        |row| row.is("wait", "claim/…"),
    ),
];

/// A command, or one of its forms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    command: String,
    form: &'static str,
    waits: bool,
}

impl Row {
    fn is(&self, command: &str, form: &str) -> bool {
        self.command == command && self.form == form
    }

    fn why_not(&self, situation: Situation) -> Option<usize> {
        let applies =
            |(_, situations, rows): &Reason| situations.contains(&situation) && rows(self);
        REASONS.iter().position(applies)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts")
}

/// The commands of the reference that have no commands of their own, each with its forms.
fn rows() -> Vec<Row> {
    let pages = std::fs::read_dir(folder().join("../../docs/cli")).expect("docs/cli");
    let mut pages: Vec<_> = pages.map(|page| page.expect("a page").path()).collect();
    pages.sort();
    let pages = pages.iter().map(std::fs::read_to_string);
    let reference: String = pages.map(|page| page.expect("a page")).collect();
    let sections: Vec<(&str, &str)> = reference
        .split("\n## koncli ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .collect();
    let mut rows = Vec::new();
    for (command, help) in &sections {
        if sections
            .iter()
            .any(|(other, _)| other.starts_with(&format!("{command} ")))
        {
            continue;
        }
        let can_wait = help.contains("such as 30m");
        let forms = FORMS.iter().filter(|(of, _, _)| of == command);
        for form in std::iter::once("").chain(forms.map(|(_, form, _)| *form)) {
            let needs_flag = help.contains("--wait  ") || help.contains("--wait\n");
            rows.push(Row {
                command: (*command).to_owned(),
                form,
                waits: can_wait && (!needs_flag || form == "--wait"),
            });
        }
    }
    rows
}

/// Each command of a page that stands alone, or at the end of a pipe, with its exit code.
fn played(page: &str) -> Vec<(String, u8)> {
    let mut played = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(typed) = line.strip_prefix("$ ") else {
            continue;
        };
        let mut code = 0;
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ") && *line != "```") {
            if let Some(digits) = line.strip_prefix("exit code ") {
                code = digits.parse().expect("a number");
            }
        }
        let last = typed
            .split(" | ")
            .flat_map(|part| part.split(" && "))
            .last();
        let mut words = last.unwrap_or_default().split(' ').peekable();
        let is_before = |word: &&str| {
            let of_timeout = [
                "timeout",
                "--preserve-status",
                "--signal",
                "INT",
                "TERM",
                "1",
                "2",
                "3",
                "5",
            ];
            word.contains('=') || of_timeout.contains(word)
        };
        while words.next_if(is_before).is_some() {}
        if words.next() == Some("koncli") {
            played.push((words.collect::<Vec<_>>().join(" "), code));
        }
    }
    played
}

/// The row of a command line.
fn row_of<'a>(rows: &'a [Row], line: &str) -> Option<&'a Row> {
    let line = line.replace("barriers ", "barrier ");
    let of = rows
        .iter()
        .filter(|row| line == row.command || line.starts_with(&format!("{} ", row.command)));
    let of: Vec<&Row> = of.collect();
    let command = &of.first()?.command;
    let line = line[command.len()..]
        .split(" -- ")
        .next()
        .unwrap_or_default();
    let words: Vec<&str> = line
        .split_whitespace()
        .take_while(|word| !word.starts_with(['>', '<']) && !word.starts_with("2>"))
        .collect();
    let form = FORMS
        .iter()
        .find(|(of, _, fits)| of == command && words.iter().any(|word| fits(word)));
    let form = form.map_or("", |(_, form, _)| *form);
    of.into_iter().find(|row| row.form == form)
}

/// Which page shows what, with its exit code.
type Cells = BTreeMap<(Row, Situation), (u8, String)>;

fn cells(rows: &[Row]) -> Cells {
    let mut cells = Cells::new();
    for kind in [
        "operator",
        "no-operator",
        "forbidden",
        "unreachable",
        "no-cluster",
    ] {
        let pages = std::fs::read_dir(folder().join(kind)).expect("a folder");
        let mut pages: Vec<_> = pages.map(|page| page.expect("a page").path()).collect();
        pages.sort();
        for page in pages {
            let name = page.file_name().expect("a name").display().to_string();
            let text = std::fs::read_to_string(&page).expect("a page");
            for (line, code) in played(&text) {
                let Some(row) = row_of(rows, &line) else {
                    continue;
                };
                for situation in Situation::shown(kind, code) {
                    let shown = (code, format!("{kind}/{name}"));
                    let cell = cells.entry((row.clone(), situation));
                    let cell = cell.or_insert_with(|| shown.clone());
                    // Without an operator, what says so is worth more than what needs none.
                    if code > cell.0 && code != 130 {
                        *cell = shown;
                    }
                }
            }
        }
    }
    cells
}

/// The table, or what is wrong with it.
fn table(rows: &[Row], cells: &Cells) -> Result<String, String> {
    let words: Vec<&str> = Situation::ALL.iter().map(|(_, word)| *word).collect();
    let lines = "|---".repeat(words.len());
    let mut table = format!("| command | {} |\n|---{lines}|\n", words.join(" | "));
    let (mut wrong, mut used) = (String::new(), BTreeSet::new());
    for row in rows {
        let Row { command, form, .. } = row;
        let _ = write!(table, "| `{command}` {form} |");
        for (situation, word) in Situation::ALL {
            let shown = cells.get(&(row.clone(), situation));
            let _ = match (shown, row.why_not(situation)) {
                (Some((code, page)), None) => write!(table, " [{code}]({page}) |"),
                (None, Some(reason)) => {
                    used.insert(reason);
                    write!(table, " – [^{}] |", reason + 1)
                }
                // Not every command can fail in a way that is its own.
                (None, None) if situation == Situation::Failed => write!(table, " |"),
                (None, None) => writeln!(wrong, "{command} {form}: no page shows it: {word}"),
                (Some((_, page)), Some(reason)) => {
                    let reason = REASONS[reason].0;
                    writeln!(
                        wrong,
                        "{command} {form}: {page} shows it ({word}), but: {reason}"
                    )
                }
            };
        }
        table.push('\n');
    }
    table.push('\n');
    for (index, (reason, ..)) in REASONS.iter().enumerate() {
        let _ = writeln!(table, "[^{}]: {reason}", index + 1);
        if !used.contains(&index) {
            let _ = writeln!(wrong, "no command needs the reason: {reason}");
        }
    }
    match wrong.is_empty() {
        true => Ok(table),
        false => Err(wrong),
    }
}

#[test]
fn every_command_is_shown_in_each_situation_that_it_can_meet() {
    let rows = rows();
    let table = table(&rows, &cells(&rows)).unwrap_or_else(|wrong| panic!("{wrong}"));
    let file = folder().join("README.md");
    let readme = std::fs::read_to_string(&file).expect("README.md");
    let (before, _) = readme.split_once(BEGIN).expect("the place of the table");
    let whole = format!("{before}{BEGIN}{table}");
    bless::compare(&file, &whole);
}
