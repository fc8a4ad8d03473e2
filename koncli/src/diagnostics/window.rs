//! The lines that a diagnostic shows, each cut to what fits beside its labels.
//!
//! What enters: places in a file, and how many columns there are. What leaves: a text of a few short
//! lines, and the same places in it. What must never happen here: a line that a terminal wraps, so
//! that the marks below it lose their place.

use std::collections::BTreeSet;
use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use unicode_width::UnicodeWidthChar;

use super::File;
use crate::output::width::width;

/// Stands for what is cut off.
const CUT: char = '…';
/// Columns of a tab.
const TAB: usize = 4;
/// What is shown of a line before its first mark, if the line is cut there.
const MARGIN: usize = 8;
/// Columns that stay for a line however narrow the terminal is.
const ROOM_MIN: usize = 16;
/// Columns between a mark's middle and its text.
const LABEL: usize = 5;
/// Columns of the lines that join the ends of a place of several lines.
const JOINT: usize = 5;

/// A place that is marked, and what is written beside it.
pub(super) struct Mark<'a> {
    pub(super) place: Range<usize>,
    pub(super) text: &'a str,
    pub(super) is_primary: bool,
}

/// The lines around some marks.
pub(super) struct Window {
    name: String,
    text: String,
    lines: Vec<Line>,
    /// The marks in `text`, in their order, and the column of each in its file.
    marks: Vec<(Range<usize>, usize)>,
}

/// A line of a window.
struct Line {
    /// Counted from 0, in the file.
    number: usize,
    /// Where it begins in the window's text.
    start: usize,
}

impl Window {
    /// Cuts what is around some marks out of a file.
    pub(super) fn of(file: File<'_>, marks: &[Mark<'_>], columns: usize) -> Self {
        let mut numbers = BTreeSet::new();
        // Behind the last newline there is no line.
        let is_ended = file.starts.last() == Some(&file.source.text.len());
        let lines = file.starts.len() - usize::from(is_ended);
        for mark in marks {
            let (first, last) = (file.line(mark.place.start), file.line(mark.place.end));
            let after = (last + 2).min(lines).max(last + 1);
            numbers.extend(first.saturating_sub(1)..after);
        }
        let is_joined = marks
            .iter()
            .any(|mark| file.line(mark.place.start) != file.line(mark.place.end));
        let digits = numbers
            .last()
            .map_or(1, |last| (last + 1).to_string().len());
        let gutter = digits + 4 + if is_joined { JOINT } else { 0 };
        let room = columns.saturating_sub(gutter).max(ROOM_MIN);
        let mut window = Self {
            name: file.source.name.clone(),
            text: String::new(),
            lines: Vec::with_capacity(numbers.len()),
            marks: vec![(0..0, 0); marks.len()],
        };
        let shift = shift_of_primary(file, marks, room);
        for number in numbers {
            window.line(file, number, marks, room, shift);
        }
        window
    }

    /// The marks as they are in the window.
    pub(super) fn marks(&self) -> impl Iterator<Item = Range<usize>> {
        self.marks.iter().map(|(place, _)| place.clone())
    }

    /// Adds a line, and finds the ends of marks that are in it.
    fn line(
        &mut self,
        file: File<'_>,
        number: usize,
        marks: &[Mark<'_>],
        room: usize,
        shift: usize,
    ) {
        let place = file.line_place(number);
        let line = file.source.text.get(place.clone()).unwrap_or_default();
        let own: Vec<&Mark<'_>> = marks
            .iter()
            .filter(|mark| place.start <= mark.place.end && mark.place.start <= place.end)
            .collect();
        let shift = match own.iter().any(|mark| place.contains(&mark.place.start)) {
            true => shift_of(line, place.start, &own, room),
            // A short line beside would be gone.
            false if takes_more(line, shift + MARGIN) => shift,
            false => 0,
        };
        let start = self.text.len();
        self.lines.push(Line { number, start });
        let cut = Cut::of(line, shift, room);
        self.text.push_str(&cut.text);
        self.text.push('\n');
        for (mark, (shown, column)) in marks.iter().zip(&mut self.marks) {
            let is_here = |at: usize| file.line(at) == number;
            if is_here(mark.place.start) {
                shown.start = start + cut.place(mark.place.start - place.start, false);
                let before = line.get(..mark.place.start - place.start);
                *column = before.unwrap_or(line).chars().count();
            }
            if is_here(mark.place.end) {
                shown.end = start + cut.place(mark.place.end - place.start, true);
                // The newline behind a place that ends with its line.
                shown.end = shown.end.max(shown.start);
            }
        }
    }

    /// The line of the window that a byte of its text is in.
    fn index(&self, offset: usize) -> usize {
        let after = self.lines.partition_point(|line| line.start <= offset);
        after.saturating_sub(1)
    }
}

/// How many columns are cut off at the left of the line with the primary mark.
fn shift_of_primary(file: File<'_>, marks: &[Mark<'_>], room: usize) -> usize {
    let primary = marks.iter().find(|mark| mark.is_primary);
    primary.or(marks.first()).map_or(0, |mark| {
        let place = file.line_place(file.line(mark.place.start));
        let line = file.source.text.get(place.clone()).unwrap_or_default();
        shift_of(line, place.start, &[mark], room)
    })
}

