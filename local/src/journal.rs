//! The journal of a server: what it stored, in a file, so that the next server continues from it.
//!
//! Versions enter before any reader sees them; what a server stored that has ended, or was killed, leaves. What
//! must never happen here: that somebody saw a version which the next server doesn't have.
//!
//! The file has one record on each line: the first 16 digits of its SHA-256, a space and JSON. A record is handed to the
//! operating system before its write is answered, so it survives the end of the process, however that ends. It is synced
//! to the disk by the first write a second or more after the last sync, and at the end: a power cut may lose what was
//! written since.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::kind::Resource;
use crate::managed::Managed;
use crate::platform;
use crate::stored::{Version, key_of};

/// How the records are written; a file of another format is not read.
const FORMAT: u32 = 1;
/// How many bytes are written before the journal is rewritten with nothing but what is stored by now.
const SLACK: u64 = 16 << 20;
/// How long a record waits at most for the disk, if others follow. A sync for each would hold up every write.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// The digits of a record's hash.
const HASH_LENGTH: usize = 16;

/// Why a journal can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It can't be read or written.
    #[error("can't use {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A record is not what was written, and it is not the last one.
    #[error("{} is damaged: {what} at byte {offset}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Another program wrote it.
    #[error("{} has a format that this version doesn't read: {format}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that it names.
        format: u32,
    },
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Record {
    /// The first of each file, with the last revision of what follows at once.
    Begin { format: u32, revision: u64 },
    /// An object was written.
    Set {
        group: String,
        plural: String,
        revision: u64,
        /// Whether it is shown with more than was written.
        stale: bool,
        /// With its managed fields.
        object: Value,
    },
    /// An object was removed.
    Gone {
        group: String,
        plural: String,
        revision: u64,
        key: String,
    },
}

impl Record {
    fn set(resource: &Resource, version: &Version) -> Self {
        Self::Set {
            group: resource.group.to_string(),
            plural: resource.plural.to_string(),
            revision: version.revision,
            stale: version.stale,
            object: version.managed.merged_into(&version.value),
        }
    }

    fn line(&self) -> io::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        let mut line = hash(&json).into_bytes();
        line.push(b' ');
        line.extend(json);
        line.push(b'\n');
        Ok(line)
    }

    /// Reads a line without its end.
    fn parse(line: &[u8]) -> Result<Self, String> {
        let (sum, json) = line.split_at_checked(HASH_LENGTH).unwrap_or((line, b""));
        let json = json.strip_prefix(b" ").unwrap_or_default();
        if sum != hash(json).as_bytes() {
            return Err("a record whose checksum differs".to_owned());
        }
        serde_json::from_slice(json)
            .map_err(|error| format!("a record that can't be read: {error}"))
    }
}

fn hash(json: &[u8]) -> String {
    let digest = Sha256::digest(json);
    let digits = digest.iter().take(HASH_LENGTH / 2);
    digits.map(|byte| format!("{byte:02x}")).collect()
}

/// What a journal has of the servers before.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) revision: u64,
    pub(crate) objects: BTreeMap<Resource, BTreeMap<String, Arc<Version>>>,
}

impl Restored {
    fn take(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Begin { revision, .. } => self.revision = revision,
            Record::Set {
                group,
                plural,
                revision,
                stale,
                mut object,
            } => {
                let resource = resource(group, plural);
                let metadata = object["metadata"].as_object_mut();
                let metadata = metadata.ok_or("an object without metadata")?;
                let managed = metadata.remove("managedFields").unwrap_or_default();
                let version = Version {
                    managed: Managed::from_client(&managed).unwrap_or_default(),
                    revision,
                    stale,
                    value: Arc::new(object),
                };
                let key = key_of(&version.value);
                let objects = self.objects.entry(resource).or_default();
                objects.insert(key, Arc::new(version));
                self.revision = self.revision.max(revision);
            }
            Record::Gone {
                group,
                plural,
                revision,
                key,
            } => {
                if let Some(objects) = self.objects.get_mut(&resource(group, plural)) {
                    objects.remove(&key);
                }
                self.revision = self.revision.max(revision);
            }
        }
        Ok(())
    }
}

fn resource(group: String, plural: String) -> Resource {
    Resource {
        group: group.into(),
        plural: plural.into(),
    }
}

/// A journal that is being written.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// The end of the last whole record.
    length: u64,
    /// Whether something stands behind the last whole record.
    is_torn: bool,
    /// The length at which it is rewritten.
    rewrite_at: u64,
    synced: Instant,
}

