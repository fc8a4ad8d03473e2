//! Timelines of made-up runs, as people and programs see them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use konductor_api::{Participant, Run};
use konductor_operator::timeline::{Timeline, timeline};
use konductor_operator::{Listed, RunObjects};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::output::documented::{documented, keys};
use crate::output::width::width;

fn read<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).expect("an object")
}

fn at(second: i64) -> Timestamp {
    let begin: Timestamp = "2026-01-31T02:00:05Z".parse().expect("a time");
    begin + SignedDuration::from_secs(second)
}

fn time(second: i64) -> String {
    at(second).to_string()
}

/// The objects of a run.
struct Made {
    run: &'static str,
    jobs: Vec<Value>,
    gates: Vec<Value>,
    barriers: Vec<Value>,
    pods: Vec<Value>,
    ends: BTreeMap<String, i64>,
}

/// A stage: what it waits for, and how long it did what.
#[derive(Clone, Copy, Default)]
struct Stage<'a> {
    name: &'a str,
    item: Option<&'a str>,
    after: &'a [&'a str],
    queued: Option<(&'a str, i64)>,
    pending: i64,
    /// How long each of its pods ran; all but the last failed, and the next came this much later.
    ran: &'a [i64],
    failed: bool,
    backoff: i64,
    finally: bool,
    approval: Option<(&'a str, i64)>,
}

impl Made {
    fn new(run: &'static str) -> Self {
        Self {
            run,
            jobs: Vec::new(),
            gates: Vec::new(),
            barriers: Vec::new(),
            pods: Vec::new(),
            ends: BTreeMap::new(),
        }
    }

    fn metadata(&self, name: &str, stage: &Stage<'_>, created: i64) -> Value {
        let role = if stage.finally { "finally" } else { "main" };
        json!({"name": name, "namespace": "default", "uid": format!("uid-{name}"),
               "creationTimestamp": time(created), "labels": {
            "konductor.io/run": self.run, "konductor.io/stage": stage.name, "konductor.io/role": role,
        }})
    }

    fn end(&self, stage: &str) -> i64 {
        let own = self
            .ends
            .iter()
            .filter(|(job, _)| job.as_str() == stage || job.starts_with(&format!("{stage}-")));
        own.map(|(_, end)| *end).max().expect("a stage")
    }

    /// Adds a stage that begins when what it waits for has ended.
    fn add(&mut self, stage: Stage<'_>) {
        let title = match stage.item {
            Some(item) => format!("{}-{}", stage.name, item.len()),
            None => stage.name.to_owned(),
        };
        let name = format!("{}-{title}", self.run);
        let mut annotations = json!({"konductor.io/phase": "Running"});
        if let Some(item) = stage.item {
            annotations["konductor.io/item"] = item.into();
        }
        let mut now = match stage.finally {
            true => self.ends.values().copied().max().unwrap_or(0) + 1,
            false => stage
                .after
                .iter()
                .map(|before| self.end(before))
                .max()
                .map_or(0, |end| end + 1),
        };
        let mut conditions: Vec<Value> = stage
            .after
            .iter()
            .map(|before| {
                json!({
                    "type": "Job", "state": "Complete", "count": 1, "selector": {"matchLabels": {
                        "konductor.io/run": self.run, "konductor.io/stage": before,
                    }},
                })
            })
            .collect();
        if stage.finally {
            conditions = vec![json!({"type": "Run", "name": self.run, "state": "Settled"})];
        }
        if let Some((approval, seconds)) = stage.approval {
            let barrier = format!("{}-{approval}", self.run);
            let mut metadata = self.metadata(&barrier, &stage, 0);
            metadata["labels"] = json!({"konductor.io/run": self.run});
            let started = now;
            now += seconds;
            self.barriers.push(json!({
                "metadata": metadata, "spec": {"expected": 1, "arrivals": "Verified"},
                "status": {"phase": "Open", "startedAt": time(started), "openedAt": time(now),
                           "finishedAt": time(now)},
            }));
            conditions.push(json!({"type": "Barrier", "name": barrier, "state": "Open"}));
        }
        if !conditions.is_empty() {
            annotations["konductor.io/gate"] = name.as_str().into();
            let statuses: Vec<Value> = conditions
                .iter()
                .map(|_| json!({"target": "", "verdict": "Met"}))
                .collect();
            self.gates.push(json!({
                "metadata": self.metadata(&name, &stage, 0),
                "spec": {"mode": "All", "conditions": conditions},
                "status": {"phase": "Open", "conditionStatuses": statuses,
                           "openedAt": time(now), "finishedAt": time(now)},
            }));
        }
        if let Some((ledger, seconds)) = stage.queued {
            now += seconds;
            annotations["konductor.io/hold"] = ledger.into();
            annotations["konductor.io/held"] = ledger.into();
            annotations["konductor.io/times"] = format!("{ledger} {}", time(now)).into();
        }
        let start = now;
        for (index, ran) in stage.ran.iter().enumerate() {
            let is_last = index + 1 == stage.ran.len();
            let (created, begun) = (now, now + stage.pending);
            now = begun + ran;
            let failed = !is_last || stage.failed;
            let pod = format!("{name}-{index}");
            let mut metadata = self.metadata(&pod, &stage, created);
            metadata["ownerReferences"] = json!([{
                "apiVersion": "batch/v1", "kind": "Job", "controller": true, "name": name,
                "uid": format!("uid-{name}"),
            }]);
            let message = if failed { "CUDA out of memory" } else { "" };
            self.pods.push(json!({"metadata": metadata, "status": {
                "phase": if failed { "Failed" } else { "Succeeded" },
                "containerStatuses": [{
                    "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {
                        "exitCode": i32::from(failed), "message": message,
                        "startedAt": time(begun), "finishedAt": time(now),
                    }},
                }],
            }}));
            if !is_last {
                now += stage.backoff;
            }
        }
        let how = if stage.failed { "Failed" } else { "Complete" };
        let mut metadata = self.metadata(&name, &stage, 0);
        metadata["annotations"] = annotations;
        self.jobs.push(json!({
            "metadata": metadata, "spec": {"suspend": false, "backoffLimit": 3, "template": {}},
            "status": {"startTime": time(start), "failed": stage.ran.len() - usize::from(!stage.failed),
                       "conditions": [{"type": how, "status": "True", "lastTransitionTime": time(now)}]},
        }));
        self.ends.insert(title, now);
    }

    fn timeline(self, pipeline: &str, phase: &str) -> Timeline {
        fn all<T: DeserializeOwned>(objects: Vec<Value>) -> Vec<T> {
            objects.into_iter().map(read).collect()
        }
        let end = self.ends.values().copied().max().unwrap_or(0) + 2;
        let run: Run = read(json!({
            "metadata": {"name": self.run, "namespace": "default", "uid": "uid-run",
                         "creationTimestamp": time(0)},
            "spec": {"pipeline": pipeline, "jobs": self.jobs.len(), "attempt": 1},
            "status": {"phase": phase, "attempt": 1, "startedAt": time(0), "finishedAt": time(end)},
        }));
        let objects = RunObjects::from(Listed {
            run: Some(run.clone()),
            jobs: all::<Participant>(self.jobs),
            gates: all(self.gates),
            barriers: all(self.barriers),
            pods: all(self.pods),
            ..Listed::default()
        });
        timeline(&run, &objects, at(100_000))
    }
}

