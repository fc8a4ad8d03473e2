//! Uses of outputs: whatever a stage reads has ended before it starts.
//!
//! Where no clause of the author's says so, a clause is added. It never changes how the stage ends,
//! only when it starts: without it, a value would depend on which event came first.

use foldhash::HashMap;
use konductor_dsl::{Span, ast};

use super::{Read, Resolver};
use crate::pipeline::{Dependency, Source, State, Target, Term, same_address};
use crate::rules;

impl Resolver<'_> {
    /// Begins with a new stage.
    pub(super) fn forget_reads(&mut self) {
        self.reads.clear();
        self.read_keys.clear();
    }

    fn has_quorum(&self, stage: usize) -> bool {
        let mut clauses = self.names.stages[stage].clauses.iter();
        clauses.any(|clause| matches!(clause.kind, ast::ClauseKind::Quorum(_)))
    }

    /// Adds the clauses that the stage's uses of outputs need. A `finally` stage runs whatever
    /// happened, so it waits for the end of what it reads and not for its success.
    pub(super) fn add_reads(&mut self, after: &mut Vec<Dependency>, finally: bool) {
        if self.reads.is_empty() {
            return;
        }
        let written = after.clone();
        // Where each target is in `after`; `None` where the author wrote it.
        let mut places: HashMap<_, Option<usize>> = written
            .iter()
            .filter_map(|clause| Some((clause.target.key()?, None)))
            .collect();
        for Read { reference } in std::mem::take(&mut self.reads) {
            let Source::Output {
                stage,
                address,
                output,
            } = &reference.source
            else {
                continue;
            };
            let cover = cover(&written, *stage, address, self.has_quorum(*stage));
            let declared = &self.signatures[*stage].outputs[*output];
            // Of several items, those that failed or were skipped are left out. A file that was not written is not
            // there.
            let has_default =
                Term::are_several(address) || declared.ty.is_file() || declared.default.is_some();
            let state = match (cover, has_default) {
                (Cover::Exact, _) => continue,
                (Cover::None, true) if finally => State::Finished,
                (Cover::None, false) if finally => {
                    let declared = self.signatures[*stage].outputs[*output].name.span;
                    self.report(rules::output_default::in_finally(reference.span, declared));
                    continue;
                }
                (Cover::None, _) | (Cover::Whole, false) => State::Succeeded,
                (Cover::Whole | Cover::OtherEnd(_) | Cover::Conditional(_), true) => {
                    State::Finished
                }
                (Cover::OtherEnd(span) | Cover::Conditional(span), false) => {
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
            let Some(key) = target.key() else { continue };
            // Of several items, another end may be known before all of them have ended.
            let is_early = address_is_of_several(&target) && state == State::Finished;
            let has_ended = |clause: &Dependency| {
                clause.state == State::Finished && clause.target.key().as_ref() == Some(&key)
            };
            match places.get(&key) {
                Some(None) if is_early && !written.iter().any(has_ended) => {
                    places.insert(key, Some(after.len()));
                    after.push(Dependency {
                        target,
                        state,
                        span: reference.span,
                    });
                }
                Some(None) => {}
                // Of two uses the one that needs success decides.
                Some(Some(place)) if state == State::Succeeded => after[*place].state = state,
                Some(Some(_)) => {}
                None => {
                    places.insert(key, Some(after.len()));
                    after.push(Dependency {
                        target,
                        state,
                        span: reference.span,
                    });
                }
            }
        }
    }
}

fn address_is_of_several(target: &Target) -> bool {
    matches!(target, Target::Stage { address: Some(address), .. } if Term::are_several(address))
}

/// How the author's clauses wait for the stage of an output; the strongest of them counts.
#[derive(Clone, Copy)]
enum Cover {
    /// Not at all.
    None,
    /// Only inside `any(…)`.
    Conditional(Span),
    /// For another end, or any end; of a fan-out perhaps before all of its items have ended.
    OtherEnd(Span),
    /// For the success of the whole fan-out, of which some items are read; or of all of them, and its quorum may be
    /// reached before all have ended.
    Whole,
    /// For the success of just what is read.
    Exact,
}

impl Cover {
    fn rank(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Conditional(_) => 1,
            Self::OtherEnd(_) => 2,
            Self::Whole => 3,
            Self::Exact => 4,
        }
    }
}

fn cover(after: &[Dependency], stage: usize, address: &[Term], has_quorum: bool) -> Cover {
    let mut strongest = Cover::None;
    for dependency in after {
        let next = match &dependency.target {
            Target::Any(parts) => match cover(parts, stage, address, has_quorum) {
                Cover::None => Cover::None,
                _ => Cover::Conditional(dependency.span),
            },
            Target::Stage {
                stage: other,
                address: to,
            } if *other == stage => {
                let exact = match to {
                    None => address.is_empty() || Term::are_every(address) && !has_quorum,
                    Some(to) => same_address(to, address),
                };
                let whole = to.as_deref().is_none_or(Term::are_every);
                match (exact, whole, dependency.state) {
                    (true, _, State::Succeeded) => Cover::Exact,
                    (false, true, State::Succeeded) => Cover::Whole,
                    (true, _, _) | (false, true, _) => Cover::OtherEnd(dependency.span),
                    (false, false, _) => Cover::None,
                }
            }
            _ => Cover::None,
        };
        if next.rank() > strongest.rank() {
            strongest = next;
        }
    }
    strongest
}
