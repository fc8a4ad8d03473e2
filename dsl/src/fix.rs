//! What to change so that a diagnostic is gone, as data.
//!
//! What enters: a place, and what to write there, from whoever reports a diagnostic. What leaves: plain
//! edits of a text, for `koncli check --fix` and for editors. What must never happen here: a guess. A
//! diagnostic with one certain [`Fix`] is fixed by it; several, or one that is only offered, are a choice that a person
//! makes.

use crate::cut::Cut;
use crate::{Diagnostic, Source, SourceId, Sources, Span, TokenKind, tokens};

/// One way to fix a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What it does, in the imperative.
    pub message: String,
    /// What it changes; the places do not overlap.
    pub edits: Vec<Edit>,
    /// Whether this must have been meant. Otherwise only a person may choose it, such as the removal of a declaration.
    pub certain: bool,
}

/// A change at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The place.
    pub span: Span,
    /// What happens there.
    pub change: Change,
}

/// What happens at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These pieces replace what is written there.
    Write(Vec<Piece>),
    /// An entry of a list is removed with its comma, the last one with the word of its clause, and a
    /// declaration with its line.
    Remove,
    /// An item is added to a body in braces, before all others.
    Item(String),
}

/// A part of what is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This text.
    Text(String),
    /// What is written at another place of the file.
    Copy(Span),
}

/// A text that replaces what is at a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextEdit {
    /// The place.
    pub span: Span,
    /// The text.
    pub text: String,
}

impl Edit {
    /// Writes a text instead of what is at a place.
    pub fn replace(span: Span, text: impl Into<String>) -> Self {
        Self::write(span, [Piece::Text(text.into())])
    }

    /// Writes pieces instead of what is at a place.
    pub fn write(span: Span, pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self {
            span,
            change: Change::Write(pieces.into_iter().collect()),
        }
    }

    /// Writes a text before a place.
    pub fn before(span: Span, text: impl Into<String>) -> Self {
        let end = span.start;
        Self::replace(Span { end, ..span }, text)
    }

    /// Writes a text behind a place.
    pub fn behind(span: Span, text: impl Into<String>) -> Self {
        let start = span.end;
        Self::replace(Span { start, ..span }, text)
    }

    /// Removes an entry or a declaration with what separates it from others.
    pub fn remove(span: Span) -> Self {
        Self {
            span,
            change: Change::Remove,
        }
    }

    /// Adds an item to a body, braces included.
    pub fn item(body: Span, item: impl Into<String>) -> Self {
        Self {
            span: body,
            change: Change::Item(item.into()),
        }
    }

    fn text_edits(&self, sources: &Sources) -> Vec<TextEdit> {
        let Some(source) = sources.get(self.span.source) else {
            return Vec::new();
        };
        match &self.change {
            Change::Write(pieces) => vec![TextEdit {
                span: self.span,
                text: pieces.iter().map(|piece| piece.text(sources)).collect(),
            }],
            Change::Remove => {
                let places = removed(source, self.span).into_iter();
                let removal = |span| TextEdit {
                    span,
                    text: String::new(),
                };
                places.map(removal).collect()
            }
            Change::Item(item) => vec![added(source, self.span, item)],
        }
    }
}

impl Piece {
    fn text<'s>(&'s self, sources: &'s Sources) -> &'s str {
        match self {
            Self::Text(text) => text,
            Self::Copy(span) => {
                let source = sources.get(span.source);
                source.map_or("", |source| source.slice(*span).trim())
            }
        }
    }
}

impl Fix {
    /// What it changes, as texts that replace what is at places, in source order.
    pub fn text_edits(&self, sources: &Sources) -> Vec<TextEdit> {
        let edits = self.edits.iter();
        let mut edits: Vec<TextEdit> = edits.flat_map(|edit| edit.text_edits(sources)).collect();
        edits.sort();
        edits
    }
}

/// A file in which diagnostics were fixed.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// Its text now.
    pub text: String,
    /// The diagnostics that were fixed, by their places in the list.
    pub fixed: Vec<usize>,
    /// What was changed, in source order; the places are those of the text before.
    pub edits: Vec<TextEdit>,
}

impl Fixed {
    /// Returns where a place of the text now was in the text before: for what was written, the place that it replaces.
    pub fn origin(&self, place: u32) -> u32 {
        let (mut now, mut before) = (0, 0);
        for edit in &self.edits {
            let start = now + (edit.span.start - before);
            if place < start {
                break;
            }
            let length = u32::try_from(edit.text.len()).unwrap_or(u32::MAX);
            if place < start + length {
                return edit.span.start;
            }
            (now, before) = (start + length, edit.span.end);
        }
        before + (place - now)
    }
}

/// Returns the earliest phase with an error: the text is read, then names are resolved, then values, then the graph. An
/// error of a phase may be the fault of an error of an earlier phase, and so may its fix.
fn first_phase(diagnostics: &[Diagnostic]) -> usize {
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error());
    let phases = errors.map(|diagnostic| diagnostic.code.phase());
    phases.min().unwrap_or(usize::MAX)
}

