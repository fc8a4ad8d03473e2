//! What can be said on the command line. The names of flags are kubectl's where it has them.

mod conduct;
mod effect;
mod flags;
mod foreign;
mod given;
mod global;
mod hint;
mod pipeline;
mod place;
mod primitive;
#[cfg(test)]
mod reference;
mod selection;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

pub(crate) use self::conduct::Conduct;
pub(crate) use self::effect::Typed;
pub(crate) use self::given::Given;
pub(crate) use self::global::{Format, Global};
pub(crate) use self::pipeline::{DryRun, Overlap, Params, Pipeline};
pub(crate) use self::place::takes;
pub(crate) use self::primitive::{
    Acquisition, Barrier, Gate, Holder, Lease, Outcome, Patience, Semaphore,
};
pub(crate) use self::selection::{
    Chart, Drawing, FileSelection, GraphSelection, LogSelection, ScheduleSelection,
    TimelineSelection,
};
use crate::exit;

/// Coordinates Kubernetes Jobs: pipelines, barriers, gates, semaphores and leases.
#[derive(Debug, Parser)]
#[command(name = "koncli", version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Which of the global options were typed.
    #[arg(skip)]
    pub(crate) typed: Typed,
}

/// The hidden command that the watchdog of `hold` is started with.
pub(crate) const WARDEN: &str = "warden";
/// What kubectl looks for, so that `kubectl konductor` finds it.
const PLUGIN: &str = "kubectl-konductor";
/// What kubectl asks what could be typed after `kubectl konductor`.
const PLUGIN_COMPLETION: &str = "kubectl_complete-konductor";

impl Arguments {
    /// Reads the command line. Linked as `kubectl-konductor`, help says `kubectl konductor`.
    pub(crate) fn read() -> Self {
        let own = std::env::args_os().next().map(PathBuf::from);
        let name = own.as_deref().and_then(std::path::Path::file_stem);
        if name.is_some_and(|name| name == PLUGIN_COMPLETION) {
            let words = ["koncli", "__complete", "--"].map(OsString::from);
            return Self::parse_from(words.into_iter().chain(std::env::args_os().skip(1)));
        }
        let command = || match name.is_some_and(|name| name == PLUGIN) {
            true => Self::command().bin_name("kubectl konductor"),
            false => Self::command(),
        };
        let matches = command().try_get_matches();
        let matches = matches.unwrap_or_else(|error| explained(command(), error).exit());
        let read = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        Self {
            typed: Typed::of(&matches),
            ..read
        }
    }
}

/// Returns the error of a command line, or the help that it asks for, with only what its command takes, and with what to
/// type instead.
fn explained(command: clap::Command, error: clap::Error) -> clap::Error {
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let path = path(&command, &words);
    let own = effect::tailored(command);
    let tailored = own.clone().try_get_matches();
    let tailored = tailored
        .err()
        .filter(|tailored| tailored.kind() == error.kind());
    let error = hint::without_refused(tailored.unwrap_or(error), &own, &path);
    foreign::explain(hint::explain(error, &words, &path))
}

