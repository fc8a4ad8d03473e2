//! Creating a run: the Run first, then what it owns; nothing is ever re-applied.

pub(crate) mod ledger;
mod refusal;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use konductor_api::{Run, annotation, run_owner};
use konductor_compiler::{Manifests, Object};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource};
use serde::Serialize;
use serde_json::Value;

use self::refusal::Refusal;
use crate::exit::{FORBIDDEN, Failure};
use crate::output;
use crate::progress::Counter;
use crate::read::Stored;
use crate::suggestion::suggested;
use crate::view::run_ended;

/// How many requests are under way at once.
const REQUESTS_AT_ONCE: usize = 32;

/// Who writes what is applied.
const MANAGER: &str = "koncli";

/// Stands for the uid of a Run that there is not.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

/// What an API server says whose admission webhooks take part in no dry run.
const NO_DRY_RUN: &str = "does not support dry run";

/// What became of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    Created,
    Configured,
    Unchanged,
}

/// Creates a run. The same again changes nothing; another pipeline under the same name is refused.
/// `report` is called for each object. With `dry_run` the API server judges each object and stores none.
///
/// # Guarantees
/// Nothing is stored before the API server has judged every object. If it refuses one anyway,
/// as it does beyond a quota, the Run is deleted again.
pub(crate) async fn apply(
    client: &konductor::Client,
    manifests: &Manifests,
    dry_run: bool,
    report: impl Fn(&str, &str, Applied) + Sync,
) -> Result<(), Failure> {
    let name = manifests.run_name();
    let trial = Applier {
        client,
        mode: match dry_run {
            true => Mode::DryRun,
            false => Mode::Trial,
        },
    };
    let heard = |kind: &str, name: &str, applied| {
        if dry_run {
            report(kind, name, applied);
        }
    };
    let mut refusals = Vec::new();
    trial.all(manifests, &heard, Some(&mut refusals)).await?;
    if !refusals.is_empty() {
        return Err(refusal::report(name, manifests.objects().count(), refusals));
    }
    if dry_run {
        return Ok(());
    }
    let applier = Applier {
        client,
        mode: Mode::Store,
    };
    applier.all(manifests, &report, None).await.map(drop)
}

/// Returns the refusal of a run that has ended, with what follows from that: to apply it again starts nothing.
pub(crate) async fn refusal(
    client: &konductor::Client,
    name: &str,
    consequence: &str,
) -> Result<Option<Failure>, Failure> {
    let runs: Api<Run> = Api::namespaced(client.kube().clone(), client.namespace());
    let run = match runs.get_opt(name).await {
        Ok(Some(run)) => run,
        Ok(None) => return Ok(None),
        // If the user may only create runs, the API server says that one exists.
        Err(kube::Error::Api(status)) if status.code == 403 => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(is_well) = run_ended(&run) else {
        return Ok(None);
    };
    let status = run.status.unwrap_or_default();
    let (phase, ended) = (status.phase, status.finished_at.map(|time| time.0));
    let message = format!(
        "run/{name} has already ended ({phase:?} {} ago), so {consequence}",
        output::age(ended)
    );
    let retry = match is_well {
        true => String::new(),
        false => format!(
            "repeat what failed with {}, ",
            suggested(format!("koncli retry {name}"))
        ),
    };
    Ok(Some(Failure::failed(message).help(format!(
        "start another run with --run NAME, {retry}or remove this one with {}",
        suggested(format!("koncli delete {name}"))
    ))))
}

/// How many objects became what.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: Mutex<[usize; 3]>,
    objects: usize,
    counter: Counter,
}

impl Tally {
    /// Of so many objects, which make up what has this title.
    pub(crate) fn of(title: String, objects: usize) -> Self {
        Self {
            counts: Mutex::default(),
            objects,
            counter: Counter::new(title, objects),
        }
    }

    /// Counts an object, and reports it if that is wanted.
    pub(crate) fn count(&self, verbose: u8, kind: &str, name: &str, applied: Applied) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts[applied as usize] += 1;
        if verbose > 0 {
            let applied = format!("{applied:?}").to_lowercase();
            self.counter.print(&format!("{kind}/{name} {applied}"));
        }
        self.counter.count(counts.iter().sum());
    }

    /// The same for programs.
    pub(crate) fn report(&self, name: &str) -> Value {
        let [created, configured, unchanged] =
            *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::json!({
            "name": name,
            "objects": self.objects,
            "created": created,
            "configured": configured,
            "unchanged": unchanged,
        })
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

/// How far an apply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The API server judges, and nobody hears of it unless it refuses.
    Trial,
    /// The API server judges, and that is all that was asked for.
    DryRun,
    Store,
}

