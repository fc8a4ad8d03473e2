//! The live view and the lines without one.

use super::*;

fn stage(name: &str, state: State) -> Stage {
    let item = Item {
        job: name.into(),
        item: None,
        indexes: None,
        state,
        started: None,
        since: None,
        why: String::new(),
        waits: None,
        holders: Vec::new(),
        listed: Vec::new(),
    };
    Stage {
        name: name.into(),
        items: vec![item],
        quorum: None,
    }
}

#[test]
fn running_and_failed_stages_are_shown_first_and_in_their_order() {
    let stages = [
        stage("a", State::Succeeded),
        stage("b", State::Running),
        stage("c", State::Waiting),
        stage("d", State::Failed),
    ];
    let names = |room| {
        let shown = worth_showing(&stages, room);
        shown
            .iter()
            .map(|stage| stage.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(2), ["b", "d"]);
    assert_eq!(names(3), ["b", "c", "d"]);
    assert_eq!(names(9), ["a", "b", "c", "d"]);
}

#[test]
fn a_pending_stage_is_not_counted_as_running() {
    let stages = [stage("a", State::Pending), stage("b", State::Running)];
    assert_eq!(tally(&stages), ", 1 running, 1 pending");
}

#[test]
fn each_cause_of_a_pending_job_is_printed_once_and_that_it_runs_then() {
    let progress = Progress {
        started: Instant::now(),
        printed: Mutex::default(),
        live: None,
        logs: LogsTo::Nowhere,
    };
    let state_of = || progress.printed.lock().unwrap()["a"].state;
    let job = |ready: i32| -> Participant {
        let status = serde_json::json!({"ready": ready});
        let job = serde_json::json!({"metadata": {"name": "a"}, "spec": {"template": {}}, "status": status});
        serde_json::from_value(job).unwrap()
    };
    let view = |state, why: &str| {
        let mut stage = stage("a", state);
        stage.items[0].why = why.into();
        View {
            run: "r".into(),
            pipeline: "p".into(),
            phase: "Running".into(),
            message: String::new(),
            stages: vec![stage],
        }
    };
    progress.job(&job(0));
    assert!(progress.view(&view(State::Pending, "")), "nobody says why");
    assert_eq!(state_of(), Some(State::Pending), "it has no pod that runs");
    for why in [
        "ErrImagePull: no",
        "ImagePullBackOff: 10s",
        "ErrImagePull: no",
    ] {
        assert!(progress.view(&view(State::Pending, why)));
        // The Job itself changes, and none of its pods is ready.
        progress.job(&job(0));
        assert_eq!(state_of(), Some(State::Pending));
    }
    assert_eq!(progress.printed.lock().unwrap()["a"].causes.len(), 2);
    assert!(!progress.view(&view(State::Running, "")));
    assert_eq!(state_of(), Some(State::Running));
    progress.job(&job(0));
    assert_eq!(state_of(), Some(State::Running), "its pod has ended");
    assert!(progress.view(&view(State::Pending, "ErrImagePull: other")));
    progress.job(&job(1));
    assert_eq!(state_of(), Some(State::Running), "the Job says it first");
}

#[test]
fn stages_for_which_there_is_no_room_are_counted() {
    let stages = [
        stage("a", State::Succeeded),
        stage("b", State::Waiting),
        stage("c", State::Running),
        stage("d", State::Waiting),
        stage("e", State::Failed),
    ];
    assert_eq!(tally(&stages), ", 1 failed, 1 running, 2 waiting");
}

#[test]
fn a_long_name_does_not_push_the_state_away() {
    let stage = stage("a-stage-with-a-long-name", State::Running);
    let now = Timestamp::UNIX_EPOCH;
    let shown = |columns: usize| {
        let name = shortened(&[&stage.name], columns).concat();
        describe(&stage, &padded(&name, columns), now)
    };
    assert_eq!(shown(10), "● a-sta…name  running");
    assert_eq!(shown(26), "● a-stage-with-a-long-name    running");
}

fn holder(kind: &str, name: &str) -> konductor_api::Holder {
    let holder = serde_json::json!({"kind": kind, "name": name, "uid": "u", "permits": 1});
    serde_json::from_value(holder).expect("a holder")
}

#[test]
fn a_line_says_how_long_a_stage_runs_and_who_has_what_it_waits_for() {
    let mut running = stage("a", State::Running);
    running.items[0].started = Timestamp::from_second(10).ok();
    let now = Timestamp::from_second(13).expect("a time");
    assert_eq!(describe(&running, "a", now), "● a  running  3s");
    let mut queued = stage("b", State::Queued);
    queued.items[0].why = "waits for lease/db".into();
    queued.items[0].holders = vec![holder("Job", "x-a")];
    let line = describe(&queued, "b", now);
    assert_eq!(line, "◔ b  queued  waits for lease/db, held by job/x-a");
    queued.items[0].holders.push(holder("Claim", "y"));
    assert!(describe(&queued, "b", now).ends_with("held by job/x-a and 1 more"));
    running.items.extend(queued.items);
    let line = describe(&running, "a", now);
    assert!(
        line.starts_with("● a  running 0/2  3s  1 queued: waits for lease/db"),
        "{line}"
    );
}

#[test]
fn a_line_is_left_for_how_many_stages_are_not_shown() {
    assert_eq!(
        [room(3, 5), room(5, 5), room(6, 5), room(200, 1)],
        [5, 5, 4, 1]
    );
}

#[test]
fn mark_has_the_colour_of_its_state_and_waiting_lines_are_dim() {
    let line = "● a  running";
    let expected = "\x1b[36m●\x1b[0m a  running";
    assert_eq!(painted(line, State::Running), expected);
    let expected = "\x1b[2m○ b  waiting\x1b[0m";
    assert_eq!(painted("○ b  waiting", State::Waiting), expected);
    assert_eq!(painted("✗", State::Failed), "\x1b[31m✗\x1b[0m");
}

#[test]
fn texts_are_cut_to_the_terminal() {
    assert_eq!(cut("abcdef", 4), "abc…");
    assert_eq!(cut("abcd", 4), "abcd");
}
