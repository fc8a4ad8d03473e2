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

const LOCK: &str = "lock";
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
        let lock = path.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = platform::private(&mut options).open(&lock);
        let mut file = file.map_err(|error| failed(&lock, error))?;
        let until = Instant::now() + END_MAX;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(&lock, error)),
                Err(TryLockError::WouldBlock) => {
                    let owner = platform::living_owner(&lock);
                    if owner.is_some() || Instant::now() >= until {
                        let left = || "processes that a killed cluster has left".to_owned();
                        let user = owner.unwrap_or_else(left);
                        return Err(DataFolderError::InUse { path, user });
                    }
                    tokio::time::sleep(TRY_EVERY).await;
                }
            }
        }
        let noted = file
            .set_len(0)
            .and_then(|()| write!(file, "{}", std::process::id()));
        noted.map_err(|error| failed(&lock, error))?;
        Ok(Self {
            path,
            lock: Arc::new(file),
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

/// Whether a folder has files of somebody else, which a cluster could replace. The journal is created before everything
/// else but the lock.
fn is_foreign(path: &Path) -> io::Result<bool> {
    let mut has_files = false;
    for entry in path.read_dir()? {
        has_files |= entry?.file_name() != LOCK;
    }
    Ok(has_files && !path.join(JOURNAL).exists())
}
