//! What users do, each story a small one.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{
    Arrival, Barrier, Claim, ClaimPhase, Gate, Lease, Run, RunPhase, Semaphore, label,
};
use konductor_compiler::{Manifests, Object, Options, compile};
use konductor_core::retry::{Begin, kept, retry};
use konductor_dsl::Sources;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{EPOCH, World};
use crate::kubelet::Script;

/// What users do, and what their pods do.
pub struct Story {
    /// What it is about.
    pub name: &'static str,
    /// Plays it to its end.
    pub play: for<'a> fn(&'a World) -> Playing<'a>,
    /// What becomes of a pod.
    pub script: fn(&Pod) -> Script,
    /// Which lines of its end do not depend on when things happen.
    pub fixed: fn(&str) -> bool,
}

pub(super) type Playing<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

/// All stories.
pub const STORIES: [Story; 11] = [
    Story {
        name: "claims_take_turns",
        play: |world| Box::pin(claims_take_turns(world)),
        script: |_| Script::succeed(),
        fixed: |_| true,
    },
    Story {
        name: "a_lease_passes_on",
        play: |world| Box::pin(a_lease_passes_on(world)),
        script: |_| Script::succeed(),
        fixed: |_| true,
    },
    Story {
        name: "jobs_hold_two_things",
        play: |world| Box::pin(jobs_hold_two_things(world)),
        script: |_| Script::succeed().lasting(Duration::from_secs(3)),
        fixed: |_| true,
    },
    Story {
        name: "parties_arrive",
        play: |world| Box::pin(parties_arrive(world)),
        script: |_| Script::succeed().lasting(Duration::from_secs(2)),
        fixed: |_| true,
    },
    Story {
        name: "a_pipeline_succeeds",
        play: |world| Box::pin(a_pipeline(world)),
        script: |_| Script::with_outputs("rows=3\n").lasting(Duration::from_secs(2)),
        fixed: |_| true,
    },
    Story {
        name: "a_pipeline_fails",
        play: |world| Box::pin(a_pipeline(world)),
        script: one_item_fails,
        fixed: |_| true,
    },
    Story {
        name: "a_failed_run_is_retried",
        play: |world| Box::pin(a_failed_run_is_retried(world)),
        script: one_item_fails,
        fixed: |_| true,
    },
    Story {
        name: "a_pipeline_is_cancelled",
        play: |world| Box::pin(a_pipeline_is_cancelled(world)),
        script: |_| Script::with_outputs("rows=3\n").lasting(Duration::from_secs(20)),
        // How far it came before it was cancelled is a matter of time.
        fixed: |line| {
            [
                "run/",
                "semaphore/",
                "lease/",
                "job/story-report:",
                "job/story-tell:",
            ]
            .iter()
            .any(|fixed| line.starts_with(fixed))
        },
    },
    Story {
        name: "a_list_is_gone_over",
        play: |world| Box::pin(a_list(world)),
        script: an_item,
        fixed: |_| true,
    },
    Story {
        name: "items_that_failed_are_retried",
        play: |world| Box::pin(a_failed_list_is_retried(world)),
        script: an_item_or_its_failure,
        fixed: |_| true,
    },
    Story {
        name: "ledgers_are_recreated_in_use",
        play: |world| Box::pin(ledgers_are_recreated_in_use(world)),
        script: |_| Script::succeed().lasting(Duration::from_secs(15)),
        fixed: |_| true,
    },
];

fn one_item_fails(pod: &Pod) -> Script {
    let job = pod.labels().get(label::JOB_NAME).map(String::as_str);
    let script = match job {
        Some("story-part-b") => Script::fail(),
        _ => Script::with_outputs("rows=3\n"),
    };
    script.lasting(Duration::from_secs(2))
}

/// `split` writes four items, and each of them its number.
fn an_item(pod: &Pod) -> Script {
    let script = match (pod.labels().get(label::STAGE), index(pod)) {
        (Some(stage), _) if stage == "split" => {
            Script::with_outputs("parts=[\"a\",\"b\",\"c\",\"d\"]\n")
        }
        (_, Some(index)) => Script::with_outputs(&format!("n={index}\n")),
        _ => Script::succeed(),
    };
    // So long that what the first have written is kept before the last have ended.
    script.lasting(Duration::from_secs(40))
}

fn an_item_or_its_failure(pod: &Pod) -> Script {
    match index(pod) {
        Some(1) => Script::fail().lasting(Duration::from_secs(2)),
        _ => an_item(pod),
    }
}

/// Which item of an Indexed Job a pod is.
fn index(pod: &Pod) -> Option<u32> {
    konductor_core::explain::index(pod)
}

