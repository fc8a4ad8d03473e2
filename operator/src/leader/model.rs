//! The election as a state machine: candidates, one Lease, and a network between them.
//!
//! What a candidate decides and remembers is [`super::election`] itself; what is modelled is the world
//! around it. Between any two steps of a candidate time may pass, so each may stand still. A write may
//! be stored long after it was sent, its answer may be lost, a watch may lag behind, a candidate may
//! crash and start again under its name, or give up. Their clocks differ, and go at the same rate. The
//! time of day stands still, and differs by ten minutes from one to the next.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stateright::{Checker, Model, Property};

use super::clock::Moment;
use super::election::{Next, Seen, Terms, View, Write, decide};

/// What a candidate is waiting for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Request {
    None,
    /// On its way.
    Sent(Write),
    /// Stored as this version, which the candidate does not know yet.
    Stored(Write, usize),
    /// What was stored when it looked.
    Read(Option<usize>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Candidate {
    view: View,
    request: Request,
    /// Until when it believes that it leads.
    leads_until: Option<Moment>,
    gives_up: bool,
    /// How many versions its watch has shown.
    shown: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// True time.
    now: u64,
    /// Every version that was stored.
    versions: Vec<Seen>,
    candidates: Vec<Candidate>,
    /// Writes that their senders have given up, and that may yet arrive: at once, as if only the answer
    /// were lost, or late.
    late: Vec<Write>,
    lost: usize,
    crashes: usize,
}

/// What happens next, to which candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    TimePasses,
    Acts(usize),
    Arrives(usize),
    IsAnswered(usize),
    IsLost(usize),
    ArrivesLate,
    Watches(usize),
    GivesUp(usize),
    Crashes(usize),
}

/// How a world can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// The API server ignores the version that a write replaces.
    AnyVersion,
    /// A holder continues for as long as others wait, and a bit.
    HoldsOn,
}

struct Election {
    candidates: usize,
    flaw: Flaw,
    /// When the story ends.
    seconds: u64,
    /// How many writes or answers are lost.
    losses: usize,
    crashes: usize,
}

const ONE: &str = "never do two lead at once";
const FOLLOWED: &str = "who falls silent is followed";
const HANDED_OVER: &str = "who gives up is followed at once";
const RENEWED: &str = "the leader renews";

impl Election {
    /// It lasts three seconds, of which its holder leads for two, and renews every second.
    fn terms(&self, candidate: usize) -> Terms {
        let leads_for = if self.flaw == Flaw::HoldsOn { 4 } else { 2 };
        Terms {
            identity: format!("c{candidate}"),
            seconds: 3,
            leads_for: Duration::from_secs(leads_for),
            renews_every: Duration::from_secs(1),
        }
    }

    fn clock(&self, candidate: usize, state: &State) -> Moment {
        Duration::from_secs(state.now + 1000 * candidate as u64)
    }

    /// Stores a write, if it replaces what is there.
    fn store(&self, state: &mut State, write: &Write) -> Option<usize> {
        let there = state.versions.last().map(|seen| seen.version.as_str());
        if self.flaw != Flaw::AnyVersion && write.on.as_deref() != there {
            return None;
        }
        state.versions.push(Seen {
            record: write.record.clone(),
            version: (state.versions.len() + 1).to_string(),
        });
        Some(state.versions.len() - 1)
    }

    fn leads(&self, state: &State, candidate: usize) -> bool {
        let until = state.candidates[candidate].leads_until;
        until.is_some_and(|end| self.clock(candidate, state) < end)
    }

    fn leaders(&self, state: &State) -> Vec<usize> {
        let all = 0..self.candidates;
        all.filter(|candidate| self.leads(state, *candidate))
            .collect()
    }

