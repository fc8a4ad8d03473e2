//! The grant protocol as a state machine: two operators, some claimants, fewer permits.
//!
//! What an operator decides is [`konductor_core::ledger::decide_semaphore`] itself; what is modelled
//! is the world around it. Each operator has a cache per kind that is stale until it is refreshed,
//! makes its live reads at once, and then its writes one by one: each may meet a newer version, and
//! between any two it may crash. There are no CEL rules here: the protocol must do without.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use konductor_api::{Claim, Semaphore};
use konductor_core::{Fact, Facts, Freshness, Objects, Write, ledger};
use serde_json::{Value, json};

/// How many claimants there may be.
pub const CLAIMANTS_MAX: usize = 3;
/// How many operators decide at the same time.
pub const OPERATORS: usize = 2;

/// How much there is of what makes a state space large.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The claimants, each of which asks for a permit; at most [`CLAIMANTS_MAX`].
    pub claimants: usize,
    /// The permits of the Semaphore.
    pub permits: usize,
    /// How many claimants may be late with a renewal.
    pub late: usize,
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const TTL: SignedDuration = SignedDuration::from_secs(30);
/// Rounds of observing before a decision, at most.
const ROUNDS_MAX: usize = 16;

/// What a claimant does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claimant {
    /// It has not asked yet.
    New,
    /// Its Claim is there, and it waits for the grant.
    Waiting,
    /// It has seen the grant.
    Working,
    /// It works no longer, and does not renew; its Claim is still there.
    Silent,
    /// It has deleted its Claim.
    Done,
}

/// A Claim's phase, as far as the protocol uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// It waits for its turn.
    Queued,
    /// It holds a permit.
    Granted,
    /// It was notified that it no longer holds anything.
    Expired,
}

/// A stored Claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoredClaim {
    phase: Phase,
    version: u8,
    /// How often it was renewed.
    renewals: u8,
}

/// The stored Semaphore: its ledger, by the number of the claimant; `None` before the first write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoredSemaphore {
    version: u8,
    holders: Option<Vec<u8>>,
}

type Claims = [Option<StoredClaim>; CLAIMANTS_MAX];

/// A write that an operator has decided on and not made yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Pending {
    Notify {
        claim: u8,
        version: u8,
        phase: Phase,
    },
    Ledger {
        version: u8,
        holders: Vec<u8>,
    },
}

/// What an operator has seen, and what it is about to write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operator {
    semaphore: StoredSemaphore,
    claims: Claims,
    /// The renewal that it has seen for a whole TTL.
    overdue: [Option<u8>; CLAIMANTS_MAX],
    pending: Vec<Pending>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What the claimants do.
    pub claimants: [Claimant; CLAIMANTS_MAX],
    claims: Claims,
    semaphore: StoredSemaphore,
    /// In order: it makes no difference which is which.
    operators: [Operator; OPERATORS],
}

/// Something that happens: to a claimant, or to an operator, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It creates its Claim.
    Ask(usize),
    /// It sees the grant, and begins.
    Work(usize),
    /// It stops its work, because it is done or could not renew in time.
    Stop(usize),
    /// Its renewal arrives after all, and the answer says whether it still holds.
    Renew(usize),
    /// It deletes its Claim.
    Leave(usize),
    /// The watch of Claims catches up.
    SeeClaims(usize),
    /// The watch of Semaphores catches up.
    SeeSemaphore(usize),
    /// A TTL has passed since this operator saw the present renewal of a claimant.
    TimePasses(usize, usize),
    /// It decides, by its cache and by live reads.
    Decide(usize),
    /// It makes the next of its writes.
    Write(usize),
    /// It crashes, and starts again.
    Crash(usize),
}

/// What is broken on purpose, to see that it would be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing: the protocol as it is.
    None,
    /// A claimant begins to work without the grant.
    WorksWithoutTheGrant,
    /// An operator writes the ledger over whatever version stands there.
    WritesOverAnyLedger,
    /// An operator expires a Claim whatever its version.
    ExpiresAnyVersion,
    /// What an operator grants is not reported.
    TellsNobody,
}

/// What a decision depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    semaphore: StoredSemaphore,
    cached: Claims,
    live: Claims,
    overdue: [bool; CLAIMANTS_MAX],
}

/// The protocol, whole or with a flaw.
#[derive(Debug)]
pub struct Protocol {
    size: Size,
    flaw: Flaw,
    /// Decisions are pure, so each is made once.
    decided: Mutex<HashMap<Question, Vec<Pending>>>,
}

impl Protocol {
    /// The protocol of this size, with this flaw.
    pub fn new(size: Size, flaw: Flaw) -> Self {
        Self {
            size,
            flaw,
            decided: Mutex::default(),
        }
    }

