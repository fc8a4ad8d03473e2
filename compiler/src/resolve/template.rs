//! Templates: bodies that other bodies use, with arguments.

use konductor_dsl::{Span, ast};

use super::term::Argument;
use super::{Resolver, Scope, Time};
use crate::limits::{FIELDS_MAX, TEMPLATE_DEPTH_MAX, USES_MAX};
use crate::pipeline::{Body, Term};
use crate::rules;

/// A body, and the bodies it uses, ready to be laid over each other.
pub(super) struct Layers<'a> {
    /// A body comes before those that it uses.
    list: Vec<Layer<'a>>,
    /// By place in the list: what is laid first comes first.
    order: Vec<usize>,
}

struct Layer<'a> {
    body: &'a ast::Body,
    via: Option<Via<'a>>,
}

/// How a body came to be used.
#[derive(Clone, Copy)]
struct Via<'a> {
    /// File and place of the template.
    id: (usize, usize),
    template: &'a ast::Template,
    arguments: Option<&'a ast::Map>,
    span: Span,
    /// The layer that uses it.
    user: usize,
}

impl<'a> Layers<'a> {
    /// All bodies, in the order in which they are laid.
    pub(super) fn bodies(&self) -> impl Iterator<Item = &'a ast::Body> + '_ {
        self.order.iter().map(|index| self.list[*index].body)
    }
}