/// Applies the fix of every diagnostic that has a certain one, in one file, unless an error of an earlier phase may be
/// its cause. A fix that touches the place of another, or another file, is left for the next round.
pub fn apply_fixes(sources: &Sources, of: SourceId, diagnostics: &[Diagnostic]) -> Option<Fixed> {
    let source = sources.get(of)?;
    let mut accepted: Vec<TextEdit> = Vec::new();
    let mut fixed = Vec::new();
    let phase = first_phase(diagnostics);
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        let fix = diagnostic.certain_fix();
        let Some(fix) = fix.filter(|_| diagnostic.code.phase() <= phase) else {
            continue;
        };
        let edits = fix.text_edits(sources);
        let fits = |edit: &TextEdit| {
            edit.span.source == of && !accepted.iter().any(|other| touch(edit.span, other.span))
        };
        if edits.iter().all(fits) {
            accepted.extend(edits);
            fixed.push(index);
        }
    }
    accepted.sort();
    (!fixed.is_empty()).then(|| Fixed {
        text: apply(&source.text, accepted.clone()),
        fixed,
        edits: accepted,
    })
}

/// The text with these edits, which do not overlap.
pub fn apply(text: &str, mut edits: Vec<TextEdit>) -> String {
    edits.sort();
    let mut result = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for edit in edits {
        let (start, end) = (edit.span.start as usize, edit.span.end as usize);
        if start < at {
            continue;
        }
        result.push_str(text.cut(at..start));
        result.push_str(&edit.text);
        at = end;
    }
    result.push_str(text.cut(at..));
    result
}

fn touch(left: Span, right: Span) -> bool {
    left.source == right.source && left.start <= right.end && right.start <= left.end
}

/// What stands before an entry and goes with it if no comma is behind it: a comma, or the word that a clause of a
/// header begins with.
const BEFORE_ENTRIES: [&str; 3] = [",", "after", "holding"];

/// What separates an entry from its neighbours and goes with it: from where to where. What a comment says separates
/// nothing.
fn separator(text: &str, span: Span) -> Option<(usize, usize)> {
    let (start, end) = (span.start as usize, span.end as usize);
    let (mut before, mut behind) = (None, None);
    for token in tokens(text).filter(|token| token.kind != TokenKind::Comment) {
        if token.end <= start {
            before = Some(token);
        } else if token.start >= end {
            behind = Some(token);
            break;
        }
    }
    if let Some(comma) = behind.filter(|token| token.text(text) == ",") {
        let next = text.cut(comma.end..).trim_start_matches(is_blank);
        return Some((comma.start, text.len() - next.len()));
    }
    let word = before.filter(|token| BEFORE_ENTRIES.contains(&token.text(text)))?;
    let from = match word.text(text) {
        "," => word.start,
        _ => text.cut(..word.start).trim_end_matches(is_blank).len(),
    };
    Some((from, word.end))
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// The line break that a text begins with.
fn line_break(text: &str) -> Option<&'static str> {
    let mut breaks = ["\r\n", "\n"].into_iter();
    breaks.find(|ending| text.starts_with(ending))
}

/// An entry with its comma, or a declaration with its line. A comment between an entry and its comma stays: these are
/// two places then.
fn removed(source: &Source, span: Span) -> Vec<Span> {
    let text = &*source.text;
    let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    let place = |start: usize, end: usize| Span {
        start: at(start),
        end: at(end),
        ..span
    };
    let (mut start, mut end) = (span.start as usize, span.end as usize);
    let mut places = Vec::new();
    let separator = separator(text, span);
    if let Some((from, to)) = separator {
        let between = match from < start {
            true => text.cut(to..start),
            false => text.cut(end..from),
        };
        match between.trim().is_empty() {
            true => (start, end) = (start.min(from), end.max(to)),
            false => places.push(place(from, to)),
        }
    }
    let line = text.cut(..start).trim_end_matches(is_blank);
    let next = text.cut(end..).trim_start_matches(is_blank);
    let is_top = line.trim_start_matches('\u{FEFF}').is_empty();
    let begins = is_top || line.ends_with('\n');
    match line_break(next) {
        // Nothing else is on its lines: they go, too, and one of two empty lines around them.
        Some(newline) if begins => {
            start = text.cut(..start).trim_end_matches(is_blank).len();
            let below = next.cut(newline.len()..);
            end = text.len() - below.len();
            let ends = ["\n\n", "\n\r\n", "{\n", "{\r\n"];
            let is_first = is_top || ends.iter().any(|end| line.ends_with(end));
            let empty = line_break(below).filter(|_| is_first);
            end += empty.unwrap_or_default().len();
        }
        _ if separator.is_some() => {}
        _ if begins => end = text.len() - next.len(),
        _ => start = line.len(),
    }
    places.push(place(start, end));
    places
}

