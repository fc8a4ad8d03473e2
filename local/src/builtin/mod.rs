//! The kinds that every cluster has, as far as they are served here.

mod check;
pub(crate) mod core;
mod cron_job;
mod event;
mod job;
mod job_status;
mod pod;
mod pod_defaults;
pub(crate) mod pod_status;
mod pod_values;
mod policy;
pub(crate) mod print;

use serde_json::{Value, json};

use crate::custom::crd;
use crate::definition::{Definition, NO_RULES, Nature, Usage};
use crate::kind::{self, Kind};
use crate::names::NameRule;
use crate::schema;

/// A kind without anything particular, with the schema called `definition`.
fn plain(kind: Kind, definition: &str, singular: &str, short_names: &[&str]) -> Definition {
    Definition {
        api_version: kind.api_version(),
        storage_api_version: kind.api_version(),
        singular: singular.to_owned(),
        list_kind: format!("{}List", kind.kind),
        short_names: strings(short_names),
        categories: Vec::new(),
        name_rule: NameRule::Subdomain,
        has_status: false,
        scale: None,
        has_generation: false,
        create_on_update: false,
        unconditional_update: true,
        returns_deleted: false,
        orphans_by_default: false,
        deletes_collections: true,
        selectable: Vec::new(),
        columns: Vec::new(),
        schema: schema::builtin::schema(definition).unwrap_or_default(),
        skeleton: skeleton(&kind),
        nature: Nature::Builtin(NO_RULES),
        usage: Usage::All,
        view: None,
        kind,
    }
}

