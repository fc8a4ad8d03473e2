//! All reads: the facts that the core asked for, from the cache or live.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::{TryFutureExt, join_all};
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Participant, label};
use konductor_core::{Fact, Facts, Freshness, Held, Needs, ObjectName, Objects, WaitedFor};
use kube::Resource;
use kube::runtime::reflector::Store;

use crate::cache::Cache;
use crate::index::{Key, Watched};
use crate::live::Live;
use crate::reference::reference;

/// Observes what is needed. Live facts are read together.
///
/// # Errors
/// What the API server answered; nothing that is missing is an error.
pub(crate) async fn observe(
    live: &Live,
    cache: &Cache,
    needs: Needs,
    facts: &mut Facts,
) -> Result<(), Arc<kube::Error>> {
    let mut reads = Vec::new();
    for (fact, freshness) in needs {
        match freshness {
            _ if fact.is_remembered() => {
                let objects = cached(cache, &fact);
                facts.record(fact, freshness, objects);
            }
            Freshness::Cached => {
                let objects = cached(cache, &fact);
                facts.record(fact, Freshness::Cached, objects);
            }
            Freshness::Live => reads.push(live.read(&fact).map_ok(|objects| (fact, objects))),
        }
    }
    // All of them to their end, also where one fails: one that nobody polls would keep its turn.
    for read in join_all(reads).await {
        let (fact, objects) = read?;
        facts.record(fact, Freshness::Live, objects);
    }
    Ok(())
}

fn one<K>(store: &Store<K>, name: &ObjectName) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.get(&reference(name)).into_iter().collect()
}

fn referring<K>(cache: &Cache, store: &Store<K>, key: &Key, kind: Watched) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let names = cache.index().referring(key, kind);
    names
        .iter()
        .filter_map(|name| store.get(&reference(name)))
        .collect()
}

fn within<K>(store: &Store<K>, namespace: &str) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.state_filter(|object| object.meta().namespace.as_deref() == Some(namespace))
}

/// What the cache has of a fact.
pub(crate) fn cached(cache: &Cache, fact: &Fact) -> Objects {
    match fact {
        Fact::Job(name) => Objects::Jobs(one(&cache.jobs, name)),
        Fact::Gate(name) => Objects::Gates(one(&cache.gates, name)),
        Fact::Barrier(name) => Objects::Barriers(one(&cache.barriers, name)),
        Fact::Run(name) => Objects::Runs(one(&cache.runs, name)),
        Fact::Claim(name) => Objects::Claims(one(&cache.claims, name)),
        Fact::Arrival(name) => Objects::Arrivals(one(&cache.arrivals, name)),
        Fact::Semaphore(name) => Objects::Semaphores(one(&cache.semaphores, name)),
        Fact::Lease(name) => Objects::Leases(one(&cache.leases, name)),
        Fact::Pod(name) => Objects::Pods(one(&cache.pods, name)),
        Fact::JobsShown(run) => {
            let key = Key::Named(Watched::Run, run.clone());
            Objects::Jobs(referring(cache, &cache.jobs, &key, Watched::Job))
        }
        Fact::JobsLabelled { namespace, labels } => {
            let candidates = match labels.get(label::RUN) {
                Some(run) => {
                    let key = Key::Labelled(namespace.clone(), label::RUN.to_owned(), run.clone());
                    referring(cache, &cache.jobs, &key, Watched::Job)
                }
                None => within(&cache.jobs, namespace),
            };
            let jobs = candidates.into_iter().filter(|job| carries(job, labels));
            Objects::Jobs(jobs.collect())
        }
        Fact::JobsGone { namespace, labels } => {
            let run = labels.get(label::RUN);
            // The Run is known by more than the label, which somebody may have removed.
            let mut others = labels.clone();
            others.remove(label::RUN);
            let is_meant = |job: &Participant| carries(job, &others);
            Objects::Jobs(cache.gone.matching(namespace, run, is_meant, pods(cache)))
        }
        Fact::JobGone(name) => {
            let shown = one(&cache.jobs, name);
            Objects::Jobs(cache.gone.named(name, shown, pods(cache)))
        }
        Fact::ArrivingGone(name) => {
            let arrives = |job: &Participant| job.arrives_at() == Some(&name.name);
            let namespace = &name.namespace;
            Objects::Jobs(cache.gone.matching(namespace, None, arrives, pods(cache)))
        }
        Fact::JobsHolding { kind, name } => {
            let key = Key::Named((*kind).into(), name.clone());
            let jobs = referring(cache, &cache.jobs, &key, Watched::Job);
            Objects::Jobs(
                jobs.into_iter()
                    .filter(|job| job.ledgers().contains(&(*kind, name.name.as_str())))
                    .collect(),
            )
        }
        Fact::WaitedFor(namespace) => {
            let mut names = WaitedFor::default();
            let jobs = within(&cache.jobs, namespace);
            jobs.iter().for_each(|job| names.by_job(job));
            let gates = within(&cache.gates, namespace);
            gates.iter().for_each(|gate| names.by_gate(gate));
            let barriers = within(&cache.barriers, namespace);
            barriers
                .iter()
                .for_each(|barrier| names.by_barrier(barrier));
            Objects::WaitedFor(Arc::new(names))
        }
        Fact::ClaimsOn { kind, name } => {
            let key = Key::Named((*kind).into(), name.clone());
            Objects::Claims(referring(cache, &cache.claims, &key, Watched::Claim))
        }
        Fact::ArrivalsAt(name) => {
            let key = Key::Named(Watched::Barrier, name.clone());
            Objects::Arrivals(referring(cache, &cache.arrivals, &key, Watched::Arrival))
        }
        Fact::RunsOf(name) => {
            let key = Key::Pipeline(name.clone());
            Objects::Runs(referring(cache, &cache.runs, &key, Watched::Run))
        }
        Fact::PodsOf { job_uid, .. } => Objects::Pods(pods_of(cache, job_uid)),
        Fact::HeldIn(namespace) => {
            let mut held = Held::default();
            let jobs = within(&cache.jobs, namespace);
            jobs.iter().for_each(|job| held.by_job(job));
            let pods = within(&cache.pods, namespace);
            pods.iter().for_each(|pod| held.by_pod(pod));
            Objects::Held(Arc::new(held))
        }
    }
}

fn pods_of(cache: &Cache, job_uid: &str) -> Vec<Arc<Pod>> {
    let key = Key::Uid(job_uid.to_owned());
    referring(cache, &cache.pods, &key, Watched::Pod)
}

/// The pods of a Job that is gone, as far as they are not.
fn pods(cache: &Cache) -> impl Fn(&Participant) -> Vec<Arc<Pod>> {
    |job| pods_of(cache, job.metadata.uid.as_deref().unwrap_or_default())
}

fn carries(job: &Participant, labels: &BTreeMap<String, String>) -> bool {
    let mut labels = labels.iter();
    labels.all(|(key, value)| job.label(key) == Some(value))
}
