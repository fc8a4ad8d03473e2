//! A file or folder on its way into the store or out of it, in bounded memory.
//!
//! Files are read and written by a thread of their own, which is connected by a short queue of blocks with what
//! sends and receives.

mod queue;
mod upload;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use konductor_api::{FileKind, FileValue};
use object_store::ObjectStoreExt as _;
use object_store::path::Path as Key;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use crate::archive::{self, ArchiveError};
use crate::digest::Digest;
use crate::file;
use crate::limits::{
    BLOCKS_MAX, BUFFER_BYTES, FETCHES_MAX, FILE_BYTES_MAX, PROGRESS_BYTES_MIN, PROGRESS_STEPS,
    RETRY_TIME,
};
use crate::store::{Store, is_transient};
use queue::{Receiving, Sending};
use upload::Upload;

/// The wait before a file is fetched again; it doubles.
const FETCH_WAIT: Duration = Duration::from_secs(1);

/// Why a file did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The command did not write it.
    #[error("{} does not exist: the command must write it", .0.display())]
    Missing(PathBuf),
    /// A link, which may lead anywhere.
    #[error(
        "{} is a symbolic link: the command must write the {kind} itself there, for example by `cp` or `mv`",
        .path.display()
    )]
    Linked {
        /// Where it is.
        path: PathBuf,
        /// What it should be.
        kind: FileKind,
    },
    /// More than passes through the memory that there is.
    #[error(
        "{} has {bytes} bytes: a file or folder may have {FILE_BYTES_MAX}; write it as several ones",
        .path.display()
    )]
    Large {
        /// Where it is.
        path: PathBuf,
        /// What it has.
        bytes: u64,
    },
    /// A folder for a file, or the other way round.
    #[error("{} is no {kind}: it is declared as one", .path.display())]
    WrongKind {
        /// Where it is.
        path: PathBuf,
        /// What it should be.
        kind: FileKind,
    },
    /// A file can't be read or written.
    #[error("{}: {reason}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A folder can't be packed or unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The store did not do what it was asked for.
    #[error("{reason}")]
    Store {
        /// In words.
        reason: String,
        /// Whether it may do it later.
        is_transient: bool,
    },
    /// The store has something else than what was stored.
    #[error("{key} is not what was stored: {found}, not {expected}")]
    Mismatch {
        /// Its key.
        key: String,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
}

impl TransferError {
    pub(crate) fn of_file(path: &Path, error: &io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: file::reason(error),
        }
    }

    fn of_store(store: &Store, error: &object_store::Error) -> Self {
        Self::Store {
            reason: store.words(error),
            is_transient: is_transient(error),
        }
    }

    fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Store {
                is_transient: true,
                ..
            }
        )
    }
}

/// A part of a file, or why it did not come.
type Block = object_store::Result<Vec<u8>>;

/// What is known of a file or folder before it is read.
struct Look {
    /// How many bytes there will be, about.
    bytes: u64,
    /// Whether it is a file that may be executed.
    executable: bool,
}

/// A file or folder, and the store that it comes from or goes to.
pub struct Transfer<'a> {
    /// The store.
    pub store: &'a Store,
    /// What it is called in the log.
    pub name: &'a str,
    /// What it is.
    pub kind: FileKind,
    /// Where it is on this machine.
    pub path: &'a Path,
    /// Gets lines for the log.
    pub say: &'a (dyn Fn(&str) + Sync),
}