struct Applier<'a> {
    client: &'a konductor::Client,
    mode: Mode,
}

impl Applier<'_> {
    /// Applies every object. Those that are refused go into `refusals`; without it, the first of them
    /// is the end, and a Run that was created for it is deleted again.
    async fn all(
        &self,
        manifests: &Manifests,
        report: &(impl Fn(&str, &str, Applied) + Sync),
        mut refusals: Option<&mut Vec<Refusal>>,
    ) -> Result<(), Failure> {
        let Some(Object::Run(run)) = manifests.objects().next() else {
            return Err(Failure::failed(
                "the pipeline has no run; this is a bug in koncli",
            ));
        };
        let created = self
            .create(&run, |stored, new| {
                stored.spec.jobs == new.spec.jobs
                    && stored.spec.pipeline == new.spec.pipeline
                    && stored.spec.finally_jobs == new.spec.finally_jobs
            })
            .await;
        let (run, applied) = match (created, refusals.as_deref_mut()) {
            (Ok(done), _) => done,
            (Err(failure), Some(refusals)) => {
                let is_forbidden = failure.code == FORBIDDEN;
                let refusal = Refusal::new(&Object::Run(run.clone()), failure);
                if is_forbidden || !refusal.is_about_object() {
                    return Err(refusal.into_failure());
                }
                refusals.push(refusal);
                (run, Applied::Unchanged)
            }
            (Err(failure), None) => return Err(failure),
        };
        report("run", manifests.run_name(), applied);
        let mut owner = run_owner(&run);
        if self.mode != Mode::Store && owner.uid.is_empty() {
            // It was not judged, and what it owns is.
            NO_UID.clone_into(&mut owner.uid);
        }
        // Whatever a Job names is there before the Job.
        for jobs in [false, true] {
            let refused = self.owned(manifests, &owner, jobs, report, refusals.is_some());
            let refused = refused.await?;
            match refusals.as_deref_mut() {
                Some(refusals) => refusals.extend(refused),
                None => {
                    if let Some(refusal) = refused.into_iter().next() {
                        let failure = refusal.into_failure();
                        return Err(self.undo(&run, applied, failure).await);
                    }
                }
            }
        }
        Ok(())
    }

    /// Applies the Jobs of a run, or all else. Of a large run only those objects exist at once that are
    /// being created. Returns what is refused: all of it, or only the first.
    async fn owned(
        &self,
        manifests: &Manifests,
        owner: &OwnerReference,
        jobs: bool,
        report: &(impl Fn(&str, &str, Applied) + Sync),
        continues: bool,
    ) -> Result<Vec<Refusal>, Failure> {
        let objects = manifests.objects().skip(1);
        let objects = objects.filter(|object| matches!(object, Object::Job(_)) == jobs);
        let owned = objects.map(|mut object| {
            if !object.is_shared() {
                object.metadata_mut().owner_references = Some(vec![owner.clone()]);
            }
            object
        });
        let mut results = futures::stream::iter(owned)
            .map(|object| async move {
                let (kind, name) = (object.kind().to_lowercase(), object.name().to_owned());
                match self.object(&object).await {
                    Ok(applied) => {
                        report(&kind, &name, applied);
                        Ok(())
                    }
                    Err(failure) => Err(Refusal::new(&object, failure)),
                }
            })
            .buffer_unordered(REQUESTS_AT_ONCE);
        let mut refusals = Vec::new();
        while let Some(result) = results.next().await {
            let Err(refusal) = result else { continue };
            if continues && !refusal.is_about_object() {
                return Err(refusal.into_failure());
            }
            refusals.push(refusal);
            if !continues {
                break;
            }
        }
        Ok(refusals)
    }

    /// Takes back a Run that this apply has created and can't complete.
    async fn undo(&self, run: &Run, applied: Applied, failure: Failure) -> Failure {
        if applied != Applied::Created {
            return failure;
        }
        let name = run.metadata.name.clone().unwrap_or_default();
        let exactly = Preconditions {
            uid: run.metadata.uid.clone(),
            ..Preconditions::default()
        };
        let params = DeleteParams::background().preconditions(exactly);
        let end = match self.api::<Run>().delete(&name, &params).await {
            Ok(_) => format!("run/{name} is incomplete and was deleted"),
            Err(error) => format!("run/{name} is incomplete, and can't be deleted: {error}"),
        };
        Failure {
            message: format!("{}; {end}", failure.message),
            ..failure
        }
    }

    async fn object(&self, object: &Object) -> Result<Applied, Failure> {
        Ok(match object {
            Object::Run(run) => self.create(run, |a, b| a.spec == b.spec).await?.1,
            Object::Gate(gate) => self.create(gate, |a, b| a.spec == b.spec).await?.1,
            Object::Barrier(barrier) => self.create(barrier, |a, b| a.spec == b.spec).await?.1,
            Object::Job(job) => self.create(&**job, |a, b| hash(a) == hash(b)).await?.1,
            Object::PersistentVolumeClaim(claim) => self.create(&**claim, |_, _| true).await?.1,
            Object::Semaphore(semaphore) => self.share(semaphore).await?,
            Object::Lease(lease) => self.share(lease).await?,
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
            dry_run: self.mode != Mode::Store,
            field_manager: Some(MANAGER.to_owned()),
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.kube().clone(), self.client.namespace())
    }

    /// Creates an object; where it already exists, it must be the same.
    async fn create<K>(
        &self,
        object: &K,
        same: impl Fn(&K, &K) -> bool,
    ) -> Result<(K, Applied), Failure>
    where
        K: Stored + Serialize,
    {
        let name = object.meta().name.clone().unwrap_or_default();
        let api = self.api::<K>();
        match api.create(&self.posting(), object).await {
            Ok(created) => Ok((created, Applied::Created)),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let stored = api.get(&name).await?;
                if same(&stored, object) {
                    return Ok((stored, Applied::Unchanged));
                }
                let kind = K::kind(&()).to_lowercase();
                Err(Failure::failed(format!(
                    "{kind}/{name} already exists in namespace {} with another content",
                    self.client.namespace()
                ))
                .help("choose another name with --run, or delete the other run"))
            }
            Err(error) => self.judged(error, object),
        }
    }

    /// What an error of a request to create an object says about it.
    fn judged<K: Clone>(&self, error: kube::Error, object: &K) -> Result<(K, Applied), Failure> {
        match error {
            // What a trial can't find out is found out afterwards.
            kube::Error::Api(status)
                if self.mode == Mode::Trial && status.message.contains(NO_DRY_RUN) =>
            {
                Ok((object.clone(), Applied::Created))
            }
            kube::Error::Api(status) if matches!(status.code, 400 | 422) => {
                Err(Failure::usage(status.message.clone()))
            }
            error => Err(error.into()),
        }
    }

    /// Creates what all runs of a pipeline share, or changes in its spec what the file has changed.
    async fn share<K>(&self, object: &K) -> Result<Applied, Failure>
    where
        K: Stored + Serialize,
    {
        let new = json(object)?;
        let mut noted = object.clone();
        let (note, spec) = ledger::applied(&new);
        let annotations = noted.meta_mut().annotations.get_or_insert_default();
        annotations.insert(note.to_owned(), spec);
        let name = object.meta().name.clone().unwrap_or_default();
        let api = self.api::<K>();
        match api.create(&self.posting(), &noted).await {
            Ok(_) => return Ok(Applied::Created),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return self.judged(error, object).map(|(_, applied)| applied),
        }
        let live = json(&api.get(&name).await?)?;
        let shown = format!("{}/{name}", K::kind(&()).to_lowercase());
        if let Some(whose) = ledger::other_owner(&new, &live) {
            let namespace = self.client.namespace();
            let message = format!("{shown} already exists in namespace {namespace} and {whose}");
            return Err(Failure::failed(message)
                .help("give the pipeline or its semaphore or lease another name"));
        }
        let change = ledger::change(&new, &live);
        for (field, value) in change.kept.iter().filter(|_| self.mode != Mode::Trial) {
            let file = &new["spec"][field];
            output::stderr(&format!(
                "{shown} keeps {field} {value}, which somebody has set; the file has {file}, as before"
            ));
        }
        let Some(patch) = ledger::patch(&new, &live, &change) else {
            return Ok(Applied::Unchanged);
        };
        let params = PatchParams {
            dry_run: self.mode != Mode::Store,
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patched = api.patch(&name, &params, &Patch::Merge(patch)).await;
        match patched {
            Ok(_) => Ok(Applied::Configured),
            Err(error) => self.judged(error, object).map(|_| Applied::Configured),
        }
    }
}

fn json<T: Serialize>(object: &T) -> Result<Value, Failure> {
    serde_json::to_value(object).map_err(|error| Failure::failed(error.to_string()))
}
