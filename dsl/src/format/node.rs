//! How each part of the syntax tree is written.

mod header;
mod value;

use self::header::header;
use self::value::string;
use super::layout::{BRACES, Cells, Entry, PARENTHESES, Printer, Spacing};
use crate::Span;
use crate::ast::*;
use crate::cut::Cut;
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
    let mut rest = tokens(printer.source().cut(start..));
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
        // In a pipeline, `defaults {` would begin the other thing.
        let is_defaults = self.key.text == "defaults" && !self.key.quoted;
        if let Value::Map(map) = &self.value
            && !is_defaults
        {
            attributes(printer, Some(map));
            return None;
        }
        let key = printer.position();
        printer.push(" = ");
        self.value.print(printer);
        Some(Cells::Key(key))
    }
}

/// ` { … }`, if it has one.
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
