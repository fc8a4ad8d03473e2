//! `koncli status` and `koncli runs`

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Instant;

use jiff::Timestamp;
use konductor_api::condition::{FAILING, SUCCEEDED};
use konductor_api::{Run, annotation, shown_item};
use konductor_operator::standing::{ItemStanding, State, waits_for_missing};
use konductor_operator::{RunObjects, Waits, run_status};
use kube::ResourceExt;

use super::objects::objects_of;
use super::{follow, get, list};
use crate::arguments::{Format, Global};
use crate::exit::Failure;
use crate::progress::{LogsTo, Progress, terminal};
use crate::view::{self, Item, Stage, View, view};
use crate::{cluster, output};

/// Each item of a range has a row if there are no more than these.
const INDEXES_SHOWN: usize = 100;
/// How many unfinished runs are asked what they wait for.
const RUNS_LOOKED_AT: usize = 10;

/// Shows one run; with `watch` until it ends, and then how it ended.
pub(crate) async fn status(global: &Global, name: &str, watch: bool) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let mut run: Run = get(&client, "run", name).await?;
    let objects = if watch {
        let progress = Progress::since(begun(&run), LogsTo::Nowhere);
        let ended = follow::until_ended(&client, name, &[], &progress).await?;
        run = ended.0;
        ended.1
    } else {
        objects_of(&client, name).await?
    };
    let view = view(&run, &objects, &[]);
    let unwritable = |error: &dyn std::error::Error| Failure::failed(error.to_string());
    let text = match global.output.unwrap_or(Format::Table) {
        Format::Json => {
            serde_json::to_string_pretty(&view).map_err(|error| unwritable(&error))? + "\n"
        }
        Format::Yaml => serde_saphyr::to_string(&view).map_err(|error| unwritable(&error))?,
        Format::Name => format!("run/{name}\n"),
        Format::Table | Format::Wide | Format::Sarif | Format::Github => {
            table(&view, global.no_headers)
        }
    };
    output::stdout(&text);
    if watch && text.lines().count() >= terminal().0 && std::io::stdout().is_terminal() {
        // What is said first has left the screen.
        output::stderr(&head(&view));
    }
    Ok(())
}

/// Writes how a run stands for programs, if that was asked for.
pub(super) async fn document(
    global: &Global,
    client: &konductor::Client,
    name: &str,
) -> Result<(), Failure> {
    if matches!(global.output, Some(Format::Json | Format::Yaml)) {
        let run: Run = get(client, "run", name).await?;
        let objects = objects_of(client, name).await?;
        output::document(global, &view(&run, &objects, &[]))?;
    }
    Ok(())
}

/// When a run was created, on this machine's clock.
fn begun(run: &Run) -> Instant {
    let now = Instant::now();
    let created = run.creation_timestamp().map(|time| time.0);
    let age = created.and_then(|created| Timestamp::now().duration_since(created).try_into().ok());
    age.and_then(|age| now.checked_sub(age)).unwrap_or(now)
}

/// Lists runs.
pub(crate) async fn runs(global: &Global) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let mut runs: Vec<Run> = list(&client, global).await?;
    runs.sort_by_key(|run| std::cmp::Reverse(run.creation_timestamp().map(|time| time.0)));
    let wide = global.output == Some(Format::Wide);
    let held_up = held_up(&client, &runs).await;
    let mut headers = vec!["NAME", "PIPELINE", "PHASE", "DONE", "FAILED", "AGE"];
    headers.extend(wide.then_some("SLOT"));
    headers.push("WHY");
    output::objects(
        global,
        "run",
        &runs,
        false,
        ResourceExt::name_any,
        &headers,
        |run| {
            let status = run_status(run).cloned().unwrap_or_default();
            let done = status.succeeded
                + status.failed
                + status.skipped
                + status.unreached
                + status.cancelled;
            let mut row = vec![
                run.name_any(),
                run.spec.pipeline.clone(),
                format!("{:?}", status.phase),
                format!(
                    "{done}/{}",
                    run.spec.jobs.saturating_add(run.spec.finally_jobs)
                ),
                status.failed.to_string(),
                output::age(run.creation_timestamp().map(|time| time.0)),
            ];
            let slot = run.annotations().get(annotation::SLOT).cloned();
            row.extend(wide.then(|| slot.unwrap_or_else(|| "-".to_owned())));
            let held_up = held_up.get(&run.name_any()).cloned();
            row.push(why(run).or(held_up).unwrap_or_default());
            row
        },
    )
}

/// Why a run did not succeed, or will not.
pub(super) fn why(run: &Run) -> Option<String> {
    let conditions = &run_status(run)?.conditions;
    let failing = conditions
        .iter()
        .any(|condition| condition.type_ == FAILING && condition.status == "True");
    match view::run_ended(run) {
        Some(true) => None,
        Some(false) => view::message(conditions, SUCCEEDED),
        None => view::message(conditions, FAILING).filter(|_| failing),
    }
}

