//! Names that mean nothing where they stand.

use konductor_dsl::{Diagnostic, ast};

use super::Resolver;
use crate::limits::NAMES_COMPARED_MAX;
use crate::pipeline::Loop;
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
    /// Tells a name that nothing of the wanted kind has. `loops` are the variables that it could be.
    /// What could not be read has a name all the same.
    pub(super) fn unknown(&mut self, name: &ast::Name, wanted: Wanted, loops: &[Loop]) {
        if self.ast.unread.iter().any(|known| known.text == name.text) {
            return;
        }
        let diagnostic = self.unknown_name(name, wanted, loops);
        self.report(diagnostic);
    }

    fn unknown_name(&mut self, name: &ast::Name, wanted: Wanted, loops: &[Loop]) -> Diagnostic {
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
        let known = self.known(wanted, loops);
        let compared = self.compared.saturating_add(known.len());
        let may_compare = compared <= NAMES_COMPARED_MAX;
        let known = known.into_iter().filter(|_| may_compare);
        let diagnostic = unknown_name::report(name, what, known);
        self.compared = compared;
        diagnostic
    }

    fn known<'n>(&'n self, wanted: Wanted, loops: &'n [Loop]) -> Vec<&'n str> {
        let names = &self.names;
        let stages = names.stages.iter().map(|stage| &stage.name);
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
                let loops = loops.iter().map(|known| known.name.text.as_str());
                loops.chain(params.chain(stages).map(text)).collect()
            }
        }
    }
}
