//! How each part of the syntax tree is written.

use super::layout::{BRACES, Cells, Entry, LIST, PARENTHESES, Printer, RECORD, Spacing};
use crate::Span;
use crate::ast::*;
use crate::text::block_lines;
use crate::token::{Kind, tokens};

/// Prints a whole file.
pub(super) fn file(printer: &mut Printer<'_>, file: &File) {
    let imports = file.imports.iter().map(Declaration::Import);
    let templates = file.templates.iter().map(Declaration::Template);
    let pipelines = file.pipelines.iter().map(Declaration::Pipeline);
    let mut all: Vec<_> = imports.chain(templates).chain(pipelines).collect();
    all.sort_by_key(Entry::range);
    printer.entries(&all, "", "", Spacing::SetOff);
    let end = printer.source().len();
    printer.comments_before(end, all.is_empty());
}

fn range(span: Span) -> (usize, usize) {
    (span.start as usize, span.end as usize)
}

enum Declaration<'a> {
    Import(&'a Import),
    Template(&'a Template),
    Pipeline(&'a Pipeline),
}

impl Entry for Declaration<'_> {
    fn range(&self) -> (usize, usize) {
        range(match self {
            Self::Import(import) => import.span,
            Self::Template(template) => template.span,
            Self::Pipeline(pipeline) => pipeline.span,
        })
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        match self {
            Self::Import(import) => {
                printer.push("import ");
                string(printer, &import.path);
            }
            Self::Template(template) => {
                printer.push("template ");
                printer.push(&template.name.text);
                let start = bracket_after(printer, template.name.span);
                let end = template.body.span.start as usize;
                printer.group(&PARENTHESES, &template.params, start, end);
                printer.push(" ");
                body(printer, &template.body);
            }
            Self::Pipeline(pipeline) => {
                printer.push("pipeline ");
                printer.push(&pipeline.name.text);
                printer.push(" ");
                let start = bracket_after(printer, pipeline.name.span);
                let end = pipeline.span.end as usize;
                printer.lines(&BRACES, &pipeline.items, start, end, Spacing::SetOff);
            }
        }
        None
    }
}

/// Where the first bracket after something is.
fn bracket_after(printer: &Printer<'_>, span: Span) -> usize {
    let (_, start) = range(span);
    let mut rest = tokens(&printer.source()[start..]);
    let bracket = rest.find(|token| token.kind == Kind::Open);
    start + bracket.map_or(0, |token| token.start)
}

impl Entry for Item {
    fn range(&self) -> (usize, usize) {
        range(match self {
            Self::Param(param) => param.span,
            Self::Stage(stage) => stage.span,
            Self::Approval(approval) => approval.span,
            Self::Resource(resource) => resource.span,
            Self::Schedule(schedule) => schedule.span,
            Self::Defaults(defaults) => defaults.span,
            Self::Attribute(attribute) => attribute.span,
        })
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        match self {
            Self::Param(param) => {
                printer.push("param ");
                param.print(printer);
            }
            Self::Stage(stage) => print_stage(printer, stage),
            Self::Approval(approval) => return print_approval(printer, approval),
            Self::Resource(resource) => return Some(print_resource(printer, resource)),
            Self::Schedule(schedule) => {
                printer.push("schedule ");
                string(printer, &schedule.cron);
                attributes(printer, schedule.attributes.as_ref());
            }
            Self::Defaults(defaults) => {
                printer.push("defaults ");
                body(printer, &defaults.body);
            }
            Self::Attribute(attribute) => return attribute.print(printer),
        }
        None
    }
}

fn print_stage(printer: &mut Printer<'_>, stage: &Stage) {
    if stage.finally.is_some() {
        printer.push("finally ");
    }
    printer.push("stage ");
    printer.push(&stage.name.text);
    let (start, end) = range(stage.body.span);
    if header(printer, &stage.name, &stage.clauses, start) {
        printer.newline();
        printer.lines(&BRACES, &stage.body.items, start, end, Spacing::AsWritten);
    } else {
        printer.push(" ");
        body(printer, &stage.body);
    }
}

fn print_approval(printer: &mut Printer<'_>, approval: &Approval) -> Option<Cells> {
    printer.push("approval");
    let keyword = printer.position();
    printer.push(" ");
    printer.push(&approval.name.text);
    let name = printer.position();
    let map = approval.attributes.as_ref();
    let (_, whole) = range(approval.span);
    let end = map.map_or(whole, |map| map.span.start as usize);
    if header(printer, &approval.name, &approval.clauses, end) {
        if let Some(map) = map {
            let (start, end) = range(map.span);
            printer.newline();
            printer.lines(&BRACES, &map.entries, start, end, Spacing::AsWritten);
        }
    } else {
        attributes(printer, map);
    }
    let has_more = !approval.clauses.is_empty() || map.is_some();
    Some(Cells::Declaration(keyword, has_more.then_some(name)))
}

fn print_resource(printer: &mut Printer<'_>, resource: &Resource) -> Cells {
    printer.push(match resource.kind.value {
        ResourceKind::Semaphore => "semaphore",
        ResourceKind::Lease => "lease",
        ResourceKind::Workspace => "workspace",
    });
    let keyword = printer.position();
    printer.push(" ");
    printer.push(&resource.name.text);
    let name = printer.position();
    attributes(printer, resource.attributes.as_ref());
    Cells::Declaration(keyword, resource.attributes.as_ref().map(|_| name))
}

/// Prints the clauses between a name and a `{`; says whether each is on a line of its own.
fn header(printer: &mut Printer<'_>, name: &Name, clauses: &[Clause], end: usize) -> bool {
    let (_, start) = range(name.span);
    if clauses.is_empty() && !printer.has_comments(start, end) {
        return false;
    }
    let on_line = |printer: &mut Printer<'_>| {
        for clause in clauses {
            printer.push(" ");
            clause.print(printer);
        }
        printer.leave_room(" {".len());
    };
    if printer.stays_on_line(start, end, on_line) {
        return false;
    }
    printer.end_line(start);
    printer.indented(|printer| {
        printer.entries(clauses, "", "", Spacing::AsWritten);
        printer.comments_before(end, false);
    });
    true
}

