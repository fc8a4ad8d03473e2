//! `koncli dev --data`: a cluster that outlives its process, however that ends.
//!
//! `KONDUCTOR_KILLS` says how often it is killed under load; else as often as ends soon.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use konductor_tests::built::koncli;
use konductor_tests::dev::Dev;
use kube::api::{DeleteParams, ListParams, PostParams, WatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

const WRITERS: usize = 4;
const NAMES: usize = 20;

/// What a writer knows of each object: the number that was written last, or that it was deleted; and the version.
#[derive(Clone, Debug, Default)]
struct Acknowledged {
    objects: BTreeMap<String, Option<u64>>,
    version: u64,
}

/// A write that was sent, and whose answer may be missing.
type Pending = Option<(String, Option<u64>)>;

fn start(data: &Path) -> Dev {
    let data = data.to_str().expect("text");
    Dev::start(&["--data", data, "--no-operator"])
}

fn second(data: &Path) -> Output {
    Command::new(koncli())
        .args(["dev", "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .output()
        .expect("koncli starts")
}

fn version(object: &ConfigMap) -> u64 {
    let version = object.resource_version().expect("a version");
    version.parse().expect("a number")
}

/// Writes objects of its own, one after the other, until a write isn't answered.
async fn write(
    client: Client,
    writer: usize,
    mut acknowledged: Acknowledged,
    count: Arc<AtomicUsize>,
) -> (Acknowledged, Pending) {
    let all: Api<ConfigMap> = Api::default_namespaced(client);
    let mut number = acknowledged
        .objects
        .values()
        .flatten()
        .max()
        .copied()
        .unwrap_or_default();
    loop {
        number += 1;
        let name = format!("c-{writer}-{}", number as usize % NAMES);
        let object: ConfigMap = serde_json::from_value(json!({
            "metadata": {"name": name},
            "data": {"number": number.to_string(), "ballast": "x".repeat(number as usize % 3_000)},
        }))
        .expect("a ConfigMap");
        let exists = matches!(acknowledged.objects.get(&name), Some(Some(_)));
        let value = (!(exists && number % 7 == 0)).then_some(number);
        let done = match (exists, value) {
            (true, None) => all
                .delete(&name, &DeleteParams::default())
                .await
                .map(|_| None),
            (true, Some(_)) => all
                .replace(&name, &PostParams::default(), &object)
                .await
                .map(Some),
            (false, _) => all.create(&PostParams::default(), &object).await.map(Some),
        };
        match done {
            Ok(written) => {
                let written = written.as_ref().map(version).unwrap_or_default();
                acknowledged.version = acknowledged.version.max(written);
                acknowledged.objects.insert(name, value);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => return (acknowledged, Some((name, value))),
        }
    }
}

fn number(object: &ConfigMap) -> u64 {
    let data = object.data.as_ref().expect("data");
    data["number"].parse().expect("a number")
}

/// Every acknowledged write is there, and nothing else but what may have been on its way.
async fn compare(client: &Client, writers: &mut [(Acknowledged, Pending)]) -> u64 {
    let all: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let list = all.list(&ListParams::default()).await.expect("a list");
    let stored: BTreeMap<String, u64> = list
        .iter()
        .map(|object| (object.name_any(), number(object)))
        .collect();
    let listed: u64 = list
        .metadata
        .resource_version
        .expect("a version")
        .parse()
        .expect("a number");
    let acknowledged_count: usize = writers
        .iter()
        .map(|(acknowledged, _)| acknowledged.objects.len())
        .sum();
    let pending = writers.iter().flat_map(|(_, pending)| pending).count();
    assert!(stored.len() <= acknowledged_count + pending, "{stored:?}");
    for (acknowledged, pending) in writers {
        assert!(
            listed >= acknowledged.version,
            "version {} became {listed}",
            acknowledged.version
        );
        for (name, value) in &mut acknowledged.objects {
            let current = stored.get(name).copied();
            let sent = pending.as_ref().filter(|(sent, _)| sent == name);
            let fits = current == *value || sent.is_some_and(|(_, sent)| current == *sent);
            assert!(
                fits,
                "{name}: {value:?} was acknowledged, {sent:?} was sent, {current:?} is stored"
            );
            *value = current;
        }
        if let Some((name, _)) = pending.take() {
            let current = stored.get(&name).copied();
            acknowledged.objects.insert(name, current);
        }
    }
    listed
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_however_often_the_cluster_is_killed() {
    let kills = std::env::var("KONDUCTOR_KILLS").ok();
    let kills: u64 = kills.map_or(3, |kills| kills.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut writers: Vec<(Acknowledged, Pending)> = vec![Default::default(); WRITERS];
    let mut last = 0;
    for kill in 0..kills {
        let dev = start(&data);
        let client = dev.client().await;
        let listed = compare(&client, &mut writers).await;
        assert!(listed > last || kill == 0, "{last} became {listed}");
        if last > 0 {
            // What happened before is not known any more: a watch has to list again.
            let all: Api<ConfigMap> = Api::default_namespaced(client.clone());
            let watch = all
                .watch(&WatchParams::default(), &(last - 1).to_string())
                .await;
            let first = match watch {
                Err(error) => error.to_string(),
                Ok(events) => {
                    let mut events = std::pin::pin!(events);
                    format!("{:?}", futures::StreamExt::next(&mut events).await)
                }
            };
            assert!(first.contains("too old resource version"), "{first}");
        }
        last = listed;
        let count = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = writers
            .drain(..)
            .enumerate()
            .map(|(writer, (acknowledged, _))| {
                tokio::spawn(write(client.clone(), writer, acknowledged, count.clone()))
            })
            .collect();
        // Not at the same moment each time.
        let until = 5 + (kill as usize * 37) % 190;
        while count.load(Ordering::Relaxed) < until {
            tokio::task::yield_now().await;
        }
        dev.kill();
        for task in tasks {
            writers.push(task.await.expect("a writer ends"));
        }
    }
    let dev = start(&data);
    compare(&dev.client().await, &mut writers).await;
    // In order it ends, too, and continues.
    drop(dev);
    compare(&start(&data).client().await, &mut writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_killed_cluster_runs_again_and_never_twice_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let script = format!(
        "cd {}; exec 9>>held; flock -n 9 || {{ touch twice; exit 1; }}; [ ! -e started ] || exit 0; trap '' TERM; \
         touch started; sleep 1000",
        folder.path().display()
    );
    let job: Job = serde_json::from_value(json!({
        "metadata": {"name": "j"},
        "spec": {"backoffLimit": 3, "template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "main", "image": "busybox:1.36", "command": ["/bin/sh", "-c", script]},
        ]}}},
    }))
    .expect("a Job");
    let dev = Dev::start(&["--data", data.to_str().expect("text")]);
    let jobs: Api<Job> = Api::default_namespaced(dev.client().await);
    jobs.create(&PostParams::default(), &job)
        .await
        .expect("created");
    while !folder.path().join("started").exists() {
        tokio::task::yield_now().await;
    }
    dev.kill();
    let dev = Dev::start(&["--data", data.to_str().expect("text")]);
    let jobs: Api<Job> = Api::default_namespaced(dev.client().await);
    await_condition(jobs, "j", conditions::is_job_completed())
        .await
        .expect("it completes");
    assert!(!folder.path().join("twice").exists());
}

#[test]
fn a_folder_has_one_process_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path());
    let refused = second(folder.path());
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("is in use by process"), "{stderr}");
    drop(first);
    drop(start(folder.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_last_record_is_dropped_and_a_damaged_one_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let dev = start(folder.path());
    let secrets: Api<Secret> = Api::default_namespaced(dev.client().await);
    for name in ["first", "last"] {
        let secret = serde_json::from_value(json!({"metadata": {"name": name}})).expect("a Secret");
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .expect("created");
    }
    dev.kill();
    let journal = folder.path().join("journal");
    let whole = std::fs::read(&journal).expect("a journal");
    // As if the process had been killed, or the disk full, while it wrote.
    std::fs::write(
        &journal,
        [&whole[..], b"0123456789abcdef {\"set\":{\"gro"].concat(),
    )
    .expect("written");
    let dev = start(folder.path());
    let secrets: Api<Secret> = Api::default_namespaced(dev.client().await);
    assert_eq!(
        secrets
            .list(&ListParams::default())
            .await
            .expect("a list")
            .items
            .len(),
        2
    );
    dev.kill();
    let mut damaged = whole;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&journal, damaged).expect("written");
    let refused = second(folder.path());
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    let expected = ["journal is damaged: ", " at byte ", "truncate -s "];
    assert!(
        expected.iter().all(|text| stderr.contains(text)),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_loses_none() {
    const BLOCKS: u32 = 4_096;
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("text");
    let dev = Dev::start_with_blocks(BLOCKS, &["--data", data, "--no-operator"]);
    let all: Api<ConfigMap> = Api::default_namespaced(dev.client().await);
    let large = |name: &str| -> ConfigMap {
        let object = json!({"metadata": {"name": name}, "data": {"a": "x".repeat(100_000)}});
        serde_json::from_value(object).expect("a ConfigMap")
    };
    let mut acknowledged = Vec::new();
    let refused = loop {
        let name = format!("c-{}", acknowledged.len());
        match all.create(&PostParams::default(), &large(&name)).await {
            Ok(_) => acknowledged.push(name),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 100, "the disk is never full");
    };
    let kube::Error::Api(status) = refused else {
        panic!("no answer: {refused}");
    };
    assert_eq!(status.code, 500, "{status:?}");
    assert!(
        status
            .message
            .starts_with("nothing was changed: the journal"),
        "{status:?}"
    );
    let names = |list: kube::core::ObjectList<ConfigMap>| {
        let mut names: Vec<String> = list.iter().map(ResourceExt::name_any).collect();
        names.sort();
        names
    };
    acknowledged.sort();
    let list = all.list(&ListParams::default()).await.expect("a list");
    assert_eq!(names(list), acknowledged);
    dev.kill();
    // There is space again.
    let dev = start(folder.path());
    let all: Api<ConfigMap> = Api::default_namespaced(dev.client().await);
    let list = all.list(&ListParams::default()).await.expect("a list");
    assert_eq!(names(list), acknowledged);
    let created = all.create(&PostParams::default(), &large("more")).await;
    created.expect("there is space");
}
