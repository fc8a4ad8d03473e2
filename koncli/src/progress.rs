//! The progress of a run: a live view on a terminal, plain lines in a pipe.

use konductor_api::Participant;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use konductor_operator::explain;
use konductor_operator::standing::State;

use crate::output;
use crate::output::echo;
use crate::output::width::{cut, padded, width};
use crate::view::{Item, Stage, View, title};

/// What is left beside a stage's name, however narrow the terminal: its state and how many have ended.
const STATE_WIDTH: usize = 22;

/// How many objects are so many that it takes a while.
const MANY: usize = 200;

/// How far something is that is done object by object: a bar on a terminal, in a pipe now and then a
/// line. What is done at once shows nothing.
#[derive(Debug)]
pub(crate) struct Counter {
    title: String,
    of: usize,
    bar: Option<ProgressBar>,
}

impl Counter {
    /// Of so many objects.
    pub(crate) fn new(title: String, of: usize) -> Self {
        let is_shown = of >= MANY && std::io::stderr().is_terminal();
        let bar = is_shown.then(|| {
            let style = ProgressStyle::with_template("{msg}  {bar:30}  {pos} of {len} objects")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(of as u64)
                .with_style(style)
                .with_message(title.clone())
        });
        Self { title, of, bar }
    }

    /// So many are done.
    pub(crate) fn count(&self, done: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(done as u64),
            None if done < self.of && done.is_multiple_of(MANY) => {
                output::talk(&format!("{}: {done} of {} objects", self.title, self.of));
            }
            None => {}
        }
    }

    /// Prints a line; on a terminal it stays above the bar.
    pub(crate) fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::talk(line)),
            None => output::talk(line),
        }
    }

    /// Takes the bar off the terminal.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows a run until it ends.
pub(crate) struct Progress {
    started: Instant,
    /// What was printed of each Job.
    printed: Mutex<BTreeMap<String, Printed>>,
    live: Option<Live>,
    /// Whether stdout is for something else than logs.
    logs_aside: bool,
}

/// What was printed of a Job.
#[derive(Default)]
struct Printed {
    state: Option<State>,
    /// Why it was pending: causes alternate, and each is printed once.
    causes: BTreeSet<String>,
    /// Which of its attempts it is, after the first.
    attempt: Option<String>,
}

/// A live view of as many lines as fit. They are one text: whoever looks never sees half of a change.
struct Live {
    text: ProgressBar,
    lines: usize,
    /// What was shown last: its times move on while nothing happens.
    last: Mutex<Option<View>>,
    /// While somebody is asked something.
    is_hidden: AtomicBool,
}

impl Progress {
    /// Of a run that began at this time.
    pub(crate) fn since(started: Instant) -> Self {
        let live = std::io::stderr().is_terminal().then(Live::new);
        Self {
            started,
            printed: Mutex::new(BTreeMap::new()),
            live,
            logs_aside: false,
        }
    }

    /// Of a run whose logs go to stderr, because stdout is for something else.
    pub(crate) fn with_logs_aside(self, logs_aside: bool) -> Self {
        Self { logs_aside, ..self }
    }

    /// Shows a line of a Job's log. It is data: on a terminal it goes above the view.
    pub(crate) fn log(&self, title: &str, line: &str) {
        let log = match self.logs_aside {
            true => output::log_aside,
            false => output::log,
        };
        match &self.live {
            None => log(title, line),
            Some(live) => live.text.suspend(|| log(title, line)),
        }
    }

    /// A Job changed. In a pipe, each new state is a line.
    pub(crate) fn job(&self, job: &Participant) {
        let (name, state) = (
            job.metadata.name.clone().unwrap_or_default(),
            State::of(job),
        );
        let mut printed = self
            .printed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let printed = printed.entry(name).or_default();
        let last = printed.state;
        let attempt = explain::attempt(job).filter(|_| state == State::Running);
        if attempt.is_some() && attempt != printed.attempt && self.live.is_none() {
            self.line(state, &title(job), attempt.as_deref().unwrap_or_default());
            printed.attempt = attempt;
            printed.state = Some(state);
            return;
        }
        // A Job does not say whether its pods run.
        if last == Some(State::Pending) && state == State::Running {
            return;
        }
        printed.state = Some(state);
        if last != Some(state) && self.live.is_none() && state != State::Waiting {
            self.line(state, &title(job), "");
        }
    }

    /// In a pipe: which Jobs are pending and why, and which of those run by now.
    fn pending(&self, view: &View) {
        let mut printed = self
            .printed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for stage in &view.stages {
            for item in &stage.items {
                let Some(printed) = printed.get_mut(&item.job) else {
                    continue;
                };
                let title = match &item.item {
                    Some(item) => format!("{}[{item}]", stage.name),
                    None => stage.name.clone(),
                };
                let cause = item.why.split(':').next().unwrap_or_default();
                match (printed.state, item.state) {
                    (Some(State::Running | State::Pending), State::Pending)
                        if !cause.is_empty() && printed.causes.insert(cause.to_owned()) =>
                    {
                        printed.state = Some(State::Pending);
                        self.line(State::Pending, &title, &item.why);
                    }
                    (Some(State::Pending), State::Running) => {
                        printed.state = Some(State::Running);
                        self.line(State::Running, &title, "");
                    }
                    _ => {}
                }
            }
        }
    }

