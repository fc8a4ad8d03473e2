//! Whole files, and what becomes of them.

use std::fmt;

use super::{NOWHERE, Pipeline, Template, Text};
use crate::limits::ERRORS_MAX;
use crate::write::write;
use crate::{Diagnostic, Source, SourceId, ast, format, parse};

/// A file: imports, templates and a pipeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File(ast::File);

impl File {
    /// A file with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Imports the templates of another file; the path is relative to this one.
    #[must_use]
    pub fn import(mut self, path: impl Into<Text>) -> Self {
        self.0.imports.push(ast::Import {
            path: path.into().into(),
            span: NOWHERE,
        });
        self
    }

    /// Adds a template.
    #[must_use]
    pub fn template(mut self, template: Template) -> Self {
        self.0.templates.push(template.into());
        self
    }

    /// Adds the pipeline.
    #[must_use]
    pub fn pipeline(mut self, pipeline: Pipeline) -> Self {
        self.0.pipelines.push(pipeline.into());
        self
    }

    /// The syntax tree, without places.
    pub fn ast(&self) -> &ast::File {
        &self.0
    }

    /// Writes the file, laid out as `koncli fmt` does, and reads it back. `name` is what it is called
    /// in diagnostics; imports are found relative to it.
    ///
    /// # Errors
    /// [`Rejected`] where something can't be written: an invalid name, an invalid number, or
    /// more than a file may have. Nothing is left out of it.
    pub fn build(&self, name: impl Into<String>) -> Result<Built, Rejected> {
        let (text, mut diagnostics) = write(&self.0);
        diagnostics.sort_by_key(|reported| reported.span().start);
        diagnostics.truncate(ERRORS_MAX);
        let written = Source {
            id: SourceId::default(),
            name: name.into(),
            text: text.into(),
        };
        let laid_out = match diagnostics.is_empty() {
            true => format(&written),
            false => Err(diagnostics),
        };
        match laid_out {
            Ok(text) => {
                let source = Source {
                    text: text.into(),
                    ..written
                };
                let (file, _) = parse(&source);
                Ok(Built { source, file })
            }
            Err(diagnostics) => Err(Rejected {
                source: written,
                diagnostics,
            }),
        }
    }
}

impl From<Pipeline> for File {
    fn from(pipeline: Pipeline) -> Self {
        Self::new().pipeline(pipeline)
    }
}

/// A file that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its text: what goes into a `.kon` file, and what the compiler takes.
    pub source: Source,
    /// Its syntax tree, with places in that text.
    pub file: ast::File,
}

/// A file that can't be written as it was built.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The text as far as it can be written: the diagnostics point into it.
    pub source: Source,
    /// What is wrong, in the order of the text, only the first ones if there are very many; never empty.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, reported) in self.diagnostics.iter().enumerate() {
            let (line, column) = self.source.line_column(reported.span().start);
            let name = &self.source.name;
            formatter.write_str(if index > 0 { "\n" } else { "" })?;
            write!(
                formatter,
                "{name}:{line}:{column}: {} {}",
                reported.code, reported.message
            )?;
            let here = reported.labels.first().map(|label| &*label.text);
            for more in here.into_iter().chain(reported.help.as_deref()) {
                if !more.is_empty() {
                    write!(formatter, "; {more}")?;
                }
            }
        }
        Ok(())
    }
}

impl std::error::Error for Rejected {}
