//! What Gates wait for, and its canonical form, from which names in the cluster are made.
//!
//! What enters: conditions by index. What leaves: a text that no other set of conditions has. What must
//! never happen here: an index in that text, or the name of the run, because those change without the
//! meaning; and a format that changes by accident: names in clusters would change with it.

use std::fmt::Write as _;
use std::sync::Arc;

use super::job::Jobs;
use crate::name::short_hash;
use crate::pipeline::{Outside, Pipeline, State};

/// One Gate to be.
#[derive(Debug)]
pub(crate) struct GatePlan {
    pub name: String,
    pub key: Arc<GateKey>,
    /// `when` as the first of those that wait here has it in the file; the others' means the same.
    pub when: Option<Arc<str>>,
}

/// What a Gate waits for; no two Gates of a run wait for the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GateKey {
    /// One of the leaves is enough.
    pub any: bool,
    /// Sorted, each once.
    pub leaves: Vec<Leaf>,
    pub when: Option<String>,
}

/// One condition of a Gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Leaf {
    pub target: LeafTarget,
    pub state: State,
}

/// What a condition is about, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LeafTarget {
    /// Every main Job of this run has ended.
    Run,
    Job(usize),
    /// The Barrier over a stage's items.
    Stage(usize),
    /// The Barrier over some of a stage's items.
    Group(usize),
    Approval(usize),
    Gate(usize),
    /// Something in the cluster, see [`Gates::outside`].
    Outside(usize),
}

/// All Gates of a run; a Gate comes after those it names.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    pub list: Vec<GatePlan>,
    /// For each Job, its Gate.
    pub of_job: Vec<Option<usize>>,
    /// What is waited for that does not belong to this run, each once.
    pub outside: Vec<Outside>,
}

/// Where the names are that a Gate's conditions refer to by index.
pub(crate) struct Identity<'a> {
    pub run: &'a str,
    pub pipeline: &'a Pipeline,
    pub jobs: &'a Jobs,
    pub gates: &'a Gates,
}

impl Identity<'_> {
    /// The six digits in the name of a Gate that has no stage's name for itself.
    pub(crate) fn hash(&self, key: &GateKey) -> String {
        short_hash(&self.canonical(key))
    }

    /// Lines: `all` or `any`; each condition, in the order of their texts; the condition in CEL.
    ///
    /// ```text
    /// any
    /// job load-eu succeeded
    /// outside gate finance/closed succeeded
    /// stage extract failed
    /// when outputs['etl-count']['rows'] > 0
    /// ```
    fn canonical(&self, key: &GateKey) -> String {
        let GateKey { any, leaves, when } = key;
        let mut lines: Vec<String> = leaves.iter().map(|leaf| self.leaf(*leaf)).collect();
        lines.sort_unstable();
        lines.insert(0, if *any { "any" } else { "all" }.to_owned());
        lines.extend(when.iter().map(|when| format!("when {when}")));
        lines.join("\n")
    }

    fn leaf(&self, leaf: Leaf) -> String {
        let Leaf { target, state } = leaf;
        let mut text = match target {
            LeafTarget::Run => "run".to_owned(),
            LeafTarget::Job(job) => format!("job {}", self.inside(&self.jobs.list[job].name)),
            LeafTarget::Stage(stage) => {
                format!("stage {}", self.pipeline.stages[stage].name.text)
            }
            LeafTarget::Group(index) => {
                let group = &self.jobs.groups[index];
                let stage = &self.pipeline.stages[group.stage].name.text;
                format!("items {stage}[{}]", group.items)
            }
            LeafTarget::Approval(approval) => {
                format!("approval {}", self.pipeline.approvals[approval].name.text)
            }
            LeafTarget::Gate(gate) => format!("gate {}", self.inside(&self.gates.list[gate].name)),
            LeafTarget::Outside(index) => outside(&self.gates.outside[index]),
        };
        let _ = write!(text, " {}", state.word());
        text
    }

    /// A name without the run's.
    fn inside<'n>(&self, name: &'n str) -> &'n str {
        let rest = name.strip_prefix(self.run);
        rest.and_then(|rest| rest.strip_prefix('-')).unwrap_or(name)
    }
}

fn outside(outside: &Outside) -> String {
    let (kind, namespace, name, within) = match outside {
        Outside::Pipeline {
            namespace,
            name,
            within,
        } => ("pipeline", namespace, name, *within),
        Outside::Gate { namespace, name } => ("gate", namespace, name, None),
        Outside::Barrier { namespace, name } => ("barrier", namespace, name, None),
    };
    // No name of an object has a blank or a slash.
    let mut text = match namespace {
        Some(namespace) => format!("outside {kind} {namespace}/{name}"),
        None => format!("outside {kind} {name}"),
    };
    if let Some(millis) = within {
        let _ = write!(text, " within {millis}ms");
    }
    text
}

#[cfg(test)]
mod tests {
    use konductor_dsl::Sources;

    use super::short_hash;
    use crate::{Object, Options, compile};

    fn gates(before: &str, run: &str) -> Vec<String> {
        let text = format!(
            r#"pipeline etl {{
                defaults {{ image = "busybox:1.36", run = "true" }}
                {before}
                stage a {{ }}
                stage b {{ }}
                stage each for x in ["eu", "us"] {{ }}
                approval ok {{ approvers = 1 }}
                stage last after any(each["eu"], a.failed, gate("finance/closed")), any(b, ok, each.finished,
                    pipeline("rates") within 24h, barrier("x")) {{ }}
            }}"#
        );
        let mut sources = Sources::default();
        sources.add("gates.kon", text.as_str());
        let now = "2026-01-31T02:03:04Z".parse().unwrap_or_default();
        let options = Options {
            run: Some(run.to_owned()),
            ..Options::at(now)
        };
        let compiled = compile(sources, &options);
        assert_eq!(compiled.diagnostics, []);
        let objects = compiled.manifests.iter().flat_map(|all| all.objects());
        let gates = objects.filter_map(|object| match object {
            Object::Gate(gate) => gate.metadata.name,
            _ => None,
        });
        gates.collect()
    }

    /// Names in clusters are made of this form: whoever changes it renames Gates of running pipelines, so
    /// that the same file applied again makes others.
    #[test]
    fn names_of_gates_are_hashes_of_the_canonical_form() {
        let first =
            "any\njob a failed\njob each-eu succeeded\noutside gate finance/closed succeeded";
        let second = "any\napproval ok succeeded\njob b succeeded\noutside barrier x succeeded\n\
                      outside pipeline rates within 86400000ms succeeded\nstage each finished";
        let hashes = [short_hash(first), short_hash(second)];
        assert_eq!(hashes, ["6be0c1", "0d68f1"]);
        let names = [
            format!("night-last-{}", hashes[0]),
            format!("night-last-{}", hashes[1]),
            "night-last".to_owned(),
        ];
        assert_eq!(gates("", "night"), names);
    }

    #[test]
    fn a_stage_more_and_another_run_leave_the_names_of_gates_as_they_are() {
        let all = gates("", "night");
        assert_eq!(
            gates("stage earlier { }\nstage other for i in 0..<3 { }", "night"),
            all
        );
        let renamed: Vec<String> = all
            .iter()
            .map(|name| name.replace("night", "day"))
            .collect();
        assert_eq!(gates("", "day"), renamed);
    }
}
