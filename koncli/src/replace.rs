//! Writing a file that a person wrote: as a whole or not at all.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use crate::exit::Failure;

/// Replaces a file as a whole or not at all. One that this user may not write is left alone, although its
/// folder would allow it.
pub(crate) fn replace(file: &Path, text: &str) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::failed(format!("can't write {}: {error}", file.display()));
    // A link keeps its target.
    let target = file.canonicalize().map_err(failed)?;
    OpenOptions::new()
        .append(true)
        .open(&target)
        .map_err(failed)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    new.write_all(text.as_bytes()).map_err(failed)?;
    let permissions = std::fs::metadata(&target).map_err(failed)?.permissions();
    new.as_file().set_permissions(permissions).map_err(failed)?;
    new.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}
