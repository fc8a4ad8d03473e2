//! Everything that is known of one file and its imports.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gen_lsp_types::{Position, Range};
use jiff::Timestamp;
use konductor_compiler::{Compiled, Options, check};
use konductor_dsl::{Code, Source, SourceId, Sources, Span, ast, source_name};

use crate::names::Names;
use crate::position::{Encoding, Lines};

/// A file as the root of a pipeline, at one moment.
#[derive(Debug)]
pub(crate) struct Analysis {
    pub(crate) compiled: Compiled,
    /// The syntax trees of its files, the root first.
    pub(crate) files: Vec<ast::File>,
    pub(crate) names: Names,
    lines: Vec<Lines>,
}

impl Analysis {
    pub(crate) fn of(
        root: &Path,
        text: Arc<str>,
        read: &dyn Fn(&str) -> Result<String, String>,
        encoding: Encoding,
        now: Timestamp,
    ) -> Self {
        let mut sources = Sources::default();
        sources.add(source_name(root), text);
        let mut options = Options::at(now);
        options.read_import = read;
        let mut compiled = check(sources, &options);
        let files = std::mem::take(&mut compiled.files);
        // What has a lower code is reported by the parser.
        let reported = compiled
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.is_error());
        let broken = reported.filter(|diagnostic| diagnostic.code < Code::K0201);
        let broken: BTreeSet<SourceId> =
            broken.map(|diagnostic| diagnostic.span().source).collect();
        let is_whole: Vec<bool> = files
            .iter()
            .map(|file| !broken.contains(&file.source))
            .collect();
        let lines = compiled.sources.iter();
        let lines = lines.map(|source| Lines::of(&source.text, encoding));
        Self {
            names: Names::of(&compiled.sources, &files, &is_whole),
            lines: lines.collect(),
            files,
            compiled,
        }
    }

    /// The root's syntax tree.
    pub(crate) fn root(&self) -> Option<&ast::File> {
        self.files.first()
    }

    pub(crate) fn source(&self, id: SourceId) -> Option<&Source> {
        self.compiled.sources.get(id)
    }

    /// The root's text.
    pub(crate) fn text(&self) -> &str {
        self.source(SourceId::default())
            .map_or("", |source| &source.text)
    }

    /// The file of a source.
    pub(crate) fn path(&self, id: SourceId) -> PathBuf {
        let source = self.source(id);
        PathBuf::from(source.map_or("", |source| &source.name))
    }

    /// The source of a file.
    pub(crate) fn source_of(&self, path: &Path) -> Option<&Source> {
        let mut sources = self.compiled.sources.iter();
        sources.find(|source| Path::new(&source.name) == path)
    }

    /// Whether a change of a file may change what is known of this one.
    pub(crate) fn depends_on(&self, path: &Path) -> bool {
        let mut reported = self.compiled.diagnostics.iter();
        self.source_of(path).is_some() || reported.any(|diagnostic| diagnostic.code == Code::K0212)
    }

    pub(crate) fn range(&self, span: Span) -> Range {
        let lines = self.lines.get(usize::from(span.source.0));
        match (lines, self.source(span.source)) {
            (Some(lines), Some(source)) => lines.range(&source.text, span),
            _ => Range::default(),
        }
    }

    /// The byte of a position in the root's text.
    pub(crate) fn offset(&self, position: Position) -> u32 {
        let offset = self
            .lines
            .first()
            .map_or(0, |lines| lines.offset(self.text(), position));
        u32::try_from(offset).unwrap_or(u32::MAX)
    }

    /// The lines of the root.
    pub(crate) fn lines(&self) -> Option<&Lines> {
        self.lines.first()
    }
}
