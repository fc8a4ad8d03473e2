//! Which global options have an effect on which command: the others are refused, not ignored.

use std::collections::BTreeSet;

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, ValueEnum};

use super::{Arguments, Barrier, Command, Format, Gate, Global, Lease, Semaphore};
use crate::exit::Failure;

/// The global options by their ids, as they are typed.
const OPTIONS: [(&str, &str); 7] = [
    ("namespace", "--namespace"),
    ("all_namespaces", "--all-namespaces"),
    ("selector", "--selector"),
    ("context", "--context"),
    ("kubeconfig", "--kubeconfig"),
    ("output", "--output"),
    ("no_headers", "--no-headers"),
];

const ALL: &[Format] = &[
    Format::Table,
    Format::Wide,
    Format::Json,
    Format::Yaml,
    Format::Name,
];
const REPORT: &[Format] = &[Format::Table, Format::Json, Format::Yaml];
const MANIFESTS: &[Format] = &[Format::Yaml, Format::Json, Format::Name];

/// What has an effect on a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// It asks a cluster.
    cluster: bool,
    namespace: bool,
    /// It lists objects, which can be selected.
    list: bool,
    headers: bool,
    formats: &'static [Format],
}

/// Asks no cluster, and reports nothing.
const NOTHING: Effect = Effect {
    cluster: false,
    namespace: false,
    list: false,
    headers: false,
    formats: &[],
};
/// Changes something in a namespace.
const CHANGE: Effect = Effect {
    cluster: true,
    namespace: true,
    ..NOTHING
};
/// Reports on something in a namespace.
const LOOK: Effect = Effect {
    formats: REPORT,
    ..CHANGE
};
const GET: Effect = Effect {
    formats: ALL,
    headers: true,
    ..CHANGE
};
const LIST: Effect = Effect { list: true, ..GET };
/// Reports on what needs no cluster.
const TEXT: Effect = Effect {
    formats: REPORT,
    ..NOTHING
};

impl Command {
    /// What has an effect on this command.
    pub(crate) fn effect(&self) -> Effect {
        match self {
            Self::Check { .. } => Effect {
                formats: &[Format::Table, Format::Json, Format::Sarif, Format::Github],
                ..NOTHING
            },
            Self::Compile { .. } => Effect {
                namespace: true,
                formats: MANIFESTS,
                ..NOTHING
            },
            Self::Crds => Effect {
                formats: &[Format::Yaml, Format::Json],
                ..NOTHING
            },
            Self::Install { dry_run: true, .. } => Effect {
                namespace: true,
                formats: MANIFESTS,
                ..NOTHING
            },
            Self::Explain { .. } | Self::Run { .. } | Self::Version => TEXT,
            Self::Fmt { .. }
            | Self::Init { .. }
            | Self::Dev { .. }
            | Self::Completion { .. }
            | Self::Complete { .. }
            | Self::Lsp
            | Self::Man
            | Self::Step { .. }
            | Self::Warden => NOTHING,
            Self::Apply { slot: Some(_), .. }
            | Self::Report { .. }
            | Self::Ui { .. }
            | Self::Cancel { .. }
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Retry { .. }
            | Self::Delete { .. }
            | Self::Approve { .. }
            | Self::Wait { .. }
            | Self::Install { .. }
            | Self::Uninstall { .. }
            | Self::Operator(_) => CHANGE,
            // A drawing has a format of its own.
            Self::Graph(selection) if selection.drawing.is_some() => CHANGE,
            Self::Graph(_)
            | Self::Apply { .. }
            | Self::Diff(_)
            | Self::Why { .. }
            | Self::Timeline(_)
            | Self::Doctor => LOOK,
            Self::Logs(_) => Effect {
                formats: &[Format::Table, Format::Json],
                ..CHANGE
            },
            Self::Files(_) => Effect {
                formats: &[Format::Table, Format::Wide, Format::Json, Format::Yaml],
                headers: true,
                ..CHANGE
            },
            Self::Status { run: Some(_), .. } => GET,
            Self::Status { run: None, .. } | Self::Runs => LIST,
            Self::Schedules(selection) => match selection {
                all if all.name.is_none() => LIST,
                _ if selection.suspend || selection.resume || selection.start => CHANGE,
                _ => Effect {
                    headers: true,
                    ..LOOK
                },
            },
            Self::Barrier(Barrier::List)
            | Self::Gate(Gate::List)
            | Self::Semaphore(Semaphore::List)
            | Self::Lease(Lease::List) => LIST,
            Self::Barrier(Barrier::Get { .. })
            | Self::Gate(Gate::Get { .. })
            | Self::Semaphore(Semaphore::Get { .. })
            | Self::Lease(Lease::Get { .. }) => GET,
            Self::Barrier(_) | Self::Gate(_) | Self::Semaphore(_) | Self::Lease(_) => CHANGE,
        }
    }
}

impl Effect {
    /// Whether a global option, by its id, has an effect.
    pub(crate) fn has(self, option: &str) -> bool {
        match option {
            "namespace" => self.namespace,
            "all_namespaces" | "selector" => self.list,
            "context" | "kubeconfig" => self.cluster,
            "output" => !self.formats.is_empty(),
            "no_headers" => self.headers,
            _ => true,
        }
    }

