//! Creating a run: the Run first, then what it owns; nothing is ever re-applied.

use std::fmt::{self, Debug};
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use konductor_api::{annotation, run_owner};
use konductor_compiler::{Manifests, Object};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::Failure;
use crate::progress::Counter;

/// How many requests are under way at once.
const REQUESTS_AT_ONCE: usize = 32;

/// What became of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    Created,
    Configured,
    Unchanged,
}

/// Creates a run. The same again changes nothing; another pipeline under the same name is refused.
/// `tell` hears of each object. With `dry_run` the API server judges each object and stores none.
pub(crate) async fn apply(
    client: &konductor::Client,
    manifests: &Manifests,
    dry_run: bool,
    tell: impl Fn(&str, &str, Applied) + Sync,
) -> Result<(), Failure> {
    let applier = Applier { client, dry_run };
    let Some(Object::Run(run)) = manifests.objects().next() else {
        return Err(Failure::failed(
            "the pipeline has no run; this is a bug in koncli",
        ));
    };
    let (run, applied) = applier
        .create(&run, |known, new| {
            known.spec.jobs == new.spec.jobs
                && known.spec.pipeline == new.spec.pipeline
                && known.spec.finally_jobs == new.spec.finally_jobs
        })
        .await?;
    tell("run", manifests.run_name(), applied);
    let (owner, applier, tell) = (run_owner(&run), &applier, &tell);
    // Whatever a Job names is there before the Job. Of a large run only those exist at once that are
    // being created.
    for jobs in [false, true] {
        let objects = manifests.objects().skip(1);
        let objects = objects.filter(|object| matches!(object, Object::Job(_)) == jobs);
        let owned = objects.map(|mut object| {
            if !object.is_shared() {
                object.metadata_mut().owner_references = Some(vec![owner.clone()]);
            }
            object
        });
        futures::stream::iter(owned)
            .map(|object| async move {
                let (kind, name) = (object.kind().to_lowercase(), object.name().to_owned());
                let applied = applier.object(object).await?;
                tell(&kind, &name, applied);
                Ok::<_, Failure>(())
            })
            .buffer_unordered(REQUESTS_AT_ONCE)
            .try_collect::<()>()
            .await?;
    }
    Ok(())
}

/// How many objects became what.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: Mutex<[usize; 3]>,
    counter: Counter,
}

impl Tally {
    /// Of so many objects, which make up what has this title.
    pub(crate) fn of(title: String, objects: usize) -> Self {
        Self {
            counts: Mutex::default(),
            counter: Counter::new(title, objects),
        }
    }

    /// Counts an object; where that is wanted, it is told too.
    pub(crate) fn count(&self, verbose: u8, kind: &str, name: &str, applied: Applied) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts[applied as usize] += 1;
        if verbose > 0 {
            let applied = format!("{applied:?}").to_lowercase();
            self.counter.tell(&format!("{kind}/{name} {applied}"));
        }
        self.counter.count(counts.iter().sum());
    }

    /// Takes the progress off the terminal.
    pub(crate) fn finish(&self) {
        self.counter.finish();
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [created, configured, unchanged] =
            *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        write!(
            formatter,
            "{created} created, {configured} configured, {unchanged} unchanged"
        )
    }
}

fn hash(job: &k8s_openapi::api::batch::v1::Job) -> Option<&String> {
    job.metadata
        .annotations
        .as_ref()?
        .get(annotation::CONTENT_HASH)
}

struct Applier<'a> {
    client: &'a konductor::Client,
    dry_run: bool,
}

impl Applier<'_> {
    async fn object(&self, object: Object) -> Result<Applied, Failure> {
        Ok(match object {
            Object::Run(run) => self.create(&run, |a, b| a.spec == b.spec).await?.1,
            Object::Gate(gate) => self.create(&gate, |a, b| a.spec == b.spec).await?.1,
            Object::Barrier(one) => self.create(&one, |a, b| a.spec == b.spec).await?.1,
            Object::Job(job) => self.create(&*job, |a, b| hash(a) == hash(b)).await?.1,
            Object::PersistentVolumeClaim(claim) => self.create(&*claim, |_, _| true).await?.1,
            Object::Semaphore(one) => self.share(&one, |a, b| a.spec == b.spec).await?,
            Object::Lease(one) => self.share(&one, |a, b| a.spec == b.spec).await?,
            Object::ConfigMap(_)
            | Object::ServiceAccount(_)
            | Object::Role(_)
            | Object::RoleBinding(_)
            | Object::CronJob(_) => {
                return Err(Failure::failed(format!(
                    "{object} belongs to no run; this is a bug in koncli"
                )));
            }
        })
    }

    fn posting(&self) -> PostParams {
        PostParams {
            dry_run: self.dry_run,
            ..PostParams::default()
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.kube().clone(), self.client.namespace())
    }

    /// Creates an object; where it is there already, it must be the same.
    async fn create<K>(
        &self,
        object: &K,
        same: impl Fn(&K, &K) -> bool,
    ) -> Result<(K, Applied), Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let name = object.meta().name.clone().unwrap_or_default();
        let api = self.api::<K>();
        match api.create(&self.posting(), object).await {
            Ok(created) => Ok((created, Applied::Created)),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let known = api.get(&name).await?;
                if same(&known, object) {
                    return Ok((known, Applied::Unchanged));
                }
                let kind = K::kind(&()).to_lowercase();
                Err(Failure::failed(format!(
                    "{kind}/{name} in namespace {} is there already, and it is another one",
                    self.client.namespace()
                ))
                .help("give this run a name of its own with --run, or delete the other run"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Creates what all runs of a pipeline share, or brings its spec up to date.
    async fn share<K>(&self, object: &K, same: impl Fn(&K, &K) -> bool) -> Result<Applied, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let name = object.meta().name.clone().unwrap_or_default();
        let api = self.api::<K>();
        match api.create(&self.posting(), object).await {
            Ok(_) => Ok(Applied::Created),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                if same(&api.get(&name).await?, object) {
                    return Ok(Applied::Unchanged);
                }
                let object: Value = serde_json::to_value(object)
                    .map_err(|error| Failure::failed(error.to_string()))?;
                let patch = Patch::Merge(serde_json::json!({"spec": object["spec"]}));
                let params = PatchParams {
                    dry_run: self.dry_run,
                    ..PatchParams::default()
                };
                api.patch(&name, &params, &patch).await?;
                Ok(Applied::Configured)
            }
            Err(error) => Err(error.into()),
        }
    }
}
