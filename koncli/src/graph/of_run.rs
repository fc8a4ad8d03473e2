//! The picture of a run, from its graph.

use std::collections::BTreeMap;

use jiff::Timestamp;
use konductor_api::{Role, Run};
use konductor_compiler::Graph;
use konductor_compiler::graph::{Edge, Node, NodeKind};
use konductor_operator::RunObjects;
use konductor_operator::run_graph::Place;
use konductor_operator::standing::State;
use kube::ResourceExt;

use super::Drawn;
use crate::view::{Stage, View};

/// Draws a run as it stands.
pub(crate) fn of_run(run: &Run, objects: &RunObjects, view: &View) -> Drawn {
    let overview = objects.graph().overview();
    let stages = view.stages.iter();
    let stages: BTreeMap<&str, &Stage> = stages.map(|stage| (stage.name.as_str(), stage)).collect();
    let now = Timestamp::now();
    let (mut nodes, mut states, mut durations) = (Vec::new(), Vec::new(), Vec::new());
    for place in &overview.places {
        durations.push(match place {
            Place::Stage { name, .. } => stages.get(name).and_then(|stage| stage.duration(now)),
            Place::Approval(_) | Place::Gate(_) | Place::Elsewhere(_) => None,
        });
        states.push(match place {
            Place::Stage { name, .. } => {
                let stage = stages.get(name);
                stage.map(|stage| (stage.state(), stage.ended()))
            }
            Place::Approval(barrier) => Some((State::of_barrier(barrier), 0)),
            Place::Gate(gate) => Some((State::of_gate(gate), 0)),
            Place::Elsewhere(_) => None,
        });
        nodes.push(node(&run.name_any(), place));
    }
    let edges = overview.edges.iter().map(|edge| Edge {
        from: edge.from,
        to: edge.to,
        label: edge.label,
    });
    Drawn {
        run: Some((view.run.clone(), view.phase.clone())),
        graph: Graph {
            pipeline: run.spec.pipeline.clone(),
            // A run is one slot of it.
            schedule: None,
            nodes,
            edges: edges.collect(),
        },
        states,
        durations,
    }
}

fn node(run: &str, place: &Place<'_>) -> Node {
    let (name, kind) = match place {
        Place::Stage { name, jobs } => {
            let is_finally = jobs.iter().any(|job| job.role == Role::Finally);
            let kind = match is_finally {
                true => NodeKind::Finally,
                false => NodeKind::Stage,
            };
            ((*name).to_owned(), kind)
        }
        Place::Approval(barrier) => {
            let name = barrier.name_any();
            let own = name.strip_prefix(&format!("{run}-")).map(str::to_owned);
            (own.unwrap_or(name), NodeKind::Approval)
        }
        Place::Gate(gate) => (format!("gate/{}", gate.name_any()), NodeKind::External),
        Place::Elsewhere(words) => (words.clone(), NodeKind::External),
    };
    let jobs = match place {
        Place::Stage { jobs, .. } => jobs.as_slice(),
        Place::Approval(_) | Place::Gate(_) | Place::Elsewhere(_) => &[],
    };
    let is_fan_out = jobs.iter().any(|job| job.item().is_some());
    // How many there are is known when the Job has its list.
    let listed = jobs.first().filter(|job| job.item_list().is_some());
    let listed = listed.map(|job| job.item_names().len());
    let holds = jobs.first().map_or(&[][..], |job| job.holds());
    Node {
        name,
        kind,
        items: is_fan_out.then_some(jobs.len()).or(listed),
        is_listed: jobs.iter().any(|job| job.items.is_some()),
        holding: holds.iter().map(|hold| hold.name.clone()).collect(),
        // Its objects have conditions by item, and a Barrier in place of a quorum.
        quorum: None,
        when: None,
    }
}
