//! Every interleaving of the grant protocol, and that the model would notice a broken one.

use std::io::{self, Write};

use konductor_tests::model::{Action, Flaw, Protocol, Size, State};
use stateright::{Checker, Model, Property};

struct Grants(Protocol);

const WORKING: &str = "no more work than there are permits";
const LEDGER: &str = "the ledger never exceeds its permits";
const STRUCK: &str = "nobody is struck while it works";
const STUCK: &str = "nothing ends before everybody had its turn";
const FULL: &str = "as many work as there are permits";
const OVER: &str = "everybody is done";

impl Model for Grants {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.0.begin()]
    }

    fn actions(&self, _: &State, actions: &mut Vec<Action>) {
        *actions = self.0.actions();
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.0.after(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(WORKING, |model: &Self, state: &State| {
                state.working() <= model.0.permits()
            }),
            Property::always(LEDGER, |model: &Self, state: &State| {
                state.held() <= model.0.permits()
            }),
            Property::always(STRUCK, |_, state: &State| {
                state.every_worker_is_in_the_ledger()
            }),
            Property::always(STUCK, |model: &Self, state: &State| {
                let mut actions = model.0.actions().into_iter();
                state.is_over() || actions.any(|action| model.0.after(state, action).is_some())
            }),
            Property::sometimes(FULL, |model: &Self, state: &State| {
                state.working() == model.0.permits()
            }),
            Property::sometimes(OVER, |_, state: &State| state.is_over()),
        ]
    }
}

/// What `cargo test` has the time for.
const SMALL: Size = Size {
    claimants: 2,
    permits: 1,
    late: 1,
};

/// `just model`: hundreds of times as many states.
const LARGE: Size = Size {
    claimants: 3,
    permits: 2,
    late: 0,
};

#[test]
fn no_interleaving_of_two_operators_and_their_claimants_breaks_the_protocol() {
    let large = std::env::var_os("KONDUCTOR_MODEL").is_some_and(|size| size == "large");
    let size = if large { LARGE } else { SMALL };
    let checker = Grants(Protocol::new(size, Flaw::None)).checker();
    let checker = checker.threads(2).spawn_bfs().join();
    assert!(checker.is_done());
    checker.assert_properties();
    // Past what the test runner captures: the figure is what people want to know.
    let _ = writeln!(
        io::stderr(),
        "{size:?}: {} states, {} different, {} steps deep",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
}

#[test]
fn each_flaw_is_found() {
    for (flaw, property) in [
        (Flaw::WorksWithoutTheGrant, WORKING),
        (Flaw::WritesOverAnyLedger, STRUCK),
        (Flaw::ExpiresAnyVersion, STRUCK),
        (Flaw::TellsNobody, STUCK),
    ] {
        let checker = Grants(Protocol::new(SMALL, flaw)).checker().threads(2);
        let checker = checker
            .finish_when(stateright::HasDiscoveries::AnyOf([property].into()))
            .spawn_bfs()
            .join();
        let path = checker.discovery(property);
        let path = path.unwrap_or_else(|| panic!("{flaw:?} was not found"));
        eprintln!("{flaw:?}: {property}, after {:?}", path.into_actions());
    }
}
