//! The operator as it is, over the embedded API server, in simulated time, with faults.
//!
//! What enters: a [`Story`] (what users do) and a [`Plan`] (what goes wrong). What leaves: how it
//! ended, as text, after the whole history of stored versions was checked against what must never
//! happen. What must never happen here: the wall clock, a socket, a thread.
//!
//! Time is tokio's, paused: it jumps to the next timer once nobody has anything to do. A plan is
//! data and can be written on a command line, so that what failed is replayed.

mod deletions;
mod faults;
mod history;
mod plan;
mod stories;
mod waits;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use konductor_api::{
    Arrival, Barrier, Claim, Gate, JobPhase, Lease, Run, Semaphore, job_ended, job_phase,
};
use konductor_compiler::Manifests;
use konductor_local::runner::job::{BackOff, JobController};
use konductor_local::{ApiServer, Controllers, ServerOptions};
use konductor_operator::{Clock, Options, WatchesLast};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::kubelet::{self, Kubelet, Script};

pub use deletions::{Deleted, JobHistory};
pub use faults::{Injected, Link, WatchFault, WriteFault};
pub use plan::{Fault, Plan};
use stories::Playing;
pub use stories::{STORIES, Story};

/// The namespace of every story.
pub const NAMESPACE: &str = "default";
/// How long a story may take, whatever goes wrong.
const WITHIN: Duration = Duration::from_secs(30 * 60);
/// What has ended must be let go by then, once no fault lasts any more.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);
/// How long nobody may write anything once all has ended.
const QUIET: Duration = Duration::from_secs(600);
/// How long a crashed operator is away.
const RESTART: Duration = Duration::from_millis(1500);

/// A cluster in simulated time, for one story.
pub struct World {
    /// The API server.
    pub api: ApiServer,
    /// A client whose requests always arrive.
    pub client: Client,
    begun: Instant,
}

/// Simulated time begins here.
const EPOCH: Timestamp = Timestamp::constant(1_767_225_600, 0);

fn clock(begun: Instant, offset: impl Fn() -> SignedDuration + Send + Sync + 'static) -> Clock {
    Clock::new(move || {
        let passed = SignedDuration::try_from(begun.elapsed()).unwrap_or_default();
        EPOCH + passed + offset()
    })
}

impl World {
    async fn new(seed: u64) -> Self {
        let begun = Instant::now();
        let now = clock(begun, || SignedDuration::ZERO);
        let api = ApiServer::new(ServerOptions {
            clock: Arc::new(move || now.now()),
            seed: Some(seed),
            keep_history: true,
            ..ServerOptions::default()
        });
        let client = Client::new(api.router(), NAMESPACE);
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        static CRDS: LazyLock<Vec<CustomResourceDefinition>> = LazyLock::new(konductor_api::crds);
        for crd in &*CRDS {
            let created = crds.create(&PostParams::default(), crd).await;
            created.expect("a CRD");
        }
        Self { api, client, begun }
    }

    /// An API of the story's namespace.
    pub fn objects<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// All objects of a kind.
    pub async fn list<K>(&self) -> Vec<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let list = self.objects::<K>().list(&ListParams::default()).await;
        list.expect("a list").items
    }

    /// Waits until a condition holds, in simulated time.
    pub async fn until<F>(&self, mut is_so: impl FnMut() -> F)
    where
        F: Future<Output = bool>,
    {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// How everything stands, without what differs between two good runs: times, versions, uids.
    async fn summary(&self) -> String {
        let mut text = String::new();
        let mut add = |kind: &str, states: BTreeMap<String, String>| {
            for (name, state) in states {
                let _ = writeln!(text, "{kind}/{name}: {state}");
            }
        };
        let jobs = self.list::<Job>().await.into_iter();
        add(
            "job",
            jobs.map(|job| (job.name_any(), job_state(&job))).collect(),
        );
        let gates = self.list::<Gate>().await.into_iter();
        add(
            "gate",
            gates
                .map(|gate| (gate.name_any(), phase(gate.status, |s| s.phase)))
                .collect(),
        );
        let barriers = self.list::<Barrier>().await.into_iter();
        add(
            "barrier",
            barriers
                .map(|barrier| (barrier.name_any(), phase(barrier.status, |s| s.phase)))
                .collect(),
        );
        let runs = self.list::<Run>().await.into_iter();
        add(
            "run",
            runs.map(|run| (run.name_any(), phase(run.status, |s| s.phase)))
                .collect(),
        );
        let ledgers = self.list::<Semaphore>().await.into_iter();
        add(
            "semaphore",
            ledgers
                .map(|semaphore| (semaphore.name_any(), phase(semaphore.status, |s| s.in_use)))
                .collect(),
        );
        let ledgers = self.list::<Lease>().await.into_iter();
        add(
            "lease",
            ledgers
                .map(|lease| (lease.name_any(), phase(lease.status, |s| s.in_use)))
                .collect(),
        );
        let claims = self.list::<Claim>().await.into_iter();
        add(
            "claim",
            claims
                .map(|claim| (claim.name_any(), phase(claim.status, |s| s.phase)))
                .collect(),
        );
        let arrivals = self.list::<Arrival>().await;
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        for arrival in arrivals {
            *counted.entry(arrival.spec.barrier).or_default() += 1;
        }
        add(
            "arrivals",
            counted
                .into_iter()
                .map(|(name, count)| (name, count.to_string()))
                .collect(),
        );
        text
    }
}

