//! `koncli step`: what runs around the command of a container. See `konductor-step`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::exit::Failure;
use crate::output;

/// Runs a command with its files, or puts koncli into a folder for other containers.
pub(crate) async fn step(install: Option<PathBuf>, command: Vec<OsString>) -> Result<(), Failure> {
    let variables = std::env::vars_os().collect();
    if let Some(folder) = install {
        return konductor_step::install(&folder, &variables).map_err(Failure::failed);
    }
    match konductor_step::run(variables, command, &output::stderr).await {
        0 => Ok(()),
        // It has said why, and so has the command.
        code => Err(Failure::silent(code)),
    }
}
