//! Writing a file that a person wrote: as a whole or not at all.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use crate::exit::Failure;
use crate::platform;

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
    let replaced = std::fs::metadata(&target).map_err(failed)?;
    // Before the permissions, of which it takes some away.
    platform::keep_owner(new.as_file(), &replaced);
    let permissions = replaced.permissions();
    new.as_file().set_permissions(permissions).map_err(failed)?;
    new.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_file_keeps_its_owner_its_group_and_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.kon");
        std::fs::write(&file, "before").unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(1234), Some(5678)).unwrap();
        }
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o2640)).unwrap();
        let of = |file: &Path| {
            let metadata = std::fs::metadata(file).unwrap();
            (metadata.uid(), metadata.gid(), metadata.mode())
        };
        let before = of(&file);
        replace(&file, "after").unwrap();
        assert_eq!(of(&file), before);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "after");
    }
}
