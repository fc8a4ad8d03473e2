//! What containers print, kept in files and readable while it is written.
//!
//! The bytes of a container's stdout and stderr enter in the order of their writing. Each line is
//! stored with the time of its arrival and a mark: `F` for a full line, `P` for a part that no
//! newline ended. Reading returns exactly the bytes that were printed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::Stream;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

/// A line longer than this is stored in parts.
const PART_BYTES_MAX: usize = 16 * 1024;
/// About how many bytes one item of a stream has.
const CHUNK_BYTES: usize = 64 * 1024;
/// How much of a log becomes a termination message: see `terminationMessagePolicy`.
const MESSAGE_LINES_MAX: usize = 80;
const MESSAGE_BYTES_MAX: usize = 2048;

/// The logs of all containers of a kubelet.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    containers: Arc<Mutex<ByContainer>>,
}

/// By uid of the pod and name of the container: a log for each start, oldest first.
type ByContainer = HashMap<(String, String), Vec<Log>>;

/// Which part of a log to read.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// Follow the log as long as the container runs.
    pub follow: bool,
    /// Read the log of the start before the last one.
    pub previous: bool,
    /// Begin each line with its time.
    pub timestamps: bool,
    /// Only the last lines of what is there.
    pub tail_lines: Option<usize>,
    /// Only lines that arrived at this time or later.
    pub since: Option<Timestamp>,
    /// No more bytes than this.
    pub limit_bytes: Option<usize>,
}

/// One log: a file and how much of it is written.
#[derive(Clone, Debug)]
struct Log {
    path: PathBuf,
    progress: watch::Receiver<Progress>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Length of the file in whole records.
    bytes: u64,
    finished: bool,
}

