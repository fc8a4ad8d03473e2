//! Every command of kubectl in the cluster of `koncli dev`: `docs/kubectl-dev.md`, played with the kubectl that is built
//! for the suites of a real control plane. Needs `KONDUCTOR_TEST_CLUSTER=real`; else the tests are ignored, by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use konductor_tests::cluster::{Wanted, built_kubectl, wanted};
use konductor_tests::dev::Dev;
use konductor_tests::transcript;
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let is_ignored = wanted() != Wanted::Real;
    let test = |name: &str, run: fn()| {
        let trial = Trial::test(name, move || {
            run();
            Ok(())
        });
        trial.with_ignored_flag(is_ignored)
    };
    if std::env::var_os("BLESS").is_some() && !is_ignored {
        // What is compared is what was played.
        play();
    }
    let trials = vec![
        test("commands_do_what_the_page_shows", play),
        test(
            "every_command_of_kubectl_is_judged_as_it_was_played",
            compare,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubectl-dev.md")
}

fn play() {
    let folder = tempfile::tempdir().expect("a folder");
    let dev = Dev::start(&[]);
    let home = folder.path().join("home");
    std::fs::create_dir(&home).expect("a folder");
    let programs = built_kubectl();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", programs.parent().expect("a folder").display());
    transcript::play(
        &page(),
        &home,
        |command| {
            command
                .env_clear()
                .env("PATH", &path)
                .env("HOME", &home)
                .env("KUBECONFIG", &dev.kubeconfig);
        },
        |printed| {
            // Generated names differ each time.
            let generated = regex::Regex::new(r"\b(now|once)-[a-z0-9]{5}\b").expect("a pattern");
            let printed = generated.replace_all(printed, "$1-abcde");
            let debugger = regex::Regex::new(r"\bdebugger-[a-z0-9]{5}\b").expect("a pattern");
            let printed = debugger.replace_all(&printed, "debugger-abcde");
            printed.replace(&folder.path().display().to_string(), "/tmp")
        },
    );
}

/// A row says yes exactly if the command has ended well on the page, at least once.
fn compare() {
    let page = std::fs::read_to_string(page()).expect("the page");
    let rows = page.lines().filter_map(|line| {
        let (command, verdict) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((command.to_owned(), verdict.starts_with("yes")))
    });
    let rows: BTreeMap<String, bool> = rows.collect();
    let mut played: BTreeMap<String, bool> = BTreeMap::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let typed = line.strip_prefix("$ ");
        let Some((_, words)) = typed.and_then(|typed| typed.split_once("kubectl ")) else {
            continue;
        };
        let command = words.split(' ').next().unwrap_or_default().to_owned();
        let mut ended_well = true;
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ") && *line != "```") {
            // Not every failure of kubectl has an exit code of its own.
            ended_well &= !line.starts_with("exit code ") && !line.starts_with("error: ");
        }
        *played.entry(command).or_default() |= ended_well;
    }
    let help = Command::new(built_kubectl()).arg("--help").output();
    let help = String::from_utf8(help.expect("kubectl runs").stdout).expect("text");
    let commands = help.lines().filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        let is_name = name.starts_with(|first: char| first.is_ascii_lowercase());
        (is_name && line.contains("   ")).then(|| name.to_owned())
    });
    let commands: Vec<String> = commands.collect();
    assert!(commands.len() > 35, "{commands:?}");
    for command in commands {
        let verdict = rows.get(&command);
        assert!(
            verdict.is_some(),
            "`{command}` has no row in docs/kubectl-dev.md"
        );
        assert_eq!(played.get(&command), verdict, "{command}, as it was played");
    }
}
