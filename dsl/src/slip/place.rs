//! Where reading stopped, and what stands around it.

use konductor_grammar::Rule;

use super::{CLAUSE_WORDS, ITEM_WORDS, NAMED_WORDS};
use crate::cut::Cut;
use crate::token::{Kind, Token, tokens};

/// How many bytes of its line are looked at before a place.
const BEFORE_MAX: usize = 400;
/// How many bytes are looked at for the brace that a place stands in.
const OWNER_MAX: usize = 2_000;

/// Where reading stopped.
pub(super) struct Place<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    /// The token that is there; empty at the end of the file.
    pub(super) token: &'t str,
    /// What the grammar would have read.
    pub(super) rules: &'t [Rule],
    /// The tokens before it on its line.
    pub(super) before: Vec<Token>,
}

impl<'t> Place<'t> {
    pub(super) fn new(text: &'t str, at: usize, token: &str, rules: &'t [Rule]) -> Self {
        let mut start = at.saturating_sub(BEFORE_MAX);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        let last_line = text.cut(start..at).rsplit('\n').next().unwrap_or_default();
        let line = at - last_line.len();
        let cut = |start: usize| -> Vec<Token> {
            let cut = tokens(text.cut(start..at)).map(|token| Token {
                start: start + token.start,
                end: start + token.end,
                ..token
            });
            cut.collect()
        };
        let mut before = cut(line);
        // What begins within a string looks as if one began where that ends.
        let is_inside = before.last().map(|token| token.kind) == Some(Kind::Unclosed);
        if let Some((_, after)) = text.cut(line..at).rsplit_once('"').filter(|_| is_inside) {
            before = cut(at - after.len());
        }
        Self {
            text,
            at,
            token: text.get(at..at + token.len()).unwrap_or_default(),
            rules,
            before,
        }
    }

    /// Where the token is.
    pub(super) fn here(&self) -> std::ops::Range<usize> {
        self.at..self.at + self.token.len()
    }

    /// From the start of the last token before it to its end.
    pub(super) fn with_last(&self) -> Option<std::ops::Range<usize>> {
        Some(self.before.last()?.start..self.at + self.token.len())
    }

    /// Whether a declaration's word and name are before it.
    pub(super) fn follows_declared_name(&self) -> bool {
        matches!(self.last(1), Some(word) if word == "pipeline" || ITEM_WORDS.contains(&word))
    }

    pub(super) fn wants(&self, rule: Rule) -> bool {
        self.rules.contains(&rule)
    }

    /// Whether a header could continue here.
    pub(super) fn wants_clause(&self) -> bool {
        self.wants(Rule::after) || self.wants(Rule::kw_after)
    }

    pub(super) fn wants_name(&self) -> bool {
        self.wants(Rule::ident) || self.wants(Rule::target)
    }

    /// The token so many before the last one on the line.
    pub(super) fn last(&self, back: usize) -> Option<&'t str> {
        let index = self.before.len().checked_sub(back + 1)?;
        Some(self.before[index].text(self.text))
    }

    /// Whether a word is on the line before.
    pub(super) fn has(&self, word: &str) -> bool {
        self.before
            .iter()
            .any(|token| token.text(self.text) == word)
    }

    /// The clause of a header that continues here.
    pub(super) fn clause(&self) -> Option<&'t str> {
        let words = self.before.iter().rev().map(|token| token.text(self.text));
        words.into_iter().find(|word| CLAUSE_WORDS.contains(word))
    }

    /// What follows, up to the end of its line.
    pub(super) fn rest(&self) -> &'t str {
        let rest = self.text.cut(self.at..);
        rest.split('\n').next().unwrap_or(rest)
    }

    /// What follows the token, as tokens of the same line.
    pub(super) fn next(&self) -> impl Iterator<Item = &'t str> {
        let rest = self.rest().cut(self.token.len().min(self.rest().len())..);
        tokens(rest).map(|token| token.text(rest))
    }

    /// Whether a word is before it that a name must follow.
    pub(super) fn follows_word_of_a_name(&self) -> bool {
        matches!(self.last(0), Some(word) if NAMED_WORDS.contains(&word))
    }

    /// Returns the number after the token, if there is a number.
    pub(super) fn next_number(&self) -> Option<&'t str> {
        let next = self.next().next();
        next.filter(|next| next.starts_with(|c: char| c.is_ascii_digit()))
    }

    /// The two words before it, on whatever line: the one farther away first.
    pub(super) fn words_before(&self) -> (&'t str, &'t str) {
        let start = self
            .text
            .floor_char_boundary(self.at.saturating_sub(BEFORE_MAX));
        let mut words = self.text.cut(start..self.at).split_whitespace().rev();
        let last = words.next().unwrap_or_default();
        (words.next().unwrap_or_default(), last)
    }

    /// The word in front of the brace that it stands in, such as `params` of `params { x: string }`.
    pub(super) fn owner(&self) -> Option<&'t str> {
        let start = self
            .text
            .floor_char_boundary(self.at.saturating_sub(OWNER_MAX));
        let before = self.text.cut(start..self.at);
        let mut open = Vec::new();
        let mut last = "";
        for token in tokens(before) {
            match token.kind {
                Kind::Open => open.push(last),
                Kind::Close => {
                    open.pop();
                }
                _ => last = token.text(before),
            }
        }
        open.pop()
    }

    /// Whether a list was begun on the line, and continues.
    pub(super) fn is_in_a_list(&self) -> bool {
        let brackets = self.before.iter().rev();
        let mut brackets = brackets.filter(|token| matches!(token.kind, Kind::Open | Kind::Close));
        brackets.next().map(|token| token.text(self.text)) == Some("[")
    }
}
