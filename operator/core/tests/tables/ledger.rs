//! Tables of what a Semaphore or Lease decides.

use std::sync::Arc;

use crate::world::{World, controller, ended, job, now, object, short};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use konductor_api::{Lease, LeaseStatus, Semaphore, SemaphoreStatus};
use konductor_core::{Decision, Fact, Facts, Freshness, Needs, ObjectName, ledger};
use serde_json::{Value, json};

fn semaphore(permits: u32, holders: Value) -> Value {
    object(
        "Semaphore",
        "batch",
        json!({"spec": {"permits": permits}, "status": {"holders": holders}}),
    )
}

fn holder(kind: &str, name: &str, permits: u32) -> Value {
    json!({"kind": kind, "name": name, "uid": format!("uid-{name}"), "holder": name,
        "permits": permits})
}

fn claim(name: &str, second: u32, rest: Value) -> Value {
    let mut claim = object(
        "Claim",
        name,
        json!({
            "metadata": {"creationTimestamp": format!("2026-03-01T11:00:{second:02}Z")},
            "spec": {"target": {"kind": "Semaphore", "name": "batch"}, "holder": name},
        }),
    );
    for (key, value) in rest.as_object().unwrap() {
        let target = claim
            .as_object_mut()
            .unwrap()
            .entry(key)
            .or_insert(json!({}));
        for (key, value) in value.as_object().unwrap() {
            target[key] = value.clone();
        }
    }
    claim
}

fn decide(semaphore: Value, world: &World) -> (Decision<SemaphoreStatus>, Vec<Fact>) {
    let semaphore: Semaphore = serde_json::from_value(semaphore).unwrap();
    world.decide(|facts| ledger::decide_semaphore(&semaphore, facts, now()))
}

fn holders(decision: &Decision<SemaphoreStatus>) -> Vec<String> {
    let status = decision.status.as_ref().unwrap();
    status
        .holders
        .iter()
        .map(|held| held.name.clone())
        .collect()
}

#[test]
fn permits_are_granted_in_the_order_of_creation_and_never_beyond_their_number() {
    let world = World::of([
        claim("third", 3, json!({})),
        claim("first", 1, json!({})),
        claim("second", 2, json!({})),
    ]);
    let (decision, live) = decide(semaphore(2, json!([])), &world);
    assert_eq!(holders(&decision), ["first", "second"]);
    let mut granted = short(&decision.after);
    granted.sort();
    assert_eq!(granted, ["Claim/first Granted", "Claim/second Granted"]);
    assert_eq!(live.len(), 2, "each was read live: {live:?}");
}

#[test]
fn the_head_of_the_queue_is_not_overtaken_unless_it_can_never_fit() {
    let big = |permits| {
        World::of([
            claim("big", 1, json!({"spec": {"permits": permits}})),
            claim("small", 2, json!({})),
        ])
    };
    let held = json!([holder("Claim", "other", 1)]);
    let other = claim("other", 0, json!({"status": {"phase": "Granted"}}));
    for (permits, expected) in [(2, vec!["other"]), (3, vec!["other", "small"])] {
        let mut world = big(permits);
        world.cached.add(other.clone());
        world.live.add(other.clone());
        let (decision, _) = decide(semaphore(2, held.clone()), &world);
        assert_eq!(holders(&decision), expected, "asks for {permits} of 2");
    }
}

#[test]
fn priority_goes_first_only_where_the_order_says_so() {
    let world = World::of([
        claim("early", 1, json!({})),
        claim("urgent", 2, json!({"spec": {"priority": 5}})),
    ]);
    for (order, expected) in [("Fifo", "early"), ("Priority", "urgent")] {
        let mut semaphore = semaphore(1, json!([]));
        semaphore["spec"]["order"] = order.into();
        let (decision, _) = decide(semaphore, &world);
        assert_eq!(holders(&decision), [expected], "{order}");
    }
}

#[test]
fn a_claim_that_is_gone_by_now_is_not_granted_although_the_cache_shows_it() {
    let mut world = World::of([claim("second", 2, json!({}))]);
    world.cached.add(claim("gone", 1, json!({})));
    let (decision, _) = decide(semaphore(1, json!([])), &world);
    assert_eq!(holders(&decision), ["second"]);
}

