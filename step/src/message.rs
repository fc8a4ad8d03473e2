//! The termination message: where a container reports its outputs, or why it failed.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use konductor_api::FileValue;

use crate::limits::MESSAGE_BYTES_MAX;
use crate::{StepError, Variables};

/// The variable with the path of the message.
const VARIABLE: &str = "KON_OUTPUT";

/// The file of the message, if the stage has outputs.
pub(crate) fn file(variables: &Variables) -> Option<PathBuf> {
    variables.get(OsStr::new(VARIABLE)).map(PathBuf::from)
}

/// What stands for the end of a reason that is too long.
const CUT: &str = "…";

/// Puts a reason in place of what is there. Of a long one the beginning stays: kubelet would keep none of it.
pub(crate) fn replace(file: &Path, reason: &str) -> io::Result<()> {
    fs::write(file, shortened(reason))
}

/// A reason with less than [`MESSAGE_BYTES_MAX`] bytes.
fn shortened(reason: &str) -> String {
    if (reason.len() as u64) < MESSAGE_BYTES_MAX {
        return reason.to_owned();
    }
    let mut shorter = String::new();
    for letter in reason.chars() {
        let bytes = shorter.len() + letter.len_utf8() + CUT.len();
        if bytes as u64 >= MESSAGE_BYTES_MAX {
            break;
        }
        shorter.push(letter);
    }
    shorter + CUT
}

/// What the command wrote, whose length only the command decides.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    bytes: u64,
    /// Its last byte; `None` if there is none.
    last: Option<u8>,
}

impl Written {
    fn of(file: &Path) -> io::Result<Self> {
        let mut file = match fs::File::open(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            opened => opened?,
        };
        let bytes = file.metadata()?.len();
        if bytes == 0 {
            return Ok(Self::default());
        }
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        Ok(Self {
            bytes,
            last: Some(last[0]),
        })
    }
}

/// Reports the values of outputs behind what the command wrote.
pub(crate) fn append(file: &Path, values: &[(String, FileValue)]) -> Result<(), StepError> {
    let failed = |error: io::Error| StepError::Message(format!("{}: {error}", file.display()));
    let lines = lines(Written::of(file).map_err(failed)?, values)?;
    let mut options = fs::OpenOptions::new();
    let mut message = options
        .append(true)
        .create(true)
        .open(file)
        .map_err(failed)?;
    message.write_all(lines.as_bytes()).map_err(failed)
}

/// What is appended to a message.
fn lines(written: Written, values: &[(String, FileValue)]) -> Result<String, StepError> {
    let mut lines = String::new();
    if written.last.is_some_and(|last| last != b'\n') {
        lines.push('\n');
    }
    for (name, value) in values {
        lines.push_str(&format!("{name}={value}\n"));
    }
    let bytes = written.bytes + lines.len() as u64;
    if bytes >= MESSAGE_BYTES_MAX {
        return Err(StepError::Message(format!(
            "the outputs have {bytes} bytes, of which {} are the values of files: they must have less than {MESSAGE_BYTES_MAX}; \
             write less to $KON_OUTPUT, or put files that belong together into one `dir`",
            lines.len()
        )));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value() -> FileValue {
        FileValue {
            key: "n/r/s/-/u/a".to_owned(),
            size: 3,
            sha256: "0".repeat(64),
            executable: false,
        }
    }

    #[test]
    fn values_begin_on_a_line_of_their_own() {
        let expected = format!(
            "a={{\"key\":\"n/r/s/-/u/a\",\"size\":3,\"sha256\":\"{}\"}}\n",
            "0".repeat(64)
        );
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("message");
        for (written, between) in [("", ""), ("rows=1\n", ""), ("rows=1", "\n")] {
            fs::write(&file, written).unwrap();
            append(&file, &[("a".to_owned(), value())]).unwrap();
            let message = fs::read_to_string(&file).unwrap();
            assert_eq!(message, format!("{written}{between}{expected}"));
        }
        fs::remove_file(&file).unwrap();
        append(&file, &[("a".to_owned(), value())]).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    }

    #[test]
    fn a_message_that_kubelet_would_cut_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("message");
        // The second one has only a length, and would not fit into memory.
        for (bytes, expected) in [
            (4_000, "the outputs have 41"),
            (1 << 40, "the outputs have 10995"),
        ] {
            fs::File::create(&file).unwrap().set_len(bytes).unwrap();
            let error = append(&file, &[("a".to_owned(), value())]).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }

    #[test]
    fn the_beginning_of_a_long_reason_stays() {
        assert_eq!(shortened("short"), "short");
        for letter in ["x", "é", "日"] {
            let long = format!("konductor: {}", letter.repeat(5_000));
            let cut = shortened(&long);
            assert!((4_090..4_096).contains(&cut.len()), "{}", cut.len());
            assert!(long.starts_with(cut.trim_end_matches(CUT)), "{cut}");
        }
    }
}
