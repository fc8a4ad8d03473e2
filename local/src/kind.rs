//! The kinds of objects a server knows: their group, version, names and scope.
//!
//! A name enters, from a path or from code; which table of the store it means leaves.

use std::borrow::Cow;
use std::fmt;

/// What an object is stored under: its group and its plural, whatever version it is read in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// The plural, in lower case, as paths have it.
    pub plural: Cow<'static, str>,
}

impl Resource {
    /// The resource that its objects are stored as: events of both groups are in one table.
    pub(crate) fn stored(&self) -> &Self {
        static EVENTS: Resource = Resource {
            group: Cow::Borrowed(""),
            plural: Cow::Borrowed("events"),
        };
        match *self == EVENT.resource {
            true => &EVENTS,
            false => self,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            return formatter.write_str(&self.plural);
        }
        write!(formatter, "{}.{}", self.plural, self.group)
    }
}

/// A kind of objects, in one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// Where its objects are.
    pub resource: Resource,
    /// The version, such as `v1`.
    pub version: Cow<'static, str>,
    /// The name in `kind:`.
    pub kind: Cow<'static, str>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Kind {
    /// A kind whose objects live in namespaces.
    pub const fn namespaced(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self::known(group, version, kind, plural, true)
    }

    /// A kind whose objects live outside of namespaces.
    pub const fn cluster(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self::known(group, version, kind, plural, false)
    }

    const fn known(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        namespaced: bool,
    ) -> Self {
        Self {
            resource: Resource {
                group: Cow::Borrowed(group),
                plural: Cow::Borrowed(plural),
            },
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            namespaced,
        }
    }

    /// The API group; empty for the core group.
    pub fn group(&self) -> &str {
        &self.resource.group
    }

    /// `group/version`, as `apiVersion` has it.
    pub fn api_version(&self) -> String {
        if self.group().is_empty() {
            return self.version.to_string();
        }
        format!("{}/{}", self.group(), self.version)
    }

    /// `Kind.group`, as messages name it.
    pub(crate) fn group_kind(&self) -> String {
        if self.group().is_empty() {
            return self.kind.to_string();
        }
        format!("{}.{}", self.kind, self.group())
    }
}

/// Namespaces.
pub const NAMESPACE: Kind = Kind::cluster("", "v1", "Namespace", "namespaces");
/// Pods.
pub const POD: Kind = Kind::namespaced("", "v1", "Pod", "pods");
/// Configuration as files and values.
pub const CONFIG_MAP: Kind = Kind::namespaced("", "v1", "ConfigMap", "configmaps");
/// Configuration that is not for everyone.
pub const SECRET: Kind = Kind::namespaced("", "v1", "Secret", "secrets");
/// Identities of pods.
pub const SERVICE_ACCOUNT: Kind = Kind::namespaced("", "v1", "ServiceAccount", "serviceaccounts");
/// Storage that pods ask for.
pub const PERSISTENT_VOLUME_CLAIM: Kind =
    Kind::namespaced("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
/// What happened, as the core group has it.
pub const CORE_EVENT: Kind = Kind::namespaced("", "v1", "Event", "events");
/// What happened, as `events.k8s.io` has it.
pub const EVENT: Kind = Kind::namespaced("events.k8s.io", "v1", "Event", "events");
/// The machines that pods run on.
pub const NODE: Kind = Kind::cluster("", "v1", "Node", "nodes");
/// Names for pods in the network.
pub const SERVICE: Kind = Kind::namespaced("", "v1", "Service", "services");
/// Limits of a namespace.
pub const RESOURCE_QUOTA: Kind = Kind::namespaced("", "v1", "ResourceQuota", "resourcequotas");
/// Who the client is.
pub const SELF_SUBJECT_REVIEW: Kind = Kind::cluster(
    "authentication.k8s.io",
    "v1",
    "SelfSubjectReview",
    "selfsubjectreviews",
);
/// Whether the client may do something.
pub const SELF_SUBJECT_ACCESS_REVIEW: Kind = Kind::cluster(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
);
/// What the client may do.
pub const SELF_SUBJECT_RULES_REVIEW: Kind = Kind::cluster(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectRulesReview",
    "selfsubjectrulesreviews",
);
/// Jobs.
pub const JOB: Kind = Kind::namespaced("batch", "v1", "Job", "jobs");
/// Jobs by the clock.
pub const CRON_JOB: Kind = Kind::namespaced("batch", "v1", "CronJob", "cronjobs");
/// Leases of leader elections.
pub const COORDINATION_LEASE: Kind =
    Kind::namespaced("coordination.k8s.io", "v1", "Lease", "leases");
/// Permissions in a namespace.
pub const ROLE: Kind = Kind::namespaced("rbac.authorization.k8s.io", "v1", "Role", "roles");
/// Who has a Role.
pub const ROLE_BINDING: Kind = Kind::namespaced(
    "rbac.authorization.k8s.io",
    "v1",
    "RoleBinding",
    "rolebindings",
);
/// Permissions everywhere.
pub const CLUSTER_ROLE: Kind = Kind::cluster(
    "rbac.authorization.k8s.io",
    "v1",
    "ClusterRole",
    "clusterroles",
);
/// Who has a ClusterRole.
pub const CLUSTER_ROLE_BINDING: Kind = Kind::cluster(
    "rbac.authorization.k8s.io",
    "v1",
    "ClusterRoleBinding",
    "clusterrolebindings",
);
/// Definitions of kinds.
pub const CUSTOM_RESOURCE_DEFINITION: Kind = Kind::cluster(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
);
