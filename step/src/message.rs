//! The termination message: where a container reports its outputs, or why it failed.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
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

/// Puts a reason in place of what is there.
pub(crate) fn replace(file: &Path, reason: &str) -> io::Result<()> {
    fs::write(file, reason)
}

/// Reports the values of outputs behind what the command wrote.
pub(crate) fn append(file: &Path, values: &[(String, FileValue)]) -> Result<(), StepError> {
    let failed = |error: io::Error| StepError::Message(format!("{}: {error}", file.display()));
    let written = match fs::read(file) {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed(error)),
    };
    let lines = lines(&written, values)?;
    let mut options = fs::OpenOptions::new();
    let mut message = options
        .append(true)
        .create(true)
        .open(file)
        .map_err(failed)?;
    message.write_all(lines.as_bytes()).map_err(failed)
}

/// What is appended to a message.
fn lines(written: &[u8], values: &[(String, FileValue)]) -> Result<String, StepError> {
    let mut lines = String::new();
    if written.last().is_some_and(|last| *last != b'\n') {
        lines.push('\n');
    }
    for (name, value) in values {
        lines.push_str(&format!("{name}={value}\n"));
    }
    let bytes = (written.len() + lines.len()) as u64;
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
        }
    }

    #[test]
    fn values_begin_on_a_line_of_their_own() {
        let expected = format!(
            "a={{\"key\":\"n/r/s/-/u/a\",\"size\":3,\"sha256\":\"{}\"}}\n",
            "0".repeat(64)
        );
        for (written, before) in [("", ""), ("rows=1\n", ""), ("rows=1", "\n")] {
            let lines = lines(written.as_bytes(), &[("a".to_owned(), value())]).unwrap();
            assert_eq!(lines, format!("{before}{expected}"), "{written:?}");
        }
    }

    #[test]
    fn a_message_that_kubelet_would_cut_is_an_error() {
        let written = vec![b'x'; 4_000];
        let error = lines(&written, &[("a".to_owned(), value())]).unwrap_err();
        assert!(
            error.to_string().starts_with("the outputs have 41"),
            "{error}"
        );
    }
}