/// The run that `docs/seeing.md` shows.
fn nightly() -> Timeline {
    let mut made = Made::new("nightly");
    let stage = |name, after, ran| Stage {
        name,
        after,
        ran,
        pending: 4,
        ..Stage::default()
    };
    for (item, ran) in [("eu", &[95][..]), ("apac", &[130][..])] {
        made.add(Stage {
            item: Some(item),
            ..stage("extract", &[], ran)
        });
    }
    made.add(stage("rates", &[], &[20]));
    made.add(stage("clean", &["extract", "rates"], &[60]));
    made.add(Stage {
        queued: Some(("semaphore/sales-gpu", 310)),
        backoff: 40,
        ..stage("train", &["clean"], &[45, 160])
    });
    made.add(Stage {
        pending: 2,
        ..stage("report", &["clean"], &[80])
    });
    made.add(Stage {
        approval: Some(("sign-off", 140)),
        ..stage("publish", &["train", "report"], &[15])
    });
    made.add(Stage {
        finally: true,
        pending: 2,
        ..stage("notify", &[], &[3])
    });
    made.timeline("sales", "Succeeded")
}

fn three() -> Timeline {
    let mut made = Made::new("hello");
    for (name, after) in [
        ("build", &[][..]),
        ("test", &["build"][..]),
        ("ship", &["test"][..]),
    ] {
        made.add(Stage {
            name,
            after,
            pending: 1,
            ran: &[9],
            ..Stage::default()
        });
    }
    made.timeline("hello", "Succeeded")
}

