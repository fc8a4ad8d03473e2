//! The Kubernetes objects of one run, in the order in which they are to be created.
//!
//! What enters: a plan. What leaves: typed objects, one at a time, and YAML or JSON of the same
//! bytes for the same input. What must never happen here: an owner; only who applies the objects
//! knows the Run's uid.

use std::fmt;
use std::io;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{Barrier, Gate, Lease, Run, Semaphore};
use serde::Serialize;

use crate::lower;
use crate::pipeline::Pipeline;
use crate::plan::Plan;
use crate::yaml;

/// One object of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Object {
    /// The record of the run: always the first.
    Run(Run),
    /// Shared by all runs of the pipeline.
    Semaphore(Semaphore),
    /// Shared by all runs of the pipeline.
    Lease(Lease),
    /// A workspace.
    PersistentVolumeClaim(Box<PersistentVolumeClaim>),
    /// What a Job waits for.
    Gate(Gate),
    /// A fan-out's end, or an approval.
    Barrier(Barrier),
    /// A stage, or an item of one.
    Job(Box<Job>),
    /// The files of a scheduled pipeline.
    ConfigMap(ConfigMap),
    /// What a schedule acts as.
    ServiceAccount(ServiceAccount),
    /// What a schedule may do.
    Role(Role),
    /// That it may.
    RoleBinding(RoleBinding),
    /// A schedule.
    CronJob(Box<CronJob>),
}

impl Object {
    /// The kind, such as `Gate`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Run(_) => "Run",
            Self::Semaphore(_) => "Semaphore",
            Self::Lease(_) => "Lease",
            Self::PersistentVolumeClaim(_) => "PersistentVolumeClaim",
            Self::Gate(_) => "Gate",
            Self::Barrier(_) => "Barrier",
            Self::Job(_) => "Job",
            Self::ConfigMap(_) => "ConfigMap",
            Self::ServiceAccount(_) => "ServiceAccount",
            Self::Role(_) => "Role",
            Self::RoleBinding(_) => "RoleBinding",
            Self::CronJob(_) => "CronJob",
        }
    }

    /// The group and version, such as `batch/v1`.
    pub fn api_version(&self) -> &'static str {
        match self {
            Self::PersistentVolumeClaim(_) | Self::ConfigMap(_) | Self::ServiceAccount(_) => "v1",
            Self::Job(_) | Self::CronJob(_) => "batch/v1",
            Self::Role(_) | Self::RoleBinding(_) => "rbac.authorization.k8s.io/v1",
            _ => konductor_api::API_VERSION,
        }
    }

    /// The object's metadata: a name, labels and annotations, nothing else.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Run(object) => &object.metadata,
            Self::Semaphore(object) => &object.metadata,
            Self::Lease(object) => &object.metadata,
            Self::PersistentVolumeClaim(object) => &object.metadata,
            Self::Gate(object) => &object.metadata,
            Self::Barrier(object) => &object.metadata,
            Self::Job(object) => &object.metadata,
            Self::ConfigMap(object) => &object.metadata,
            Self::ServiceAccount(object) => &object.metadata,
            Self::Role(object) => &object.metadata,
            Self::RoleBinding(object) => &object.metadata,
            Self::CronJob(object) => &object.metadata,
        }
    }

    /// The same, to set a namespace and owners.
    pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Run(object) => &mut object.metadata,
            Self::Semaphore(object) => &mut object.metadata,
            Self::Lease(object) => &mut object.metadata,
            Self::PersistentVolumeClaim(object) => &mut object.metadata,
            Self::Gate(object) => &mut object.metadata,
            Self::Barrier(object) => &mut object.metadata,
            Self::Job(object) => &mut object.metadata,
            Self::ConfigMap(object) => &mut object.metadata,
            Self::ServiceAccount(object) => &mut object.metadata,
            Self::Role(object) => &mut object.metadata,
            Self::RoleBinding(object) => &mut object.metadata,
            Self::CronJob(object) => &mut object.metadata,
        }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// Whether all runs of the pipeline share the object: it is created where it is missing, has
    /// no owner, and stays when the run is deleted.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Semaphore(_) | Self::Lease(_))
    }
}

