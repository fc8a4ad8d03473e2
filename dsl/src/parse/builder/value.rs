//! Values, types, strings and references.

use konductor_grammar::Rule;
use pest::iterators::Pairs;

use super::{Builder, P, exact};
use crate::ast::*;
use crate::name::ROOTS;
use crate::{Span, Spanned, text};

impl Builder {
    pub(super) fn map(&mut self, pair: P<'_>) -> Map {
        let span = self.span(&pair);
        let entries = pair
            .into_inner()
            .filter(|part| part.as_rule() == Rule::attribute);
        Map {
            entries: exact(entries.filter_map(|part| self.attribute(part))),
            span,
        }
    }

    pub(super) fn value(&mut self, pair: P<'_>) -> Option<Value> {
        Some(match pair.as_rule() {
            Rule::call => self.call(pair)?,
            Rule::string => Value::String(self.string(&pair)),
            Rule::number => Value::Number(self.number(&pair)),
            Rule::list => Value::List(self.list(pair)),
            Rule::map => Value::Map(self.map(pair)),
            Rule::reference => {
                let reference = self.reference(pair)?;
                let span = reference.span;
                let is_word = reference.address.is_none() && reference.fields.is_empty();
                match &*reference.head.text {
                    "true" if is_word => Value::Bool(Spanned { value: true, span }),
                    "false" if is_word => Value::Bool(Spanned { value: false, span }),
                    _ => Value::Ref(reference),
                }
            }
            _ => return None,
        })
    }

    fn call(&mut self, pair: P<'_>) -> Option<Value> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let word = inner.next()?;
        let value = if word.as_str() == "secret" {
            CallKind::Secret
        } else {
            CallKind::Config
        };
        let kind = Spanned {
            value,
            span: self.span(&word),
        };
        let name = self.string(&inner.next()?);
        let key = self.string(&inner.next()?);
        Some(Value::Call {
            kind,
            name,
            key,
            span,
        })
    }

    pub(super) fn list(&mut self, pair: P<'_>) -> List {
        let span = self.span(&pair);
        List {
            items: exact(pair.into_inner().filter_map(|part| self.value(part))),
            span,
        }
    }

    pub(super) fn number(&self, pair: &P<'_>) -> Number {
        Number {
            text: pair.as_str().to_owned(),
            span: self.span(pair),
        }
    }

    pub(super) fn ty(&mut self, pair: P<'_>) -> Type {
        let span = self.span(&pair);
        let kind = pair
            .into_inner()
            .next()
            .and_then(|inner| match inner.as_rule() {
                Rule::list_type => {
                    let element = inner
                        .into_inner()
                        .find(|part| part.as_rule() == Rule::type_)?;
                    Some(TypeKind::List(Box::new(self.ty(element))))
                }
                Rule::record => {
                    let fields = inner
                        .into_inner()
                        .filter(|part| part.as_rule() == Rule::param_decl);
                    Some(TypeKind::Record(
                        fields.map(|part| self.param(part)).collect(),
                    ))
                }
                Rule::choice => Some(TypeKind::Choice(
                    inner.into_inner().map(|part| self.string(&part)).collect(),
                )),
                _ => {
                    let mut parts = inner.into_inner();
                    let word = parts.next()?;
                    let name = Name {
                        text: word.as_str().to_owned(),
                        span: self.span(&word),
                    };
                    let range = parts.find(|part| part.as_rule() == Rule::range);
                    let range = range.and_then(|part| self.range(part)).map(Box::new);
                    Some(TypeKind::Scalar { name, range })
                }
            });
        Type {
            kind: kind.unwrap_or(TypeKind::Choice(Vec::new())),
            span,
        }
    }

    pub(super) fn one_string(&mut self, mut pairs: Pairs<'_, Rule>, span: Span) -> Str {
        match pairs.find(|part| part.as_rule() == Rule::string) {
            Some(part) => self.string(&part),
            None => Str {
                parts: Vec::new(),
                block: false,
                span,
            },
        }
    }

    pub(super) fn string(&mut self, pair: &P<'_>) -> Str {
        let span = self.span(pair);
        let mut diagnostics = std::mem::take(&mut self.diagnostics);
        let source = self.source;
        let read = text::read(
            pair.as_str(),
            span,
            &mut diagnostics,
            &mut |inner, at, reported| {
                if let Some(reference) = text::plain_reference(inner, at) {
                    return Some(reference);
                }
                let mut builder = Self {
                    source,
                    offset: at.start,
                    comments: Vec::new(),
                    diagnostics: Vec::new(),
                };
                let reference =
                    text::lone_reference(inner).and_then(|part| builder.reference(part));
                reported.append(&mut builder.diagnostics);
                reference
            },
        );
        self.diagnostics = diagnostics;
        read
    }

    pub(super) fn reference(&mut self, pair: P<'_>) -> Option<Ref> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let head = inner.next()?;
        let root = ROOTS.contains(&head.as_str());
        let head = if root {
            self.word(&head)
        } else {
            self.referred(&head)
        };
        let mut reference = Ref {
            head,
            address: None,
            fields: Vec::new(),
            span,
        };
        for part in inner {
            match part.as_rule() {
                Rule::address => reference.address = Some(self.address(part)),
                _ => reference.fields.push(self.word(&part)),
            }
        }
        Some(reference)
    }
}
