//! What the command line gives.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

/// The image of this version's `koncli`.
pub const KONCLI_IMAGE: &str = concat!("ghcr.io/logiciq/konductor:", env!("CARGO_PKG_VERSION"));

/// What [`Options::store`] says for a volume of the run's own.
pub const LOCAL_STORE: &str = "local";

/// Reads an imported file: its path, relative to the root file's folder, and what went wrong.
pub(crate) type ReadImport<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// What the command line gives. The result of compiling depends on nothing else but the text.
#[derive(Clone)]
pub struct Options<'a> {
    /// The run's name (`--run`); without it, the pipeline's.
    pub run: Option<String>,
    /// `now` is a slot of the pipeline's schedule: without a name of its own, the run is called
    /// `<pipeline>-<slot>`, with the slot in minutes since 1970.
    pub slot: bool,
    /// One run, also where the pipeline has a schedule and no run is named.
    pub once: bool,
    /// The namespace that objects are given; without it they name none.
    pub namespace: Option<String>,
    /// `--set NAME=TEXT`, in order; of two for one parameter the last counts. The text is read by
    /// the parameter's type: a string as it is, a list as JSON or separated by commas.
    pub set: Vec<(String, String)>,
    /// `--params FILE`, parsed. `--set` goes before it.
    pub params: Map<String, Json>,
    /// What `run.date` and `run.time` say: the apply time, or a schedule's slot. They say it in the
    /// schedule's time zone, or UTC without one.
    pub now: Timestamp,
    /// The image of `koncli`, for the pod of a schedule.
    pub koncli_image: String,
    /// Where files are kept, whatever the pipeline says: a URL, or [`LOCAL_STORE`].
    pub store: Option<String>,
    /// Reads imported files.
    pub read_import: ReadImport<'a>,
    /// A parameter without a value is no error: see [`crate::check`].
    pub(crate) check: bool,
}

impl Options<'_> {
    /// Nothing given, and imports can't be read.
    pub fn at(now: Timestamp) -> Self {
        Self {
            run: None,
            slot: false,
            once: false,
            namespace: None,
            set: Vec::new(),
            params: Map::new(),
            now,
            koncli_image: KONCLI_IMAGE.to_owned(),
            store: None,
            read_import: &|_| Err("imports can't be read here".to_owned()),
            check: false,
        }
    }

    /// Whether a parameter is given a value, right or wrong.
    pub(crate) fn gives(&self, param: &str) -> bool {
        self.params.contains_key(param) || self.set.iter().any(|(set, _)| set == param)
    }

    /// Whether a pipeline's schedule is to be installed, where it has one.
    pub(crate) fn installs(&self) -> bool {
        self.run.is_none() && !self.once && !self.slot
    }

    /// The run's name.
    pub(crate) fn run_name(&self, pipeline: &str) -> String {
        match &self.run {
            Some(run) => run.clone(),
            None if self.slot => slot_run(pipeline, self.now),
            None => pipeline.to_owned(),
        }
    }
}

/// The name of a slot's run, and of the Job that the CronJob controller makes for it.
fn slot_run(pipeline: &str, slot: Timestamp) -> String {
    format!("{pipeline}-{}", slot.as_second().div_euclid(60))
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Options")
            .field("run", &self.run)
            .field("slot", &self.slot)
            .field("once", &self.once)
            .field("namespace", &self.namespace)
            .field("set", &self.set)
            .field("params", &self.params)
            .field("now", &self.now)
            .field("koncli_image", &self.koncli_image)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
