//! Clauses, dependencies and conditions.

use super::Writer;
use crate::ast::*;
use crate::{Code, Diagnostic};

impl Writer {
    pub(super) fn clauses(&mut self, clauses: &[Clause]) {
        for clause in clauses {
            self.push(" ");
            self.push(clause.kind.word());
            self.push(" ");
            match &clause.kind {
                ClauseKind::For(loops) => self.list(loops, Self::one_loop),
                ClauseKind::After(deps) => self.list(deps, Self::dep),
                ClauseKind::When(condition) => self.condition(condition),
                ClauseKind::Holding(holds) => self.list(holds, |writer, hold| {
                    writer.name(&hold.name);
                    if let Some(permits) = &hold.permits {
                        writer.nested("(", ")", |writer| writer.bound(permits));
                    }
                }),
                ClauseKind::Quorum(count)
                | ClauseKind::Max(count)
                | ClauseKind::Parallel(count) => self.bound(count),
            }
        }
    }

    fn one_loop(&mut self, variable: &Loop) {
        self.name(&variable.variable);
        self.push(" in ");
        match &variable.over {
            Over::Range(range) => self.range(range),
            Over::List(list) => self.values(list),
            Over::Ref(reference) => self.reference(reference),
        }
    }

    pub(super) fn range(&mut self, range: &Range) {
        self.bound(&range.start);
        self.push(if range.inclusive { ".." } else { "..<" });
        self.bound(&range.end);
    }

    fn bound(&mut self, bound: &Bound) {
        match bound {
            Bound::Number(number) => self.number(number),
            Bound::Ref(reference) => self.reference(reference),
        }
    }

    fn dep(&mut self, dep: &Dep) {
        match dep {
            Dep::Any { deps, .. } => {
                let start = self.out.len();
                self.nested("any(", ")", |writer| writer.list(deps, Self::dep));
                if deps.is_empty() {
                    let message = "`any()` of nothing never holds";
                    let reported = Diagnostic::error(Code::K0101, self.since(start), message);
                    self.diagnostics
                        .push(reported.help("name one dependency at least"));
                }
            }
            Dep::External {
                kind, name, within, ..
            } => {
                let word = match kind.value {
                    ExternalKind::Pipeline => "pipeline(",
                    ExternalKind::Gate => "gate(",
                    ExternalKind::Barrier => "barrier(",
                };
                self.nested(word, ")", |writer| writer.string(name));
                if let Some(within) = within {
                    self.push(" within ");
                    self.number(within);
                }
            }
            Dep::Target {
                name,
                address,
                state,
                ..
            } => {
                self.name(name);
                self.address(address.as_ref(), false);
                if let Some(state) = state {
                    self.push(".");
                    self.word(state, |_| true);
                }
            }
        }
    }

    pub(super) fn condition(&mut self, condition: &Expr) {
        match condition {
            Expr::Or(sides, _) => self.sides(sides, " || ", |side| matches!(side, Expr::Or(..))),
            Expr::And(sides, _) => self.sides(sides, " && ", |side| {
                matches!(side, Expr::Or(..) | Expr::And(..))
            }),
            Expr::Not(inner, _) => {
                self.push("!");
                if matches!(**inner, Expr::Value(_)) {
                    self.condition(inner);
                } else {
                    self.nested("(", ")", |writer| writer.condition(inner));
                }
            }
            Expr::Compare {
                left,
                operator,
                right,
                ..
            } => {
                self.operand(left);
                self.push(" ");
                self.push(operator.value.text());
                self.push(" ");
                self.operand(right);
            }
            Expr::Value(value) => self.operand(value),
        }
    }

    fn sides(&mut self, sides: &[Expr], operator: &str, is_apart: fn(&Expr) -> bool) {
        for (index, side) in sides.iter().enumerate() {
            self.push(if index > 0 { operator } else { "" });
            if is_apart(side) {
                self.nested("(", ")", |writer| writer.condition(side));
            } else {
                self.condition(side);
            }
        }
    }

    fn operand(&mut self, value: &Value) {
        let start = self.out.len();
        self.value(value);
        if matches!(value, Value::Map(_) | Value::Call { .. }) {
            let message = "a condition can't look at a map, a secret or a config";
            let reported = Diagnostic::error(Code::K0307, self.since(start), message);
            self.diagnostics
                .push(reported.help("compare texts, numbers, lists and references"));
        }
    }
}
