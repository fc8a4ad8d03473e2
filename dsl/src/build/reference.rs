//! References to parameters, loop variables, outputs and what the run knows.

use super::{NOWHERE, Number, Text, name};
use crate::ast;

/// A reference to a value: `day`, `sample.name`, `extract[region].rows`, `run.date`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ref(ast::Ref);

impl Ref {
    /// A parameter, a loop variable or a stage.
    pub fn to(head: impl Into<String>) -> Self {
        Self(ast::Ref {
            head: name(head),
            address: None,
            fields: Vec::new(),
            span: NOWHERE,
        })
    }

    /// `run.name`, `run.date`, `run.time`, and in finally stages `run.outcome`.
    pub fn run(field: impl Into<String>) -> Self {
        Self::to("run").field(field)
    }

    /// The fencing token of a lease that the stage holds.
    pub fn token(lease: impl Into<String>) -> Self {
        Self::to("token").field(lease)
    }

    /// The path at which the stage has mounted a workspace.
    pub fn workspace(workspace: impl Into<String>) -> Self {
        Self::to("workspace").field(workspace)
    }

    /// The path to which the stage itself writes a file or folder.
    pub fn own_output(output: impl Into<String>) -> Self {
        Self::to("output").field(output)
    }

    /// An item of a stage: one index for each of its loop variables. With [`Index::every`], all items that the
    /// others leave; their outputs are a list.
    #[must_use]
    pub fn item<I: Into<Index>>(mut self, indices: impl IntoIterator<Item = I>) -> Self {
        self.0.address = Some(address(indices));
        self
    }

    /// A field of a record, or an output of a stage.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.0.fields.push(name(field));
        self
    }

    /// As it is inside of a text, where no index can be a block.
    pub(super) fn on_one_line(mut self) -> ast::Ref {
        for index in self.0.address.iter_mut().flat_map(|all| &mut all.indices) {
            if let ast::Index::String(text) = index {
                text.block = false;
            }
        }
        self.0
    }

    /// The reference in double quotes: one word for the shell, whatever is in it.
    #[must_use]
    pub fn quoted(&self) -> Text {
        Text::from("\"").with(self).with("\"")
    }
}

impl From<Ref> for ast::Ref {
    fn from(reference: Ref) -> Self {
        reference.0
    }
}

impl From<&Ref> for Ref {
    fn from(reference: &Ref) -> Self {
        reference.clone()
    }
}

pub(super) fn address<I: Into<Index>>(indices: impl IntoIterator<Item = I>) -> ast::Address {
    ast::Address {
        indices: indices.into_iter().map(|index| index.into().0).collect(),
        span: NOWHERE,
    }
}

/// One index of an item: a string, a number, a loop variable, a parameter, or `*` for each value.
#[derive(Clone, Debug, PartialEq)]
pub struct Index(ast::Index);

impl Index {
    /// A loop variable or a parameter.
    pub fn variable(variable: impl Into<String>) -> Self {
        Self(ast::Index::Name(name(variable)))
    }

    /// Each value of the variable: `*`.
    pub fn every() -> Self {
        Self(ast::Index::Every(NOWHERE))
    }
}

impl<N: Into<Number>> From<N> for Index {
    fn from(number: N) -> Self {
        Self(ast::Index::Number(number.into().into()))
    }
}

impl From<&str> for Index {
    fn from(text: &str) -> Self {
        Text::from(text).line().into()
    }
}

impl From<String> for Index {
    fn from(text: String) -> Self {
        Text::from(text).line().into()
    }
}

impl From<Text> for Index {
    fn from(text: Text) -> Self {
        Self(ast::Index::String(text.into()))
    }
}