/// Everything that one run is made of. Objects are made when they are asked for: a large pipeline's
/// never exist all at once.
#[derive(Debug)]
pub struct Manifests {
    pub(crate) pipeline: Pipeline,
    pub(crate) plan: Plan,
    pub(crate) namespace: Option<String>,
    /// The time of the schedule's slot that the run is for.
    pub(crate) slot: Option<String>,
    /// What makes the Run adopt its objects where kubectl creates them.
    pub(crate) nonce: String,
}

impl Manifests {
    /// The run's name.
    pub fn run_name(&self) -> &str {
        &self.plan.run
    }

    /// The pipeline's name.
    pub fn pipeline_name(&self) -> &str {
        &self.pipeline.name.text
    }

    /// The Run, which is also the first of the [objects](Self::objects).
    pub fn run(&self) -> Run {
        lower::run(self)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        lower::len(self)
    }

    /// Never: there is always the Run.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// All objects in the order of creation: the Run, what is shared, workspaces, Gates, Barriers,
    /// Jobs. Whatever an object names within the run comes before it, but for the Jobs that Gates
    /// wait for: so nothing starts before all that it needs is there.
    pub fn objects(&self) -> impl Iterator<Item = Object> + '_ {
        lower::objects(self)
    }

    /// Writes all objects as one YAML stream.
    ///
    /// # Errors
    /// What `out` reports.
    pub fn write_yaml(&self, out: &mut impl io::Write) -> io::Result<()> {
        write_yaml(self.objects(), out)
    }

    /// Writes all objects as one `v1` List in JSON.
    ///
    /// # Errors
    /// What `out` reports.
    pub fn write_json(&self, out: &mut impl io::Write) -> io::Result<()> {
        write_json(self.objects(), out)
    }

    /// All objects as one YAML stream.
    pub fn to_yaml(&self) -> String {
        written(|out| self.write_yaml(out))
    }

    /// All objects as one `v1` List in JSON.
    pub fn to_json(&self) -> String {
        written(|out| self.write_json(out))
    }
}

/// What runs a pipeline by itself: a CronJob whose pod applies the pipeline's files, which are in a
/// ConfigMap, with a ServiceAccount that may do just that. No Run owns these.
#[derive(Debug)]
pub struct Schedule {
    pub(crate) name: String,
    pub(crate) objects: Vec<Object>,
}

impl Schedule {
    /// The CronJob's name: the pipeline's. Its runs are called `<name>-<slot>`, with the slot in
    /// minutes since 1970.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All objects in the order of creation.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// All objects as one YAML stream.
    pub fn to_yaml(&self) -> String {
        written(|out| write_yaml(self.objects.iter(), out))
    }

    /// All objects as one `v1` List in JSON.
    pub fn to_json(&self) -> String {
        written(|out| write_json(self.objects.iter(), out))
    }
}

fn write_yaml(
    objects: impl Iterator<Item = impl Serialize>,
    out: &mut impl io::Write,
) -> io::Result<()> {
    let mut document = String::new();
    for (index, object) in objects.enumerate() {
        document.clear();
        if index > 0 {
            document.push_str("---\n");
        }
        yaml::write_document(&mut document, &object).map_err(io::Error::other)?;
        out.write_all(document.as_bytes())?;
    }
    Ok(())
}

fn write_json(
    objects: impl Iterator<Item = impl Serialize>,
    out: &mut impl io::Write,
) -> io::Result<()> {
    out.write_all(b"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n")?;
    for (index, object) in objects.enumerate() {
        if index > 0 {
            out.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut *out, &object)?;
    }
    out.write_all(b"\n]}\n")
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut bytes = Vec::new();
    let done = write(&mut bytes);
    debug_assert!(
        done.is_ok(),
        "memory takes every write, and our objects are plain data"
    );
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Display for Object {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.kind().to_ascii_lowercase(), self.name())
    }
}