impl Transfer<'_> {
    /// Stores it under a key, before which the store's prefix is put, and returns its value.
    ///
    /// # Errors
    /// If it does not exist or is of another kind; if the store does not take it within its retries.
    pub async fn store(&self, name: &str) -> Result<FileValue, TransferError> {
        let Look { bytes, executable } = self.look()?;
        let key = self.store.key(name);
        let (sender, blocks) = mpsc::channel(BLOCKS_MAX);
        let path = self.path.to_owned();
        let kind = self.kind;
        let reading = tokio::task::spawn_blocking(move || {
            let mut writer = io::BufWriter::with_capacity(BUFFER_BYTES, Sending::new(sender));
            match kind {
                FileKind::File => copy(&path, bytes, &mut writer)?,
                FileKind::Dir => archive::pack(&path, &mut writer)?,
            }
            writer
                .flush()
                .map_err(|error| TransferError::of_file(&path, &error))
        });
        let sent = self.send(&key, bytes, blocks).await;
        // What is no longer asked for ends by itself, and then the sender's reason counts.
        let read = reading.await.map_err(|error| TransferError::File {
            path: self.path.to_owned(),
            reason: error.to_string(),
        })?;
        let (upload, digest) = sent?;
        if let Err(error) = read {
            upload.abort().await;
            return Err(error);
        }
        upload.finish().await?;
        let size = digest.bytes();
        Ok(FileValue {
            key,
            size,
            sha256: digest.hex(),
            executable,
        })
    }

    /// What is to be stored.
    fn look(&self) -> Result<Look, TransferError> {
        let (path, kind) = (self.path.to_owned(), self.kind);
        let metadata = match fs::symlink_metadata(self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(TransferError::Missing(path));
            }
            metadata => metadata.map_err(|error| TransferError::of_file(self.path, &error))?,
        };
        if metadata.is_symlink() {
            return Err(TransferError::Linked { path, kind });
        }
        let bytes = match kind {
            FileKind::File if metadata.is_file() => metadata.len(),
            FileKind::Dir if metadata.is_dir() => archive::size(self.path)?,
            _ => return Err(TransferError::WrongKind { path, kind }),
        };
        match bytes > FILE_BYTES_MAX {
            true => Err(TransferError::Large { path, bytes }),
            false => Ok(Look {
                bytes,
                executable: metadata.is_file() && file::is_executable(&metadata),
            }),
        }
    }

    /// Sends all blocks but the last part.
    async fn send<'s>(
        &'s self,
        key: &str,
        bytes: u64,
        mut blocks: mpsc::Receiver<Vec<u8>>,
    ) -> Result<(Upload<'s>, Digest), TransferError> {
        let mut upload = Upload::new(self.store, key, bytes);
        let mut digest = Digest::default();
        let mut progress = Progress::of(self, "stored", bytes);
        while let Some(block) = blocks.recv().await {
            digest.update(&block);
            upload.put(block).await?;
            progress.at(digest.bytes());
        }
        Ok((upload, digest))
    }

    /// Fetches it to its path.
    ///
    /// # Errors
    /// If the store does not have it, or something else; if it can't be written.
    pub async fn fetch(&self, value: &FileValue) -> Result<(), TransferError> {
        self.fetch_within(value, RETRY_TIME).await
    }

    /// Fetches it, and again if it breaks off, unless nothing has arrived for `retry_time`: then the store has been retried
    /// for long enough. Only the time since the last byte matters.
    async fn fetch_within(
        &self,
        value: &FileValue,
        retry_time: Duration,
    ) -> Result<(), TransferError> {
        let mut wait = FETCH_WAIT;
        let mut arrived = Instant::now();
        for remaining in (0..FETCHES_MAX).rev() {
            match self.fetch_once(value, &mut arrived).await {
                Err(error)
                    if error.is_transient() && remaining > 0 && arrived.elapsed() < retry_time =>
                {
                    (self.say)(&format!("konductor: {}: {error}; trying again", self.name));
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                done => return done,
            }
        }
        Ok(())
    }

    /// `arrived` becomes the time of the last bytes.
    async fn fetch_once(
        &self,
        value: &FileValue,
        arrived: &mut Instant,
    ) -> Result<(), TransferError> {
        let fetched = self.receive(value, arrived).await;
        if fetched.is_err() {
            remove(self.path);
        }
        fetched
    }

    /// The blocks of a file of a store that is a folder. Another stage may have put something else there: a pipe would be
    /// waited for, and a link may lead anywhere.
    async fn blocks(&self, path: PathBuf) -> Result<BoxStream<'static, Block>, TransferError> {
        let opening = tokio::task::spawn_blocking({
            let path = path.clone();
            move || file::open(&path)
        });
        let opened = opening.await.map_err(io::Error::other).flatten();
        let file = opened.map_err(|error| match error.kind() {
            // It is no regular file, and stays none.
            io::ErrorKind::Other => TransferError::of_file(&path, &error),
            _ => TransferError::of_store(self.store, &of_folder(&path, error)),
        })?;
        let file = tokio::fs::File::from_std(file);
        let blocks = stream::try_unfold(file, move |mut file| {
            let path = path.clone();
            async move {
                let mut block = vec![0; BUFFER_BYTES];
                let read = file.read(&mut block).await;
                let read = read.map_err(|error| of_folder(&path, error))?;
                block.truncate(read);
                Ok((read > 0).then_some((block, file)))
            }
        });
        Ok(blocks.boxed())
    }

    async fn receive(&self, value: &FileValue, arrived: &mut Instant) -> Result<(), TransferError> {
        let failed = |error: object_store::Error| TransferError::of_store(self.store, &error);
        let key = Key::from(value.key.as_str());
        let mut arriving = match self.store.folder() {
            Some(folder) => self.blocks(folder.join(key.as_ref())).await?,
            None => {
                let object = self.store.objects.get(&key).await.map_err(failed)?;
                let blocks = object.into_stream();
                blocks.map_ok(|block| block.to_vec()).boxed()
            }
        };
        let (sender, blocks) = mpsc::channel(BLOCKS_MAX);
        let path = self.path.to_owned();
        let kind = self.kind;
        let executable = value.executable;
        let writing = tokio::task::spawn_blocking(move || {
            let mut reader = Receiving::new(blocks);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)
                    .map_err(|error| TransferError::of_file(folder, &error))?;
            }
            match kind {
                FileKind::File => write_file(&path, &mut reader, executable),
                FileKind::Dir => archive::unpack(&mut reader, &path).map_err(TransferError::from),
            }?;
            // An archive ends before its last block does.
            let rest = io::copy(&mut reader, &mut io::sink());
            rest.map(drop)
                .map_err(|error| TransferError::of_file(&path, &error))
        });
        let mut digest = Digest::default();
        let mut progress = Progress::of(self, "fetched", value.size);
        let mut broken = None;
        while let Some(block) = arriving.next().await {
            match block {
                Err(error) => {
                    broken = Some(failed(error));
                    break;
                }
                Ok(block) => {
                    *arrived = Instant::now();
                    digest.update(&block);
                    progress.at(digest.bytes());
                    // The writer says why it has ended.
                    if digest.bytes() > value.size || sender.send(block).await.is_err() {
                        break;
                    }
                }
            }
        }
        drop(sender);
        let written = writing.await.map_err(|error| TransferError::File {
            path: self.path.to_owned(),
            reason: error.to_string(),
        })?;
        if let Some(error) = broken {
            return Err(error);
        }
        // Bytes that were not stored may be the reason why they can't be unpacked.
        let is_short = digest.bytes() < value.size && written.is_err();
        if !is_short {
            check(value, digest)?;
        }
        written
    }
}