impl Journal {
    /// Opens a journal, or begins one, and reads what it has. A last record that was cut off was never answered to
    /// anybody: it is dropped.
    pub(crate) fn open(path: &Path) -> Result<(Self, Restored), JournalError> {
        let failed = |error| JournalError::Io {
            path: path.to_owned(),
            error,
        };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        // Secrets are in there, and the folder may be one that others read.
        let file = platform::private(&mut options).open(path).map_err(failed)?;
        let (restored, length) = read(path, &file)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            length,
            is_torn: true,
            rewrite_at: length.saturating_mul(2) + SLACK,
            synced: Instant::now(),
        };
        if length == 0 {
            let begin = Record::Begin {
                format: FORMAT,
                revision: 0,
            };
            journal.append(&begin).map_err(failed)?;
        }
        Ok((journal, restored))
    }

    /// Adds a version that is about to be stored.
    pub(crate) fn set(&mut self, resource: &Resource, version: &Version) -> io::Result<()> {
        self.append(&Record::set(resource, version))
    }

    /// Adds that an object is about to be removed.
    pub(crate) fn gone(&mut self, resource: &Resource, key: &str, revision: u64) -> io::Result<()> {
        self.append(&Record::Gone {
            group: resource.group.to_string(),
            plural: resource.plural.to_string(),
            revision,
            key: key.to_owned(),
        })
    }

    fn append(&mut self, record: &Record) -> io::Result<()> {
        let line = record.line()?;
        if self.is_torn {
            self.cut_off()?;
        }
        self.is_torn = true;
        if let Err(error) = self.file.write_all(&line) {
            // The next one tries again if it can't be cut off now.
            self.is_torn = self.cut_off().is_err();
            return Err(error);
        }
        self.is_torn = false;
        self.length += line.len() as u64;
        if self.synced.elapsed() >= SYNC_EVERY {
            self.synced = Instant::now();
            if let Err(error) = self.file.sync_data() {
                tracing::warn!(path = %self.path.display(), %error, "journal not on the disk yet");
            }
        }
        Ok(())
    }

    /// Drops what stands behind the last whole record.
    fn cut_off(&self) -> io::Result<()> {
        platform::cut_off(&self.file, &self.path, self.length)
    }

    /// Writes into another file from now on.
    #[cfg(test)]
    pub(crate) fn swap(&mut self, file: File) {
        self.file = file;
    }

    /// Whether most of it is about versions that have been replaced.
    pub(crate) fn is_long(&self) -> bool {
        self.length >= self.rewrite_at
    }

    /// Rewrites it with nothing but these objects. If that fails, the one that is there continues.
    pub(crate) fn rewrite<'a>(
        &mut self,
        revision: u64,
        objects: impl Iterator<Item = (&'a Resource, &'a Version)>,
    ) {
        let new = self.path.with_extension("new");
        match write_new(&new, &self.path, revision, objects) {
            Ok((file, length)) => {
                (self.file, self.length) = (file, length);
                self.is_torn = false;
            }
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "journal not shortened");
                // Nothing reads it.
                let _ = std::fs::remove_file(new);
            }
        }
        self.rewrite_at = self.length.saturating_mul(2) + SLACK;
    }
}

/// Writes a whole journal beside the one that it replaces.
fn write_new<'a>(
    new: &Path,
    path: &Path,
    revision: u64,
    objects: impl Iterator<Item = (&'a Resource, &'a Version)>,
) -> io::Result<(File, u64)> {
    // Nobody else writes here: what is there was left by one that was killed.
    let _ = std::fs::remove_file(new);
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    let file = platform::private(&mut options).open(new)?;
    let mut writer = BufWriter::new(&file);
    let begin = Record::Begin {
        format: FORMAT,
        revision,
    };
    writer.write_all(&begin.line()?)?;
    for (resource, version) in objects {
        writer.write_all(&Record::set(resource, version).line()?)?;
    }
    writer.flush()?;
    drop(writer);
    file.sync_all()?;
    let length = file.metadata()?.len();
    std::fs::rename(new, path)?;
    // From here on the new one is the journal, whatever else fails.
    let folder = path.parent().unwrap_or(Path::new("/"));
    if let Err(error) = platform::sync_folder(folder) {
        tracing::warn!(path = %path.display(), %error, "journal's folder not on the disk yet");
    }
    Ok((file, length))
}

/// The format that the first record names. All formats have it in the same place, so that none is taken for damage.
fn format_of(line: &[u8]) -> Option<u32> {
    let (_, json) = line.split_at_checked(HASH_LENGTH)?;
    let record: Value = serde_json::from_slice(json).ok()?;
    record["begin"]["format"].as_u64()?.try_into().ok()
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = self.file.sync_data() {
            tracing::warn!(path = %self.path.display(), %error, "journal not on the disk");
        }
    }
}