    /// Refuses what was typed and has no effect. What the environment sets is for all commands alike.
    pub(crate) fn check(self, typed: &Typed, global: &Global) -> Result<(), Failure> {
        for (id, flag) in OPTIONS {
            if typed.0.contains(id) && !self.has(id) {
                let message = format!("{flag} has no effect on this command");
                return Err(Failure::usage(message).help(format!("leave {flag} out")));
            }
        }
        match global.output {
            Some(format) if typed.0.contains("output") && !self.formats.contains(&format) => {
                let words: Vec<String> = self.formats.iter().map(|format| format.word()).collect();
                let message = format!("this command has no --output {}", format.word());
                Err(Failure::usage(message).help(format!("write one of {}", words.join(", "))))
            }
            _ => Ok(()),
        }
    }
}

/// Forms of commands that take more than the one without what may be left out.
const FORMS: [&[&str]; 3] = [
    &["status", "r"],
    &["install", "--dry-run"],
    &["schedules", "s"],
];

/// A command line, and what has an effect on its command.
type Form = (Vec<String>, Effect);

/// Leaves in the help of each command the global options that have an effect on it, and of the formats those that it
/// has. It reads what [`Effect::check`] refuses by, so that the two agree.
pub(super) fn tailored(mut command: clap::Command) -> clap::Command {
    command.build();
    let mut all: Vec<Vec<String>> = Vec::new();
    lines(&command, &[], &mut all);
    all.extend(FORMS.map(|form| form.iter().map(ToString::to_string).collect()));
    let forms = all.into_iter().filter_map(|line| {
        let words = std::iter::once("koncli".to_owned()).chain(line.iter().cloned());
        let matches = Arguments::command().try_get_matches_from(words).ok()?;
        let arguments = Arguments::from_arg_matches(&matches).ok()?;
        Some((line, arguments.command.effect()))
    });
    let forms: Vec<Form> = forms.collect();
    command.mut_subcommands(|sub| with_own_options(sub, &[], &forms))
}

fn with_own_options(command: clap::Command, before: &[String], forms: &[Form]) -> clap::Command {
    let mut path = before.to_vec();
    path.push(command.get_name().to_owned());
    let own = forms.iter().filter(|(line, _)| line.starts_with(&path));
    let own: Vec<Effect> = own.map(|(_, effect)| *effect).collect();
    let command = match own.is_empty() {
        true => command,
        false => command.mut_args(|argument| own_option(argument, &own)),
    };
    command.mut_subcommands(|sub| with_own_options(sub, &path, forms))
}

fn own_option(argument: Arg, effects: &[Effect]) -> Arg {
    let id = argument.get_id().to_string();
    let has = effects.iter().any(|effect| effect.has(&id));
    let argument = match has {
        true => argument,
        false => argument.hide(true),
    };
    if id != "output" {
        return argument;
    }
    let formats = Format::value_variants().iter().filter(|format| {
        let mut effects = effects.iter();
        effects.any(|effect| effect.formats.contains(format))
    });
    argument.value_parser(PossibleValuesParser::new(
        formats.filter_map(ValueEnum::to_possible_value),
    ))
}

/// Every command without commands of its own, with values for what it requires.
fn lines(command: &clap::Command, before: &[String], all: &mut Vec<Vec<String>>) {
    let subs: Vec<_> = command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
        .collect();
    for sub in &subs {
        let mut before = before.to_vec();
        before.push(sub.get_name().to_owned());
        lines(sub, &before, all);
    }
    if !subs.is_empty() {
        return;
    }
    let mut line = before.to_vec();
    let mut last = Vec::new();
    for argument in command
        .get_arguments()
        .filter(|argument| argument.is_required_set())
    {
        let value = match argument.get_possible_values().first() {
            Some(value) => value.get_name().to_owned(),
            None => "1".to_owned(),
        };
        match argument.get_long() {
            Some(long) => line.push(format!("--{long}={value}")),
            None if argument.is_last_set() => last = vec!["--".to_owned(), value],
            None => line.push(value),
        }
    }
    line.extend(last);
    all.push(line);
}

/// The global options that were typed, by their ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Typed(BTreeSet<&'static str>);