/// What a typed client always sends of a kind, empty or not: nobody owns that it is there.
fn skeleton(kind: &Kind) -> Value {
    let template = json!({"metadata": {}, "spec": {"containers": null}});
    let mut skeleton = match kind.kind.as_ref() {
        "Pod" => json!({"spec": {"containers": null}, "status": {}}),
        "Job" => json!({"spec": {"template": template}, "status": {}}),
        "CronJob" => json!({
            "spec": {
                "schedule": "",
                "jobTemplate": {"metadata": {}, "spec": {"template": template}},
            },
            "status": {},
        }),
        "Namespace" | "Lease" | "CustomResourceDefinition" => json!({"spec": {}}),
        "PersistentVolumeClaim" => json!({"spec": {"resources": {}}, "status": {}}),
        "Event" if kind.group().is_empty() => json!({"involvedObject": {}, "source": {}}),
        "RoleBinding" | "ClusterRoleBinding" => json!({"roleRef": {}}),
        _ => json!({}),
    };
    skeleton["metadata"] = json!({});
    skeleton
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn permission(kind: Kind, singular: &str) -> Definition {
    let definition = format!("io.k8s.api.rbac.v1.{}", kind.kind);
    Definition {
        name_rule: NameRule::PathSegment,
        create_on_update: true,
        ..plain(kind, &definition, singular, &[])
    }
}

/// Every built-in kind.
pub(crate) fn definitions() -> Vec<Definition> {
    let mut definitions = core();
    definitions.extend(surroundings());
    definitions.extend(batch());
    definitions.extend([
        Definition {
            create_on_update: true,
            unconditional_update: false,
            nature: Nature::Builtin(core::LEASE),
            ..plain(
                kind::COORDINATION_LEASE,
                "io.k8s.api.coordination.v1.Lease",
                "lease",
                &[],
            )
        },
        permission(kind::ROLE, "role"),
        permission(kind::ROLE_BINDING, "rolebinding"),
        permission(kind::CLUSTER_ROLE, "clusterrole"),
        permission(kind::CLUSTER_ROLE_BINDING, "clusterrolebinding"),
        Definition {
            categories: strings(&["api-extensions"]),
            nature: Nature::Builtin(crd::RULES),
            has_status: true,
            has_generation: true,
            unconditional_update: false,
            ..plain(
                kind::CUSTOM_RESOURCE_DEFINITION,
                "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
                "customresourcedefinition",
                &["crd", "crds"],
            )
        },
    ]);
    definitions
}

fn core() -> Vec<Definition> {
    let event_fields = [
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ];
    vec![
        Definition {
            name_rule: NameRule::Label,
            has_status: true,
            returns_deleted: true,
            deletes_collections: false,
            selectable: strings(&["status.phase"]),
            nature: Nature::Builtin(core::NAMESPACE),
            ..plain(
                kind::NAMESPACE,
                "io.k8s.api.core.v1.Namespace",
                "namespace",
                &["ns"],
            )
        },
        Definition {
            categories: strings(&["all"]),
            has_status: true,
            has_generation: true,
            returns_deleted: true,
            selectable: strings(&[
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "spec.hostNetwork",
                "status.phase",
                "status.podIP",
                "status.nominatedNodeName",
            ]),
            nature: Nature::Builtin(pod::RULES),
            ..plain(kind::POD, "io.k8s.api.core.v1.Pod", "pod", &["po"])
        },
        Definition {
            nature: Nature::Builtin(core::CONFIG_MAP),
            ..plain(
                kind::CONFIG_MAP,
                "io.k8s.api.core.v1.ConfigMap",
                "configmap",
                &["cm"],
            )
        },
        Definition {
            selectable: strings(&["type"]),
            nature: Nature::Builtin(core::SECRET),
            ..plain(kind::SECRET, "io.k8s.api.core.v1.Secret", "secret", &[])
        },
        Definition {
            returns_deleted: true,
            ..plain(
                kind::SERVICE_ACCOUNT,
                "io.k8s.api.core.v1.ServiceAccount",
                "serviceaccount",
                &["sa"],
            )
        },
        Definition {
            has_status: true,
            returns_deleted: true,
            nature: Nature::Builtin(core::PERSISTENT_VOLUME_CLAIM),
            ..plain(
                kind::PERSISTENT_VOLUME_CLAIM,
                "io.k8s.api.core.v1.PersistentVolumeClaim",
                "persistentvolumeclaim",
                &["pvc"],
            )
        },
        Definition {
            create_on_update: true,
            selectable: strings(&event_fields),
            ..plain(
                kind::CORE_EVENT,
                "io.k8s.api.core.v1.Event",
                "event",
                &["ev"],
            )
        },
        Definition {
            create_on_update: true,
            storage_api_version: kind::CORE_EVENT.api_version(),
            view: Some(event::VIEW),
            ..plain(kind::EVENT, "io.k8s.api.events.v1.Event", "event", &["ev"])
        },
    ]
}

/// Why the one node can't be changed.
const NODE_IS_THIS_MACHINE: &str =
    "the only node is this machine: it can't be changed, cordoned or drained";
/// Why there are no Services.
const NO_NETWORK: &str =
    "this cluster has no pod network, and so no Services: pods use the network of this machine";

/// What a cluster has beside the work.
fn surroundings() -> Vec<Definition> {
    vec![
        Definition {
            has_status: true,
            usage: Usage::Read(NODE_IS_THIS_MACHINE),
            ..plain(kind::NODE, "io.k8s.api.core.v1.Node", "node", &["no"])
        },
        Definition {
            categories: strings(&["all"]),
            has_status: true,
            returns_deleted: true,
            usage: Usage::Read(NO_NETWORK),
            ..plain(
                kind::SERVICE,
                "io.k8s.api.core.v1.Service",
                "service",
                &["svc"],
            )
        },
        Definition {
            has_status: true,
            returns_deleted: true,
            nature: Nature::Builtin(core::RESOURCE_QUOTA),
            ..plain(
                kind::RESOURCE_QUOTA,
                "io.k8s.api.core.v1.ResourceQuota",
                "resourcequota",
                &["quota"],
            )
        },
        question(
            kind::SELF_SUBJECT_REVIEW,
            "io.k8s.api.authentication.v1.SelfSubjectReview",
            "selfsubjectreview",
        ),
        question(
            kind::SELF_SUBJECT_ACCESS_REVIEW,
            "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
            "selfsubjectaccessreview",
        ),
        question(
            kind::SELF_SUBJECT_RULES_REVIEW,
            "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
            "selfsubjectrulesreview",
        ),
    ]
}

/// A kind that is answered and never stored.
fn question(kind: Kind, definition: &str, singular: &str) -> Definition {
    Definition {
        usage: Usage::Ask,
        ..plain(kind, definition, singular, &[])
    }
}

fn batch() -> Vec<Definition> {
    vec![
        Definition {
            categories: strings(&["all"]),
            has_status: true,
            has_generation: true,
            orphans_by_default: true,
            selectable: strings(&["status.successful"]),
            nature: Nature::Builtin(job::RULES),
            ..plain(kind::JOB, "io.k8s.api.batch.v1.Job", "job", &[])
        },
        Definition {
            name_rule: NameRule::CronJob,
            categories: strings(&["all"]),
            has_status: true,
            has_generation: true,
            nature: Nature::Builtin(cron_job::RULES),
            ..plain(
                kind::CRON_JOB,
                "io.k8s.api.batch.v1.CronJob",
                "cronjob",
                &["cj"],
            )
        },
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::definitions;

    #[test]
    fn readme_lists_every_builtin_kind() {
        let readme = include_str!("../../README.md");
        let (_, rest) = readme.split_once("<!-- kinds -->").unwrap();
        let (listed, _) = rest.split_once("<!-- end -->").unwrap();
        let listed: BTreeSet<&str> = listed.split('`').skip(1).step_by(2).collect();
        let all = definitions();
        let served: BTreeSet<&str> = all
            .iter()
            .map(|definition| definition.kind.kind.as_ref())
            .collect();
        assert_eq!(listed, served);
    }
}