/// The command that a command line names. A value of an option may be taken for one, so this is only for hints.
fn path(command: &clap::Command, words: &[String]) -> Vec<String> {
    let mut path = Vec::new();
    let mut command = command;
    for word in words.iter().take_while(|word| *word != "--") {
        if let Some(sub) = command.find_subcommand(word) {
            path.push(sub.get_name().to_owned());
            command = sub;
        }
    }
    path
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check pipeline files and manifests
    Check {
        /// Pipeline files, or manifests that end in .yaml or .yml; `-` is a pipeline on standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Apply the fixes that are certain, and report what is left
        #[arg(long)]
        fix: bool,
        #[command(flatten)]
        params: Params,
    },
    /// Format pipeline files
    Fmt {
        /// Pipeline files; `-` is standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Write nothing; list the files that would change
        #[arg(long)]
        check: bool,
    },
    /// Start the language server for editors
    ///
    /// Speaks the Language Server Protocol on stdin and stdout; docs/editor.md says how editors start it.
    Lsp,
    /// Write a commented starter pipeline
    Init {
        /// The file to create
        #[arg(default_value = "pipeline.kon")]
        file: PathBuf,
    },
    /// Draw the graph of a pipeline or run
    Graph(GraphSelection),
    /// Compile a pipeline to Kubernetes manifests on stdout
    Compile {
        #[command(flatten)]
        pipeline: Pipeline,
    },
    /// Create a run, or install a schedule
    Apply {
        #[command(flatten)]
        pipeline: Pipeline,
        /// Wait until the run has ended
        #[arg(long)]
        wait: bool,
        /// How long to wait, such as 30m; no limit by default
        #[arg(long, value_parser = duration, requires = "wait", value_name = "TIME")]
        timeout: Option<Duration>,
        /// Change nothing: only compile (client), or let the API server check each object (server)
        #[arg(long, value_enum, conflicts_with = "wait", value_name = "WHERE")]
        dry_run: Option<DryRun>,
        /// Create the run of this scheduled time, as the pods of a schedule do, or to catch up on a missed one: a time such as
        /// 2026-03-29T02:00:00Z, minutes since 1970, or the name of a CronJob's Job
        #[arg(long, conflicts_with_all = ["run", "dry_run", "wait"], value_name = "SLOT")]
        slot: Option<String>,
        /// What to do with a slot while another run of the pipeline is running; by default what the file says
        #[arg(long, value_enum, requires = "slot", value_name = "HOW")]
        overlap: Option<Overlap>,
    },
    /// Show what `koncli apply` would change
    Diff(Pipeline),
    /// Run a pipeline locally, without a cluster
    Run {
        #[command(flatten)]
        pipeline: Pipeline,
        #[command(flatten)]
        pods: Pods,
        #[command(flatten)]
        given: Given,
        /// Keep logs and volumes after the run, and print where
        #[arg(long, env = "KONCLI_KEEP")]
        keep: bool,
        /// Serve the web view of the run until Ctrl-C, also after the run has ended
        #[arg(long)]
        ui: bool,
    },
    /// Run a local cluster in memory
    Dev {
        /// Where to write the kubeconfig; a temporary file by default
        #[arg(long = "write-kubeconfig", value_name = "FILE")]
        write_kubeconfig: Option<PathBuf>,
        /// The port on loopback; 0 picks a free port
        #[arg(long, default_value_t = 0, value_name = "PORT")]
        port: u16,
        /// Keep the cluster in this folder, and continue from it
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        #[command(flatten)]
        pods: Pods,
        /// Start no operator, for example to run `koncli operator` yourself
        #[arg(long)]
        no_operator: bool,
    },
    /// Show where each stage of a run stands
    Status {
        /// The run's name; without it, all runs, as `koncli runs`
        run: Option<String>,
        /// Update the view until the run has ended
        #[arg(short, long, requires = "run")]
        watch: bool,
    },
    /// List runs
    ///
    /// `koncli status` without a name prints the same.
    Runs,
    /// List schedules; suspend, resume or start one
    #[command(visible_alias = "schedule")]
    Schedules(ScheduleSelection),
    /// Explain why a stage does not start
    ///
    /// Follows the stage's dependencies down to the object that blocks it, and shows that object's holders.
    Why {
        /// The run's name
        run: String,
        /// The stage, an item such as `read[a]`, or the approval; without it, all stages that have not succeeded
        stage: Option<String>,
    },
    /// Show when each stage waited and ran
    ///
    /// Marks the critical path: the stages and waits that determined how long the run took.
    Timeline(TimelineSelection),
    /// Write a run as one HTML file
    ///
    /// Writes a self-contained file to stdout: the graph, the timeline, reasons, outputs, and the last lines of each log.
    Report {
        /// The run's name
        run: String,
    },
    /// Serve a web view of a namespace's runs
    ///
    /// Prints a URL on localhost that contains an access token. The web view has the permissions of your kubeconfig.
    Ui {
        /// The port on loopback; 0 picks a free port
        #[arg(long, default_value_t = 0, value_name = "PORT")]
        port: u16,
    },
    /// Print the logs of a run's pods
    Logs(LogSelection),
    /// List or fetch the files of a run
    ///
    /// They are fetched with credentials of your own, such as AWS_ACCESS_KEY_ID.
    Files(FileSelection),
    /// Cancel a run; finally stages still run
    Cancel {
        /// The run's name
        run: String,
        /// Cancel the finally stages too
        #[arg(long)]
        finally: bool,
        #[command(flatten)]
        ending: Ending,
    },
    /// Pause a run; delete its running pods
    ///
    /// The pods start from the beginning when the run resumes. The run's timeout does not count the pause.
    Pause {
        /// The run's name
        run: String,
        /// Let running stages finish; start no others
        #[arg(long)]
        let_running_finish: bool,
    },
    /// Resume a paused run
    Resume {
        /// The run's name
        run: String,
    },
    /// Retry what made the run fail
    Retry {
        /// The run's name
        run: String,
        /// Retry from this stage, or from this item, such as `read[a]`, however it ended
        #[arg(long, value_name = "STAGE")]
        from: Option<String>,
        /// Retry the stages that made the run fail (the default). This excludes failed stages with may-fail: use --from for them
        #[arg(long, conflicts_with = "from")]
        failed: bool,
        #[command(flatten)]
        ending: Ending,
    },
    /// Delete a run and what it owns
    ///
    /// It owns its Jobs, Gates, Barriers and workspaces; semaphores and leases of the pipeline stay.
    Delete {
        /// The run's name
        run: String,
        #[command(flatten)]
        removal: Removal,
    },
    /// Approve or deny an approval
    Approve {
        /// The approval's name in the pipeline, or that of its barrier, RUN-APPROVAL
        name: String,
        /// Deny instead of approve
        #[arg(long)]
        deny: bool,
    },
    /// Check that the cluster is ready for konductor
    Doctor,
    /// Explain a diagnostic or a kind of object
    Explain {
        /// A code such as K0203, or a kind: barrier, gate, semaphore, lease, claim, arrival, run or job
        #[arg(value_name = "CODE|KIND")]
        what: String,
    },
    /// Wait for an object to reach a state
    ///
    /// Fails as soon as the object can no longer reach it.
    Wait {
        /// KIND/NAME, where KIND is run, gate, barrier, claim or job
        #[arg(required = true, value_name = "KIND/NAME")]
        targets: Vec<String>,
        /// The state to wait for; the default is the first one listed for its kind; run: Succeeded, Failed, Cancelled; gate or
        /// barrier: Open, Skipped, Unreached, Failed; claim: Granted, Denied, Expired; job: Complete, Failed, Skipped,
        /// Unreached, Cancelled; Finished is any of these, except for a claim
        #[arg(long = "for", value_name = "STATE")]
        state: Option<String>,
        #[command(flatten)]
        patience: Patience,
    },
    /// Manage barriers, which open after n arrivals
    #[command(subcommand, visible_alias = "barriers")]
    Barrier(Barrier),
    /// Manage gates, which open when conditions are met
    #[command(subcommand, visible_alias = "gates")]
    Gate(Gate),
    /// Manage semaphores: at most n at once
    #[command(subcommand, visible_alias = "semaphores")]
    Semaphore(Semaphore),
    /// Manage leases: one holder at a time
    #[command(subcommand, visible_alias = "leases")]
    Lease(Lease),
    /// Print the CustomResourceDefinitions
    Crds,
    /// Install the CRDs and the operator
    Install {
        /// Only print the manifests; don't contact the cluster
        #[arg(long)]
        dry_run: bool,
        /// The operator's image; by default this version's
        #[arg(long, env = "KONCLI_IMAGE", value_name = "IMAGE")]
        image: Option<String>,
        /// How many replicas of the operator to run, 2 by default; one of them is the leader
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
        replicas: Option<u32>,
    },
    /// Delete the operator; keep CRDs and their objects
    Uninstall {
        /// Delete the CRDs too, and with them every object of these kinds
        #[arg(long)]
        crds: bool,
    },
    /// Run the operator
    Operator(Operator),
    /// Print a completion script for a shell
    #[command(after_help = COMPLETION)]
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print completions for the words so far
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The words so far; the last one is incomplete
        #[arg(last = true)]
        words: Vec<String>,
    },
    /// Print the manual page
    Man,
    /// Print the version
    Version,
    /// Run a container's command, with its files (used by pods)
    #[command(hide = true)]
    Step {
        /// Only put koncli into a folder
        #[arg(long, value_name = "DIR")]
        install: Option<PathBuf>,
        /// The command and its arguments
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// Kill a command whose `hold` was killed (used by koncli itself)
    #[command(name = WARDEN, hide = true)]
    Warden,
}