impl<'a> Resolver<'a> {
    /// A body with all that it uses.
    pub(super) fn layers(&mut self, body: &'a ast::Body) -> Layers<'a> {
        let mut layers = Layers {
            list: Vec::new(),
            order: Vec::new(),
        };
        self.expand(body, None, 0, &mut layers);
        layers
    }

    fn expand(
        &mut self,
        body: &'a ast::Body,
        via: Option<Via<'a>>,
        depth: usize,
        layers: &mut Layers<'a>,
    ) {
        let index = layers.list.len();
        layers.list.push(Layer { body, via });
        for item in &body.items {
            let ast::BodyItem::Use {
                template: name,
                arguments,
                span,
            } = item
            else {
                continue;
            };
            let source = name.span.source;
            let Some(id) = self.library.template(source, &name.text) else {
                if self.library.may_have(source, &name.text) || self.is_reported(&name.text) {
                    continue;
                }
                let names = self.library.template_names(source);
                let diagnostic = rules::unknown_name::report(name, "template", &names, &[]);
                self.report(diagnostic);
                continue;
            };
            self.used.templates.insert(id);
            let template = &self.library.files[id.0].templates[id.1];
            if let Some(first) = ancestor(layers, index, id) {
                self.report(rules::template_recursion::report(name, first));
                continue;
            }
            if depth >= TEMPLATE_DEPTH_MAX || layers.list.len() >= USES_MAX {
                self.report(rules::template_recursion::too_many(*span));
                continue;
            }
            let via = Via {
                id,
                template,
                arguments: arguments.as_ref(),
                span: *span,
                user: index,
            };
            self.expand(&template.body, Some(via), depth + 1, layers);
        }
        layers.order.push(index);
    }

    /// Resolves a body with all that it uses: what is used is laid first, in order.
    pub(super) fn merged(&mut self, body: &'a ast::Body, scope: Scope<'_>) -> Body {
        if !uses_any(body) {
            return self.layer(body, scope);
        }
        let layers = self.layers(body);
        let mut arguments: Vec<Option<Vec<Argument>>> = Vec::with_capacity(layers.list.len());
        for layer in &layers.list {
            let resolved = layer.via.map(|via| {
                let outer = arguments.get(via.user).and_then(Option::as_deref);
                let scope = if via.user == 0 {
                    scope
                } else {
                    Scope::template(outer, scope)
                };
                self.arguments(via, scope)
            });
            arguments.push(resolved);
        }
        let mut merged = Body::default();
        for index in &layers.order {
            let scope = match &arguments[*index] {
                Some(arguments) => Scope::template(Some(arguments), scope),
                None => scope,
            };
            let layer = self.layer(layers.list[*index].body, scope);
            merged.overlay(layer);
        }
        merged
    }

    fn arguments(&mut self, via: Via<'a>, scope: Scope<'_>) -> Vec<Argument> {
        let empty = ast::Map::default();
        let map = via.arguments.unwrap_or(&empty);
        let names: Vec<&str> = via
            .template
            .params
            .iter()
            .map(|p| p.name.text.as_str())
            .collect();
        let entries = self.entries(map, &names);
        let params = &via.template.params[..names.len().min(FIELDS_MAX)];
        let mut arguments: Vec<Argument> = Vec::with_capacity(names.len());
        for param in params {
            let Some(ty) = self.ty(&param.ty) else {
                continue;
            };
            let entry = entries
                .iter()
                .find(|entry| entry.key.text == param.name.text);
            let (term, span) = match (entry, &param.default) {
                (Some(entry), _) => (self.term(&entry.value, &ty, scope, Time::Run), entry.span),
                (None, Some(default)) => {
                    let scope = Scope::template(Some(&arguments), Scope::PIPELINE);
                    (self.term(default, &ty, scope, Time::Compile), via.span)
                }
                (None, None) if entries.len() < map.entries.len() => (None, via.span),
                (None, None) => {
                    self.report(rules::missing_argument::report(via.span, &param.name, &ty));
                    (None, via.span)
                }
            };
            let use_id = via.span;
            let name = param.name.text.clone();
            arguments.push(Argument {
                name,
                ty,
                term: term.unwrap_or(Term::Unknown),
                span,
                use_id,
            });
        }
        arguments
    }

    /// Checks every template once by itself, so that errors in an unused template are reported too.
    pub(super) fn check_templates(&mut self) {
        let library = self.library;
        for template in library.files.iter().flat_map(|file| &file.templates) {
            if let Some(last) = template.params.get(FIELDS_MAX) {
                self.report(rules::bad_type::too_many_fields(last.name.span));
                continue;
            }
            let mut arguments: Vec<Argument> = Vec::new();
            for param in &template.params {
                let first = arguments
                    .iter()
                    .position(|argument| argument.name == param.name.text);
                if let Some(first) = first {
                    let first = template.params[first].name.span;
                    self.report(rules::duplicate_name::report(
                        &param.name,
                        "parameter",
                        first,
                    ));
                    continue;
                }
                let Some(ty) = self.ty(&param.ty) else {
                    continue;
                };
                if let Some(default) = &param.default {
                    let scope = Scope::template(Some(&arguments), Scope::PIPELINE);
                    self.term(default, &ty, scope, Time::Compile);
                }
                let (name, span) = (param.name.text.clone(), param.span);
                arguments.push(Argument {
                    name,
                    ty,
                    term: Term::Unknown,
                    span,
                    use_id: param.span,
                });
            }
            let outputs = self.files_of(&template.body);
            let around = Scope {
                outputs: &outputs,
                ..Scope::PIPELINE
            };
            let scope = Scope::template(Some(&arguments), around);
            let body = self.layer(&template.body, scope);
            self.check_script(&body);
            self.layers(&template.body);
            self.forget_reads();
        }
    }
}

/// Whether a body uses a template: most do not.
pub(super) fn uses_any(body: &ast::Body) -> bool {
    body.items
        .iter()
        .any(|item| matches!(item, ast::BodyItem::Use { .. }))
}

/// The use by which a template is already around a layer.
fn ancestor(layers: &Layers<'_>, index: usize, id: (usize, usize)) -> Option<Span> {
    let mut at = layers.list[index].via;
    while let Some(via) = at {
        if via.id == id {
            return Some(via.template.name.span);
        }
        at = layers.list[via.user].via;
    }
    None
}
