//! The kinds that every cluster has, as far as they are served here.

use crate::definition::{Definition, NO_RULES, Nature};
use crate::kind::{self, Kind};
use crate::names::NameRule;

fn plain(kind: Kind, singular: &str, short_names: &[&str]) -> Definition {
    Definition {
        kind,
        singular: singular.to_owned(),
        short_names: short_names.iter().map(ToString::to_string).collect(),
        categories: Vec::new(),
        name_rule: NameRule::Subdomain,
        has_status: false,
        has_generation: false,
        create_on_update: false,
        unconditional_update: true,
        returns_deleted: false,
        orphans_by_default: false,
        nature: Nature::Builtin(NO_RULES),
    }
}

fn permission(kind: Kind, singular: &str) -> Definition {
    Definition {
        name_rule: NameRule::PathSegment,
        create_on_update: true,
        ..plain(kind, singular, &[])
    }
}

/// Every built-in kind.
pub(crate) fn definitions() -> Vec<Definition> {
    let all = || vec!["all".to_owned()];
    vec![
        Definition {
            name_rule: NameRule::Label,
            has_status: true,
            returns_deleted: true,
            ..plain(kind::NAMESPACE, "namespace", &["ns"])
        },
        Definition {
            categories: all(),
            has_status: true,
            has_generation: true,
            returns_deleted: true,
            ..plain(kind::POD, "pod", &["po"])
        },
        plain(kind::CONFIG_MAP, "configmap", &["cm"]),
        plain(kind::SECRET, "secret", &[]),
        Definition {
            returns_deleted: true,
            ..plain(kind::SERVICE_ACCOUNT, "serviceaccount", &["sa"])
        },
        Definition {
            has_status: true,
            returns_deleted: true,
            ..plain(
                kind::PERSISTENT_VOLUME_CLAIM,
                "persistentvolumeclaim",
                &["pvc"],
            )
        },
        Definition {
            create_on_update: true,
            ..plain(kind::CORE_EVENT, "event", &["ev"])
        },
        Definition {
            create_on_update: true,
            ..plain(kind::EVENT, "event", &["ev"])
        },
        Definition {
            categories: all(),
            has_status: true,
            has_generation: true,
            orphans_by_default: true,
            ..plain(kind::JOB, "job", &[])
        },
        Definition {
            name_rule: NameRule::CronJob,
            categories: all(),
            has_status: true,
            has_generation: true,
            ..plain(kind::CRON_JOB, "cronjob", &["cj"])
        },
        Definition {
            create_on_update: true,
            unconditional_update: false,
            ..plain(kind::COORDINATION_LEASE, "lease", &[])
        },
        permission(kind::ROLE, "role"),
        permission(kind::ROLE_BINDING, "rolebinding"),
        permission(kind::CLUSTER_ROLE, "clusterrole"),
        permission(kind::CLUSTER_ROLE_BINDING, "clusterrolebinding"),
        Definition {
            has_status: true,
            has_generation: true,
            unconditional_update: false,
            ..plain(
                kind::CUSTOM_RESOURCE_DEFINITION,
                "customresourcedefinition",
                &["crd", "crds"],
            )
        },
    ]
}