#[test]
fn a_holder_that_the_cache_misses_is_kept_while_it_is_there() {
    let mut world = World::default();
    world.live.add(claim("new", 1, json!({})));
    let (decision, live) = decide(semaphore(1, json!([holder("Claim", "new", 1)])), &world);
    assert_eq!(holders(&decision), ["new"]);
    assert_eq!(live.len(), 1, "{live:?}");
}

/// How many rounds of observing it takes is what `World::decide` limits.
#[test]
fn many_that_ask_from_pods_or_of_runs_are_decided_in_a_few_rounds() {
    let mut world = World::default();
    for number in 0..60 {
        let pod = json!({"pod": {"name": format!("p{number}"), "uid": format!("uid-p{number}")}});
        let phase = if number < 30 { "Running" } else { "Succeeded" };
        let objects = [
            claim(&format!("c{number}"), number % 60, json!({"spec": pod})),
            object(
                "Pod",
                &format!("p{number}"),
                json!({"status": {"phase": phase}}),
            ),
            object(
                "Run",
                &format!("r{number}"),
                json!({"spec": {"pipeline": "p", "jobs": 1}}),
            ),
            job(
                &format!("j{number}"),
                json!({"konductor.io/hold": format!("semaphore/batch, semaphore/other-{number}")}),
                json!({
                    "metadata": {"labels": {"konductor.io/run": format!("r{number}")}},
                    "spec": {"suspend": true},
                }),
            ),
        ];
        for object in objects {
            world.cached.add(object.clone());
            world.live.add(object);
        }
    }
    let (decision, _) = decide(semaphore(100, json!([])), &world);
    assert_eq!(holders(&decision).len(), 30 + 60);
    let expired = short(&decision.before);
    assert_eq!(
        expired
            .iter()
            .filter(|write| write.ends_with("Expired"))
            .count(),
        30
    );
}

#[test]
fn next_candidates_are_read_in_the_same_round_as_doubtful_holders() {
    let world = World::of([claim("next", 2, json!({})), claim("later", 3, json!({}))]);
    let held = semaphore(1, json!([holder("Claim", "gone", 1)]));
    let held: Semaphore = serde_json::from_value(held).unwrap();
    let mut facts = Facts::default();
    let needs = loop {
        let needs = ledger::decide_semaphore(&held, &facts, now()).unwrap_err();
        if needs.values().any(|how| *how == Freshness::Live) {
            break needs;
        }
        for (fact, how) in needs {
            let objects = world.cached.answer(&fact);
            facts.record(fact, how, objects);
        }
    };
    let live = |name| (Fact::Claim(ObjectName::new("ns", name)), Freshness::Live);
    assert_eq!(needs, Needs::from([live("gone"), live("next")]));
}

#[test]
fn holders_are_struck_when_they_are_gone_deleted_expired_or_another_of_the_same_name() {
    let reborn = {
        let mut claim = claim("held", 1, json!({"status": {"phase": "Granted"}}));
        claim["metadata"]["uid"] = "another".into();
        claim
    };
    let leaving = {
        let mut claim = claim("held", 1, json!({"status": {"phase": "Granted"}}));
        claim["metadata"]["deletionTimestamp"] = crate::world::NOW.into();
        claim
    };
    let expired = claim("held", 1, json!({"status": {"phase": "Expired"}}));
    for world in [
        World::default(),
        World::of([reborn]),
        World::of([leaving]),
        World::of([expired]),
    ] {
        let (decision, _) = decide(semaphore(1, json!([holder("Claim", "held", 1)])), &world);
        assert_eq!(holders(&decision), [""; 0]);
    }
}

