//! What the API server refuses of a run, all of it at once.

use std::fmt::Write as _;

use konductor_api::label;
use konductor_compiler::Object;

use crate::exit::{FAILED, FORBIDDEN, Failure, USAGE};

/// What an API server says to whom it gives no right, but not where it refuses what an object says.
const NO_RIGHT: &str = " cannot create resource ";

/// So many are shown; the others are counted.
const SHOWN: usize = 20;

/// An object that can't be applied, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    /// `job/night-load (stage load)`
    object: String,
    failure: Failure,
}

impl Refusal {
    pub(super) fn new(object: &Object, failure: Failure) -> Self {
        let labels = object.metadata().labels.as_ref();
        let stage = labels.and_then(|labels| labels.get(label::STAGE));
        let stage = stage.map(|stage| format!(" (stage {stage})"));
        Self {
            object: format!("{object}{}", stage.unwrap_or_default()),
            failure,
        }
    }

    /// Whether the API server has judged the object, so that others may be judged as well.
    pub(super) fn is_about_object(&self) -> bool {
        match self.failure.code {
            FAILED | USAGE => true,
            // A right that is missing is missing for all objects of the kind.
            FORBIDDEN => !self.failure.message.contains(NO_RIGHT),
            _ => false,
        }
    }

    /// The failure alone.
    pub(super) fn into_failure(self) -> Failure {
        self.failure
    }
}

/// Reports everything that is refused of a run of so many objects, none of which was created.
pub(super) fn report(run: &str, objects: usize, mut refusals: Vec<Refusal>) -> Failure {
    refusals.sort_by(|a, b| a.object.cmp(&b.object));
    let count = refusals.len();
    let mut message = format!(
        "{count} of the {objects} objects of run/{run} can't be applied, so nothing was changed"
    );
    for Refusal { object, failure } in refusals.iter().take(SHOWN) {
        let why = failure.message.as_str();
        // Its name is already there.
        let name = object.split(' ').next().unwrap_or_default();
        let why = why.strip_prefix(name).map_or(why, str::trim_start);
        let _ = write!(message, "\n  {object}: {why}");
    }
    if count > SHOWN {
        let _ = write!(message, "\n  … and {} more", count - SHOWN);
    }
    let code = refusals.iter().map(|refusal| refusal.failure.code).max();
    let help = refusals
        .into_iter()
        .find_map(|refusal| refusal.failure.help);
    let failure = Failure::new(code.unwrap_or(FAILED), message);
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}
