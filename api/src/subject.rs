//! What a Gate's condition is about, with its variants as an enum instead of optional fields.
//!
//! What enters: a condition as it is stored. What leaves: the one object, or the group of objects, that it
//! names. What must never happen here: two readers that disagree about what a condition names. A new kind of
//! condition is a variant of [`Target`]; the compiler then points at each reader.

use std::collections::BTreeMap;
use std::fmt;

use crate::{ConditionKind, Duration, Gate, GateCondition, ObjectName};

/// What a condition is about, as seen from its Gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Where it is.
    pub namespace: String,
    /// Whether that is another namespace than the Gate's: the target must permit it.
    pub is_foreign: bool,
    /// What it is.
    pub target: Target,
}

/// An object, or a group of objects, of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Job.
    Job(String),
    /// All Jobs with these labels.
    Jobs {
        /// All of the labels.
        labels: BTreeMap<String, String>,
        /// How many Jobs have them, exactly.
        count: u32,
    },
    /// A Barrier.
    Barrier {
        /// Its name.
        name: String,
        /// Whether it must be an approval.
        verified: bool,
    },
    /// Another Gate.
    Gate(String),
    /// A Run.
    Run(String),
    /// Any run of a pipeline.
    RunOf {
        /// The pipeline.
        pipeline: String,
        /// How long ago the run may have ended, at most.
        within: Option<Duration>,
    },
}

impl GateCondition {
    /// Returns what the condition of a Gate in `namespace` is about. A condition that the API server would not
    /// have accepted is about an object without a name, which does not exist.
    pub fn subject(&self, namespace: &str) -> Subject {
        let name = || self.name.clone().unwrap_or_default();
        let target = match (self.kind, &self.selector, &self.pipeline) {
            (ConditionKind::Job, Some(selector), _) => Target::Jobs {
                labels: selector.labels(),
                count: self.count.unwrap_or(0),
            },
            (ConditionKind::Job, None, _) => Target::Job(name()),
            (ConditionKind::Barrier, ..) => Target::Barrier {
                name: name(),
                verified: self.verified,
            },
            (ConditionKind::Gate, ..) => Target::Gate(name()),
            (ConditionKind::Run, _, Some(pipeline)) => Target::RunOf {
                pipeline: pipeline.clone(),
                within: self.within.clone(),
            },
            (ConditionKind::Run, _, None) => Target::Run(name()),
        };
        let own = self.namespace.as_deref().unwrap_or(namespace);
        Subject {
            namespace: own.to_owned(),
            is_foreign: own != namespace,
            target,
        }
    }
}

impl Gate {
    /// Returns what the conditions are about, in their order.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        let own = self.metadata.namespace.as_deref().unwrap_or_default();
        let conditions = self.spec.conditions.iter();
        conditions.map(move |condition| condition.subject(own))
    }
}

impl Subject {
    /// Returns the place of an object of its namespace.
    pub fn place(&self, name: &str) -> ObjectName {
        ObjectName::new(&self.namespace, name)
    }
}

/// The words for people: `job/extract`, `gate/other/go`, `3 jobs with app=load`, `a run of pipeline rates`.
impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = match self.is_foreign {
            true => format!("{}/", self.namespace),
            false => String::new(),
        };
        match &self.target {
            Target::Job(name) => write!(formatter, "job/{namespace}{name}"),
            Target::Jobs { labels, count } => {
                let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
                let labels = labels.collect::<Vec<_>>().join(",");
                write!(formatter, "{count} jobs with {namespace}{labels}")
            }
            Target::Barrier { name, .. } => write!(formatter, "barrier/{namespace}{name}"),
            Target::Gate(name) => write!(formatter, "gate/{namespace}{name}"),
            Target::Run(name) => write!(formatter, "run/{namespace}{name}"),
            Target::RunOf { pipeline, .. } => {
                write!(formatter, "a run of pipeline {namespace}{pipeline}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_written_as_people_name_them() {
        for (condition, words) in [
            (r#"{"type":"Job","name":"a","state":"Complete"}"#, "job/a"),
            (
                r#"{"type":"Job","selector":{"matchLabels":{"x":"1","y":"2"}},"count":3,"state":"Complete"}"#,
                "3 jobs with x=1,y=2",
            ),
            (
                r#"{"type":"Barrier","name":"b","namespace":"ns","state":"Open"}"#,
                "barrier/b",
            ),
            (
                r#"{"type":"Gate","name":"g","namespace":"other","state":"Open"}"#,
                "gate/other/g",
            ),
            (r#"{"type":"Run","name":"r","state":"Settled"}"#, "run/r"),
            (
                r#"{"type":"Run","pipeline":"p","namespace":"other","state":"Succeeded"}"#,
                "a run of pipeline other/p",
            ),
        ] {
            let condition: GateCondition = serde_json::from_str(condition).unwrap();
            let subject = condition.subject("ns");
            assert_eq!(subject.to_string(), words);
            assert_eq!(subject.is_foreign, subject.namespace == "other");
        }
    }
}
