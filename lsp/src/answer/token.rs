//! Semantic tokens: what each name is of. Words and strings are coloured by the grammars for editors.

use gen_lsp_types::{SemanticToken, SemanticTokensLegend};

use crate::analysis::Analysis;
use crate::names::Kind;

/// The kinds of tokens, by their numbers.
const TYPES: [&str; 6] = [
    "namespace",
    "class",
    "function",
    "parameter",
    "variable",
    "property",
];
const DECLARATION: u32 = 1;

/// What the numbers of tokens mean.
pub(crate) fn legend() -> SemanticTokensLegend {
    SemanticTokensLegend {
        token_types: TYPES.map(str::to_owned).to_vec(),
        token_modifiers: vec!["declaration".to_owned()],
    }
}

fn number(kind: Kind) -> u32 {
    match kind {
        Kind::Pipeline => 0,
        Kind::Template => 1,
        Kind::Stage | Kind::Approval => 2,
        Kind::Param | Kind::Argument => 3,
        Kind::Loop | Kind::Semaphore | Kind::Lease | Kind::Workspace => 4,
        Kind::Output => 5,
    }
}

/// The tokens of a file, each relative to the one before it.
pub(crate) fn all(analysis: &Analysis) -> Vec<SemanticToken> {
    let (mut line, mut column) = (0, 0);
    let mut tokens = Vec::new();
    for (span, symbol) in analysis.names.of_root() {
        let range = analysis.range(span);
        let start = range.start;
        let is_same_line = start.line == line;
        tokens.push(SemanticToken {
            delta_line: start.line - line,
            delta_start: start.character - if is_same_line { column } else { 0 },
            length: range.end.character.saturating_sub(start.character),
            token_type: number(symbol.kind),
            token_modifiers_bitset: u32::from(symbol.declared == span) * DECLARATION,
        });
        (line, column) = (start.line, start.character);
    }
    tokens
}
