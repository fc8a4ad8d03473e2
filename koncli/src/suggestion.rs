//! The commands that koncli suggests.
//!
//! What enters: a command. What leaves: the same in backticks, for the cluster and the namespace that this command line names:
//! typed as it is printed, it must not act on another run of the same name. What must never happen here: an option that
//! the suggested command refuses.

use std::sync::OnceLock;

/// An option that says which cluster and namespace are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// As clap calls it.
    pub(crate) id: &'static str,
    /// As it is typed, with its value.
    pub(crate) text: String,
}

/// Whether a command, in words, takes an option of this id.
pub(crate) type Takes = fn(&[&str], &str) -> bool;

/// What was typed of them. Errors of the SDK become help where no arguments are known, so it is known everywhere.
static TYPED: OnceLock<(Vec<Place>, Takes)> = OnceLock::new();

/// Remembers which cluster and namespace a command line names, and how to ask what koncli's commands take.
pub(crate) fn remember(places: Vec<Place>, takes: Takes) {
    // It is called once; a second command line would not change what was typed.
    let _ = TYPED.set((places, takes));
}

/// Returns a command as it is suggested: `koncli status r1` becomes `` `koncli status r1 -n x` `` if `-n x` was typed.
pub(crate) fn suggested(command: impl AsRef<str>) -> String {
    let command = command.as_ref();
    let typed = TYPED.get();
    let completed = typed.map(|(places, takes)| completed(command, places, *takes));
    format!("`{}`", completed.as_deref().unwrap_or(command))
}

fn completed(command: &str, typed: &[Place], takes: Takes) -> String {
    let parts = command.split(" | ").map(|part| {
        let words: Vec<&str> = part.split_whitespace().collect();
        let takes = |option: &&Place| match words.first() {
            Some(&"kubectl") => kubectl_takes(&words, option.id),
            _ => takes(&words, option.id),
        };
        let taken = typed.iter().filter(takes);
        let options: Vec<String> = taken.map(|option| format!(" {}", option.text)).collect();
        format!("{part}{}", options.concat())
    });
    parts.collect::<Vec<_>>().join(" | ")
}

fn kubectl_takes(words: &[&str], id: &str) -> bool {
    // These are about what is in no namespace.
    let is_of_cluster = ["apply", "namespace", "whoami"]
        .iter()
        .any(|word| words.contains(word));
    id != "namespace" || !is_of_cluster
}

/// Returns a word as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;
    use crate::arguments::{Arguments, Typed, takes};

    fn typed(line: &str) -> Vec<Place> {
        let matches = Arguments::command().try_get_matches_from(line.split_whitespace());
        let matches = matches.unwrap_or_else(|error| panic!("{line}: {error}"));
        let read = Arguments::from_arg_matches(&matches).expect("arguments");
        let read = Arguments {
            typed: Typed::of(&matches),
            ..read
        };
        read.places()
    }

    #[test]
    fn suggested_commands_are_about_the_cluster_and_the_namespace_that_were_typed() {
        for (line, suggestion, expected) in [
            (
                "koncli why r -n x",
                "koncli approve r-go",
                "koncli approve r-go -n x",
            ),
            ("koncli why r", "koncli approve r-go", "koncli approve r-go"),
            (
                "koncli apply w.kon --namespace x --context y --kubeconfig my$file",
                "koncli delete w",
                "koncli delete w -n x --context y --kubeconfig 'my$file'",
            ),
            // Without a cluster, or without a namespace.
            ("koncli why r -n x", "koncli run FILE", "koncli run FILE"),
            (
                "koncli why r -n x --context y",
                "koncli crds | kubectl apply -f -",
                "koncli crds | kubectl apply -f - --context y",
            ),
            (
                "koncli why r -n x --context y",
                "kubectl describe cronjob c",
                "kubectl describe cronjob c -n x --context y",
            ),
        ] {
            assert_eq!(
                completed(suggestion, &typed(line), takes),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn words_are_quoted_as_a_shell_reads_them() {
        for (word, expected) in [
            ("a/b.kon", "a/b.kon"),
            ("My Pipe.kon", "'My Pipe.kon'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }

    /// Names of commands in sentences, which nobody types as they stand, and texts that are no hints.
    const EXCEPTIONS: [(&str, &str); 8] = [
        ("command/diff.rs", "`koncli apply` would refuse"),
        ("command/fmt.rs", "`koncli fmt` without --check"),
        ("command/run.rs", "use `koncli dev` and `koncli apply`"),
        ("command/run.rs", "view.serve(client, \"koncli run\")"),
        (
            "diagnostics.rs",
            "Every error and warning of `koncli check`",
        ),
        ("diagnostics.rs", "`koncli explain K0201` prints the same"),
        ("diagnostics.rs", "What `koncli check` prints"),
        ("timeline/svg.rs", "`koncli timeline --all`"),
    ];
    /// They are printed without a cluster, or into files.
    const OTHERS: [&str; 3] = ["suggestion.rs", "merged.rs", "diagnostics/sarif.rs"];

    /// The sources of koncli without their tests and comments, by their paths.
    fn sources(folder: &Path, all: &mut Vec<(String, String)>) {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, all);
                continue;
            }
            let name = path.strip_prefix(&src).expect("a source");
            let name = name.to_string_lossy().replace('\\', "/");
            // The command line was not understood: nobody knows what it names.
            let is_other = name.starts_with("arguments") || OTHERS.contains(&name.as_str());
            if is_other || !name.ends_with(".rs") || name.ends_with("tests.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
            let lines = code.lines().filter(|line| {
                let of_file = EXCEPTIONS.iter().filter(|(file, _)| *file == name);
                !line.trim_start().starts_with("//")
                    && !of_file.clone().any(|(_, part)| line.contains(part))
            });
            let lines: Vec<&str> = lines.collect();
            all.push((name, lines.join("\n")));
        }
    }

    #[test]
    fn every_command_that_koncli_suggests_is_completed_here_and_is_accepted() {
        let mut all = Vec::new();
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        sources(&src, &mut all);
        let (mut wrong, mut count) = (Vec::new(), 0);
        for (name, code) in &all {
            for program in ["koncli ", "kubectl "] {
                for (at, _) in code.match_indices(&format!("`{program}")) {
                    let line = code[at..].lines().next().unwrap_or("");
                    wrong.push(format!("{name}: {line}: without suggested()"));
                }
                for (at, _) in code.match_indices(&format!("\"{program}")) {
                    let literal = code[at + 1..].split('"').next().unwrap_or("");
                    let is_command = literal[program.len()..].starts_with(char::is_alphabetic)
                        || literal[program.len()..].starts_with('{');
                    if !is_command {
                        continue;
                    }
                    let before = code[..at].trim_end();
                    let before = before.strip_suffix("format!(").unwrap_or(before);
                    if !before.trim_end().ends_with("suggested(") {
                        wrong.push(format!("{name}: {literal}: without suggested()"));
                    }
                    count += 1;
                    let first = literal.split(" | ").next().unwrap_or("");
                    let filled = filled(first);
                    let words = filled.split_whitespace();
                    if program == "koncli " && Arguments::try_parse_from(words).is_err() {
                        wrong.push(format!("{name}: {literal}: not accepted"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(count > 30, "only {count}");
    }

    /// A command with something in each place of its pattern.
    fn filled(pattern: &str) -> String {
        let mut text = pattern.replace("{kind}", "gate");
        while let Some((before, rest)) = text.split_once('{') {
            let after = rest.split_once('}').map_or("", |(_, after)| after);
            text = format!("{before}x{after}");
        }
        text
    }
}