/// What holds up the newest of the unfinished runs: one stage of each.
async fn held_up(client: &konductor::Client, runs: &[Run]) -> BTreeMap<String, String> {
    let going = runs.iter().filter(|run| view::run_ended(run).is_none());
    let names = going.take(RUNS_LOOKED_AT).map(ResourceExt::name_any);
    let looked = futures::future::join_all(names.map(|name| async move {
        let objects = objects_of(client, &name).await.ok()?;
        Some((name, holds_up(&objects)?))
    }));
    looked.await.into_iter().flatten().collect()
}

/// What holds up a run, in the words of `status` and `why`: a stage whose pods can't start; otherwise one that waits for what
/// does not exist, or until somebody has corrected it.
fn holds_up(objects: &RunObjects) -> Option<String> {
    let jobs = objects.jobs().iter();
    let items = jobs.map(|job| (view::title(job), view::item(job, objects)));
    let items: Vec<_> = items.filter(|(_, item)| !item.why.is_empty()).collect();
    let pending = items.iter().find_map(|(title, Item { state, why, .. })| {
        matches!(state, State::Pending).then(|| format!("stage {title} is pending: {why}"))
    });
    let waits = |(title, Item { waits, why, .. }): &(String, Item)| match waits.as_ref()? {
        Waits::Correction(_) => Some(format!("stage {title} can't start: {why}")),
        waits if waits_for_missing(waits, objects) => Some(format!("stage {title} {why}")),
        _ => None,
    };
    pending.or_else(|| items.iter().find_map(waits))
}

fn table(view: &View, no_headers: bool) -> String {
    let mut rows = Vec::new();
    for stage in &view.stages {
        rows.push(row(stage));
        for item in &stage.items {
            let is_named = item
                .indexes
                .as_ref()
                .is_some_and(|all| !all.names.is_empty());
            let is_short = is_named || item.listed.len() <= INDEXES_SHOWN;
            let listed = item
                .listed
                .iter()
                .filter(|standing| is_short || has_news(standing));
            rows.extend(listed.map(listed_row));
        }
        if stage.items.len() > 1 {
            for item in &stage.items {
                rows.push(vec![
                    format!(
                        "  [{}]",
                        shown_item(item.item.as_deref().unwrap_or(&item.job))
                    ),
                    format!("{} {}", item.state.mark(), item.state.word()),
                    String::new(),
                    output::duration(item.duration(Timestamp::now())),
                    output::age(item.since),
                    item.why.clone(),
                ]);
            }
        }
    }
    let headers = ["STAGE", "STATE", "ITEMS", "DURATION", "SINCE", "WHY"];
    let table = output::fitted(&headers, &rows, no_headers);
    format!("{}\n\n{table}", output::paragraph(&head(view)))
}

/// How a run stands, in a line.
fn head(view: &View) -> String {
    let View {
        run,
        pipeline,
        phase,
        message,
        ..
    } = view;
    let head = format!("run/{run} of pipeline {pipeline}: {phase}");
    match message.is_empty() {
        true => head,
        false => format!("{head} ({message})"),
    }
}

fn row(stage: &Stage) -> Vec<String> {
    let state = stage.state();
    let first = stage.items.iter().find(|item| item.state == state);
    let is_single = stage.items.len() == 1;
    vec![
        stage.name.clone(),
        format!("{} {}", state.mark(), state.word()),
        match stage.items.as_slice() {
            [item] if !item.listed.is_empty() => {
                let ended = item.listed.iter().filter(|item| item.state.has_ended());
                format!("{}/{}", ended.count(), item.listed.len())
            }
            [_] => String::new(),
            items => format!("{}/{}", stage.ended(), items.len()),
        },
        output::duration(stage.duration(Timestamp::now())),
        output::age(stage.since()),
        first
            .filter(|_| is_single)
            .map(|item| item.why.clone())
            .unwrap_or_default(),
    ]
}

/// Whether an item of a long range has a row: `ITEMS` counts the others.
fn has_news(item: &ItemStanding) -> bool {
    matches!(item.state, State::Failed | State::Running | State::Pending)
}