/// The error of a file in a folder that is a store, as that of another store.
fn of_folder(path: &Path, error: io::Error) -> object_store::Error {
    match error.kind() {
        io::ErrorKind::NotFound => object_store::Error::NotFound {
            path: path.display().to_string(),
            source: error.into(),
        },
        _ => object_store::Error::Generic {
            store: "folder",
            source: format!("{}: {}", path.display(), file::reason(&error)).into(),
        },
    }
}

/// Compares what came with what was stored.
fn check(value: &FileValue, digest: Digest) -> Result<(), TransferError> {
    let mismatch = |actual: String, expected: String| TransferError::Mismatch {
        key: value.key.clone(),
        found: actual,
        expected,
    };
    if digest.bytes() > value.size {
        return Err(mismatch("more bytes".to_owned(), value.size.to_string()));
    }
    if digest.bytes() != value.size {
        let bytes = format!("{} bytes", digest.bytes());
        return Err(mismatch(bytes, value.size.to_string()));
    }
    let sha256 = digest.hex();
    match sha256 == value.sha256 {
        true => Ok(()),
        false => Err(mismatch(
            format!("its SHA-256 is {sha256}"),
            value.sha256.clone(),
        )),
    }
}

/// Copies a file as it was when the command ended: with so many bytes, even if something still writes to it.
fn copy(path: &Path, bytes: u64, to: &mut impl Write) -> Result<(), TransferError> {
    let failed = |error: io::Error| TransferError::of_file(path, &error);
    let mut file = file::open(path).map_err(failed)?.take(bytes);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read]).map_err(failed)?;
    }
    match file.limit() {
        0 => Ok(()),
        _ => Err(failed(io::Error::other(
            "it became shorter while it was read",
        ))),
    }
}

