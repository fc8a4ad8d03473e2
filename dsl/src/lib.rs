//! Pipeline text to a syntax tree with spans, and the registry of diagnostics.
//!
//! What enters: the text of a file. What leaves: an [`ast::File`] with as much as could be read,
//! and [`Diagnostic`]s. What must never happen here: Kubernetes, the file system, a decision about
//! what a name refers to.
#![deny(clippy::string_slice)]

pub mod ast;
pub mod build;
mod code;
mod cut;
mod diagnostic;
mod fix;
mod format;
pub mod limits;
mod name;
mod parse;
mod recover;
mod slip;
mod source;
mod text;
mod token;
mod write;

pub use code::{CODES, Code};
pub use diagnostic::{Diagnostic, Label, Severity, did_you_mean};
pub use fix::{Change, Edit, Fix, Fixed, Piece, TextEdit, apply, apply_fixes};
pub use format::format;
pub use name::{is_name, nearest_name};
pub use parse::parse;
pub use slip::meant_end;
pub use source::{Source, SourceId, Sources, Span, Spanned, source_name};
pub use token::{Kind as TokenKind, Token, tokens};
