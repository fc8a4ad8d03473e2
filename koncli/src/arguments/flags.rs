//! Flags that people know from other tools, or from another command: what to type instead.

use clap::{CommandFactory, FromArgMatches};

use super::{Arguments, Typed};
use crate::suggestion::quoted;

/// What to type in place of a flag.
#[derive(Clone, Copy, Debug)]
enum Instead {
    /// Its value, without a flag.
    Value,
    /// Nothing: the command does so anyway, or asks nobody.
    Nothing,
    /// This flag, with the same value.
    Flag(&'static str),
    /// These words, without its value.
    Words(&'static [&'static str]),
    /// Another command, without the flag.
    Command(&'static str),
}

use Instead::{Command, Flag, Nothing, Value, Words};

/// Commands, or none for all of them; flags of kubectl, argo, tkn and helm; what to type instead.
type Row = (&'static [&'static str], &'static [&'static str], Instead);

const ROWS: &[Row] = &[
    (
        &["apply", "run", "check", "diff", "compile", "graph", "fmt"],
        &["-f", "--file", "--filename"],
        Value,
    ),
    (
        &[
            "status", "why", "timeline", "report", "logs", "files", "cancel", "pause", "resume",
            "retry", "delete",
        ],
        &["--run", "--name"],
        Value,
    ),
    (
        &["why", "logs", "files"],
        &["--stage", "--task", "-t"],
        Value,
    ),
    (&["retry"], &["--stage", "--task"], Flag("--from")),
    (
        &["apply", "run", "diff", "compile"],
        &["--name"],
        Flag("--run"),
    ),
    (
        &["apply", "run", "diff", "compile", "check", "graph"],
        &["-p", "--param", "--parameter", "--var"],
        Flag("--set"),
    ),
    (
        &["apply", "run", "diff", "compile", "check", "graph"],
        &[
            "--parameter-file",
            "--params-file",
            "--values",
            "--var-file",
        ],
        Flag("--params"),
    ),
    (&["run"], &["--dry-run"], Command("check")),
    (
        &["run"],
        &[
            "-w",
            "--watch",
            "--wait",
            "--follow",
            "--log",
            "--logs",
            "--showlog",
        ],
        Nothing,
    ),
    (
        &["run"],
        &["--parallel", "--parallelism", "--max-parallel"],
        Flag("--jobs"),
    ),
    (
        &["apply"],
        &["-w", "--watch", "--follow", "--log", "--logs", "--showlog"],
        Words(&["--wait"]),
    ),
    (
        &["retry", "cancel", "delete"],
        &["-w", "--watch"],
        Words(&["--wait"]),
    ),
    (
        &["status"],
        &["-f", "--follow", "--wait"],
        Words(&["--watch"]),
    ),
    (&["logs"], &["-w", "--watch"], Words(&["--follow"])),
    (&["fmt"], &["-w", "--write", "-i", "--in-place"], Nothing),
    (&["fmt"], &["--diff", "--dry-run"], Words(&["--check"])),
    (
        &["files"],
        &["--download", "--fetch", "--to"],
        Flag("--get"),
    ),
    (&["approve"], &["--reject"], Words(&["--deny"])),
    (&["schedules"], &["--pause"], Words(&["--suspend"])),
    (&["schedules"], &["--unpause"], Words(&["--resume"])),
    (
        &["schedules"],
        &["--trigger", "--run", "--now"],
        Words(&["--start"]),
    ),
    (
        &["wait", "barrier", "gate", "semaphore", "lease"],
        &["--wait", "--wait-timeout"],
        Flag("--timeout"),
    ),
    (&["wait"], &["--condition", "--state"], Flag("--for")),
    (&["graph", "timeline"], &["--format"], Flag("--as")),
    (&[], &["--format"], Flag("--output")),
    (&[], &["--json"], Words(&["--output", "json"])),
    (&[], &["--yaml"], Words(&["--output", "yaml"])),
    (&[], &["--debug"], Words(&["--verbose"])),
    (&[], &["-y", "--yes", "--force"], Nothing),
];

/// What to type in place of a flag of this command.
fn row(flag: &str, path: &[&str]) -> Option<Row> {
    let of_command = |commands: &[&str]| {
        commands.is_empty() || path.first().is_some_and(|first| commands.contains(first))
    };
    let mut rows = ROWS.iter();
    let row = rows.find(|(commands, flags, _)| flags.contains(&flag) && of_command(commands));
    row.copied()
}

/// The command line to type instead of `words`, which has an unknown flag; if it would still be refused, only what to do
/// about this flag.
pub(super) fn tip(flag: &str, words: &[String], path: &[&str]) -> Option<String> {
    let flag = flag.split('=').next().unwrap_or(flag);
    let (commands, _, instead) = row(flag, path)?;
    let line = replaced(words, path);
    if is_accepted(&line) {
        let line: Vec<String> = line.iter().map(|word| quoted(word)).collect();
        return Some(format!("write `koncli {}`", line.join(" ")));
    }
    if commands.is_empty() {
        return None;
    }
    Some(match instead {
        Value => format!("write its value without `{flag}`"),
        Nothing => format!("leave `{flag}` out"),
        Flag(other) => format!("write `{other}` instead of `{flag}`"),
        Words(all) => format!("write `{}` instead of `{flag}`", all.join(" ")),
        Command(other) => format!("use `koncli {other}`"),
    })
}

