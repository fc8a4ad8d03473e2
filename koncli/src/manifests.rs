//! Checking manifests without a cluster: by the rules of the API server that `koncli dev` serves, and
//! those that only the operator knows.

use std::path::Path;

use konductor_api::{annotation, parse_holds};
use konductor_compiler::placed::{self, Kind, Placed};
use konductor_dsl::{Code, Diagnostic, Sources, Span, did_you_mean, source_name};
use konductor_local::{ApiServer, ServerOptions};
use kube::api::{ApiResource, DynamicObject};
use kube::core::Status;
use kube::discovery::{Discovery, Scope};
use kube::{Client, Resource};
use serde_json::Value;
use serde_saphyr::Location;

use crate::exit::Failure;
use crate::{load, local, output};

/// Whether a file is a manifest, and not a pipeline, by its name.
pub(crate) fn is_manifest(file: &Path) -> bool {
    file.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// What would refuse a manifest: an API server in memory.
pub(crate) struct Checker {
    client: Client,
    discovery: Discovery,
}

impl Checker {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let api = ApiServer::new(ServerOptions::default());
        let client = Client::new(api.router(), local::NAMESPACE);
        local::install_crds(&client).await?;
        let discovery = Discovery::new(client.clone()).run().await?;
        Ok(Self { client, discovery })
    }

    /// Checks every object of a file. An object of another kind is named, and not checked.
    pub(crate) async fn check(&self, file: &Path) -> Result<(Sources, Vec<Diagnostic>), Failure> {
        let text = load::read(file)?;
        let mut sources = Sources::default();
        sources.add(source_name(file), text.as_str());
        let documents = match placed::parse_all(&text) {
            Ok(documents) => documents,
            Err(error) => {
                let span = error.at.map_or(Span::default(), |at| first_line(&text, at));
                return Ok((sources, vec![error.report(span)]));
            }
        };
        let mut reported = Vec::new();
        let mut objects = Vec::new();
        for document in &documents {
            match document.member("items").map(|(_, items)| &items.value) {
                Some(Kind::List(items)) if document.text("kind") == "List" => objects.extend(items),
                _ => objects.push(document),
            }
        }
        for object in objects
            .into_iter()
            .filter(|object| !matches!(object.value, Kind::Null))
        {
            let manifest = Manifest {
                text: &text,
                root: object,
            };
            self.object(&manifest, &mut reported).await?;
        }
        reported.sort_by_key(Diagnostic::span);
        Ok((sources, reported))
    }

    async fn object(
        &self,
        manifest: &Manifest<'_>,
        reported: &mut Vec<Diagnostic>,
    ) -> Result<(), Failure> {
        let mut object = manifest.root.to_json();
        let (version, kind) = (manifest.root.text("apiVersion"), manifest.root.text("kind"));
        if version.is_empty() || kind.is_empty() {
            let message = "not a Kubernetes object: apiVersion or kind is missing";
            let reported_here =
                Diagnostic::error(Code::K0508, manifest.place("", Part::Value), message);
            reported.push(reported_here.help(
                "begin it as in `apiVersion: konductor.io/v1` and `kind: Semaphore`; a file with values for \
                 parameters is given with `--params`",
            ));
            return Ok(());
        }
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let served = self.discovery.get(group).and_then(|group| {
            let mut resources = group.versioned_resources(version).into_iter();
            resources.find(|(resource, _)| resource.kind == kind)
        });
        let Some((resource, capabilities)) = served else {
            if group == "konductor.io" {
                let message = format!("{group}/{version} has no kind {kind}");
                let other = self.other_version(group, kind);
                let (place, help) = match other {
                    Some((version, near)) if near == kind => (
                        "apiVersion",
                        format!("write `apiVersion: {group}/{version}`"),
                    ),
                    Some((_, near)) => ("kind", format!("did you mean `{near}`?")),
                    None => (
                        "kind",
                        "its kinds are Barrier, Gate, Semaphore, Lease and Run".to_owned(),
                    ),
                };
                let at = manifest.place(place, Part::Value);
                reported.push(Diagnostic::error(Code::K0508, at, message).help(help));
            } else {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                output::stderr(&format!(
                    "{kind}/{name} is not checked: konductor has nothing to do with it"
                ));
            }
            return Ok(());
        };
        let namespaced = capabilities.scope == Scope::Namespaced;
        // Which namespaces there are is not the file's business.
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("namespace");
        }
        let before = reported.len();
        if let Err(status) = self
            .create(&resource, namespaced, &object, "Strict")
            .await?
        {
            let unknown = unknown_fields(&status.message);
            let rest = match unknown.is_empty() {
                true => Err(status.clone()),
                false => {
                    self.create(&resource, namespaced, &object, "Ignore")
                        .await?
                }
            };
            let missing: Vec<String> = rest.as_ref().err().map(missing_fields).unwrap_or_default();
            let mut meant = Vec::new();
            for field in unknown {
                let near = near_field(field, &missing);
                meant.extend(near);
                reported.push(manifest.unknown(kind, field, near));
            }
            if let Err(mut status) = rest {
                // A field that is written wrong is not missing as well.
                let details = status.details.iter_mut();
                details.for_each(|details| details.causes.retain(|c| !meant.contains(&&*c.field)));
                let is_all = status
                    .details
                    .iter()
                    .all(|details| details.causes.is_empty());
                if meant.is_empty() || !is_all {
                    manifest.refused(kind, &status, reported);
                }
            }
        }
        if reported.len() == before {
            manifest.waits(kind, reported);
        }
        Ok(())
    }

    /// The version of a group that has a kind, or one with a name that is near.
    fn other_version(&self, group: &str, kind: &str) -> Option<(String, String)> {
        let group = self.discovery.get(group)?;
        let versions: Vec<&str> = group.versions().collect();
        let all = versions.iter().flat_map(|version| {
            let resources = group.versioned_resources(version).into_iter();
            resources.map(|(resource, _)| ((*version).to_owned(), resource.kind))
        });
        let all: Vec<(String, String)> = all.collect();
        let near = did_you_mean(kind, all.iter().map(|(_, kind)| kind.as_str()))?;
        all.iter().find(|(_, kind)| kind == near).cloned()
    }

    /// The answer to a dry run.
    async fn create(
        &self,
        resource: &ApiResource,
        namespaced: bool,
        object: &Value,
        fields: &str,
    ) -> Result<Result<(), Status>, Failure> {
        let namespace = namespaced.then_some(local::NAMESPACE);
        let path = DynamicObject::url_path(resource, namespace);
        let path = format!("{path}?dryRun=All&fieldValidation={fields}");
        let request = axum::http::Request::post(path)
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .map_err(|error| Failure::failed(error.to_string()))?;
        match self.client.request::<Value>(request).await {
            Ok(_) => Ok(Ok(())),
            Err(kube::Error::Api(status)) => Ok(Err(*status)),
            Err(error) => Err(error.into()),
        }
    }
}

