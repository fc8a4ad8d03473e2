//! Values as they are written: literals, references and texts, of the type that is wanted.

use konductor_api::number::{parse_number, parse_quantity};
use konductor_dsl::{Span, ast};

use super::{Resolver, Scope, Time};
use crate::eval::Values;
use crate::limits::{BODY_BYTES_MAX, TEXT_REFERENCES_MAX};
use crate::pipeline::{Piece, Setting, Term, Text};
use crate::value::{Type, Value, parse_duration};
use crate::{foreign_template, rules};

/// What a template's parameter stands for.
#[derive(Clone, Debug)]
pub(super) struct Argument {
    pub name: String,
    pub ty: Type,
    pub term: Term,
    /// Where it is given.
    pub span: Span,
    /// Distinguishes the uses of a template.
    pub use_id: Span,
}

/// What a text is for: it decides what `${HOME}` means, which is a name only a shell knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Script,
    Other,
}

impl Resolver<'_> {
    /// Resolves a value of type `expected`, or reports an error and returns `None`.
    pub(super) fn term(
        &mut self,
        value: &ast::Value,
        expected: &Type,
        scope: Scope<'_>,
        time: Time,
    ) -> Option<Term> {
        match value {
            ast::Value::Ref(reference) => {
                let before = self.diagnostics.len();
                let Some(resolved) = self.reference(reference, scope, time) else {
                    let reported = &mut self.diagnostics[before..];
                    rules::unknown_name::of_type(reported, reference, expected);
                    rules::undeclared_output::of_type(reported, reference, expected);
                    return None;
                };
                if !resolved.ty.fits(expected) {
                    self.report(rules::wrong_type::report(
                        reference.span,
                        expected,
                        &resolved.ty,
                    ));
                    return None;
                }
                self.admitted(Term::Reference(resolved), expected, reference.span)
            }
            ast::Value::String(text) => {
                if !Type::String.fits(expected) {
                    let written = text.plain();
                    self.report(rules::wrong_type::text(
                        text.span,
                        expected,
                        written.as_deref(),
                    ));
                    return None;
                }
                let text = self.text(text, scope, time, Use::Other)?;
                let span = text.span;
                let term = match text.plain() {
                    Some(plain) => Term::Value(Value::String(plain.to_owned())),
                    None => Term::Text(text),
                };
                self.admitted(term, expected, span)
            }
            ast::Value::Bool(literal) => {
                if *expected != Type::Bool {
                    self.report(rules::wrong_type::report(
                        literal.span,
                        expected,
                        &Type::Bool,
                    ));
                    return None;
                }
                Some(Term::Value(Value::Bool(literal.value)))
            }
            ast::Value::Number(number) => self.number(number, expected),
            ast::Value::List(list) => self.list(list, expected, scope, time),
            ast::Value::Map(map) => self.record(map, expected, scope),
            ast::Value::Call { kind, .. } => {
                self.report(rules::not_here::secret(kind.span));
                None
            }
        }
    }

    /// An attribute's value, which must be known before the run.
    pub(super) fn setting(
        &mut self,
        value: &ast::Value,
        expected: &Type,
        scope: Scope<'_>,
    ) -> Option<Setting> {
        let term = self.term(value, expected, scope, Time::Compile)?;
        Some(Setting {
            term: Box::new(term),
            span: value.span(),
        })
    }

    /// A number or a reference to one, such as the bound of a range.
    pub(super) fn bound(
        &mut self,
        bound: &ast::Bound,
        expected: &Type,
        scope: Scope<'_>,
    ) -> Option<Setting> {
        let value = match bound {
            ast::Bound::Number(number) => ast::Value::Number(number.clone()),
            ast::Bound::Ref(reference) => ast::Value::Ref(reference.clone()),
        };
        self.setting(&value, expected, scope)
    }

    /// Checks what is known of a term against the bounds and words of a type.
    pub(super) fn admitted(&mut self, term: Term, expected: &Type, span: Span) -> Option<Term> {
        let values = Values {
            params: &self.params,
            item: &[],
        };
        if let Some(value) = values.term(&term)
            && let Err(problem) = expected.admits(&value)
        {
            self.report(rules::out_of_range::report(span, &problem, expected));
            return None;
        }
        Some(term)
    }

    /// A number of the type that is wanted.
    pub(super) fn number(&mut self, number: &ast::Number, expected: &Type) -> Option<Term> {
        let text = number.text.as_str();
        let value = match expected {
            Type::Int(_) | Type::Number if rules::wrong_type::has_leading_zero(text) => None,
            Type::Int(_) => text.parse().ok().map(Value::Int),
            Type::Number => parse_number(text)
                .ok()
                .map(|_| Value::Number(text.to_owned())),
            Type::Duration => parse_duration(text).map(Value::Duration),
            Type::Quantity => parse_quantity(text).map(|_| Value::Quantity(text.to_owned())),
            _ => None,
        };
        let Some(value) = value else {
            self.report(rules::wrong_type::number(number, expected));
            return None;
        };
        self.admitted(Term::Value(value), expected, number.span)
    }

    fn list(
        &mut self,
        list: &ast::List,
        expected: &Type,
        scope: Scope<'_>,
        time: Time,
    ) -> Option<Term> {
        let Type::List(item) = expected else {
            self.report(rules::wrong_type::list(list.span, expected));
            return None;
        };
        let mut terms = Vec::with_capacity(list.items.len());
        for value in &list.items {
            terms.extend(self.term(value, item, scope, time));
        }
        if terms.len() < list.items.len() {
            return None;
        }
        let values: Option<Vec<Value>> = terms
            .iter()
            .map(|term| match term {
                Term::Value(value) => Some(value.clone()),
                _ => None,
            })
            .collect();
        Some(values.map_or(Term::List(terms), |values| Term::Value(Value::List(values))))
    }

    fn record(&mut self, map: &ast::Map, expected: &Type, scope: Scope<'_>) -> Option<Term> {
        let Type::Record(fields) = expected else {
            self.report(rules::wrong_type::map(map.span, expected));
            return None;
        };
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let mut members = Vec::with_capacity(fields.len());
        for entry in self.entries(map, &names) {
            let Some(field) = fields.iter().find(|field| field.name == entry.key.text) else {
                continue;
            };
            let term = self.term(&entry.value, &field.ty, scope, Time::Compile)?;
            let values = Values {
                params: &self.params,
                item: &[],
            };
            members.push((field.name.clone(), values.term(&term)?));
        }
        let mut ordered = Vec::with_capacity(fields.len());
        for field in fields {
            let member = members.iter().find(|(name, _)| *name == field.name);
            match member.map(|(_, value)| value).or(field.default.as_ref()) {
                Some(value) => ordered.push((field.name.clone(), value.clone())),
                None => {
                    let missing = rules::missing_attribute::field(map.span, &field.name, expected);
                    if !rules::missing_attribute::joins(&missing, self.diagnostics) {
                        self.report(missing);
                    }
                    return None;
                }
            }
        }
        Some(Term::Value(Value::Record(ordered)))
    }

    /// The entries of a map whose keys are known, each once. Others are reported.
    pub(super) fn entries<'m>(
        &mut self,
        map: &'m ast::Map,
        keys: &[&str],
    ) -> Vec<&'m ast::Attribute> {
        let mut entries: Vec<&ast::Attribute> = Vec::with_capacity(map.entries.len());
        for entry in &map.entries {
            if !keys.contains(&entry.key.text.as_str()) {
                let is_given = |name: &str| map.entries.iter().any(|entry| entry.key.text == name);
                self.report(rules::unknown_attribute::report(&entry.key, keys, is_given));
            } else if let Some(first) = entries.iter().find(|e| e.key.text == entry.key.text) {
                self.report(rules::duplicate_attribute::report(entry, first));
            } else {
                entries.push(entry);
            }
        }
        entries
    }

    /// A string with its interpolations.
    pub(super) fn text(
        &mut self,
        ast: &ast::Str,
        scope: Scope<'_>,
        time: Time,
        used: Use,
    ) -> Option<Text> {
        let mut text = Text {
            // Most texts are one piece.
            pieces: Vec::with_capacity(1),
            span: ast.span,
        };
        let mut complete = true;
        for (index, part) in ast.parts.iter().enumerate() {
            match part {
                ast::Part::Text {
                    text: literal,
                    span,
                } => {
                    let is_value = |name: &str| match scope.arguments {
                        Some(arguments) => arguments.iter().any(|argument| argument.name == name),
                        None => {
                            scope
                                .loops
                                .iter()
                                .any(|variable| variable.name.text == name)
                                || self.param_index.contains_key(name)
                        }
                    };
                    let written = self.library.written(*span);
                    let foreign = foreign_template::check(written, *span, is_value);
                    self.diagnostics.extend(foreign);
                    text.push(literal);
                }
                ast::Part::Shell(span) => {
                    if used == Use::Other {
                        let rest = match ast.parts.get(index + 1) {
                            Some(ast::Part::Text { text, .. }) => text.as_str(),
                            _ => "",
                        };
                        self.report(rules::shell_expansion::report(*span, rest));
                        complete = false;
                    }
                    text.push("${");
                }
                ast::Part::Hole(reference, _) => {
                    let before = self.diagnostics.len();
                    match self.reference(reference, scope, time) {
                        Some(resolved) => text.pieces.push(Piece::Reference(resolved)),
                        None => {
                            complete = false;
                            if used == Use::Script {
                                let reported = &mut self.diagnostics[before..];
                                rules::unknown_name::in_script(reported, reference);
                            }
                        }
                    }
                }
            }
        }
        let values = Values {
            params: &self.params,
            item: &[],
        };
        let (references, length) = (text.references().count(), values.length(&text));
        if references > TEXT_REFERENCES_MAX || length > BODY_BYTES_MAX {
            self.report(rules::large_body::of_text(text.span, references, length));
            return None;
        }
        complete.then_some(text)
    }

    /// A string that must be known before the run, from an attribute's value.
    pub(super) fn text_value(
        &mut self,
        value: &ast::Value,
        scope: Scope<'_>,
        time: Time,
    ) -> Option<Text> {
        match value {
            ast::Value::String(text) => self.text(text, scope, time, Use::Other),
            ast::Value::Ref(reference) => {
                let before = self.diagnostics.len();
                let Some(resolved) = self.reference(reference, scope, time) else {
                    let reported = &mut self.diagnostics[before..];
                    rules::unknown_name::of_type(reported, reference, &Type::String);
                    return None;
                };
                Some(Text {
                    pieces: vec![Piece::Reference(resolved)],
                    span: reference.span,
                })
            }
            ast::Value::Bool(literal) => {
                Some(Text::literal(literal.value.to_string(), literal.span))
            }
            ast::Value::Number(number) => Some(Text::literal(number.text.clone(), number.span)),
            ast::Value::List(list) => {
                self.report(rules::wrong_type::list(list.span, &Type::String));
                None
            }
            ast::Value::Map(map) => {
                self.report(rules::wrong_type::map(map.span, &Type::String));
                None
            }
            ast::Value::Call { kind, .. } => {
                self.report(rules::not_here::secret(kind.span));
                None
            }
        }
    }

    /// One of an attribute's words, such as `overlap = skip`.
    pub(super) fn word<'w>(&mut self, value: &ast::Value, words: &[&'w str]) -> Option<&'w str> {
        let (text, span) = match value {
            ast::Value::Ref(reference)
                if reference.fields.is_empty() && reference.address.is_none() =>
            {
                (Some(reference.head.text.clone()), reference.span)
            }
            ast::Value::String(text) => (text.plain(), text.span),
            other => (None, other.span()),
        };
        let written = text.clone();
        let word = text.and_then(|text| words.iter().find(|word| **word == text).copied());
        if word.is_none() {
            self.report(rules::wrong_type::word(span, words, written.as_deref()));
        }
        word
    }
}

impl Text {
    /// A text without references.
    pub(super) fn literal(text: String, span: Span) -> Self {
        Self {
            pieces: vec![Piece::Literal(text)],
            span,
        }
    }

    fn push(&mut self, literal: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Literal(text)) => text.push_str(literal),
            _ => self.pieces.push(Piece::Literal(literal.to_owned())),
        }
    }
}
