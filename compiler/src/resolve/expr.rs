//! Conditions: both sides of a comparison have one type.

use konductor_api::number::{parse_number, parse_quantity};
use konductor_dsl::{Span, ast};

use super::{Resolver, Scope, Time};
use crate::pipeline::{Expr, Operator, Source, Term};
use crate::rules;
use crate::value::{Type, parse_duration};

impl Resolver<'_> {
    /// Resolves a condition, or reports an error and returns `None`.
    pub(super) fn expr(&mut self, expr: &ast::Expr, scope: Scope<'_>) -> Option<Expr> {
        match expr {
            ast::Expr::Or(parts, _) => self.parts(parts, scope).map(Expr::Or),
            ast::Expr::And(parts, _) => self.parts(parts, scope).map(Expr::And),
            ast::Expr::Not(inner, _) => self
                .expr(inner, scope)
                .map(|inner| Expr::Not(Box::new(inner))),
            ast::Expr::Value(ast::Value::String(text)) => {
                let written = text.plain();
                self.report(rules::wrong_type::condition_in_quotes(
                    text.span,
                    written.as_deref(),
                ));
                None
            }
            ast::Expr::Value(value) => {
                if let ast::Value::Ref(reference) = value
                    && self.is_list_of_the_run(reference, scope)
                {
                    self.report(rules::comparison::of_list(reference));
                    return None;
                }
                if let ast::Value::Ref(reference) = value
                    && let Some(ty) = self.known_type(value, scope)
                    && ty != Type::Bool
                {
                    self.report(rules::wrong_type::no_condition(reference, &ty));
                    return None;
                }
                let term = self.operand(value, &Type::Bool, scope)?;
                Some(Expr::Bool(term))
            }
            ast::Expr::Compare {
                left,
                operator,
                right,
                span,
            } => self.comparison(left, operator.value, right, *span, scope),
        }
    }

    fn parts(&mut self, parts: &[ast::Expr], scope: Scope<'_>) -> Option<Vec<Expr>> {
        let resolved: Vec<Expr> = parts
            .iter()
            .filter_map(|part| self.expr(part, scope))
            .collect();
        (resolved.len() == parts.len()).then_some(resolved)
    }

    fn comparison(
        &mut self,
        left: &ast::Value,
        operator: ast::Operator,
        right: &ast::Value,
        span: Span,
        scope: Scope<'_>,
    ) -> Option<Expr> {
        for side in [left, right] {
            if let ast::Value::Ref(reference) = side
                && self.is_list_of_the_run(reference, scope)
            {
                self.report(rules::comparison::of_list(reference));
                return None;
            }
        }
        // The side that knows its type says what a literal on the other side is.
        let types = (self.known_type(left, scope), self.known_type(right, scope));
        let (ty, left_leads) = match types {
            // A whole number is compared with a decimal one as such.
            (Some(Type::Int(_)), Some(Type::Number)) => (Type::Number, true),
            (Some(ty), _) => (ty, true),
            (None, Some(ty)) => (ty, false),
            (None, None) => {
                let before = self.diagnostics.len();
                let ty = self.type_of(left, scope);
                if let (None, ast::Value::Ref(reference)) = (&ty, left) {
                    let other = self.compared_type(operator, right, scope);
                    let reported = &mut self.diagnostics[before..];
                    rules::undeclared_output::of_type(reported, reference, &other);
                }
                (ty?, true)
            }
        };
        let ordered = !matches!(
            operator,
            ast::Operator::Equal | ast::Operator::NotEqual | ast::Operator::In
        );
        let (left_type, right_type) = match (operator, left_leads, ty) {
            (ast::Operator::In, true, ty) => (ty.clone(), Type::List(Box::new(ty))),
            (ast::Operator::In, false, Type::List(item)) => ((*item).clone(), Type::List(item)),
            (ast::Operator::In, false, ty) => {
                self.report(rules::wrong_type::no_list(right.span(), &ty));
                return None;
            }
            (_, _, ty) => (ty.clone(), ty),
        };
        let unordered = matches!(left_type, Type::String | Type::Bool | Type::Words(_));
        if ordered && unordered || !left_type.is_scalar() {
            self.report(rules::comparison::not_ordered(span, operator, &left_type));
            return None;
        }
        let (left_ast, right_ast) = (left, right);
        let left = self.operand(left, &left_type, scope);
        let right = self.operand(right, &right_type, scope);
        let (left, right) = (left?, right?);
        for (term, ast) in [(&left, left_ast), (&right, right_ast)] {
            let unreadable = matches!(left_type, Type::Duration | Type::Quantity);
            if term.is_run_time() && unreadable {
                self.report(rules::comparison::of_output(ast.span(), &left_type));
                return None;
            }
        }
        Some(Expr::Compare {
            operator: operator_of(operator),
            left,
            right,
        })
    }

    fn operand(&mut self, value: &ast::Value, expected: &Type, scope: Scope<'_>) -> Option<Term> {
        let term = self.term(value, expected, scope, Time::Run)?;
        let is_token = matches!(&term, Term::Reference(reference)
            if matches!(reference.source, Source::Token { .. } | Source::Workspace { .. }));
        let is_composed = matches!(term, Term::Text(_) | Term::List(_)) && term.is_run_time();
        if is_token || is_composed {
            self.report(rules::not_here::in_when(value.span()));
            return None;
        }
        self.note_term_reads(&term);
        Some(term)
    }

    /// Whether this is a list known only at run time: CEL sees its text.
    fn is_list_of_the_run(&mut self, reference: &ast::Ref, scope: Scope<'_>) -> bool {
        let resolved = self.quietly(|this| this.reference(reference, scope, Time::Run));
        resolved.is_some_and(|reference| {
            matches!(reference.ty, Type::List(_)) && reference.source.is_run_time()
        })
    }

    /// The type of a value that has one by itself: a reference, or a list whose first element has.
    fn known_type(&mut self, value: &ast::Value, scope: Scope<'_>) -> Option<Type> {
        match value {
            ast::Value::Ref(reference) => self.quietly(|this| {
                this.reference(reference, scope, Time::Run)
                    .map(|reference| reference.ty)
            }),
            _ => None,
        }
    }

    /// The type that a literal most likely has.
    pub(super) fn type_of(&mut self, value: &ast::Value, scope: Scope<'_>) -> Option<Type> {
        match value {
            ast::Value::String(_) => Some(Type::String),
            ast::Value::Bool(_) => Some(Type::Bool),
            ast::Value::Number(number) => Some(match number.text.as_str() {
                text if text.parse::<i64>().is_ok() => Type::Int(None),
                text if parse_number(text).is_ok() => Type::Number,
                text if parse_duration(text).is_some() => Type::Duration,
                text if parse_quantity(text).is_some() => Type::Quantity,
                _ => Type::Int(None),
            }),
            ast::Value::Ref(reference) => self
                .reference(reference, scope, Time::Run)
                .map(|reference| reference.ty),
            ast::Value::List(list) => {
                let first = list.items.first()?;
                Some(Type::List(Box::new(self.type_of(first, scope)?)))
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

    /// The type that can be compared with a value.
    fn compared_type(
        &mut self,
        operator: ast::Operator,
        value: &ast::Value,
        scope: Scope<'_>,
    ) -> Type {
        match (operator, self.quietly(|this| this.type_of(value, scope))) {
            (ast::Operator::In, Some(Type::List(item))) => *item,
            (ast::Operator::In | ast::Operator::Equal | ast::Operator::NotEqual, None)
            | (ast::Operator::In, Some(_)) => Type::String,
            (_, Some(ty)) => ty,
            // What has an order.
            (_, None) => Type::Number,
        }
    }

    /// Resolves something without reporting errors: it will be resolved again.
    pub(super) fn quietly<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> T {
        let reported = self.diagnostics.len();
        let resolved = look(self);
        self.diagnostics.truncate(reported);
        resolved
    }
}

fn operator_of(operator: ast::Operator) -> Operator {
    match operator {
        ast::Operator::Equal => Operator::Equal,
        ast::Operator::NotEqual => Operator::NotEqual,
        ast::Operator::Less => Operator::Less,
        ast::Operator::LessOrEqual => Operator::LessOrEqual,
        ast::Operator::Greater => Operator::Greater,
        ast::Operator::GreaterOrEqual => Operator::GreaterOrEqual,
        ast::Operator::In => Operator::In,
    }
}