    /// How many permits there are to grant.
    pub fn permits(&self) -> usize {
        self.size.permits
    }

    /// Before anybody has asked, and before the ledger was ever written.
    pub fn begin(&self) -> State {
        let semaphore = StoredSemaphore {
            version: 1,
            holders: None,
        };
        let operator = Operator {
            semaphore: semaphore.clone(),
            ..Operator::default()
        };
        let mut claimants = [Claimant::Done; CLAIMANTS_MAX];
        claimants[..self.size.claimants].fill(Claimant::New);
        State {
            claimants,
            claims: [None; CLAIMANTS_MAX],
            semaphore,
            operators: [operator.clone(), operator],
        }
    }

    /// Everything that could happen next; some of it changes nothing.
    pub fn actions(&self) -> Vec<Action> {
        let claimants = (0..self.size.claimants).flat_map(|claimant| {
            [
                Action::Ask(claimant),
                Action::Work(claimant),
                Action::Stop(claimant),
                Action::Renew(claimant),
                Action::Leave(claimant),
            ]
        });
        let operators = (0..OPERATORS).flat_map(|operator| {
            let passes = (0..self.size.claimants)
                .map(move |claimant| Action::TimePasses(operator, claimant));
            let others = [
                Action::SeeClaims(operator),
                Action::SeeSemaphore(operator),
                Action::Decide(operator),
                Action::Write(operator),
                Action::Crash(operator),
            ];
            others.into_iter().chain(passes)
        });
        claimants.chain(operators).collect()
    }

    /// The state after an action; `None` if the action is impossible, or changes nothing.
    pub fn after(&self, state: &State, action: Action) -> Option<State> {
        if !self.could_be(state, action) {
            return None;
        }
        let mut next = state.clone();
        let possible = match action {
            Action::Ask(claimant) => ask(&mut next, claimant),
            Action::Work(claimant) => self.work(&mut next, claimant),
            Action::Stop(claimant) => stop(&mut next, claimant),
            Action::Renew(claimant) => renew(&mut next, claimant),
            Action::Leave(claimant) => leave(&mut next, claimant),
            Action::SeeClaims(operator) => {
                next.operators[operator].claims = state.claims;
                true
            }
            Action::SeeSemaphore(operator) => {
                next.operators[operator].semaphore = state.semaphore.clone();
                true
            }
            Action::TimePasses(operator, claimant) => time_passes(&mut next, operator, claimant),
            Action::Decide(operator) => self.decide(&mut next, operator),
            Action::Write(operator) => self.write(&mut next, operator),
            Action::Crash(operator) => crash(&mut next, operator),
        };
        next.operators.sort();
        (possible && next != *state).then_some(next)
    }

    /// Rules out most of what can't be, at little cost.
    fn could_be(&self, state: &State, action: Action) -> bool {
        match action {
            Action::Ask(claimant) => state.claimants[claimant] == Claimant::New,
            Action::Work(claimant) => state.claimants[claimant] == Claimant::Waiting,
            Action::Renew(claimant) | Action::TimePasses(_, claimant) => {
                claimant < self.size.late && state.claimants[claimant] == Claimant::Silent
            }
            Action::Stop(_) | Action::Leave(_) => true,
            Action::SeeClaims(operator) => state.operators[operator].claims != state.claims,
            Action::SeeSemaphore(operator) => {
                state.operators[operator].semaphore != state.semaphore
            }
            Action::Decide(operator) => state.operators[operator].pending.is_empty(),
            Action::Write(operator) | Action::Crash(operator) => {
                !state.operators[operator].pending.is_empty()
            }
        }
    }

    fn work(&self, state: &mut State, claimant: usize) -> bool {
        let phase = state.claims[claimant].map(|claim| claim.phase);
        let granted = phase == Some(Phase::Granted) || self.flaw == Flaw::WorksWithoutTheGrant;
        let begins = state.claimants[claimant] == Claimant::Waiting && granted;
        if begins {
            state.claimants[claimant] = Claimant::Working;
        }
        begins
    }

    fn decide(&self, state: &mut State, index: usize) -> bool {
        let operator = &state.operators[index];
        let seen = |claimant: usize| {
            let renewals = operator.claims[claimant].map(|claim| claim.renewals);
            renewals.is_some() && renewals == operator.overdue[claimant]
        };
        let question = Question {
            semaphore: operator.semaphore.clone(),
            cached: operator.claims,
            live: state.claims,
            overdue: std::array::from_fn(seen),
        };
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pending = match decided.get(&question) {
            Some(pending) => pending.clone(),
            None => {
                let answer = answer(&question, self.size.permits);
                decided.insert(question, answer.clone());
                answer
            }
        };
        if self.flaw == Flaw::TellsNobody {
            pending.retain(|write| {
                !matches!(
                    write,
                    Pending::Notify {
                        phase: Phase::Granted,
                        ..
                    }
                )
            });
        }
        state.operators[index].pending = pending;
        true
    }

