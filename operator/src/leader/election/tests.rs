use super::*;

/// The usual times.
fn terms(identity: &str) -> Terms {
    Terms {
        identity: identity.to_owned(),
        seconds: 15,
        leads_for: secs(10),
        renews_every: secs(5),
    }
}

fn secs(seconds: u64) -> Moment {
    Duration::from_secs(seconds)
}

/// A time of day that has nothing to do with any moment.
fn time(second: i64) -> Timestamp {
    Timestamp::constant(1_767_225_600, 0) + SignedDuration::from_secs(second)
}

/// What another one has written.
fn of(holder: &str, renewed: i64) -> Record {
    Record {
        holder: Some(holder.to_owned()),
        seconds: Some(15),
        acquired: Some(time(0)),
        renewed: Some(time(renewed)),
        transitions: 3,
    }
}

fn seen(record: &Record, version: &str) -> Option<Seen> {
    Some(Seen {
        record: record.clone(),
        version: version.to_owned(),
    })
}

/// Who has looked, and found this.
fn view(lease: Option<Seen>, now: Moment) -> View {
    let mut view = View::default();
    view.looked(&terms("me"), lease, now);
    view
}

/// Who has taken what was free, as version 2, with a write of the moment 100.
fn leader() -> View {
    let mut view = view(seen(&Record::default(), "1"), secs(100));
    let write = view.write(Step::Take, &terms("me"), secs(100), time(0));
    view.answered(write, "2".to_owned());
    view
}

fn next_of(view: &View, now: Moment) -> Next {
    decide(&terms("me"), view, false, now).next
}

#[test]
fn who_knows_nothing_looks_unless_it_gives_up() {
    for (gives_up, next) in [(false, Next::Look), (true, Next::Wait(None))] {
        let expected = Decision {
            leads_until: None,
            next,
        };
        let decision = decide(&terms("me"), &View::default(), gives_up, secs(100));
        assert_eq!(decision, expected);
    }
}

#[test]
fn what_is_free_is_taken_at_once_and_what_is_held_when_it_was_silent_for_its_duration() {
    let unowned = Record {
        holder: None,
        ..of("gone", 0)
    };
    let lasting = |seconds: Option<i32>| Record {
        seconds,
        ..of("other", 0)
    };
    let take = Next::Write(Step::Take);
    let until = |second| Next::Wait(Some(secs(second)));
    let table = [
        ("missing", None, Next::Write(Step::Create)),
        ("empty", seen(&Record::default(), "1"), take),
        ("released", seen(&unowned, "1"), take),
        ("held", seen(&of("other", 0), "1"), until(115)),
        // By a clock that is ahead, or behind, by years: it is not looked at.
        ("ahead", seen(&of("other", 1_000_000_000), "1"), until(115)),
        (
            "behind",
            seen(&of("other", -1_000_000_000), "1"),
            until(115),
        ),
        ("a minute", seen(&lasting(Some(60)), "1"), until(160)),
        ("a second", seen(&lasting(Some(1)), "1"), until(101)),
        // What is no duration is taken for one's own; nobody waits for longer than an hour.
        ("no duration", seen(&lasting(None), "1"), until(115)),
        ("zero", seen(&lasting(Some(0)), "1"), until(115)),
        ("negative", seen(&lasting(Some(i32::MIN)), "1"), until(115)),
        ("endless", seen(&lasting(Some(i32::MAX)), "1"), until(3700)),
        // Left by this one's earlier life: nobody else leads.
        ("mine before", seen(&of("me", 0), "1"), take),
    ];
    for (what, lease, expected) in table {
        let decision = decide(&terms("me"), &view(lease, secs(100)), false, secs(100));
        assert_eq!(decision.next, expected, "{what}");
        assert_eq!(decision.leads_until, None, "{what}");
    }
}

#[test]
fn only_a_renewal_makes_others_wait_for_longer() {
    let mut view = view(seen(&of("other", 0), "1"), secs(100));
    let look = |view: &View| (next_of(view, secs(114)), next_of(view, secs(115)));
    let expired = (Next::Wait(Some(secs(115))), Next::Write(Step::Take));
    assert_eq!(look(&view), expired);
    // A label, or the same version once more, is no sign of life.
    view.noticed(&terms("me"), seen(&of("other", 0), "2"), secs(110));
    view.noticed(&terms("me"), seen(&of("other", 0), "2"), secs(111));
    assert_eq!(look(&view), expired);
    // Nor is a version from before.
    view.noticed(&terms("me"), seen(&of("another", 0), "1"), secs(112));
    assert_eq!(look(&view), expired);
    view.noticed(&terms("me"), seen(&of("other", -600), "3"), secs(113));
    let renewed = Next::Wait(Some(secs(128)));
    assert_eq!(look(&view), (renewed, renewed));
}

