//! A folder as one tar archive: files, folders and links, with their modes, and nothing that leads out of it.
//!
//! What enters: a folder, or an archive that anybody may have written. What leaves: an archive whose bytes depend on
//! nothing but names, modes and content; or a folder. What must never happen here: a file outside the
//! folder, whatever names and links the archive has.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Builder, EntryType, Header};

use crate::file;
use crate::limits::{ENTRIES_MAX, NAME_BYTES_MAX};

/// The mode of what is written by a system that has none.
#[cfg(not(unix))]
const MODE: u32 = 0o755;
/// Bits of a mode that are kept: nobody gets another user's permissions by a file.
const MODE_BITS: u32 = 0o777;
/// Bytes of one block of an archive.
const BLOCK_BYTES: u64 = 512;

/// Why a folder can't be packed, or an archive not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file can't be read or written.
    #[error("{}: {reason}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What it is can't be in a `dir`.
    #[error("{}: {what} can't be stored in a `dir`", .path.display())]
    Kind {
        /// Which, within the folder.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A link leads out of the folder, or may.
    #[error(
        "{} is a link to {}: only relative links that stay inside the folder, with `..` at the beginning only, \
         can be stored in a `dir`",
        .path.display(),
        .target.display()
    )]
    Link {
        /// Which, within the folder.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A name leads out of the folder.
    #[error("the archive has an entry {path:?}, which would not be inside its folder")]
    Outside {
        /// The name.
        path: String,
    },
    /// A name of which no file system has one.
    #[error("the archive has a name of more than {NAME_BYTES_MAX} bytes")]
    Name,
    /// More entries than a folder may have.
    #[error("more than {ENTRIES_MAX} files and folders can't be stored in a `dir`")]
    Many,
    /// It ends too early, or is no archive.
    #[error("the archive can't be read: {0}")]
    Broken(io::Error),
}

impl ArchiveError {
    fn of_file(path: &Path, error: &io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: file::reason(error),
        }
    }
}

/// One thing in a folder.
struct Found {
    /// Its path below the folder.
    path: PathBuf,
    metadata: fs::Metadata,
}

/// All that a folder has in it, sorted by its path: a folder comes before what it has in it.
fn walk(folder: &Path) -> Result<Vec<Found>, ArchiveError> {
    let mut all = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(below) = pending.pop() {
        let here = folder.join(&below);
        let failed = |error: io::Error| ArchiveError::of_file(&here, &error);
        for entry in fs::read_dir(&here).map_err(failed)? {
            let path = below.join(entry.map_err(failed)?.file_name());
            let metadata = fs::symlink_metadata(folder.join(&path)).map_err(failed)?;
            if metadata.is_dir() {
                pending.push(path.clone());
            }
            all.push(Found { path, metadata });
            if all.len() > ENTRIES_MAX {
                return Err(ArchiveError::Many);
            }
        }
    }
    all.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(all)
}

/// The bytes of a folder's archive, but for long names.
pub(crate) fn size(folder: &Path) -> Result<u64, ArchiveError> {
    let bytes = walk(folder)?.into_iter().map(|entry| {
        let content = match entry.metadata.is_file() {
            true => entry.metadata.len().next_multiple_of(BLOCK_BYTES),
            false => 0,
        };
        content + BLOCK_BYTES
    });
    Ok(bytes.sum::<u64>() + 2 * BLOCK_BYTES)
}

/// Writes the archive of a folder.
///
/// # Errors
/// If something in it is neither a file, a folder nor a link that stays inside; if it can't be read.
pub fn pack(folder: &Path, to: impl Write) -> Result<(), ArchiveError> {
    let mut archive = Builder::new(to);
    for Found { path, metadata } in walk(folder)? {
        let place = folder.join(&path);
        let failed = |error: io::Error| ArchiveError::of_file(&place, &error);
        let mut header = Header::new_gnu();
        header.set_mode(mode(&metadata));
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let kind = metadata.file_type();
        if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            archive
                .append_data(&mut header, &path, io::empty())
                .map_err(failed)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&place).map_err(failed)?;
            if !stays_inside(&path, &target) {
                return Err(ArchiveError::Link { path, target });
            }
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            archive
                .append_link(&mut header, &path, &target)
                .map_err(failed)?;
        } else if kind.is_file() {
            header.set_entry_type(EntryType::Regular);
            header.set_size(metadata.len());
            let file = file::open(&place).map_err(failed)?;
            // A file that still grows is stored as it was when the command ended.
            let mut content = Counted {
                inner: file.take(metadata.len()),
                bytes: 0,
            };
            archive
                .append_data(&mut header, &path, &mut content)
                .map_err(failed)?;
            if content.bytes != metadata.len() {
                return Err(failed(io::Error::other(
                    "it became shorter while it was read",
                )));
            }
        } else {
            let what = "a device, socket or pipe";
            return Err(ArchiveError::Kind { path, what });
        }
    }
    let mut to = archive
        .into_inner()
        .map_err(|error| ArchiveError::of_file(folder, &error))?;
    to.flush()
        .map_err(|error| ArchiveError::of_file(folder, &error))
}

