//! What holds for every Job whatever happens to it.

use serde_json::json;

use super::pods;
use super::tests::World;

/// A seeded walk through what can happen to a Job. Whatever it is: plans converge, counters and
/// indexes only grow, terminal words stay, and no more pods are active than allowed.
#[test]
fn any_course_of_events_keeps_the_laws() {
    for seed in 0..400_u64 {
        let mut random = Random(seed);
        let indexed = random.below(2) == 1;
        let mut spec = json!({
            "parallelism": 1 + random.below(3), "completions": 1 + random.below(4),
            "backoffLimit": random.below(4),
        });
        if indexed {
            spec["completionMode"] = "Indexed".into();
            if random.below(2) == 1 {
                spec["backoffLimitPerIndex"] = random.below(2).into();
                spec.as_object_mut().unwrap().remove("backoffLimit");
            }
        }
        if random.below(2) == 1 {
            spec["podReplacementPolicy"] = "Failed".into();
        }
        let mut world = World::new(spec);
        for _ in 0..25 {
            step(&mut world, &mut random);
        }
        world.suspend(false);
        for _ in 0..40 {
            world.advance(400).start();
            let running = world.names(|pod| pods::phase(pod) == "Running").join(" ");
            for name in running.split_whitespace() {
                world.end(name, 0);
            }
            world.reap();
        }
        let last = world.conditions.last().cloned().unwrap_or_default();
        assert!(
            ["Complete", "Failed"].contains(&last.as_str()),
            "seed {seed}: {last}"
        );
    }
}

fn step(world: &mut World, random: &mut Random) {
    let before = world.job.status.clone().unwrap();
    let names: Vec<String> = world
        .names(|pod| !pods::is_terminal(pod))
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    let chosen = names.get(random.below(4)).cloned();
    match (random.below(8), chosen) {
        (0, Some(name)) => world.end(&name, 0),
        (1 | 2, Some(name)) => world.end(&name, 1),
        (3, Some(name)) => world.delete_pod(&name),
        (4, _) => world.suspend(random.below(2) == 1),
        (5, _) => world.advance(10),
        (6, _) => world.reap(),
        _ => world.start(),
    };
    let after = world.job.status.clone().unwrap();
    assert!(after.failed >= before.failed && after.succeeded >= before.succeeded);
    let terminal = |world: &World| {
        let words = world
            .conditions
            .iter()
            .filter(|c| ["Complete", "Failed"].contains(&c.as_str()));
        words.count()
    };
    assert!(terminal(world) <= 1, "{:?}", world.conditions);
    if terminal(world) == 1 {
        assert_eq!(
            world.names(|pod| pods::is_active(pod) || pods::is_terminating(pod)),
            [""; 0]
        );
    }
    let parallelism = world.job.spec.as_ref().unwrap().parallelism.unwrap();
    assert!(world.names(pods::is_active).len() <= usize::try_from(parallelism).unwrap());
}

/// A linear congruential generator: the same seed, the same story.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}
