//! `koncli diff`: what `koncli apply` would change. It only reads.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use konductor_api::annotation;
use konductor_compiler::{Manifests, Object, Schedule};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;
use similar::TextDiff;

use crate::apply::ledger;
use crate::arguments::{Global, Pipeline};
use crate::exit::{FAILED, Failure};
use crate::load::Aim;
use crate::{apply, cluster, load, output};

/// How many requests are under way at once.
const REQUESTS_AT_ONCE: usize = 32;

/// What people have decided about a Run since it was created is no difference.
const DECIDED: [&str; 3] = ["attempt", "cancel", "pause"];

/// Prints what is missing and what differs, as a unified diff; fails if there is any difference.
pub(crate) async fn diff(global: &Global, pipeline: &Pipeline) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let compiled = load::compiled(pipeline, Some(client.namespace().to_owned()), Aim::Apply)?;
    let client = &client;
    if let Some(manifests) = &compiled.manifests {
        let consequence = "`koncli apply` would refuse to start it again";
        let refusal = apply::refusal(client, manifests.run_name(), consequence).await?;
        if let Some(refusal) = refusal {
            output::stderr(&format!("note: {refusal}"));
        }
    }
    let run = compiled.manifests.iter().flat_map(Manifests::objects);
    let schedule = compiled.schedule.iter().flat_map(Schedule::objects);
    let objects = run.chain(schedule.cloned());
    let differences: Vec<Option<Difference>> = futures::stream::iter(objects)
        .map(|object| async move {
            let live = live_object(client, &object).await?;
            difference(&object, live.as_ref())
        })
        .buffered(REQUESTS_AT_ONCE)
        .try_collect()
        .await?;
    let differences: Vec<Difference> = differences.into_iter().flatten().collect();
    let is_document = output::document(global, &differences)?;
    if differences.is_empty() {
        return Ok(());
    }
    if !is_document {
        let texts = differences
            .iter()
            .map(|difference| difference.diff.as_str());
        output::stdout(&texts.collect::<String>());
    }
    Err(Failure::silent(FAILED))
}

/// The object as the cluster has it.
async fn live_object(
    client: &konductor::Client,
    object: &Object,
) -> Result<Option<Value>, Failure> {
    let value = json(object)?;
    let version = value["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, object.kind()));
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.kube().clone(), client.namespace(), &resource);
    match api.get_opt(object.name()).await? {
        Some(live) => Ok(Some(json(&live)?)),
        None => Ok(None),
    }
}

fn json<T: serde::Serialize>(object: &T) -> Result<Value, Failure> {
    serde_json::to_value(object).map_err(|error| Failure::failed(error.to_string()))
}

/// An object that is missing, or is not as the file says.
#[derive(Debug, serde::Serialize)]
struct Difference {
    object: String,
    change: Change,
    /// A unified diff of YAML.
    diff: String,
}

/// What `koncli apply` would do, or refuse to.
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Create,
    Update,
}

/// What differs between an object and what the cluster has under its name.
fn difference(object: &Object, live: Option<&Value>) -> Result<Option<Difference>, Failure> {
    let mut new = json(object)?;
    if let (Object::Run(_), Some(spec)) =
        (object, new.get_mut("spec").and_then(Value::as_object_mut))
    {
        spec.retain(|field, _| !DECIDED.contains(&field.as_str()));
    }
    if let (Object::Semaphore(_) | Object::Lease(_), Some(live)) = (object, live) {
        // What somebody has set stays.
        for (field, value) in ledger::change(&new, live).kept {
            new["spec"][field] = value;
        }
    }
    if let (Object::Job(_), Some(live)) = (object, live) {
        keep_started(&mut new, live);
    }
    let name = format!("{}/{}", object.kind().to_lowercase(), object.name());
    let (before, old) = match live {
        None => ("/dev/null".to_owned(), String::new()),
        Some(live) if same(&new, live) => return Ok(None),
        Some(live) => (name.clone(), yaml(&within(live, &new))?),
    };
    let new = yaml(&new)?;
    let text = TextDiff::from_lines(&old, &new)
        .unified_diff()
        .header(&before, &name)
        .to_string();
    Ok((!text.is_empty()).then_some(Difference {
        object: name,
        change: match live {
            None => Change::Create,
            Some(_) => Change::Update,
        },
        diff: text,
    }))
}

