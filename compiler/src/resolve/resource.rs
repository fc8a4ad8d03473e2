//! What a pipeline declares beside stages: its own attributes, semaphores, leases, workspaces,
//! approvals.

use konductor_api::step::WORKSPACE_SCHEME;
use konductor_api::{LedgerKind, StoreSpec};
use konductor_dsl::{Span, ast};

use super::{Resolver, Scope, Time, name};
use crate::limits::{APPROVERS_MAX, PERMITS_MAX};
use crate::options::LOCAL_STORE;
use crate::pipeline::{Approval, Ledger, Setting, Store, Text, Workspace};
use crate::rules;
use crate::value::{Type, Value};

/// The workspace that is the store of a run on this machine.
const LOCAL_STORE_WORKSPACE: &str = "kon-store";
/// Its size, where anybody looks at it.
const LOCAL_STORE_SIZE: &str = "10Gi";

/// Attributes of the pipeline itself.
#[derive(Default)]
pub(super) struct PipelineSettings {
    pub description: Option<Text>,
    pub timeout: Option<Setting>,
    pub keep: Option<Setting>,
    pub fail_fast: Option<Setting>,
    pub store: Option<ast::Attribute>,
}

impl<'a> Resolver<'a> {
    /// Resolves the attributes of the pipeline.
    pub(super) fn pipeline_attributes(&mut self) -> PipelineSettings {
        let mut settings = PipelineSettings::default();
        let entries = self.ast.items.iter().filter_map(|item| match item {
            ast::Item::Attribute(attribute) => Some(attribute.clone()),
            _ => None,
        });
        let map = ast::Map {
            entries: entries.collect(),
            span: self.ast.span,
        };
        let keys = ["description", "timeout", "keep", "fail-fast", "store"];
        for entry in self.entries(&map, &keys) {
            let value = &entry.value;
            match entry.key.text.as_str() {
                "description" => {
                    settings.description = self.text_value(value, Scope::PIPELINE, Time::Compile);
                }
                "timeout" => settings.timeout = self.duration(value, Scope::PIPELINE),
                "keep" => settings.keep = self.duration(value, Scope::PIPELINE),
                "store" => settings.store = Some(entry.clone()),
                _ => settings.fail_fast = self.setting(value, &Type::Bool, Scope::PIPELINE),
            }
        }
        settings
    }

    /// A duration of a second or more.
    pub(super) fn duration(&mut self, value: &ast::Value, scope: Scope<'_>) -> Option<Setting> {
        let setting = self.setting(value, &Type::Duration, scope)?;
        if let crate::pipeline::Term::Value(Value::Duration(millis)) = *setting.term
            && millis < 1_000
        {
            self.report(rules::out_of_range::short_duration(setting.span));
        }
        Some(setting)
    }

    /// Resolves semaphores, leases and workspaces.
    pub(super) fn resolve_resources(&mut self) {
        for resource in self.names.ledgers.clone() {
            let ledger = self.ledger(resource);
            self.ledgers.push(ledger);
        }
        for resource in self.names.workspaces.clone() {
            let workspace = self.workspace(resource);
            self.workspaces.push(workspace);
        }
    }

    fn ledger(&mut self, resource: &'a ast::Resource) -> Ledger {
        let (kind, own) = match resource.kind.value {
            ast::ResourceKind::Semaphore => (LedgerKind::Semaphore, "permits"),
            ast::ResourceKind::Lease | ast::ResourceKind::Workspace => (LedgerKind::Lease, "ttl"),
        };
        let mut ledger = Ledger {
            kind,
            name: name(&resource.name),
            external: false,
            permits: None,
            ttl: None,
        };
        let empty = ast::Map::default();
        let map = resource.attributes.as_ref().unwrap_or(&empty);
        let entries = self.entries(map, &[own, "external"]);
        let (mut own_at, mut external_at) = (None, Span::default());
        // What is unknown is most likely meant for what is missing.
        let mut complete = entries.len() == map.entries.len();
        for entry in entries {
            match entry.key.text.as_str() {
                "external" => {
                    external_at = entry.span;
                    ledger.external = self.flag(&entry.value);
                }
                "permits" => {
                    own_at = Some(entry.span);
                    let ty = Type::Int(Some(0..=PERMITS_MAX));
                    ledger.permits = self.setting(&entry.value, &ty, Scope::PIPELINE);
                    complete &= ledger.permits.is_some();
                }
                _ => {
                    own_at = Some(entry.span);
                    ledger.ttl = self.duration(&entry.value, Scope::PIPELINE);
                }
            }
        }
        match (ledger.external, own_at) {
            (true, Some(span)) => {
                self.report(rules::external_resource::report(span, external_at, own))
            }
            (false, None) if kind == LedgerKind::Semaphore && complete => {
                let example = "permits = 2";
                self.report(rules::missing_attribute::report(
                    &resource.name,
                    own,
                    example,
                ));
            }
            _ => {}
        }
        ledger
    }

