//! What operating systems do differently with files.

#[cfg(unix)]
use std::fs::Permissions;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Opens a regular file to read it, and no other by way of a link: whoever wrote it may have put a link in its place.
///
/// # Errors
/// If it can't be opened; if it is a link, a folder, a device or a pipe.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = open_itself(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// Why a file can't be read or written, for people.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("the disk is full ({error})")
        }
        _ => error.to_string(),
    }
}

/// Whether a file may be executed by anybody.
#[cfg(unix)]
pub(crate) fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

/// Whether a file may be executed by anybody: other systems decide it by its name.
#[cfg(not(unix))]
pub(crate) fn is_executable(_metadata: &Metadata) -> bool {
    false
}

/// Lets whoever may read a file execute it.
///
/// # Errors
/// If its mode can't be read or changed.
#[cfg(unix)]
pub(crate) fn make_executable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode();
    file.set_permissions(Permissions::from_mode(mode | ((mode & 0o444) >> 2)))
}

/// Lets whoever may read a file execute it: other systems decide it by its name.
#[cfg(not(unix))]
pub(crate) fn make_executable(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn open_itself(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    use rustix::io::Errno;
    // A pipe would wait for somebody who writes into it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(opened) => Ok(File::from(opened)),
        Err(Errno::LOOP) => Err(io::Error::other("it is a symbolic link")),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn open_itself(path: &Path) -> io::Result<File> {
    match path.symlink_metadata()?.is_symlink() {
        true => Err(io::Error::other("it is a symbolic link")),
        false => File::open(path),
    }
}

/// The path that bytes of an archive name.
///
/// # Errors
/// If this system has no such path.
#[cfg(unix)]
pub(crate) fn path(bytes: Vec<u8>) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

/// The path that bytes of an archive name.
///
/// # Errors
/// If this system has no such path.
#[cfg(not(unix))]
pub(crate) fn path(bytes: Vec<u8>) -> io::Result<PathBuf> {
    let text = String::from_utf8(bytes);
    text.map(PathBuf::from).map_err(io::Error::other)
}