    fn line(&self, state: State, title: &str, why: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let (mark, word) = (state.mark(), state.word());
        let colon = if why.is_empty() { "" } else { ": " };
        output::talk(&format!(
            "{seconds:7.2}s  {mark} {title} {word}{colon}{why}"
        ));
    }

    /// Whether there is a live view.
    pub(crate) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// The run changed. Returns whether something of it is pending.
    pub(crate) fn view(&self, view: &View) -> bool {
        match &self.live {
            Some(live) if live.is_hidden.load(Ordering::Relaxed) => {}
            Some(live) => live.show(view, self.started),
            None => self.pending(view),
        }
        let mut items = view.stages.iter().flat_map(|stage| &stage.items);
        items.any(|item| item.state == State::Pending)
    }

    /// Time has passed, and nothing else.
    pub(crate) fn tick(&self) {
        let Some(live) = &self.live else { return };
        let last = live
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(view) = last
            .as_ref()
            .filter(|_| !live.is_hidden.load(Ordering::Relaxed))
        {
            live.draw(view, self.started);
        }
    }

    /// Takes the live view away until it is shown again.
    pub(crate) fn hide(&self) {
        if let Some(live) = &self.live {
            live.is_hidden.store(true, Ordering::Relaxed);
            live.text.set_message("");
            echo::restore();
        }
    }

    /// Lets the live view come back with the next change.
    pub(crate) fn show(&self) {
        if let Some(live) = &self.live {
            live.is_hidden.store(false, Ordering::Relaxed);
            echo::silence();
        }
    }

    /// Prints a line; on a terminal it goes above the live view.
    pub(crate) fn print(&self, line: &str) {
        match &self.live {
            None => output::talk(line),
            Some(live) => live.text.suspend(|| output::talk(line)),
        }
    }

    /// Takes the live view off the terminal; what is printed next stays.
    pub(crate) fn finish(&self) {
        if let Some(live) = &self.live {
            live.text.finish_and_clear();
            echo::restore();
        }
    }

