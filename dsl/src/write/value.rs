//! Values, types, references and strings.

use super::Writer;
use crate::ast::*;
use crate::cut::Cut;
use crate::recover::is_hidden;
use crate::{Code, Diagnostic};

/// Where a string is written: in another one's `${…}`, only what ends neither may be.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Outside,
    Hole,
}

impl Writer {
    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Call {
                kind, name, key, ..
            } => {
                let word = match kind.value {
                    CallKind::Secret => "secret(",
                    CallKind::Config => "config(",
                };
                self.nested(word, ")", |writer| {
                    writer.string(name);
                    writer.push(", ");
                    writer.string(key);
                });
            }
            Value::String(text) => self.string(text),
            Value::Bool(value) => self.push(if value.value { "true" } else { "false" }),
            Value::Number(number) => self.number(number),
            Value::List(list) => self.values(list),
            Value::Map(map) => self.map(map),
            Value::Ref(reference) => self.reference(reference),
        }
    }

    pub(super) fn values(&mut self, list: &List) {
        self.nested("[", "]", |writer| writer.list(&list.items, Self::value));
    }

    pub(super) fn map(&mut self, map: &Map) {
        let (open, close) = match map.entries.is_empty() {
            true => ("{", "}"),
            false => ("{ ", " }"),
        };
        self.nested(open, close, |writer| {
            writer.list(&map.entries, Self::attribute);
        });
    }

    pub(super) fn number(&mut self, number: &Number) {
        let start = self.out.len();
        self.push(&number.text);
        if !is_number(&number.text) {
            let message = format!("`{}` is not a number", number.text);
            let reported = Diagnostic::error(Code::K0101, self.since(start), message);
            self.diagnostics.push(
                reported
                    .help("write digits and the unit, as in `3`, `0.5`, `500m`, `1Gi`, `1h30m`"),
            );
        }
    }

    pub(super) fn ty(&mut self, ty: &Type) {
        match &ty.kind {
            TypeKind::Scalar { name, range } => {
                self.word(name, |_| true);
                if let Some(range) = range {
                    self.push(" in ");
                    self.range(range);
                }
            }
            TypeKind::Choice(words) => {
                if words.is_empty() {
                    self.nothing("a type of no strings", "name one string at least");
                }
                for (index, word) in words.iter().enumerate() {
                    self.push(if index > 0 { " | " } else { "" });
                    self.string(word);
                }
            }
            TypeKind::List(element) => self.nested("list<", ">", |writer| writer.ty(element)),
            TypeKind::Record(fields) => {
                if fields.is_empty() {
                    self.nothing("a record without fields", "give it one field at least");
                }
                self.nested("{", "}", |writer| writer.list(fields, Self::param));
            }
        }
    }

    fn nothing(&mut self, message: &str, help: &str) {
        let reported = Diagnostic::error(Code::K0304, self.since(self.out.len()), message);
        self.diagnostics.push(reported.help(help));
    }

    pub(super) fn reference(&mut self, reference: &Ref) {
        self.reference_at(reference, Place::Outside);
    }

    fn reference_at(&mut self, reference: &Ref, place: Place) {
        let is_bare = reference.address.is_none() && reference.fields.is_empty();
        self.word(&reference.head, |head| match place {
            Place::Outside => !(is_bare && matches!(head, "true" | "false")),
            // The shell's begin otherwise.
            Place::Hole => head.starts_with(|c: char| c.is_ascii_lowercase()),
        });
        self.address(reference.address.as_ref(), place == Place::Hole);
        for field in &reference.fields {
            self.push(".");
            self.word(field, |_| true);
        }
    }

    pub(super) fn address(&mut self, address: Option<&Address>, is_in_string: bool) {
        let Some(address) = address else {
            return;
        };
        let start = self.out.len();
        self.nested("[", "]", |writer| {
            writer.list(&address.indices, |writer, index| match index {
                Index::String(text) if is_in_string => writer.line(text, Place::Hole),
                Index::String(text) => writer.string(text),
                Index::Number(number) => writer.number(number),
                Index::Name(name) => writer.word(name, |_| true),
                Index::Every(_) => writer.push("*"),
            });
        });
        if address.indices.is_empty() {
            let reported = Diagnostic::error(
                Code::K0405,
                self.since(start),
                "an item needs an index for each loop variable",
            );
            self.diagnostics.push(reported.help("give it one at least"));
        }
    }

    pub(super) fn string(&mut self, text: &Str) {
        if text.block {
            self.push("\"\"\"\n");
            self.parts(&text.parts, None);
            self.newline();
            self.push("\"\"\"");
        } else {
            self.line(text, Place::Outside);
        }
    }

    fn line(&mut self, text: &Str, place: Place) {
        self.push("\"");
        self.parts(&text.parts, Some(place));
        self.push("\"");
    }

    /// A text without interpolations, in quotes.
    pub(super) fn quoted(&mut self, text: &str) {
        self.push("\"");
        self.escaped(text, Some(Place::Outside), false);
        self.push("\"");
    }

    /// The parts of a string; those of a block have no escapes.
    fn parts(&mut self, parts: &[Part], line: Option<Place>) {
        for (index, part) in parts.iter().enumerate() {
            match part {
                Part::Text { text, .. } => {
                    let next = parts.get(index + 1);
                    let is_before_hole = matches!(next, Some(Part::Hole(..) | Part::Shell(_)));
                    self.escaped(text, line, is_before_hole);
                }
                Part::Shell(_) => self.push("${"),
                Part::Hole(reference, _) => {
                    let start = self.out.len();
                    self.push("${");
                    self.reference_at(reference, Place::Hole);
                    self.push("}");
                    if line == Some(Place::Hole) {
                        let message = "an index inside of `${…}` can't have references in it";
                        let reported = Diagnostic::error(Code::K0106, self.since(start), message);
                        self.diagnostics.push(
                            reported.help("declare a parameter with that value, and use its name"),
                        );
                    }
                }
            }
        }
    }

    fn escaped(&mut self, text: &str, line: Option<Place>, is_before_hole: bool) {
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match (character, line) {
                ('$', Some(Place::Hole)) => self.escape('$'),
                ('$', _) if characters.next_if_eq(&'{').is_some() => self.push("$${"),
                // With the `${` that follows it would be a literal one.
                ('$', Some(_)) if is_before_hole && characters.peek().is_none() => self.escape('$'),
                ('"', Some(Place::Outside)) => self.push("\\\""),
                ('"', Some(Place::Hole)) => self.escape('"'),
                ('\\', Some(_)) => self.push("\\\\"),
                ('\n', Some(_)) => self.push("\\n"),
                ('\r', Some(_)) => self.push("\\r"),
                ('\t', Some(_)) => self.push("\\t"),
                ('\u{FEFF}', Some(_)) => self.escape(character),
                (other, Some(_)) if other.is_control() || is_hidden(other) => self.escape(other),
                (other, _) => self.out.push(other),
            }
        }
    }

    fn escape(&mut self, character: char) {
        self.push(&format!("\\u{{{:x}}}", u32::from(character)));
    }
}

/// Whether a block can have this: written as one, it must be read as the same lines.
pub(crate) fn fits_block(parts: &[Part]) -> bool {
    let mut writer = Writer::default();
    for pair in parts.windows(2) {
        if let [Part::Text { text, .. }, Part::Hole(..) | Part::Shell(_)] = pair
            && text.ends_with('$')
        {
            return false;
        }
    }
    writer.parts(parts, None);
    let written = writer.out;
    let inner = format!("\n{written}\n");
    let read = crate::text::block_lines(&inner).into_iter();
    !written.contains("\"\"\"")
        && !written.contains('\r')
        && !written.contains(is_hidden)
        && read.map(|(_, line)| line).eq(written.split('\n'))
}

/// Whether the grammar reads this as one number.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(rest);
    let (_, rest) = rest.split_at(whole);
    let rest = match rest.strip_prefix('.') {
        Some(fraction) if digits(fraction) > 0 => fraction.cut(digits(fraction)..),
        Some(_) => return false,
        None => rest,
    };
    whole > 0 && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}
