//! How values, types, strings and references are written.

use super::super::layout::{Cells, Entry, LIST, Printer, RECORD};
use super::{print_map, range};
use crate::ast::*;
use crate::cut::Cut;
use crate::text::block_lines;

impl Entry for Value {
    fn range(&self) -> (usize, usize) {
        range(self.span())
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        match self {
            Self::Call {
                kind, name, key, ..
            } => {
                printer.push(match kind.value {
                    CallKind::Secret => "secret(",
                    CallKind::Config => "config(",
                });
                string(printer, name);
                printer.push(", ");
                string(printer, key);
                printer.push(")");
            }
            Self::String(text) => string(printer, text),
            Self::Bool(value) => printer.push(if value.value { "true" } else { "false" }),
            Self::Number(number) => printer.push(&number.text),
            Self::List(list) => self::list(printer, list),
            Self::Map(map) => print_map(printer, map),
            Self::Ref(reference) => self::reference(printer, reference),
        }
        None
    }
}

pub(super) fn list(printer: &mut Printer<'_>, list: &List) {
    let (start, end) = range(list.span);
    printer.group(&LIST, &list.items, start, end);
}

pub(super) fn reference(printer: &mut Printer<'_>, reference: &Ref) {
    printer.push(&reference.head.text);
    print_address(printer, reference.address.as_ref());
    for field in &reference.fields {
        printer.push(".");
        printer.push(&field.text);
    }
}

pub(super) fn print_address(printer: &mut Printer<'_>, address: Option<&Address>) {
    let Some(address) = address else {
        return;
    };
    printer.push("[");
    for (position, index) in address.indices.iter().enumerate() {
        if position > 0 {
            printer.push(", ");
        }
        match index {
            Index::String(text) => string(printer, text),
            Index::Number(number) => printer.push(&number.text),
            Index::Name(name) => printer.push(&name.text),
            Index::Every(_) => printer.push("*"),
        }
    }
    printer.push("]");
}

/// A string as it was written; the lines of a block get the new indentation.
pub(super) fn string(printer: &mut Printer<'_>, text: &Str) {
    let (start, end) = range(text.span);
    let written = printer.source().cut(start..end);
    let inner = written
        .strip_prefix("\"\"\"")
        .and_then(|rest| rest.strip_suffix("\"\"\""));
    match inner {
        Some(inner) if inner.contains('\n') && !inner.trim().is_empty() => {
            printer.push("\"\"\"");
            for (_, line) in block_lines(inner) {
                printer.block_line(line);
            }
            printer.newline();
            printer.push("\"\"\"");
        }
        _ => printer.copy(start, end),
    }
}

impl Entry for Param {
    fn range(&self) -> (usize, usize) {
        range(self.span)
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        printer.push(&self.name.text);
        printer.push(": ");
        print_type(printer, &self.ty);
        if let Some(default) = &self.default {
            printer.push(" = ");
            default.print(printer);
        }
        None
    }
}

pub(super) fn print_type(printer: &mut Printer<'_>, ty: &Type) {
    match &ty.kind {
        TypeKind::Scalar { name, range } => {
            printer.push(&name.text);
            if let Some(range) = range {
                printer.push(" in ");
                print_range(printer, range);
            }
        }
        TypeKind::Choice(words) => {
            for (index, word) in words.iter().enumerate() {
                printer.push(if index > 0 { " | " } else { "" });
                string(printer, word);
            }
        }
        TypeKind::List(element) => {
            printer.push("list<");
            print_type(printer, element);
            printer.push(">");
        }
        TypeKind::Record(fields) => {
            let (start, end) = range(ty.span);
            printer.group(&RECORD, fields, start, end);
        }
    }
}

pub(super) fn print_range(printer: &mut Printer<'_>, range: &Range) {
    bound(printer, &range.start);
    printer.push(if range.inclusive { ".." } else { "..<" });
    bound(printer, &range.end);
}

pub(super) fn bound(printer: &mut Printer<'_>, bound: &Bound) {
    match bound {
        Bound::Number(number) => printer.push(&number.text),
        Bound::Ref(reference) => self::reference(printer, reference),
    }
}
