//! Code actions: the fixes of the diagnostics at a place, and all that are certain in a file.

use std::collections::HashMap;
use std::path::Path;

use gen_lsp_types::{CodeAction, CodeActionKind, Range, TextEdit, Uri, WorkspaceEdit};

use super::{diagnostic, layout};
use crate::world::World;

/// The kind of the action that fixes a whole file: one of its own, so that editors can ask for it and no other.
pub(crate) const FIX_ALL: CodeActionKind = CodeActionKind::new("source.fixAll.konductor");

/// Whether a kind is another, or of those that it stands for: `source` for `source.fixAll`, and an empty one for all.
fn is_within(kind: &CodeActionKind, ancestor: &CodeActionKind) -> bool {
    let (kind, ancestor) = (kind.to_string(), ancestor.to_string());
    let rest = kind.strip_prefix(&ancestor);
    rest.is_some_and(|rest| ancestor.is_empty() || rest.is_empty() || rest.starts_with('.'))
}

/// The actions of the kinds that are asked for: quick fixes, and if it is named, the fix of a whole file.
pub(crate) fn at(
    world: &World,
    path: &Path,
    range: Range,
    only: Option<&[CodeActionKind]>,
) -> Vec<CodeAction> {
    let mut actions = Vec::new();
    let is_asked = |kind: &CodeActionKind| {
        let mut only = only.unwrap_or_default().iter();
        only.any(|ancestor| is_within(kind, ancestor))
    };
    if only.is_none() || is_asked(&CodeActionKind::QuickFix) {
        actions.extend(quick_fixes(world, path, range));
    }
    if is_asked(&FIX_ALL) {
        actions.extend(fix_all(world, path));
    }
    actions
}

/// The fixes of all diagnostics of a file that touch a range.
fn quick_fixes(world: &World, path: &Path, range: Range) -> Vec<CodeAction> {
    let mut actions: Vec<CodeAction> = Vec::new();
    for (root, _) in world.open() {
        let Some(analysis) = world.analysis(root) else {
            continue;
        };
        for reported in &analysis.compiled.diagnostics {
            let place = analysis.range(reported.span());
            let touches = place.start <= range.end && range.start <= place.end;
            if !touches || analysis.path(reported.span().source) != path {
                continue;
            }
            for fix in &reported.fixes {
                let mut changes: HashMap<Uri, Vec<TextEdit>> = HashMap::new();
                for edit in fix.text_edits(&analysis.compiled.sources) {
                    let file = world.uri(&analysis.path(edit.span.source));
                    changes.entry(file).or_default().push(TextEdit {
                        range: analysis.range(edit.span),
                        new_text: edit.text,
                    });
                }
                let title = capitalized(&fix.message);
                let action = CodeAction {
                    diagnostics: Some(vec![diagnostic::of(world, &analysis, reported)]),
                    is_preferred: Some(reported.certain_fix().is_some()),
                    ..action(title, CodeActionKind::QuickFix, changes)
                };
                if !actions.contains(&action) {
                    actions.push(action);
                }
            }
        }
    }
    actions
}

/// Every fix of a file that is certain; none if there is nothing to fix.
fn fix_all(world: &World, path: &Path) -> Option<CodeAction> {
    let analysis = world.analysis(path)?;
    let repaired = world.repaired(path, analysis.text());
    let edits = layout::difference(analysis.lines()?, analysis.text(), &repaired);
    let title = "Fix all that is certain".to_owned();
    let changes = HashMap::from([(world.uri(path), edits)]);
    (repaired != analysis.text()).then(|| action(title, FIX_ALL, changes))
}

fn action(title: String, kind: CodeActionKind, changes: HashMap<Uri, Vec<TextEdit>>) -> CodeAction {
    CodeAction {
        title,
        kind: Some(kind),
        diagnostics: None,
        is_preferred: None,
        disabled: None,
        edit: Some(WorkspaceEdit {
            changes: Some(changes),
            document_changes: None,
            change_annotations: None,
        }),
        command: None,
        data: None,
        tags: None,
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_asked_for_by_each_that_it_is_within() {
        for (ancestor, expected) in [
            ("", true),
            ("source", true),
            ("source.fixAll", true),
            ("source.fixAll.konductor", true),
            ("source.fix", false),
            ("source.fixAll.eslint", false),
            ("quickfix", false),
        ] {
            let ancestor = CodeActionKind::from(ancestor.to_owned());
            assert_eq!(is_within(&FIX_ALL, &ancestor), expected, "{ancestor}");
        }
    }
}
