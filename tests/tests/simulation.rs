//! Every story, with everything that can go wrong, in simulated time.
//!
//! By default a sample of all single faults is tried, and some 2,000 random plans. `KONDUCTOR_FAULTS=all`
//! tries every single fault, `KONDUCTOR_PLANS=5000` that many random plans of each story, and
//! `KONDUCTOR_SEED=…` others; `just simulate` does both, optimised. What fails prints the command
//! that replays it.

use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use konductor_tests::simulation::{
    Ended, Fault, Injected, Plan, STORIES, Story, WatchFault, WriteFault, play,
};

/// Random plans of each story, where nobody asks for more.
const PLANS: u64 = 100;
/// One of so many single faults is tried, where nobody asks for all.
const ONE_OF: usize = 61;

fn replay(story: &Story, plan: &Plan, why: &str) -> String {
    format!(
        "{}: {why}\nreplay: KONDUCTOR_STORY={} KONDUCTOR_PLAN='{plan}' cargo test -p \
         konductor-tests --test simulation replayed",
        story.name, story.name
    )
}

/// How long a story may really take: a hundred times what it does.
const AT_MOST: Duration = Duration::from_secs(60);

/// Plays a story. If simulated time stands still because something is busy without an end, nothing
/// in the simulation can notice it: the process is ended from outside.
#[expect(clippy::print_stderr, reason = "the process ends here")]
fn played(story: &Story, plan: &Plan) -> Result<Ended, String> {
    let (done, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if ended.recv_timeout(AT_MOST) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{}", replay(story, plan, "simulated time stands still"));
                std::process::abort();
            }
        });
        let result = play(story, plan);
        drop(done);
        result
    })
}

fn calm(story: &Story) -> Ended {
    let plan = Plan::calm(1);
    played(story, &plan).unwrap_or_else(|why| panic!("{}", replay(story, &plan, &why)))
}

/// What was played, and which faults were really injected.
struct Tally {
    begun: Instant,
    plans: usize,
    injected: Injected,
}

impl Tally {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            plans: 0,
            injected: Injected::new(),
        }
    }

    /// Plays a story under each plan, on all processors; its end must be the calm one.
    fn every(&mut self, story: &Story, plans: &[Plan], expected: &Ended) {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let results: Vec<Result<Ended, String>> = thread::scope(|scope| {
            let workers = (0..workers).map(|worker| {
                let mine = plans.iter().skip(worker).step_by(workers);
                scope.spawn(move || {
                    mine.map(|plan| as_expected(story, plan, expected))
                        .collect::<Vec<_>>()
                })
            });
            let workers: Vec<_> = workers.collect();
            let played = workers
                .into_iter()
                .flat_map(|worker| worker.join().expect("no panic"));
            played.collect()
        });
        self.plans += plans.len();
        let mut failures = Vec::new();
        for result in results {
            match result {
                Ok(ended) => {
                    for (what, count) in ended.injected {
                        *self.injected.entry(what).or_default() += count;
                    }
                }
                Err(why) => failures.push(why),
            }
        }
        assert!(
            failures.is_empty(),
            "{} of {} plans failed; the first:\n{}",
            failures.len(),
            plans.len(),
            failures[0]
        );
    }

    /// Says how much was tried, also where the test passes: past what the test runner captures.
    fn played(&self, what: &str) {
        let (plans, took) = (self.plans, self.begun.elapsed());
        let injected = self.injected.iter();
        let lines = injected.map(|(what, count)| format!("  {count:>6} {what}\n"));
        let lines = lines.collect::<String>();
        let _ = write!(io::stderr(), "{plans} {what} in {took:.1?}\n{lines}");
    }
}

fn as_expected(story: &Story, plan: &Plan, expected: &Ended) -> Result<Ended, String> {
    match played(story, plan) {
        Ok(ended) if ended.summary == expected.summary => Ok(ended),
        Ok(ended) => {
            let (other, calm) = (&ended.summary, &expected.summary);
            let why = format!("it ended as\n{other}and not as\n{calm}");
            Err(replay(story, plan, &why))
        }
        Err(why) => Err(replay(story, plan, &why)),
    }
}

/// A sample of what could go wrong, spread over all of it; or all.
fn sample(faults: impl Iterator<Item = Fault>) -> Vec<Plan> {
    let all = std::env::var("KONDUCTOR_FAULTS").is_ok_and(|value| value == "all");
    faults
        .step_by(if all { 1 } else { ONE_OF })
        .map(Plan::with)
        .collect()
}

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn story_plays_the_same_when_nothing_goes_wrong() {
    for story in &STORIES {
        let summary = calm(story).summary;
        assert_eq!(summary, calm(story).summary, "{}", story.name);
        let run = summary
            .lines()
            .find_map(|line| line.strip_prefix("run/story: "));
        let expected = match story.name {
            "a_pipeline_succeeds" | "a_list_is_gone_over" => Some("Succeeded"),
            "a_pipeline_fails" | "a_failed_run_is_retried" | "items_that_failed_are_retried" => {
                Some("Failed")
            }
            "a_pipeline_is_cancelled" => Some("Cancelled"),
            _ => None,
        };
        assert_eq!(run, expected, "{}", story.name);
    }
}

