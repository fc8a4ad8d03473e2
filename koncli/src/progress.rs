//! The progress of a run: a live view on a terminal, plain lines in a pipe.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::JobCondition;
use konductor_api::{Participant, job_ended};
use konductor_operator::explain;
use konductor_operator::standing::State;

use crate::output;
use crate::output::width::{cut, padded, shortened, width};
use crate::platform::{self, echo};
use crate::view::{Item, Stage, View, title};

/// What is left beside a stage's name, however narrow the terminal: its state and how many have ended.
const STATE_WIDTH: usize = 22;

/// What is left of a run's name, however narrow the terminal.
const NAME_MIN: usize = 8;

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
                output::stderr(&format!("{}: {done} of {} objects", self.title, self.of));
            }
            None => {}
        }
    }

    /// Prints a line; on a terminal it stays above the bar.
    pub(crate) fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::stderr(line)),
            None => output::stderr(line),
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
    logs: LogsTo,
}

/// Where the logs of a run that is shown are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogsTo {
    Nowhere,
    Stdout,
    /// Because stdout is for something else.
    Stderr,
}

/// What was printed of a Job.
#[derive(Default)]
struct Printed {
    state: Option<State>,
    /// Why it was pending: causes alternate, and each is printed once.
    causes: BTreeSet<String>,
    /// Which of its retries it is.
    retry: Option<String>,
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
    /// Of a run that began at this time. There is no live view beside logs in a pipe: what its reader prints on the same
    /// terminal, as `tee` does, would be overwritten.
    pub(crate) fn since(started: Instant, logs: LogsTo) -> Self {
        let is_live = std::io::stderr().is_terminal();
        let is_live = is_live && (logs != LogsTo::Stdout || !platform::is_stdout_a_pipe());
        let live = is_live.then(Live::new);
        Self {
            started,
            printed: Mutex::new(BTreeMap::new()),
            live,
            logs,
        }
    }

    /// Shows a line of a Job's log. It is data: on a terminal it goes above the view.
    pub(crate) fn log(&self, title: &str, line: &str) {
        let log = match self.logs {
            LogsTo::Nowhere => return,
            LogsTo::Stdout => output::stdout_log,
            LogsTo::Stderr => output::stderr_log,
        };
        match &self.live {
            None => log(title, line),
            Some(live) => live.text.suspend(|| log(title, line)),
        }
    }

    /// A Job changed. In a pipe, each new state is a line.
    pub(crate) fn job(&self, job: &Participant) {
        let name = job.metadata.name.clone().unwrap_or_default();
        let mut printed = self
            .printed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let printed = printed.entry(name).or_default();
        let last = printed.state;
        let state = match State::of(job) {
            State::Running if !runs(job, last) => State::Pending,
            state => state,
        };
        let retry = explain::retry(job).filter(|_| state == State::Running);
        if retry.is_some() && retry != printed.retry && self.live.is_none() {
            self.line(state, &title(job), retry.as_deref().unwrap_or_default());
            printed.retry = retry;
            printed.state = Some(state);
            return;
        }
        // That a pod has ended and another one follows is no news.
        if last == Some(State::Running) && state == State::Pending {
            return;
        }
        printed.state = Some(state);
        if last == Some(state) || self.live.is_some() {
            return;
        }
        if has_run(job, state) && last != Some(State::Running) {
            self.line(State::Running, &title(job), "");
        }
        // What is pending is printed with its cause.
        if !matches!(state, State::Waiting | State::Pending) {
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
        output::stderr(&format!(
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
            None => output::stderr(line),
            Some(live) => live.text.suspend(|| output::stderr(line)),
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

/// Whether a pod of a Job that was started runs, as far as the Job says so: by its pods that are ready, or those that have
/// ended. If one was seen to be pending, it may be another one than those that have ended.
fn runs(job: &Participant, last: Option<State>) -> bool {
    let status = job.status.as_ref();
    let is_ready = status.and_then(|status| status.ready) > Some(0);
    let has_pods = last != Some(State::Pending) && pods_ended(job);
    is_ready || has_pods || job_ended(job).is_some()
}

fn pods_ended(job: &Participant) -> bool {
    let status = job.status.as_ref();
    let counts = status.map(|status| [status.succeeded, status.failed]);
    counts.into_iter().flatten().any(|count| count > Some(0))
}

/// Whether a Job has ended after its pods have run: it may have ended at once. A Job that timed out may never have had a
/// pod that ran.
fn has_run(job: &Participant, state: State) -> bool {
    let conditions = job
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let is_late =
        |condition: &JobCondition| condition.reason.as_deref() == Some("DeadlineExceeded");
    matches!(state, State::Succeeded | State::Failed)
        && pods_ended(job)
        && !conditions.into_iter().flatten().any(is_late)
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
            " {}  {:.1}s  {ended}/{} stages{}",
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
        let room = columns.saturating_sub(1 + width(&head)).max(NAME_MIN);
        let run = shortened(&[&view.run], room).concat();
        let mut lines = vec![line(&(run + &head))];
        let now = Timestamp::now();
        let names: Vec<&str> = shown.iter().map(|stage| &*stage.name).collect();
        let names = shortened(&names, name_width);
        lines.extend(shown.iter().zip(names).map(|(stage, name)| {
            let text = line(&describe(stage, &padded(&name, name_width), now));
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
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map_or((24, 80), |(columns, rows)| {
        (usize::from(rows.0), usize::from(columns.0).max(20))
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
        [holder] => format!("{}, held by {holder}", item.why),
        [holder, rest @ ..] => format!("{}, held by {holder} and {} more", item.why, rest.len()),
    }
}

/// A stage in a line, which begins with its name as it is shown.
fn describe(stage: &Stage, name: &str, now: Timestamp) -> String {
    let state = stage.state();
    let count = match stage.items.len() {
        1 => String::new(),
        all => format!(" {}/{all}", stage.ended()),
    };
    let in_state = |state| stage.items.iter().filter(move |item| item.state == state);
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
mod tests;