impl Entry for Clause {
    fn range(&self) -> (usize, usize) {
        range(self.span)
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        printer.push(self.kind.word());
        let (start, end) = (self.keyword.end as usize, self.span.end as usize);
        match &self.kind {
            ClauseKind::For(loops) => sequence(printer, loops, start, end),
            ClauseKind::After(deps) => sequence(printer, deps, start, end),
            ClauseKind::Holding(holds) => sequence(printer, holds, start, end),
            ClauseKind::Quorum(permits) => {
                printer.push(" ");
                bound(printer, permits);
            }
            ClauseKind::When(_) => condition(printer, start, end),
        }
        None
    }
}

/// What follows a clause's keyword, separated by commas.
fn sequence<E: Entry>(printer: &mut Printer<'_>, entries: &[E], start: usize, end: usize) {
    let on_line = |printer: &mut Printer<'_>| {
        printer.push(" ");
        printer.on_line(entries);
    };
    if !printer.stays_on_line(start, end, on_line) {
        printer.end_line(start);
        printer.indented(|printer| printer.entries(entries, ",", "", Spacing::AsWritten));
    }
}

impl Entry for Loop {
    fn range(&self) -> (usize, usize) {
        range(self.span)
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        printer.push(&self.variable.text);
        printer.push(" in ");
        match &self.over {
            Over::Range(found) => print_range(printer, found),
            Over::List(found) => list(printer, found),
            Over::Ref(found) => reference(printer, found),
        }
        None
    }
}

fn print_range(printer: &mut Printer<'_>, range: &Range) {
    bound(printer, &range.start);
    printer.push(if range.inclusive { ".." } else { "..<" });
    bound(printer, &range.end);
}

fn bound(printer: &mut Printer<'_>, bound: &Bound) {
    match bound {
        Bound::Number(number) => printer.push(&number.text),
        Bound::Ref(found) => reference(printer, found),
    }
}

impl Entry for Dep {
    fn range(&self) -> (usize, usize) {
        range(self.span())
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        match self {
            Self::Any { deps, span } => {
                let start = bracket_after(
                    printer,
                    Span {
                        end: span.start,
                        ..*span
                    },
                );
                printer.push("any");
                printer.group(&PARENTHESES, deps, start, span.end as usize);
            }
            Self::External {
                kind, name, within, ..
            } => {
                printer.push(match kind.value {
                    ExternalKind::Pipeline => "pipeline(",
                    ExternalKind::Gate => "gate(",
                    ExternalKind::Barrier => "barrier(",
                });
                string(printer, name);
                printer.push(")");
                if let Some(within) = within {
                    printer.push(" within ");
                    printer.push(&within.text);
                }
            }
            Self::Target {
                name,
                address,
                state,
                ..
            } => {
                printer.push(&name.text);
                print_address(printer, address.as_ref());
                if let Some(state) = state {
                    printer.push(".");
                    printer.push(&state.text);
                }
            }
        }
        None
    }
}

impl Entry for Hold {
    fn range(&self) -> (usize, usize) {
        range(self.span)
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        printer.push(&self.name.text);
        if let Some(permits) = &self.permits {
            printer.push("(");
            bound(printer, permits);
            printer.push(")");
        }
        None
    }
}

/// A condition as it was written, parentheses included, with one blank where one belongs. Where it
/// is too long, lines begin with `&&` and `||`.
fn condition(printer: &mut Printer<'_>, start: usize, end: usize) {
    let pieces = pieces(&printer.source()[start..end]);
    if printer.fits(|printer| print_pieces(printer, start, &pieces, false)) {
        return;
    }
    printer.indented(|printer| print_pieces(printer, start, &pieces, true));
}

