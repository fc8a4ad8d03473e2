//! What every command understands.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// The heading of the options that every command has.
const GLOBAL: &str = "Global options";

/// The options that every command has.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The namespace; by default that of the kubeconfig's context or, in a pod, the pod's own
    #[arg(
        short,
        long,
        global = true,
        help_heading = GLOBAL,
        env = "KONCLI_NAMESPACE",
        value_name = "NAME"
    )]
    pub(crate) namespace: Option<String>,
    /// List objects of all namespaces
    #[arg(
        short = 'A',
        long,
        global = true,
        help_heading = GLOBAL,
        env = "KONCLI_ALL_NAMESPACES"
    )]
    pub(crate) all_namespaces: bool,
    /// List only objects with these labels, such as team=data
    #[arg(
        short = 'l',
        long,
        global = true,
        help_heading = GLOBAL,
        env = "KONCLI_SELECTOR",
        value_name = "QUERY"
    )]
    pub(crate) selector: Option<String>,
    /// The context of the kubeconfig
    #[arg(long, global = true, help_heading = GLOBAL, env = "KONCLI_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig; by default $KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, help_heading = GLOBAL, env = "KONCLI_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The format of results
    #[arg(short, long, global = true, help_heading = GLOBAL, env = "KONCLI_OUTPUT", value_enum)]
    pub(crate) output: Option<Format>,
    /// Leave out the header of tables
    #[arg(long, global = true, help_heading = GLOBAL, env = "KONCLI_NO_HEADERS")]
    pub(crate) no_headers: bool,
    /// Print more; -vv prints the operator's log too
    #[arg(
        short,
        long,
        global = true,
        help_heading = GLOBAL,
        action = clap::ArgAction::Count,
        env = "KONCLI_VERBOSE"
    )]
    pub(crate) verbose: u8,
}

impl Format {
    /// Returns the word that selects it.
    pub(crate) fn word(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people
    Table,
    /// A table with more columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// kind/name, one for each line
    Name,
    /// SARIF, for code scanning
    Sarif,
    /// Annotations of GitHub Actions
    Github,
}
