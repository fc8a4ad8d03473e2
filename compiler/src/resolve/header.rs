//! Headers: what a stage goes over, waits for and holds.

use std::collections::HashSet;

use konductor_api::LedgerKind;
use konductor_dsl::{Span, Spanned, ast};

use super::term::Use;
use super::{Read, Resolver, Scope, Signature, Time, name};
use crate::eval::Values;
use crate::limits::{HOLDS_MAX, ITEMS_MAX, ITEMS_TOTAL_MAX, LOOPS_MAX};
use crate::pipeline::{
    Dependency, Hold, Item, Loop, Setting, Source, Stage, State, Target, Term, When, same_address,
};
use crate::plan::job::key;
use crate::rules;
use crate::value::{Type, Value, parse_duration};

impl<'a> Resolver<'a> {
    /// What others may know of a stage: its items and its outputs.
    pub(super) fn signature(&mut self, ast: &'a ast::Stage) -> Signature {
        let mut loops: Vec<Loop> = Vec::new();
        let mut values: Vec<Option<Vec<Value>>> = Vec::new();
        let clause = self.clauses(&ast.clauses, |kind| match kind {
            ast::ClauseKind::For(variables) => Some(variables),
            _ => None,
        });
        let mut complete = true;
        if let Some(last) = clause.and_then(|variables| variables.get(LOOPS_MAX)) {
            self.report(rules::large_fan_out::too_many_variables(last.span));
            complete = false;
        }
        for variable in clause.into_iter().flatten().take(LOOPS_MAX) {
            if self.is_taken(&variable.variable, &loops) {
                complete = false;
                continue;
            }
            match self.over(&variable.over) {
                Some((ty, counts_from_zero, over)) => {
                    if over.as_ref().is_some_and(Vec::is_empty) {
                        self.report(rules::empty_fan_out::report(variable));
                        complete = false;
                    }
                    values.push(over);
                    loops.push(Loop {
                        name: name(&variable.variable),
                        ty,
                        counts_from_zero,
                    });
                }
                None => {
                    complete = false;
                    self.broken.insert(&variable.variable.text);
                }
            }
        }
        let span = clause
            .map(|variables| loops_span(variables))
            .unwrap_or(ast.name.span);
        let items = if complete {
            self.product(&values, span)
        } else {
            None
        };
        Signature {
            loops,
            items,
            outputs: self.outputs(ast),
        }
    }

    fn is_taken(&mut self, variable: &ast::Name, loops: &[Loop]) -> bool {
        let text = variable.text.as_str();
        let param = self
            .params
            .iter()
            .map(|param| &param.name)
            .find(|name| name.text == text);
        let other = loops
            .iter()
            .map(|known| &known.name)
            .find(|name| name.text == text);
        let stage = self
            .names
            .stage_index
            .get(text)
            .map(|stage| self.names.stages[*stage].name.span);
        let first = param.or(other).map(|name| name.span).or(stage);
        if let Some(first) = first {
            self.report(rules::duplicate_name::report(
                variable,
                "loop variable",
                first,
            ));
        }
        first.is_some()
    }

    /// The type and the elements of what a loop goes over; no elements where a parameter has no
    /// value.
    fn over(&mut self, over: &ast::Over) -> Option<(Type, bool, Option<Vec<Value>>)> {
        match over {
            ast::Over::Range(range) => {
                let (start, end) = self.range_bounds(range)?;
                let (Some(start), Some(end)) = (start, end) else {
                    return Some((Type::Int(None), false, None));
                };
                let last = if range.inclusive {
                    end
                } else {
                    end.saturating_sub(1)
                };
                let count = last.saturating_sub(start).saturating_add(1);
                if count > ITEMS_MAX as i64 {
                    self.report(rules::large_fan_out::report(range.span, &count.to_string()));
                    return None;
                }
                let values = (start..=last).map(Value::Int).collect();
                Some((Type::Int(None), start == 0, Some(values)))
            }
            ast::Over::List(list) => {
                let ty = self.element_type(list)?;
                let value = ast::Value::List(list.clone());
                let wished = Type::List(Box::new(ty.clone()));
                let term = self.term(&value, &wished, Scope::PIPELINE, Time::Compile)?;
                Some((ty, false, self.elements(&term)))
            }
            ast::Over::Ref(reference) => {
                let found = self.reference(reference, Scope::PIPELINE, Time::Compile)?;
                let Type::List(item) = found.ty.clone() else {
                    self.report(rules::wrong_type::no_list(reference.span, &found.ty));
                    return None;
                };
                Some((*item, false, self.elements(&Term::Reference(found))))
            }
        }
    }

