//! `docs/cli.md` and `docs/cli/`: every command with its help.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use clap::CommandFactory;

use super::Arguments;

/// The pages: the name of the file, the title, and the commands in it.
const PAGES: [(&str, &str, &[&str]); 8] = [
    (
        "pipelines",
        "Write pipelines",
        &["init", "check", "fmt", "lsp", "graph", "compile", "explain"],
    ),
    (
        "runs",
        "Run pipelines",
        &[
            "run",
            "apply",
            "diff",
            "status",
            "runs",
            "why",
            "timeline",
            "report",
            "ui",
            "logs",
            "files",
            "wait",
            "approve",
            "pause",
            "resume",
            "cancel",
            "retry",
            "delete",
            "schedules",
        ],
    ),
    ("barrier", "Barriers", &["barrier"]),
    ("gate", "Gates", &["gate"]),
    ("semaphore", "Semaphores", &["semaphore"]),
    ("lease", "Leases", &["lease"]),
    (
        "cluster",
        "Clusters and the operator",
        &["dev", "doctor", "install", "uninstall", "crds", "operator"],
    ),
    (
        "shell",
        "Shells and manual pages",
        &["completion", "man", "version"],
    ),
];

/// What the table of the index lies between.
const TABLE: [&str; 2] = ["<!-- commands -->\n", "<!-- end -->\n"];

/// Returns the help of a command, without the global options unless it is `koncli` itself.
fn help(command: &clap::Command, is_top: bool) -> String {
    let shown = command.clone().term_width(100).mut_args(|arg| {
        let global = arg.is_global_set();
        arg.hide_env_values(true).hide(global && !is_top)
    });
    let help = shown.disable_help_flag(!is_top).clone().render_help();
    let mut text = "```text\n".to_owned();
    for line in help.to_string().trim_end().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text + "```\n"
}

fn subcommands(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    let all = command.get_subcommands();
    all.filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
}

/// Writes the sections of a command and of its own commands.
fn sections(command: &clap::Command, path: &str, text: &mut String) {
    let _ = write!(text, "\n## {path}\n\n{}", help(command, false));
    for sub in subcommands(command) {
        sections(sub, &format!("{path} {}", sub.get_name()), text);
    }
}

/// Returns the row of a command in the index.
fn row(command: &clap::Command, page: &str) -> String {
    let name = command.get_name();
    let about = command.get_about().map(ToString::to_string);
    let about = about.unwrap_or_default();
    let own: Vec<_> = subcommands(command)
        .map(|sub| {
            let path = format!("koncli {name} {}", sub.get_name());
            let anchor = crate::bless::anchor(&path);
            format!("[{}](cli/{page}.md#{anchor})", sub.get_name())
        })
        .collect();
    let own = match own.is_empty() {
        true => String::new(),
        false => format!(" ({})", own.join(", ")),
    };
    let anchor = crate::bless::anchor(&format!("koncli {name}"));
    format!("| [`koncli {name}`](cli/{page}.md#{anchor}) | {about}{own} |\n")
}

/// The commands below one whose help has more than eight words.
fn wordy(command: &clap::Command, path: &str, too_long: &mut Vec<String>) {
    for sub in subcommands(command) {
        let path = format!("{path} {}", sub.get_name());
        let about = sub.get_about().map(ToString::to_string);
        let about = about.unwrap_or_default();
        if about.split_whitespace().count() > 8 {
            too_long.push(format!("{path}: {about}"));
        }
        wordy(sub, &path, too_long);
    }
}

#[test]
fn the_help_of_a_command_has_at_most_eight_words() {
    let mut too_long = Vec::new();
    wordy(&Arguments::command(), "koncli", &mut too_long);
    assert!(too_long.is_empty(), "{too_long:#?}");
}

#[test]
fn the_cli_reference_is_what_help_says() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut command = Arguments::command();
    command.build();
    let mut missing: BTreeSet<&str> = subcommands(&command).map(|sub| sub.get_name()).collect();
    let (mut pages, mut table) = (BTreeMap::new(), String::new());
    for (file, title, names) in PAGES {
        let mut page = format!(
            "# koncli: {title}\n\nWhat `koncli COMMAND -h` prints, without the global options: [koncli](../cli.md) has these and the \
             exit codes.\n"
        );
        let _ = write!(
            table,
            "\n### {title}\n\n| command | what it does |\n|---|---|\n"
        );
        for name in names {
            assert!(
                missing.remove(name),
                "{name} does not exist, or stands twice"
            );
            let sub = command.find_subcommand(name).expect("a command");
            sections(sub, &format!("koncli {name}"), &mut page);
            table.push_str(&row(sub, file));
        }
        pages.insert(format!("{file}.md"), page);
    }
    assert!(missing.is_empty(), "commands without a page: {missing:?}");
    crate::bless::compare_folder(&docs.join("cli"), &pages);

    let file = docs.join("cli.md");
    let reference = std::fs::read_to_string(&file).expect("docs/cli.md");
    let [begin, end] = TABLE;
    let (head, rest) = reference.split_once(begin).expect("the table's begin");
    let (_, tail) = rest.split_once(end).expect("the table's end");
    let (guide, _) = tail.split_once("\n## koncli\n").unwrap_or((tail, ""));
    let help = help(&command, true);
    let index = format!("{head}{begin}{table}\n{end}{guide}\n## koncli\n\n{help}");
    crate::bless::compare(&file, &index);
}
