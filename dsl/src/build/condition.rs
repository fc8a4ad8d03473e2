//! Conditions.

use std::ops;

use super::{NOWHERE, Ref, Value, spanned};
use crate::ast::{self, Expr, Operator};

/// What `when` asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(Expr);

impl Condition {
    /// Whether all of these hold; nothing always does.
    pub fn all(sides: impl IntoIterator<Item = Self>) -> Self {
        Self::joined(sides, true, |sides| Expr::And(sides, NOWHERE))
    }

    /// Whether one of these holds; nothing never does.
    pub fn any(sides: impl IntoIterator<Item = Self>) -> Self {
        Self::joined(sides, false, |sides| Expr::Or(sides, NOWHERE))
    }

    fn joined(
        sides: impl IntoIterator<Item = Self>,
        of_none: bool,
        join: fn(Vec<Expr>) -> Expr,
    ) -> Self {
        let mut sides: Vec<Expr> = sides.into_iter().map(|side| side.0).collect();
        Self(match sides.len() {
            0 => Expr::Value(Value::from(of_none).into()),
            1 => sides.swap_remove(0),
            _ => join(sides),
        })
    }

    /// Whether this holds and the other, too.
    #[must_use]
    pub fn and(self, other: impl Into<Self>) -> Self {
        match self.0 {
            Expr::And(mut sides, span) => {
                sides.push(other.into().0);
                Self(Expr::And(sides, span))
            }
            side => Self::all([Self(side), other.into()]),
        }
    }

    /// Whether this holds, or the other.
    #[must_use]
    pub fn or(self, other: impl Into<Self>) -> Self {
        match self.0 {
            Expr::Or(mut sides, span) => {
                sides.push(other.into().0);
                Self(Expr::Or(sides, span))
            }
            side => Self::any([Self(side), other.into()]),
        }
    }
}

impl ops::Not for Condition {
    type Output = Self;

    fn not(self) -> Self {
        Self(Expr::Not(Box::new(self.0), NOWHERE))
    }
}

impl From<Condition> for Expr {
    fn from(condition: Condition) -> Self {
        condition.0
    }
}

impl From<Value> for Condition {
    fn from(value: Value) -> Self {
        Self(Expr::Value(value.into()))
    }
}

impl From<Ref> for Condition {
    fn from(reference: Ref) -> Self {
        Value::from(reference).into()
    }
}

/// Comparisons, for all that can be a value.
pub trait Compare: Into<Value> {
    /// `==`
    fn equals(self, other: impl Into<Value>) -> Condition {
        compare(self, Operator::Equal, other)
    }

    /// `!=`
    fn differs(self, other: impl Into<Value>) -> Condition {
        compare(self, Operator::NotEqual, other)
    }

    /// `<`
    fn less_than(self, other: impl Into<Value>) -> Condition {
        compare(self, Operator::Less, other)
    }

    /// `<=`
    fn at_most(self, other: impl Into<Value>) -> Condition {
        compare(self, Operator::LessOrEqual, other)
    }

    /// `>`
    fn more_than(self, other: impl Into<Value>) -> Condition {
        compare(self, Operator::Greater, other)
    }

    /// `>=`
    fn at_least(self, other: impl Into<Value>) -> Condition {
        compare(self, Operator::GreaterOrEqual, other)
    }

    /// `in`: one of a list.
    fn among(self, list: impl Into<Value>) -> Condition {
        compare(self, Operator::In, list)
    }
}

impl<V: Into<Value>> Compare for V {}

fn compare(left: impl Into<Value>, operator: Operator, right: impl Into<Value>) -> Condition {
    let side = |value: Value| ast::Value::from(value);
    Condition(Expr::Compare {
        left: side(left.into()),
        operator: spanned(operator),
        right: side(right.into()),
        span: NOWHERE,
    })
}
