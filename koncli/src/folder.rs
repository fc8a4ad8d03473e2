//! The folder of a local cluster: nobody else's to look into, and gone when its cluster is.
//!
//! A lock in it says that its cluster is alive. If koncli is killed, the next one finds the lock
//! free and removes the folder.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::platform;

const PREFIX: &str = "konductor-";
const LOCK: &str = "lock";
/// How the kubeconfig in it is called.
pub(crate) const KUBECONFIG: &str = "kubeconfig";

/// A folder of this process.
pub(crate) struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// Makes one, and removes those of processes that were killed.
    pub(crate) fn create() -> io::Result<Self> {
        Self::create_in(&std::env::temp_dir())
    }

    fn create_in(parent: &Path) -> io::Result<Self> {
        remove_abandoned(parent);
        let mut folders = tempfile::Builder::new();
        let folder = platform::private(folders.prefix(PREFIX)).tempdir_in(parent)?;
        // Nobody finds a lock that nobody holds yet: it gets its name when it is held.
        let unnamed = folder.path().join("lock.new");
        let lock = File::create_new(&unnamed)?;
        lock.try_lock()?;
        std::fs::rename(unnamed, folder.path().join(LOCK))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the kubeconfig goes that has no other place.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.path().join(KUBECONFIG)
    }

    /// Leaves it there, without what leads nowhere any more.
    pub(crate) fn keep(self) -> PathBuf {
        for name in [KUBECONFIG, LOCK] {
            // What is not there need not be removed.
            let _ = std::fs::remove_file(self.path().join(name));
        }
        self.folder.keep()
    }
}

/// Removes the folders of this user whose process is gone. What can't be removed is left alone.
fn remove_abandoned(parent: &Path) {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry
                .metadata()
                .is_ok_and(|found| found.is_dir() && platform::is_own(&found));
        if is_ours
            && let Ok(lock) = File::open(entry.path().join(LOCK))
            && lock.try_lock().is_ok()
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_folders_whose_process_is_gone_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Folder::create_in(parent.path()).unwrap();
        let killed = Folder::create_in(parent.path()).unwrap();
        let kept = Folder::create_in(parent.path()).unwrap();
        std::fs::write(kept.kubeconfig(), "").unwrap();
        let kept = kept.keep();
        std::fs::write(killed.path().join("data"), "").unwrap();
        // What the operating system does with a lock when its process is killed.
        let abandoned = killed.folder.keep();
        drop(killed._lock);
        let foreign = parent.path().join("konductor-unlike");
        std::fs::create_dir(&foreign).unwrap();
        let next = Folder::create_in(parent.path()).unwrap();
        assert!(!abandoned.exists());
        for left in [alive.path(), next.path(), &kept, &foreign] {
            assert!(left.exists(), "{}", left.display());
        }
        assert!(!kept.join(KUBECONFIG).exists());
        let mode = std::fs::metadata(alive.path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        let path = alive.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }
}