fn phase<S, P: std::fmt::Debug>(status: Option<S>, of: impl Fn(&S) -> P) -> String {
    status.map_or_else(|| "-".to_owned(), |status| format!("{:?}", of(&status)))
}

fn job_state(job: &Job) -> String {
    let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
    match job_ended(job) {
        Some(true) if job_phase(job) == Some(JobPhase::Failed) => "Failed outputs".to_owned(),
        Some(true) => "Complete".to_owned(),
        Some(false) => format!("Failed {:?}", job_phase(job)),
        None => format!("{:?} suspended={suspended}", job_phase(job)),
    }
}

/// How a story ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How everything stood.
    pub summary: String,
    /// How many writes the operators made, or tried to.
    pub writes: u64,
    /// How many versions were stored.
    pub versions: usize,
    /// What really went wrong, and how often.
    pub injected: Injected,
    /// What happened to the Jobs.
    pub jobs: JobHistory,
}

/// Plays a story under a plan.
///
/// # Errors
/// What must never happen and did, with the end of the history.
pub fn play(story: &Story, plan: &Plan) -> Result<Ended, String> {
    in_simulated_time(play_in_time(plan, story.script, story.fixed, story.play))
}

/// Plays a story under a plan that deletes things, to its end or for a while; a Run that does not end by itself is
/// cancelled. Then nothing may wait that has what it waits for.
///
/// # Errors
/// As for [`play`], and if something waits for nothing.
pub fn play_whatever_is_deleted(story: &Story, plan: &Plan) -> Result<Ended, String> {
    in_simulated_time(play_in_time(plan, story.script, story.fixed, |world| {
        Box::pin(stories::whatever_is_deleted(world, (story.play)(world)))
    }))
}

/// Runs a pipeline called `story` under a plan; the summary of its end has the Jobs and the Run.
///
/// # Errors
/// As for [`play`].
pub fn run(
    pipeline: Manifests,
    script: impl Fn(&Pod) -> Script + Send + Sync + 'static,
    plan: &Plan,
) -> Result<Ended, String> {
    let jobs_and_run = |line: &str| line.starts_with("job/") || line.starts_with("run/");
    in_simulated_time(play_in_time(plan, script, jobs_and_run, |world| {
        Box::pin(async move {
            stories::apply(world, &pipeline).await;
            stories::run_ends(world).await;
        })
    }))
}

/// Runs a pipeline called `story` under a plan that deletes things. A Run that does not end by itself
/// is cancelled after a while, its finally stages too; then it must end.
///
/// # Errors
/// As for [`play`].
pub fn run_whatever_is_deleted(
    pipeline: Manifests,
    script: impl Fn(&Pod) -> Script + Send + Sync + 'static,
    plan: &Plan,
) -> Result<Ended, String> {
    let jobs_and_run = |line: &str| line.starts_with("job/") || line.starts_with("run/");
    in_simulated_time(play_in_time(plan, script, jobs_and_run, |world| {
        Box::pin(async move {
            stories::apply(world, &pipeline).await;
            stories::run_ends_or_is_ended(world).await;
        })
    }))
}

fn in_simulated_time(
    playing: impl Future<Output = Result<Ended, String>>,
) -> Result<Ended, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(playing)
}