impl Logs {
    /// Reads a log of a container, or nothing if it has not been started that often.
    ///
    /// Each item is a piece of the log; pieces end anywhere.
    pub fn read(
        &self,
        pod_uid: &str,
        container: &str,
        options: LogOptions,
    ) -> Option<impl Stream<Item = io::Result<Vec<u8>>> + Send + use<>> {
        let log = self.find(pod_uid, container, options.previous)?;
        let reader = LogReader {
            log,
            options,
            file: None,
            position: 0,
            bytes_sent: 0,
        };
        Some(futures::stream::unfold(Some(reader), |reader| async {
            let mut reader = reader?;
            match reader.next_chunk().await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    /// The file of a container's last start. It has a time and a mark before each line.
    pub fn path(&self, pod_uid: &str, container: &str) -> Option<PathBuf> {
        self.find(pod_uid, container, false).map(|log| log.path)
    }

    /// Begins the log of one more start.
    pub(super) fn start(
        &self,
        pod_uid: &str,
        container: &str,
        folder: &Path,
    ) -> io::Result<LogWriter> {
        let mut containers = self.lock();
        let logs = containers
            .entry((pod_uid.into(), container.into()))
            .or_default();
        let path = folder.join(format!("{container}-{}.log", logs.len()));
        let file = File::create(&path)?;
        let (progress, watched) = watch::channel(Progress::default());
        logs.push(Log {
            path: path.clone(),
            progress: watched,
        });
        Ok(LogWriter {
            path,
            file,
            progress,
            part: Vec::new(),
        })
    }

    /// Forgets the logs of a pod that is gone.
    pub(super) fn forget(&self, pod_uid: &str) {
        self.lock().retain(|(uid, _), _| uid != pod_uid);
    }

    fn find(&self, pod_uid: &str, container: &str, previous: bool) -> Option<Log> {
        let containers = self.lock();
        let logs = containers.get(&(pod_uid.to_owned(), container.to_owned()))?;
        logs.iter().rev().nth(usize::from(previous)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, ByContainer> {
        // A map stays sound whatever panicked while it was locked.
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes one log. Dropping it ends the log for those who follow it.
#[derive(Debug)]
pub(super) struct LogWriter {
    path: PathBuf,
    file: File,
    progress: watch::Sender<Progress>,
    part: Vec<u8>,
}

impl LogWriter {
    /// Stores all that `output` gives until it ends.
    pub(super) async fn copy(mut self, mut output: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; PART_BYTES_MAX];
        let copied = loop {
            match output.read(&mut buffer).await {
                Ok(0) => break Ok(()),
                Ok(read) => {
                    if let Err(error) = self.store(&buffer[..read]) {
                        break Err(error);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        let part = std::mem::take(&mut self.part);
        let ended = copied.and_then(|()| {
            if part.is_empty() {
                Ok(())
            } else {
                self.write(&[('P', part.as_slice())])
            }
        });
        if let Err(error) = ended {
            tracing::warn!(path = %self.path.display(), %error, "log is incomplete");
        }
        self.progress
            .send_modify(|progress| progress.finished = true);
    }

    fn store(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut pending = std::mem::take(&mut self.part);
        pending.extend_from_slice(bytes);
        let mut records = Vec::new();
        let mut rest = pending.as_slice();
        loop {
            let newline = rest
                .iter()
                .take(PART_BYTES_MAX)
                .position(|byte| *byte == b'\n');
            if let Some(end) = newline {
                records.push(('F', &rest[..end]));
                rest = &rest[end + 1..];
            } else if rest.len() >= PART_BYTES_MAX {
                records.push(('P', &rest[..PART_BYTES_MAX]));
                rest = &rest[PART_BYTES_MAX..];
            } else {
                break;
            }
        }
        self.part = rest.to_vec();
        self.write(&records)
    }

    /// Appends records; whole ones only, so that a reader never sees half of one.
    fn write(&mut self, records: &[(char, &[u8])]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let now = Timestamp::now();
        let mut text = Vec::new();
        for (mark, bytes) in records {
            write!(text, "{now:.9} {mark} ")?;
            text.extend_from_slice(bytes);
            text.push(b'\n');
        }
        // A short write into the page cache: not worth a thread of its own.
        self.file.write_all(&text)?;
        self.progress
            .send_modify(|progress| progress.bytes += text.len() as u64);
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.progress
            .send_modify(|progress| progress.finished = true);
    }
}

/// The end of a log, short enough to be a termination message.
pub(super) fn message(path: &Path) -> io::Result<String> {
    let mut file = BufReader::new(File::open(path)?);
    let length = file.get_ref().metadata()?.len();
    let start = start_of_tail(&mut file, length, MESSAGE_LINES_MAX)?;
    file.seek(SeekFrom::Start(start))?;
    let mut text = Vec::new();
    while let Some(record) = read_record(&mut file)? {
        record.print(false, &mut text);
    }
    let from = text.len().saturating_sub(MESSAGE_BYTES_MAX);
    Ok(String::from_utf8_lossy(&text[from..]).into_owned())
}

struct LogReader {
    log: Log,
    options: LogOptions,
    file: Option<BufReader<File>>,
    /// How far the file is read.
    position: u64,
    /// Bytes given out so far.
    bytes_sent: usize,
}

impl LogReader {
    async fn next_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let progress = *self.log.progress.borrow_and_update();
            let mut chunk = self.read_up_to(progress.bytes)?;
            if let Some(limit) = self.options.limit_bytes {
                chunk.truncate(limit - self.bytes_sent);
            }
            if !chunk.is_empty() {
                self.bytes_sent += chunk.len();
                return Ok(Some(chunk));
            }
            let full = self.options.limit_bytes == Some(self.bytes_sent);
            if full || progress.finished || !self.options.follow {
                return Ok(None);
            }
            if self.log.progress.changed().await.is_err() {
                self.options.follow = false;
            }
        }
    }

    fn read_up_to(&mut self, end: u64) -> io::Result<Vec<u8>> {
        let file = match &mut self.file {
            Some(file) => file,
            unopened => {
                let mut file = BufReader::new(File::open(&self.log.path)?);
                if let Some(lines) = self.options.tail_lines {
                    self.position = start_of_tail(&mut file, end, lines)?;
                    file.seek(SeekFrom::Start(self.position))?;
                }
                unopened.insert(file)
            }
        };
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK_BYTES && self.position < end {
            let Some(record) = read_record(file)? else {
                break;
            };
            self.position += record.stored_bytes;
            if self.options.since.is_none_or(|since| record.time >= since) {
                record.print(self.options.timestamps, &mut chunk);
            }
        }
        Ok(chunk)
    }
}

/// One stored line or part of a line.
struct Record {
    time: Timestamp,
    time_text: String,
    full: bool,
    text: Vec<u8>,
    /// What the record takes up in the file.
    stored_bytes: u64,
}

impl Record {
    fn print(&self, timestamps: bool, to: &mut Vec<u8>) {
        if timestamps {
            to.extend_from_slice(self.time_text.as_bytes());
            to.push(b' ');
        }
        to.extend_from_slice(&self.text);
        if self.full {
            to.push(b'\n');
        }
    }
}

fn read_record(file: &mut impl BufRead) -> io::Result<Option<Record>> {
    let mut line = Vec::new();
    let stored_bytes = file.read_until(b'\n', &mut line)? as u64;
    if stored_bytes == 0 {
        return Ok(None);
    }
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not a line of a container log");
    line.pop_if(|last| *last == b'\n');
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let (time, mark, text) = (parts.next(), parts.next(), parts.next());
    let time = time
        .and_then(|time| std::str::from_utf8(time).ok())
        .ok_or_else(malformed)?;
    Ok(Some(Record {
        time: time.parse().map_err(|_| malformed())?,
        time_text: time.into(),
        full: mark.ok_or_else(malformed)? == b"F",
        text: text.ok_or_else(malformed)?.to_vec(),
        stored_bytes,
    }))
}

/// Where the last `lines` lines of the first `end` bytes begin.
fn start_of_tail(file: &mut BufReader<File>, end: u64, lines: usize) -> io::Result<u64> {
    file.rewind()?;
    let mut starts = std::collections::VecDeque::from([0]);
    let mut position = 0;
    let mut records = file.take(end);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = records.read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        position += read as u64;
        let full = line.splitn(3, |byte| *byte == b' ').nth(1) == Some(b"F");
        if full {
            starts.push_back(position);
        }
        if starts.len() > lines + 1 {
            starts.pop_front();
        }
    }
    // The last start is that of a line not begun yet, unless a part of it is there.
    let begun = starts.back().is_some_and(|start| *start < position);
    if begun && starts.len() > lines {
        starts.pop_front();
    }
    Ok(starts.front().copied().unwrap_or(position))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn written(text: &[u8]) -> (Logs, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::default();
        logs.start("u", "main", folder.path())
            .unwrap()
            .copy(text)
            .await;
        (logs, folder)
    }

    async fn read(logs: &Logs, options: LogOptions) -> String {
        let stream = logs.read("u", "main", options).unwrap();
        let chunks: Vec<_> = stream.collect().await;
        let bytes = chunks
            .into_iter()
            .flat_map(|chunk| chunk.unwrap())
            .collect();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_log_is_what_was_printed() {
        let long = "x".repeat(3 * PART_BYTES_MAX + 7);
        for text in [
            "",
            "one\n",
            "one\ntwo\n\nno end",
            "\n",
            long.as_str(),
            "tab\tand é\n",
        ] {
            let (logs, _folder) = written(text.as_bytes()).await;
            assert_eq!(read(&logs, LogOptions::default()).await, text);
        }
    }

    #[tokio::test]
    async fn a_part_of_a_log_can_be_asked_for() {
        let (logs, _folder) = written(b"1\n2\n3\n4").await;
        let tail = |lines| LogOptions {
            tail_lines: Some(lines),
            ..LogOptions::default()
        };
        for (lines, expected) in [
            (0, ""),
            (1, "4"),
            (2, "3\n4"),
            (4, "1\n2\n3\n4"),
            (9, "1\n2\n3\n4"),
        ] {
            assert_eq!(read(&logs, tail(lines)).await, expected, "{lines}");
        }
        let limited = LogOptions {
            limit_bytes: Some(3),
            ..LogOptions::default()
        };
        assert_eq!(read(&logs, limited).await, "1\n2");
        let future = Timestamp::now() + Duration::from_secs(60);
        let since = LogOptions {
            since: Some(future),
            ..LogOptions::default()
        };
        assert_eq!(read(&logs, since).await, "");
    }

    #[tokio::test]
    async fn full_lines_are_counted_from_the_end() {
        let (logs, _folder) = written(b"1\n2\n3\n").await;
        let tail = LogOptions {
            tail_lines: Some(1),
            ..LogOptions::default()
        };
        assert_eq!(read(&logs, tail).await, "3\n");
    }

    #[tokio::test]
    async fn each_line_has_a_time() {
        let (logs, _folder) = written(b"1\n2\n").await;
        let timed = read(
            &logs,
            LogOptions {
                timestamps: true,
                ..LogOptions::default()
            },
        )
        .await;
        let lines: Vec<(&str, &str)> = timed
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .collect();
        assert_eq!(
            lines.iter().map(|(_, text)| *text).collect::<Vec<_>>(),
            ["1", "2"]
        );
        assert!(
            lines
                .iter()
                .all(|(time, _)| time.parse::<Timestamp>().is_ok()),
            "{timed}"
        );
    }

    #[tokio::test]
    async fn a_follower_gets_lines_as_they_come_and_ends_with_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::default();
        let writer = logs.start("u", "main", folder.path()).unwrap();
        let (mut print, output) = tokio::io::duplex(64);
        let copying = tokio::spawn(writer.copy(output));
        let options = LogOptions {
            follow: true,
            ..LogOptions::default()
        };
        let mut lines = Box::pin(logs.read("u", "main", options).unwrap());
        for text in ["one\n", "two\n"] {
            print.write_all(text.as_bytes()).await.unwrap();
            assert_eq!(lines.next().await.unwrap().unwrap(), text.as_bytes());
        }
        drop(print);
        assert!(lines.next().await.is_none());
        copying.await.unwrap();
    }

    #[tokio::test]
    async fn every_start_has_a_log_of_its_own() {
        let (logs, folder) = written(b"first\n").await;
        logs.start("u", "main", folder.path())
            .unwrap()
            .copy(&b"second\n"[..])
            .await;
        assert_eq!(read(&logs, LogOptions::default()).await, "second\n");
        let previous = LogOptions {
            previous: true,
            ..LogOptions::default()
        };
        assert_eq!(read(&logs, previous).await, "first\n");
        logs.forget("u");
        assert!(logs.read("u", "main", LogOptions::default()).is_none());
    }

    #[tokio::test]
    async fn a_message_is_the_end_of_the_log() {
        let many: String = (0..500).map(|line| format!("line {line}\n")).collect();
        let (logs, _folder) = written(many.as_bytes()).await;
        let message = message(&logs.path("u", "main").unwrap()).unwrap();
        assert_eq!(message.lines().count(), MESSAGE_LINES_MAX);
        assert!(message.starts_with("line 420\n") && message.ends_with("line 499\n"));
    }
}
