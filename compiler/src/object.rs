//! One Kubernetes object of a run or of a schedule.
//!
//! What enters: a typed object. What leaves: what all kinds have in common. What must never happen here:
//! a kind that a match leaves out.

use std::fmt;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{Barrier, Gate, Lease, Run, Semaphore};
use serde::Serialize;

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
            Self::Run(_)
            | Self::Semaphore(_)
            | Self::Lease(_)
            | Self::Gate(_)
            | Self::Barrier(_) => konductor_api::API_VERSION,
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

impl fmt::Display for Object {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.kind().to_ascii_lowercase(), self.name())
    }
}
