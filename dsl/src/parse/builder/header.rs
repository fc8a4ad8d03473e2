//! The clauses of a header, and conditions.

use konductor_grammar::Rule;

use super::{Builder, P, exact};
use crate::ast::*;
use crate::{Span, Spanned};

impl Builder {
    pub(super) fn clause(&mut self, pair: P<'_>) -> Option<Clause> {
        let span = self.span(&pair);
        let rule = pair.as_rule();
        let mut inner = pair.into_inner();
        let keyword = self.span(&inner.next()?);
        let kind = match rule {
            Rule::fan_out => ClauseKind::For(exact(inner.filter_map(|part| self.one_loop(part)))),
            Rule::after => ClauseKind::After(exact(inner.filter_map(|part| self.dep(part)))),
            Rule::when => ClauseKind::When(Box::new(self.expression(inner.next()?)?)),
            Rule::holding => ClauseKind::Holding(exact(inner.filter_map(|part| self.hold(part)))),
            Rule::quorum => ClauseKind::Quorum(self.bound(inner.next()?)?),
            Rule::max => ClauseKind::Max(self.bound(inner.next()?)?),
            Rule::parallel => ClauseKind::Parallel(self.bound(inner.next()?)?),
            _ => return None,
        };
        Some(Clause {
            kind,
            keyword,
            span,
        })
    }

    fn one_loop(&mut self, pair: P<'_>) -> Option<Loop> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let variable = self.declared(&inner.next()?);
        let over = inner.find(|part| part.as_rule() != Rule::kw_in)?;
        let over = match over.as_rule() {
            Rule::range => Over::Range(self.range(over)?),
            Rule::list => Over::List(self.list(over)),
            _ => Over::Ref(self.reference(over)?),
        };
        Some(Loop {
            variable,
            over,
            span,
        })
    }

    pub(super) fn range(&mut self, pair: P<'_>) -> Option<Range> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let start = self.bound(inner.next()?)?;
        let inclusive = inner.next()?.as_str() == "..";
        let end = self.bound(inner.next()?)?;
        Some(Range {
            start,
            end,
            inclusive,
            span,
        })
    }

    fn bound(&mut self, pair: P<'_>) -> Option<Bound> {
        Some(match pair.as_rule() {
            Rule::number => Bound::Number(self.number(&pair)),
            _ => Bound::Ref(self.reference(pair)?),
        })
    }

    fn dep(&mut self, pair: P<'_>) -> Option<Dep> {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::any => {
                let inner = pair
                    .into_inner()
                    .filter(|part| part.as_rule() != Rule::kw_any);
                Some(Dep::Any {
                    deps: exact(inner.filter_map(|part| self.dep(part))),
                    span,
                })
            }
            Rule::external => self.external(pair, span),
            Rule::target => {
                let mut inner = pair.into_inner();
                let name = self.declared(&inner.next()?);
                let (mut address, mut state) = (None, None);
                for part in inner {
                    match part.as_rule() {
                        Rule::address => address = Some(self.address(part)),
                        _ => state = Some(self.referred(&part)),
                    }
                }
                Some(Dep::Target {
                    name,
                    address,
                    state,
                    span,
                })
            }
            _ => None,
        }
    }

    fn external(&mut self, pair: P<'_>, span: Span) -> Option<Dep> {
        let (mut kind, mut name, mut within) = (None, None, None);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::external_kind => {
                    let value = match part.as_str() {
                        "pipeline" => ExternalKind::Pipeline,
                        "gate" => ExternalKind::Gate,
                        _ => ExternalKind::Barrier,
                    };
                    kind = Some(Spanned {
                        value,
                        span: self.span(&part),
                    });
                }
                Rule::string => name = Some(self.string(&part)),
                Rule::number => within = Some(self.number(&part)),
                _ => {}
            }
        }
        Some(Dep::External {
            kind: kind?,
            name: name?,
            within,
            span,
        })
    }

    pub(super) fn address(&mut self, pair: P<'_>) -> Address {
        let span = self.span(&pair);
        let indices = pair.into_inner().map(|part| match part.as_rule() {
            Rule::string => Index::String(self.string(&part)),
            Rule::number => Index::Number(self.number(&part)),
            Rule::every => Index::Every(self.span(&part)),
            _ => Index::Name(self.referred(&part)),
        });
        Address {
            indices: indices.collect(),
            span,
        }
    }

    fn hold(&mut self, pair: P<'_>) -> Option<Hold> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let name = self.declared(&inner.next()?);
        let permits = inner.next().and_then(|part| self.bound(part));
        Some(Hold {
            name,
            permits,
            span,
        })
    }

    fn expression(&mut self, pair: P<'_>) -> Option<Expr> {
        let span = self.span(&pair);
        let mut sides: Vec<Expr> = pair
            .into_inner()
            .filter_map(|part| self.conjunction(part))
            .collect();
        Some(if sides.len() == 1 {
            sides.pop()?
        } else {
            Expr::Or(sides, span)
        })
    }

    fn conjunction(&mut self, pair: P<'_>) -> Option<Expr> {
        let span = self.span(&pair);
        let mut sides: Vec<Expr> = pair
            .into_inner()
            .filter_map(|part| self.unary(part))
            .collect();
        Some(if sides.len() == 1 {
            sides.pop()?
        } else {
            Expr::And(sides, span)
        })
    }

    fn unary(&mut self, pair: P<'_>) -> Option<Expr> {
        let span = self.span(&pair);
        let mut nots = 0;
        let mut inner = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::not => nots += 1,
                Rule::expression => inner = self.expression(part),
                _ => inner = self.comparison(part),
            }
        }
        let inner = inner?;
        // Two of them mean nothing.
        Some(if nots % 2 == 1 {
            Expr::Not(Box::new(inner), span)
        } else {
            inner
        })
    }

    fn comparison(&mut self, pair: P<'_>) -> Option<Expr> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let left = inner.next()?;
        let left = self.value(left)?;
        let Some(operator) = inner.next() else {
            return Some(Expr::Value(left));
        };
        let value = match operator.as_str().trim() {
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            _ => Operator::In,
        };
        let operator = Spanned {
            value,
            span: self.span(&operator),
        };
        let right = inner.next()?;
        let right = self.value(right)?;
        Some(Expr::Compare {
            left,
            operator,
            right,
            span,
        })
    }
}