    /// A candidate decides, and sends what it decides on.
    fn act(&self, state: &mut State, index: usize) {
        let (terms, now) = (self.terms(index), self.clock(index, state));
        let stored = state.versions.len().checked_sub(1);
        let candidate = &mut state.candidates[index];
        let decision = decide(&terms, &candidate.view, candidate.gives_up, now);
        candidate.leads_until = decision.leads_until;
        candidate.request = match decision.next {
            Next::Wait(_) => Request::None,
            Next::Look => Request::Read(stored),
            Next::Write(step) => {
                let time = SignedDuration::from_mins(10 * index as i64);
                let time = Timestamp::UNIX_EPOCH + time;
                Request::Sent(candidate.view.write(step, &terms, now, time))
            }
        };
    }

    fn answer(&self, state: &mut State, index: usize) {
        let (terms, now) = (self.terms(index), self.clock(index, state));
        let candidate = &mut state.candidates[index];
        match std::mem::replace(&mut candidate.request, Request::None) {
            Request::None | Request::Sent(_) => {}
            Request::Stored(write, version) => {
                let version = state.versions[version].version.clone();
                candidate.view.answered(write, version);
            }
            Request::Read(version) => {
                let lease = version.map(|version| state.versions[version].clone());
                candidate.view.looked(&terms, lease, now);
            }
        }
    }
}