#[test]
fn every_single_fault_at_every_write_ends_as_if_there_was_none() {
    let mut tally = Tally::new();
    for story in &STORIES {
        let expected = calm(story);
        let faults = (1..=expected.writes).flat_map(|nth| {
            WriteFault::ALL.map(|fault| Fault::Write {
                operator: 0,
                nth,
                fault,
            })
        });
        let plans = sample(faults);
        tally.every(story, &plans, &expected);
    }
    tally.played("single faults");
}

/// Each event of each kind's watch, but not each bookmark at the end.
fn watch_faults(story: &Ended, operator: usize) -> impl Iterator<Item = Fault> {
    (1..=story.versions as u64).flat_map(move |nth| {
        WatchFault::ALL.map(|fault| Fault::Watch {
            operator,
            nth,
            fault,
        })
    })
}

#[test]
fn every_single_fault_of_a_watch_ends_as_if_there_was_none() {
    let mut tally = Tally::new();
    for story in &STORIES {
        let expected = calm(story);
        let plans = sample(watch_faults(&expected, 0));
        tally.every(story, &plans, &expected);
    }
    tally.played("single faults");
}

/// One of them then decides from a cache that is out of date, beside one that knows better: neither
/// may undo what the other writes, for as long as that lasts.
#[test]
fn every_single_fault_of_a_watch_beside_a_second_operator_ends_as_if_there_was_none() {
    let mut tally = Tally::new();
    for story in &STORIES {
        let expected = calm(story);
        let mut plans = sample(watch_faults(&expected, 1));
        plans.iter_mut().for_each(|plan| plan.operators = 2);
        tally.every(story, &plans, &expected);
    }
    tally.played("single faults");
}

#[test]
fn random_plans_end_as_if_nothing_had_gone_wrong() {
    let mut tally = Tally::new();
    let (count, seed) = (
        number("KONDUCTOR_PLANS", PLANS),
        number("KONDUCTOR_SEED", 1),
    );
    for story in &STORIES {
        let expected = calm(story);
        let plans: Vec<Plan> = (seed..seed + count)
            .map(|seed| Plan::random(seed, expected.writes))
            .collect();
        tally.every(story, &plans, &expected);
    }
    tally.played("random plans");
}

/// What once went wrong, as it was found: the story, and the plan.
const ONCE_WRONG: [(&str, &str); 4] = [
    // The embedded Job controller could not end a Job whose pod had succeeded while the Job was suspended.
    (
        "a_pipeline_is_cancelled",
        "seed=1 operators=1 delay=0 delete:98:true",
    ),
    // A Job that its Run was ending was Unreached, where its Gate was quicker.
    (
        "a_pipeline_is_cancelled",
        "seed=1000555 operators=1 delay=0 write:0:3:Slow write:0:44:Slow write:0:18:CrashAfter",
    ),
    (
        "a_pipeline_is_cancelled",
        "seed=1001561 operators=1 delay=20 clock:0:16740:-11756 write:0:13:CrashBefore \
         write:0:24:Slow write:0:32:Slow write:0:75:CrashBefore write:0:22:TooMany",
    ),
    // Two operators, both with an outdated cache, undid each other's status in turns.
    (
        "a_pipeline_succeeds",
        "seed=1005779 operators=2 delay=0 watch:0:138:Slow write:0:40:TooMany watch:1:64:Twice \
         write:0:27:TooMany watch:1:58:Slow clock:0:38581:-515092",
    ),
];

#[test]
fn what_once_went_wrong_ends_well() {
    for (name, plan) in ONCE_WRONG {
        let story = STORIES.iter().find(|story| story.name == name);
        let story = story.expect("a story");
        let plan: Plan = plan.parse().expect("a plan");
        Tally::new().every(story, &[plan], &calm(story));
    }
}

/// Replays what one of the others has printed; without a plan, a calm one.
#[test]
fn replayed() {
    let plan = std::env::var("KONDUCTOR_PLAN").unwrap_or_else(|_| Plan::calm(1).to_string());
    let plan: Plan = plan.parse().expect("a plan");
    let story_name = std::env::var("KONDUCTOR_STORY").ok();
    for story in STORIES
        .iter()
        .filter(|story| story_name.as_deref().is_none_or(|name| name == story.name))
    {
        Tally::new().every(story, std::slice::from_ref(&plan), &calm(story));
    }
}
