//! The files that an editor has open, and those beside them on disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use gen_lsp_types::{Range, Uri};
use jiff::Timestamp;
use konductor_compiler::{Options, repair};
use konductor_dsl::source_name;

use crate::analysis::Analysis;
use crate::position::{Encoding, Lines};
use crate::uri;

/// What is on disk.
pub trait Disk {
    /// Reads what a root file imports: a path relative to its folder.
    ///
    /// # Errors
    /// If it can't be read: why, in a few words.
    fn import(&self, root: &Path, path: &str) -> Result<String, String>;

    /// Reads a file; `None` if it can't be read.
    fn read(&self, file: &Path) -> Option<String>;

    /// Lists the pipeline files in a folder and below.
    fn pipelines(&self, folder: &Path) -> Vec<PathBuf>;
}

/// A file that is open in the editor.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) text: Arc<str>,
    pub(crate) version: i32,
    /// What the editor calls it: there is more than one way to write the same.
    pub(crate) uri: Uri,
}

/// Every file, open or on disk; what is open counts.
pub(crate) struct World {
    disk: Box<dyn Disk>,
    pub(crate) encoding: Encoding,
    pub(crate) folders: Vec<PathBuf>,
    open: BTreeMap<PathBuf, Document>,
    /// What is known of the open files that were asked about since they changed. Nobody reports a change of
    /// the others, and there may be many.
    analyses: RefCell<BTreeMap<PathBuf, Rc<Analysis>>>,
}

impl World {
    pub(crate) fn new(disk: Box<dyn Disk>) -> Self {
        Self {
            disk,
            encoding: Encoding::default(),
            folders: Vec::new(),
            open: BTreeMap::new(),
            analyses: RefCell::default(),
        }
    }

    /// The open files.
    pub(crate) fn open(&self) -> impl Iterator<Item = (&Path, &Document)> {
        self.open
            .iter()
            .map(|(path, document)| (path.as_path(), document))
    }

    pub(crate) fn document(&self, path: &Path) -> Option<&Document> {
        self.open.get(path)
    }

    /// What the editor calls a file.
    pub(crate) fn uri(&self, path: &Path) -> Uri {
        let open = self.open.get(path);
        open.map_or_else(|| uri::of(path), |document| document.uri.clone())
    }

    /// The editor has a new text of a file; `None` if it was closed.
    pub(crate) fn set(&mut self, path: &Path, document: Option<Document>) {
        match document {
            Some(document) => self.open.insert(path.to_owned(), document),
            None => self.open.remove(path),
        };
        let analyses = self.analyses.get_mut();
        analyses.retain(|root, analysis| root != path && !analysis.depends_on(path));
    }

    /// A part of an open file changed; without a range, all of it.
    pub(crate) fn change(&mut self, path: &Path, version: i32, range: Option<Range>, new: &str) {
        let Some(document) = self.open.get(path) else {
            return;
        };
        let text: Arc<str> = match range {
            None => new.into(),
            Some(range) => {
                let lines = Lines::of(&document.text, self.encoding);
                let start = lines.offset(&document.text, range.start);
                let end = lines.offset(&document.text, range.end).max(start);
                let (before, behind) = (document.text.get(..start), document.text.get(end..));
                let parts = [before.unwrap_or_default(), new, behind.unwrap_or_default()];
                parts.concat().into()
            }
        };
        let uri = document.uri.clone();
        self.set(path, Some(Document { text, version, uri }));
    }

    /// Files on disk changed.
    pub(crate) fn forget(&mut self) {
        self.analyses.get_mut().clear();
    }

    /// What is known of a file as the root of a pipeline.
    pub(crate) fn analysis(&self, path: &Path) -> Option<Rc<Analysis>> {
        if let Some(analysis) = self.analyses.borrow().get(path) {
            return Some(Rc::clone(analysis));
        }
        let text = match self.open.get(path) {
            Some(document) => Arc::clone(&document.text),
            None => self.disk.read(path)?.into(),
        };
        let read = |import: &str| self.import(path, import);
        let now = Timestamp::now();
        let analysis = Rc::new(Analysis::of(path, text, &read, self.encoding, now));
        if self.open.contains_key(path) {
            let mut analyses = self.analyses.borrow_mut();
            analyses.insert(path.to_owned(), Rc::clone(&analysis));
        }
        Some(analysis)
    }

    /// What a file imports: as it is open, else as it is on disk. What may not be imported, such as a link to a
    /// file elsewhere, may not be when it is open.
    fn import(&self, root: &Path, import: &str) -> Result<String, String> {
        let file = root.parent().unwrap_or(Path::new("")).join(import);
        let on_disk = self.disk.import(root, import);
        match self.open.get(&file) {
            Some(open) if on_disk.is_ok() || self.disk.read(&file).is_none() => {
                Ok(open.text.to_string())
            }
            _ => on_disk,
        }
    }

    /// The text of a file with the fixes that `koncli check --fix` applies.
    pub(crate) fn repaired(&self, path: &Path, text: &str) -> String {
        let read = |import: &str| self.import(path, import);
        let mut options = Options::at(Timestamp::now());
        options.read_import = &read;
        repair(&source_name(path), text.to_owned(), &options).text
    }

    /// Every open file, and those in the folders of the workspace.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let on_disk = self
            .folders
            .iter()
            .flat_map(|folder| self.disk.pipelines(folder));
        let mut files: Vec<PathBuf> = on_disk.chain(self.open.keys().cloned()).collect();
        files.sort();
        files.dedup();
        files
    }
}