impl Typed {
    pub(crate) fn of(matches: &ArgMatches) -> Self {
        let typed = OPTIONS
            .iter()
            .map(|(id, _)| *id)
            .filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine));
        Self(typed.collect())
    }

    /// Whether a global option was typed, by its id.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.0.contains(option)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    const BEGIN: &str = "<!-- by `BLESS=1 cargo test -p koncli` -->\n";
    const END: &str = "\n<!-- end -->";

    fn parsed(words: &[String]) -> (Arguments, Typed) {
        let matches = Arguments::command().try_get_matches_from(
            std::iter::once("koncli".to_owned()).chain(words.iter().cloned()),
        );
        let matches = matches.unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let typed = Typed::of(&matches);
        (
            Arguments::from_arg_matches(&matches).expect("arguments"),
            typed,
        )
    }

    /// The help of the command of a line, as it is printed.
    fn help_of(tailored: &clap::Command, line: &[String]) -> String {
        let words = line.iter().take_while(|word| !word.starts_with('-'));
        let words = words.filter(|word| *word != "1" && *word != "bash");
        let words = std::iter::once("koncli").chain(words.map(String::as_str));
        let help = tailored.clone().try_get_matches_from(words.chain(["-h"]));
        help.expect_err("help").to_string()
    }

    #[test]
    fn help_shows_the_formats_of_a_command_and_of_each_of_its_forms() {
        let tailored = tailored(Arguments::command());
        for (line, shown) in [
            ("check", "table, json, sarif, github"),
            ("install", "json, yaml, name"),
            ("status", "table, wide, json, yaml, name"),
        ] {
            let help = help_of(&tailored, &[line.to_owned()]);
            let shown = format!("[possible values: {shown}]");
            // Lines of a help end where the terminal does.
            let words: Vec<&str> = help.split_whitespace().collect();
            assert!(words.join(" ").contains(&shown), "{help}");
        }
        let words = ["koncli", "check", "f", "-o", "xml"];
        let wrong = tailored.try_get_matches_from(words);
        let error = wrong.expect_err("no format").to_string();
        assert!(error.contains("table, json, sarif, github"), "{error}");
        assert!(!error.contains("yaml"), "{error}");
    }

    #[test]
    fn every_command_has_an_effect_for_each_global_option_or_refuses_it() {
        let mut command = Arguments::command();
        command.build();
        let mut all = Vec::new();
        lines(&command, &[], &mut all);
        assert!(all.len() > 50, "{}", all.len());
        let mut table = String::from(
            "| command | `-n` | `-A`, `-l` | `--context`, `--kubeconfig` | `--no-headers` | `-o` |\n|---|---|---|---|---|---|\n",
        );
        let globals: BTreeSet<_> = command
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .map(|argument| argument.get_id().as_str())
            .collect();
        for id in &globals {
            let is_listed =
                *id == "verbose" || *id == "help" || OPTIONS.iter().any(|(option, _)| option == id);
            assert!(is_listed, "{id} is in no table");
        }
        let tailored = tailored(Arguments::command());
        for line in all {
            let (arguments, _) = parsed(&line);
            let effect = arguments.command.effect();
            for (id, flag) in OPTIONS {
                let mut line = line.clone();
                let value = match id {
                    "output" => "=json",
                    "all_namespaces" | "no_headers" => "",
                    _ => "=x",
                };
                line.insert(0, format!("{flag}{value}"));
                let (arguments, typed) = parsed(&line);
                assert!(typed.0.contains(id), "{line:?}");
                let refused = effect.check(&typed, &arguments.global).is_err();
                let takes =
                    effect.has(id) && (id != "output" || effect.formats.contains(&Format::Json));
                assert_eq!(refused, !takes, "{line:?}");
            }
            let help = help_of(&tailored, &line);
            for (id, flag) in OPTIONS {
                let shown =
                    help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n"));
                let form = FORMS.iter().any(|form| form[0] == line[0]);
                assert!(shown == effect.has(id) || form, "{line:?} {id}: {help}");
            }
            let mark = |has: bool| if has { "✓" } else { "" };
            let words: Vec<_> = line
                .iter()
                .take_while(|word| *word != "1" && *word != "bash" && !word.contains('='))
                .collect();
            let name = words
                .iter()
                .map(|word| word.as_str())
                .collect::<Vec<_>>()
                .join(" ");
            let formats: Vec<_> = effect.formats.iter().map(|format| format.word()).collect();
            let _ = writeln!(
                table,
                "| `{name}` | {} | {} | {} | {} | {} |",
                mark(effect.namespace),
                mark(effect.list),
                mark(effect.cluster),
                mark(effect.headers),
                formats.join(", ")
            );
        }
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/output.md");
        let page = std::fs::read_to_string(&file).expect("docs/output.md");
        let (before, rest) = page.split_once(BEGIN).expect("the place of the table");
        let (_, after) = rest.split_once(END).expect("the end of the table");
        let text = format!("{before}{BEGIN}{table}{END}{after}");
        crate::bless::compare(&file, &text);
    }

    #[test]
    fn a_form_that_reports_something_else_takes_other_formats() {
        let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (text, refused) in [
            ("install --dry-run -o json", false),
            ("install -o json", true),
            ("apply f.kon -o json", false),
            ("apply f.kon --slot 1 -o json", true),
            ("compile f.kon -o table", true),
            ("graph f.kon -o json", false),
            ("graph f.kon --as dot -o json", true),
            ("status -A", false),
            ("status r -A", true),
            ("-o json version", false),
            ("-n a version", true),
        ] {
            let (arguments, typed) = parsed(&line(text));
            let checked = arguments.command.effect().check(&typed, &arguments.global);
            assert_eq!(checked.is_err(), refused, "{text}");
        }
    }
}
