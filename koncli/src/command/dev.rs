//! `koncli dev`: only the cluster, for kubectl and whatever else speaks to one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use konductor_local::{DataFolder, DataFolderError};

use crate::arguments::Pods;
use crate::exit::Failure;
use crate::folder::{Folder, KUBECONFIG};
use crate::local::{self, Local, WithOperator};
use crate::output;
use crate::platform::{Signal, Signals};
use crate::suggestion::quoted;

/// Where the files of the cluster are.
enum Files {
    Temporary(Folder),
    Kept(DataFolder),
}

impl Files {
    async fn open(data: Option<&Path>) -> Result<Self, Failure> {
        let Some(data) = data else {
            return Ok(Self::Temporary(Folder::create()?));
        };
        let folder = DataFolder::open(data).await.map_err(|error| {
            let failure = Failure::failed(error.to_string());
            match error {
                DataFolderError::InUse { .. } => {
                    failure.help("end it first, or name another folder with --data")
                }
                DataFolderError::Foreign { .. } => failure
                    .help("name a new or an empty folder, or one that was used with --data before"),
                DataFolderError::Io { .. } => failure,
            }
        })?;
        // It was for a cluster that has ended, and leads nowhere any more.
        let _ = std::fs::remove_file(folder.path().join(KUBECONFIG));
        Ok(Self::Kept(folder))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(folder) => folder.path(),
        }
    }

    fn data(&self) -> Option<&DataFolder> {
        match self {
            Self::Temporary(_) => None,
            Self::Kept(folder) => Some(folder),
        }
    }
}

/// Runs a cluster until Ctrl-C, in memory or in the folder `data`.
pub(crate) async fn dev(
    kubeconfig: Option<PathBuf>,
    data: Option<PathBuf>,
    port: u16,
    pods: Pods,
    operator: WithOperator,
) -> Result<(), Failure> {
    // Before there is anything that a signal would leave behind.
    let mut signals = Signals::listen()?;
    let files = Files::open(data.as_deref()).await?;
    let kubeconfig = kubeconfig.unwrap_or_else(|| files.path().join(KUBECONFIG));
    let steps = std::env::current_dir()?;
    let starting = Local::start(local::Options {
        folder: files.path(),
        kubeconfig: &kubeconfig,
        steps: &steps,
        pods,
        items_before: HashMap::new(),
        port,
        operator,
        data: files.data(),
    });
    let local = tokio::select! {
        started = starting => started?,
        signal = signals.next() => return Err(Failure::silent(signal.exit_code())),
    };
    let path = std::path::absolute(&kubeconfig)?;
    output::stdout(&format!(
        "export KUBECONFIG={}\n",
        quoted(&path.display().to_string())
    ));
    let with = match operator {
        WithOperator::None => "without an operator",
        _ => "with the operator",
    };
    output::stderr(&match files.data() {
        None => format!("the cluster is up, {with}; it lasts until Ctrl-C"),
        Some(data) => format!(
            "the cluster is up, {with}; it is kept in {}",
            data.path().display()
        ),
    });
    let outcome = tokio::select! {
        failure = local.operator_is_gone() => Err(failure),
        signal = signals.next() => match signal {
            // That is how it is meant to end.
            Signal::Interrupt => Ok(()),
            signal => Err(Failure::silent(signal.exit_code())),
        },
    };
    local.stop().await;
    outcome
}
