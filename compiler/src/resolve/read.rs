//! Uses of outputs: each waits for the stage that it reads from, where no clause of the author's
//! does.

use foldhash::HashSet;
use konductor_dsl::Span;

use super::{Read, Resolver};
use crate::pipeline::{Dependency, Source, State, Target, Term, same_address};
use crate::rules;

impl Resolver<'_> {
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
