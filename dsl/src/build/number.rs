//! Numbers, ranges, and what a fan-out goes over.

use std::ops;
use std::time::Duration;

use super::{NOWHERE, Ref, Value};
use crate::ast;

/// A number with or without a unit: `3`, `0.5`, `500m`, `1Gi`, `1h30m`.
#[derive(Clone, Debug, PartialEq)]
pub struct Number(ast::Number);

impl Number {
    /// A number as it is written in the language: a quantity, mostly.
    pub fn new(text: impl Into<String>) -> Self {
        Self(ast::Number {
            text: text.into(),
            span: NOWHERE,
        })
    }
}

impl From<Number> for ast::Number {
    fn from(number: Number) -> Self {
        number.0
    }
}

impl From<Duration> for Number {
    /// In the units of the language. The compiler refuses what is finer than a millisecond.
    fn from(duration: Duration) -> Self {
        let finer = duration.subsec_nanos() % 1_000_000;
        let seconds = duration.as_secs();
        let parts = [
            (seconds / 86_400, "d"),
            (seconds / 3_600 % 24, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (u64::from(duration.subsec_millis()), "ms"),
            (u64::from(finer), "ns"),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let text: String = parts
            .map(|(count, unit)| format!("{count}{unit}"))
            .collect();
        Self::new(if text.is_empty() {
            "0s".to_owned()
        } else {
            text
        })
    }
}

/// A number or a reference to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound(ast::Bound);

impl From<Bound> for ast::Bound {
    fn from(bound: Bound) -> Self {
        bound.0
    }
}

impl From<Ref> for Bound {
    fn from(reference: Ref) -> Self {
        Self(ast::Bound::Ref(reference.into()))
    }
}

impl From<Number> for Bound {
    fn from(number: Number) -> Self {
        Self(ast::Bound::Number(number.into()))
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {
        $(
            impl From<$integer> for Number {
                fn from(number: $integer) -> Self {
                    Self::new(number.to_string())
                }
            }

            impl From<$integer> for Bound {
                fn from(number: $integer) -> Self {
                    Number::from(number).into()
                }
            }

            impl From<$integer> for Value {
                fn from(number: $integer) -> Self {
                    Number::from(number).into()
                }
            }
        )*
    };
}

integers!(i32, i64, u16, u32, u64, usize);

/// Whole numbers from one to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Range(ast::Range);

impl Range {
    /// `start..end`: both belong to it.
    pub fn to(start: impl Into<Bound>, end: impl Into<Bound>) -> Self {
        Self::new(start.into(), end.into(), true)
    }

    /// `start..<end`: the end does not belong to it.
    pub fn below(start: impl Into<Bound>, end: impl Into<Bound>) -> Self {
        Self::new(start.into(), end.into(), false)
    }

    fn new(start: Bound, end: Bound, inclusive: bool) -> Self {
        Self(ast::Range {
            start: start.into(),
            end: end.into(),
            inclusive,
            span: NOWHERE,
        })
    }
}

impl From<Range> for ast::Range {
    fn from(range: Range) -> Self {
        range.0
    }
}

impl<B: Into<Bound>> From<ops::Range<B>> for Range {
    fn from(range: ops::Range<B>) -> Self {
        Self::below(range.start, range.end)
    }
}

impl<B: Into<Bound>> From<ops::RangeInclusive<B>> for Range {
    fn from(range: ops::RangeInclusive<B>) -> Self {
        let (start, end) = range.into_inner();
        Self::to(start, end)
    }
}

/// What a fan-out goes over: a range, a list, or a parameter that is a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Over(ast::Over);

impl From<Over> for ast::Over {
    fn from(over: Over) -> Self {
        over.0
    }
}

impl From<Range> for Over {
    fn from(range: Range) -> Self {
        Self(ast::Over::Range(range.into()))
    }
}

impl<B: Into<Bound>> From<ops::Range<B>> for Over {
    fn from(range: ops::Range<B>) -> Self {
        Range::from(range).into()
    }
}

impl<B: Into<Bound>> From<ops::RangeInclusive<B>> for Over {
    fn from(range: ops::RangeInclusive<B>) -> Self {
        Range::from(range).into()
    }
}

impl From<Ref> for Over {
    fn from(reference: Ref) -> Self {
        Self(ast::Over::Ref(reference.into()))
    }
}

impl<V: Into<Value>> From<Vec<V>> for Over {
    fn from(values: Vec<V>) -> Self {
        Self(ast::Over::List(super::value::list(values)))
    }
}

impl<V: Into<Value>, const N: usize> From<[V; N]> for Over {
    fn from(values: [V; N]) -> Self {
        Self(ast::Over::List(super::value::list(values)))
    }
}