/// The tokens of a condition, operators of two characters as one.
fn pieces(text: &str) -> Vec<(usize, usize)> {
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    for token in tokens(text).filter(|token| token.kind != Kind::Comment) {
        if let Some((start, end)) = pieces.last_mut()
            && *end == token.start
            && matches!(
                &text[*start..token.end],
                "==" | "!=" | "<=" | ">=" | "&&" | "||"
            )
        {
            *end = token.end;
        } else {
            pieces.push((token.start, token.end));
        }
    }
    pieces
}

fn print_pieces(printer: &mut Printer<'_>, offset: usize, pieces: &[(usize, usize)], breaks: bool) {
    let text = &printer.source()[offset..];
    let mut before = "when";
    let mut depth = 0usize;
    for (start, end) in pieces {
        let piece = &text[*start..*end];
        if breaks && depth == 0 && matches!(piece, "&&" | "||") {
            printer.newline();
        } else if are_apart(before, piece) {
            printer.push(" ");
        }
        printer.copy(offset + start, offset + end);
        match piece {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = piece;
    }
}

/// Whether a blank belongs between two pieces of a condition.
fn are_apart(before: &str, piece: &str) -> bool {
    let is_name = |text: &str| {
        !matches!(text, "in" | "when") && text.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    match (before, piece) {
        ("(" | "[" | "!" | "." | "-", _) | (_, ")" | "]" | "," | ".") => false,
        // An item's address or a call, not a list or a condition of its own.
        (_, "[" | "(") => !is_name(before),
        _ => true,
    }
}

fn body(printer: &mut Printer<'_>, body: &Body) {
    let (start, end) = range(body.span);
    printer.group(&BRACES, &body.items, start, end);
}

impl Entry for BodyItem {
    fn range(&self) -> (usize, usize) {
        range(match self {
            Self::Output(output) => output.span,
            Self::Mount { span, .. } | Self::Use { span, .. } | Self::Yaml { span, .. } => *span,
            Self::Attribute(attribute) => attribute.span,
        })
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        match self {
            Self::Output(output) => {
                printer.push("output ");
                output.print(printer);
            }
            Self::Mount {
                workspace, path, ..
            } => {
                printer.push("mount ");
                printer.push(&workspace.text);
                printer.push(" at ");
                string(printer, path);
            }
            Self::Use {
                template,
                arguments,
                ..
            } => {
                printer.push("use ");
                printer.push(&template.text);
                attributes(printer, arguments.as_ref());
            }
            Self::Yaml { kind, text, .. } => {
                printer.push(match kind.value {
                    YamlKind::Pod => "pod ",
                    YamlKind::Job => "job ",
                });
                string(printer, text);
            }
            Self::Attribute(attribute) => return attribute.print(printer),
        }
        None
    }
}

impl Entry for Attribute {
    fn range(&self) -> (usize, usize) {
        range(self.span)
    }

    fn print(&self, printer: &mut Printer<'_>) -> Option<Cells> {
        let (start, end) = range(self.key.span);
        printer.copy(start, end);
        if let Value::Map(map) = &self.value {
            attributes(printer, Some(map));
            return None;
        }
        let key = printer.position();
        printer.push(" = ");
        self.value.print(printer);
        Some(Cells::Key(key))
    }
}

/// ` { … }`, where there is one.
fn attributes(printer: &mut Printer<'_>, map: Option<&Map>) {
    if let Some(map) = map {
        printer.push(" ");
        print_map(printer, map);
    }
}

fn print_map(printer: &mut Printer<'_>, map: &Map) {
    let (start, end) = range(map.span);
    printer.group(&BRACES, &map.entries, start, end);
}

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
            Self::List(found) => list(printer, found),
            Self::Map(map) => print_map(printer, map),
            Self::Ref(found) => reference(printer, found),
        }
        None
    }
}

fn list(printer: &mut Printer<'_>, list: &List) {
    let (start, end) = range(list.span);
    printer.group(&LIST, &list.items, start, end);
}

fn reference(printer: &mut Printer<'_>, reference: &Ref) {
    printer.push(&reference.head.text);
    print_address(printer, reference.address.as_ref());
    for field in &reference.fields {
        printer.push(".");
        printer.push(&field.text);
    }
}

fn print_address(printer: &mut Printer<'_>, address: Option<&Address>) {
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
        }
    }
    printer.push("]");
}

/// A string as it was written; the lines of a block are indented anew.
fn string(printer: &mut Printer<'_>, text: &Str) {
    let (start, end) = range(text.span);
    let written = &printer.source()[start..end];
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

fn print_type(printer: &mut Printer<'_>, ty: &Type) {
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
