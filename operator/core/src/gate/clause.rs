//! A `when` that keeps a Gate from opening, for people: as its author wrote it, with the values that it read.

use std::collections::BTreeMap;

use konductor_api::{Gate, annotation, label};

use crate::explain::cut;
use crate::limits::NAMES_IN_MESSAGE;
use crate::outputs::{shortened, shown};
use crate::when::{self, Read};

/// The CEL of a Gate that never opens, because a part of what it waits for was left out when the file was compiled.
const NEVER: &str = "false";

/// The `when` of a Gate.
pub(super) struct Clause {
    /// As it was written in the pipeline, else in CEL.
    text: String,
    /// What it waits for is known to be skipped, and nobody wrote it.
    is_ruled_out: bool,
    /// What the author calls the Jobs that it names.
    names: BTreeMap<String, String>,
}

impl Clause {
    pub(super) fn of(gate: &Gate) -> Self {
        let annotations = gate.metadata.annotations.as_ref();
        let written = annotations.and_then(|all| all.get(annotation::WHEN));
        let labels = gate.metadata.labels.as_ref();
        let is_of_run = labels.is_some_and(|all| all.contains_key(label::RUN));
        let cel = gate.spec.when.as_deref().unwrap_or_default();
        Self {
            // Anybody may write an annotation.
            text: format!("when {}", cut(written.map_or(cel, String::as_str))),
            is_ruled_out: is_of_run && written.is_none() && cel == NEVER,
            names: BTreeMap::new(),
        }
    }

    /// Remembers which stage a Job is of.
    pub(super) fn name(&mut self, job: &str, stage: &str, item: Option<&str>) {
        let name = match item {
            Some(item) => format!("{stage}[{}]", cut(item)),
            None => stage.to_owned(),
        };
        self.names.insert(job.to_owned(), name);
    }

    /// Says what it is, and what it read.
    pub(super) fn is_false(
        &self,
        when: &str,
        outputs: &BTreeMap<String, BTreeMap<String, String>>,
        outcome: Option<&str>,
    ) -> String {
        let reads = when::reads(when);
        let values = reads.iter().take(NAMES_IN_MESSAGE).map(|read| match read {
            Read::Outcome => format!("run.outcome was {}", outcome.unwrap_or_default()),
            Read::Output { job, output } => {
                let value = outputs.get(job).and_then(|values| values.get(output));
                let name = match self.names.get(job) {
                    Some(name) => format!("{name}.{output}"),
                    None => format!("outputs['{job}'].{output}"),
                };
                match value {
                    Some(value) => format!("{name} was {}", bare_or_quoted(value)),
                    None => format!("{name} was not written"),
                }
            }
        });
        let mut values: Vec<String> = values.collect();
        if reads.len() > NAMES_IN_MESSAGE {
            values.push(format!("and {} more", reads.len() - NAMES_IN_MESSAGE));
        }
        match values.as_slice() {
            _ if self.is_ruled_out => "what it waits for was skipped".to_owned(),
            [] => format!("{} is false", self.text),
            _ => format!("{}: {}", self.text, values.join(", ")),
        }
    }

    /// Says why it has no answer.
    pub(super) fn no_answer(&self, why: &str) -> String {
        format!("{} has no answer: {why}", self.text)
    }
}

/// A number or a word as it is, shortened; anything else in quotes.
fn bare_or_quoted(value: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_./:+%".contains(c);
    match !value.is_empty() && value.chars().all(is_bare) {
        true => shortened(value),
        false => shown(value),
    }
}
