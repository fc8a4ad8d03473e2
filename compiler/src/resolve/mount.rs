//! Mounts: which workspaces a stage has, and at which paths.

use konductor_api::step::PROGRAM_FOLDER;
use konductor_dsl::{Span, ast};

use super::term::Use;
use super::unknown::Role;
use super::{Resolver, Scope, Time};
use crate::pipeline::Mount;
use crate::rules;

impl<'a> Resolver<'a> {
    /// The workspaces that a stage mounts, before its texts are looked at.
    pub(super) fn mounted(&mut self, stage: &'a ast::Stage) -> Vec<usize> {
        if self.workspaces.is_empty() {
            return Vec::new();
        }
        let bodies = self.all_bodies(stage);
        let items = bodies.into_iter().flat_map(|body| &body.items);
        items
            .filter_map(|item| match item {
                ast::BodyItem::Mount { workspace, .. } => self
                    .names
                    .workspace_index
                    .get(workspace.text.as_str())
                    .copied(),
                _ => None,
            })
            .collect()
    }

    /// `mount WORKSPACE at "/path"`
    pub(super) fn mount(
        &mut self,
        workspace: &ast::Name,
        path: &ast::Str,
        span: Span,
        scope: Scope<'_>,
    ) -> Option<Mount> {
        let Some(index) = self
            .names
            .workspace_index
            .get(workspace.text.as_str())
            .copied()
        else {
            self.unknown(workspace, Role::Workspace, scope);
            return None;
        };
        self.used.workspaces.insert(index);
        let text = self.text(
            path,
            Scope {
                loops: &[],
                ..scope
            },
            Time::Compile,
            Use::Other,
        )?;
        let mount_path = crate::eval::Values {
            params: &self.params,
            item: &[],
        }
        .text(&text);
        let absolute = mount_path
            .as_ref()
            .is_none_or(|path| path.starts_with('/') && !path.contains(':'));
        if !absolute {
            self.report(rules::mount_path::report(path));
            return None;
        }
        let climbs = |path: &String| path.split('/').any(|part| part == "..");
        if mount_path.as_ref().is_some_and(climbs) {
            self.report(rules::mount_path::climbs(path));
            return None;
        }
        let is_root = |path: &String| named_parts(path).next().is_none();
        if mount_path.as_ref().is_some_and(is_root) {
            self.report(rules::mount_path::root(path, &workspace.text));
            return None;
        }
        let own = named_parts(PROGRAM_FOLDER).next();
        let is_own = |path: &String| named_parts(path).next() == own;
        if mount_path.as_ref().is_some_and(is_own) {
            self.report(rules::mount_path::reserved(path, &workspace.text));
            return None;
        }
        Some(Mount {
            workspace: index,
            path: mount_path.unwrap_or_default(),
            span,
        })
    }
}

/// The parts of a path that lead into a folder: neither empty nor `.`.
fn named_parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != ".")
}
