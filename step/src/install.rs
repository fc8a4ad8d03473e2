//! koncli in a folder that other containers of the pod see.

use std::fs;
use std::io;
use std::path::Path;

use crate::Variables;
use crate::plan::is_process;

/// Puts the running program into a folder as `koncli`. Processes of `koncli run` see it where it is.
///
/// # Errors
/// If it can't be copied; with the path.
pub fn install(folder: &Path, variables: &Variables) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let target = folder.join(format!("koncli{}", std::env::consts::EXE_SUFFIX));
    let failed = |error: io::Error| format!("{}: {error}", target.display());
    // A container that is started again finds it there.
    match fs::remove_file(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    if is_process(variables) && link(&program, &target).is_ok() {
        return Ok(());
    }
    fs::copy(&program, &target).map_err(failed)?;
    Ok(())
}

#[cfg(unix)]
fn link(program: &Path, target: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(program, target)
}

#[cfg(not(unix))]
fn link(program: &Path, target: &Path) -> io::Result<()> {
    fs::hard_link(program, target)
}