fn write_file(path: &Path, from: &mut impl Read, executable: bool) -> Result<(), TransferError> {
    let failed = |error: io::Error| TransferError::of_file(path, &error);
    let mut file = File::create(path).map_err(failed)?;
    io::copy(from, &mut file).map_err(failed)?;
    if executable {
        file::make_executable(&file).map_err(failed)?;
    }
    file.flush().map_err(failed)
}

/// Removes what was fetched in part.
fn remove(path: &Path) {
    let _ = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
}

/// Lines for the log about a large file.
struct Progress<'a> {
    transfer: &'a Transfer<'a>,
    done: &'static str,
    bytes: u64,
    step: u64,
}

impl<'a> Progress<'a> {
    fn of(transfer: &'a Transfer<'a>, done: &'static str, bytes: u64) -> Self {
        Self {
            transfer,
            done,
            bytes,
            step: 0,
        }
    }

    fn at(&mut self, passed: u64) {
        if self.bytes < PROGRESS_BYTES_MIN {
            return;
        }
        let step = passed.min(self.bytes).saturating_mul(PROGRESS_STEPS) / self.bytes;
        if step > self.step {
            self.step = step;
            let percent = step * 100 / PROGRESS_STEPS;
            let megabytes = self.bytes / 1_000_000;
            (self.transfer.say)(&format!(
                "konductor: {}: {percent}% of {megabytes} MB {}",
                self.transfer.name, self.done
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::upload::part_bytes;
    use super::*;
    use crate::limits::UPLOAD_BYTES_MAX;
    use crate::store::testing::{bucket, read_request};

    const CONTENT: &str = "123456";

    fn of_file<'a>(store: &'a Store, path: &'a Path) -> Transfer<'a> {
        Transfer {
            store,
            name: "x",
            kind: FileKind::File,
            path,
            say: &|_| {},
        }
    }

    /// A bucket with one file. Its first answer breaks off in the middle, after it has said nothing for `silence`; the
    /// second one is whole.
    fn breaking(silence: Duration, answers: usize) -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            for answer in 0..answers {
                let (mut connection, _) = listener.accept().unwrap();
                read_request(&connection);
                let bytes = CONTENT.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nETag: \"1\"\r\n\
                     Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nConnection: close\r\n\r\n"
                );
                connection.write_all(head.as_bytes()).unwrap();
                let mut body = CONTENT;
                if answer == 0 {
                    body = &CONTENT[..bytes / 2];
                    // The client has nothing more to say.
                    connection.set_read_timeout(Some(silence)).unwrap();
                    connection.read_exact(&mut [0]).unwrap_err();
                }
                connection.write_all(body.as_bytes()).unwrap();
            }
        });
        (url, serving)
    }