/// The command line with what is meant for every flag that is known from elsewhere.
fn replaced(words: &[String], path: &[&str]) -> Vec<String> {
    let mut line: Vec<String> = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            line.push(word.clone());
            break;
        }
        let Some((instead, value)) = known(word, path) else {
            line.push(word.clone());
            continue;
        };
        match instead {
            Value => line.extend(value),
            Nothing => {}
            Flag(other) => line.extend([other.to_owned()].into_iter().chain(value)),
            Words(all) => line.extend(all.iter().map(ToString::to_string)),
            Command(other) => {
                let own = path.first().copied().unwrap_or_default();
                if let Some(command) = line.iter_mut().find(|word| *word == own) {
                    *command = other.to_owned();
                }
                // Where kubectl's dry run happens.
                let mut rest = words.clone();
                if rest
                    .next()
                    .is_some_and(|next| matches!(&**next, "client" | "server" | "none"))
                {
                    words = rest;
                }
            }
        }
    }
    line.extend(words.cloned());
    line
}

/// What is meant by a word if it is a flag that is known from elsewhere, and its value, if that is in the same word.
fn known(word: &str, path: &[&str]) -> Option<(Instead, Option<String>)> {
    let (flag, value) = match word.split_once('=') {
        Some((flag, value)) => (flag, Some(value)),
        None => (word, None),
    };
    if let Some((_, _, instead)) = row(flag, path) {
        return Some((instead, value.map(str::to_owned)));
    }
    // As in `-fFILE`.
    let (flag, value) = word
        .split_at_checked(2)
        .filter(|_| !word.starts_with("--"))?;
    let (_, _, instead) = row(flag, path)?;
    Some((instead, Some(value.to_owned())))
}

/// Whether a command line is read, and all that it says has an effect.
fn is_accepted(words: &[String]) -> bool {
    let all = std::iter::once("koncli").chain(words.iter().map(String::as_str));
    let Ok(matches) = Arguments::command().try_get_matches_from(all) else {
        return false;
    };
    let typed = Typed::of(&matches);
    let read = Arguments::from_arg_matches(&matches);
    read.is_ok_and(|read| read.command.effect().check(&typed, &read.global).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::path;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn tips_are_command_lines_that_are_accepted() {
        for (line, flag, meant) in [
            ("apply -f w.kon", "-f", "apply w.kon"),
            ("apply -fw.kon", "-f", "apply w.kon"),
            (
                "apply --filename=w.kon -n x",
                "--filename",
                "apply w.kon -n x",
            ),
            ("apply w.kon --name w1", "--name", "apply w.kon --run w1"),
            ("apply -f w.kon --name=w1", "-f", "apply w.kon --run w1"),
            ("apply w.kon --watch", "--watch", "apply w.kon --wait"),
            ("run p.kon --dry-run", "--dry-run", "check p.kon"),
            ("run p.kon --dry-run=client", "--dry-run", "check p.kon"),
            ("run --dry-run client p.kon", "--dry-run", "check p.kon"),
            ("run p.kon --watch", "--watch", "run p.kon"),
            (
                "run p.kon -p day=1 -p b=2",
                "-p",
                "run p.kon --set day=1 --set b=2",
            ),
            ("run p.kon --json", "--json", "run p.kon --output json"),
            ("status --run r1", "--run", "status r1"),
            ("status r1 -f", "-f", "status r1 --watch"),
            (
                "logs r1 --stage load -w",
                "--stage",
                "logs r1 load --follow",
            ),
            ("delete r1 --force", "--force", "delete r1"),
            (
                "graph p.kon --format svg",
                "--format",
                "graph p.kon --as svg",
            ),
            (
                "gate wait g --wait 5m",
                "--wait",
                "gate wait g --timeout 5m",
            ),
        ] {
            let words = words(line);
            let path = path(&Arguments::command(), &words);
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let all = std::iter::once("koncli".to_owned()).chain(words.clone());
            let refused = Arguments::command().try_get_matches_from(all);
            assert_eq!(
                refused.expect_err(line).kind(),
                clap::error::ErrorKind::UnknownArgument,
                "{line}"
            );
            let tip = tip(flag, &words, &path);
            assert_eq!(tip, Some(format!("write `koncli {meant}`")), "{line}");
        }
        // JSON is refused here, and so is the whole line if something else is wrong in it.
        assert_eq!(tip("--json", &words("fmt p.kon --json"), &["fmt"]), None);
        assert_eq!(
            tip(
                "--name",
                &words("apply w.kon --name w1 --nonsense"),
                &["apply"]
            ),
            Some("write `--run` instead of `--name`".to_owned())
        );
    }

    #[test]
    fn no_flag_that_a_command_has_is_taken_for_another_tools() {
        let mut all = Arguments::command();
        all.build();
        for (commands, flags, instead) in ROWS {
            for name in *commands {
                let command = all.find_subcommand(name).expect("a command");
                let has = |flag: &str| {
                    let mut arguments = command.get_arguments();
                    arguments.any(|argument| match flag.strip_prefix("--") {
                        Some(long) => argument.get_long() == Some(long),
                        None => argument.get_short() == flag.chars().nth(1),
                    })
                };
                for flag in *flags {
                    assert!(!has(flag), "{name} {flag}");
                }
                let meant = match instead {
                    Flag(other) => Some(*other),
                    Words(all) => all.first().copied(),
                    Value | Nothing | Command(_) => None,
                };
                let has_own = command.get_subcommands().next().is_some();
                assert!(has_own || meant.is_none_or(has), "{name} {instead:?}");
            }
        }
    }
}
