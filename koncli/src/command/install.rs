//! `koncli install` and `koncli uninstall`: the operator in a cluster, without Helm.
//!
//! What is installed is what the chart installs by default: `charts/generate` renders it.

use konductor_compiler::placed::{self, Placed};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::Value;

use crate::arguments::{Format, Global};
use crate::exit::Failure;
use crate::suggestion::suggested;
use crate::{cluster, output};

/// The chart, rendered for this version.
const RENDERED: &str = include_str!("../../install.yaml");
/// The namespace that it was rendered for.
const RENDERED_NAMESPACE: &str = "konductor-system";
/// Who applies it.
const MANAGER: &str = "koncli";

/// What may differ from one cluster to the next; for the rest there is the chart.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) image: Option<String>,
    pub(crate) replicas: Option<u32>,
}

/// Installs the CRDs and the operator, or prints them.
pub(crate) async fn install(
    global: &Global,
    settings: &Settings,
    dry_run: bool,
) -> Result<(), Failure> {
    let objects = objects(namespace(global), settings)?;
    if dry_run {
        output::stdout_exact(&printed(global, &objects)?);
        return Ok(());
    }
    let client = cluster::connect(global).await?;
    let params = PatchParams::apply(MANAGER);
    for object in &objects {
        let (api, name) = api(client.kube(), object);
        let applied = api.patch(name, &params, &Patch::Apply(object)).await;
        applied.map_err(|error| about(object, error))?;
        output::stderr(&format!("{} applied", title(object)));
    }
    output::stderr(&format!(
        "look with {} whether the operator leads",
        suggested("koncli doctor")
    ));
    Ok(())
}

/// Deletes the operator and its rights. CRDs, with every object of theirs, go only with `crds`; the
/// namespace stays, because others may have put something there.
pub(crate) async fn uninstall(global: &Global, crds: bool) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let settings = Settings {
        image: None,
        replicas: None,
    };
    let mut objects = objects(namespace(global), &settings)?;
    // The operator goes first: what it may do is taken from nobody who still does it.
    objects.sort_by_key(|object| object["kind"] != "Deployment");
    let mut count = 0;
    for object in &objects {
        let keeps = match object["kind"].as_str().unwrap_or_default() {
            "Namespace" => true,
            "CustomResourceDefinition" => !crds,
            _ => false,
        };
        if keeps {
            continue;
        }
        let (api, name) = api(client.kube(), object);
        match api.delete(name, &DeleteParams::background()).await {
            Ok(_) => {
                count += 1;
                output::stderr(&format!("{} deleted", title(object)));
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(about(object, error)),
        }
    }
    if count == 0 {
        let place = namespace(global);
        output::stderr(&format!("nothing is installed in namespace {place}"));
    } else if !crds {
        output::stderr(&format!(
            "the CRDs and their objects stay; {} deletes them, too",
            suggested("koncli uninstall --crds")
        ));
    }
    Ok(())
}

fn namespace(global: &Global) -> &str {
    global.namespace.as_deref().unwrap_or(RENDERED_NAMESPACE)
}

/// The namespace, the CRDs, then the rest.
fn objects(namespace: &str, settings: &Settings) -> Result<Vec<Value>, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let rendered = placed::parse_all(RENDERED)
        .map_err(|error| Failure::failed(format!("the manifests: {}", error.problem)))?;
    let rendered = rendered.iter().map(Placed::to_json);
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for mut object in rendered.filter(|object| !object.is_null()) {
        place(&mut object, namespace);
        if object["kind"] == "Deployment" {
            adapt(&mut object, settings);
        }
        match object["kind"] == "Namespace" {
            true => first.push(object),
            false => rest.push(object),
        }
    }
    for crd in konductor_api::crds() {
        let crd = serde_json::to_value(crd).map_err(|error| unreadable(&error))?;
        first.push(crd);
    }
    first.extend(rest);
    Ok(first)
}

