//! Where text comes from, and places in it.

use crate::cut::Cut;
use std::path::Path;
use std::sync::Arc;

/// One of the files that belong to a pipeline: the root file is the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u16);

/// A place in a source, in bytes; `end` is not part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Which source.
    pub source: SourceId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// From the start of this place to the end of another in the same source.
    pub fn to(self, end: Self) -> Self {
        Self {
            end: end.end.max(self.end),
            ..self
        }
    }

    /// How many bytes it covers.
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether it covers nothing.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// A value and where it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it is written.
    pub span: Span,
}

/// The text of one file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Which one it is.
    pub id: SourceId,
    /// Its name, as it was given on the command line or in an import.
    pub name: String,
    /// Its text.
    pub text: Arc<str>,
}

impl Source {
    /// The text at a place; empty if the place is outside.
    pub fn slice(&self, span: Span) -> &str {
        self.text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// The line and column of a byte, counted from 1; the column counts characters.
    pub fn line_column(&self, offset: u32) -> (usize, usize) {
        let before = self.text.get(..offset as usize).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        (line, before.cut(line_start..).chars().count() + 1)
    }
}

/// The files of one pipeline: the root file and what it imports.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// Returns the name of a file as a source: its path, with `/` between folders on every system.
pub fn source_name(file: &Path) -> String {
    let path = file.to_string_lossy();
    path.replace(std::path::MAIN_SEPARATOR, "/")
}

impl Sources {
    /// Adds a file; the first one is the root.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        let id = SourceId(u16::try_from(self.files.len()).unwrap_or(u16::MAX));
        self.files.push(Source {
            id,
            name: name.into(),
            text: text.into(),
        });
        id
    }

    /// A file that was added.
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.files.get(id.0 as usize)
    }

    /// Every file, the root first.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }
}