/// Layers of stages; each waits for some of the layer before, some queue, some fail once.
fn layers(stages: usize, wide: usize) -> Timeline {
    let mut made = Made::new("large");
    let names: Vec<String> = (0..stages).map(|index| format!("step-{index}")).collect();
    for (index, name) in names.iter().enumerate() {
        let first = (index / wide).checked_sub(1).map(|layer| layer * wide);
        let before = first.map(|first| {
            let predecessor = first + (index * 7) % wide;
            let other = first + (index * 3 + 1) % wide;
            vec![names[predecessor].as_str(), names[other].as_str()]
        });
        let pseudo = |modulus: usize| i64::try_from((index * 2_654_435_761) % modulus).unwrap_or(0);
        let ran = [5 + pseudo(61)];
        let twice = [4 + pseudo(13), 5 + pseudo(61)];
        made.add(Stage {
            name,
            after: &before.unwrap_or_default(),
            queued: (index % 4 == 1).then(|| ("semaphore/db", pseudo(37))),
            pending: pseudo(7),
            ran: if index % 9 == 4 { &twice[..] } else { &ran[..] },
            backoff: 10,
            failed: index % 97 == 96,
            ..Stage::default()
        });
    }
    made.timeline("large", "Failed")
}

fn expected(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/timeline")
        .join(name)
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name)
}

#[test]
fn chart_fits_terminals_of_80_and_of_200_columns() {
    let runs = [
        ("three", three()),
        ("nightly", nightly()),
        ("fifty", layers(50, 8)),
        ("thousand", layers(1000, 40)),
    ];
    for (name, timeline) in &runs {
        for columns in [80, 200] {
            let chart = text(timeline, columns, Some(ROWS_MAX));
            for line in chart.lines() {
                assert!(width(line) <= columns, "{name}: {line}");
            }
            crate::bless::compare(&expected(&format!("{name}-{columns}.txt")), &chart);
        }
    }
}

#[test]
fn of_a_thousand_stages_those_that_say_most_are_shown_and_the_others_with_all() {
    let timeline = layers(1000, 40);
    let chart = text(&timeline, 80, Some(ROWS_MAX));
    assert!(chart.contains("\n900 rows are left out; --all shows everything\n"));
    let critical: Vec<String> = timeline
        .rows
        .iter()
        .filter(|row| row.critical)
        .map(|row| row.title())
        .collect();
    assert!(critical.len() > 20);
    for title in critical {
        assert!(chart.contains(&format!(" {title} ")), "{title}");
    }
    for row in timeline
        .rows
        .iter()
        .filter(|row| row.state.word() == "failed")
    {
        assert!(
            chart.contains(&format!("✗ {} ", row.title())),
            "{}",
            row.title()
        );
    }
    let all = text(&timeline, 80, None);
    assert!(all.lines().count() > 1000 && !all.contains("left out"));
    let (some, all) = (svg(&timeline, Some(ROWS_MAX)), svg(&timeline, None));
    assert!(some.contains("900 rows are left out; --all shows everything"));
    assert!(all.len() > 5 * some.len());
}