async fn create<K>(world: &World, object: Value) -> K
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let object: K = serde_json::from_value(object).expect("an object");
    let created = world
        .objects::<K>()
        .create(&PostParams::default(), &object)
        .await;
    created.expect("created")
}

async fn semaphore(world: &World, name: &str, permits: u32) {
    create::<Semaphore>(
        world,
        json!({"metadata": {"name": name}, "spec": {"permits": permits}}),
    )
    .await;
}

async fn lease(world: &World, name: &str, ttl: &str) {
    create::<Lease>(
        world,
        json!({"metadata": {"name": name}, "spec": {"ttl": ttl}}),
    )
    .await;
}

async fn claim(world: &World, name: &str, kind: &str, on: &str, permits: u32) {
    let spec = json!({"target": {"kind": kind, "name": on}, "holder": name, "permits": permits});
    create::<Claim>(world, json!({"metadata": {"name": name}, "spec": spec})).await;
}

async fn job(world: &World, name: &str, annotations: Value) {
    let spec = json!({
        "suspend": true,
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox:1.36"}],
        }},
    });
    let metadata = json!({"name": name, "annotations": annotations});
    create::<Job>(world, json!({"metadata": metadata, "spec": spec})).await;
}

async fn granted(world: &World, name: &str) {
    let claims = world.objects::<Claim>();
    let is_granted = || async {
        // One that somebody has deleted waits for nothing any more.
        let claim = claims.get_opt(name).await.expect("an answer");
        claim.is_none_or(|claim| {
            claim
                .status
                .is_some_and(|status| status.phase == ClaimPhase::Granted)
        })
    };
    world.until(is_granted).await;
}

async fn delete<K>(world: &World, name: &str)
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let params = DeleteParams::background();
    done_or_gone(world.objects::<K>().delete(name, &params).await);
}

/// What was done to an object, unless somebody has deleted that.
fn done_or_gone<T>(answer: kube::Result<T>) -> Option<T> {
    match answer {
        Ok(done) => Some(done),
        Err(kube::Error::Api(status)) if status.is_not_found() => None,
        Err(error) => panic!("{error}"),
    }
}

/// All Jobs that there are have ended.
async fn jobs_have_ended(world: &World) {
    let have_ended = || async {
        let jobs = world.list::<Job>().await;
        jobs.iter()
            .all(|job| konductor_api::job_ended(job).is_some())
    };
    world.until(have_ended).await;
}

/// Six ask for one, two or three permits of three; each works and releases.
async fn claims_take_turns(world: &World) {
    semaphore(world, "batch", 3).await;
    let turns = (0_u32..6).map(|index| async move {
        let name = format!("c{index}");
        claim(world, &name, "Semaphore", "batch", 1 + index % 3).await;
        granted(world, &name).await;
        tokio::time::sleep(Duration::from_secs(1 + u64::from(index))).await;
        delete::<Claim>(world, &name).await;
    });
    futures::future::join_all(turns).await;
}

/// The first holder goes silent; the next two have their turn.
async fn a_lease_passes_on(world: &World) {
    lease(world, "schema", "30s").await;
    claim(world, "silent", "Lease", "schema", 1).await;
    granted(world, "silent").await;
    let turns = ["second", "third"].map(|name| async move {
        claim(world, name, "Lease", "schema", 1).await;
        granted(world, name).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        delete::<Claim>(world, name).await;
    });
    futures::future::join_all(turns).await;
}

/// Four Jobs want a Semaphore and a Lease, in different words.
async fn jobs_hold_two_things(world: &World) {
    semaphore(world, "batch", 2).await;
    lease(world, "schema", "30s").await;
    let holds = [
        "semaphore/batch, lease/schema",
        "lease/schema, semaphore/batch=2",
        "semaphore/batch=2",
        "lease/schema",
    ];
    for (index, hold) in holds.into_iter().enumerate() {
        job(
            world,
            &format!("j{index}"),
            json!({"konductor.io/hold": hold}),
        )
        .await;
    }
    jobs_have_ended(world).await;
}