/// The fields that strict decoding does not know.
fn unknown_fields(message: &str) -> Vec<&str> {
    let Some((_, list)) = message.split_once("strict decoding error: ") else {
        return Vec::new();
    };
    let named = list.split("unknown field \"").skip(1);
    named
        .filter_map(|rest| Some(rest.split_once('"')?.0))
        .collect()
}

/// The fields that an API server says are required.
fn missing_fields(status: &Status) -> Vec<String> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let missing = causes.filter(|cause| cause.message.starts_with("Required value"));
    missing.map(|cause| cause.field.clone()).collect()
}

/// The missing field that was meant by a field that is not known: beside it, with a similar name.
fn near_field<'m>(unknown: &str, missing: &'m [String]) -> Option<&'m str> {
    let (parent, name) = unknown.rsplit_once('.').unwrap_or(("", unknown));
    let beside = missing.iter().filter(|field| {
        let other = field.rsplit_once('.').unwrap_or(("", field));
        other.0 == parent && did_you_mean(name, [other.1]).is_some()
    });
    { beside }.next().map(String::as_str)
}

/// One object, in the text it is written in.
struct Manifest<'a> {
    text: &'a str,
    root: &'a Placed,
}

impl Manifest<'_> {
    fn name(&self, kind: &str) -> String {
        let metadata = self.root.member("metadata").map(|(_, metadata)| metadata);
        let name = metadata.map_or("", |metadata| metadata.text("name"));
        format!("{kind}/{name}")
    }

    fn unknown(&self, kind: &str, field: &str, meant: Option<&str>) -> Diagnostic {
        let name = self.name(kind);
        let message = format!("{name} has a field that its kind does not have: {field}");
        let diagnostic = Diagnostic::error(Code::K0507, self.place(field, Part::Key), message);
        let meant = meant.map(|meant| meant.rsplit('.').next().unwrap_or(meant));
        diagnostic.help(match meant {
            Some(meant) => format!("write `{meant}`"),
            None => "correct its name, or remove it".to_owned(),
        })
    }

    /// What an API server says, each cause at its place.
    fn refused(&self, kind: &str, status: &Status, reported: &mut Vec<Diagnostic>) {
        let name = self.name(kind);
        let causes = status.details.iter().flat_map(|details| &details.causes);
        // `<nil>` says only that there may be more, once this is mended.
        let causes = causes.filter(|cause| cause.field != "<nil>");
        let mut places = Vec::new();
        for cause in causes {
            let at = self.place(&cause.field, Part::Value);
            // The schema and the rules of the kind may both report one value.
            if places.contains(&at) {
                continue;
            }
            places.push(at);
            let message = format!("{name}: {}: {}", cause.field, cause.message);
            reported.push(Diagnostic::error(Code::K0508, at, message));
        }
        if places.is_empty() {
            let message = format!("{name}: {}", status.message);
            reported.push(Diagnostic::error(
                Code::K0508,
                self.place("", Part::Value),
                message,
            ));
        }
    }

    /// What only the operator would find, when it is too late: a Job that is to wait and doesn't.
    fn waits(&self, kind: &str, reported: &mut Vec<Diagnostic>) {
        let job = match kind {
            "Job" => Some(self.root),
            "CronJob" => self.root.at(&["spec", "jobTemplate"]).map(|(_, job)| job),
            _ => None,
        };
        let Some(job) = job else { return };
        let annotation = |key| job.at(&["metadata", "annotations", key]);
        let (gate, hold) = (annotation(annotation::GATE), annotation(annotation::HOLD));
        if let Some((_, text)) = hold
            && let Kind::Text(holds) = &text.value
            && let Err(error) = parse_holds(holds)
        {
            let message = format!("{}: {}: {error}", self.name(kind), annotation::HOLD);
            reported.push(Diagnostic::error(
                Code::K0508,
                first_line(self.text, text.place),
                message,
            ));
        }
        self.misspelled(kind, job, reported);
        let suspend = job.at(&["spec", "suspend"]);
        let suspended = suspend.is_some_and(|(_, value)| matches!(value.value, Kind::Bool(true)));
        if let Some((key, _)) = gate.or(hold).filter(|_| !suspended) {
            let message = format!(
                "{} would start at once and wait for nothing",
                self.name(kind)
            );
            let at = suspend.map_or(key, |(_, value)| value.place);
            let of_value = Diagnostic::error(Code::K0508, first_line(self.text, at), message)
                .help("write `suspend: true` into the Job's spec: the operator starts it");
            reported.push(of_value);
        }
    }

    /// Reports annotations of a Job that the operator would not start because of them.
    fn misspelled(&self, kind: &str, job: &Placed, reported: &mut Vec<Diagnostic>) {
        let Some((_, annotations)) = job.at(&["metadata", "annotations"]) else {
            return;
        };
        let json = annotations.to_json();
        for key in json.as_object().into_iter().flat_map(|all| all.keys()) {
            let Some(meant) = konductor_operator::meant_annotation(key) else {
                continue;
            };
            let Some((at, _)) = annotations.member(key) else {
                continue;
            };
            let message = format!("{}: the annotation {key} is not known", self.name(kind));
            let of_key = Diagnostic::error(Code::K0508, first_line(self.text, at), message);
            reported.push(of_key.help(format!("write `{meant}`: the Job would never start")));
        }
    }

    /// Where a field such as `spec.conditions[0].type` is, or as much of it as there is.
    fn place(&self, field: &str, part: Part) -> Span {
        let (mut place, mut node) = (self.root.place, self.root);
        let steps = field.split(['.', '[', ']']).filter(|step| !step.is_empty());
        for step in steps {
            let next = match &node.value {
                Kind::List(items) => step
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(|item| (item.place, item)),
                _ => node.member(step),
            };
            let Some(next) = next else { break };
            (place, node) = next;
        }
        let is_text = !matches!(node.value, Kind::Map(_) | Kind::List(_) | Kind::Null);
        first_line(
            self.text,
            if is_text && part == Part::Value {
                node.place
            } else {
                place
            },
        )
    }
}

/// Of a member, what is guilty.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Key,
    Value,
}

/// A place, as far as its first line goes.
fn first_line(text: &str, at: Location) -> Span {
    let range = placed::range(text, at).unwrap_or_default();
    Span {
        start: to_u32(range.start),
        end: to_u32(range.end),
        ..Span::default()
    }
}

fn to_u32(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX / 2)
}
