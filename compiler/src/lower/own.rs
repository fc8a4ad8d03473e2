//! What konductor's own containers, in which koncli runs, have in common.

use k8s_openapi::api::core::v1::{Capabilities, SecurityContext};

/// They need no rights, and write into volumes only.
pub(super) fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        ..SecurityContext::default()
    }
}