#[test]
fn a_job_keeps_its_permit_until_its_last_pod_has_ended() {
    let pod = |phase: &str| {
        object(
            "Pod",
            "pod",
            json!({
                "metadata": {"ownerReferences": [controller("uid-work")]},
                "status": {"phase": phase},
            }),
        )
    };
    let forged = |owners: Value| {
        let labels = json!({"batch.kubernetes.io/controller-uid": "uid-work",
            "batch.kubernetes.io/job-name": "work"});
        object(
            "Pod",
            "forged",
            json!({
                "metadata": {"labels": labels, "ownerReferences": owners},
                "status": {"phase": "Running"},
            }),
        )
    };
    let done = || {
        job(
            "work",
            json!({"konductor.io/hold": "semaphore/batch"}),
            ended("Complete"),
        )
    };
    let table = [
        (World::of([done(), pod("Running")]), true),
        (World::of([done(), pod("Succeeded")]), false),
        (World::of([done()]), false),
        // Deleted with its pods left behind.
        (World::of([pod("Running")]), true),
        // Pods of nobody, and of another, that only look like its own.
        (World::of([done(), forged(json!([]))]), false),
        (
            World::of([done(), forged(json!([controller("uid-other")]))]),
            false,
        ),
        (World::default(), false),
    ];
    for (index, (world, kept)) in table.into_iter().enumerate() {
        let (decision, _) = decide(semaphore(1, json!([holder("Job", "work", 1)])), &world);
        let next = decision.status.unwrap();
        assert_eq!(!next.holders.is_empty(), kept, "case {index}");
    }
}

#[test]
fn lowering_permits_takes_nothing_back_and_grants_nothing() {
    let world = World::of([
        claim("a", 1, json!({"status": {"phase": "Granted"}})),
        claim("b", 2, json!({"status": {"phase": "Granted"}})),
        claim("c", 3, json!({})),
    ]);
    let held = json!([holder("Claim", "a", 1), holder("Claim", "b", 1)]);
    let (decision, _) = decide(semaphore(0, held), &world);
    assert_eq!(holders(&decision), ["a", "b"]);
}

#[test]
fn who_does_not_wait_is_denied_only_by_the_ledger_as_it_is() {
    let objects = || {
        [
            claim("a", 1, json!({"status": {"phase": "Granted"}})),
            claim("b", 2, json!({"spec": {"wait": false}})),
        ]
    };
    let held = json!([holder("Claim", "a", 1)]);
    for (version, expected) in [("100", vec!["Claim/b Denied"]), ("101", vec![])] {
        let mut world = World::of(objects());
        let mut live = semaphore(1, held.clone());
        live["metadata"]["resourceVersion"] = version.into();
        world.live.add(live);
        let (decision, _) = decide(semaphore(1, held.clone()), &world);
        assert_eq!(short(&decision.after), expected, "version {version}");
    }
}

#[test]
fn an_expired_claim_is_notified_before_the_ledger_removes_it() {
    let granted = claim(
        "a",
        1,
        json!({"spec": {"ttl": "30s"}, "status": {"phase": "Granted"}}),
    );
    for (age, expected, wake) in [
        (29, vec![], Some(now() + SignedDuration::from_secs(1))),
        (30, vec!["Claim/a Expired"], None),
    ] {
        let mut world = World::of([granted.clone(), claim("b", 2, json!({}))]);
        let seen = now() - SignedDuration::from_secs(age);
        world
            .facts
            .renewals_seen
            .insert("uid-a".into(), (None, seen));
        let (decision, _) = decide(semaphore(1, json!([holder("Claim", "a", 1)])), &world);
        assert_eq!(short(&decision.before), expected, "{age} s");
        assert_eq!(
            holders(&decision),
            ["a"],
            "the ledger forgets it only once it is Expired"
        );
        assert_eq!(decision.wake, wake);
    }
}