    pub(crate) fn elapsed(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

impl Live {
    fn new() -> Self {
        let (rows, _) = terminal();
        let target = ProgressDrawTarget::stderr_with_hz(15);
        let style = ProgressStyle::with_template("{msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        // Some of the terminal is left to logs.
        let lines = (rows * 2 / 3).clamp(3, 40);
        let text = ProgressBar::with_draw_target(None, target).with_style(style);
        echo::silence();
        Self {
            text,
            lines,
            last: Mutex::default(),
            is_hidden: AtomicBool::new(false),
        }
    }

    fn show(&self, view: &View, started: Instant) {
        self.draw(view, started);
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *last = Some(view.clone());
    }

    fn draw(&self, view: &View, started: Instant) {
        let ended = view
            .stages
            .iter()
            .filter(|stage| stage.state().has_ended())
            .count();
        let head = format!(
            "{} {}  {:.1}s  {ended}/{} stages{}",
            view.run,
            view.phase.to_lowercase(),
            started.elapsed().as_secs_f64(),
            view.stages.len(),
            tally(&view.stages)
        );
        let room = room(view.stages.len(), self.lines - 1);
        let shown = worth_showing(&view.stages, room);
        // Somebody may have changed it since.
        let (_, columns) = terminal();
        let name_width = shown
            .iter()
            .map(|stage| width(&stage.name))
            .max()
            .unwrap_or(0)
            .min(columns.saturating_sub(STATE_WIDTH));
        let line = |text: &str| cut(&output::clean(text).replace('\n', " "), columns - 1);
        let is_colored = output::color();
        let mut lines = vec![line(&head)];
        let now = Timestamp::now();
        lines.extend(shown.iter().map(|stage| {
            let text = line(&describe(stage, name_width, now));
            if is_colored {
                painted(&text, stage.state())
            } else {
                text
            }
        }));
        let more = view.stages.len() - shown.len();
        if more > 0 {
            lines.push(line(&format!("… {more} more stages")));
        }
        self.text.set_message(lines.join("\n"));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        echo::restore();
    }
}

/// Rows and columns.
pub(crate) fn terminal() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.map_or((24, 80), |size| {
        (usize::from(size.ws_row), usize::from(size.ws_col).max(20))
    })
}

/// How many stages are in each state that there may be no room to show.
fn tally(stages: &[Stage]) -> String {
    let mut counts: BTreeMap<State, usize> = BTreeMap::new();
    for stage in stages {
        *counts.entry(stage.state()).or_default() += 1;
    }
    let worth = |state: State| !state.has_ended() || state == State::Failed;
    let shown = counts.into_iter().filter(|(state, _)| worth(*state));
    shown
        .map(|(state, count)| format!(", {count} {}", state.word()))
        .collect()
}

/// As many stages as there is room for, in their order: those that say most are kept.
fn worth_showing(stages: &[Stage], room: usize) -> Vec<&Stage> {
    let mut ranked: Vec<(usize, &Stage)> = stages.iter().enumerate().collect();
    ranked.sort_by_key(|(index, stage)| (stage.state(), *index));
    ranked.truncate(room);
    ranked.sort_by_key(|(index, _)| *index);
    ranked.into_iter().map(|(_, stage)| stage).collect()
}

/// How many stages are shown in so many lines: a line says how many are not.
fn room(stages: usize, lines: usize) -> usize {
    match stages > lines {
        true => lines.saturating_sub(1).max(1),
        false => lines,
    }
}

/// What an item waits for, and who has it.
fn waits(item: &Item) -> String {
    match item.holders.as_slice() {
        [] => item.why.clone(),
        [one] => format!("{}, held by {one}", item.why),
        [one, rest @ ..] => format!("{}, held by {one} and {} more", item.why, rest.len()),
    }
}

fn describe(stage: &Stage, columns: usize, now: Timestamp) -> String {
    let state = stage.state();
    let count = match stage.items.len() {
        1 => String::new(),
        all => format!(" {}/{all}", stage.ended()),
    };
    let in_state = |wanted| stage.items.iter().filter(move |item| item.state == wanted);
    let queued = in_state(State::Queued).count();
    let said = in_state(state).find(|item| !item.why.is_empty());
    let why = match (said, in_state(State::Queued).next()) {
        (Some(item), _) => format!("  {}", waits(item)),
        (None, Some(item)) => format!("  {queued} queued: {}", waits(item)),
        (None, None) => String::new(),
    };
    let duration = match stage.duration(now) {
        Some(length) => format!("  {}", output::duration(Some(length))),
        None => String::new(),
    };
    let name = padded(&cut(&stage.name, columns), columns);
    format!(
        "{} {name}  {}{count}{duration}{why}",
        state.mark(),
        state.word()
    )
}

/// A line that begins with the mark of a state, in colour. A line that says little is dim as a whole.
fn painted(line: &str, state: State) -> String {
    let (color, end) = match state {
        State::Failed => ("31", 1),
        State::Succeeded => ("32", 1),
        State::Running => ("36", 1),
        State::Pending
        | State::Suspended
        | State::Paused
        | State::Queued
        | State::Cancelled
        | State::Unreached => ("33", 1),
        State::Waiting | State::Skipped => ("2", usize::MAX),
    };
    let end = line
        .char_indices()
        .nth(end)
        .map_or(line.len(), |(at, _)| at);
    let (start, rest) = line.split_at(end);
    format!("\x1b[{color}m{start}\x1b[0m{rest}")
}

#[cfg(test)]
mod tests {
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
            logs_aside: false,
        };
        let state_of = || progress.printed.lock().unwrap()["a"].state;
        let job = serde_json::json!({"metadata": {"name": "a"}, "spec": {"template": {}}});
        let job: Participant = serde_json::from_value(job).unwrap();
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
        progress.job(&job);
        assert!(progress.view(&view(State::Pending, "")), "nobody says why");
        assert_eq!(state_of(), Some(State::Running));
        for why in [
            "ErrImagePull: no",
            "ImagePullBackOff: 10s",
            "ErrImagePull: no",
        ] {
            assert!(progress.view(&view(State::Pending, why)));
            // The Job itself changes, and knows nothing of its pods.
            progress.job(&job);
            assert_eq!(state_of(), Some(State::Pending));
        }
        assert_eq!(progress.printed.lock().unwrap()["a"].causes.len(), 2);
        assert!(!progress.view(&view(State::Running, "")));
        assert_eq!(state_of(), Some(State::Running));
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
        assert_eq!(describe(&stage, 10, now), "● a-stage-w…  running");
        assert_eq!(
            describe(&stage, 26, now),
            "● a-stage-with-a-long-name    running"
        );
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
        assert_eq!(describe(&running, 1, now), "● a  running  3s");
        let mut queued = stage("b", State::Queued);
        queued.items[0].why = "waits for lease/db".into();
        queued.items[0].holders = vec![holder("Job", "x-a")];
        let line = describe(&queued, 1, now);
        assert_eq!(line, "◔ b  queued  waits for lease/db, held by job/x-a");
        queued.items[0].holders.push(holder("Claim", "y"));
        assert!(describe(&queued, 1, now).ends_with("held by job/x-a and 1 more"));
        running.items.extend(queued.items);
        let line = describe(&running, 1, now);
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
}
