//! Removing folders that pods have written into.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::platform;

/// The folder in that of a pod whose folders are volumes with Secrets.
pub const SECRETS_FOLDER: &str = "secrets";

/// What is left of a folder that was to be removed.
#[derive(Debug)]
pub struct Left {
    /// The first file or folder that could not be removed.
    path: PathBuf,
    /// Why.
    error: io::Error,
    /// How many others could not be removed.
    others: usize,
}

impl std::fmt::Display for Left {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} can't be removed: {}",
            self.path.display(),
            self.error
        )?;
        match self.others {
            0 => Ok(()),
            others => write!(out, ", nor can {others} others"),
        }
    }
}

/// Removes a folder with everything in it. Folders that their owner may not write are made writable first, and what can't
/// be removed keeps nothing else. Links are removed, not followed; nobody but this user may put one there meanwhile.
///
/// # Errors
/// If something is left.
pub fn remove_folder(folder: &Path) -> Result<(), Left> {
    let mut left = None;
    remove(folder, &mut left);
    left.map_or(Ok(()), Err)
}

/// The same of what is in a folder, but for what is called `name`. The folder itself stays.
///
/// # Errors
/// If something else is left.
pub fn remove_all_but(folder: &Path, name: &str) -> Result<(), Left> {
    let mut left = None;
    remove_entries(folder, &mut left, |entry| entry == name);
    left.map_or(Ok(()), Err)
}

fn remove(folder: &Path, left: &mut Option<Left>) {
    match fs::remove_dir_all(folder) {
        Ok(()) => return,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        // One that is not writable, perhaps: it, or one in it.
        Err(_) => {}
    }
    // A link, whatever it points to, is no folder.
    if !fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_dir()) {
        return note(folder, fs::remove_file(folder), left);
    }
    let before = left.as_ref().map(|left| left.others);
    remove_entries(folder, left, |_| false);
    // What is left in it says why it stays.
    if before == left.as_ref().map(|left| left.others) {
        note(folder, fs::remove_dir(folder), left);
    }
}

fn remove_entries(
    folder: &Path,
    left: &mut Option<Left>,
    stays: impl Fn(&std::ffi::OsStr) -> bool,
) {
    // If it fails, reading the folder does, too, or removing what is in it.
    let _ = platform::set_mode(folder, 0o700);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return note(folder, Err(error), left),
    };
    for entry in entries.flatten().filter(|entry| !stays(&entry.file_name())) {
        let path = entry.path();
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => remove(&path, left),
            false => note(&path, fs::remove_file(&path), left),
        }
    }
}

fn note(path: &Path, removed: io::Result<()>, left: &mut Option<Left>) {
    match (removed, left) {
        (Ok(()), _) => {}
        // Somebody else was faster.
        (Err(error), _) if error.kind() == io::ErrorKind::NotFound => {}
        (Err(_), Some(left)) => left.others += 1,
        (Err(error), left) => {
            *left = Some(Left {
                path: path.to_owned(),
                error,
                others: 0,
            });
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn folders_that_their_owner_may_not_write_are_removed_and_links_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let beside = root.path().join("beside");
        fs::create_dir(&beside).unwrap();
        fs::write(beside.join("kept"), "").unwrap();
        let folder = root.path().join("pod");
        for (name, mode) in [("a", 0o555), ("b", 0), ("c", 0o755)] {
            let inner = folder.join("volumes").join(name);
            fs::create_dir_all(inner.join("below")).unwrap();
            fs::write(inner.join("file"), "").unwrap();
            symlink(&beside, inner.join("link")).unwrap();
            set_mode(&inner.join("below"), mode);
            set_mode(&inner, mode);
        }
        set_mode(&folder, 0o500);
        remove_folder(&folder).unwrap();
        assert!(!folder.exists());
        assert!(beside.join("kept").exists());
        // It is gone already.
        remove_folder(&folder).unwrap();
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_not_followed_either() {
        let root = tempfile::tempdir().unwrap();
        let (target, pod) = (root.path().join("target"), root.path().join("pod"));
        fs::create_dir(&target).unwrap();
        fs::write(target.join("kept"), "").unwrap();
        fs::create_dir(&pod).unwrap();
        symlink(&target, pod.join("secrets")).unwrap();
        // Where the user is not root, the link can't be removed at first.
        set_mode(&pod, 0o555);
        let _ = remove_folder(&pod.join("secrets"));
        assert!(target.join("kept").exists());
        remove_folder(&pod).unwrap();
        assert!(target.join("kept").exists());
    }

    #[test]
    fn all_but_one_is_removed() {
        let root = tempfile::tempdir().unwrap();
        for name in ["lock", "b", "a"] {
            fs::write(root.path().join(name), "").unwrap();
        }
        remove_all_but(root.path(), "lock").unwrap();
        let left = fs::read_dir(root.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    }

    #[test]
    fn what_is_left_is_named_and_counted() {
        let mut left = None;
        let denied = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        for path in ["a", "b", "c"] {
            note(Path::new(path), denied(), &mut left);
        }
        note(
            Path::new("d"),
            Err(io::ErrorKind::NotFound.into()),
            &mut left,
        );
        let left = left.unwrap().to_string();
        assert_eq!(
            left,
            "a can't be removed: permission denied, nor can 2 others"
        );
    }
}
