//! Words that people know from other tools: what they are called here.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Words of argo, tekton, kubectl, terraform and docker, and what to type instead.
const WORDS: [(&[&str], &str); 19] = [
    (
        &["lint", "validate", "verify", "typecheck"],
        "koncli check FILE",
    ),
    (
        &["submit", "start", "trigger", "deploy", "create"],
        "koncli apply FILE",
    ),
    (&["list", "ls", "ps", "pipelines"], "koncli runs"),
    (&["get", "describe", "show", "inspect"], "koncli status RUN"),
    (&["watch", "follow"], "koncli status RUN --watch"),
    (&["stop", "abort", "terminate", "kill"], "koncli cancel RUN"),
    (&["suspend"], "koncli pause RUN"),
    (&["continue", "unpause"], "koncli resume RUN"),
    (&["resubmit", "rerun", "restart"], "koncli retry RUN"),
    (&["rm", "remove", "clean", "prune"], "koncli delete RUN"),
    (
        &["render", "build", "template", "generate"],
        "koncli compile FILE",
    ),
    (&["format"], "koncli fmt FILE"),
    (&["plan", "preview"], "koncli diff FILE"),
    (&["dag", "draw", "viz"], "koncli graph FILE"),
    (&["gantt", "trace", "profile"], "koncli timeline RUN"),
    (&["new", "scaffold"], "koncli init"),
    (&["cron", "cronjobs", "crons"], "koncli schedules"),
    (&["up", "cluster", "server", "serve"], "koncli dev"),
    (
        &["exec", "events", "top"],
        "kubectl; koncli has no such command, and its objects are plain Kubernetes",
    ),
];

/// Says what to type for a word of another tool.
pub(super) fn explain(mut error: clap::Error) -> clap::Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    let meant = WORDS
        .iter()
        .find(|(words, _)| words.contains(&word.as_str()));
    if let Some((_, instead)) = meant {
        error.remove(ContextKind::SuggestedSubcommand);
        let tip = StyledStr::from(format!("use `{instead}`"));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn words_of_other_tools_are_answered_with_a_command_that_exists() {
        for (words, instead) in WORDS {
            for word in words {
                let matches = Arguments::command().try_get_matches_from(["koncli", word]);
                let error = explain(matches.expect_err("no command of koncli")).to_string();
                assert!(error.contains(instead), "{error}");
                assert!(!error.contains("similar"), "{error}");
            }
            let command = instead
                .strip_prefix("koncli ")
                .and_then(|rest| rest.split(' ').next());
            if let Some(command) = command {
                assert!(
                    Arguments::command().find_subcommand(command).is_some(),
                    "{instead}"
                );
            }
        }
    }
}