    /// Both bounds; `None` inside where a parameter has no value.
    fn range_bounds(&mut self, range: &ast::Range) -> Option<(Option<i64>, Option<i64>)> {
        let start = self.bound(&range.start, &Type::Int(None), Scope::PIPELINE);
        let end = self.bound(&range.end, &Type::Int(None), Scope::PIPELINE);
        let values = Values {
            params: &self.params,
            item: &[],
        };
        Some((values.int(&Some(start?)), values.int(&Some(end?))))
    }

    /// The type of a list's elements is that of the first.
    fn element_type(&mut self, list: &ast::List) -> Option<Type> {
        match list.items.first() {
            None => Some(Type::String),
            Some(first) => self.type_of(first, Scope::PIPELINE),
        }
    }

    fn elements(&self, term: &Term) -> Option<Vec<Value>> {
        match (Values {
            params: &self.params,
            item: &[],
        })
        .term(term)?
        {
            Value::List(values) => Some(values),
            _ => None,
        }
    }

    /// Every combination, the last variable fastest. Without a `for` there is one, of nothing.
    fn product(&mut self, values: &[Option<Vec<Value>>], span: Span) -> Option<Vec<Item>> {
        let values: Vec<&Vec<Value>> = values.iter().map(Option::as_ref).collect::<Option<_>>()?;
        let count = values
            .iter()
            .try_fold(1_usize, |n, list| n.checked_mul(list.len()));
        let count = count.unwrap_or(usize::MAX);
        if count > ITEMS_MAX {
            self.report(rules::large_fan_out::report(span, &count.to_string()));
            return None;
        }
        self.items = self.items.saturating_add(count);
        if self.items > ITEMS_TOTAL_MAX {
            self.report(rules::large_fan_out::too_many_items(span));
            return None;
        }
        let mut items = vec![Item { values: Vec::new() }];
        for list in values {
            let longer = items.iter().flat_map(|item| {
                list.iter().map(|value| {
                    let mut values = item.values.clone();
                    values.push(value.clone());
                    Item { values }
                })
            });
            items = longer.collect();
        }
        let mut seen = HashSet::new();
        if let Some(twice) = items.iter().find(|item| !seen.insert(key(&item.values))) {
            self.report(rules::duplicate_item::report(span, &twice.text()));
            return None;
        }
        Some(items)
    }

