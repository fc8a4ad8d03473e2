//! What all calls of a client have in common.

use std::time::Duration;

use kube::api::{PatchParams, PostParams};

use crate::event::Observer;
use crate::notice::Listener;

/// Who writes, unless the program says otherwise.
const FIELD_MANAGER: &str = "konductor-sdk";

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) timeout: Option<Duration>,
    pub(crate) fail_if_missing: bool,
    pub(crate) fail_if_unreachable: bool,
    pub(crate) field_manager: String,
    pub(crate) listener: Listener,
    pub(crate) observer: Observer,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: None,
            fail_if_missing: false,
            fail_if_unreachable: false,
            field_manager: FIELD_MANAGER.to_owned(),
            listener: Listener::default(),
            observer: Observer::default(),
        }
    }
}

impl Settings {
    pub(crate) fn post_params(&self) -> PostParams {
        PostParams {
            field_manager: Some(self.field_manager.clone()),
            ..PostParams::default()
        }
    }

    pub(crate) fn patch_params(&self) -> PatchParams {
        PatchParams {
            field_manager: Some(self.field_manager.clone()),
            ..PatchParams::default()
        }
    }
}
