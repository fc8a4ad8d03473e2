//! What can be folded: brackets, blocks and comments over several lines.

use gen_lsp_types::{FoldingRange, FoldingRangeKind};
use konductor_dsl::{TokenKind, tokens};

use crate::analysis::Analysis;

/// Everything of a file that can be folded, by its first line.
pub(crate) fn all(analysis: &Analysis) -> Vec<FoldingRange> {
    let mut folds = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    let mut comment: Option<(u32, u32)> = None;
    let Some(lines) = analysis.lines() else {
        return folds;
    };
    let at = |offset: usize| u32::try_from(lines.line_of(offset)).unwrap_or(u32::MAX);
    let mut fold = |start: u32, end: u32, kind: Option<FoldingRangeKind>| {
        if start < end {
            folds.push(FoldingRange {
                start_line: start,
                start_character: None,
                end_line: end,
                end_character: None,
                kind,
                collapsed_text: None,
            });
        }
    };
    for token in tokens(analysis.text()) {
        let (start, end) = (at(token.start), at(token.end));
        let is_line = token.kind == TokenKind::Comment && token.first_at.is_some();
        comment = match (comment, is_line) {
            (Some((first, last)), true) if last + 1 == start => Some((first, start)),
            (before, is_line) => {
                if let Some((first, last)) = before {
                    fold(first, last, Some(FoldingRangeKind::Comment));
                }
                is_line.then_some((start, start))
            }
        };
        match token.kind {
            TokenKind::Open => open.push(start),
            TokenKind::Close => {
                if let Some(first) = open.pop() {
                    // The line of the closing bracket stays.
                    fold(first, end.saturating_sub(1), None);
                }
            }
            TokenKind::String => fold(start, end, None),
            _ => {}
        }
    }
    if let Some((first, last)) = comment {
        fold(first, last, Some(FoldingRangeKind::Comment));
    }
    folds.sort_by_key(|fold| (fold.start_line, fold.end_line));
    folds.dedup();
    folds
}