/// Reads all whole records, and where the last one ends.
fn read(path: &Path, file: &File) -> Result<(Restored, u64), JournalError> {
    let failed = |error| JournalError::Io {
        path: path.to_owned(),
        error,
    };
    let mut reader = BufReader::new(file);
    let mut restored = Restored::default();
    let (mut offset, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(failed)? as u64;
        let Some(whole) = line.strip_suffix(b"\n") else {
            if length > 0 {
                tracing::warn!(path = %path.display(), offset, "the last record was cut off, and is dropped");
            }
            return Ok((restored, offset));
        };
        let damaged = |what| JournalError::Damaged {
            path: path.to_owned(),
            offset,
            what,
        };
        if let Some(format) = format_of(whole).filter(|format| offset == 0 && *format != FORMAT) {
            return Err(JournalError::Format {
                path: path.to_owned(),
                format,
            });
        }
        let record = Record::parse(whole).map_err(damaged)?;
        match record {
            Record::Begin { .. } if offset > 0 => {
                return Err(damaged("a second beginning".to_owned()));
            }
            Record::Begin { .. } => {}
            _ if offset == 0 => return Err(damaged("no beginning".to_owned())),
            _ => {}
        }
        restored.take(record).map_err(damaged)?;
        offset += length;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::{CONFIG_MAP, Kind, NAMESPACE};
    use crate::{ApiServer, ServerOptions};

    const KINDS: [Kind; 2] = [CONFIG_MAP, NAMESPACE];

    fn server(path: &Path) -> ApiServer {
        let (journal, restored) = Journal::open(path).unwrap();
        ApiServer::with_journal(ServerOptions::default(), journal, restored)
    }

    fn write(api: &ApiServer, name: &str) -> bool {
        let object = json!({"metadata": {"name": name}, "data": {"a": "ä\n"}});
        api.create(&CONFIG_MAP, "default", object).is_ok()
    }

    /// All versions with everything that is known of them.
    fn contents(api: &ApiServer) -> String {
        let store = &api.shared.store;
        let lists = KINDS.map(|kind| store.list(&kind.resource, None).0);
        format!("{lists:?}")
    }

    #[test]
    fn what_is_restored_is_what_was_stored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let api = server(&path);
        for name in ["a", "b", "c"] {
            assert!(write(&api, name));
        }
        let patch = json!({"data": {"a": "2"}});
        api.managed_by("me")
            .merge_patch(&CONFIG_MAP, "default", "b", &patch, None)
            .unwrap();
        api.delete(&CONFIG_MAP, "default", "a", &Default::default())
            .unwrap();
        let before = (contents(&api), api.shared.store.revision());
        drop(api);
        let api = server(&path);
        assert_eq!((contents(&api), api.shared.store.revision()), before);
        // What happened before is not known.
        assert!(api.watch(&CONFIG_MAP, before.1 - 1).is_err());
        assert!(api.watch(&CONFIG_MAP, before.1).is_ok());
        // The same after it was rewritten.
        api.shared.store.rewrite_journal();
        assert!(write(&api, "d"));
        let before = (contents(&api), api.shared.store.revision());
        drop(api);
        let api = server(&path);
        assert_eq!((contents(&api), api.shared.store.revision()), before);
    }

    #[test]
    fn a_journal_that_ends_anywhere_has_all_whole_records_and_any_other_change_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let api = server(&path);
        assert!(write(&api, "a"));
        drop(api);
        let whole = std::fs::read(&path).unwrap();
        let records = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
        for end in 0..=whole.len() {
            let bytes = &whole[..end];
            std::fs::write(&path, bytes).unwrap();
            let (journal, restored) = Journal::open(&path).unwrap();
            let objects: usize = restored.objects.values().map(BTreeMap::len).sum();
            assert_eq!(objects, records(bytes).saturating_sub(1), "{end}");
            // What is appended then is whole.
            drop(journal);
        }
        for at in 0..whole.len() - 1 {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            std::fs::write(&path, bytes).unwrap();
            let opened = Journal::open(&path);
            // A number that was changed may be that of another format.
            assert!(
                matches!(
                    opened,
                    Err(JournalError::Damaged { .. } | JournalError::Format { .. })
                ),
                "{at}: {opened:?}"
            );
        }
    }

    #[test]
    fn a_journal_of_another_format_is_left_alone_and_only_its_owner_reads_one() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let api = server(&path);
        assert_eq!(mode(), 0o600);
        api.shared.store.rewrite_journal();
        assert_eq!(mode(), 0o600);
        drop(api);
        // Whatever else a later version puts there, and however it computes the hash.
        let later = b"ffffffffffffffff {\"begin\":{\"format\":2,\"revision\":7,\"more\":[]}}\n{}\n";
        std::fs::write(&path, later).unwrap();
        let opened = Journal::open(&path);
        assert!(
            matches!(opened, Err(JournalError::Format { format: 2, .. })),
            "{opened:?}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), later);
    }

    #[test]
    fn a_write_that_the_journal_does_not_take_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let api = server(&path);
        let before = (contents(&api), api.shared.store.revision());
        let writable = OpenOptions::new().append(true).open(&path).unwrap();
        // Nothing can be written to what is open for reading, as on a full disk.
        api.shared.store.swap_journal(File::open(&path).unwrap());
        assert!(!write(&api, "a"));
        assert_eq!((contents(&api), api.shared.store.revision()), before);
        api.shared.store.swap_journal(writable);
        assert!(write(&api, "a"));
        let before = (contents(&api), api.shared.store.revision());
        drop(api);
        let api = server(&path);
        assert_eq!((contents(&api), api.shared.store.revision()), before);
    }
}
