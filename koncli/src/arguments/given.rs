//! What `koncli run` is given of what only a cluster has.

use std::path::PathBuf;

use clap::Args;

/// What a local run has in place of a cluster's objects and people.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Given {
    /// A key of a Secret; other users of this machine can see it in the process list
    #[arg(long = "secret", value_name = "NAME.KEY=VALUE", value_parser = assignment)]
    pub(crate) secrets: Vec<(String, String)>,
    /// A key of a Secret, from a file
    #[arg(long = "secret-file", value_name = "NAME.KEY=FILE", value_parser = assignment)]
    pub(crate) secret_files: Vec<(String, String)>,
    /// A key of a ConfigMap
    #[arg(long = "config", value_name = "NAME.KEY=VALUE", value_parser = assignment)]
    pub(crate) configs: Vec<(String, String)>,
    /// A file with lines VARIABLE=VALUE: values for the variables that stages set by secret() or config()
    #[arg(long, env = "KONCLI_ENV_FILE", value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Approve this approval when the run reaches it; its name in the pipeline, or that of its barrier
    #[arg(long = "approve", value_name = "NAME")]
    pub(crate) approvals: Vec<String>,
    /// Approve every approval when the run reaches it
    #[arg(long, conflicts_with = "approvals")]
    pub(crate) approve_all: bool,
    /// Assume the state of an outside object: gate/NAME=open, barrier/NAME=open, pipeline/NAME=succeeded,
    /// semaphore/NAME=PERMITS, lease/NAME=free or workspace/NAME=empty
    #[arg(long = "assume", value_name = "KIND/NAME=STATE", value_parser = assignment)]
    pub(crate) assumptions: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("there is no `=` in it")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}
