//! `koncli check --fix`: the fixes of a file's diagnostics, applied until none is left.
//!
//! What enters: a file's text. What leaves: its text with the fixes, and what was fixed. What must never
//! happen here: a choice, or a change of an imported file.

use std::collections::HashSet;

use konductor_dsl::{Code, Fixed, SourceId, Sources, apply_fixes};

use crate::compile::{Compiled, check};
use crate::limits::FIX_ROUNDS_MAX;
use crate::options::Options;

/// A diagnostic that was fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Its code.
    pub code: Code,
    /// Its line in the text before all fixes, counted from 1.
    pub line: usize,
    /// Its column, counted from 1.
    pub column: usize,
    /// What was done.
    pub message: String,
}

/// A file after its fixes.
#[derive(Debug)]
pub struct Repaired {
    /// Its text.
    pub text: String,
    /// What was fixed, in the order in which it was.
    pub repairs: Vec<Repair>,
    /// What is reported about the text now.
    pub compiled: Compiled,
}

/// Fixes what has a certain fix. A fix may make room for another, so this repeats until none is left.
pub fn repair(name: &str, text: String, options: &Options<'_>) -> Repaired {
    let checked = |text: &str| {
        let mut sources = Sources::default();
        sources.add(name, text);
        check(sources, options)
    };
    let mut compiled = checked(&text);
    let mut originals = Sources::default();
    let original = originals.add(name, &*text);
    let mut repaired = text;
    let mut repairs = Vec::new();
    let mut rounds: Vec<Fixed> = Vec::new();
    let mut seen = HashSet::from([repaired.clone()]);
    for _ in 0..FIX_ROUNDS_MAX {
        let root = SourceId::default();
        let (sources, diagnostics) = (&compiled.sources, &compiled.diagnostics);
        let (Some(round), Some(source)) = (
            apply_fixes(sources, root, diagnostics),
            originals.get(original),
        ) else {
            break;
        };
        // These fixes undo each other.
        if !seen.insert(round.text.clone()) {
            break;
        }
        let fixed = round.fixed.iter().filter_map(|index| {
            let diagnostic = diagnostics.get(*index)?;
            let place = diagnostic.span().start;
            let before = rounds.iter().rev();
            let place = before.fold(place, |place, round| round.origin(place));
            let (line, column) = source.line_column(place);
            Some(Repair {
                code: diagnostic.code,
                line,
                column,
                message: diagnostic.certain_fix()?.message.clone(),
            })
        });
        repairs.extend(fixed);
        repaired.clone_from(&round.text);
        compiled = checked(&repaired);
        rounds.push(round);
    }
    Repaired {
        text: repaired,
        repairs,
        compiled,
    }
}