    fn workspace(&mut self, resource: &'a ast::Resource) -> Workspace {
        let mut workspace = Workspace {
            name: name(&resource.name),
            external: false,
            size: None,
            many: false,
            storage_class: None,
        };
        let empty = ast::Map::default();
        let map = resource.attributes.as_ref().unwrap_or(&empty);
        let (mut own_at, mut external_at) = (None, Span::default());
        let entries = self.entries(map, &["size", "access", "storage-class", "external"]);
        let mut has_size = entries.len() < map.entries.len();
        for entry in entries {
            match entry.key.text.as_str() {
                "external" => {
                    external_at = entry.span;
                    workspace.external = self.flag(&entry.value);
                }
                "access" => {
                    workspace.many = self.word(&entry.value, &["one", "many"]) == Some("many")
                }
                "size" => {
                    has_size = true;
                    own_at = Some(entry.span);
                    workspace.size = self.setting(&entry.value, &Type::Quantity, Scope::PIPELINE);
                    let values = crate::eval::Values {
                        params: &self.params,
                        item: &[],
                    };
                    let size = values.quantity(&workspace.size);
                    let span = entry.value.span();
                    let reported = size.and_then(|text| rules::amount::check(span, &text));
                    self.diagnostics.extend(reported);
                }
                _ => {
                    own_at = Some(entry.span);
                    let text = self.text_value(&entry.value, Scope::PIPELINE, Time::Compile);
                    workspace.storage_class = text;
                }
            }
        }
        match (workspace.external, own_at) {
            (true, Some(span)) => {
                self.report(rules::external_resource::report(span, external_at, "size"))
            }
            (false, _) if !has_size => {
                let example = "size = 10Gi";
                self.report(rules::missing_attribute::report(
                    &resource.name,
                    "size",
                    example,
                ));
            }
            _ => {}
        }
        workspace
    }

    fn flag(&mut self, value: &ast::Value) -> bool {
        let setting = self.setting(value, &Type::Bool, Scope::PIPELINE);
        crate::eval::Values {
            params: &self.params,
            item: &[],
        }
        .is_true(&setting)
    }

    /// Resolves where files are kept: as the command line says, or as the pipeline declares.
    pub(super) fn store(&mut self, declared: Option<ast::Attribute>) -> Option<Store> {
        let declared = declared.and_then(|attribute| self.declared_store(&attribute));
        match self.options.store.as_deref() {
            None => declared,
            Some(LOCAL_STORE) => {
                let mut outputs = self
                    .signatures
                    .iter()
                    .flat_map(|signature| &signature.outputs);
                let has_files = outputs.any(|output| output.ty.is_file());
                has_files.then(|| self.local_store())
            }
            Some(url) => {
                let spec = match declared {
                    Some(declared) => declared.spec.at(url),
                    None => StoreSpec::of(url),
                };
                self.usable_store(spec, self.ast.name.span)
            }
        }
    }

