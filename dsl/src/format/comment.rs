//! The comments of a file, which the syntax tree does not have.

use crate::cut::Cut;
use crate::token::{Kind, tokens};

/// The comments that are not printed yet, in source order.
pub(super) struct Comments<'a> {
    text: &'a str,
    all: Vec<(usize, usize)>,
    next: usize,
}

/// A comment: where it starts, and its text.
pub(super) type Comment<'a> = (usize, &'a str);

impl<'a> Comments<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let comments = tokens(text).filter(|token| token.kind == Kind::Comment);
        Self {
            text,
            all: comments.map(|token| (token.start, token.end)).collect(),
            next: 0,
        }
    }

    /// Whether any that is not printed yet lies between two places.
    pub(super) fn any_between(&self, start: usize, end: usize) -> bool {
        let first = self.all[self.next..].partition_point(|comment| comment.0 < start);
        let comment = self.all[self.next..].get(first);
        comment.is_some_and(|comment| comment.0 < end)
    }

    /// Takes the next one, where it is before this place.
    pub(super) fn take_before(&mut self, place: usize) -> Option<Comment<'a>> {
        let comment = *self.all.get(self.next)?;
        (comment.0 < place).then(|| self.take(comment))
    }

    /// Takes the next one, where it ends the line of this place.
    pub(super) fn take_at_line_of(&mut self, place: usize) -> Option<Comment<'a>> {
        let comment = *self.all.get(self.next)?;
        let between = self.text.get(place..comment.0)?;
        // Whatever else is between them is what the comment is about.
        let is_end = between.trim_matches([' ', '\t', ',']).is_empty();
        is_end.then(|| self.take(comment))
    }

    fn take(&mut self, (start, end): (usize, usize)) -> Comment<'a> {
        self.next += 1;
        (start, self.text.cut(start..end))
    }
}
