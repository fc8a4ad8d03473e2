//! Syntax tree to text, for trees that no text was read from.
//!
//! What enters: a tree without places. What leaves: text that parses to it, to be laid out by
//! [`crate::format`]; and what can't be written, at its place in that text. What must never happen
//! here: a name, a number or a text that becomes syntax.

mod header;
mod value;

use std::fmt;

pub(crate) use value::fits_block;

use crate::ast::*;
use crate::limits::DEPTH_MAX;
use crate::name::{is_identifier, misshapen, objection};
use crate::recover::too_deep;
use crate::{Code, Diagnostic, SourceId, Span};

/// Writes a whole file.
pub(crate) fn write(file: &File) -> (String, Vec<Diagnostic>) {
    let mut writer = Writer::default();
    for import in &file.imports {
        writer.push("import ");
        writer.string(&import.path);
        writer.newline();
    }
    for template in &file.templates {
        writer.template(template);
        writer.newline();
    }
    for pipeline in &file.pipelines {
        writer.pipeline(pipeline);
        writer.newline();
    }
    (writer.out, writer.diagnostics)
}

/// A condition in one line, as the formatter writes it.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::default();
        writer.condition(self);
        f.write_str(&writer.out)
    }
}

#[derive(Default)]
struct Writer {
    out: String,
    indent: usize,
    depth: usize,
    diagnostics: Vec<Diagnostic>,
}

impl Writer {
    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn newline(&mut self) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', 2 * self.indent));
    }

    /// What is written from here on.
    fn since(&self, start: usize) -> Span {
        let at = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Span {
            source: SourceId::default(),
            start: at(start),
            end: at(self.out.len()),
        }
    }

    /// What is inside of brackets. If they are nested too deeply it is left out and reported.
    fn nested(&mut self, open: &str, close: &str, inside: impl FnOnce(&mut Self)) {
        let start = self.out.len();
        self.push(open);
        self.depth += 1;
        if self.depth <= DEPTH_MAX {
            inside(self);
        } else {
            let at = self.since(start);
            self.diagnostics.push(too_deep(at));
        }
        self.depth -= 1;
        self.push(close);
    }

    /// In braces, each on a line of its own.
    fn lines<T>(&mut self, entries: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.nested("{", "}", |writer| {
            writer.indent += 1;
            for entry in entries {
                writer.newline();
                each(writer, entry);
            }
            writer.indent -= 1;
            if !entries.is_empty() {
                writer.newline();
            }
        });
    }

    fn list<T>(&mut self, entries: &[T], mut each: impl FnMut(&mut Self, &T)) {
        for (index, entry) in entries.iter().enumerate() {
            self.push(if index > 0 { ", " } else { "" });
            each(self, entry);
        }
    }

    /// The name of something that is declared.
    fn name(&mut self, name: &Name) {
        let start = self.out.len();
        self.push(&name.text);
        let written = Name {
            text: name.text.clone(),
            span: self.since(start),
        };
        self.diagnostics.extend(objection(&written));
    }

    /// A name in a reference, or a word of an attribute: whether there is such a thing is not known
    /// here, but it must not become anything else.
    fn word(&mut self, name: &Name, is_allowed: impl FnOnce(&str) -> bool) {
        let start = self.out.len();
        self.push(&name.text);
        if !is_identifier(&name.text) || !is_allowed(&name.text) {
            let span = self.since(start);
            let text = name.text.clone();
            let written = Name { text, span };
            let diagnostic = objection(&written).unwrap_or_else(|| misshapen(&written));
            self.diagnostics.push(diagnostic);
        }
    }

    fn template(&mut self, template: &Template) {
        self.push("template ");
        self.name(&template.name);
        self.nested("(", ")", |writer| {
            writer.list(&template.params, Self::param);
        });
        self.push(" ");
        self.body(&template.body);
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        self.push("pipeline ");
        self.name(&pipeline.name);
        self.push(" ");
        self.lines(&pipeline.items, Self::item);
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Param(param) => {
                self.push("param ");
                self.param(param);
            }
            Item::Stage(stage) => {
                if stage.finally.is_some() {
                    self.push("finally ");
                }
                self.push("stage ");
                self.name(&stage.name);
                self.clauses(&stage.clauses);
                self.push(" ");
                self.body(&stage.body);
            }
            Item::Approval(approval) => {
                self.push("approval ");
                self.name(&approval.name);
                self.clauses(&approval.clauses);
                self.attributes(approval.attributes.as_ref());
            }
            Item::Resource(resource) => {
                self.push(match resource.kind.value {
                    ResourceKind::Semaphore => "semaphore ",
                    ResourceKind::Lease => "lease ",
                    ResourceKind::Workspace => "workspace ",
                });
                self.name(&resource.name);
                self.attributes(resource.attributes.as_ref());
            }
            Item::Schedule(schedule) => {
                self.push("schedule ");
                self.string(&schedule.cron);
                self.attributes(schedule.attributes.as_ref());
            }
            Item::Defaults(defaults) => {
                self.push("defaults ");
                self.body(&defaults.body);
            }
            Item::Attribute(attribute) => self.attribute(attribute),
        }
    }

    fn param(&mut self, param: &Param) {
        self.name(&param.name);
        self.push(": ");
        self.ty(&param.ty);
        if let Some(default) = &param.default {
            self.push(" = ");
            self.value(default);
        }
    }

    fn body(&mut self, body: &Body) {
        self.lines(&body.items, |writer, item| match item {
            BodyItem::Output(output) => {
                writer.push("output ");
                writer.param(output);
            }
            BodyItem::Mount {
                workspace, path, ..
            } => {
                writer.push("mount ");
                writer.name(workspace);
                writer.push(" at ");
                writer.string(path);
            }
            BodyItem::Use {
                template,
                arguments,
                ..
            } => {
                writer.push("use ");
                writer.name(template);
                writer.attributes(arguments.as_ref());
            }
            BodyItem::Yaml { kind, text, .. } => {
                writer.push(match kind.value {
                    YamlKind::Pod => "pod ",
                    YamlKind::Job => "job ",
                });
                writer.string(text);
            }
            BodyItem::Attribute(attribute) => writer.attribute(attribute),
        });
    }

    fn attributes(&mut self, map: Option<&Map>) {
        if let Some(map) = map {
            self.push(" ");
            self.map(map);
        }
    }

    fn attribute(&mut self, attribute: &Attribute) {
        let start = self.out.len();
        let key = &attribute.key;
        if key.quoted {
            self.quoted(&key.text);
        } else {
            self.push(&key.text);
            if !is_identifier(&key.text) {
                let span = self.since(start);
                let message = format!("`{}` needs quotes to be a key", key.text);
                self.diagnostics
                    .push(Diagnostic::error(Code::K0101, span, message).help("quote it"));
            }
        }
        self.push(" = ");
        self.value(&attribute.value);
    }
}
