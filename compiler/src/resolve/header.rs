//! Headers: what a stage goes over, waits for and holds.

use konductor_api::LedgerKind;
use konductor_dsl::{Span, Spanned, ast};

use super::term::Use;
use super::unknown::Role;
use super::{Resolver, Scope, Time, name};
use crate::eval::Values;
use crate::limits::{HOLDS_MAX, ITEMS_MAX, WHEN_SHOWN_MAX};
use crate::pipeline::{Dependency, Hold, List, Loop, Outside, Setting, Stage, State, Target, When};
use crate::rules;
use crate::value::{Type, parse_duration};

impl<'a> Resolver<'a> {
    /// The one clause of a kind.
    pub(super) fn clauses<'c, T: ?Sized>(
        &mut self,
        clauses: &'c [ast::Clause],
        pick: impl Fn(&'c ast::ClauseKind) -> Option<&'c T>,
    ) -> Option<&'c T> {
        clauses.iter().find_map(|clause| pick(&clause.kind))
    }

    /// Reports clauses that are given twice.
    pub(super) fn check_clauses(&mut self, clauses: &[ast::Clause]) {
        for (index, clause) in clauses.iter().enumerate() {
            let same = |other: &&ast::Clause| other.kind.word() == clause.kind.word();
            if let Some(first) = clauses[..index].iter().find(same) {
                self.report(rules::duplicate_clause::report(clause, first));
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
        let outputs = self.signatures[index].outputs.clone();
        let scope = Scope {
            loops: &loops,
            arguments: None,
            stage: Some(index),
            held: &held,
            mounted: &mounted,
            outputs: &outputs,
            finally,
        };
        let list = self.listed(ast, scope);
        let parallel = self.parallel(ast, scope);
        let when = self.when(&ast.clauses, scope);
        let quorum = self.quorum(ast, scope);
        let mut after = self.after(&ast.clauses, scope);
        let body = self.body(ast, scope);
        self.add_reads(&mut after, finally);
        self.signatures[index].loops = loops;
        Stage {
            name: name(&ast.name),
            finally,
            loops: Vec::new(),
            items: None,
            list,
            parallel,
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
                self.unknown(&hold.name, Role::Held, scope);
                continue;
            };
            self.used.ledgers.insert(ledger);
            if let Some(first) = holding.iter().find(|other| other.ledger == ledger) {
                let kind = self.ledgers[ledger].kind;
                let reported = rules::held_twice::report(hold, kind, first.span);
                self.report(reported);
                continue;
            }
            let permits = match &hold.permits {
                Some(permits) if self.ledgers[ledger].kind == LedgerKind::Lease => {
                    let lease = self.ledgers[ledger].name.span;
                    self.report(rules::too_many_permits::of_a_lease(permits.span(), lease));
                    None
                }
                Some(permits) => {
                    let before = self.diagnostics.len();
                    let bound =
                        self.bound(permits, &Type::Int(Some(1..=i64::from(u32::MAX))), scope);
                    let values = Values {
                        params: &self.params,
                        item: &[],
                    };
                    let most = values.int(&self.ledgers[ledger].permits);
                    let reported = &mut self.diagnostics[before..];
                    rules::too_many_permits::within(reported, most);
                    bound
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
        if self.is_listed(scope) {
            self.report(rules::run_time_items::quorum(bound.span()));
            return None;
        }
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

    /// Whether another stage writes the items of the stage at hand.
    fn is_listed(&self, scope: Scope<'_>) -> bool {
        let signature = scope.stage.and_then(|stage| self.signatures.get(stage));
        signature.is_some_and(|signature| signature.is_listed)
    }

    /// The list that another stage writes and that the stage goes over.
    fn listed(&mut self, ast: &'a ast::Stage, scope: Scope<'_>) -> Option<Box<List>> {
        let max = self.clauses(&ast.clauses, |kind| match kind {
            ast::ClauseKind::Max(bound) => Some(bound),
            _ => None,
        });
        let loops = self.clauses(&ast.clauses, |kind| match kind {
            ast::ClauseKind::For(loops) => Some(loops),
            _ => None,
        });
        let mut loops = loops.into_iter().flatten();
        let reference = loops.find_map(|variable| self.list_of(&variable.over));
        let Some(reference) = reference else {
            let is_max = |clause: &&ast::Clause| matches!(clause.kind, ast::ClauseKind::Max(_));
            if let Some(clause) = ast.clauses.iter().find(is_max) {
                self.report(rules::clause_not_here::max(clause));
            }
            return None;
        };
        let scope = Scope {
            loops: &[],
            ..scope
        };
        let range = 1..=i64::from(konductor_api::limits::ITEMS_MAX);
        let max = max.and_then(|max| self.bound(max, &Type::Int(Some(range)), scope));
        let before = self.diagnostics.len();
        let resolved = self.reference(reference, scope, Time::Run);
        rules::unknown_name::in_loop(&mut self.diagnostics[before..], reference);
        let reference = *resolved?;
        self.note_reads(&reference);
        Some(Box::new(List { reference, max }))
    }

    /// How many items of a list that another stage writes run at once.
    fn parallel(&mut self, ast: &'a ast::Stage, scope: Scope<'_>) -> Option<Setting> {
        let mut bounds = ast.clauses.iter().filter_map(|clause| match &clause.kind {
            ast::ClauseKind::Parallel(bound) => Some((clause, bound)),
            _ => None,
        });
        let (clause, bound) = bounds.next()?;
        if !self.is_listed(scope) {
            let has_for = !scope.loops.is_empty();
            self.report(rules::clause_not_here::parallel(clause, has_for));
            return None;
        }
        let range = 1..=i64::from(konductor_api::limits::ITEMS_MAX);
        let scope = Scope {
            loops: &[],
            ..scope
        };
        self.bound(bound, &Type::Int(Some(range)), scope)
    }

    /// The condition of a header.
    pub(super) fn when(
        &mut self,
        clauses: &'a [ast::Clause],
        scope: Scope<'_>,
    ) -> Option<Box<When>> {
        let expr = self.clauses(clauses, |kind| match kind {
            ast::ClauseKind::When(expr) => Some(expr),
            _ => None,
        })?;
        let resolved = self.expr(expr, scope)?;
        Some(Box::new(When {
            expr: resolved,
            text: shown(expr).into(),
            span: expr.span(),
        }))
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
                let before = self.diagnostics.len();
                let parts = deps
                    .iter()
                    .filter_map(|dep| self.dependency(dep, scope))
                    .collect();
                if let [_] = deps.as_slice() {
                    let reported = self.diagnostics.iter_mut().skip(before);
                    reported
                        .for_each(|diagnostic| rules::self_dependency::of_any(diagnostic, *span));
                }
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
                let target = self.target(name, address.as_ref(), *span, scope)?;
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
                let states = ["failed", "skipped", "finished"];
                self.report(rules::unknown_field::state(word, &states));
                None
            }
        }
    }

    fn target(
        &mut self,
        name: &ast::Name,
        address: Option<&ast::Address>,
        span: Span,
        scope: Scope<'_>,
    ) -> Option<Target> {
        let text = name.text.as_str();
        if let Some(stage) = self.names.stage_index.get(text).copied() {
            if scope.stage == Some(stage) {
                let others = self
                    .names
                    .stages
                    .iter()
                    .map(|other| other.name.text.as_str());
                let others = others.filter(|other| *other != text);
                let reported = rules::self_dependency::report(name, span, others);
                self.report(reported);
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
        self.unknown(name, Role::Awaited, scope);
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
        Some(Target::Outside(match kind.value {
            ast::ExternalKind::Pipeline => Outside::Pipeline {
                namespace,
                name,
                within,
            },
            ast::ExternalKind::Gate => Outside::Gate { namespace, name },
            ast::ExternalKind::Barrier => Outside::Barrier { namespace, name },
        }))
    }
}

/// A condition as people wrote it, on one line, shortened.
fn shown(expr: &ast::Expr) -> String {
    let mut text = expr.to_string();
    if let Some((end, _)) = text.char_indices().nth(WHEN_SHOWN_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}
