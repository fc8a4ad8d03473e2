//! Names that mean nothing where they stand.

use konductor_dsl::{Diagnostic, ast};

use super::{Resolver, Scope};
use crate::limits::NAMES_COMPARED_MAX;
use crate::rules::{not_here, unknown_name};

/// What a name has to be at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Something to wait for.
    Awaited,
    /// Something to hold.
    Held,
    /// A lease, for its token.
    Lease,
    /// A workspace.
    Workspace,
    /// Something with a value.
    Value,
}

impl Role {
    fn words(self) -> &'static str {
        match self {
            Self::Awaited => "stage or approval",
            Self::Held => "semaphore or lease",
            Self::Lease => "lease",
            Self::Workspace => "workspace",
            Self::Value => "parameter, loop variable or stage",
        }
    }
}

impl Resolver<'_> {
    /// Reports a name that nothing has that could play this role. `scope` has the variables that it could be.
    /// What could not be read still has a name, and so has what shares its name.
    pub(super) fn unknown(&mut self, name: &ast::Name, role: Role, scope: Scope<'_>) {
        if self.is_reported(&name.text) {
            return;
        }
        let diagnostic = self.unknown_name(name, role, scope);
        self.report(diagnostic);
    }

    /// Whether something of this name is reported already, where it is declared.
    pub(super) fn is_reported(&self, name: &str) -> bool {
        self.ast.unread.iter().any(|unread| unread.text == name)
            || self.names.clashing.contains(name)
            || self.names.renamed.contains(name)
    }

    /// What a path of another language means here, such as `params.day` or `steps.a.outputs.n`.
    pub(super) fn path_of_another_language(
        &self,
        ast: &ast::Ref,
        scope: Scope<'_>,
    ) -> Option<Diagnostic> {
        let last = ast.fields.last()?.text.as_str();
        let is_value = scope
            .loops
            .iter()
            .any(|variable| variable.name.text == last)
            || self.param_index.contains_key(last);
        let parts = ast.fields.iter().map(|field| field.text.as_str());
        let stage = { parts }.find(|part| self.names.stage_index.contains_key(part));
        let meant = match (is_value, stage) {
            (true, _) => Some(last.to_owned()),
            (false, Some(stage)) if stage != last => Some(format!("{stage}.{last}")),
            _ => None,
        };
        unknown_name::of_another_language(ast, meant.as_deref())
    }

    fn unknown_name(&mut self, name: &ast::Name, role: Role, scope: Scope<'_>) -> Diagnostic {
        let what = role.words();
        match self.names.declared(&name.text) {
            Some((unknown_name::Kind::Param, declared)) if role == Role::Value => {
                return not_here::later_param(name, declared);
            }
            Some((kind, declared)) => {
                let is_value = role == Role::Value;
                return unknown_name::of_another_kind(name, what, (kind, declared), is_value);
            }
            None => {}
        }
        if self.compared > NAMES_COMPARED_MAX {
            return unknown_name::report(name, what, &[], &[]);
        }
        let names = self.known(role, scope);
        // A stage alone is no value, but `biuld.rows` is one of a stage.
        let stages = match role {
            Role::Value => self.names.stages.as_slice(),
            _ => &[],
        };
        let stages = stages.iter().map(|stage| stage.name.text.as_str());
        let stages: Vec<&str> = stages.collect();
        let compared = self.compared.saturating_add(names.len() + stages.len());
        let diagnostic = unknown_name::report(name, what, &names, &stages);
        self.compared = compared;
        diagnostic
    }

    fn known<'n>(&'n self, role: Role, scope: Scope<'n>) -> Vec<&'n str> {
        let names = &self.names;
        let others = names.stages.iter().enumerate();
        let others = others.filter(|(index, _)| scope.stage != Some(*index));
        let stages = others.map(|(_, stage)| &stage.name);
        let resource = |resource: &&'n ast::Resource| &resource.name;
        let is_lease = |lease: &&&ast::Resource| lease.kind.value == ast::ResourceKind::Lease;
        let text = |name: &'n ast::Name| name.text.as_str();
        match role {
            Role::Awaited => {
                let approvals = names.approvals.iter().map(|approval| &approval.name);
                stages.chain(approvals).map(text).collect()
            }
            Role::Held => names.ledgers.iter().map(resource).map(text).collect(),
            Role::Lease => {
                let leases = names.ledgers.iter().filter(is_lease);
                leases.map(resource).map(text).collect()
            }
            Role::Workspace => names.workspaces.iter().map(resource).map(text).collect(),
            Role::Value => {
                let params = names.params.iter().map(|param| &param.name);
                let loops = scope
                    .loops
                    .iter()
                    .map(|variable| variable.name.text.as_str());
                loops.chain(params.map(text)).collect()
            }
        }
    }
}