/// An item of an Indexed Job. Its Job has the times.
fn listed_row(item: &ItemStanding) -> Vec<String> {
    vec![
        format!("  [{}]", item.name),
        format!("{} {}", item.state.mark(), item.state.word()),
        String::new(),
        output::duration(None),
        output::age(None),
        item.why.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use konductor_api::{Gate, Participant};
    use konductor_operator::Listed;
    use serde_json::{Value, json};

    use super::*;

    /// A Job of the run `r` that waits, and is suspended or has been started.
    fn job(stage: &str, annotations: Value, suspend: bool) -> Participant {
        let job = json!({
            "metadata": {
                "name": format!("r-{stage}"), "namespace": "default", "uid": format!("uid-{stage}"),
                "labels": {"konductor.io/run": "r", "konductor.io/stage": stage},
                "annotations": annotations,
            },
            "spec": {"suspend": suspend, "template": {}},
        });
        serde_json::from_value(job).expect("a Job")
    }

    #[test]
    fn a_run_is_held_up_by_what_is_missing_and_first_by_pods_that_cannot_start() {
        let gated = || job("load", json!({"konductor.io/gate": "r-load"}), true);
        let holds = || job("train", json!({"konductor.io/hold": "lease/other"}), true);
        let wrong = || job("send", json!({"konductor.io/hold": "batch"}), true);
        let started = || job("fetch", json!({"konductor.io/phase": "Running"}), false);
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "default", "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "Job", "name": "r-fetch", "uid": "uid-fetch",
                "controller": true,
            }]},
            "status": {"phase": "Pending", "containerStatuses": [{
                "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ImagePullBackOff"}},
            }]},
        }))
        .expect("a Pod");
        let gate: Gate = serde_json::from_value(json!({
            "metadata": {"name": "r-load", "namespace": "default"},
            "spec": {"mode": "All", "conditions": []},
        }))
        .expect("a Gate");
        let missing = "stage load waits for gate/r-load, which does not exist; apply the pipeline \
                       again with `--run r`";
        let table = [
            (vec![gated()], vec![], vec![], Some(missing)),
            (vec![gated()], vec![gate], vec![], None),
            (
                vec![holds()],
                vec![],
                vec![],
                Some("stage train waits for lease/other, which does not exist"),
            ),
            (
                vec![wrong()],
                vec![],
                vec![],
                Some("stage send can't start: konductor.io/hold: \"batch\" is not a hold"),
            ),
            (
                vec![gated(), started()],
                vec![],
                vec![pod],
                Some("stage fetch is pending: "),
            ),
            (vec![], vec![], vec![], None),
        ];
        for (jobs, gates, pods, expected) in table {
            let objects = RunObjects::from(Listed {
                jobs,
                gates,
                pods,
                ..Listed::default()
            });
            let said = holds_up(&objects);
            let is_so = match (&said, expected) {
                (Some(said), Some(expected)) => said.starts_with(expected),
                (said, expected) => said.is_none() && expected.is_none(),
            };
            assert!(is_so, "{said:?}, not {expected:?}");
        }
    }

    #[test]
    fn items_of_a_list_that_a_stage_wrote_have_rows_of_their_own() {
        let listed = |name: &str, state, why: &str| ItemStanding {
            name: name.to_owned(),
            state,
            why: why.to_owned(),
        };
        let item = Item {
            job: "r-count".to_owned(),
            item: None,
            indexes: None,
            listed: vec![
                listed("eu", State::Succeeded, ""),
                listed("us", State::Failed, "exit code 2"),
                listed("ap", State::Waiting, "waits for its turn"),
            ],
            state: State::Running,
            started: None,
            since: None,
            why: String::new(),
            waits: None,
            holders: Vec::new(),
        };
        let view = View {
            run: "r".to_owned(),
            pipeline: "p".to_owned(),
            phase: "Running".to_owned(),
            message: String::new(),
            stages: vec![Stage {
                name: "count".to_owned(),
                items: vec![item],
                quorum: None,
            }],
        };
        let table = table(&view, true);
        let rows: Vec<Vec<&str>> = table
            .lines()
            .skip(2)
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows.iter().map(|row| row.join(" ")).collect::<Vec<_>>(),
            [
                "count ● running 2/3 - -",
                "[eu] ✓ succeeded - -",
                "[us] ✗ failed - - exit code 2",
                "[ap] ○ waiting - - waits for its turn",
            ]
        );
    }

    #[test]
    fn items_of_a_range_have_rows_too_and_of_a_long_one_those_with_news() {
        for (completions, expected) in [
            (
                3,
                "d ● running 2/3 - - [0] ✓ succeeded - - [1] ✗ failed - - [2] ○ waiting - - waits for its turn",
            ),
            (200, "d ● running 2/200 - - [1] ✗ failed - -"),
        ] {
            let mut job = job("d", json!({"konductor.io/phase": "Running"}), false);
            job.edit(|job| {
                let spec = job.spec.get_or_insert_default();
                spec.completion_mode = Some("Indexed".to_owned());
                spec.completions = Some(completions);
                let status = job.status.get_or_insert_default();
                status.completed_indexes = Some("0".to_owned());
                status.failed_indexes = Some("1".to_owned());
                status.ready = Some(1);
            });
            let objects = RunObjects::from(Listed {
                jobs: vec![job],
                ..Listed::default()
            });
            let view = View {
                run: "r".to_owned(),
                pipeline: "p".to_owned(),
                phase: "Running".to_owned(),
                message: String::new(),
                stages: vec![Stage {
                    name: "d".to_owned(),
                    items: vec![view::item(&objects.jobs()[0], &objects)],
                    quorum: None,
                }],
            };
            let table = table(&view, true);
            let words: Vec<&str> = table
                .lines()
                .skip(2)
                .flat_map(str::split_whitespace)
                .collect();
            assert_eq!(words.join(" "), expected);
        }
    }
}
