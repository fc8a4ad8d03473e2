//! Formatting.

use gen_lsp_types::{Range, TextEdit};
use konductor_dsl::{SourceId, format};

use crate::analysis::Analysis;
use crate::position::Lines;

/// The edit that lays a file out in the one style there is; none if it is, or if it can't be read.
pub(crate) fn all(analysis: &Analysis) -> Vec<TextEdit> {
    let Some(source) = analysis.source(SourceId::default()) else {
        return Vec::new();
    };
    let (Ok(formatted), Some(lines)) = (format(source), analysis.lines()) else {
        return Vec::new();
    };
    difference(lines, &source.text, &formatted)
}

/// The edit that makes another text of one: only the lines between the first and the last that change, so that
/// the cursor stays where it is.
pub(crate) fn difference(lines: &Lines, text: &str, new: &str) -> Vec<TextEdit> {
    if new == text {
        return Vec::new();
    }
    let same = |(old, new): &(&str, &str)| old == new;
    let pairs = text.split_inclusive('\n').zip(new.split_inclusive('\n'));
    let before: usize = pairs.take_while(same).map(|(line, _)| line.len()).sum();
    let (old, new) = (text.get(before..), new.get(before..));
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let pairs = old
        .split_inclusive('\n')
        .rev()
        .zip(new.split_inclusive('\n').rev());
    let behind: usize = pairs.take_while(same).map(|(line, _)| line.len()).sum();
    let at = |offset: usize| lines.position(text, u32::try_from(offset).unwrap_or(u32::MAX));
    vec![TextEdit {
        range: Range {
            start: at(before),
            end: at(text.len() - behind),
        },
        new_text: new.get(..new.len() - behind).unwrap_or_default().to_owned(),
    }]
}
