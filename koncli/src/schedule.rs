//! Installing a schedule: a CronJob, and what its pods need, which goes when the CronJob goes.
//!
//! What is there is brought up to date by server-side apply: what somebody else has set, such as
//! `suspend`, stays.

use std::collections::BTreeSet;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use konductor_api::{job_ended, label};
use konductor_compiler::{Object, Schedule};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
};
use kube::{Api, Resource, ResourceExt};
use serde_json::Value;

use crate::apply::Applied;
use crate::exit::Failure;
use crate::{output, read};

/// Who owns the fields that are set here.
const MANAGER: &str = "koncli";

/// Installs a schedule, or brings it up to date. `report` is called for each object. With `dry_run` the API
/// server judges each object and stores none.
///
/// # Guarantees
/// The CronJob comes last, so that no pod starts without what it needs. The same again writes nothing.
/// The files of pods that are on their way stay.
pub(crate) async fn install(
    client: &konductor::Client,
    schedule: &Schedule,
    dry_run: bool,
    report: impl Fn(&str, &str, Applied),
) -> Result<(), Failure> {
    let installer = Installer {
        client,
        name: schedule.name(),
        dry_run,
    };
    let installed: Option<CronJob> = installer.api().get_opt(schedule.name()).await?;
    let mut owner = installed.as_ref().map(owner_of);
    for object in schedule.objects() {
        let applied = installer.apply(object, owner.as_ref()).await?;
        report(&object.kind().to_lowercase(), object.name(), applied);
    }
    if dry_run {
        return Ok(());
    }
    if owner.is_none() {
        let created: CronJob = installer.api().get(schedule.name()).await?;
        owner = Some(owner_of(&created));
        for object in schedule.objects() {
            installer.apply(object, owner.as_ref()).await?;
        }
    }
    let files = schedule.objects().iter().filter_map(|object| match object {
        Object::ConfigMap(files) => Some(files.name_any()),
        _ => None,
    });
    let before = installed
        .as_ref()
        .and_then(|cron_job| files_of(&cron_job.spec.job_template.spec));
    let kept = files.chain(before).collect();
    installer.tidy(owner.as_ref(), kept).await
}

fn owner_of(cron_job: &CronJob) -> OwnerReference {
    OwnerReference {
        api_version: CronJob::api_version(&()).into_owned(),
        kind: CronJob::kind(&()).into_owned(),
        name: cron_job.name_any(),
        uid: cron_job.metadata.uid.clone().unwrap_or_default(),
        controller: None,
        block_owner_deletion: None,
    }
}

struct Installer<'a> {
    client: &'a konductor::Client,
    /// The schedule's, which is the pipeline's.
    name: &'a str,
    dry_run: bool,
}

impl Installer<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.kube().clone(), self.client.namespace())
    }

    async fn apply(
        &self,
        object: &Object,
        owner: Option<&OwnerReference>,
    ) -> Result<Applied, Failure> {
        let mut object = object.clone();
        if !matches!(object, Object::CronJob(_)) {
            object.metadata_mut().owner_references = owner.map(|owner| vec![owner.clone()]);
        }
        let version = object.api_version();
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, object.kind()));
        let (kube, namespace) = (self.client.kube().clone(), self.client.namespace());
        let api: Api<DynamicObject> = Api::namespaced_with(kube, namespace, &resource);
        let stored = api.get_opt(object.name()).await?;
        if let Some(stored) = &stored
            && stored.labels().get(label::PIPELINE).map(String::as_str) != Some(self.name)
        {
            return Err(Failure::failed(format!(
                "{object} in namespace {namespace} already exists and does not belong to pipeline {}",
                self.name
            ))
            .help("delete it, or give the pipeline another name"));
        }
        let params = PatchParams {
            dry_run: self.dry_run,
            ..PatchParams::apply(MANAGER).force()
        };
        let applied = api
            .patch(object.name(), &params, &Patch::Apply(&object))
            .await?;
        Ok(match stored {
            None => Applied::Created,
            Some(stored) if content(&stored)? == content(&applied)? => Applied::Unchanged,
            Some(_) => Applied::Configured,
        })
    }

    /// Deletes files of this schedule that nothing uses any more: but for those that are `kept`, and
    /// those of pods that are on their way.
    async fn tidy(
        &self,
        owner: Option<&OwnerReference>,
        mut kept: BTreeSet<String>,
    ) -> Result<(), Failure> {
        let of_pipeline =
            ListParams::default().labels(&format!("{}={}", label::PIPELINE, self.name));
        let files: Api<ConfigMap> = self.api();
        let candidates = read::list(&files, &of_pipeline).await?.into_iter();
        let candidates: Vec<String> = candidates
            .filter(|files| {
                files
                    .owner_references()
                    .iter()
                    .any(|reference| Some(reference) == owner)
            })
            .map(|files| files.name_any())
            .filter(|name| !kept.contains(name))
            .collect();
        if candidates.is_empty() {
            return Ok(());
        }
        let jobs = read::list(&self.api::<Job>(), &of_pipeline).await?;
        let on_their_way = jobs.iter().filter(|job| job_ended(job).is_none());
        kept.extend(on_their_way.filter_map(|job| files_of(&job.spec)));
        for name in candidates.iter().filter(|name| !kept.contains(*name)) {
            files.delete(name, &DeleteParams::background()).await?;
            output::stderr(&format!(
                "configmap/{name} deleted: nothing uses it any more"
            ));
        }
        Ok(())
    }
}

/// The ConfigMap with the files that a Job's pods apply.
fn files_of(job: &Option<k8s_openapi::api::batch::v1::JobSpec>) -> Option<String> {
    let pod: &PodSpec = job.as_ref()?.template.spec.as_ref()?;
    let mut volumes = pod.volumes.iter().flatten();
    volumes.find_map(|volume| Some(volume.config_map.as_ref()?.name.clone()))
}

/// What an object says, without what the API server notes about it.
fn content(object: &DynamicObject) -> Result<Value, Failure> {
    let content = serde_json::to_value(object);
    let mut content = content.map_err(|error| Failure::failed(error.to_string()))?;
    if let Some(metadata) = content["metadata"].as_object_mut() {
        for noted in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(noted);
        }
    }
    Ok(content)
}