/// Two Jobs and somebody else arrive at a Barrier; a Gate opens with it, and a Job starts.
async fn parties_arrive(world: &World) {
    let spec = json!({"expected": 3});
    let barrier: Barrier = create(world, json!({"metadata": {"name": "all"}, "spec": spec})).await;
    let conditions = json!([{"type": "Barrier", "name": "all", "state": "Open"}]);
    create::<Gate>(
        world,
        json!({"metadata": {"name": "go"}, "spec": {"conditions": conditions}}),
    )
    .await;
    create::<Gate>(
        world,
        json!({"metadata": {"name": "begin"}, "spec": {"conditions": []}}),
    )
    .await;
    job(world, "after", json!({"konductor.io/gate": "go"})).await;
    for name in ["one", "two"] {
        let annotations = json!({"konductor.io/arrive": "all", "konductor.io/gate": "begin"});
        job(world, name, annotations).await;
    }
    let open = Patch::Merge(json!({"spec": {"decision": "Open"}}));
    let gates = world.objects::<Gate>();
    done_or_gone(gates.patch("begin", &PatchParams::default(), &open).await);
    let uid = barrier.uid().expect("a uid");
    let arrival = konductor_api::arrival_name("all", &uid, "somebody");
    let spec = json!({"barrier": "all", "holder": "somebody", "outcome": "Succeeded"});
    let metadata =
        json!({"name": arrival, "ownerReferences": [konductor_api::barrier_owner(&barrier)]});
    create::<Arrival>(world, json!({"metadata": metadata, "spec": spec})).await;
    jobs_have_ended(world).await;
}

const PIPELINE: &str = r#"
pipeline story {
  semaphore slots { permits = 2 }
  lease ledger { ttl = 1m }
  defaults { image = "busybox:1.36" }
  stage prepare { run = "true", output rows: int }
  stage part for item in ["a", "b", "c"] after prepare holding slots {
    run = "echo ${prepare.rows}"
  }
  stage load for item in ["a", "b", "c"] after part[item] holding ledger { run = "true" }
  stage mourn after part.failed { run = "true" }
  stage report after load { run = "true" }
  finally stage tell { run = "true" }
}
"#;

pub(super) async fn apply(world: &World, manifests: &Manifests) {
    let mut owner = None;
    for mut object in manifests.objects() {
        if let (Some(run), false) = (&owner, object.is_shared()) {
            object.metadata_mut().owner_references = Some(vec![konductor_api::run_owner(run)]);
        }
        let params = PostParams::default();
        let created = match &object {
            Object::Run(run) => {
                let run = world.objects::<Run>().create(&params, run).await;
                owner = Some(run.expect("created"));
                continue;
            }
            Object::Gate(gate) => world.objects().create(&params, gate).await.map(drop),
            Object::Barrier(barrier) => world.objects().create(&params, barrier).await.map(drop),
            Object::Semaphore(semaphore) => {
                world.objects().create(&params, semaphore).await.map(drop)
            }
            Object::Lease(lease) => world.objects().create(&params, lease).await.map(drop),
            Object::Job(job) => world.objects().create(&params, &**job).await.map(drop),
            other => panic!("{other} is not expected here"),
        };
        created.expect("created");
    }
}

/// The Run ends, or is gone with all its Jobs.
pub(super) async fn run_ends(world: &World) {
    let runs = world.objects::<Run>();
    let ended = || async {
        let Some(run) = runs.get_opt("story").await.expect("an answer") else {
            return world.list::<Job>().await.is_empty();
        };
        let status = run
            .status
            .filter(|status| status.attempt == run.spec.attempt);
        let phase = status.map(|status| status.phase).unwrap_or_default();
        matches!(
            phase,
            RunPhase::Succeeded | RunPhase::Failed | RunPhase::Cancelled
        )
    };
    world.until(ended).await;
}

/// How long a Run may take by itself: far longer than any of its pods.
const BY_ITSELF: Duration = Duration::from_secs(5 * 60);

/// The Run ends, is cancelled and ends, or is gone with all its Jobs.
pub(super) async fn run_ends_or_is_ended(world: &World) {
    if ends_in_time(run_ends(world)).await {
        return;
    }
    for end in ["cancel", "cancelFinally"] {
        let runs = world.objects::<Run>();
        let patch = Patch::Merge(json!({"spec": {end: true}}));
        done_or_gone(runs.patch("story", &PatchParams::default(), &patch).await);
        if ends_in_time(run_ends(world)).await {
            return;
        }
    }
    run_ends(world).await;
}

async fn ends_in_time(playing: impl Future<Output = ()>) -> bool {
    tokio::time::timeout(BY_ITSELF, playing).await.is_ok()
}

/// A story from which somebody deletes something. It need not come to its end by itself: a waiter for what is gone
/// waits, and users cancel what they don't want any more.
pub(super) async fn whatever_is_deleted(world: &World, play: impl Future<Output = ()>) {
    let by_itself = ends_in_time(play).await;
    let runs = world.objects::<Run>();
    if !by_itself && runs.get_opt("story").await.expect("an answer").is_some() {
        run_ends_or_is_ended(world).await;
    }
}