/// With more items than there is room for, a stage has one row.
#[test]
fn items_are_folded_where_there_is_no_room() {
    let mut made = Made::new("wide");
    let items: Vec<String> = (1..=30).map(|length| "x".repeat(length)).collect();
    for (index, item) in items.iter().enumerate() {
        made.add(Stage {
            name: "load",
            item: Some(item),
            ran: &[[5, 9, 30][index % 3]],
            failed: index == 7,
            ..Stage::default()
        });
    }
    made.add(Stage {
        name: "report",
        after: &["load"],
        ran: &[9],
        ..Stage::default()
    });
    let timeline = made.timeline("wide", "Failed");
    let chart = text(&timeline, 80, Some(10));
    assert!(chart.contains("\n✗ load [30] * "), "{chart}");
    assert!(chart.contains("\n1 stage has its items in one row; --all shows everything\n"));
    assert_eq!(
        text(&timeline, 80, None).matches("load[").count(),
        31,
        "{chart}"
    );
}

#[test]
fn pictures_are_as_they_were() {
    crate::bless::compare(&docs("timeline.svg"), &svg(&nightly(), Some(ROWS_MAX)));
    for (name, timeline) in [("three", three()), ("fifty", layers(50, 8))] {
        let picture = svg(&timeline, Some(ROWS_MAX));
        crate::bless::compare(&expected(&format!("{name}.svg")), &picture);
    }
}

/// Names are whatever somebody wrote.
#[test]
fn no_name_is_markup_and_no_picture_has_a_script() {
    let mut made = Made::new("evil");
    for item in [
        "<script>alert(1)</script>",
        "\"' onload=x",
        "a&b\u{1b}[31m\u{0}",
        "]]>日本語",
    ] {
        made.add(Stage {
            name: "load",
            item: Some(item),
            ran: &[9],
            ..Stage::default()
        });
    }
    let mut timeline = made.timeline("p", "Succeeded");
    timeline.rows[0].reason = "<img src=x onerror=alert(1)>".to_owned();
    timeline.rows[0].spans[0].reason = "<img src=x onerror=alert(1)>".to_owned();
    timeline.rows[1].note = Some("</title><script/>".to_owned());
    timeline.run = "</svg><script>".to_owned();
    timeline.summary = "<b>, & \u{1}".to_owned();
    let picture = svg(&timeline, None);
    let allowed = [
        "svg", "title", "style", "defs", "pattern", "line", "circle", "rect", "text", "g", "path",
    ];
    let mut open = Vec::new();
    for part in picture.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("the end of a tag");
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/', '\n'])
            .next()
            .unwrap_or_default();
        assert!(allowed.contains(&name), "<{tag}>");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "<{tag}>");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(
        picture.chars().all(|c| !c.is_control() || c == '\n'),
        "XML has no such character"
    );
    assert!(!picture.contains("script>"), "{picture}");
    assert!(picture.contains("&lt;script&gt;alert(1)"));
}

