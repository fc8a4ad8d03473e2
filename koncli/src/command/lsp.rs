//! `koncli lsp`

use std::io::BufReader;
use std::path::{Path, PathBuf};

use konductor_lsp::{Disk, End};

use crate::exit::Failure;
use crate::load;

/// Pipeline files that are looked at to find who uses a template.
const FILES_MAX: usize = 2_000;
/// Entries of folders that are looked at for them.
const ENTRIES_MAX: usize = 100_000;

/// Serves an editor on stdin and stdout.
pub(crate) fn lsp() -> Result<(), Failure> {
    let (input, output) = (BufReader::new(std::io::stdin()), std::io::stdout());
    match konductor_lsp::serve(input, output.lock(), Box::new(Files)) {
        Ok(End::Expected) => Ok(()),
        Ok(End::Abrupt) => Err(Failure::failed("the editor sent `exit` without `shutdown`")),
        Err(error) => {
            let message = format!("the editor's messages can't be read: {error}");
            Err(Failure::failed(message).help(
                "start it from an editor: it speaks the Language Server Protocol on stdin and stdout",
            ))
        }
    }
}

/// What is on disk.
struct Files;

impl Disk for Files {
    fn import(&self, root: &Path, path: &str) -> Result<String, String> {
        match root.is_absolute() {
            true => load::import(root, path),
            false => Err("the file that imports it is not saved yet".to_owned()),
        }
    }

    fn read(&self, file: &Path) -> Option<String> {
        file.is_absolute().then(|| load::regular_text(file))?
    }

    /// Links are not followed, and what is hidden or made by tools is left out.
    fn pipelines(&self, folder: &Path) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        let mut open = vec![folder.to_owned()];
        let mut entries = 0;
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                entries += 1;
                if entries > ENTRIES_MAX || paths.len() >= FILES_MAX {
                    return paths;
                }
                let (path, name) = (entry.path(), entry.file_name());
                let name = name.to_string_lossy();
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                if kind.is_dir() {
                    let is_of_tools = matches!(&*name, "node_modules" | "target" | "vendor");
                    if !name.starts_with('.') && !is_of_tools {
                        open.push(path);
                    }
                } else if kind.is_file() && name.ends_with(".kon") {
                    paths.push(path);
                }
            }
        }
        paths
    }
}