/// Puts a namespace in the place of the one that it was rendered for, also within texts such as a
/// service account's user name.
fn place(value: &mut Value, namespace: &str) {
    match value {
        Value::String(text) => *text = text.replace(RENDERED_NAMESPACE, namespace),
        Value::Array(all) => all.iter_mut().for_each(|element| place(element, namespace)),
        Value::Object(all) => all.values_mut().for_each(|field| place(field, namespace)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn adapt(deployment: &mut Value, settings: &Settings) {
    if let Some(replicas) = settings.replicas {
        deployment["spec"]["replicas"] = replicas.into();
    }
    if let Some(image) = &settings.image {
        let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
        container["image"] = image.as_str().into();
    }
}

fn printed(global: &Global, objects: &[Value]) -> Result<String, Failure> {
    let unwritable = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    match global.output {
        Some(Format::Json) => {
            let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
            let text = serde_json::to_string_pretty(&list).map_err(|error| unwritable(&error))?;
            Ok(format!("{text}\n"))
        }
        Some(Format::Name) => Ok(objects
            .iter()
            .map(|object| format!("{}\n", title(object)))
            .collect()),
        _ => {
            let mut all = String::new();
            for object in objects {
                let text = serde_saphyr::to_string(object).map_err(|error| unwritable(&error))?;
                all.push_str("---\n");
                all.push_str(&text);
            }
            Ok(all)
        }
    }
}

fn title(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    format!("{kind}/{name}")
}

/// Where an object is, and its name.
fn api<'a>(client: &Client, object: &'a Value) -> (Api<DynamicObject>, &'a str) {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = object["kind"].as_str().unwrap_or_default();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    (api, object["metadata"]["name"].as_str().unwrap_or_default())
}

fn about(object: &Value, error: kube::Error) -> Failure {
    let unknown = matches!(&error, kube::Error::Api(status) if status.code == 404);
    let mut failure = Failure::from(error);
    if unknown {
        let version = object["apiVersion"].as_str().unwrap_or_default();
        failure.message = format!("this API server has no such kind in {version}");
        failure = failure.help(format!(
            "konductor needs Kubernetes 1.30 or newer; {} brings its own operator",
            suggested("koncli dev")
        ));
    }
    failure.message = format!("{}: {}", title(object), failure.message);
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(namespace: &str, settings: &Settings) -> Vec<Value> {
        objects(namespace, settings).expect("objects")
    }

    #[test]
    fn what_is_installed_is_of_this_version() {
        let settings = Settings {
            image: None,
            replicas: None,
        };
        let version = env!("CARGO_PKG_VERSION");
        let all = made(RENDERED_NAMESPACE, &settings);
        let labelled = all.iter().filter_map(|object| {
            object["metadata"]["labels"]["app.kubernetes.io/version"].as_str()
        });
        assert!(labelled.clone().count() > 10);
        assert!(
            labelled.clone().all(|label| label == version),
            "run charts/generate"
        );
        let deployment = all.iter().find(|object| object["kind"] == "Deployment");
        let containers = &deployment.expect("one")["spec"]["template"]["spec"]["containers"];
        assert_eq!(
            containers[0]["image"],
            format!("ghcr.io/logiciq/konductor:{version}"),
            "run charts/generate"
        );
        let names: Vec<String> = all.iter().map(title).collect();
        assert_eq!(names[0], "namespace/konductor-system");
        assert!(
            names[1..8]
                .iter()
                .all(|name| name.starts_with("customresourcedefinition/")),
            "{names:?}"
        );
    }

    #[test]
    fn another_namespace_leaves_no_trace_of_the_one_it_was_rendered_for() {
        let settings = Settings {
            image: Some("registry.local/konductor@sha256:1".into()),
            replicas: Some(1),
        };
        let all = made("team", &settings);
        let text = serde_json::to_string(&all).expect("JSON");
        assert!(!text.contains(RENDERED_NAMESPACE));
        assert!(text.contains("system:serviceaccount:team:konductor"));
        let deployment = all
            .iter()
            .find(|object| object["kind"] == "Deployment")
            .expect("one");
        assert_eq!(deployment["metadata"]["namespace"], "team");
        assert_eq!(deployment["spec"]["replicas"], 1);
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "registry.local/konductor@sha256:1");
        assert!(
            container["args"]
                .as_array()
                .expect("args")
                .iter()
                .any(|argument| argument == "--leader-namespace=team")
        );
    }
}