/// How to enable completion.
const COMPLETION: &str = "\
In bash:  source <(koncli completion bash)
In zsh:   source <(koncli completion zsh)
In fish:  koncli completion fish | source
For `kubectl konductor`: link koncli as kubectl_complete-konductor, beside kubectl-konductor";

/// How pods run without a cluster.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Pods {
    /// How many pods may run at once; by default one for each CPU, at least 4
    #[arg(
        short,
        long,
        value_name = "N",
        env = "KONCLI_JOBS",
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub(crate) jobs: Option<u32>,
    /// What runs the pods
    #[arg(
        long,
        value_enum,
        default_value_t,
        env = "KONCLI_RUNTIME",
        value_name = "WHAT"
    )]
    pub(crate) runtime: Runtime,
    /// Let containers mount folders of this machine (hostPath)
    #[arg(long, env = "KONCLI_ALLOW_HOST_PATH")]
    pub(crate) allow_host_path: bool,
}

/// What runs the containers of pods without a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// Processes of this machine; images are ignored
    #[default]
    Process,
    /// Containers of docker
    Docker,
    /// Containers of podman
    Podman,
}

/// Whether to wait for the end of a run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Ending {
    /// Wait until the run has ended
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait, such as 30m; no limit by default
    #[arg(long, value_parser = duration, requires = "wait", value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
}