#[test]
fn a_holder_leads_from_before_it_sent_and_renews_twice_in_that_time() {
    let leads = |leads_until, next| Decision { leads_until, next };
    let (until, renew) = (Some(secs(110)), Next::Write(Step::Renew));
    let table = [
        (100, leads(until, Next::Wait(Some(secs(105))))),
        (104, leads(until, Next::Wait(Some(secs(105))))),
        (105, leads(until, renew)),
        (109, leads(until, renew)),
        // It stops by itself, and would continue if it were stored after all.
        (110, leads(None, renew)),
        (500, leads(None, renew)),
    ];
    for (now, expected) in table {
        assert_eq!(decide(&terms("me"), &leader(), false, secs(now)), expected);
    }
    let mut view = leader();
    let write = view.write(Step::Renew, &terms("me"), secs(105), time(5));
    assert_eq!(write.on.as_deref(), Some("2"));
    view.answered(write, "3".to_owned());
    let decision = decide(&terms("me"), &view, false, secs(106));
    assert_eq!(
        decision,
        leads(Some(secs(115)), Next::Wait(Some(secs(110))))
    );
}

#[test]
fn a_write_without_an_answer_is_looked_for_and_renewed_from_then_on() {
    let mut view = view(seen(&Record::default(), "1"), secs(100));
    let write = view.write(Step::Take, &terms("me"), secs(100), time(0));
    let look = Decision {
        leads_until: None,
        next: Next::Look,
    };
    assert_eq!(decide(&terms("me"), &view, false, secs(102)), look);
    // What a watch shows meanwhile is no answer: the write may still be on its way.
    view.noticed(&terms("me"), seen(&of("other", 0), "2"), secs(102));
    assert_eq!(decide(&terms("me"), &view, false, secs(102)), look);
    // It was stored, some time ago: one more write says since when it leads.
    view.looked(&terms("me"), seen(&write.record, "3"), secs(103));
    let renew = Decision {
        leads_until: None,
        next: Next::Write(Step::Renew),
    };
    assert_eq!(decide(&terms("me"), &view, false, secs(103)), renew);

    // A renewal that is not answered takes nothing from the time that is left.
    let mut view = leader();
    view.write(Step::Renew, &terms("me"), secs(105), time(5));
    let decision = decide(&terms("me"), &view, false, secs(106));
    assert_eq!(
        (decision.leads_until, decision.next),
        (Some(secs(110)), Next::Look)
    );
}

#[test]
fn who_sees_another_holder_leads_no_longer() {
    let emptied = Record {
        holder: None,
        ..of("me", 0)
    };
    let table = [
        (of("other", 1), Next::Wait(Some(secs(116)))),
        (emptied, Next::Write(Step::Take)),
        // Somebody else of the same name: no fight over it.
        (of("me", 1), Next::Wait(Some(secs(116)))),
    ];
    for (mut record, next) in table {
        record.acquired = Some(time(1));
        let mut view = leader();
        view.noticed(&terms("me"), seen(&record, "3"), secs(101));
        let expected = Decision {
            leads_until: None,
            next,
        };
        let decision = decide(&terms("me"), &view, false, secs(101));
        assert_eq!(decision, expected, "{record:?}");
    }
}

#[test]
fn deleted_lease_is_recreated_by_its_holder_or_by_others_once_the_holder_has_ended() {
    let mut holder = leader();
    holder.noticed(&terms("me"), None, secs(102));
    assert_eq!(next_of(&holder, secs(102)), Next::Look);
    holder.looked(&terms("me"), None, secs(102));
    let decision = decide(&terms("me"), &holder, false, secs(102));
    assert_eq!(decision.leads_until, Some(secs(110)));
    assert_eq!(decision.next, Next::Write(Step::Create));

    let mut other = view(seen(&of("other", 0), "1"), secs(100));
    other.looked(&terms("me"), None, secs(102));
    other.looked(&terms("me"), None, secs(110));
    assert_eq!(next_of(&other, secs(116)), Next::Wait(Some(secs(117))));
    assert_eq!(next_of(&other, secs(117)), Next::Write(Step::Create));

    let mut free = view(seen(&Record::default(), "1"), secs(100));
    free.looked(&terms("me"), None, secs(102));
    assert_eq!(next_of(&free, secs(102)), Next::Write(Step::Create));
}

