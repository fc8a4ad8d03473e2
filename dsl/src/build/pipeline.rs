//! Pipelines, templates, defaults and schedules.

use super::value::attribute;
use super::{
    Approval, Body, Built, File, Key, Lease, Map, NOWHERE, Param, Rejected, Semaphore, Stage, Text,
    Value, Workspace, name,
};
use crate::ast::{self, BodyItem, Item};

/// A pipeline. What is added first is written first.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline(ast::Pipeline);

impl Pipeline {
    /// A pipeline without anything in it.
    pub fn new(pipeline: impl Into<String>) -> Self {
        Self(ast::Pipeline {
            name: name(pipeline),
            items: Vec::new(),
            unread: Vec::new(),
            span: NOWHERE,
        })
    }

    /// Says what it is for.
    #[must_use]
    pub fn description(self, description: impl Into<Text>) -> Self {
        self.attribute("description", description.into())
    }

    /// How long a run may take; what is still running then is cancelled.
    #[must_use]
    pub fn timeout(self, timeout: impl Into<Value>) -> Self {
        self.attribute("timeout", timeout)
    }

    /// How long after its end a run and its objects are kept.
    #[must_use]
    pub fn keep(self, keep: impl Into<Value>) -> Self {
        self.attribute("keep", keep)
    }

    /// Cancels the other main stages at the first failure of a stage without `may-fail`.
    #[must_use]
    pub fn fail_fast(self) -> Self {
        self.attribute("fail-fast", true)
    }

    /// Where files are kept: `url`, and perhaps `secret`, `endpoint` and `region`.
    #[must_use]
    pub fn store(self, store: impl Into<Map>) -> Self {
        self.attribute("store", store.into())
    }

    /// Sets any attribute, also one that has no method here.
    #[must_use]
    pub fn attribute(self, key: impl Into<Key>, value: impl Into<Value>) -> Self {
        let attribute = attribute(key, value);
        self.with(Item::Attribute(attribute))
    }

    /// Declares a parameter.
    #[must_use]
    pub fn param(self, param: Param) -> Self {
        self.with(Item::Param(Box::new(param.into())))
    }

    /// Declares a semaphore.
    #[must_use]
    pub fn semaphore(self, semaphore: Semaphore) -> Self {
        self.with(semaphore.into())
    }

    /// Declares a lease.
    #[must_use]
    pub fn lease(self, lease: Lease) -> Self {
        self.with(lease.into())
    }

    /// Declares a workspace.
    #[must_use]
    pub fn workspace(self, workspace: Workspace) -> Self {
        self.with(workspace.into())
    }

    /// Declares an approval.
    #[must_use]
    pub fn approval(self, approval: Approval) -> Self {
        self.with(approval.into())
    }

    /// Starts runs by the clock.
    #[must_use]
    pub fn schedule(self, schedule: Schedule) -> Self {
        self.with(Item::Schedule(schedule.0))
    }

    /// What every stage starts from.
    #[must_use]
    pub fn defaults(self, defaults: Defaults) -> Self {
        self.with(Item::Defaults(defaults.0))
    }

    /// Adds a stage.
    #[must_use]
    pub fn stage(self, stage: Stage) -> Self {
        self.with(Item::Stage(stage.into()))
    }

    fn with(mut self, item: Item) -> Self {
        self.0.items.push(item);
        self
    }

    /// Writes a file of this pipeline alone: [`File::build`].
    ///
    /// # Errors
    /// [`Rejected`] where something can't be written.
    pub fn build(self, name: impl Into<String>) -> Result<Built, Rejected> {
        File::from(self).build(name)
    }
}

impl From<Pipeline> for ast::Pipeline {
    fn from(pipeline: Pipeline) -> Self {
        pipeline.0
    }
}

/// A body under a name, with parameters of its own: [`Body::uses`] puts it into another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(ast::Template);

impl Template {
    /// A template without parameters, and nothing in it.
    pub fn new(template: impl Into<String>) -> Self {
        Self(ast::Template {
            name: name(template),
            params: Vec::new(),
            body: ast::Body::default(),
            span: NOWHERE,
        })
    }

    /// Adds a parameter.
    #[must_use]
    pub fn param(mut self, param: Param) -> Self {
        self.0.params.push(param.into());
        self
    }
}

impl From<Template> for ast::Template {
    fn from(template: Template) -> Self {
        template.0
    }
}

impl Body for Template {}

impl super::body::Items for Template {
    fn items(&mut self) -> &mut Vec<BodyItem> {
        &mut self.0.body.items
    }
}

/// What every stage of a pipeline starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults(ast::Defaults);

impl Defaults {
    /// Defaults with nothing in them.
    pub fn new() -> Self {
        Self(ast::Defaults {
            body: ast::Body::default(),
            keyword: NOWHERE,
            span: NOWHERE,
        })
    }
}

impl Default for Defaults {
    fn default() -> Self {
        Self::new()
    }
}

impl Body for Defaults {}

impl super::body::Items for Defaults {
    fn items(&mut self) -> &mut Vec<BodyItem> {
        &mut self.0.body.items
    }
}

/// What happens to a run that is due while another one is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Both are run.
    Allow,
    /// It is left out.
    Skip,
    /// The other one is cancelled.
    Replace,
}

/// When runs are started.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule(ast::Schedule);

impl Schedule {
    /// By a cron expression, such as `0 2 * * *`.
    pub fn new(cron: impl Into<Text>) -> Self {
        Self(ast::Schedule {
            cron: cron.into().into(),
            attributes: None,
            span: NOWHERE,
        })
    }

    /// The time zone of the expression, such as `Europe/Berlin`.
    #[must_use]
    pub fn time_zone(self, zone: impl Into<Text>) -> Self {
        self.attribute("timezone", zone.into())
    }

    /// What happens to a run that is due while another one is running.
    #[must_use]
    pub fn overlap(self, overlap: Overlap) -> Self {
        let word = match overlap {
            Overlap::Allow => "allow",
            Overlap::Skip => "skip",
            Overlap::Replace => "replace",
        };
        self.attribute("overlap", Value::word(word))
    }

    /// How late a run that was missed may still be started.
    #[must_use]
    pub fn catch_up(self, within: impl Into<Value>) -> Self {
        self.attribute("catch-up", within)
    }

    /// Sets any attribute, also one that has no method here.
    #[must_use]
    pub fn attribute(mut self, key: impl Into<Key>, value: impl Into<Value>) -> Self {
        Map::add(&mut self.0.attributes, key, value);
        self
    }
}
