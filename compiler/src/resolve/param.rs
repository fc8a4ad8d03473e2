//! Parameters: their types, and what they are in this run.

use std::borrow::Cow;

use foldhash::HashSet;
use konductor_dsl::ast;

use super::{Resolver, Scope, Time, name};
use crate::eval::Values;
use crate::limits::{FIELDS_MAX, SHOWN_MAX, VALUE_BYTES_MAX};
use crate::pipeline::Param;
use crate::rules;
use crate::value::{Field, Type, Value};

impl Resolver<'_> {
    /// Resolves every parameter, in order: a default may use earlier ones.
    pub(super) fn resolve_params(&mut self) {
        for ast in self.names.params.clone() {
            let secret = rules::plain_secret::check_param(&ast.name, ast.default.as_ref());
            self.diagnostics.extend(secret);
            match self.ty(&ast.ty) {
                None => {
                    self.broken.insert(&ast.name.text);
                }
                Some(ty) => {
                    let default = ast
                        .default
                        .as_ref()
                        .map(|default| self.default(default, &ty));
                    let value = self
                        .given(&ast.name, &ty)
                        .or_else(|| default.clone().flatten());
                    // A value that is refused is reported as that.
                    let is_given = self.options.gives(&ast.name.text) || default.is_some();
                    if value.is_none() && !is_given && !self.options.check {
                        self.report(rules::missing_param::report(&ast.name, &ty));
                    }
                    self.param_index.insert(&ast.name.text, self.params.len());
                    self.params.push(Param {
                        name: name(&ast.name),
                        ty,
                        value,
                    });
                }
            }
        }
        self.unknown_given();
    }

    fn default(&mut self, default: &ast::Value, ty: &Type) -> Option<Value> {
        let term = self.term(default, ty, Scope::PIPELINE, Time::Compile)?;
        let values = Values {
            params: &self.params,
            item: &[],
        };
        let length = values.term_length(&term);
        if length > VALUE_BYTES_MAX {
            self.report(rules::large_body::of_value(default.span(), length));
            return None;
        }
        Values {
            params: &self.params,
            item: &[],
        }
        .term(&term)
    }

    /// The value from the command line: `--set` goes before `--params`.
    fn given(&mut self, name: &ast::Name, ty: &Type) -> Option<Value> {
        let options = self.options;
        let set = options.set.iter().rev().find(|(set, _)| *set == name.text);
        let read = match (set, options.params.get(&name.text)) {
            (Some((_, text)), _) => (
                ty.read_text(text),
                format!("--set {}={}", name.text, shortened(text)),
            ),
            (None, Some(json)) => (read_json(ty, json), format!("--params {}", name.text)),
            (None, None) => return None,
        };
        match read {
            (Ok(value), _) => Some(value),
            (Err(problem), origin) => {
                let problem = shortened(&problem);
                self.report(rules::given_value::report(name, &origin, &problem, ty));
                None
            }
        }
    }

    fn unknown_given(&mut self) {
        let options = self.options;
        let names: Vec<&str> = self
            .names
            .params
            .iter()
            .map(|p| p.name.text.as_str())
            .collect();
        let mut reported = HashSet::default();
        let set = options.set.iter().map(|(name, _)| ("--set", name));
        for (origin, name) in set.chain(options.params.keys().map(|name| ("--params", name))) {
            if !names.contains(&name.as_str()) && reported.insert(name) {
                let pipeline = &self.ast.name;
                self.report(rules::unknown_param::report(pipeline, origin, name, &names));
            }
        }
    }

    /// Resolves a type, or reports an error and returns `None`.
    pub(super) fn ty(&mut self, ast: &ast::Type) -> Option<Type> {
        match &ast.kind {
            ast::TypeKind::Scalar { name, range } => self.scalar(name, range.as_deref()),
            ast::TypeKind::Choice(words) => {
                let mut texts: Vec<String> = Vec::with_capacity(words.len());
                let mut seen = HashSet::default();
                for word in words {
                    match word.plain() {
                        Some(text) if seen.insert(text.clone()) => texts.push(text),
                        Some(text) => self.report(rules::bad_type::repeated_word(word.span, &text)),
                        None => self.report(rules::bad_type::interpolated_word(word.span)),
                    }
                }
                Some(Type::Words(texts))
            }
            ast::TypeKind::List(item) => {
                let inner = self.ty(item)?;
                if matches!(inner, Type::List(_)) {
                    self.report(rules::bad_type::nested_list(item.span));
                    return None;
                }
                Some(Type::List(Box::new(inner)))
            }
            ast::TypeKind::Record(fields) => self.record_type(fields),
        }
    }

    fn scalar(&mut self, name: &ast::Name, range: Option<&ast::Range>) -> Option<Type> {
        let ty = match name.text.as_str() {
            "string" => Type::String,
            "int" => Type::Int(None),
            "number" => Type::Number,
            "bool" => Type::Bool,
            "duration" => Type::Duration,
            "quantity" => Type::Quantity,
            "file" | "dir" => {
                self.report(rules::bad_type::file_is_no_value(name));
                return None;
            }
            _ => {
                self.report(rules::bad_type::unknown(name));
                return None;
            }
        };
        let Some(range) = range else { return Some(ty) };
        if ty != Type::Int(None) {
            self.report(rules::bad_type::range_of_no_int(range.span, &ty));
            return None;
        }
        let bounds = self.known_range(range, Scope::PIPELINE)?;
        if bounds.is_empty() {
            self.report(rules::bad_type::empty_range(range.span));
            return None;
        }
        Some(Type::Int(Some(bounds)))
    }

    /// A range whose bounds are known.
    pub(super) fn known_range(
        &mut self,
        range: &ast::Range,
        scope: Scope<'_>,
    ) -> Option<std::ops::RangeInclusive<i64>> {
        let start = self.bound(&range.start, &Type::Int(None), scope);
        let end = self.bound(&range.end, &Type::Int(None), scope);
        let values = Values {
            params: &self.params,
            item: &[],
        };
        let (start, end) = (values.int(&Some(start?))?, values.int(&Some(end?))?);
        Some(if range.inclusive {
            start..=end
        } else {
            start..=end.saturating_sub(1)
        })
    }

    fn record_type(&mut self, ast: &[ast::Param]) -> Option<Type> {
        if let Some(last) = ast.get(FIELDS_MAX) {
            self.report(rules::bad_type::too_many_fields(last.name.span));
            return None;
        }
        let mut fields: Vec<Field> = Vec::with_capacity(ast.len());
        for field in ast {
            let ty = self.ty(&field.ty)?;
            if !ty.is_scalar() {
                self.report(rules::bad_type::field_is_no_scalar(field.ty.span));
                return None;
            }
            if let Some(first) = ast.iter().find(|first| first.name.text == field.name.text)
                && first.name.span != field.name.span
            {
                self.report(rules::duplicate_name::report(
                    &field.name,
                    "field",
                    first.name.span,
                ));
                return None;
            }
            let default = match &field.default {
                None => None,
                Some(default) => Some(self.default(default, &ty)?),
            };
            fields.push(Field {
                name: field.name.text.clone(),
                ty,
                default,
            });
        }
        Some(Type::Record(fields))
    }
}

/// A value of `--params`, which may be as long as one of `--set`.
fn read_json(ty: &Type, json: &serde_json::Value) -> Result<Value, String> {
    let value = ty.read_json(json)?;
    let length = value.text().len();
    if length > VALUE_BYTES_MAX {
        return Err(format!("it is longer than {VALUE_BYTES_MAX} bytes"));
    }
    Ok(value)
}

/// A text as a message repeats it.
fn shortened(text: &str) -> Cow<'_, str> {
    // A problem is a sentence with a value in it.
    const SENTENCE_MAX: usize = 3 * SHOWN_MAX;
    if text.len() <= SENTENCE_MAX {
        return Cow::Borrowed(text);
    }
    let start = text.floor_char_boundary(SHOWN_MAX);
    let end = text.ceil_char_boundary(text.len() - SHOWN_MAX);
    Cow::Owned(format!(
        "{}…{}",
        text.get(..start).unwrap_or_default(),
        text.get(end..).unwrap_or_default()
    ))
}
