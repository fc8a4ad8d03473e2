//! Renaming, across files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use gen_lsp_types::{Position, PrepareRenamePlaceholder, Range, TextEdit, Uri, WorkspaceEdit};
use konductor_dsl::is_name;

use super::place::everywhere;
use crate::analysis::Analysis;
use crate::names::{Kind, Names, Symbol};
use crate::world::World;

/// What is renamed at a position.
pub(crate) fn prepare(analysis: &Analysis, position: Position) -> Option<PrepareRenamePlaceholder> {
    let occurrence = analysis.names.at(analysis.offset(position))?;
    Some(PrepareRenamePlaceholder {
        range: analysis.range(occurrence.span),
        placeholder: analysis.names.symbols.get(occurrence.symbol)?.name.clone(),
    })
}

/// Renames what is at a position.
///
/// # Errors
/// If the new name is none, or already has a meaning where it would be used: why, in a few words.
pub(crate) fn rename(
    world: &World,
    path: &Path,
    position: Position,
    name: &str,
) -> Result<WorkspaceEdit, String> {
    if !is_name(name) {
        return Err(format!(
            "`{name}` can't be a name: use lower-case letters, digits and single `-`, starting with a \
             letter, and no word of the language"
        ));
    }
    let analysis = world.analysis(path).ok_or("the file can't be read")?;
    let offset = analysis.offset(position);
    let symbol = analysis.names.symbol_at(offset);
    let symbol = symbol.ok_or("there is no name here")?;
    let mut files: BTreeMap<PathBuf, Vec<Range>> = BTreeMap::new();
    for (file, range) in everywhere(world, path, &analysis, symbol) {
        files.entry(file).or_default().push(range);
    }
    // A file that sees the declaration may have the name already, also if it does not use what is renamed.
    let mut seen_by: BTreeSet<PathBuf> = files.keys().cloned().collect();
    if symbol.kind.is_shared() {
        seen_by.extend(world.files());
    }
    let declared = analysis.path(symbol.declared.source);
    for file in &seen_by {
        let other = world.analysis(file);
        let other = other.filter(|other| other.source_of(&declared).is_some());
        if let Some(kind) = other.and_then(|other| clash(&other, &analysis, symbol, name)) {
            let file = file.display();
            return Err(format!("`{name}` is already declared in {file}: a {kind}"));
        }
    }
    let changes = files.into_iter().map(|(file, ranges)| {
        let edits = ranges.into_iter().map(|range| TextEdit {
            range,
            new_text: name.to_owned(),
        });
        (world.uri(&file), edits.collect())
    });
    Ok(WorkspaceEdit {
        changes: Some(changes.collect::<HashMap<Uri, Vec<TextEdit>>>()),
        document_changes: None,
        change_annotations: None,
    })
}

/// What has a name already, where it would mean the renamed symbol, too.
fn clash(
    other: &Analysis,
    analysis: &Analysis,
    symbol: &Symbol,
    name: &str,
) -> Option<&'static str> {
    let owner = |names: &Names, symbol: &Symbol| {
        let owner = names.symbols.get(symbol.owner?)?;
        Some(owner.name.clone())
    };
    let own = owner(&analysis.names, symbol);
    let mut symbols = other.names.symbols.iter();
    let clashing = symbols.find(|candidate| {
        let beside = owner(&other.names, candidate) == own;
        let meets = match symbol.kind {
            Kind::Pipeline => false,
            Kind::Template => candidate.kind == Kind::Template,
            Kind::Output | Kind::Argument => candidate.kind == symbol.kind && beside,
            Kind::Loop => candidate.kind.is_declared() || candidate.kind == Kind::Loop && beside,
            Kind::Param
            | Kind::Stage
            | Kind::Approval
            | Kind::Semaphore
            | Kind::Lease
            | Kind::Workspace => candidate.kind.is_declared() || candidate.kind == Kind::Loop,
        };
        meets && candidate.name == name
    })?;
    Some(clashing.kind.word())
}
