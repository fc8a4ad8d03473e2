//! The outline of a file, and the names of the workspace.

use std::collections::BTreeMap;

use gen_lsp_types::{
    BaseSymbolInformation, DocumentSymbol, Location, SymbolKind, WorkspaceSymbol,
    WorkspaceSymbolLocation,
};

use crate::analysis::Analysis;
use crate::names::{Kind, Symbol};
use crate::world::World;

/// How many names are found at most.
const FOUND_MAX: usize = 1_000;

fn kind(kind: Kind) -> SymbolKind {
    match kind {
        Kind::Pipeline => SymbolKind::Module,
        Kind::Param | Kind::Argument => SymbolKind::Constant,
        Kind::Loop => SymbolKind::Variable,
        Kind::Stage => SymbolKind::Function,
        Kind::Approval => SymbolKind::Event,
        Kind::Semaphore | Kind::Lease => SymbolKind::Key,
        Kind::Workspace => SymbolKind::File,
        Kind::Output => SymbolKind::Field,
        Kind::Template => SymbolKind::Class,
    }
}

/// The outline of a file.
pub(crate) fn outline(analysis: &Analysis) -> Vec<DocumentSymbol> {
    let symbols = &analysis.names.symbols;
    let own = |symbol: &Symbol| symbol.declared.source.0 == 0;
    let mut children: BTreeMap<usize, Vec<DocumentSymbol>> = BTreeMap::new();
    for symbol in symbols.iter().filter(|symbol| own(symbol)) {
        if let Some(owner) = symbol.owner {
            let entry = entry(analysis, symbol, Vec::new());
            children.entry(owner).or_default().push(entry);
        }
    }
    let all = symbols.iter().enumerate();
    let top = all.filter(|(_, symbol)| own(symbol) && symbol.owner.is_none());
    let mut outline: Vec<DocumentSymbol> = Vec::new();
    let mut pipeline: Option<DocumentSymbol> = None;
    for (index, symbol) in top {
        let inner = children.remove(&index).unwrap_or_default();
        let entry = entry(analysis, symbol, inner);
        match (symbol.kind, &mut pipeline) {
            (Kind::Pipeline, before) => outline.extend(before.replace(entry)),
            (Kind::Template, _) | (_, None) => outline.push(entry),
            (_, Some(pipeline)) => pipeline.children.get_or_insert_default().push(entry),
        }
    }
    outline.extend(pipeline);
    for entry in &mut outline {
        sort(entry.children.as_deref_mut().unwrap_or_default());
    }
    sort(&mut outline);
    outline
}

/// By place: what could not be read was found after the rest.
fn sort(entries: &mut [DocumentSymbol]) {
    entries.sort_by_key(|entry| {
        let start = entry.selection_range.start;
        (start.line, start.character)
    });
}

#[expect(deprecated, reason = "a field that is deprecated has no default")]
fn entry(analysis: &Analysis, symbol: &Symbol, children: Vec<DocumentSymbol>) -> DocumentSymbol {
    DocumentSymbol {
        name: symbol.name.clone(),
        detail: Some(symbol.kind.word().to_owned()),
        kind: kind(symbol.kind),
        tags: None,
        deprecated: None,
        range: analysis.range(symbol.whole),
        selection_range: analysis.range(symbol.declared),
        children: (!children.is_empty()).then_some(children),
    }
}

/// The names of all files of the workspace that have a text in them.
pub(crate) fn search(world: &World, query: &str) -> Vec<WorkspaceSymbol> {
    let query = query.to_lowercase();
    let mut symbols = Vec::new();
    for file in world.files() {
        let Some(analysis) = world.analysis(&file) else {
            continue;
        };
        for symbol in &analysis.names.symbols {
            if symbol.declared.source.0 != 0 || !symbol.name.contains(&query) {
                continue;
            }
            let owner = symbol
                .owner
                .and_then(|owner| analysis.names.symbols.get(owner));
            symbols.push(WorkspaceSymbol {
                location: WorkspaceSymbolLocation::Location(Location {
                    uri: world.uri(&file),
                    range: analysis.range(symbol.declared),
                }),
                data: None,
                base_symbol_information: BaseSymbolInformation {
                    name: symbol.name.clone(),
                    kind: kind(symbol.kind),
                    tags: None,
                    container_name: owner.map(|owner| owner.name.clone()),
                },
            });
            if symbols.len() >= FOUND_MAX {
                return symbols;
            }
        }
    }
    symbols
}