/// How many columns of a line are cut off at the left, so that its marks and what is written beside
/// them are seen: all if they fit, else the primary.
fn shift_of(line: &str, start: usize, marks: &[&Mark<'_>], room: usize) -> usize {
    let column = |at: usize| {
        let before = line.get(..at.saturating_sub(start).min(line.len()));
        columns(before.unwrap_or(line))
    };
    let needed = |mark: &Mark<'_>| {
        let (first, last) = (column(mark.place.start), column(mark.place.end));
        let beside = match mark.text {
            "" => 0,
            text => first.midpoint(last) + LABEL + width(text),
        };
        // One column is for the sign of what is cut off.
        (first, last.max(first + 1).max(beside) + 1)
    };
    let all = marks.iter().map(|mark| needed(mark));
    let all = all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let primary = marks.iter().find(|mark| mark.is_primary);
    let fits = |(first, last): &(usize, usize)| last - first.saturating_sub(MARGIN) <= room;
    let chosen = all
        .filter(fits)
        .or(primary.map(|mark| needed(mark)))
        .or(all);
    let (first, last) = chosen.unwrap_or_default();
    last.saturating_sub(room).min(first.saturating_sub(MARGIN))
}

/// The columns of a text at the beginning of a line.
fn columns(text: &str) -> usize {
    text.chars()
        .fold(0, |column, c| column + columns_of(c, column))
}

/// Whether a line takes more columns than these.
fn takes_more(line: &str, columns: usize) -> bool {
    let mut column = 0;
    line.chars().any(|c| {
        column += columns_of(c, column);
        column > columns
    })
}

/// The columns of a character that begins in one.
fn columns_of(c: char, column: usize) -> usize {
    match c {
        '\t' => TAB - column % TAB,
        c => c.width().unwrap_or(0),
    }
}

/// A line without what does not fit.
struct Cut {
    text: String,
    /// Of each character that is shown: where it is in the line, and where in `text`.
    shown: Vec<(usize, usize)>,
    /// Where in `text` what is shown of the line ends.
    end: usize,
    /// Where in the line that is.
    until: usize,
}

impl Cut {
    fn of(line: &str, shift: usize, room: usize) -> Self {
        let is_cut_at_end = takes_more(line, shift + room);
        let first = if shift == 0 { 0 } else { shift + 1 };
        let after = shift + room - usize::from(is_cut_at_end);
        let mut cut = Self {
            text: String::new(),
            shown: Vec::new(),
            end: 0,
            until: 0,
        };
        if shift > 0 {
            cut.text.push(CUT);
        }
        let mut column = 0;
        for (at, c) in line.char_indices() {
            let next = column + columns_of(c, column);
            if column >= first && next <= after {
                cut.shown.push((at, cut.text.len()));
                cut.until = at + c.len_utf8();
                match c {
                    '\t' => cut.text.extend(std::iter::repeat_n(' ', next - column)),
                    c => cut.text.push(c),
                }
            } else if column < first && next > first {
                // A half of a wide character.
                cut.text.extend(std::iter::repeat_n(' ', next - first));
            }
            column = next;
            if column > after {
                break;
            }
        }
        cut.end = cut.text.len();
        if is_cut_at_end {
            cut.text.push(CUT);
        }
        cut
    }

    /// Where a byte of the line is in what is shown; what is cut off is at the sign for it.
    fn place(&self, at: usize, is_end: bool) -> usize {
        let next = self.shown.partition_point(|(shown, _)| *shown < at);
        match self.shown.get(next) {
            Some((_, place)) if next > 0 => *place,
            Some((shown, place)) if *shown == at => *place,
            Some((_, place)) => {
                if is_end {
                    *place
                } else {
                    0
                }
            }
            None if is_end && at > self.until => self.text.len(),
            None => self.end,
        }
    }
}

impl SourceCode for Window {
    fn read_span<'b>(
        &'b self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'b> + 'b>, MietteError> {
        // Lines that are next to each other in the file.
        let is_next = |index: usize| {
            let number = |index: usize| self.lines.get(index).map(|line| line.number);
            number(index).map(|number| number + 1) == number(index + 1)
        };
        let first = self.index(span.offset());
        let mut from = first;
        while from > 0 && first - from < before && is_next(from - 1) {
            from -= 1;
        }
        let mut to = self.index(span.offset() + span.len());
        let last = to;
        while to - last < after + 1 && is_next(to) {
            to += 1;
        }
        let line = self.lines.get(from).ok_or(MietteError::OutOfBounds)?;
        let end = self
            .lines
            .get(to + 1)
            .map_or(self.text.len(), |line| line.start);
        let near = self
            .text
            .get(line.start..end)
            .ok_or(MietteError::OutOfBounds)?;
        let inside = SourceSpan::from((span.offset() - line.start, span.len()));
        let contents = near.read_span(&inside, before, after)?;
        let marked = self
            .marks
            .iter()
            .find(|(mark, _)| mark.start == span.offset());
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            contents.data(),
            (contents.span().offset() + line.start, contents.span().len()).into(),
            contents.line() + line.number,
            marked.map_or(contents.column(), |(_, column)| *column),
            contents.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests;