/// What a holder writes as `renewTime` says only that it has renewed.
#[test]
fn a_holder_whose_clock_is_wrong_keeps_what_it_renews() {
    for (renewed, age, expected) in [
        ("2026-03-01T11:50:00.000000Z", 5, vec![]),
        ("2026-03-01T12:10:00.000000Z", 31, vec!["Claim/a Expired"]),
    ] {
        let spec = json!({"ttl": "30s", "renewTime": renewed});
        let granted = claim(
            "a",
            1,
            json!({"spec": spec, "status": {"phase": "Granted"}}),
        );
        let mut world = World::of([granted]);
        let seen = now() - SignedDuration::from_secs(age);
        let renewal = MicroTime(renewed.parse().unwrap());
        world
            .facts
            .renewals_seen
            .insert("uid-a".into(), (Some(renewal), seen));
        let (decision, _) = decide(semaphore(1, json!([holder("Claim", "a", 1)])), &world);
        assert_eq!(short(&decision.before), expected, "renewed at {renewed}");
    }
}

/// A live read can be ahead of the cache, from which renewals are timed.
#[test]
fn a_renewal_that_the_cache_has_not_seen_is_not_expired() {
    let renewed = claim(
        "a",
        1,
        json!({
            "spec": {"ttl": "30s", "renewTime": "2026-03-01T12:00:00.000000Z"},
            "status": {"phase": "Granted"},
        }),
    );
    let mut world = World::of([renewed]);
    let seen = now() - SignedDuration::from_secs(30);
    world
        .facts
        .renewals_seen
        .insert("uid-a".into(), (None, seen));
    let (decision, _) = decide(semaphore(1, json!([holder("Claim", "a", 1)])), &world);
    assert_eq!(
        (short(&decision.before), holders(&decision)),
        (vec![], vec!["a".into()])
    );
}

#[test]
fn a_claim_ends_with_its_pod() {
    let with_pod = claim(
        "a",
        1,
        json!({"spec": {"pod": {"name": "p", "uid": "uid-p"}}, "status": {"phase": "Granted"}}),
    );
    for (phase, expected) in [("Running", vec![]), ("Failed", vec!["Claim/a Expired"])] {
        let pod = object("Pod", "p", json!({"status": {"phase": phase}}));
        let world = World::of([with_pod.clone(), pod]);
        let (decision, _) = decide(semaphore(1, json!([holder("Claim", "a", 1)])), &world);
        assert_eq!(short(&decision.before), expected, "{phase}");
    }
}

#[test]
fn a_ledger_that_was_never_written_takes_in_those_that_hold() {
    let mut running = job(
        "work",
        json!({
            "konductor.io/hold": "semaphore/batch=2",
            "konductor.io/phase": "Running",
        }),
        json!({"spec": {"suspend": false}}),
    );
    running["metadata"]["creationTimestamp"] = "2026-03-01T10:00:00Z".into();
    // Created from what is stored of one that held.
    let copy = job(
        "copy",
        json!({
            "konductor.io/hold": "semaphore/batch",
            "konductor.io/held": "semaphore/batch",
            "konductor.io/phase": "Running",
        }),
        json!({"metadata": {"generation": 1}}),
    );
    let world = World::of([
        running,
        copy,
        claim("a", 1, json!({"status": {"phase": "Granted"}})),
        claim("b", 2, json!({})),
    ]);
    let mut fresh = semaphore(3, json!([]));
    fresh.as_object_mut().unwrap().remove("status");
    let (decision, live) = decide(fresh, &world);
    let mut names = holders(&decision);
    names.sort();
    assert_eq!(names, ["a", "work"]);
    // What all ledgers of a namespace ask for is read once for many of them.
    assert!(live.contains(&Fact::HeldIn("ns".to_owned())), "{live:?}");
    let lists_jobs = |fact: &Fact| matches!(fact, Fact::JobsHolding { .. });
    assert!(!live.iter().any(lists_jobs), "{live:?}");
}

#[test]
fn a_second_decision_after_the_first_was_written_writes_nothing() {
    let world = World::of([claim("a", 1, json!({})), claim("b", 2, json!({}))]);
    let (first, _) = decide(semaphore(1, json!([])), &world);
    let mut next: Semaphore = serde_json::from_value(semaphore(1, json!([]))).unwrap();
    next.status = first.status;
    let granted = claim("a", 1, json!({"status": {"phase": "Granted"}}));
    let world = World::of([granted, claim("b", 2, json!({}))]);
    let (second, _) = world.decide(|facts| ledger::decide_semaphore(&next, facts, now()));
    assert_eq!(second, Decision::default());
}