#[test]
fn a_resigning_candidate_releases_its_own_lease_only() {
    let gives_up = |view: &View| decide(&terms("me"), view, true, secs(101));
    let ends = |next| Decision {
        leads_until: None,
        next,
    };
    let mut view = leader();
    assert_eq!(gives_up(&view), ends(Next::Write(Step::Release)));
    let write = view.write(Step::Release, &terms("me"), secs(101), time(1));
    let expected = Record {
        holder: None,
        seconds: Some(1),
        acquired: Some(time(0)),
        renewed: Some(time(1)),
        transitions: 1,
    };
    assert_eq!((write.on.as_deref(), &write.record), (Some("2"), &expected));
    view.answered(write, "3".to_owned());
    assert_eq!(gives_up(&view), ends(Next::Wait(None)));

    for lease in [
        None,
        seen(&Record::default(), "1"),
        seen(&of("other", 0), "1"),
        seen(&of("me", 0), "1"),
    ] {
        assert_eq!(
            gives_up(&self::view(lease, secs(100))),
            ends(Next::Wait(None))
        );
    }
    // What was sent last may be stored, so one looks before one goes.
    let mut unsure = self::view(seen(&Record::default(), "1"), secs(100));
    unsure.write(Step::Take, &terms("me"), secs(100), time(0));
    assert_eq!(gives_up(&unsure), ends(Next::Look));
}

#[test]
fn transitions_count_changes_of_the_holder() {
    let counted = |transitions: i32, holder: &str| {
        let record = Record {
            transitions,
            ..of(holder, 0)
        };
        let mut view = view(seen(&record, "7"), secs(100));
        let write = view.write(Step::Take, &terms("me"), secs(200), time(60));
        let expected = Record {
            holder: Some("me".to_owned()),
            seconds: Some(15),
            acquired: Some(time(60)),
            renewed: Some(time(60)),
            transitions: write.record.transitions,
        };
        assert_eq!((write.on.as_deref(), &write.record), (Some("7"), &expected));
        write.record.transitions
    };
    let table = [
        (0, 1),
        (41, 42),
        (i32::MAX, i32::MAX),
        (-5, 1),
        (i32::MIN, 1),
    ];
    for (before, after) in table {
        assert_eq!(counted(before, "other"), after);
    }
    assert_eq!(counted(41, "me"), 41, "started again");
    let mut nothing = view(None, secs(100));
    let write = nothing.write(Step::Create, &terms("me"), secs(100), time(0));
    assert_eq!((write.on, write.record.transitions), (None, 0));
}

#[test]
fn each_renewal_differs_from_the_one_before_however_the_clock_is_set() {
    let mut view = leader();
    let mut renewals = Vec::new();
    for (at, version) in [(-600, "3"), (-600, "4"), (600, "5"), (0, "6")] {
        let write = view.write(Step::Renew, &terms("me"), secs(105), time(at));
        renewals.extend(write.record.renewed);
        view.answered(write, version.to_owned());
    }
    let micros = |count| SignedDuration::from_micros(count);
    let expected = [
        time(0) + micros(1),
        time(0) + micros(2),
        time(600),
        time(600) + micros(1),
    ];
    assert_eq!(renewals, expected);

    // At the end of time there is no later one; nothing breaks.
    let last = Record {
        renewed: Some(Timestamp::MAX),
        ..of("me", 0)
    };
    let mut view = self::view(seen(&last, "1"), secs(100));
    view.write(Step::Take, &terms("me"), secs(100), time(0));
}

#[test]
fn versions_that_went_back_are_believed_when_one_looks() {
    // As after a restore of etcd: a watch would show them as old forever.
    let mut view = view(seen(&of("other", 0), "900"), secs(100));
    let restored = of("before", 0);
    view.noticed(&terms("me"), seen(&restored, "300"), secs(101));
    assert_eq!(next_of(&view, secs(101)), Next::Wait(Some(secs(115))));
    view.looked(&terms("me"), seen(&restored, "300"), secs(120));
    assert_eq!(next_of(&view, secs(120)), Next::Wait(Some(secs(135))));
    // What is no number can't be compared: whatever differs is new.
    view.noticed(&terms("me"), seen(&of("other", 0), "a"), secs(130));
    view.noticed(&terms("me"), seen(&of("other", 1), "a"), secs(131));
    assert_eq!(next_of(&view, secs(131)), Next::Wait(Some(secs(145))));
}