/// What the documentation of the Trace Event Format says about the events that we write.
fn validate(trace: &Value) {
    let events = trace["traceEvents"].as_array().expect("events");
    assert!(["ms", "ns"].contains(&trace["displayTimeUnit"].as_str().expect("a unit")));
    let (mut tracks, mut last): (BTreeSet<i64>, BTreeMap<i64, i64>) = Default::default();
    for event in events {
        let text = |key: &str| {
            event[key]
                .as_str()
                .unwrap_or_else(|| panic!("{key} in {event}"))
        };
        let number = |key: &str| {
            event[key]
                .as_i64()
                .unwrap_or_else(|| panic!("{key} in {event}"))
        };
        assert!(event["args"].is_object(), "{event}");
        let track = number("tid");
        assert_eq!(number("pid"), 1);
        match text("ph") {
            "M" => match text("name") {
                "process_name" => assert!(event["args"]["name"].is_string()),
                "thread_name" => {
                    assert!(event["args"]["name"].is_string());
                    assert!(tracks.insert(track), "{track} has two names");
                }
                "thread_sort_index" => assert!(event["args"]["sort_index"].is_i64()),
                other => panic!("no metadata: {other}"),
            },
            "X" => {
                assert!(!text("name").is_empty() && !text("cat").is_empty());
                assert!(tracks.contains(&track), "{track} has no name");
                let (begin, length) = (number("ts"), number("dur"));
                assert!(length >= 0, "{event}");
                // Complete events of one track are nested, or follow each other.
                let before = last.insert(track, begin + length);
                assert!(before.is_none_or(|before| before <= begin), "{event}");
            }
            other => panic!("no phase of ours: {other}"),
        }
    }
}

#[test]
fn trace_is_what_perfetto_reads() {
    for timeline in [three(), nightly(), layers(1000, 40)] {
        let trace: Value = serde_json::from_str(&perfetto(&timeline)).expect("JSON");
        validate(&trace);
        let events = trace["traceEvents"].as_array().expect("events");
        let names = events.iter().filter(|event| event["name"] == "thread_name");
        assert_eq!(
            names.count(),
            timeline.rows.len() + 1,
            "a track for each row, and the path's"
        );
        let begin = timeline.start.as_microsecond();
        let first = events.iter().filter_map(|event| event["ts"].as_i64()).min();
        assert_eq!(first, Some(begin), "in microseconds");
    }
    let trace: Value = serde_json::from_str(&perfetto(&nightly())).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let failed = events
        .iter()
        .find(|event| event["args"]["outcome"] == "failed");
    let args = &failed.expect("a pod that failed")["args"];
    assert_eq!(args["reason"], "exit code 1: CUDA out of memory");
    assert_eq!(args["stage"], "train");
}

#[test]
fn each_field_of_the_document_is_in_the_docs_and_each_listed_one_is_there() {
    let mut timeline = nightly();
    timeline.paused_for = Some("5m".to_owned());
    timeline.rows[0].note = Some("its pods are gone".to_owned());
    let document = serde_json::to_value(&timeline).expect("JSON");
    assert_eq!(keys(&document), documented("A timeline"));
}

#[test]
fn the_chart_of_the_docs_is_what_koncli_prints() {
    let file = docs("seeing.md");
    let page = std::fs::read_to_string(&file).expect("docs/seeing.md");
    let [begin, end] = ["<!-- timeline -->\n", "<!-- end -->\n"];
    let (head, rest) = page.split_once(begin).expect("the begin of the chart");
    let (_, tail) = rest.split_once(end).expect("its end");
    let chart = text(&nightly(), 100, Some(ROWS_MAX));
    crate::bless::compare(
        &file,
        &format!("{head}{begin}```text\n{chart}```\n{end}{tail}"),
    );
}

#[test]
fn ticks_are_times_that_people_read() {
    let table = [
        (0, 4, vec!["0"]),
        (9, 5, vec!["0", "2s", "4s", "6s", "8s"]),
        (751, 5, vec!["0", "5m", "10m"]),
        (5_400, 4, vec!["0", "30m", "1h", "1h30m"]),
        (200_000, 3, vec!["0", "1d", "2d"]),
    ];
    for (seconds, most, expected) in table {
        let labels: Vec<String> = ticks(seconds, most).into_iter().map(tick).collect();
        assert_eq!(labels, expected, "{seconds}");
    }
}
