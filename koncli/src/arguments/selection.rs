//! Which schedules, logs or files are meant, or which graph or timeline, and how it is shown.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Params, duration};

/// Which schedules to show, or what to do with one.
#[derive(Clone, Debug, Args)]
pub(crate) struct ScheduleSelection {
    /// The schedule's name, which is the pipeline's; without it, all schedules
    pub(crate) name: Option<String>,
    /// Start no more runs until the schedule is resumed
    #[arg(long, requires = "name", conflicts_with_all = ["resume", "start"])]
    pub(crate) suspend: bool,
    /// Resume a suspended schedule
    #[arg(long, requires = "name", conflicts_with = "start")]
    pub(crate) resume: bool,
    /// Start a run now, unless another run is running and `overlap` is `skip`
    #[arg(long, requires = "name")]
    pub(crate) start: bool,
}

/// What to draw, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct GraphSelection {
    /// A pipeline file, `-` for standard input, or a run in the cluster: NAME or run/NAME
    #[arg(value_name = "FILE|RUN")]
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) params: Params,
    /// The format, text by default
    #[arg(long = "as", value_enum, value_name = "FORMAT")]
    pub(crate) drawing: Option<Drawing>,
}

/// The format of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// A table
    Text,
    /// A Mermaid flowchart, for Markdown
    Mermaid,
    /// Graphviz
    Dot,
    /// A picture for browsers and documents
    Svg,
}

/// Which timeline to draw, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct TimelineSelection {
    /// The run's name
    pub(crate) run: String,
    /// The format, text by default
    #[arg(long = "as", value_enum, value_name = "FORMAT")]
    pub(crate) chart: Option<Chart>,
    /// Show all stages and items, however many there are
    #[arg(long)]
    pub(crate) all: bool,
}

/// The format of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Chart {
    /// A chart for terminals
    Text,
    /// A picture for browsers and documents
    Svg,
    /// A trace for ui.perfetto.dev, with all stages
    Perfetto,
}

/// Which logs to print.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogSelection {
    /// The run's name
    pub(crate) run: String,
    /// Only this stage, or this item, such as `read[a]`
    pub(crate) stage: Option<String>,
    /// Follow the logs until the run has ended
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last lines of each pod
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) tail: Option<i64>,
    /// Only lines that are younger than this, such as 10m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// Put the time before each line
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// The logs of containers before their last restart
    #[arg(short, long, conflicts_with = "follow")]
    pub(crate) previous: bool,
}

/// Which files to list or fetch.
#[derive(Clone, Debug, Args)]
pub(crate) struct FileSelection {
    /// The run's name
    pub(crate) run: String,
    /// Only this stage, or this item, such as `read[a]`
    pub(crate) stage: Option<String>,
    /// Fetch the files into this folder, as STAGE/ITEM/OUTPUT
    #[arg(long, value_name = "DIR")]
    pub(crate) get: Option<PathBuf>,
    /// Where the files are, if not in the run's store
    #[arg(long, value_name = "URL", requires = "get")]
    pub(crate) store: Option<String>,
}