async fn play_in_time(
    plan: &Plan,
    script: impl Fn(&Pod) -> Script + Send + Sync + 'static,
    fixed: impl Fn(&str) -> bool,
    play: impl for<'a> FnOnce(&'a World) -> Playing<'a>,
) -> Result<Ended, String> {
    let world = World::new(plan.seed).await;
    let controllers = Controllers::start(&world.api);
    let job_controller = JobController::start(&world.api, BackOff::default());
    let kubelet: Kubelet = kubelet::play(&world.client, NAMESPACE, script);
    let links: Vec<Arc<Link>> = (0..plan.operators)
        .map(|index| Link::new(plan.of_operator(index), plan.delay()))
        .collect();
    let operators: Vec<JoinHandle<()>> = links
        .iter()
        .map(|link| tokio::spawn(operate(world.api.clone(), world.begun, Arc::clone(link))))
        .collect();
    let compacting = tokio::spawn(compact(world.api.clone(), plan.compactions()));
    let deleting = tokio::spawn(deletions::delete(
        world.api.clone(),
        world.client.clone(),
        plan.clone(),
        links.clone(),
    ));
    let done = tokio::time::timeout(WITHIN, play(&world)).await;
    let result = match done {
        _ if links.iter().any(|link| link.writes_without_end()) => {
            Err("an operator writes without an end".to_owned())
        }
        Err(_) => Err(format!(
            "after {WITHIN:?} the story has not ended:\n{}",
            world.summary().await
        )),
        Ok(()) => match settle(&world, plan).await {
            Ok(summary) => waits::for_something(&world).await.map(|()| {
                let lines = summary.lines().filter(|line| fixed(line));
                lines.map(|line| format!("{line}\n")).collect()
            }),
            Err(why) => Err(why),
        },
    };
    for operator in &operators {
        operator.abort();
    }
    compacting.abort();
    deleting.abort();
    let records = world.api.history(0);
    let result = history::check(&records).and(result);
    drop(kubelet);
    job_controller.shutdown().await;
    controllers.shutdown().await;
    let writes = links.iter().map(|link| link.writes()).sum();
    match result {
        Ok(summary) => Ok(Ended {
            summary,
            writes,
            versions: records.len(),
            injected: injected(plan, &links, world.begun.elapsed()),
            jobs: deletions::job_history(&records),
        }),
        Err(why) => Err(format!("{why}\n{}", history::tail(&records))),
    }
}

fn injected(plan: &Plan, links: &[Arc<Link>], passed: Duration) -> Injected {
    let mut injected = plan.injected(passed);
    for (what, count) in links.iter().flat_map(|link| link.injected()) {
        *injected.entry(what).or_default() += count;
    }
    injected
}

/// After a story has ended, all is let go soon, and then nobody writes anything any more.
async fn settle(world: &World, plan: &Plan) -> Result<String, String> {
    tokio::time::sleep_until(world.begun + plan.last_pause_ends()).await;
    tokio::time::sleep(plan.longest_delay() + SETTLES_WITHIN).await;
    let summary = world.summary().await;
    history::nothing_leaks(&world.api.history(0))?;
    let before = world.api.history(0).len();
    tokio::time::sleep(QUIET).await;
    let after = world.api.history(0);
    if after.len() > before {
        return Err(format!(
            "somebody writes although nothing happens: {} versions",
            after.len() - before
        ));
    }
    Ok(summary)
}

/// An operator that is started again whenever it has crashed.
async fn operate(api: ApiServer, begun: Instant, link: Arc<Link>) {
    loop {
        let client = Client::new(link.to(&api), NAMESPACE);
        let offset = Arc::clone(&link);
        let options = Options {
            clock: clock(begun, move || offset.clock_offset(begun.elapsed())),
            // Hours pass here, and no connection freezes: renewals would be most of the work.
            watches_last: WatchesLast(Duration::from_secs(290)),
            ..Options::default()
        };
        let operator = konductor_operator::run(client, options, std::future::pending());
        let mut operator = std::pin::pin!(operator);
        loop {
            tokio::select! {
                biased;
                () = link.crashed() => break,
                // Not polled meanwhile: stopped, as by SIGSTOP.
                pause = link.paused(begun) => tokio::time::sleep(pause).await,
                ended = &mut operator => panic!("the operator ended: {ended:?}"),
            }
        }
        tokio::time::sleep(RESTART).await;
    }
}

async fn compact(api: ApiServer, times: Vec<Duration>) {
    let begun = Instant::now();
    for time in times {
        tokio::time::sleep_until(begun + time).await;
        api.compact();
    }
}
