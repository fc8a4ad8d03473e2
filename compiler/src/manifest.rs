//! The Kubernetes objects of one run, in the order in which they are to be created.
//!
//! What enters: a plan. What leaves: typed objects, one at a time, and YAML or JSON of the same
//! bytes for the same input. What must never happen here: an owner; only who applies the objects
//! knows the Run's uid.

use std::io;

use konductor_api::Run;
use serde::Serialize;

use crate::lower;
use crate::object::Object;
use crate::pipeline::Overlap;
use crate::plan::Planned;
use crate::yaml;

/// Everything that one run is made of. Objects are made when they are asked for: a large pipeline's
/// never exist all at once.
#[derive(Debug)]
pub struct Manifests(pub(crate) Planned);

impl Manifests {
    /// The run's name.
    pub fn run_name(&self) -> &str {
        &self.0.plan.run
    }

    /// The pipeline's name.
    pub fn pipeline_name(&self) -> &str {
        &self.0.pipeline.name.text
    }

    /// What the schedule does with a slot while another run is running; `None` if the pipeline has no schedule.
    pub fn overlap(&self) -> Option<Overlap> {
        self.0
            .pipeline
            .schedule
            .as_ref()
            .map(|schedule| schedule.overlap)
    }

    /// The Run, which is also the first of the [objects](Self::objects).
    pub fn run(&self) -> Run {
        lower::run(&self.0)
    }

    /// The names of the stages in the order of the file.
    pub fn stages(&self) -> Vec<String> {
        let stages = self.0.pipeline.stages.iter();
        stages.map(|stage| stage.name.text.clone()).collect()
    }

    /// The same run for a place without Kueue: no Job is in a queue. Also returns the names of the stages that were.
    #[must_use]
    pub fn without_queues(mut self) -> (Self, Vec<String>) {
        let stages = self.0.pipeline.stages.iter_mut();
        let queued = stages.filter_map(|stage| {
            let _queue = stage.body.queue.take()?;
            Some(stage.name.text.clone())
        });
        let queued = queued.collect();
        (self, queued)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        lower::len(&self.0)
    }

    /// Never: there is always the Run.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// All objects in the order of creation: the Run, what is shared, workspaces, Gates, Barriers,
    /// Jobs. Whatever an object names within the run comes before it, but for the Jobs that Gates
    /// wait for: so nothing starts before all that it needs is there.
    pub fn objects(&self) -> impl Iterator<Item = Object> + '_ {
        lower::objects(&self.0)
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
