//! `koncli __complete`: what could be typed next, also the names of what is in the cluster now.
//!
//! What enters: the words so far, the last of which is being typed. What leaves: candidates, one a line,
//! after a tab what each is. What must never happen here: a word on stderr, or a wait that people feel.

use std::time::Duration;

use clap::{Arg, ArgAction, Command as Clap, CommandFactory, Parser};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Namespace;
use konductor_api::{Arrivals, Barrier, Claim, Gate, Lease, Run, Semaphore, label};
use kube::api::ListParams;
use kube::config::Kubeconfig;
use kube::{Api, ResourceExt};

use super::wait::Kind;
use super::{api, explain};
use crate::arguments::{Arguments, Global};
use crate::exit::Failure;
use crate::{cluster, output, read};

/// How long the cluster may take to answer: a person is at the keyboard.
const PATIENCE: Duration = Duration::from_secs(2);

/// One thing that could be typed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    text: String,
    help: String,
}

impl Candidate {
    fn new(text: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            help: help.into(),
        }
    }
}

/// Prints what could be typed. If nothing is known, nothing is printed, and the shell offers files.
pub(crate) async fn complete(words: &[String]) {
    let mut root = Arguments::command();
    root.build();
    let Some((current, before)) = words.split_last() else {
        return;
    };
    let typed = Typed::read(&root, before);
    let mut candidates = typed.candidates(current);
    if let Some(lookup) = typed.lookup(current)
        && let Ok(Ok(names)) = tokio::time::timeout(PATIENCE, live(&typed, &lookup)).await
    {
        candidates.extend(names);
    }
    candidates.retain(|candidate| candidate.text.starts_with(current.as_str()));
    candidates.sort();
    candidates.dedup();
    let lines = candidates.iter().map(|candidate| {
        let help = candidate.help.replace(['\n', '\t'], " ");
        format!("{}\t{help}\n", candidate.text)
    });
    output::stdout(&lines.collect::<String>());
}

/// The words before the one that is being typed, understood as far as they go.
struct Typed<'a> {
    /// The commands, from the outermost on.
    path: Vec<&'a Clap>,
    /// The flag whose value is being typed.
    flag: Option<&'a Arg>,
    /// After `--`, nothing is a flag.
    is_escaped: bool,
    values: Vec<String>,
    /// What says which cluster and which namespace.
    global: Vec<String>,
}

impl<'a> Typed<'a> {
    fn read(root: &'a Clap, words: &[String]) -> Self {
        let mut typed = Self {
            path: vec![root],
            flag: None,
            is_escaped: false,
            values: Vec::new(),
            global: Vec::new(),
        };
        for word in words {
            typed.word(word);
        }
        typed
    }