    /// The one clause of a kind.
    pub(super) fn clauses<'c, T: ?Sized>(
        &mut self,
        clauses: &'c [ast::Clause],
        pick: impl Fn(&'c ast::ClauseKind) -> Option<&'c T>,
    ) -> Option<&'c T> {
        clauses.iter().find_map(|clause| pick(&clause.kind))
    }

    /// Tells clauses that are given twice.
    pub(super) fn check_clauses(&mut self, clauses: &[ast::Clause]) {
        for (index, clause) in clauses.iter().enumerate() {
            let same = |other: &&ast::Clause| other.kind.word() == clause.kind.word();
            if let Some(first) = clauses[..index].iter().find(same) {
                self.report(rules::duplicate_clause::report(clause, first.keyword));
            }
        }
    }

    /// Resolves a stage. Its loops, items and outputs are put in later, from its signature.
    pub(super) fn stage(&mut self, index: usize, ast: &'a ast::Stage) -> Stage {
        self.check_clauses(&ast.clauses);
        self.forget_reads();
        let loops = std::mem::take(&mut self.signatures[index].loops);
        let finally = ast.finally.is_some();
        let holding = self.holding(&ast.clauses, &loops, index);
        let held: Vec<usize> = holding.iter().map(|hold| hold.ledger).collect();
        let mounted = self.mounted(ast);
        let scope = Scope {
            loops: &loops,
            arguments: None,
            stage: Some(index),
            held: &held,
            mounted: &mounted,
            finally,
        };
        let when = self.when(&ast.clauses, scope);
        let quorum = self.quorum(ast, scope);
        let mut after = self.after(&ast.clauses, scope);
        let body = self.body(ast, scope);
        self.add_reads(&mut after);
        self.signatures[index].loops = loops;
        Stage {
            name: name(&ast.name),
            finally,
            loops: Vec::new(),
            items: None,
            after,
            when,
            holding,
            quorum,
            body,
        }
    }

    fn holding(&mut self, clauses: &'a [ast::Clause], loops: &[Loop], stage: usize) -> Vec<Hold> {
        let clause = self.clauses(clauses, |kind| match kind {
            ast::ClauseKind::Holding(holds) => Some(holds),
            _ => None,
        });
        let scope = Scope {
            loops,
            stage: Some(stage),
            ..Scope::PIPELINE
        };
        let mut holding: Vec<Hold> = Vec::new();
        for hold in clause.into_iter().flatten() {
            if holding.len() >= HOLDS_MAX {
                self.report(rules::too_many_holds::report(hold.span));
                break;
            }
            let Some(ledger) = self
                .names
                .ledger_index
                .get(hold.name.text.as_str())
                .copied()
            else {
                let known = self.names.ledgers.iter().map(|l| l.name.text.as_str());
                let diagnostic =
                    rules::unknown_name::report(&hold.name, "semaphore or lease", known);
                self.report(diagnostic);
                continue;
            };
            self.used.ledgers.insert(ledger);
            if let Some(first) = holding.iter().find(|known| known.ledger == ledger) {
                self.report(rules::held_twice::report(&hold.name, first.span));
                continue;
            }
            let permits = match &hold.permits {
                Some(permits) if self.ledgers[ledger].kind == LedgerKind::Lease => {
                    let lease = self.ledgers[ledger].name.span;
                    self.report(rules::too_many_permits::of_a_lease(permits.span(), lease));
                    None
                }
                Some(permits) => {
                    self.bound(permits, &Type::Int(Some(1..=i64::from(u32::MAX))), scope)
                }
                None => None,
            };
            holding.push(Hold {
                ledger,
                permits,
                span: hold.span,
            });
        }
        holding
    }

    fn quorum(&mut self, ast: &'a ast::Stage, scope: Scope<'_>) -> Option<Setting> {
        let bound = self.clauses(&ast.clauses, |kind| match kind {
            ast::ClauseKind::Quorum(bound) => Some(bound),
            _ => None,
        })?;
        if scope.loops.is_empty() {
            self.report(rules::quorum::without_for(bound.span()));
            return None;
        }
        self.bound(
            bound,
            &Type::Int(Some(1..=ITEMS_MAX as i64)),
            Scope {
                loops: &[],
                ..scope
            },
        )
    }

    /// The condition of a header.
    pub(super) fn when(&mut self, clauses: &'a [ast::Clause], scope: Scope<'_>) -> Option<When> {
        let expr = self.clauses(clauses, |kind| match kind {
            ast::ClauseKind::When(expr) => Some(expr),
            _ => None,
        })?;
        let resolved = self.expr(expr, scope)?;
        Some(When {
            expr: resolved,
            span: expr.span(),
        })
    }

    /// The dependencies of a header, as they are written.
    pub(super) fn after(
        &mut self,
        clauses: &'a [ast::Clause],
        scope: Scope<'_>,
    ) -> Vec<Dependency> {
        let clause = self.clauses(clauses, |kind| match kind {
            ast::ClauseKind::After(deps) => Some(deps),
            _ => None,
        });
        let deps = clause.into_iter().flatten();
        deps.filter_map(|dep| self.dependency(dep, scope)).collect()
    }

    fn dependency(&mut self, dep: &ast::Dep, scope: Scope<'_>) -> Option<Dependency> {
        match dep {
            ast::Dep::Any { deps, span } => {
                let parts = deps
                    .iter()
                    .filter_map(|dep| self.dependency(dep, scope))
                    .collect();
                let target = Target::Any(parts);
                Some(Dependency {
                    target,
                    state: State::Succeeded,
                    span: *span,
                })
            }
            ast::Dep::External {
                kind,
                name,
                within,
                span,
            } => {
                let target = self.external(*kind, name, within.as_ref())?;
                Some(Dependency {
                    target,
                    state: State::Succeeded,
                    span: *span,
                })
            }
            ast::Dep::Target {
                name,
                address,
                state,
                span,
            } => {
                let state = match state {
                    Some(word) => self.state(word)?,
                    None => State::Succeeded,
                };
                let target = self.target(name, address.as_ref(), scope)?;
                Some(Dependency {
                    target,
                    state,
                    span: *span,
                })
            }
        }
    }

    fn state(&mut self, word: &ast::Name) -> Option<State> {
        match word.text.as_str() {
            "failed" => Some(State::Failed),
            "skipped" => Some(State::Skipped),
            "finished" => Some(State::Finished),
            _ => {
                let known = ["failed", "skipped", "finished"];
                self.report(rules::unknown_field::state(word, &known));
                None
            }
        }
    }

    fn target(
        &mut self,
        name: &ast::Name,
        address: Option<&ast::Address>,
        scope: Scope<'_>,
    ) -> Option<Target> {
        let text = name.text.as_str();
        if let Some(stage) = self.names.stage_index.get(text).copied() {
            if scope.stage == Some(stage) {
                self.report(rules::self_dependency::report(name));
                return None;
            }
            let address = self.address(stage, name, address, scope)?;
            return Some(Target::Stage { stage, address });
        }
        if let Some(approval) = self.names.approval_index.get(text).copied() {
            if let Some(address) = address {
                self.report(rules::address_shape::not_a_fan_out(name, address.span));
                return None;
            }
            return Some(Target::Approval(approval));
        }
        let stages = self
            .names
            .stages
            .iter()
            .map(|stage| stage.name.text.as_str());
        let approvals = self
            .names
            .approvals
            .iter()
            .map(|approval| approval.name.text.as_str());
        let diagnostic =
            rules::unknown_name::report(name, "stage or approval", stages.chain(approvals));
        self.report(diagnostic);
        None
    }

    fn external(
        &mut self,
        kind: Spanned<ast::ExternalKind>,
        name: &ast::Str,
        within: Option<&ast::Number>,
    ) -> Option<Target> {
        let text = self.text(name, Scope::PIPELINE, Time::Compile, Use::Other)?;
        let text = Values {
            params: &self.params,
            item: &[],
        }
        .text(&text)?;
        let (namespace, name_text) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name.to_owned()),
            None => (None, text),
        };
        let parts = namespace.iter().chain([&name_text]);
        let wrong = { parts }.find(|part| !crate::name::is_object_name(part));
        if let Some(part) = wrong {
            self.report(rules::kubernetes_name::report(name.span, part));
            return None;
        }
        let within = match within {
            None => None,
            Some(number) if kind.value != ast::ExternalKind::Pipeline => {
                self.report(rules::not_here::within(number.span));
                return None;
            }
            Some(number) => match parse_duration(&number.text) {
                Some(millis) => Some(millis),
                None => {
                    self.report(rules::wrong_type::number(number, &Type::Duration));
                    return None;
                }
            },
        };
        let name = name_text;
        Some(match kind.value {
            ast::ExternalKind::Pipeline => Target::Pipeline {
                namespace,
                name,
                within,
            },
            ast::ExternalKind::Gate => Target::Gate { namespace, name },
            ast::ExternalKind::Barrier => Target::Barrier { namespace, name },
        })
    }

    /// Begins with a new stage.
    pub(super) fn forget_reads(&mut self) {
        self.reads.clear();
        self.read_keys.clear();
    }

    /// A use of an output waits for its stage, where no clause of the author's does.
    pub(super) fn add_reads(&mut self, after: &mut Vec<Dependency>) {
        if self.reads.is_empty() {
            return;
        }
        let written = after.clone();
        let mut known: HashSet<_> = written
            .iter()
            .filter_map(|clause| clause.target.key())
            .collect();
        for Read { reference, in_when } in std::mem::take(&mut self.reads) {
            let Source::Output {
                stage,
                address,
                output,
            } = &reference.source
            else {
                continue;
            };
            let cover = cover(&written, *stage, address);
            let has_default = self.signatures[*stage].outputs[*output].default.is_some();
            let state = match (cover, has_default) {
                (Cover::Exact, _) => continue,
                (Cover::None | Cover::Whole, false) | (Cover::None, true) => State::Succeeded,
                (Cover::Whole, true) if in_when => State::Finished,
                (Cover::Whole, true) => continue,
                (Cover::Conditional(span), _) if in_when => {
                    self.report(rules::when_under_any::report(reference.span, span));
                    continue;
                }
                (Cover::Conditional(_) | Cover::OtherEnd(_), true) => continue,
                (Cover::Conditional(span) | Cover::OtherEnd(span), false) => {
                    let declared = self.signatures[*stage].outputs[*output].name.span;
                    self.report(rules::output_default::report(
                        reference.span,
                        span,
                        declared,
                    ));
                    continue;
                }
            };
            let address = (!address.is_empty()).then(|| address.clone());
            let target = Target::Stage {
                stage: *stage,
                address,
            };
            if target.key().is_some_and(|key| known.insert(key)) {
                after.push(Dependency {
                    target,
                    state,
                    span: reference.span,
                });
            }
        }
    }
}