    /// Makes the next write. A claimant that was not notified is notified another time; without the ledger
    /// written, nothing that follows from it is.
    fn write(&self, state: &mut State, operator: usize) -> bool {
        match state.operators[operator].pending.remove(0) {
            Pending::Notify {
                claim,
                version,
                phase,
            } => {
                let any = self.flaw == Flaw::ExpiresAnyVersion && phase == Phase::Expired;
                if let Some(stored) = &mut state.claims[usize::from(claim)]
                    && (stored.version == version || any)
                {
                    stored.phase = phase;
                    stored.version += 1;
                }
            }
            Pending::Ledger { version, holders } => {
                let any = self.flaw == Flaw::WritesOverAnyLedger;
                if state.semaphore.version == version || any {
                    state.semaphore.holders = Some(holders);
                    state.semaphore.version += 1;
                } else {
                    state.operators[operator].pending.clear();
                }
            }
        }
        true
    }
}

impl State {
    /// How many work.
    pub fn working(&self) -> usize {
        let works = |claimant: &&Claimant| **claimant == Claimant::Working;
        self.claimants.iter().filter(works).count()
    }

    /// How many the ledger shows.
    pub fn held(&self) -> usize {
        self.semaphore.holders.as_ref().map_or(0, Vec::len)
    }

    /// Whether each that works is in the ledger.
    pub fn every_worker_is_in_the_ledger(&self) -> bool {
        let holders = self.semaphore.holders.as_deref().unwrap_or_default();
        let mut claimants = self.claimants.iter().zip(0..);
        claimants
            .all(|(claimant, index)| *claimant != Claimant::Working || holders.contains(&index))
    }

    /// Whether everybody is done, and the ledger empty.
    pub fn is_over(&self) -> bool {
        self.claimants
            .iter()
            .all(|claimant| *claimant == Claimant::Done)
            && self.held() == 0
    }
}

/// They ask in their order, which is that of the queue.
fn ask(state: &mut State, claimant: usize) -> bool {
    let before = claimant
        .checked_sub(1)
        .map(|before| state.claimants[before]);
    let asks = state.claimants[claimant] == Claimant::New && before != Some(Claimant::New);
    if asks {
        state.claimants[claimant] = Claimant::Waiting;
        state.claims[claimant] = Some(StoredClaim {
            phase: Phase::Queued,
            version: 1,
            renewals: 0,
        });
    }
    asks
}

/// Also one that was granted and slept through it: it counts from when it asked, and renews before
/// it begins.
fn stop(state: &mut State, claimant: usize) -> bool {
    let granted = state.claims[claimant].is_some_and(|claim| claim.phase == Phase::Granted);
    let stops = match state.claimants[claimant] {
        Claimant::Working => true,
        Claimant::Waiting => granted,
        Claimant::New | Claimant::Silent | Claimant::Done => false,
    };
    if stops {
        state.claimants[claimant] = Claimant::Silent;
    }
    stops
}

/// One renewal may come late; the answer is read, and with it the phase.
fn renew(state: &mut State, claimant: usize) -> bool {
    let Some(claim) = &mut state.claims[claimant] else {
        return false;
    };
    let renews = claim.renewals == 0;
    if renews {
        claim.renewals = 1;
        claim.version += 1;
        if claim.phase == Phase::Granted {
            state.claimants[claimant] = Claimant::Working;
        }
    }
    renews
}

/// It leaves after its work, or because it was notified that it has lost the grant.
fn leave(state: &mut State, claimant: usize) -> bool {
    let expired = state.claims[claimant].is_some_and(|claim| claim.phase == Phase::Expired);
    let leaves = match state.claimants[claimant] {
        Claimant::Silent => true,
        Claimant::Waiting => expired,
        Claimant::New | Claimant::Working | Claimant::Done => false,
    };
    if leaves {
        state.claims[claimant] = None;
        state.claimants[claimant] = Claimant::Done;
    }
    leaves
}

/// A holder stops at 4/5 of the TTL without a renewal, so while it works no TTL passes on the
/// operators' clocks.
fn time_passes(state: &mut State, operator: usize, claimant: usize) -> bool {
    let operator = &mut state.operators[operator];
    let Some(claim) = operator.claims[claimant].filter(|claim| claim.phase == Phase::Granted)
    else {
        return false;
    };
    if state.claims[claimant].is_some_and(|stored| stored.renewals == claim.renewals) {
        operator.overdue[claimant] = Some(claim.renewals);
        return true;
    }
    false
}

