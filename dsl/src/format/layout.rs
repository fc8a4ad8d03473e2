//! Lines, indentation, alignment and comments: what is the same for everything that is printed.

use super::comment::Comments;
use crate::cut::Cut;

/// Characters of a line. Strings and comments may be longer.
const WIDTH: usize = 100;

/// Something that may have a line of its own.
pub(super) trait Entry {
    /// Its first byte, and the byte after its last.
    fn range(&self) -> (usize, usize);
    /// Prints it; says what of it is aligned with its neighbours.
    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells>;
}

/// Where parts of a line end that are as wide as on the lines above and below.
#[derive(Clone, Copy)]
pub(super) enum Cells {
    /// An attribute's key.
    Key(usize),
    /// A declaration's keyword, and its name where something follows.
    Declaration(usize, Option<usize>),
}

/// A pair of brackets around entries.
pub(super) struct Brackets {
    pub(super) open: &'static str,
    pub(super) close: &'static str,
    /// What is inside of the brackets on one line.
    pub(super) padding: &'static str,
    /// What ends an entry on a line of its own.
    pub(super) end: &'static str,
}

/// `{ key = value, … }`
pub(super) const BRACES: Brackets = Brackets {
    open: "{",
    close: "}",
    padding: " ",
    end: "",
};
/// `["a", …]`
pub(super) const LIST: Brackets = Brackets {
    open: "[",
    close: "]",
    padding: "",
    end: ",",
};
/// `(a, …)`
pub(super) const PARENTHESES: Brackets = Brackets {
    open: "(",
    close: ")",
    ..LIST
};
/// `{a: string, …}`
pub(super) const RECORD: Brackets = Brackets {
    open: "{",
    close: "}",
    ..LIST
};

/// Text that is put in at the end, so that what is printed need not move.
enum Insert {
    Spaces(usize),
    Text(String),
}

/// Whether blank lines are added around entries of several lines.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Spacing {
    AsWritten,
    SetOff,
}

/// A line that may be aligned with the one before it.
struct Row {
    start: usize,
    cells: Cells,
}

impl Row {
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.cells) == std::mem::discriminant(&other.cells)
    }

    /// Where its first or second cell starts and ends.
    fn cell(&self, index: usize) -> Option<(usize, usize)> {
        match (self.cells, index) {
            (Cells::Key(end) | Cells::Declaration(end, _), 0) => Some((self.start, end)),
            (Cells::Declaration(start, Some(end)), 1) => Some((start, end)),
            _ => None,
        }
    }
}

/// What is printed so far.
pub(super) struct Printer<'a> {
    text: &'a str,
    out: String,
    line_start: usize,
    indent: usize,
    /// Whether everything has to fit on this line, and whether it did not.
    is_flat: bool,
    overflows: bool,
    comments: Comments<'a>,
    inserts: Vec<(usize, Insert)>,
}