/// That the operator has started a Job is no difference.
fn keep_started(new: &mut Value, live: &Value) {
    for place in ["/spec/suspend", &guard()] {
        if let (Some(new), Some(live)) = (new.pointer_mut(place), live.pointer(place)) {
            new.clone_from(live);
        }
    }
}

/// Where the guard of a Job is, as a JSON pointer.
fn guard() -> String {
    let annotation = annotation::GUARD.replace('/', "~1");
    format!("/spec/template/metadata/annotations/{annotation}")
}

/// Whether `koncli apply` would leave it as it is: a Job is known by its hash, because it may have
/// started; of all else what is not metadata counts.
fn same(new: &Value, live: &Value) -> bool {
    let hash = |object: &Value| {
        let annotations = &object["metadata"]["annotations"];
        annotations[annotation::CONTENT_HASH]
            .as_str()
            .map(str::to_owned)
    };
    match hash(new) {
        Some(own) => hash(live) == Some(own),
        None => {
            let mut new = new.clone();
            if let Some(fields) = new.as_object_mut() {
                fields.remove("metadata");
            }
            within(live, &new) == new
        }
    }
}

/// Of what the cluster has only what the other one has too: defaults, statuses and what others wrote
/// is no difference.
fn within(live: &Value, new: &Value) -> Value {
    match (live, new) {
        (Value::Object(live), Value::Object(new)) => {
            let both = new
                .iter()
                .filter_map(|(key, new)| Some((key.clone(), within(live.get(key)?, new))));
            Value::Object(both.collect())
        }
        (Value::Array(live), Value::Array(new)) => {
            let element = |(at, live): (usize, &Value)| match new.get(at) {
                Some(new) => within(live, new),
                None => live.clone(),
            };
            Value::Array(live.iter().enumerate().map(element).collect())
        }
        (live, _) => live.clone(),
    }
}

/// Keys in order, so that only what differs differs.
fn yaml(value: &Value) -> Result<String, Failure> {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let map: BTreeMap<_, _> = map.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
                Value::Object(map.into_iter().collect())
            }
            Value::Array(all) => Value::Array(all.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    serde_saphyr::to_string(&sorted(value)).map_err(|error| Failure::failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn start_of_a_job_is_no_difference_and_all_else_is() {
        let job = |suspend: bool, guard: &str, image: &str| {
            json!({"spec": {"suspend": suspend, "template": {
                "metadata": {"annotations": {annotation::GUARD: guard}},
                "spec": {"containers": [{"image": image}]},
            }}})
        };
        let mut new = job(true, annotation::GUARD_WAITING, "a:2");
        keep_started(&mut new, &job(false, annotation::GUARD_STARTED, "a:1"));
        assert_eq!(new, job(false, annotation::GUARD_STARTED, "a:2"));
    }

    #[test]
    fn what_the_cluster_adds_is_no_difference() {
        let table = [
            (json!({"a": 1, "b": 2}), json!({"a": 1}), json!({"a": 1})),
            (json!({"a": 2}), json!({"a": 1}), json!({"a": 2})),
            (json!({}), json!({"a": 1}), json!({})),
            (
                json!([{"a": 1, "b": 2}, 3]),
                json!([{"a": 1}]),
                json!([{"a": 1}, 3]),
            ),
        ];
        for (live, new, expected) in table {
            assert_eq!(within(&live, &new), expected, "{live} within {new}");
        }
    }
}
