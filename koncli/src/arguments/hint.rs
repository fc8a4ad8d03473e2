//! What was probably meant by a command line that can't be read.

use clap::ValueEnum;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use konductor_dsl::did_you_mean;

use super::{Chart, Drawing, duration, flags};

/// Adds to an error what to type instead. `words` are those of the command line after the program's name, and `path`
/// is the command that they begin with.
pub(super) fn explain(mut error: clap::Error, words: &[String], path: &[String]) -> clap::Error {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let tip = match error.kind() {
        ErrorKind::InvalidSubcommand => subcommand(&mut error, words),
        ErrorKind::InvalidValue => drawing(&error, &path),
        ErrorKind::UnknownArgument => flag(&mut error, words, &path),
        _ => None,
    };
    if let Some(tip) = tip {
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::SuggestedArg);
        let tips = vec![StyledStr::from(tip)];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

/// A file where the command should be; else clap's suggestions, the nearest first and alone if only it is near.
fn subcommand(error: &mut clap::Error, words: &[String]) -> Option<String> {
    let word = text(error, ContextKind::InvalidSubcommand)?.to_owned();
    if std::path::Path::new(&word)
        .extension()
        .is_some_and(|end| end == "kon")
    {
        let next = words.iter().skip_while(|other| **other != word).nth(1);
        let next = next.filter(|next| !next.starts_with('-'));
        let command = next.map_or("run", String::as_str);
        return Some(format!(
            "the command comes first: `koncli {command} {word}`"
        ));
    }
    let suggested = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::String(suggestion)) => vec![suggestion.clone()],
        Some(ContextValue::Strings(all)) => all.iter().rev().cloned().collect(),
        _ => return None,
    };
    let nearest = did_you_mean(&word, suggested.iter().map(String::as_str));
    let suggested = match nearest {
        Some(nearest) => vec![nearest.to_owned()],
        None => suggested,
    };
    error.insert(
        ContextKind::SuggestedSubcommand,
        ContextValue::Strings(suggested),
    );
    None
}

/// The format of a drawing is not that of a report.
fn drawing(error: &clap::Error, path: &[&str]) -> Option<String> {
    let argument = text(error, ContextKind::InvalidArg)?;
    let value = text(error, ContextKind::InvalidValue)?;
    let is_drawing = match path {
        ["graph"] => Drawing::from_str(value, true).is_ok(),
        ["timeline"] => Chart::from_str(value, true).is_ok(),
        _ => false,
    };
    let is_meant = argument.contains("--output") && is_drawing;
    is_meant.then(|| format!("write `--as {}`", value.to_lowercase()))
}

/// Takes a tip away that names an option of other commands, as `own` has them hidden.
pub(super) fn without_refused(
    mut error: clap::Error,
    own: &clap::Command,
    path: &[String],
) -> clap::Error {
    let suggested = text(&error, ContextKind::SuggestedArg).and_then(|arg| arg.strip_prefix("--"));
    let mut command = Some(own);
    for name in path {
        command = command.and_then(|command| command.find_subcommand(name));
    }
    let is_refused = command.into_iter().any(|command| {
        let mut arguments = command.get_arguments();
        arguments
            .any(|flag| suggested.is_some() && flag.get_long() == suggested && flag.is_hide_set())
    });
    if is_refused {
        error.remove(ContextKind::SuggestedArg);
    }
    error
}

/// A flag that is not the command's, or a word too many.
fn flag(error: &mut clap::Error, words: &[String], path: &[&str]) -> Option<String> {
    let flag = text(error, ContextKind::InvalidArg)?.to_owned();
    let tip = match flag.starts_with('-') {
        true => flags::tip(&flag, words, path),
        false => None,
    };
    if tip.is_some() && error.remove(ContextKind::SuggestedArg).is_some() {
        // It is that of the other flag.
        error.remove(ContextKind::Usage);
    }
    // No file and no object is called so, and what follows `--` would be too much.
    if let Some(ContextValue::StyledStrs(tips)) = error.get(ContextKind::Suggested) {
        let tips = tips
            .iter()
            .filter(|tip| !tip.to_string().starts_with(AS_A_VALUE));
        let tips: Vec<StyledStr> = tips.cloned().collect();
        match tips.is_empty() {
            true => drop(error.remove(ContextKind::Suggested)),
            false => drop(error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips))),
        }
    }
    tip.or_else(|| argument(error, words, path))
}

/// How clap says to write `--` before an unknown flag.
const AS_A_VALUE: &str = "to pass '";

/// A word too many: a time after `--wait`, or a command without `--`.
fn argument(error: &clap::Error, words: &[String], path: &[&str]) -> Option<String> {
    let word = text(error, ContextKind::InvalidArg)?;
    let at = words.iter().position(|other| other == word)?;
    let before = at.checked_sub(1).and_then(|at| words.get(at));
    if before.is_some_and(|before| before == "--wait") && duration(word).is_ok() {
        return Some(format!("write `--wait --timeout {word}`"));
    }
    if let [kind @ ("lease" | "semaphore"), "hold"] = path {
        let command = words[at..].join(" ");
        return Some(format!(
            "write `--` before the command: `koncli {kind} hold NAME -- {command}`"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::arguments::{Arguments, effect, path};

    #[test]
    fn error_says_what_to_type_instead() {
        for (line, tip) in [
            ("etl.kon run", "`koncli run etl.kon`"),
            ("etl.kon", "`koncli run etl.kon`"),
            ("etl.kon --verbose", "`koncli run etl.kon`"),
            ("graph f -o dot", "`--as dot`"),
            ("-o svg graph f", "`--as svg`"),
            ("timeline r -o perfetto", "`--as perfetto`"),
            ("apply f.kon --wait 5m", "`--wait --timeout 5m`"),
            ("retry r --wait 1h", "`--wait --timeout 1h`"),
            (
                "lease hold x echo hi",
                "`koncli lease hold NAME -- echo hi`",
            ),
            (
                "semaphore hold x make",
                "`koncli semaphore hold NAME -- make`",
            ),
            ("chek f", "a similar subcommand exists: 'check'"),
            ("apply -f w.kon", "`koncli apply w.kon`"),
            ("apply w.kon --name w1", "`koncli apply w.kon --run w1`"),
            ("apply w.kon --timeuot 5m", "'--timeout'"),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let command = Arguments::command();
            let path = path(&command, &words);
            let all = std::iter::once("koncli".to_owned()).chain(words.clone());
            let error = command.try_get_matches_from(all).expect_err(line);
            let shown = explain(error, &words, &path).to_string();
            assert!(shown.contains(tip), "{line}: {shown}");
            assert_eq!(shown.matches("tip:").count(), 1, "{line}: {shown}");
        }
        let words: Vec<String> = ["check", "f", "-o", "dot"].map(str::to_owned).into();
        let error =
            Arguments::command().try_get_matches_from(["koncli", "check", "f", "-o", "dot"]);
        let error = error.expect_err("no format");
        let shown = explain(error, &words, &["check".to_owned()]).to_string();
        assert!(!shown.contains("--as"), "{shown}");
        // What would be refused is no tip.
        for line in ["status --everything", "crds --all", "version --all"] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let path = path(&Arguments::command(), &words);
            let all = std::iter::once("koncli".to_owned()).chain(words.clone());
            let error = Arguments::command().try_get_matches_from(all);
            let own = effect::tailored(Arguments::command());
            let error = without_refused(error.expect_err(line), &own, &path);
            let shown = explain(error, &words, &path).to_string();
            assert!(!shown.contains("tip:"), "{line}: {shown}");
        }
    }
}
