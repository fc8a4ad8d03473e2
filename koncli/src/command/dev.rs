//! `koncli dev`: only the cluster, for kubectl and whatever else speaks to one.

use std::path::{Path, PathBuf};

use crate::arguments::Pods;
use crate::exit::{Failure, INTERRUPTED};
use crate::folder::Folder;
use crate::local::{self, Local, WithOperator, interrupted};
use crate::output;

/// Runs a cluster in memory until Ctrl-C.
pub(crate) async fn dev(
    kubeconfig: Option<&Path>,
    port: u16,
    pods: Pods,
    operator: WithOperator,
) -> Result<(), Failure> {
    let folder = Folder::create()?;
    let kubeconfig = kubeconfig.map_or_else(|| folder.kubeconfig(), PathBuf::from);
    let steps = std::env::current_dir()?;
    let starting = Local::start(local::Options {
        folder: folder.path(),
        kubeconfig: &kubeconfig,
        steps: &steps,
        pods,
        port,
        operator,
    });
    let local = tokio::select! {
        started = starting => started?,
        code = interrupted() => return Err(Failure::silent(code)),
    };
    let path = std::path::absolute(&kubeconfig)?;
    output::data(&format!("export KUBECONFIG={}\n", quoted(&path)));
    output::talk(match operator {
        WithOperator::None => "the cluster is up, without an operator; it lasts until Ctrl-C",
        _ => "the cluster is up, with the operator; it lasts until Ctrl-C",
    });
    let outcome = tokio::select! {
        failure = local.operator_is_gone() => Err(failure),
        code = interrupted() => match code {
            // That is how it is meant to end.
            INTERRUPTED => Ok(()),
            code => Err(Failure::silent(code)),
        },
    };
    local.stop().await;
    // It leads nowhere any more.
    let _ = std::fs::remove_file(&kubeconfig);
    outcome
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', "'\\''"))
}