/// Counts the bytes that are read.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Makes a folder of an archive. There must be nothing at its path, or an empty folder.
///
/// # Errors
/// If an entry would be outside the folder, or is neither a file, a folder nor a link that stays inside; if it can't be
/// read or written. What was unpacked before is left.
pub fn unpack(from: impl Read, folder: &Path) -> Result<(), ArchiveError> {
    fs::create_dir_all(folder).map_err(|error| ArchiveError::of_file(folder, &error))?;
    let mut archive = Archive::new(from);
    let mut folders: Vec<(PathBuf, u32)> = Vec::new();
    let entries = archive.entries().map_err(ArchiveError::Broken)?;
    let (mut long_path, mut long_target) = (None, None);
    let mut number = 0;
    // Raw, because otherwise names of any length would be read into memory.
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(ArchiveError::Broken)?;
        match entry.header().entry_type() {
            EntryType::GNULongName if long_path.is_none() => {
                long_path = Some(long_name(&mut entry)?);
                continue;
            }
            EntryType::GNULongLink if long_target.is_none() => {
                long_target = Some(long_name(&mut entry)?);
                continue;
            }
            _ => number += 1,
        }
        if number > ENTRIES_MAX {
            return Err(ArchiveError::Many);
        }
        let path = match long_path.take() {
            Some(path) => path,
            None => entry.path().map_err(ArchiveError::Broken)?.into_owned(),
        };
        let long_target = long_target.take();
        let place = place(folder, &path)?;
        let failed = |error: io::Error| ArchiveError::of_file(&place, &error);
        let mode = entry.header().mode().map_err(ArchiveError::Broken)? & MODE_BITS;
        match entry.header().entry_type() {
            EntryType::Directory => {
                fs::create_dir(&place).map_err(failed)?;
                folders.push((place, mode));
            }
            EntryType::Symlink => {
                let short = entry.link_name().map_err(ArchiveError::Broken)?;
                let short = short.map(|target| target.into_owned());
                let target = long_target.or(short).unwrap_or_default();
                if !stays_inside(&path, &target) {
                    return Err(ArchiveError::Link { path, target });
                }
                link(&target, &place).map_err(failed)?;
            }
            EntryType::Regular => {
                let size = entry.size();
                let mut file = File::create_new(&place).map_err(failed)?;
                let written = io::copy(&mut entry, &mut file).map_err(failed)?;
                if written != size {
                    let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Err(ArchiveError::Broken(error));
                }
                set_mode(&place, mode).map_err(failed)?;
            }
            _ => {
                let what = "neither a file, a folder nor a symbolic link: it";
                return Err(ArchiveError::Kind { path, what });
            }
        }
    }
    // Last, because nothing can be put into a folder that may not be written.
    for (place, mode) in folders.into_iter().rev() {
        set_mode(&place, mode).map_err(|error| ArchiveError::of_file(&place, &error))?;
    }
    Ok(())
}

/// The name that an entry has for the next one, in GNU's way.
fn long_name(entry: &mut impl Read) -> Result<PathBuf, ArchiveError> {
    let mut name = Vec::new();
    let read = entry.take(NAME_BYTES_MAX + 1).read_to_end(&mut name);
    if read.map_err(ArchiveError::Broken)? as u64 > NAME_BYTES_MAX {
        return Err(ArchiveError::Name);
    }
    if name.last() == Some(&0) {
        name.pop();
    }
    file::path(name).map_err(ArchiveError::Broken)
}

/// Where an entry is to be put: below the folder, and in none that is a link.
fn place(folder: &Path, path: &Path) -> Result<PathBuf, ArchiveError> {
    let outside = || ArchiveError::Outside {
        path: path.to_string_lossy().into_owned(),
    };
    let mut place = folder.to_owned();
    let mut parts = path.components().peekable();
    if parts.peek().is_none() {
        return Err(outside());
    }
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else {
            return Err(outside());
        };
        place.push(name);
        let is_parent = parts.peek().is_some();
        let metadata = fs::symlink_metadata(&place);
        if is_parent && !metadata.is_ok_and(|metadata| metadata.is_dir()) {
            return Err(outside());
        }
    }
    Ok(place)
}

/// Whether a link at `path` stays inside the folder that the path is relative to, whatever other links there are:
/// it goes up through folders that exist as such, and then only down.
fn stays_inside(path: &Path, target: &Path) -> bool {
    let depth = path.components().count().saturating_sub(1);
    let mut up = 0;
    let mut is_down = false;
    for part in target.components() {
        match part {
            Component::ParentDir if !is_down => up += 1,
            Component::Normal(_) => is_down = true,
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    up <= depth && !target.as_os_str().is_empty()
}

#[cfg(unix)]
fn mode(metadata: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & MODE_BITS
}

#[cfg(not(unix))]
fn mode(_metadata: &fs::Metadata) -> u32 {
    MODE
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn link(target: &Path, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(not(unix))]
fn link(_target: &Path, _place: &Path) -> io::Result<()> {
    Err(io::Error::other("links can't be made on this system"))
}

#[cfg(test)]
mod tests;