/// How the author's clauses wait for the stage of an output.
enum Cover {
    None,
    /// For the success of just what is read.
    Exact,
    /// For the success of the whole fan-out, of which one item is read.
    Whole,
    /// For another end, or any end.
    OtherEnd(Span),
    /// Only inside `any(…)`.
    Conditional(Span),
}

fn cover(after: &[Dependency], stage: usize, address: &[Term]) -> Cover {
    let mut found = Cover::None;
    for dependency in after {
        let next = match &dependency.target {
            Target::Any(parts) => match cover(parts, stage, address) {
                Cover::None => Cover::None,
                _ => Cover::Conditional(dependency.span),
            },
            Target::Stage {
                stage: other,
                address: to,
            } if *other == stage => {
                let exact = match to {
                    None => address.is_empty(),
                    Some(to) => same_address(to, address),
                };
                match (exact, to, dependency.state) {
                    (true, _, State::Succeeded) => Cover::Exact,
                    (true, _, _) => Cover::OtherEnd(dependency.span),
                    (false, None, State::Succeeded) => Cover::Whole,
                    (false, None, _) => Cover::OtherEnd(dependency.span),
                    (false, Some(_), _) => Cover::None,
                }
            }
            _ => Cover::None,
        };
        found = match (found, next) {
            (Cover::Exact, _) | (_, Cover::Exact) => Cover::Exact,
            (Cover::None, next) => next,
            (found, Cover::None) => found,
            (_, next) => next,
        };
    }
    found
}

fn loops_span(variables: &[ast::Loop]) -> Span {
    match (variables.first(), variables.last()) {
        (Some(first), Some(last)) => first.span.to(last.span),
        _ => Span::default(),
    }
}