/// Between two writes, or before the first: the rest is never written. That its successor sees what
/// is current is for the watches; it may also see less, as one whose first list is old.
fn crash(state: &mut State, operator: usize) -> bool {
    state.operators[operator].pending.clear();
    true
}

/// What the operator decides: the writes, in their order.
fn answer(question: &Question, permits: usize) -> Vec<Pending> {
    let semaphore = semaphore(&question.semaphore, permits);
    let mut facts = Facts::default();
    for (index, overdue) in question.overdue.iter().enumerate() {
        if let Some(claim) = question.cached[index].filter(|claim| claim.phase == Phase::Granted) {
            let seen = if *overdue { NOW - TTL } else { NOW };
            let seen = (Some(renewal(claim)), seen);
            facts.renewals_seen.insert(format!("uid-{index}"), seen);
        }
    }
    for _ in 0..ROUNDS_MAX {
        let needs = match ledger::decide_semaphore(&semaphore, &facts, NOW) {
            Err(needs) => needs,
            Ok(decision) => {
                let old_holders = question.semaphore.holders.as_ref();
                let status = decision.status.map(|status| {
                    let holders = status.holders.iter();
                    holders.map(|held| number(&held.name)).collect::<Vec<u8>>()
                });
                // All else in a status follows from its holders.
                let status = status.filter(|holders| old_holders != Some(holders));
                let ledger = status.map(|holders| Pending::Ledger {
                    version: question.semaphore.version,
                    holders,
                });
                let before = decision.before.iter().map(pending);
                let after = decision.after.iter().map(pending);
                return before.chain(ledger).chain(after).collect();
            }
        };
        for (fact, freshness) in needs {
            let claims = match freshness {
                Freshness::Cached => &question.cached,
                Freshness::Live => &question.live,
            };
            let objects = objects(&fact, claims);
            facts.record(fact, freshness, objects);
        }
    }
    unreachable!("no decision after {ROUNDS_MAX} rounds")
}

fn objects(fact: &Fact, claims: &Claims) -> Objects {
    let all = claims.iter().enumerate();
    let all = all.filter_map(|(index, stored)| Some(Arc::new(claim(index, (*stored)?))));
    match fact {
        Fact::ClaimsOn { .. } => Objects::Claims(all.collect()),
        Fact::Claim(name) => {
            let named = |claim: &Arc<Claim>| claim.metadata.name.as_ref() == Some(&name.name);
            Objects::Claims(all.filter(named).collect())
        }
        Fact::JobsHolding { .. } => Objects::Jobs(Vec::new()),
        Fact::HeldIn(_) => Objects::Held(Arc::default()),
        other => unreachable!("{other:?}"),
    }
}

fn metadata(name: &str, uid: &str, version: u8) -> Value {
    json!({
        "namespace": "model",
        "name": name,
        "uid": uid,
        "resourceVersion": version.to_string(),
        "creationTimestamp": "1970-01-01T00:00:00Z",
    })
}

fn semaphore(stored: &StoredSemaphore, permits: usize) -> Semaphore {
    let mut object = json!({
        "apiVersion": "konductor.io/v1",
        "kind": "Semaphore",
        "metadata": metadata("permits", "uid-permits", stored.version),
        "spec": {"permits": permits},
    });
    if let Some(holders) = &stored.holders {
        let holders = holders.iter().map(|index| {
            json!({"kind": "Claim", "name": index.to_string(), "uid": format!("uid-{index}"),
                "holder": "h", "permits": 1})
        });
        object["status"] = json!({"holders": holders.collect::<Vec<_>>()});
    }
    read(object)
}

fn claim(index: usize, stored: StoredClaim) -> Claim {
    read(json!({
        "apiVersion": "konductor.io/v1",
        "kind": "Claim",
        "metadata": metadata(&index.to_string(), &format!("uid-{index}"), stored.version),
        "spec": {"target": {"kind": "Semaphore", "name": "permits"}, "holder": "h", "ttl": "30s",
            "renewTime": renewal(stored)},
        "status": {"phase": format!("{:?}", stored.phase)},
    }))
}

/// A time for each renewal.
fn renewal(claim: StoredClaim) -> MicroTime {
    MicroTime(NOW + SignedDuration::from_secs(claim.renewals.into()))
}

fn read<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object of the model")
}

fn number(text: &str) -> u8 {
    text.parse().expect("a number of the model")
}

fn pending(write: &Write) -> Pending {
    let Write::Patch { name, body, .. } = write else {
        unreachable!("{write:?}")
    };
    Pending::Notify {
        claim: number(&name.name),
        version: number(
            body["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or("none"),
        ),
        phase: match body["status"]["phase"].as_str() {
            Some("Granted") => Phase::Granted,
            Some("Expired") => Phase::Expired,
            other => unreachable!("{other:?}"),
        },
    }
}
