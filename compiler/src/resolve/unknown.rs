//! Names that mean nothing where they stand.

use konductor_dsl::{Diagnostic, ast};

use super::{Resolver, Scope};
use crate::limits::NAMES_COMPARED_MAX;
use crate::rules::{not_here, unknown_name};

/// What is wanted at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
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

impl Wanted {
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
    /// Reports a name that nothing of the wanted kind has. `scope` has the variables that it could be.
    /// What could not be read still has a name, and so has what shares its name.
    pub(super) fn unknown(&mut self, name: &ast::Name, wanted: Wanted, scope: Scope<'_>) {
        if self.is_reported(&name.text) {
            return;
        }
        let diagnostic = self.unknown_name(name, wanted, scope);
        self.report(diagnostic);
    }

    /// Whether something of this name is reported already, where it is declared.
    pub(super) fn is_reported(&self, name: &str) -> bool {
        self.ast.unread.iter().any(|known| known.text == name)
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
        let is_value = scope.loops.iter().any(|known| known.name.text == last)
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

    fn unknown_name(&mut self, name: &ast::Name, wanted: Wanted, scope: Scope<'_>) -> Diagnostic {
        let what = wanted.words();
        match self.names.declared(&name.text) {
            Some((unknown_name::Kind::Param, declared)) if wanted == Wanted::Value => {
                return not_here::later_param(name, declared);
            }
            Some((kind, declared)) => {
                let is_value = wanted == Wanted::Value;
                return unknown_name::of_another_kind(name, what, (kind, declared), is_value);
            }
            None => {}
        }
        if self.compared > NAMES_COMPARED_MAX {
            return unknown_name::report(name, what, &[], &[]);
        }
        let known = self.known(wanted, scope);
        // A stage alone is no value, but `biuld.rows` is one of a stage.
        let stages = match wanted {
            Wanted::Value => self.names.stages.as_slice(),
            _ => &[],
        };
        let stages = stages.iter().map(|stage| stage.name.text.as_str());
        let stages: Vec<&str> = stages.collect();
        let compared = self.compared.saturating_add(known.len() + stages.len());
        let diagnostic = unknown_name::report(name, what, &known, &stages);
        self.compared = compared;
        diagnostic
    }

    fn known<'n>(&'n self, wanted: Wanted, scope: Scope<'n>) -> Vec<&'n str> {
        let names = &self.names;
        let others = names.stages.iter().enumerate();
        let others = others.filter(|(index, _)| scope.stage != Some(*index));
        let stages = others.map(|(_, stage)| &stage.name);
        let resource = |resource: &&'n ast::Resource| &resource.name;
        let is_lease = |lease: &&&ast::Resource| lease.kind.value == ast::ResourceKind::Lease;
        let text = |name: &'n ast::Name| name.text.as_str();
        match wanted {
            Wanted::Awaited => {
                let approvals = names.approvals.iter().map(|approval| &approval.name);
                stages.chain(approvals).map(text).collect()
            }
            Wanted::Held => names.ledgers.iter().map(resource).map(text).collect(),
            Wanted::Lease => {
                let leases = names.ledgers.iter().filter(is_lease);
                leases.map(resource).map(text).collect()
            }
            Wanted::Workspace => names.workspaces.iter().map(resource).map(text).collect(),
            Wanted::Value => {
                let params = names.params.iter().map(|param| &param.name);
                let loops = scope.loops.iter().map(|known| known.name.text.as_str());
                loops.chain(params.map(text)).collect()
            }
        }
    }
}