#[test]
fn a_job_takes_several_holds_one_after_the_other_leases_first_then_by_name() {
    let work = || {
        let annotations = json!({
            "konductor.io/hold": "semaphore/batch, lease/schema, semaphore/api",
            "konductor.io/phase": "Queued",
        });
        job("work", annotations, json!({}))
    };
    let api = |holders: Value| {
        let fields = json!({"spec": {"permits": 1}, "status": {"holders": holders}});
        object("Semaphore", "api", fields)
    };
    let schema = |holders: Value| {
        let status = json!({"holders": holders, "token": 7});
        object(
            "Lease",
            "schema",
            json!({"spec": {"ttl": "30s"}, "status": status}),
        )
    };
    let (none, held) = (|| json!([]), || json!([holder("Job", "work", 1)]));
    let table = [
        (none(), none(), false),
        (held(), none(), false),
        (none(), held(), false),
        (held(), held(), true),
    ];
    for (index, (of_schema, of_api, granted)) in table.into_iter().enumerate() {
        let world = World::of([work(), schema(of_schema), api(of_api)]);
        let (decision, _) = decide(semaphore(1, none()), &world);
        let next = decision.status.unwrap_or_default();
        assert_eq!(!next.holders.is_empty(), granted, "case {index}");
    }
    let world = World::of([work(), api(none())]);
    let has = lease(json!({"holders": held(), "token": 7}));
    let (decision, _) = world.decide(|facts| ledger::decide_lease(&has, facts, now()));
    let keeps = |status: LeaseStatus| !status.holders.is_empty();
    assert!(
        decision.status.is_none_or(keeps),
        "what it has is kept while it waits for the next"
    );
}

fn lease(status: Value) -> Arc<Lease> {
    let lease = object(
        "Lease",
        "schema",
        json!({"spec": {"ttl": "30s"}, "status": status}),
    );
    Arc::new(serde_json::from_value(lease).unwrap())
}

fn lease_claim(name: &str, status: Value) -> Value {
    object(
        "Claim",
        name,
        json!({
            "spec": {"target": {"kind": "Lease", "name": "schema"}, "holder": name},
            "status": status,
        }),
    )
}

fn decide_lease(lease: &Lease, world: &World) -> LeaseStatus {
    let (decision, _) = world.decide(|facts| ledger::decide_lease(lease, facts, now()));
    decision.status.unwrap()
}

#[test]
fn a_lease_has_one_holder_and_its_token_rises_above_every_version_so_far() {
    let waiting = || [lease_claim("a", json!({})), lease_claim("b", json!({}))];
    for (last, expected) in [(None, 101), (Some(40), 101), (Some(500), 501)] {
        let status = json!({"holders": [], "token": last});
        let next = decide_lease(&lease(status), &World::of(waiting()));
        assert_eq!(
            (next.holders.len(), next.token),
            (1, Some(expected)),
            "{last:?}"
        );
    }
}

#[test]
fn a_lease_whose_token_can_not_rise_grants_nothing_and_says_so() {
    for (token, granted, reason) in [
        (i64::MAX, 0, "TokensExhausted"),
        // The last one that there is.
        (i64::MAX - 1, 1, "Held"),
    ] {
        let status = json!({"holders": [], "token": token});
        let next = decide_lease(&lease(status), &World::of([lease_claim("a", json!({}))]));
        let available = &next.conditions[0];
        assert_eq!(
            (next.holders.len(), next.token, available.reason.as_str()),
            (granted, Some(i64::MAX), reason)
        );
        assert_eq!(available.status, "False");
    }
}

#[test]
fn a_lease_that_was_created_again_keeps_its_holder_and_its_token() {
    let held = lease_claim("a", json!({"phase": "Granted", "token": 77}));
    let mut fresh = (*lease(json!({}))).clone();
    fresh.status = None;
    let next = decide_lease(&fresh, &World::of([held, lease_claim("b", json!({}))]));
    assert_eq!((next.holders[0].name.as_str(), next.token), ("a", Some(77)));
}
