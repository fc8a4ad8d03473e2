//! The names of a file and its imports: where each is declared, and where it is used.
//!
//! What enters: syntax trees. What leaves: symbols, and the places that mean them. What must never happen
//! here: a place whose text is not the symbol's name, because a rename would write over it. Of a part that can't
//! be read, only what it declares is found.

mod broken;
mod scope;

use std::collections::HashMap;

use konductor_dsl::{Sources, Span, ast};

use scope::Walk;

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Pipeline,
    Param,
    Loop,
    Stage,
    Approval,
    Semaphore,
    Lease,
    Workspace,
    Output,
    Template,
    /// A parameter of a template.
    Argument,
}

impl Kind {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Param => "param",
            Self::Loop => "loop variable",
            Self::Stage => "stage",
            Self::Approval => "approval",
            Self::Semaphore => "semaphore",
            Self::Lease => "lease",
            Self::Workspace => "workspace",
            Self::Output => "output",
            Self::Template => "template",
            Self::Argument => "parameter",
        }
    }

    /// Whether it shares its names with all others that a pipeline declares.
    pub(crate) fn is_declared(self) -> bool {
        match self {
            Self::Param
            | Self::Stage
            | Self::Approval
            | Self::Semaphore
            | Self::Lease
            | Self::Workspace => true,
            Self::Pipeline | Self::Loop | Self::Output | Self::Template | Self::Argument => false,
        }
    }

    /// Whether other files can use it.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Template | Self::Argument)
    }
}

/// Something with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// Where the name is declared.
    pub(crate) declared: Span,
    /// The whole declaration.
    pub(crate) whole: Span,
    /// What it belongs to: the stage of an output or loop variable, the template of a parameter.
    pub(crate) owner: Option<usize>,
}

/// A place that means a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Occurrence {
    pub(crate) span: Span,
    pub(crate) symbol: usize,
}

/// The names of a file and its imports.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) symbols: Vec<Symbol>,
    /// By place, declarations included.
    occurrences: Vec<Occurrence>,
    /// The symbol of each declared name, by its place.
    declared: HashMap<Span, usize>,
    /// Where `*` stands for all values of a loop variable.
    pub(crate) every: Vec<Span>,
}

impl Names {
    /// The names in syntax trees; `is_whole` says of each file whether all of it could be read.
    pub(crate) fn of(sources: &Sources, files: &[ast::File], is_whole: &[bool]) -> Self {
        let broken = sources.iter().zip(is_whole);
        let broken = broken.map(|(source, is_whole)| match is_whole {
            true => Vec::new(),
            false => broken::declarations(source),
        });
        let broken: Vec<_> = broken.collect();
        let mut walk = Walk::new(sources, files, &broken);
        walk.all();
        let Walk { mut names, .. } = walk;
        names.occurrences.sort_unstable();
        names.occurrences.dedup();
        names
    }

    /// What is named at a byte of the root file: at its first, within it, or behind its last.
    pub(crate) fn at(&self, offset: u32) -> Option<Occurrence> {
        let root = self
            .occurrences
            .iter()
            .filter(|occurrence| occurrence.span.source.0 == 0);
        let mut near = root
            .filter(|occurrence| occurrence.span.start <= offset && offset <= occurrence.span.end);
        near.next().copied()
    }

    /// The symbol that is named at a byte of the root file.
    pub(crate) fn symbol_at(&self, offset: u32) -> Option<&Symbol> {
        self.symbols.get(self.at(offset)?.symbol)
    }

    /// Every place that means a symbol, in source order.
    pub(crate) fn places(&self, symbol: usize) -> impl Iterator<Item = Span> {
        let all = self.occurrences.iter();
        all.filter(move |occurrence| occurrence.symbol == symbol)
            .map(|occurrence| occurrence.span)
    }

    /// Every place of the root file, and its symbol.
    pub(crate) fn of_root(&self) -> impl Iterator<Item = (Span, &Symbol)> {
        let root = self
            .occurrences
            .iter()
            .filter(|occurrence| occurrence.span.source.0 == 0);
        root.filter_map(|occurrence| Some((occurrence.span, self.symbols.get(occurrence.symbol)?)))
    }

    /// The symbol that is declared at a place.
    pub(crate) fn declared_at(&self, declared: Span) -> Option<usize> {
        self.declared.get(&declared).copied()
    }

    /// The symbols of a kind, in source order.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (usize, &Symbol)> {
        let all = self.symbols.iter().enumerate();
        all.filter(move |(_, symbol)| symbol.kind == kind)
    }
}
