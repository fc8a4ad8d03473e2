//! `koncli init`: a pipeline to start from, with comments.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use crate::exit::{Failure, NOT_FOUND};
use crate::output;
use crate::suggestion::{quoted, suggested};

/// What is written. It runs as it is.
pub(crate) const STARTER: &str = include_str!("../../starter.kon");

/// Writes the starter pipeline to a new file.
pub(crate) fn init(file: &Path) -> Result<(), Failure> {
    let shown = file.display();
    let created = OpenOptions::new().write(true).create_new(true).open(file);
    let mut created = created.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::failed(format!("{shown} already exists")).help(
            format!("name another file: {}", suggested("koncli init FILE")),
        ),
        ErrorKind::NotFound => Failure::new(NOT_FOUND, format!("can't create {shown}: {error}"))
            .help("create its folder first, or name another file"),
        _ => Failure::failed(format!("can't create {shown}: {error}")),
    })?;
    created.write_all(STARTER.as_bytes())?;
    let path = quoted(&shown.to_string());
    output::stderr(&format!(
        "{shown} created; check it with {}, run it here with {}",
        suggested(format!("koncli check {path}")),
        suggested(format!("koncli run {path}"))
    ));
    Ok(())
}