    fn command(&self) -> &'a Clap {
        self.path[self.path.len() - 1]
    }

    fn word(&mut self, word: &str) {
        if let Some(flag) = self.flag.take() {
            self.remember(flag, word);
        } else if self.is_escaped {
            self.values.push(word.to_owned());
        } else if word == "--" {
            self.is_escaped = true;
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            let flag = self.flags().find(|arg| arg.get_long() == Some(name));
            match (flag.filter(|arg| takes_value(arg)), value) {
                (Some(flag), Some(value)) => self.remember(flag, value),
                (Some(flag), None) => self.flag = Some(flag),
                (None, _) => {}
            }
        } else if let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) {
            self.short(short);
        } else if let Some(sub) = self.command().find_subcommand(word) {
            self.path.push(sub);
            self.values.clear();
        } else {
            self.values.push(word.to_owned());
        }
    }

    /// Flags of one letter; what follows one that takes a value is its value.
    fn short(&mut self, letters: &str) {
        for (at, letter) in letters.char_indices() {
            let flag = self.flags().find(|arg| arg.get_short() == Some(letter));
            if let Some(flag) = flag.filter(|arg| takes_value(arg)) {
                match &letters[at + letter.len_utf8()..] {
                    "" => self.flag = Some(flag),
                    value => self.remember(flag, value),
                }
                return;
            }
        }
    }

    fn remember(&mut self, flag: &Arg, value: &str) {
        let name = flag.get_id().as_str();
        if matches!(name, "namespace" | "context" | "kubeconfig") {
            self.global.push(format!("--{name}={value}"));
        }
    }

    fn flags(&self) -> impl Iterator<Item = &'a Arg> + use<'a> {
        self.command()
            .get_arguments()
            .filter(|arg| !arg.is_positional())
    }

    /// The argument without a flag that is being typed.
    fn positional(&self) -> Option<&'a Arg> {
        let all: Vec<&Arg> = self.command().get_positionals().collect();
        let last = all.last().copied();
        let repeats = |arg: &&Arg| matches!(arg.get_action(), ArgAction::Append);
        all.get(self.values.len()).copied().or(last.filter(repeats))
    }

    /// What is known without a cluster.
    fn candidates(&self, current: &str) -> Vec<Candidate> {
        let is_flag = current.starts_with('-') && !self.is_escaped && self.flag.is_none();
        if is_flag {
            let flags = self.flags().filter(|arg| !arg.is_hide_set());
            let named = flags.filter_map(|arg| {
                let help = arg.get_help().map(ToString::to_string);
                Some(Candidate::new(
                    format!("--{}", arg.get_long()?),
                    help.unwrap_or_default(),
                ))
            });
            return named.collect();
        }
        let argument = self.flag.or_else(|| self.positional());
        let values = argument.map(Arg::get_possible_values).unwrap_or_default();
        let values = values
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| {
                let help = value.get_help().map(ToString::to_string);
                Candidate::new(value.get_name(), help.unwrap_or_default())
            });
        let mut candidates: Vec<Candidate> = values.collect();
        if self.flag.is_none() && !self.is_escaped && self.values.is_empty() {
            let subs = self.command().get_subcommands();
            let subs = subs.filter(|sub| !sub.is_hide_set()).map(|sub| {
                let help = sub.get_about().map(ToString::to_string);
                Candidate::new(sub.get_name(), help.unwrap_or_default())
            });
            candidates.extend(subs);
        }
        if self.named() == ["explain"] && self.flag.is_none() {
            candidates.extend(explain::topics().map(|name| Candidate::new(name, "")));
        }
        candidates
    }

    /// The names of the commands, without that of the program.
    fn named(&self) -> Vec<&str> {
        self.path[1..]
            .iter()
            .map(|command| command.get_name())
            .collect()
    }

    /// What must be looked up.
    fn lookup(&self, current: &str) -> Option<Lookup> {
        if let Some(flag) = self.flag {
            return match flag.get_id().as_str() {
                "namespace" => Some(Lookup::Namespaces),
                "context" => Some(Lookup::Contexts),
                "from" => Some(Lookup::Stages(self.values.first()?.clone())),
                _ => None,
            };
        }
        if current.starts_with('-') {
            return None;
        }
        let argument = self.positional()?.get_id().as_str();
        match (self.named().as_slice(), argument) {
            (["graph"], "what") | (_, "run") => Some(Lookup::Named("run")),
            (_, "stage") => Some(Lookup::Stages(self.values.first()?.clone())),
            (["approve"], _) => Some(Lookup::Approvals),
            (["wait"], _) => Some(Lookup::Targets),
            ([_, "create"], _) => None,
            (["barrier", _], "name") => Some(Lookup::Named("barrier")),
            (["gate", _], "name") => Some(Lookup::Named("gate")),
            (["semaphore", _], "name") => Some(Lookup::Named("semaphore")),
            (["lease", _], "name") => Some(Lookup::Named("lease")),
            (["schedules"], "name") => Some(Lookup::Schedules),
            _ => None,
        }
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// What must be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lookup {
    Namespaces,
    Contexts,
    /// The stages of a run.
    Stages(String),
    /// Barriers that people approve.
    Approvals,
    /// CronJobs that koncli has installed.
    Schedules,
    /// KIND/NAME of all that can be waited for.
    Targets,
    /// The names of a kind.
    Named(&'static str),
}

/// Only what says which cluster.
#[derive(Parser)]
struct Where {
    #[command(flatten)]
    global: Global,
}

async fn live(typed: &Typed<'_>, lookup: &Lookup) -> Result<Vec<Candidate>, Failure> {
    let words = std::iter::once("koncli").chain(typed.global.iter().map(String::as_str));
    let place = Where::try_parse_from(words);
    let global = place
        .map_err(|error| Failure::usage(error.to_string()))?
        .global;
    if *lookup == Lookup::Contexts {
        return contexts(&global);
    }
    let client = cluster::connect(&global).await?;
    let all = ListParams::default();
    match lookup {
        Lookup::Contexts => contexts(&global),
        Lookup::Namespaces => {
            let namespaces: Api<Namespace> = Api::all(client.kube().clone());
            let namespaces = read::list_metadata(&namespaces, &all).await?;
            let names = namespaces
                .iter()
                .map(|namespace| Candidate::new(namespace.name_any(), ""));
            Ok(names.collect())
        }
        Lookup::Stages(run) => {
            let run = run.strip_prefix("run/").unwrap_or(run);
            let of_run = all.labels(&format!("{}={run}", label::RUN));
            let jobs = read::list_metadata(&api::<Job>(&client), &of_run).await?;
            let stages = jobs.iter().filter_map(|job| job.labels().get(label::STAGE));
            Ok(stages.map(|stage| Candidate::new(stage, "")).collect())
        }
        Lookup::Approvals => {
            let barriers = read::list(&api::<Barrier>(&client), &all).await?;
            let people = barriers
                .iter()
                .filter(|barrier| barrier.spec.arrivals == Arrivals::Verified);
            Ok(people
                .map(|barrier| Candidate::new(barrier.name_any(), barrier_help(barrier)))
                .collect())
        }
        Lookup::Schedules => {
            let installed = all.labels(label::PIPELINE);
            let cron_jobs = read::list_metadata(&api::<CronJob>(&client), &installed).await?;
            let names = cron_jobs
                .iter()
                .map(|cron_job| Candidate::new(cron_job.name_any(), ""));
            Ok(names.collect())
        }
        Lookup::Named(kind) => of_kind(&client, kind).await,
        Lookup::Targets => {
            let kinds = Kind::ALL.map(Kind::word);
            let requests = kinds.map(|kind| {
                let client = &client;
                async move {
                    let candidates = of_kind(client, kind).await?;
                    let named = candidates.into_iter().map(|candidate| {
                        Candidate::new(format!("{kind}/{}", candidate.text), candidate.help)
                    });
                    Ok::<Vec<Candidate>, Failure>(named.collect())
                }
            });
            let candidates = futures::future::try_join_all(requests).await?;
            Ok(candidates.into_iter().flatten().collect())
        }
    }
}

fn contexts(global: &Global) -> Result<Vec<Candidate>, Failure> {
    let read = match &global.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let contexts = read
        .map_err(|error| Failure::failed(error.to_string()))?
        .contexts;
    Ok(contexts
        .into_iter()
        .map(|context| Candidate::new(context.name, ""))
        .collect())
}

fn barrier_help(barrier: &Barrier) -> String {
    let status = barrier.status.as_ref();
    status.map_or_else(String::new, |status| format!("{:?}", status.phase))
}

/// The names of a kind, each with its phase.
async fn of_kind(client: &konductor::Client, kind: &str) -> Result<Vec<Candidate>, Failure> {
    macro_rules! listed {
        ($kind:ty) => {{
            let objects = read::list(&api::<$kind>(client), &ListParams::default()).await?;
            let named = objects.into_iter().map(|object| {
                let phase = object
                    .status
                    .as_ref()
                    .map(|status| format!("{:?}", status.phase));
                Candidate::new(object.name_any(), phase.unwrap_or_default())
            });
            named.collect()
        }};
    }
    Ok(match kind {
        "run" => listed!(Run),
        "gate" => listed!(Gate),
        "barrier" => listed!(Barrier),
        "claim" => listed!(Claim),
        "semaphore" => listed!(Semaphore),
        "lease" => listed!(Lease),
        _ => {
            let jobs = read::list_metadata(&api::<Job>(client), &ListParams::default()).await?;
            let named = jobs.iter().map(|job| Candidate::new(job.name_any(), ""));
            named.collect()
        }
    })
}

const BASH: &str = include_str!("../../completions/koncli.bash");

const ZSH: &str = include_str!("../../completions/koncli.zsh");

const FISH: &str = include_str!("../../completions/koncli.fish");

/// Prints the script that makes a shell ask for what could be typed; where a shell has none of ours, it
/// knows the commands and flags, and no names.
pub(crate) fn script(shell: clap_complete::Shell) {
    use clap_complete::Shell;
    match shell {
        Shell::Bash => output::stdout_exact(BASH),
        Shell::Zsh => output::stdout_exact(ZSH),
        Shell::Fish => output::stdout_exact(FISH),
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut Arguments::command(), "koncli", &mut script);
            output::stdout_exact(&String::from_utf8_lossy(&script));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(words: &str) -> (Vec<String>, Option<Lookup>) {
        let mut root = Arguments::command();
        root.build();
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let (current, before) = words.split_last().expect("a word");
        let typed = Typed::read(&root, before);
        let candidates = typed.candidates(current);
        let texts = candidates.into_iter().map(|candidate| candidate.text);
        let texts = texts.filter(|text| text.starts_with(current.as_str()));
        (texts.collect(), typed.lookup(current))
    }

    #[test]
    fn each_place_has_its_candidates() {
        let run = || Some(Lookup::Named("run"));
        let table: [(&str, &[&str], Option<Lookup>); 14] = [
            ("sem", &["semaphore"], None),
            ("barrier wa", &["wait"], None),
            ("barrier wait ", &[], Some(Lookup::Named("barrier"))),
            ("barrier create ", &[], None),
            ("status ", &[], run()),
            ("-n team status ", &[], run()),
            ("why nightly ", &[], Some(Lookup::Stages("nightly".into()))),
            (
                "retry nightly --from ",
                &[],
                Some(Lookup::Stages("nightly".into())),
            ),
            ("status --wat", &["--watch"], None),
            ("-o js", &["json"], None),
            ("apply x.kon --dry-run s", &["server"], None),
            ("-n ", &[], Some(Lookup::Namespaces)),
            ("explain barr", &["barrier"], None),
            ("wait run/a ", &[], Some(Lookup::Targets)),
        ];
        for (words, expected, expected_lookup) in table {
            let (texts, lookup) = typed(words);
            assert_eq!(texts, expected, "{words}");
            assert_eq!(lookup, expected_lookup, "{words}");
        }
    }

    #[test]
    fn what_says_which_cluster_is_understood_wherever_it_is() {
        let mut root = Arguments::command();
        root.build();
        let words = ["-nteam", "status", "--context=a", "x", "--kubeconfig", "k"];
        let words = words.map(str::to_owned);
        let typed = Typed::read(&root, &words);
        let expected = ["--namespace=team", "--context=a", "--kubeconfig=k"];
        assert_eq!(typed.global, expected);
        assert_eq!(typed.values, ["x"]);
    }
}
