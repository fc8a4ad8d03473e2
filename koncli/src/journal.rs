//! What a retry recreates, kept in the cluster while it is made: ConfigMaps that the Run owns, and on
//! the Run the word that they are complete.
//!
//! What enters: objects whose old ones are about to be deleted. What leaves: the same objects, also for
//! a koncli that finds a retry half done. What must never happen here: an object that is deleted before
//! what replaces it is stored.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use konductor_api::{Barrier, Gate, Run, annotation, label, run_owner};
use kube::api::{DeleteParams, Patch};
use kube::{Api, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cluster;
use crate::exit::Failure;

/// What one ConfigMap holds at most; an API server stores no more than a MiB and a half.
const PART_BYTES_MAX: usize = 700_000;
/// Where in a ConfigMap the objects are.
const KEY: &str = "objects.json";

/// One object to be recreated, with the uid of the one that it replaces.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Recreated {
    Job(Box<Job>),
    Gate(Gate),
    Barrier(Barrier),
}

/// What the Run says of a retry that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Journal {
    pub(crate) attempt: u32,
    /// The ConfigMaps.
    parts: Vec<String>,
}

/// The retry that is under way, if there is one.
///
/// # Errors
/// If the Run says something that this koncli does not understand.
pub(crate) fn journal(run: &Run) -> Result<Option<Journal>, Failure> {
    let Some(text) = run.annotations().get(annotation::RETRY) else {
        return Ok(None);
    };
    serde_json::from_str(text).map(Some).map_err(|error| {
        let name = run.name_any();
        Failure::failed(format!(
            "run/{name} says of a retry what this koncli does not understand: {error}"
        ))
        .help("finish it with the koncli that began it")
    })
}

impl Journal {
    /// Stores what is to be recreated. It counts once the Run says so, which it does only where nobody
    /// has changed it since it was read; `None` where somebody has.
    pub(crate) async fn write(
        client: &konductor::Client,
        run: &Run,
        attempt: u32,
        objects: Vec<Recreated>,
    ) -> Result<Option<(Self, Run)>, Failure> {
        let api: Api<ConfigMap> = Api::namespaced(client.kube().clone(), client.namespace());
        let mut parts = Vec::new();
        for text in texts(&objects)? {
            let mut part = ConfigMap {
                data: Some(BTreeMap::from([(KEY.to_owned(), text)])),
                ..ConfigMap::default()
            };
            part.metadata.generate_name = Some(format!("{}-retry-", run.name_any()));
            part.metadata.owner_references = Some(vec![run_owner(run)]);
            part.metadata.labels = Some(BTreeMap::from([(label::RUN.to_owned(), run.name_any())]));
            let part = api.create(&cluster::post_params(), &part).await?;
            parts.push(part.name_any());
        }
        let journal = Self { attempt, parts };
        let text = serde_json::to_string(&journal);
        let text = text.map_err(|error| Failure::failed(error.to_string()))?;
        match journal.annotate(client, run, json!(text)).await? {
            Some(run) => Ok(Some((journal, run))),
            None => {
                journal.forget(client).await?;
                Ok(None)
            }
        }
    }

    /// Writes the annotation of the Run, or removes it; `None` if somebody has changed the Run.
    async fn annotate(
        &self,
        client: &konductor::Client,
        run: &Run,
        text: serde_json::Value,
    ) -> Result<Option<Run>, Failure> {
        let runs: Api<Run> = Api::namespaced(client.kube().clone(), client.namespace());
        let patch = Patch::Merge(json!({"metadata": {
            "uid": run.metadata.uid,
            "resourceVersion": run.metadata.resource_version,
            "annotations": {annotation::RETRY: text},
        }}));
        let patched = runs
            .patch(&run.name_any(), &cluster::patch_params(), &patch)
            .await;
        match patched {
            Ok(run) => Ok(Some(run)),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads it back.
    pub(crate) async fn read(&self, client: &konductor::Client) -> Result<Vec<Recreated>, Failure> {
        let api: Api<ConfigMap> = Api::namespaced(client.kube().clone(), client.namespace());
        let mut objects = Vec::new();
        for name in &self.parts {
            let part = api.get(name).await?;
            let text = part.data.and_then(|mut data| data.remove(KEY));
            let of_part: Result<Vec<serde_json::Value>, _> =
                serde_json::from_str(&text.unwrap_or_default());
            let of_part = of_part.and_then(|values| values.into_iter().map(decoded).collect());
            let of_part: Vec<Recreated> = of_part.map_err(|error| {
                Failure::failed(format!("configmap/{name} is not part of a retry: {error}"))
            })?;
            objects.extend(of_part);
        }
        Ok(objects)
    }

    /// The retry is done. If another koncli has said so already, that is as good.
    pub(crate) async fn close(
        &self,
        client: &konductor::Client,
        mut run: Run,
    ) -> Result<(), Failure> {
        let runs: Api<Run> = Api::namespaced(client.kube().clone(), client.namespace());
        while journal(&run)?.as_ref() == Some(self) {
            if self.annotate(client, &run, json!(null)).await?.is_some() {
                break;
            }
            run = runs.get(&run.name_any()).await?;
        }
        self.forget(client).await
    }

    async fn forget(&self, client: &konductor::Client) -> Result<(), Failure> {
        let api: Api<ConfigMap> = Api::namespaced(client.kube().clone(), client.namespace());
        for name in &self.parts {
            match api.delete(name, &DeleteParams::background()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn decoded(value: serde_json::Value) -> Result<Recreated, serde_json::Error> {
    Ok(match value["kind"].as_str() {
        Some("Gate") => Recreated::Gate(serde_json::from_value(value)?),
        Some("Barrier") => Recreated::Barrier(serde_json::from_value(value)?),
        _ => Recreated::Job(serde_json::from_value(value)?),
    })
}

/// JSON lists of objects, none longer than a ConfigMap may be, unless one object is.
fn texts(objects: &[Recreated]) -> Result<Vec<String>, Failure> {
    let mut texts: Vec<String> = Vec::new();
    for object in objects {
        let object = serde_json::to_string(object);
        let object = object.map_err(|error| Failure::failed(error.to_string()))?;
        match texts.last_mut() {
            Some(text) if text.len() + object.len() < PART_BYTES_MAX => {
                text.push(',');
                text.push_str(&object);
            }
            _ => texts.push(format!("[{object}")),
        }
    }
    texts.iter_mut().for_each(|text| text.push(']'));
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(name: &str, padding: usize) -> Recreated {
        let text = json!({
            "apiVersion": "konductor.io/v1", "kind": "Gate",
            "metadata": {"name": name, "uid": "u", "annotations": {"x": "x".repeat(padding)}},
            "spec": {"conditions": []},
        });
        decoded(text).expect("a gate")
    }

    #[test]
    fn large_retries_are_kept_in_several_parts_and_read_back_as_they_were() {
        let all: Vec<Recreated> = (0..5).map(|n| gate(&n.to_string(), 300_000)).collect();
        let texts = texts(&all).expect("texts");
        assert_eq!(texts.len(), 3);
        assert!(texts.iter().all(|text| text.len() <= PART_BYTES_MAX));
        let read: Vec<serde_json::Value> = texts
            .iter()
            .flat_map(|text| serde_json::from_str::<Vec<_>>(text).expect("a list"))
            .collect();
        let kept: Vec<_> = all
            .iter()
            .map(|recreated| serde_json::to_value(recreated).expect("JSON"))
            .collect();
        assert_eq!(read, kept);
    }
}
