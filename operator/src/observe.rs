//! All reads: the facts that the core asked for, from the cache or live.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use konductor_api::{LedgerKind, label, parse_holds};
use konductor_core::{Fact, Facts, Freshness, Needs, ObjectName, Objects};
use kube::api::ListParams;
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::cache::{Cache, reference};
use crate::index::{Key, Watched};

/// Observes what is needed. Live facts are read together.
///
/// # Errors
/// What the API server answered; nothing that is missing is an error.
pub(crate) async fn observe(
    client: &Client,
    cache: &Cache,
    needs: Needs,
    facts: &mut Facts,
) -> Result<(), kube::Error> {
    let mut live = Vec::new();
    for (fact, freshness) in needs {
        match freshness {
            Freshness::Cached => {
                let objects = cached(cache, &fact);
                facts.record(fact, Freshness::Cached, objects);
            }
            Freshness::Live => live.push(read(client, fact)),
        }
    }
    for (fact, objects) in try_join_all(live).await? {
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

fn cached(cache: &Cache, fact: &Fact) -> Objects {
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
        Fact::JobsHolding { kind, name } => {
            let key = Key::Named((*kind).into(), name.clone());
            let jobs = referring(cache, &cache.jobs, &key, Watched::Job);
            Objects::Jobs(
                jobs.into_iter()
                    .filter(|job| asks_for(job, *kind, &name.name))
                    .collect(),
            )
        }
        Fact::JobsIn(namespace) => Objects::Jobs(within(&cache.jobs, namespace)),
        Fact::GatesIn(namespace) => Objects::Gates(within(&cache.gates, namespace)),
        Fact::BarriersIn(namespace) => Objects::Barriers(within(&cache.barriers, namespace)),
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
        Fact::PodsOf { namespace, job_uid } => {
            let mut pods = within(&cache.pods, namespace);
            pods.retain(|pod| {
                let labels = pod.metadata.labels.as_ref();
                labels.and_then(|labels| labels.get(label::JOB_UID)) == Some(job_uid)
            });
            Objects::Pods(pods)
        }
    }
}

fn carries(job: &Job, labels: &BTreeMap<String, String>) -> bool {
    let own = job.metadata.labels.as_ref();
    labels
        .iter()
        .all(|(key, value)| own.and_then(|own| own.get(key)) == Some(value))
}

fn asks_for(job: &Job, kind: LedgerKind, name: &str) -> bool {
    let annotations = job.metadata.annotations.as_ref();
    let text = annotations.and_then(|all| all.get(konductor_api::annotation::HOLD));
    let holds = text
        .and_then(|text| parse_holds(text).ok())
        .unwrap_or_default();
    holds
        .iter()
        .any(|hold| hold.kind == kind && hold.name == name)
}

async fn read(client: &Client, fact: Fact) -> Result<(Fact, Objects), kube::Error> {
    let reader = Reader { client };
    let objects = match &fact {
        Fact::Job(name) => Objects::Jobs(reader.get(name).await?),
        Fact::Gate(name) => Objects::Gates(reader.get(name).await?),
        Fact::Barrier(name) => Objects::Barriers(reader.get(name).await?),
        Fact::Run(name) => Objects::Runs(reader.get(name).await?),
        Fact::Claim(name) => Objects::Claims(reader.get(name).await?),
        Fact::Arrival(name) => Objects::Arrivals(reader.get(name).await?),
        Fact::Semaphore(name) => Objects::Semaphores(reader.get(name).await?),
        Fact::Lease(name) => Objects::Leases(reader.get(name).await?),
        Fact::Pod(name) => Objects::Pods(reader.get(name).await?),
        Fact::JobsLabelled { namespace, labels } => {
            let pairs: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let params = ListParams::default().labels(&pairs.join(","));
            Objects::Jobs(reader.list(namespace, params).await?)
        }
        Fact::JobsHolding { kind, name } => {
            let mut jobs = reader.list(&name.namespace, ListParams::default()).await?;
            jobs.retain(|job| asks_for(job, *kind, &name.name));
            Objects::Jobs(jobs)
        }
        Fact::JobsIn(namespace) => {
            Objects::Jobs(reader.list(namespace, ListParams::default()).await?)
        }
        Fact::GatesIn(namespace) => {
            Objects::Gates(reader.list(namespace, ListParams::default()).await?)
        }
        Fact::BarriersIn(namespace) => {
            Objects::Barriers(reader.list(namespace, ListParams::default()).await?)
        }
        Fact::ClaimsOn { kind, name } => {
            let fields = format!("spec.target.kind={kind:?},spec.target.name={}", name.name);
            let params = ListParams::default().fields(&fields);
            Objects::Claims(reader.list(&name.namespace, params).await?)
        }
        Fact::ArrivalsAt(name) => {
            let params = ListParams::default().fields(&format!("spec.barrier={}", name.name));
            Objects::Arrivals(reader.list(&name.namespace, params).await?)
        }
        Fact::RunsOf(name) => {
            let params = ListParams::default().fields(&format!("spec.pipeline={}", name.name));
            Objects::Runs(reader.list(&name.namespace, params).await?)
        }
        Fact::PodsOf { namespace, job_uid } => {
            let params = ListParams::default().labels(&format!("{}={job_uid}", label::JOB_UID));
            Objects::Pods(reader.list(namespace, params).await?)
        }
    };
    Ok((fact, objects))
}

struct Reader<'a> {
    client: &'a Client,
}

impl Reader<'_> {
    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// No resourceVersion is asked for, so the API server answers with the newest.
    async fn get<K>(&self, name: &ObjectName) -> Result<Vec<Arc<K>>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let found = self.api::<K>(&name.namespace).get_opt(&name.name).await?;
        Ok(found.map(Arc::new).into_iter().collect())
    }

    async fn list<K>(&self, namespace: &str, params: ListParams) -> Result<Vec<Arc<K>>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let found = self.api::<K>(namespace).list(&params).await?;
        Ok(found.items.into_iter().map(Arc::new).collect())
    }
}
