//! The folder of a local cluster: nobody else's to look into, and gone when its cluster is.
//!
//! A lock in it says that its cluster is alive. If koncli is killed, the next one finds the lock
//! free and removes the folder.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use konductor_local::{Left, SECRETS_FOLDER, remove_all_but, remove_folder};

use crate::{output, platform};

const PREFIX: &str = "konductor-";
const LOCK: &str = "lock";
/// Threads that remove a folder: they wait for the disk.
const REMOVERS: usize = 8;
/// How many levels below it the folder of each pod is: the runner's folder, the kubelet's, and that of its pods.
const PODS_DEPTH: usize = 3;
/// How the kubeconfig in it is called.
pub(crate) const KUBECONFIG: &str = "kubeconfig";

/// A folder of this process. It is removed when it is dropped.
pub(crate) struct Folder {
    path: PathBuf,
    /// Whether it stays.
    is_kept: bool,
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
            path: folder.keep(),
            is_kept: false,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the kubeconfig goes that has no other place.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.path().join(KUBECONFIG)
    }

    /// Leaves it there, without what leads nowhere any more.
    pub(crate) fn keep(mut self) -> PathBuf {
        for name in [KUBECONFIG, LOCK] {
            // What is not there need not be removed.
            let _ = std::fs::remove_file(self.path.join(name));
        }
        self.is_kept = true;
        self.path.clone()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_kept {
            report(&self.path, remove(&self.path));
        }
    }
}

/// Removes a folder, its lock last: so if something is left, the next koncli tries again. What pods have of Secrets goes
/// first. Of many pods there are thousands of files, and a slow disk takes a millisecond for each: so several threads
/// remove the pods, and this one what is left.
fn remove(folder: &Path) -> Result<(), Left> {
    let pods = below(folder, PODS_DEPTH);
    for pod in &pods {
        // It is tried again with all the rest, and so are the pods.
        let _ = remove_folder(&pod.join(SECRETS_FOLDER));
    }
    let each = pods.len().div_ceil(REMOVERS).max(1);
    std::thread::scope(|threads| {
        for some in pods.chunks(each) {
            // A system that has no thread to give leaves them to this one.
            let _ = std::thread::Builder::new().spawn_scoped(threads, move || {
                for folder in some {
                    let _ = remove_folder(folder);
                }
            });
        }
    });
    remove_all_but(folder, LOCK)?;
    remove_folder(folder)
}

fn report(folder: &Path, removed: Result<(), Left>) {
    if let Err(left) = removed {
        output::stderr(&format!("warning: {left}"));
        output::stderr(&format!(
            "  help: a run has left it, perhaps with Secrets: remove {} yourself",
            folder.display()
        ));
    }
}

/// The folders that are so many levels below another one. Links are not followed.
fn below(folder: &Path, levels: usize) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    for _ in 0..levels {
        let entries = folders
            .iter()
            .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
        let inner = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders = inner.map(|entry| entry.path()).collect();
    }
    folders
}

/// Removes the folders of this user whose process is gone.
fn remove_abandoned(parent: &Path) {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry
                .metadata()
                .is_ok_and(|metadata| metadata.is_dir() && platform::is_own(&metadata));
        if is_ours
            && let Ok(lock) = File::open(entry.path().join(LOCK))
            && lock.try_lock().is_ok()
        {
            report(&entry.path(), remove(&entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_folders_whose_process_is_gone_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Folder::create_in(parent.path()).unwrap();
        let mut killed = Folder::create_in(parent.path()).unwrap();
        let kept = Folder::create_in(parent.path()).unwrap();
        std::fs::write(kept.kubeconfig(), "").unwrap();
        let kept = kept.keep();
        std::fs::write(killed.path().join("data"), "").unwrap();
        // What the operating system does with a lock when its process is killed.
        let abandoned = killed.path().to_owned();
        killed.is_kept = true;
        drop(killed);
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

    #[test]
    fn a_folder_with_many_pods_is_removed_and_nothing_that_it_links_to() {
        let parent = tempfile::tempdir().unwrap();
        let beside = parent.path().join("beside");
        std::fs::create_dir(&beside).unwrap();
        std::fs::write(beside.join("kept"), "").unwrap();
        let folder = Folder::create_in(parent.path()).unwrap();
        let pods = folder.path().join("pods/pods");
        for pod in 0..20 {
            let volumes = pods.join(format!("pod-{pod}/volumes/files"));
            std::fs::create_dir_all(&volumes).unwrap();
            std::fs::write(volumes.join("file"), "").unwrap();
            // As Go does it in its cache.
            std::fs::set_permissions(&volumes, Permissions::from_mode(0o555)).unwrap();
            let secret = pods.join(format!("pod-{pod}/{SECRETS_FOLDER}/sec"));
            std::fs::create_dir_all(&secret).unwrap();
            std::os::unix::fs::symlink(&beside, pods.join(format!("link-{pod}"))).unwrap();
        }
        let path = folder.path().to_owned();
        assert_eq!(below(&path, PODS_DEPTH).len(), 20);
        drop(folder);
        assert!(!path.exists());
        assert!(beside.join("kept").exists());
    }
}
