use konductor_core::standing::State;

use super::*;
use crate::model::{
    Approval, Barrier, Gate, Lease, Party, Primitives, Run, RunRow, Runs, Schedule, Semaphore,
    SpanRow, Stage, StageRow,
};
use crate::report::{Report, report};
use crate::{Action, Problem, RunFilter, StageFilter};

/// What nobody who names things may bring into a page.
const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><b style=x>&";

fn text() -> String {
    HOSTILE.to_owned()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn row(name: &str, state: State) -> StageRow {
    StageRow {
        name: name.to_owned(),
        state,
        ended: 1,
        items: 3,
        took: Some(Took::Since(at(5))),
        since: Some(at(5)),
        why: text(),
    }
}

fn run_of(stages: Vec<StageRow>) -> Run {
    Run {
        name: text(),
        pipeline: text(),
        badge: State::Failed.into(),
        message: text(),
        attempt: 2,
        began: at(0),
        took: Took::For(SignedDuration::from_secs(600)),
        summary: text(),
        graph: Some(Picture("<svg class=\"of-a-renderer\"></svg>".to_owned())),
        timeline: Picture::default(),
        stages,
        approvals: vec![Approval {
            name: text(),
            barrier: text(),
            state: State::Waiting,
            given: 1,
            needed: 2,
            message: text(),
            may_answer: true,
        }],
        outputs: vec![output()],
        yaml: text(),
        actions: ["cancel", "pause", "resume", "retry"]
            .map(|word| Action::parse(word, HOSTILE).unwrap())
            .to_vec(),
    }
}

fn output() -> Output {
    Output {
        stage: text(),
        name: text(),
        value: text(),
    }
}

fn run_row(pipeline: &str, phase: &str, created: i64) -> RunRow {
    RunRow {
        name: format!("{pipeline}-{created}"),
        pipeline: pipeline.to_owned(),
        badge: Badge::called(State::Failed, phase),
        done: 1,
        jobs: 3,
        failed: 1,
        created: Some(at(created)),
        took: Some(Took::For(SignedDuration::from_secs(60))),
        why: text(),
    }
}

fn party() -> Party {
    Party {
        name: text(),
        holder: text(),
        link: Some(Address::stage(HOSTILE, HOSTILE).link()),
        permits: 2,
        since: Some(at(1)),
    }
}

/// A page of each kind, with hostile texts wherever there is a text.
fn pages() -> Vec<(Page, Address)> {
    let rows = vec![run_row(HOSTILE, HOSTILE, 1)];
    let stage = Stage {
        run: text(),
        row: row(HOSTILE, State::Running),
        why: vec![(0, text()), (99, text())],
        items: vec![row(HOSTILE, State::Failed), row(HOSTILE, State::Waiting)],
        spans: vec![SpanRow {
            what: text(),
            start: at(1),
            took: Took::Since(at(1)),
            reason: text(),
        }],
        pods: vec![text()],
        outputs: vec![output()],
        yaml: vec![(text(), text())],
    };
    let badge = || Badge::called(State::Failed, HOSTILE);
    let primitives = Primitives {
        semaphores: vec![Semaphore {
            name: text(),
            permits: 2,
            in_use: 2,
            holders: vec![party()],
            queue: vec![party()],
        }],
        leases: vec![Lease {
            name: text(),
            ttl: text(),
            holder: Some(party()),
            expires: Some(at(9)),
            token: Some(7),
            queue: vec![party()],
        }],
        barriers: vec![Barrier {
            name: text(),
            state: State::Waiting,
            phase: text(),
            arrived: 1,
            needed: 2,
            failed: 1,
            run: Some(text()),
            may_answer: true,
            message: text(),
        }],
        gates: vec![Gate {
            name: text(),
            state: State::Waiting,
            phase: text(),
            run: Some(text()),
            conditions: vec![(badge(), text())],
            message: text(),
        }],
    };
    let schedule = Schedule {
        name: text(),
        cron: text(),
        zone: text(),
        is_suspended: true,
        next: vec![text()],
        last: vec![(text(), text(), badge())],
    };
    let filter = RunFilter {
        pipeline: Some(text()),
        phase: Some(text()),
        ..RunFilter::default()
    };
    let stages = StageFilter {
        state: Some(text()),
        name: Some(text()),
        page: 0,
    };
    let run = run_of(vec![row(HOSTILE, State::Failed)]);
    vec![
        (Page::Runs(Runs { rows }), Address::Runs(filter)),
        (
            Page::Run(Box::new(run.clone())),
            Address::Run(text(), stages),
        ),
        (Page::Run(Box::new(run)), Address::run(HOSTILE)),
        (
            Page::Stage(Box::new(stage)),
            Address::stage(HOSTILE, HOSTILE),
        ),
        (Page::Primitives(primitives), Address::Primitives),
        (Page::Schedules(vec![schedule]), Address::Schedules),
    ]
}

fn html(page: &Page, address: &Address) -> String {
    let logs = [Log {
        title: text(),
        text: text(),
    }];
    let context = Context {
        address,
        now: at(60),
        form: "token",
    };
    let main = joined(&shown(page, &logs, context));
    let place = Place {
        cluster: text(),
        namespace: text(),
    };
    let notice = Notice(text());
    document(&title(page), &place, Some(address), Some(&notice), &main)
}

/// Every tag of a document, without what is between them.
fn tags(html: &str) -> Vec<&str> {
    let parts = html.split('<').skip(1);
    parts
        .filter_map(|part| Some(part.split_once('>')?.0))
        .collect()
}

#[test]
fn no_text_of_the_cluster_is_markup_on_any_page() {
    for (page, address) in pages() {
        let html = html(&page, &address);
        assert!(html.contains("&lt;script&gt;alert(1)"), "{address:?}");
        for tag in tags(&html) {
            let name = tag.split([' ', '\n']).next().unwrap_or_default();
            assert!(name != "img" && name != "b" && name != "style", "<{tag}>");
            if name == "script" {
                assert_eq!(tag, "script src=\"/assets/live.js\" defer");
            }
            // Neither scripts nor styles in attributes: the policy forbids both.
            let outside = tag.split('"').step_by(2);
            for attributes in outside {
                assert!(!attributes.contains(" style="), "<{tag}>");
                assert!(!attributes.contains(" on"), "<{tag}>");
            }
        }
    }
    let problem = Problem {
        kind: crate::model::ProblemKind::Refused,
        message: text(),
        help: Some(text()),
    };
    let html = super::problem(&problem).into_string();
    assert!(
        !html.contains("<script") && !html.contains("<img"),
        "{html}"
    );
}

#[test]
fn a_report_is_one_file_without_a_script_and_without_a_form() {
    let html = report(&Report {
        place: Place::default(),
        run: run_of(vec![row(HOSTILE, State::Failed)]),
        logs: vec![Log {
            title: text(),
            text: text(),
        }],
        logs_left_out: 3,
        made: at(60),
        version: "0.1.0".to_owned(),
    });
    for tag in tags(&html) {
        let name = tag.split(' ').next().unwrap_or_default();
        let fetched = ["script", "img", "link", "form", "button", "a", "iframe"];
        assert!(!fetched.contains(&name), "<{tag}>");
    }
    assert!(html.contains("default-src 'none'"), "{html}");
    assert!(!html.contains("url(http") && !html.contains("@import"));
}

#[test]
fn five_thousand_stages_are_shown_a_hundred_at_a_time() {
    let stages = (0..5_000).map(|index| {
        let state = match index % 500 {
            0 => State::Failed,
            _ => State::Succeeded,
        };
        row(&format!("stage-{index}"), state)
    });
    let run = Page::Run(Box::new(run_of(stages.collect())));
    let page = |filter: StageFilter| {
        let address = Address::Run("r".to_owned(), filter);
        html(&run, &address)
    };
    let count = |html: &str| html.matches("id=\"stage-stage-").count();
    let first = page(StageFilter::default());
    assert_eq!(count(&first), 100);
    assert!(first.len() < 200_000, "{}", first.len());
    assert!(first.contains("1–100 of 5000"));
    let last = page(StageFilter {
        page: 49,
        ..StageFilter::default()
    });
    assert!(last.contains("id=\"stage-stage-4999\""));
    // A page behind the last is the last.
    let behind = page(StageFilter {
        page: 4_000,
        ..StageFilter::default()
    });
    assert!(behind.contains("4901–5000 of 5000"));
    let failed = page(StageFilter {
        state: Some("failed".to_owned()),
        ..StageFilter::default()
    });
    assert_eq!(count(&failed), 10);
    let named = page(StageFilter {
        name: Some("stage-499".to_owned()),
        ..StageFilter::default()
    });
    assert_eq!(count(&named), 11);
}

#[test]
fn runs_are_filtered_by_pipeline_state_and_age() {
    let rows = vec![
        run_row("a", "failed", 0),
        run_row("a", "succeeded", -7_200),
        run_row("b", "failed", -90_000),
    ];
    let page = Page::Runs(Runs { rows });
    let filter = RunFilter::default;
    for (filter, expected) in [
        (filter(), vec!["a-0", "a--7200", "b--90000"]),
        (
            RunFilter {
                pipeline: Some("a".into()),
                ..filter()
            },
            vec!["a-0", "a--7200"],
        ),
        (
            RunFilter {
                phase: Some("failed".into()),
                ..filter()
            },
            vec!["a-0", "b--90000"],
        ),
        (
            RunFilter {
                hours: Some(1),
                ..filter()
            },
            vec!["a-0"],
        ),
        (
            RunFilter {
                hours: Some(24),
                pipeline: Some("b".into()),
                ..filter()
            },
            vec![],
        ),
    ] {
        let html = html(&page, &Address::Runs(filter.clone()));
        let ids = html.split("id=\"run-").skip(1);
        let shown: Vec<&str> = ids.filter_map(|id| Some(id.split_once('"')?.0)).collect();
        assert_eq!(shown, expected, "{filter:?}");
    }
}

#[test]
fn a_viewer_without_rights_gets_no_form_that_changes_something() {
    let mut run = run_of(vec![row("a", State::Running)]);
    run.actions.clear();
    run.approvals[0].may_answer = false;
    let page = Page::Run(Box::new(run));
    let shown = html(&page, &Address::run("r"));
    assert!(!shown.contains("method=\"post\""), "{shown}");
}

#[test]
fn only_what_has_changed_has_another_version() {
    let versions = |run: Run, now: i64| -> Vec<(&'static str, String)> {
        let address = Address::run("r");
        let context = Context {
            address: &address,
            now: at(now),
            form: "token",
        };
        let shown = shown(&Page::Run(Box::new(run)), &[], context).into_iter();
        shown.map(|section| (section.id, section.version)).collect()
    };
    let run = run_of(vec![row("a", State::Running)]);
    let before = versions(run.clone(), 10);
    assert_eq!(before, versions(run.clone(), 20), "time alone is no change");
    let mut after = run;
    after.stages[0].state = State::Succeeded;
    let after = versions(after, 20);
    let changed = before.iter().zip(&after).filter(|(old, new)| old != new);
    let changed: Vec<&str> = changed.map(|(old, _)| old.0).collect();
    assert_eq!(changed, ["head", "stages"]);
}

#[test]
fn durations_and_bars_have_no_edge_without_a_meaning() {
    let table = [(-5, "0s"), (119, "119s"), (125, "2m05s"), (7_260, "2h01m")];
    for (seconds, expected) in table {
        assert_eq!(duration(SignedDuration::from_secs(seconds)), expected);
    }
    let empty = progress(0, 0, Tone::Good).into_string();
    assert!(
        empty.contains("width=\"0.0\"") && empty.contains("0/0"),
        "{empty}"
    );
    let over = progress(9, 3, Tone::Good).into_string();
    assert!(over.contains("width=\"100.0\""), "{over}");
}
