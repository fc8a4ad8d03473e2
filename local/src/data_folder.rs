//! The folder of a cluster that outlives its process, for one process at a time.
//!
//! A path enters; a folder that nobody else uses leaves. What must never happen here: that a cluster starts while
//! processes of the one before still run in the same folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::platform;

/// Held by the process that has the folder, and by what runs in it: what that process has started outlives it for a moment.
const LOCK: &str = "lock";
/// Held by the process that has the folder alone, so that it is free as soon as that process has ended.
const OWNER: &str = "owner";
const JOURNAL: &str = "journal";
/// How long the processes of a server that was killed may take to end.
const END_MAX: Duration = Duration::from_secs(10);
/// How often the lock is tried until then.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// Another process uses it.
    #[error("{} is in use by {user}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who uses it.
        user: String,
    },
    /// It has files and no journal.
    #[error("{} has files, and no cluster is kept in it", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// It can't be made or opened.
    #[error("can't use {}: {error}", path.display())]
    Io {
        /// The folder, or the file in it.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// A folder that this process has for itself, until this and what runs in it is gone.
#[derive(Clone, Debug)]
pub struct DataFolder {
    path: PathBuf,
    lock: Arc<File>,
    _owner: Arc<File>,
}

impl DataFolder {
    /// Takes a folder, which is created if it does not exist. If the process that had it was killed, this waits until
    /// what that process started has ended, too.
    ///
    /// # Errors
    /// If another process uses it, if it has files of somebody else, or if it can't be created.
    pub async fn open(path: &Path) -> Result<Self, DataFolderError> {
        let failed = |path: &Path, error| DataFolderError::Io {
            path: path.to_owned(),
            error,
        };
        // Secrets are files in there.
        platform::create_private_folder(path).map_err(|error| failed(path, error))?;
        let path = platform::canonicalize(path).map_err(|error| failed(path, error))?;
        if is_foreign(&path).map_err(|error| failed(&path, error))? {
            return Err(DataFolderError::Foreign { path });
        }
        let (lock, owner) = (path.join(LOCK), path.join(OWNER));
        let mut file = open(&lock).map_err(|error| failed(&lock, error))?;
        let owned = open(&owner).map_err(|error| failed(&owner, error))?;
        let until = Instant::now() + END_MAX;
        while !try_lock(&file).map_err(|error| failed(&lock, error))? {
            let is_alive = is_locked(&owned).map_err(|error| failed(&owner, error))?;
            if let Some(user) = user(is_alive, Instant::now() >= until, &lock) {
                return Err(DataFolderError::InUse { path, user });
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        // Nobody has it for longer than a look at it takes.
        owned.lock().map_err(|error| failed(&owner, error))?;
        let noted = file
            .set_len(0)
            .and_then(|()| write!(file, "{}", std::process::id()));
        noted.map_err(|error| failed(&lock, error))?;
        Ok(Self {
            path,
            lock: Arc::new(file),
            _owner: Arc::new(owned),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is locked as long as it is open anywhere.
    pub(crate) fn lock(&self) -> &File {
        &self.lock
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }
}

/// Opens a file of the folder for a lock.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    platform::private(&mut options).open(path)
}

fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether somebody else has locked a file for itself. Others that look at the same time are not in each other's way.
fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Who uses a folder that is locked; `None` if that is expected to end by itself: the process that had the folder has ended,
/// and what it started is about to. A number is no proof of a process: it may be that of a zombie, or of another one.
fn user(is_alive: bool, is_late: bool, lock: &Path) -> Option<String> {
    match (is_alive, is_late) {
        (true, _) => {
            // Where a lock keeps others from reading, its owner has no number.
            let noted = std::fs::read_to_string(lock).ok();
            let number: Option<u32> = noted.and_then(|noted| noted.trim().parse().ok());
            Some(number.map_or_else(
                || "another process".to_owned(),
                |number| format!("process {number}"),
            ))
        }
        // Or a process of a version of konductor that did not lock `owner`.
        (false, true) => {
            Some("another process, perhaps one that a killed cluster has left".to_owned())
        }
        (false, false) => None,
    }
}

/// Whether a folder has files of somebody else, which a cluster could replace. The journal is created before everything
/// else but the locks.
fn is_foreign(path: &Path) -> io::Result<bool> {
    let mut has_files = false;
    for entry in path.read_dir()? {
        let name = entry?.file_name();
        has_files |= name != LOCK && name != OWNER;
    }
    Ok(has_files && !path.join(JOURNAL).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number that is noted is always that of a process that lives: this one.
    #[tokio::test(start_paused = true)]
    async fn a_locked_folder_is_in_use_by_the_process_that_holds_the_owners_lock() {
        let own = format!("process {}", std::process::id());
        let left = "another process, perhaps one that a killed cluster has left".to_owned();
        for (is_locked, is_alive, expected) in [
            (false, false, None),
            (true, true, Some(own)),
            (true, false, Some(left)),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join(LOCK), std::process::id().to_string())
                .expect("it is new");
            let locks = [(LOCK, is_locked), (OWNER, is_alive)].map(|(name, is_held)| {
                let file = open(&folder.path().join(name)).expect("it opens");
                if is_held {
                    file.lock().expect("it is free");
                }
                file
            });
            let user = match DataFolder::open(folder.path()).await {
                Ok(_) => None,
                Err(DataFolderError::InUse { user, .. }) => Some(user),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(user, expected, "{is_locked}, {is_alive}");
            drop(locks);
        }
    }

    #[test]
    fn looks_at_a_lock_do_not_see_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(OWNER);
        let [holder, other] = [(); 2].map(|()| open(&path).expect("it opens"));
        holder.lock_shared().expect("it is free");
        assert!(!is_locked(&other).expect("a look"));
        holder.unlock().expect("it was held");
        holder.lock().expect("it is free");
        assert!(is_locked(&other).expect("a look"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_is_free_when_what_a_killed_process_started_has_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let started = open(&folder.path().join(LOCK)).expect("it opens");
        started.lock().expect("it is free");
        let ends = async {
            tokio::time::sleep(END_MAX / 2).await;
            drop(started);
        };
        let (opened, ()) = tokio::join!(DataFolder::open(folder.path()), ends);
        assert!(opened.is_ok(), "{opened:?}");
    }
}
