//! Stages, and the clauses of headers.

use super::{Body, Bound, Condition, Dep, NOWHERE, Over, name};
use crate::ast::{self, BodyItem, Clause, ClauseKind};

/// A stage: how it is coordinated, and, by [`Body`], what it does.
///
/// A clause that is given again extends the first one: more to wait for, more to hold, another
/// loop variable; conditions must all hold. The last quorum, `max` and `parallel` count.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage(ast::Stage);

impl Stage {
    /// A stage that starts when what it is [`after`](Self::after) holds.
    pub fn new(stage: impl Into<String>) -> Self {
        Self(ast::Stage {
            finally: None,
            name: name(stage),
            clauses: Vec::new(),
            body: ast::Body::default(),
            span: NOWHERE,
        })
    }

    /// A stage that runs when everything else has ended, whatever happened.
    pub fn finally(stage: impl Into<String>) -> Self {
        let mut finally = Self::new(stage);
        finally.0.finally = Some(NOWHERE);
        finally
    }

    /// Fans out: an item for each element, and for each combination where it is called again.
    #[must_use]
    pub fn for_each(mut self, variable: impl Into<String>, over: impl Into<Over>) -> Self {
        let variable = ast::Loop {
            variable: name(variable),
            over: over.into().into(),
            span: NOWHERE,
        };
        add(&mut self.0.clauses, ClauseKind::For(vec![variable]));
        self
    }

    /// Starts only when this holds.
    #[must_use]
    pub fn after(mut self, dep: impl Into<Dep>) -> Self {
        after(&mut self.0.clauses, dep);
        self
    }

    /// Is skipped where this is false.
    #[must_use]
    pub fn when(mut self, condition: impl Into<Condition>) -> Self {
        when(&mut self.0.clauses, condition);
        self
    }

    /// Holds a lease, or one permit of a semaphore, while it runs.
    #[must_use]
    pub fn holding(self, resource: impl Into<String>) -> Self {
        self.hold(resource.into(), None)
    }

    /// Holds so many permits of a semaphore while it runs.
    #[must_use]
    pub fn holding_permits(self, semaphore: impl Into<String>, permits: impl Into<Bound>) -> Self {
        self.hold(semaphore.into(), Some(permits.into().into()))
    }

    fn hold(mut self, resource: String, permits: Option<ast::Bound>) -> Self {
        let hold = ast::Hold {
            name: name(resource),
            permits,
            span: NOWHERE,
        };
        add(&mut self.0.clauses, ClauseKind::Holding(vec![hold]));
        self
    }

    /// Dependents start after this many items have succeeded.
    #[must_use]
    pub fn quorum(mut self, count: impl Into<Bound>) -> Self {
        add(&mut self.0.clauses, ClauseKind::Quorum(count.into().into()));
        self
    }

    /// Fails if a list that another stage writes has more items than this.
    #[must_use]
    pub fn max(mut self, count: impl Into<Bound>) -> Self {
        add(&mut self.0.clauses, ClauseKind::Max(count.into().into()));
        self
    }

    /// Runs at most this many items at once.
    #[must_use]
    pub fn parallel(mut self, count: impl Into<Bound>) -> Self {
        add(
            &mut self.0.clauses,
            ClauseKind::Parallel(count.into().into()),
        );
        self
    }
}

impl From<Stage> for ast::Stage {
    fn from(stage: Stage) -> Self {
        stage.0
    }
}

impl Body for Stage {}

impl super::body::Items for Stage {
    fn items(&mut self) -> &mut Vec<BodyItem> {
        &mut self.0.body.items
    }
}

pub(super) fn after(clauses: &mut Vec<Clause>, dep: impl Into<Dep>) {
    add(clauses, ClauseKind::After(vec![dep.into().into()]));
}

pub(super) fn when(clauses: &mut Vec<Clause>, condition: impl Into<Condition>) {
    add(clauses, ClauseKind::When(Box::new(condition.into().into())));
}

/// Adds a clause, or extends the existing one.
fn add(clauses: &mut Vec<Clause>, kind: ClauseKind) {
    for clause in &mut *clauses {
        match (&mut clause.kind, &kind) {
            (ClauseKind::For(loops), ClauseKind::For(more)) => loops.extend_from_slice(more),
            (ClauseKind::After(deps), ClauseKind::After(more)) => deps.extend_from_slice(more),
            (ClauseKind::Holding(holds), ClauseKind::Holding(more)) => {
                holds.extend_from_slice(more);
            }
            (ClauseKind::When(condition), ClauseKind::When(more)) => match &mut **condition {
                ast::Expr::And(parts, _) => parts.push((**more).clone()),
                other => *other = ast::Expr::And(vec![other.clone(), (**more).clone()], NOWHERE),
            },
            (ClauseKind::Quorum(bound), ClauseKind::Quorum(count))
            | (ClauseKind::Max(bound), ClauseKind::Max(count))
            | (ClauseKind::Parallel(bound), ClauseKind::Parallel(count)) => *bound = count.clone(),
            _ => continue,
        }
        return;
    }
    clauses.push(Clause {
        kind,
        keyword: NOWHERE,
        span: NOWHERE,
    });
}