/// What goes over a list that is found at run time, and what reads all its outputs.
const LIST: &str = r#"
pipeline story {
  lease ledger { ttl = 1m }
  defaults { image = "busybox:1.36" }
  stage split { run = "true", output parts: list<string> }
  stage count for part in split.parts max 9 parallel 2 {
    run = "echo \"${part}\""
    output n: int
  }
  stage load holding ledger { run = "echo \"${count[*].n}\"" }
  finally stage tell { run = "true" }
}
"#;

fn pipeline() -> Manifests {
    manifests(PIPELINE)
}

fn manifests(text: &str) -> Manifests {
    let mut sources = Sources::default();
    sources.add("story.kon", text);
    let compiled = compile(sources, &Options::at(EPOCH));
    assert_eq!(compiled.diagnostics, []);
    compiled.manifests.expect("it compiles")
}

async fn a_pipeline(world: &World) {
    apply(world, &pipeline()).await;
    run_ends(world).await;
}

async fn a_list(world: &World) {
    apply(world, &manifests(LIST)).await;
    run_ends(world).await;
}

async fn a_failed_list_is_retried(world: &World) {
    a_list(world).await;
    retried(world).await;
}

async fn a_failed_run_is_retried(world: &World) {
    a_pipeline(world).await;
    retried(world).await;
}

/// What failed is recreated, as `koncli retry` does it, and fails again.
async fn retried(world: &World) {
    let runs = world.objects::<Run>();
    let Some(run) = runs.get_opt("story").await.expect("an answer") else {
        return;
    };
    let jobs = world.list::<konductor_api::Participant>().await;
    let jobs: Vec<_> = jobs.into_iter().map(Arc::new).collect();
    let gates = world.list::<Gate>().await;
    let barriers = world.list::<Barrier>().await;
    // What is gone may be needed: then there is nothing to retry, and it says so.
    let Ok(made) = retry(&run, &jobs, &gates, &barriers, Begin::Failed) else {
        return;
    };
    replace_begins(world, &made.jobs).await;
    replace_begins(world, &made.gates).await;
    replace_begins(world, &made.barriers).await;
    let present = world.list::<Job>().await;
    let kept = kept(&run, &present, &made.jobs);
    let attempt = Patch::Merge(json!({"spec": {"attempt": made.attempt, "kept": kept}}));
    let patched = runs.patch("story", &PatchParams::default(), &attempt).await;
    if done_or_gone(patched).is_none() {
        return;
    }
    replace_ends(world, made.gates).await;
    replace_ends(world, made.barriers).await;
    replace_ends(world, made.jobs).await;
    run_ends(world).await;
}

/// Deletes what is recreated, and waits until it is gone.
async fn replace_begins<K>(world: &World, old: &[K])
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    for object in old {
        let params = DeleteParams::foreground();
        done_or_gone(
            world
                .objects::<K>()
                .delete(&object.name_any(), &params)
                .await,
        );
    }
    let are_gone = || async {
        let left = world.list::<K>().await;
        !left
            .iter()
            .any(|object| old.iter().any(|gone| gone.uid() == object.uid()))
    };
    world.until(are_gone).await;
}

async fn replace_ends<K>(world: &World, new: Vec<K>)
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    for mut object in new {
        object.meta_mut().uid = None;
        let created = world
            .objects::<K>()
            .create(&PostParams::default(), &object)
            .await;
        created.expect("created");
    }
}

async fn a_pipeline_is_cancelled(world: &World) {
    apply(world, &pipeline()).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let cancel = Patch::Merge(json!({"spec": {"cancel": true}}));
    let runs = world.objects::<Run>();
    done_or_gone(runs.patch("story", &PatchParams::default(), &cancel).await);
    run_ends(world).await;
}

/// A Semaphore and a Lease are deleted while they are held, and created again.
async fn ledgers_are_recreated_in_use(world: &World) {
    semaphore(world, "batch", 1).await;
    lease(world, "schema", "1m").await;
    job(
        world,
        "first",
        json!({"konductor.io/hold": "semaphore/batch, lease/schema"}),
    )
    .await;
    let jobs = world.objects::<Job>();
    let runs = || async {
        let first = jobs.get_opt("first").await.expect("an answer");
        first.is_none_or(|first| first.spec.and_then(|spec| spec.suspend) == Some(false))
    };
    world.until(runs).await;
    delete::<Semaphore>(world, "batch").await;
    delete::<Lease>(world, "schema").await;
    semaphore(world, "batch", 1).await;
    lease(world, "schema", "1m").await;
    job(
        world,
        "second",
        json!({"konductor.io/hold": "semaphore/batch, lease/schema"}),
    )
    .await;
    jobs_have_ended(world).await;
}