    fn declared_store(&mut self, attribute: &ast::Attribute) -> Option<Store> {
        let ast::Value::Map(map) = &attribute.value else {
            let url = match &attribute.value {
                ast::Value::String(text) => text.plain(),
                _ => None,
            };
            let url = url.unwrap_or_else(|| "s3://BUCKET/PREFIX".to_owned());
            let entries = format!("url = \"{url}\"");
            self.report(rules::wrong_type::no_map(attribute.value.span(), &entries));
            return None;
        };
        let mut spec = StoreSpec::of("");
        let mut url = None;
        let entries = self.entries(map, &["url", "secret", "endpoint", "region"]);
        let is_complete = entries.len() == map.entries.len();
        for entry in entries {
            let text = self.text_value(&entry.value, Scope::PIPELINE, Time::Compile)?;
            let values = crate::eval::Values {
                params: &self.params,
                item: &[],
            };
            // A parameter without a value: the file is only checked.
            let plain = values.text(&text);
            match entry.key.text.as_str() {
                "url" => url = Some((plain, entry.value.span())),
                "secret" => spec.secret = plain,
                "endpoint" => {
                    if let Some(endpoint) = plain.as_deref()
                        && !rules::missing_store::is_endpoint(endpoint)
                    {
                        let span = entry.value.span();
                        let problem = rules::missing_store::no_endpoint(span, endpoint);
                        self.report(problem);
                        return None;
                    }
                    spec.endpoint = plain;
                }
                _ => spec.region = plain,
            }
        }
        match url {
            Some((Some(url), span)) => {
                spec.url = url;
                self.usable_store(spec, span)
            }
            Some((None, _)) => None,
            None => {
                if is_complete {
                    let name = ast::Name {
                        text: attribute.key.text.clone(),
                        span: attribute.key.span,
                    };
                    let example = "url = \"s3://BUCKET/PREFIX\"";
                    self.report(rules::missing_attribute::report(&name, "url", example));
                }
                None
            }
        }
    }

    fn usable_store(&mut self, spec: StoreSpec, span: Span) -> Option<Store> {
        if let Some(problem) = rules::missing_store::problem(&spec.url) {
            self.report(rules::missing_store::unusable(span, &spec.url, problem));
            return None;
        }
        let Some(below) = spec.url.strip_prefix(WORKSPACE_SCHEME) else {
            return Some(Store {
                spec,
                workspace: None,
            });
        };
        let name = below.split('/').next().unwrap_or(below);
        let Some(workspace) = self.names.workspace_index.get(name).copied() else {
            let workspaces = self.names.workspaces.iter();
            let names = workspaces.map(|workspace| workspace.name.text.as_str());
            let diagnostic = rules::missing_store::workspace(span, name, names);
            self.report(diagnostic);
            return None;
        };
        self.used.workspaces.insert(workspace);
        Some(Store {
            spec,
            workspace: Some(workspace),
        })
    }

    /// A workspace of the run's own, which is deleted with it.
    fn local_store(&mut self) -> Store {
        let span = self.ast.name.span;
        let workspace = self.workspaces.len();
        self.used.workspaces.insert(workspace);
        self.workspaces.push(Workspace {
            name: crate::pipeline::Name {
                text: LOCAL_STORE_WORKSPACE.to_owned(),
                span,
            },
            external: false,
            size: Some(Setting {
                term: Box::new(crate::pipeline::Term::Value(Value::Quantity(
                    LOCAL_STORE_SIZE.to_owned(),
                ))),
                span,
            }),
            many: false,
            storage_class: None,
        });
        Store {
            spec: StoreSpec::of(&format!("{WORKSPACE_SCHEME}{LOCAL_STORE_WORKSPACE}")),
            workspace: Some(workspace),
        }
    }

    /// Resolves an approval.
    pub(super) fn approval(&mut self, ast: &'a ast::Approval) -> Approval {
        self.check_clauses(&ast.clauses);
        self.forget_reads();
        for clause in &ast.clauses {
            if !matches!(
                clause.kind,
                ast::ClauseKind::After(_) | ast::ClauseKind::When(_)
            ) {
                self.report(rules::clause_not_here::report(clause));
            }
        }
        let when = self.when(&ast.clauses, Scope::PIPELINE);
        let mut after = self.after(&ast.clauses, Scope::PIPELINE);
        self.add_reads(&mut after, false);
        let mut approval = Approval {
            name: name(&ast.name),
            after,
            when,
            approvers: None,
            timeout: None,
        };
        let empty = ast::Map::default();
        let map = ast.attributes.as_ref().unwrap_or(&empty);
        for entry in self.entries(map, &["approvers", "timeout"]) {
            match entry.key.text.as_str() {
                "approvers" => {
                    let ty = Type::Int(Some(1..=APPROVERS_MAX));
                    approval.approvers = self.setting(&entry.value, &ty, Scope::PIPELINE);
                }
                _ => approval.timeout = self.duration(&entry.value, Scope::PIPELINE),
            }
        }
        approval
    }
}