/// Whether to wait until a run is gone.
#[derive(Clone, Debug, Args)]
pub(crate) struct Removal {
    /// Delete the run's files from its store first, with credentials of your own
    #[arg(long)]
    pub(crate) files: bool,
    /// Wait until the run and its objects are gone
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait, such as 30m; no limit by default
    #[arg(long, value_parser = duration, requires = "wait", value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
}

/// How the operator runs.
#[derive(Clone, Debug, Args)]
pub(crate) struct Operator {
    /// Elect a leader among several operators; needs --leader-namespace outside of a pod
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, env = "KONCLI_LEADER_ELECT")]
    pub(crate) leader_elect: bool,
    /// The namespace of the election's Lease; by default the operator's own
    #[arg(long, env = "KONCLI_LEADER_NAMESPACE", value_name = "NAME")]
    pub(crate) leader_namespace: Option<String>,
    /// The name of the election's Lease
    #[arg(long, env = "KONCLI_LEADER_LEASE", value_name = "NAME",
        default_value = konductor_operator::LEADER_LEASE)]
    pub(crate) leader_lease: String,
    /// Watch only this namespace; all by default
    #[arg(long, env = "KONCLI_WATCH_NAMESPACE", value_name = "NAME")]
    pub(crate) watch_namespace: Option<String>,
    /// The address for /metrics, /healthz and /readyz, such as 0.0.0.0:8080; none by default
    #[arg(long, env = "KONCLI_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Fail a Job whose pods can't start for this long. There is no limit by default; the chart and `koncli install` set 1h
    #[arg(long, env = "KONCLI_PENDING_TIMEOUT", value_name = "DURATION", value_parser = duration)]
    pub(crate) pending_timeout: Option<Duration>,
    /// Export runs as traces to this OpenTelemetry collector, such as http://otel-collector:4318; off by default
    #[arg(long, env = "KONCLI_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
}

/// Reads `30m`, `1h30m`, and `0` for "once".
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let read = konductor_api::Duration::new(text).and_then(|duration| duration.parse());
    let read = read.map_err(|error| error.to_string())?;
    Duration::try_from(read).map_err(|error| error.to_string())
}

/// Reads how long a grant lasts: it must last at all.
fn ttl(text: &str) -> Result<konductor_api::Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("a grant has to last: write more than 0, such as 30s".to_owned()),
        _ => konductor_api::Duration::new(text).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_are_read_as_manifests_write_them() {
        let table = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("90s", Some(90)),
            ("1h30m", Some(5400)),
            ("30", None),
            ("-1s", None),
        ];
        for (text, expected) in table {
            assert_eq!(
                duration(text).ok().map(|read| read.as_secs()),
                expected,
                "{text}"
            );
        }
    }
}