impl<'a> Printer<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            text,
            out: String::with_capacity(text.len() + text.len() / 8),
            line_start: 0,
            indent: 0,
            is_flat: false,
            overflows: false,
            comments: Comments::of(text),
            inserts: Vec::new(),
        }
    }

    /// The text, with everything put in.
    pub(super) fn finish(mut self) -> String {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.inserts.sort_by_key(|(place, _)| *place);
        let mut text = String::with_capacity(self.out.len() + self.out.len() / 8);
        let mut done = 0;
        for (place, insert) in self.inserts {
            text.push_str(self.out.cut(done..place));
            done = place;
            match insert {
                Insert::Spaces(count) => text.extend(std::iter::repeat_n(' ', count)),
                Insert::Text(inserted) => text.push_str(&inserted),
            }
        }
        text.push_str(self.out.cut(done..));
        text
    }

    pub(super) fn push(&mut self, text: &str) {
        self.out.push_str(text);
        // One is left for a comma.
        if self.is_flat && !self.overflows && self.column() > WIDTH - 1 {
            self.overflows = true;
        }
    }

    /// Prints a piece of the file as it is.
    pub(super) fn copy(&mut self, start: usize, end: usize) {
        self.push(self.text.cut(start..end));
        if let Some(newline) = self.text.cut(start..end).rfind('\n') {
            self.line_start = self.out.len() - (end - start - newline - 1);
            self.overflows |= self.is_flat;
        }
    }

    /// The file.
    pub(super) fn source(&self) -> &'a str {
        self.text
    }

    /// Where the next character is put.
    pub(super) fn position(&self) -> usize {
        self.out.len()
    }

    pub(super) fn has_comments(&self, start: usize, end: usize) -> bool {
        self.comments.any_between(start, end)
    }

    fn column(&self) -> usize {
        let line = &self.out.as_bytes()[self.line_start..];
        // Bytes are no fewer than characters.
        if line.len() < WIDTH {
            return line.len();
        }
        self.out.cut(self.line_start..).chars().count()
    }

    pub(super) fn newline(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.line_start = self.out.len();
        self.out.extend(std::iter::repeat_n(' ', 2 * self.indent));
        self.overflows |= self.is_flat;
    }

    /// A line of a block's text, one level deeper than the line that begins it.
    pub(super) fn block_line(&mut self, line: &str) {
        self.overflows |= self.is_flat;
        self.out.push('\n');
        self.line_start = self.out.len();
        if !line.is_empty() {
            let spaces = 2 * (self.indent + 1);
            self.out.extend(std::iter::repeat_n(' ', spaces));
            self.out.push_str(line);
        }
    }

    pub(super) fn indented(&mut self, print: impl FnOnce(&mut Self)) {
        self.indent += 1;
        print(self);
        self.indent -= 1;
    }

    /// Tries to print all of this on the line; where it does not fit, nothing is printed.
    pub(super) fn fits(&mut self, print: impl FnOnce(&mut Self)) -> bool {
        if self.is_flat {
            print(self);
            return true;
        }
        let (mark, line_start) = (self.out.len(), self.line_start);
        self.is_flat = true;
        print(self);
        self.is_flat = false;
        let fits = !std::mem::take(&mut self.overflows);
        if !fits {
            self.out.truncate(mark);
            self.line_start = line_start;
        }
        fits
    }

    /// Leaves room for what has to follow on the line.
    pub(super) fn leave_room(&mut self, columns: usize) {
        self.overflows |= self.is_flat && self.column() + columns >= WIDTH;
    }

    /// Tries to print on the line what lies between two places of the file, unless it was written
    /// on several lines or has comments. `start` is after the bracket, name or word it follows.
    pub(super) fn stays_on_line(
        &mut self,
        start: usize,
        end: usize,
        print: impl FnOnce(&mut Self),
    ) -> bool {
        let inside = self
            .text
            .cut(start..end)
            .trim_start_matches([' ', '\t', '\r']);
        if inside.starts_with('\n') || self.comments.any_between(start, end) {
            self.overflows |= self.is_flat;
            // The line is given up already where it was to hold more than this.
            return self.is_flat;
        }
        self.fits(print)
    }

    /// Entries in brackets; the first bracket is at `start`, the last one ends at `end`.
    pub(super) fn group<E: Entry>(
        &mut self,
        brackets: &Brackets,
        entries: &[E],
        start: usize,
        end: usize,
    ) {
        let on_line = |printer: &mut Self| {
            printer.push(brackets.open);
            printer.push(if entries.is_empty() {
                ""
            } else {
                brackets.padding
            });
            printer.on_line(entries);
            printer.push(if entries.is_empty() {
                ""
            } else {
                brackets.padding
            });
            printer.push(brackets.close);
        };
        if !self.stays_on_line(start + 1, end, on_line) {
            self.lines(brackets, entries, start, end, Spacing::AsWritten);
        }
    }

    /// Entries on one line.
    pub(super) fn on_line<E: Entry>(&mut self, entries: &[E]) {
        for (index, entry) in entries.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            entry.print(self);
            if self.overflows {
                return;
            }
        }
    }

    /// Entries in brackets, each on a line of its own.
    pub(super) fn lines<E: Entry>(
        &mut self,
        brackets: &Brackets,
        entries: &[E],
        start: usize,
        end: usize,
        spacing: Spacing,
    ) {
        self.push(brackets.open);
        if entries.is_empty() && !self.comments.any_between(0, end) {
            self.push(brackets.close);
            return;
        }
        self.end_line(start + 1);
        self.indented(|printer| {
            printer.entries(entries, brackets.end, brackets.end, spacing);
            printer.comments_before(end, entries.is_empty());
        });
        self.newline();
        self.push(brackets.close);
    }

    /// Entries, each on a line of its own: `between` ends each but the last one.
    pub(super) fn entries<E: Entry>(
        &mut self,
        entries: &[E],
        between: &str,
        last: &str,
        spacing: Spacing,
    ) {
        let mut rows: Vec<Row> = Vec::new();
        let mut was_long = false;
        for (index, entry) in entries.iter().enumerate() {
            let is_first = index == 0;
            let (start, end) = entry.range();
            let above = self.out.len();
            let follows_comment = self.comments_before(start, is_first);
            let is_apart = (!is_first || follows_comment) && self.follows_blank_line(start);
            if is_apart {
                self.out.push('\n');
            }
            self.newline();
            let mark = self.out.len();
            let cells = entry.print(self);
            self.push(if index + 1 < entries.len() {
                between
            } else {
                last
            });
            let is_long = self.out.cut(mark..).contains('\n');
            let follows_moved = self.move_comments_above(mark, end);
            self.end_line(end);

            let row = cells
                .filter(|_| !is_long)
                .map(|cells| Row { start: mark, cells });
            let continues = rows
                .last()
                .zip(row.as_ref())
                .is_some_and(|(a, b)| a.is_like(b));
            if !continues || follows_comment || is_apart || follows_moved {
                self.align(&mut rows);
            }
            rows.extend(row);
            let is_set_off = is_first || self.out.cut(above..).starts_with("\n\n");
            if spacing == Spacing::SetOff && !is_set_off && (is_long || was_long) {
                self.inserts.push((above, Insert::Text("\n".to_owned())));
            }
            was_long = is_long;
        }
        self.align(&mut rows);
    }

    /// Makes the cells of adjacent lines as wide as their widest.
    fn align(&mut self, rows: &mut Vec<Row>) {
        let width = |start: usize, end: usize| self.out.cut(start..end).chars().count();
        let mut inserts = Vec::new();
        for cell in 0..2 {
            let cells = rows.iter().filter_map(|row| row.cell(cell));
            let widths = cells.map(|(start, end)| (end, width(start, end)));
            let widest = widths.clone().map(|(_, width)| width).max().unwrap_or(0);
            let spaces = widths.map(|(end, width)| (end, Insert::Spaces(widest - width)));
            inserts.extend(spaces);
        }
        self.inserts.extend(inserts);
        rows.clear();
    }

    /// Prints the comments that are before a place, each on a line of its own; says whether there
    /// were any. The first thing in its brackets follows no blank line.
    pub(super) fn comments_before(&mut self, place: usize, mut is_first: bool) -> bool {
        let mut any = false;
        while let Some((start, comment)) = self.comments.take_before(place) {
            if !is_first && self.follows_blank_line(start) {
                self.out.push('\n');
            }
            self.newline();
            self.push(comment);
            (any, is_first) = (true, false);
        }
        any
    }

    /// Puts comments that are left over in the middle of an entry above it; says whether there were
    /// any.
    fn move_comments_above(&mut self, mark: usize, end: usize) -> bool {
        let mut moved = String::new();
        while let Some((_, comment)) = self.comments.take_before(end) {
            moved.push_str(comment);
            moved.push('\n');
            moved.extend(std::iter::repeat_n(' ', 2 * self.indent));
        }
        let any = !moved.is_empty();
        if any {
            self.inserts.push((mark, Insert::Text(moved)));
        }
        any
    }

    /// Prints the comment that ends this line in the file.
    pub(super) fn end_line(&mut self, place: usize) {
        if let Some((_, comment)) = self.comments.take_at_line_of(place) {
            self.push("  ");
            self.push(comment);
        }
    }

    /// Whether only blanks, and an empty line among them, are before a place of the file.
    fn follows_blank_line(&self, place: usize) -> bool {
        let before = self.text.cut(..place);
        let blanks = before.cut(before.trim_end().len()..);
        blanks.bytes().filter(|byte| *byte == b'\n').count() > 1
    }
}
