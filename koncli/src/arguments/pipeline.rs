//! A pipeline file, what its run is given, and how far it is applied.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// A pipeline file, and the name and parameters of its run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Pipeline {
    /// The pipeline file; `-` is standard input
    pub(crate) file: PathBuf,
    /// The run's name; by default the pipeline's
    #[arg(long, value_name = "NAME")]
    pub(crate) run: Option<String>,
    #[command(flatten)]
    pub(crate) params: Params,
    /// The image of koncli for pods of schedules and of stages with files; by default the image of this version
    #[arg(long, env = "KONCLI_IMAGE", value_name = "IMAGE")]
    pub(crate) koncli_image: Option<String>,
    /// Where files are kept, instead of the pipeline's store: a URL such as s3://BUCKET/PREFIX, or `local`
    /// for a volume of the run
    #[arg(long, env = "KONCLI_STORE", value_name = "URL")]
    pub(crate) store: Option<String>,
}

/// The values of parameters.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Params {
    /// A parameter's value; repeatable; the last value of each wins
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// A YAML or JSON file with parameters; --set overrides it
    #[arg(long, env = "KONCLI_PARAMS", value_name = "FILE")]
    pub(crate) params: Option<PathBuf>,
}

/// How far a dry run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// Only compile
    Client,
    /// Let the API server check each object
    Server,
}

/// What to do with a slot while another run of the pipeline is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Overlap {
    /// Create its run beside the other one
    Allow,
    /// Skip the slot
    Skip,
    /// Cancel the other run, and create this one when it has ended
    Replace,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}