impl Model for Election {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let candidate = Candidate {
            view: View::default(),
            request: Request::None,
            leads_until: None,
            gives_up: false,
            shown: 0,
        };
        vec![State {
            now: 0,
            versions: Vec::new(),
            candidates: vec![candidate; self.candidates],
            late: Vec::new(),
            lost: 0,
            crashes: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < self.seconds {
            actions.push(Action::TimePasses);
        }
        if !state.late.is_empty() {
            actions.push(Action::ArrivesLate);
        }
        for (index, candidate) in state.candidates.iter().enumerate() {
            let may_lose = state.lost < self.losses;
            match candidate.request {
                Request::None => {
                    actions.push(Action::Acts(index));
                    if candidate.shown < state.versions.len() {
                        actions.push(Action::Watches(index));
                    }
                }
                Request::Sent(_) => {
                    actions.push(Action::Arrives(index));
                    if may_lose {
                        actions.push(Action::IsLost(index));
                    }
                }
                Request::Stored(..) | Request::Read(_) => actions.push(Action::IsAnswered(index)),
            }
            // One of them is enough.
            if index == 0 && !candidate.gives_up {
                actions.push(Action::GivesUp(index));
            }
            if state.crashes < self.crashes {
                actions.push(Action::Crashes(index));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::TimePasses => state.now += 1,
            Action::Acts(index) => self.act(&mut state, index),
            Action::Arrives(index) => {
                if let Request::Sent(write) = state.candidates[index].request.clone() {
                    let stored = self.store(&mut state, &write);
                    let stored = stored.map(|version| Request::Stored(write, version));
                    // That another write came first changes nothing in what it knows.
                    state.candidates[index].request = stored.unwrap_or(Request::None);
                }
            }
            Action::IsAnswered(index) => self.answer(&mut state, index),
            Action::IsLost(index) => {
                state.lost += 1;
                let request = &mut state.candidates[index].request;
                if let Request::Sent(write) = std::mem::replace(request, Request::None) {
                    state.late.push(write);
                }
            }
            Action::ArrivesLate => {
                let write = state.late.remove(0);
                self.store(&mut state, &write);
            }
            Action::Watches(index) => {
                let (terms, now) = (self.terms(index), self.clock(index, &state));
                let candidate = &mut state.candidates[index];
                let lease = state.versions[candidate.shown].clone();
                candidate.shown += 1;
                candidate.view.noticed(&terms, Some(lease), now);
            }
            Action::GivesUp(index) => {
                let candidate = &mut state.candidates[index];
                // It stops before it releases anything.
                (candidate.gives_up, candidate.leads_until) = (true, None);
            }
            Action::Crashes(index) => {
                state.crashes += 1;
                let candidate = &mut state.candidates[index];
                if let Request::Sent(write) =
                    std::mem::replace(&mut candidate.request, Request::None)
                {
                    state.late.push(write);
                }
                (candidate.view, candidate.leads_until, candidate.shown) =
                    (View::default(), None, 0);
            }
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE, |model: &Self, state: &State| {
                model.leaders(state).len() < 2
            }),
            Property::sometimes(FOLLOWED, |model: &Self, state: &State| {
                let silent = !state.candidates[0].gives_up && state.crashes == 0;
                silent && model.leaders(state) == [1] && state.were_held_by("c0") > 0
            }),
            Property::sometimes(HANDED_OVER, |model: &Self, state: &State| {
                let released = state
                    .versions
                    .iter()
                    .any(|seen| seen.record.holder.is_none());
                released && state.now == 0 && model.leaders(state) == [1]
            }),
            Property::sometimes(RENEWED, |model: &Self, state: &State| {
                let only = state.were_held_by("c1") == state.versions.len();
                only && state.versions.len() >= 3 && model.leaders(state) == [1]
            }),
        ]
    }
}

impl State {
    /// How many of the versions so far.
    fn were_held_by(&self, identity: &str) -> usize {
        let held = |seen: &&Seen| seen.record.holder.as_deref() == Some(identity);
        self.versions.iter().filter(held).count()
    }
}

/// What `cargo test` has the time for.
const SMALL: Election = Election {
    candidates: 2,
    flaw: Flaw::None,
    seconds: 3,
    losses: 0,
    crashes: 0,
};

/// `just model`: sixty times as many states.
const LARGE: Election = Election {
    seconds: 4,
    losses: 1,
    ..SMALL
};

/// More than can be tried in full: random stories, of so many steps.
const STEPS: usize = 200;
const WIDE: Election = Election {
    candidates: 3,
    seconds: 20,
    losses: 4,
    crashes: 3,
    ..SMALL
};

#[test]
fn two_never_lead_at_once_in_any_interleaving() {
    let large = std::env::var_os("KONDUCTOR_MODEL").is_some_and(|size| size == "large");
    let size = if large { LARGE } else { SMALL };
    let checker = size.checker().threads(2).spawn_bfs().join();
    assert!(checker.is_done());
    checker.assert_properties();
    // Past what the test runner captures: the figure is what people want to know.
    let _ = writeln!(
        io::stderr(),
        "two candidates: {} states, {} different, {} steps deep",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
}

#[test]
fn two_of_three_never_lead_at_once_whatever_is_lost_and_whoever_crashes() {
    let large = std::env::var_os("KONDUCTOR_MODEL").is_some_and(|size| size == "large");
    let mut followed = 0;
    for seed in 0..if large { 500_000 } else { 5_000 } {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut state = WIDE.init_states().remove(0);
        let (mut steps, mut leaders) = (Vec::new(), BTreeSet::new());
        for _ in 0..STEPS {
            let mut actions = Vec::new();
            WIDE.actions(&state, &mut actions);
            let Some(action) = random.choice(actions) else {
                break;
            };
            let Some(next) = WIDE.next_state(&state, action) else {
                continue;
            };
            state = next;
            steps.push(action);
            let leading = WIDE.leaders(&state);
            assert!(
                leading.len() < 2,
                "seed {seed}: {leading:?} lead after {steps:?}"
            );
            leaders.extend(leading);
        }
        followed += usize::from(leaders.len() > 1);
    }
    assert!(
        followed > 1_000,
        "only {followed} stories had two leaders, one after another"
    );
}

#[test]
fn each_flaw_is_found() {
    for flaw in [Flaw::AnyVersion, Flaw::HoldsOn] {
        let checker = Election { flaw, ..SMALL }.checker().threads(2);
        let discovery = stateright::HasDiscoveries::AnyOf([ONE].into());
        let checker = checker.finish_when(discovery).spawn_bfs().join();
        let path = checker.discovery(ONE);
        let path = path.unwrap_or_else(|| panic!("{flaw:?} was not found"));
        eprintln!("{flaw:?}: {:?}", path.into_actions());
    }
}
