//! What a pipeline declares: every name once.

use foldhash::{HashMap, HashSet};
use konductor_dsl::{Diagnostic, Span, ast, is_name, nearest_name};

use super::Index;
use crate::rules;
use crate::rules::unknown_name::Kind;

/// The declarations of a pipeline, by kind. What can be meant by the same reference shares an
/// index: parameters, stages and approvals; semaphores and leases; workspaces.
pub(super) struct Names<'a> {
    pub params: Vec<&'a ast::Param>,
    pub stages: Vec<&'a ast::Stage>,
    pub approvals: Vec<&'a ast::Approval>,
    pub ledgers: Vec<&'a ast::Resource>,
    pub workspaces: Vec<&'a ast::Resource>,
    pub stage_index: Index<'a>,
    pub approval_index: Index<'a>,
    pub ledger_index: Index<'a>,
    pub workspace_index: Index<'a>,
    /// Names that are declared twice: what is wrong with their uses may be the clash's fault.
    pub clashing: HashSet<&'a str>,
    /// What is declared under a name that can't be one will be called this: it is reported where it is declared.
    pub renamed: HashSet<String>,
}

impl<'a> Names<'a> {
    /// Collects the declarations; of two with one name the first counts.
    pub(super) fn collect(ast: &'a ast::Pipeline, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut names = Self {
            params: Vec::new(),
            stages: Vec::new(),
            approvals: Vec::new(),
            ledgers: Vec::new(),
            workspaces: Vec::new(),
            stage_index: Index::default(),
            approval_index: Index::default(),
            ledger_index: Index::default(),
            workspace_index: Index::default(),
            clashing: HashSet::default(),
            renamed: HashSet::default(),
        };
        let mut values = Once::default();
        let mut ledgers = Once::default();
        let mut workspaces = Once::default();
        for item in &ast.items {
            match item {
                ast::Item::Param(param) => {
                    if values.add(&param.name, "parameter", diagnostics) {
                        names.params.push(param);
                    }
                }
                ast::Item::Stage(stage) => {
                    if values.add(&stage.name, "stage", diagnostics) {
                        names
                            .stage_index
                            .insert(&stage.name.text, names.stages.len());
                        names.stages.push(stage);
                    }
                }
                ast::Item::Approval(approval) => {
                    if values.add(&approval.name, "approval", diagnostics) {
                        names
                            .approval_index
                            .insert(&approval.name.text, names.approvals.len());
                        names.approvals.push(approval);
                    }
                }
                ast::Item::Resource(resource) => {
                    names.resource(resource, &mut ledgers, &mut workspaces, diagnostics)
                }
                ast::Item::Schedule(_) | ast::Item::Defaults(_) | ast::Item::Attribute(_) => {}
            }
        }
        for once in [values, ledgers, workspaces] {
            let misshapen = once.seen.keys().filter(|name| !is_name(name));
            names
                .renamed
                .extend(misshapen.map(|name| nearest_name(name)));
            names.clashing.extend(once.twice);
        }
        names
    }

    /// What has this name, and where it is declared.
    pub(super) fn declared(&self, text: &str) -> Option<(Kind, Span)> {
        let resource = |resource: &&ast::Resource| {
            let kind = match resource.kind.value {
                ast::ResourceKind::Semaphore => Kind::Semaphore,
                ast::ResourceKind::Lease => Kind::Lease,
                ast::ResourceKind::Workspace => Kind::Workspace,
            };
            (kind, resource.name.span)
        };
        let stage = self.stage_index.get(text);
        let approval = self.approval_index.get(text);
        let ledger = self.ledger_index.get(text);
        let workspace = self.workspace_index.get(text);
        let param = || self.params.iter().find(|param| param.name.text == text);
        stage
            .map(|at| (Kind::Stage, self.stages[*at].name.span))
            .or_else(|| approval.map(|at| (Kind::Approval, self.approvals[*at].name.span)))
            .or_else(|| ledger.map(|at| resource(&self.ledgers[*at])))
            .or_else(|| workspace.map(|at| resource(&self.workspaces[*at])))
            .or_else(|| param().map(|param| (Kind::Param, param.name.span)))
    }

    fn resource(
        &mut self,
        resource: &'a ast::Resource,
        ledgers: &mut Once<'a>,
        workspaces: &mut Once<'a>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let (once, list, index, word) = match resource.kind.value {
            ast::ResourceKind::Semaphore => (
                ledgers,
                &mut self.ledgers,
                &mut self.ledger_index,
                "semaphore",
            ),
            ast::ResourceKind::Lease => {
                (ledgers, &mut self.ledgers, &mut self.ledger_index, "lease")
            }
            ast::ResourceKind::Workspace => (
                workspaces,
                &mut self.workspaces,
                &mut self.workspace_index,
                "workspace",
            ),
        };
        if once.add(&resource.name, word, diagnostics) {
            index.insert(&resource.name.text, list.len());
            list.push(resource);
        }
    }
}

/// Names that may be given once.
#[derive(Default)]
pub(super) struct Once<'a> {
    seen: HashMap<&'a str, Span>,
    twice: HashSet<&'a str>,
}

impl<'a> Once<'a> {
    /// Takes a name, or reports that it is taken and returns `false`.
    pub(super) fn add(
        &mut self,
        name: &'a ast::Name,
        what: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> bool {
        match self.seen.get(name.text.as_str()) {
            Some(first) => {
                diagnostics.push(rules::duplicate_name::report(name, what, *first));
                self.twice.insert(&name.text);
                false
            }
            None => {
                self.seen.insert(&name.text, name.span);
                true
            }
        }
    }
}