/// An item behind the `{` of a body: on a line of its own if the body has lines.
fn added(source: &Source, body: Span, item: &str) -> TextEdit {
    let start = body.start + 1;
    let rest = source.text.cut(start as usize..);
    let next = rest.trim_start_matches(is_blank);
    let text = match line_break(next) {
        Some(newline) => {
            let below = next.cut(newline.len()..);
            let indent = below.len() - below.trim_start_matches([' ', '\t']).len();
            let is_empty = below.trim_start().starts_with('}');
            let more = if is_empty { "  " } else { "" };
            format!("{newline}{}{more}{item}", below.cut(..indent))
        }
        None => format!(" {item}"),
    };
    TextEdit {
        span: Span {
            start,
            end: start,
            ..body
        },
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Sources {
        let mut sources = Sources::default();
        sources.add("a.kon", text);
        sources
    }

    /// The place of the first `<…>` in a text, and the text without the brackets.
    fn marked(text: &str) -> (String, Span) {
        let start = text.find('<').expect("a mark");
        let end = text.find('>').expect("its end") - 1;
        let plain = text.replacen('<', "", 1).replacen('>', "", 1);
        let at = |offset| u32::try_from(offset).expect("a short text");
        let span = Span {
            source: SourceId(0),
            start: at(start),
            end: at(end),
        };
        (plain, span)
    }

    fn changed(text: &str, edit: impl Fn(Span) -> Edit) -> String {
        let (text, span) = marked(text);
        let fix = Fix {
            message: String::new(),
            edits: vec![edit(span)],
            certain: true,
        };
        apply(&text, fix.text_edits(&sources(&text)))
    }

    #[test]
    fn what_is_removed_goes_with_what_separates_it() {
        let table = [
            ("stage a after <b>, c {", "stage a after c {"),
            ("stage a after c, <b> {", "stage a after c {"),
            ("stage a after <b> {", "stage a {"),
            ("stage a holding <db> {\n", "stage a {\n"),
            ("[1, <2>, 3]", "[1, 3]"),
            ("[1, 2, <3>]", "[1, 2]"),
            ("{ <a = 1>, b = 2 }", "{ b = 2 }"),
            ("{ a = 1 <b = 2> }", "{ a = 1 }"),
            ("p {\n  <param a: int = 1>\n  b\n}", "p {\n  b\n}"),
            ("p {\n  <param a: int = 1>\n\n  b\n}", "p {\n  b\n}"),
            ("p {\n  c\n\n  <lease a>\n\n  b\n}", "p {\n  c\n\n  b\n}"),
            ("p {\n  c\n  <lease a>\n\n  b\n}", "p {\n  c\n\n  b\n}"),
            ("<import \"a.kon\">\npipeline", "pipeline"),
            ("p { <lease a> stage b }", "p { stage b }"),
            ("p {\r\n  <lease a>\r\n  b\r\n}", "p {\r\n  b\r\n}"),
            ("p {\r\n  <lease a>\r\n\r\n  b\r\n}", "p {\r\n  b\r\n}"),
            ("\u{FEFF}<import \"a.kon\">\npipeline", "\u{FEFF}pipeline"),
        ];
        for (text, expected) in table {
            assert_eq!(changed(text, Edit::remove), expected, "{text}");
        }
    }

    #[test]
    fn comments_stay_whatever_they_say() {
        let table = [
            (
                "p {\n  # unused,\n  <lease a> stage b\n}",
                "p {\n  # unused,\n  stage b\n}",
            ),
            ("[1, # c,\n <2>]", "[1 # c,\n ]"),
            ("[<1> # c,\n , 2]", "[ # c,\n 2]"),
            ("# what comes after\n<lease a>\n", "# what comes after\n"),
            ("after b, # w\n  <c>\n  {", "after b # w\n  {"),
            ("stage c after # why\n  <c> {", "stage c # why\n   {"),
            (
                "holding l, # x, again\n  <l>\n  {",
                "holding l # x, again\n  {",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(changed(text, Edit::remove), expected, "{text}");
        }
    }

    #[test]
    fn an_item_is_added_on_a_line_of_its_own_if_there_are_lines() {
        let table = [
            ("a <{ run = 1 }>", "a { x run = 1 }"),
            ("a <{\n  run = 1\n}>", "a {\n  x\n  run = 1\n}"),
            ("a <{\n}>", "a {\n  x\n}"),
            ("a <{\r\n  run = 1\r\n}>", "a {\r\n  x\r\n  run = 1\r\n}"),
            ("a <{}>", "a { x}"),
        ];
        for (text, expected) in table {
            assert_eq!(changed(text, |body| Edit::item(body, "x")), expected);
        }
    }

    #[test]
    fn pieces_are_copied_from_other_places() {
        let copied = |span: Span| {
            let copy = Piece::Copy(span);
            Edit::write(
                span,
                [Piece::Text("(".into()), copy, Piece::Text(")".into())],
            )
        };
        assert_eq!(changed("when <a || b>", copied), "when (a || b)");
    }
}
