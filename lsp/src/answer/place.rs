//! Definitions, references and highlights: the places of a name.

use std::path::{Path, PathBuf};

use gen_lsp_types::{DocumentHighlight, DocumentHighlightKind, Location, Position, Range};

use crate::analysis::Analysis;
use crate::names::Symbol;
use crate::world::World;

/// Where the name at a position is declared; at the path of an import, the file.
pub(crate) fn definition(
    world: &World,
    analysis: &Analysis,
    position: Position,
) -> Option<Location> {
    let offset = analysis.offset(position);
    if let Some(symbol) = analysis.names.symbol_at(offset) {
        return Some(location(world, analysis, symbol.declared));
    }
    let mut imports = analysis.root()?.imports.iter();
    let import = imports.find(|import| {
        let span = import.path.span;
        span.start <= offset && offset <= span.end
    })?;
    let folder = analysis.path(import.span.source);
    let file = folder.parent()?.join(import.path.plain()?);
    let file = analysis.source_of(&normalized(&file))?;
    Some(Location {
        uri: world.uri(Path::new(&file.name)),
        range: Range::default(),
    })
}

/// Every place that means the symbol at a position, in this file, in those that it imports, and if others
/// can use it, in those of the workspace.
pub(crate) fn references(
    world: &World,
    path: &Path,
    position: Position,
    with_declaration: bool,
) -> Vec<Location> {
    let Some(analysis) = world.analysis(path) else {
        return Vec::new();
    };
    let Some(symbol) = analysis.names.symbol_at(analysis.offset(position)) else {
        return Vec::new();
    };
    let declared = location(world, &analysis, symbol.declared);
    let places = everywhere(world, path, &analysis, symbol).into_iter();
    let places = places.map(|(file, range)| Location {
        uri: world.uri(&file),
        range,
    });
    places
        .filter(|place| with_declaration || *place != declared)
        .collect()
}

/// Every place that means a symbol, by file; each once.
pub(crate) fn everywhere(
    world: &World,
    path: &Path,
    analysis: &Analysis,
    symbol: &Symbol,
) -> Vec<(PathBuf, Range)> {
    let mut roots = vec![path.to_owned()];
    if symbol.kind.is_shared() {
        roots.extend(world.files());
    }
    let file = analysis.path(symbol.declared.source);
    let mut places: Vec<(PathBuf, Range)> = Vec::new();
    for root in roots {
        let Some(other) = world.analysis(&root) else {
            continue;
        };
        let Some(source) = other.source_of(&file).map(|source| source.id) else {
            continue;
        };
        let declared = konductor_dsl::Span {
            source,
            ..symbol.declared
        };
        let Some(index) = other.names.declared_at(declared) else {
            continue;
        };
        let spans = other.names.places(index);
        places.extend(spans.map(|span| (other.path(span.source), other.range(span))));
    }
    places.sort_by(|left, right| {
        let start = |place: &(PathBuf, Range)| (place.1.start.line, place.1.start.character);
        (&left.0, start(left)).cmp(&(&right.0, start(right)))
    });
    places.dedup();
    places
}

/// The places in this file that mean what the one at a position means.
pub(crate) fn highlights(analysis: &Analysis, position: Position) -> Vec<DocumentHighlight> {
    let Some(occurrence) = analysis.names.at(analysis.offset(position)) else {
        return Vec::new();
    };
    let symbol = analysis.names.symbols.get(occurrence.symbol);
    let places = analysis.names.places(occurrence.symbol);
    let places = places.filter(|span| span.source.0 == 0);
    places
        .map(|span| DocumentHighlight {
            range: analysis.range(span),
            kind: Some(match symbol.is_some_and(|symbol| symbol.declared == span) {
                true => DocumentHighlightKind::Write,
                false => DocumentHighlightKind::Read,
            }),
        })
        .collect()
}

fn location(world: &World, analysis: &Analysis, span: konductor_dsl::Span) -> Location {
    Location {
        uri: world.uri(&analysis.path(span.source)),
        range: analysis.range(span),
    }
}

/// A path without `.` and `..`.
fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            std::path::Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}