    #[tokio::test]
    async fn a_download_that_breaks_is_repeated_however_long_it_has_taken() {
        let time = Duration::from_secs(2);
        // Without any time nothing is repeated.
        for (retry_time, silence, is_fetched) in
            [(time, time, true), (Duration::ZERO, FETCH_WAIT / 10, false)]
        {
            let (url, serving) = breaking(silence, if is_fetched { 2 } else { 1 });
            let store = bucket(url, retry_time);
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join("x");
            let transfer = of_file(&store, &path);
            let mut digest = Digest::default();
            digest.update(CONTENT.as_bytes());
            let value = FileValue {
                key: "runs/ns/r/s/-/u/x".to_owned(),
                size: digest.bytes(),
                sha256: digest.hex(),
                executable: false,
            };
            let fetched = transfer.fetch_within(&value, retry_time).await;
            assert_eq!(fetched.is_ok(), is_fetched, "{fetched:?}");
            let written = fs::read_to_string(&path).ok();
            assert_eq!(written.as_deref(), is_fetched.then_some(CONTENT));
            serving.join().unwrap();
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_a_regular_file_of_a_folder_is_fetched() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let key = "ns/r/s/-/u/x";
        let stored = root.path().join("store").join(key);
        fs::create_dir_all(stored.parent().unwrap()).unwrap();
        let url = format!("file://{}/store", root.path().display());
        let spec = konductor_api::StoreSpec::of(&url);
        let store = Store::open(&spec, &Default::default(), RETRY_TIME).unwrap();
        let path = root.path().join("x");
        let transfer = of_file(&store, &path);
        let mut digest = Digest::default();
        digest.update(CONTENT.as_bytes());
        let value = FileValue {
            key: key.to_owned(),
            size: digest.bytes(),
            sha256: digest.hex(),
            executable: false,
        };
        let error = async || transfer.fetch(&value).await.unwrap_err().to_string();
        let missing = error().await;
        assert!(missing.contains("does not exist"), "{missing}");
        let beside = root.path().join("beside");
        fs::write(&beside, CONTENT).unwrap();
        symlink(&beside, &stored).unwrap();
        let linked = error().await;
        assert!(linked.ends_with("it is a symbolic link"), "{linked}");
        fs::remove_file(&stored).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&stored).status();
        assert!(made.unwrap().success());
        let pipe = error().await;
        assert!(pipe.ends_with("it is no regular file"), "{pipe}");
        fs::remove_file(&stored).unwrap();
        fs::write(&stored, CONTENT).unwrap();
        transfer.fetch(&value).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), CONTENT);
    }

    #[test]
    fn a_file_that_grows_is_read_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x");
        fs::write(&path, "12345").unwrap();
        let copied = |bytes| {
            let mut to = Vec::new();
            let done = copy(&path, bytes, &mut to);
            done.map(|()| to).map_err(|error| error.to_string())
        };
        assert_eq!(copied(3).unwrap(), b"123");
        assert!(
            copied(6)
                .unwrap_err()
                .ends_with("it became shorter while it was read")
        );
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x");
        let store = konductor_api::StoreSpec::of(&format!("file://{}", root.path().display()));
        let store = Store::open(&store, &Default::default(), RETRY_TIME).unwrap();
        let transfer = of_file(&store, &path);
        for (bytes, expected) in [(FILE_BYTES_MAX, true), (FILE_BYTES_MAX + 1, false)] {
            File::create(&path).unwrap().set_len(bytes).unwrap();
            assert_eq!(transfer.look().is_ok(), expected, "{bytes}");
        }
        // What is on its way of the largest file, with the part that is being filled.
        let part = part_bytes(FILE_BYTES_MAX);
        assert!(part <= UPLOAD_BYTES_MAX && 2 * part < 48_000_000, "{part}");
    }
}
