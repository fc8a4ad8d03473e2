//! `koncli files`: what the stages of a run have stored, fetched on demand.
//!
//! The store is asked with the credentials of the caller: those of the run are in a Secret.

use std::path::Path;
use std::time::Duration;

use konductor_api::step::{STEP_VARIABLE, WORKSPACE_SCHEME};
use konductor_api::{FileKind, FileValue, OutputType, Participant, Run, StepSpec, StoreSpec};
use konductor_step::{Store, Transfer};
use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::Value;

use super::get;
use super::objects::{Meant, expect, objects_of};
use crate::arguments::{FileSelection, Format, Global};
use crate::exit::{Failure, NOT_FOUND};
use crate::{cluster, output};

/// The variable with the store that is meant instead of a pipeline's own.
const STORE_VARIABLE: &str = "KONCLI_STORE";
/// The variables with the server of the caller's buckets, as the tools of AWS read them: the first that is set counts.
const ENDPOINT_VARIABLES: [&str; 3] = ["AWS_ENDPOINT_URL_S3", ENDPOINT_VARIABLE, "AWS_ENDPOINT"];
/// The one to set if none is.
const ENDPOINT_VARIABLE: &str = "AWS_ENDPOINT_URL";
/// How long a store that is away is asked again: somebody waits.
const RETRY_TIME: Duration = Duration::from_secs(10);
/// What the URL of a folder begins with.
const FOLDER_SCHEME: &str = "file://";

/// One stored file or folder.
#[derive(Clone, Debug, Serialize)]
struct Stored {
    stage: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<String>,
    output: String,
    kind: FileKind,
    size: u64,
    sha256: String,
    key: String,
    #[serde(skip)]
    executable: bool,
    /// Where it is put below the folder of `--get`.
    #[serde(skip)]
    path: String,
    #[serde(skip)]
    store: Option<StoreSpec>,
}

/// Lists what the stages of a run have stored, or fetches it into a folder.
pub(crate) async fn files(global: &Global, selection: &FileSelection) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let run: Run = get(&client, "run", &selection.run).await?;
    let objects = objects_of(&client, &selection.run).await?;
    let meant = selection.stage.as_deref().map(Meant::of);
    if let Some(meant) = meant {
        expect(&run, &objects, meant)?;
    }
    let jobs = objects.jobs().iter();
    let jobs = jobs.filter(|job| meant.is_none_or(|meant| meant.is_of(job)));
    let item = meant.and_then(|meant| meant.item);
    let all = jobs.flat_map(|job| stored(job, &run));
    let all = all.filter(|file| item.is_none() || file.item.as_deref() == item);
    let all: Vec<Stored> = all.collect();
    match &selection.get {
        Some(folder) => fetch(&all, folder, selection.store.as_deref()).await,
        None => list(global, &all),
    }
}

fn list(global: &Global, all: &[Stored]) -> Result<(), Failure> {
    if output::document(global, &all)? {
        return Ok(());
    }
    if all.is_empty() {
        output::stderr("no files were stored");
        return Ok(());
    }
    let is_wide = global.output == Some(Format::Wide);
    let rows = all.iter().map(|file| {
        let stage = match &file.item {
            Some(item) => format!("{}[{item}]", file.stage),
            None => file.stage.clone(),
        };
        let mut row = vec![
            stage,
            file.output.clone(),
            file.kind.to_string(),
            file.size.to_string(),
        ];
        if is_wide {
            row.push(file.key.clone());
        }
        row
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let headers = ["STAGE", "OUTPUT", "TYPE", "BYTES", "KEY"];
    let headers = &headers[..if is_wide { 5 } else { 4 }];
    output::stdout(&output::fitted(headers, &rows, global.no_headers));
    Ok(())
}

/// What a Job of a run has stored.
fn stored(job: &Participant, run: &Run) -> Vec<Stored> {
    let Some(Ok(declared)) = &job.declared_outputs else {
        return Vec::new();
    };
    let values = job.outputs().unwrap_or_default();
    let store = store_of(job, run);
    let mut files = Vec::new();
    for output in declared {
        let kind = match &output.ty {
            Some(OutputType::File) => FileKind::File,
            Some(OutputType::Dir) => FileKind::Dir,
            _ => continue,
        };
        let text = values.get(&output.name).map(String::as_str);
        for (item, value) in file_values(job, text.unwrap_or_default()) {
            let stage = job.stage().to_owned();
            let path = match item {
                Some(_) => format!("{stage}/{}/{}", value.item(), output.name),
                None => format!("{stage}/{}", output.name),
            };
            files.push(Stored {
                stage,
                item,
                output: output.name.clone(),
                kind,
                size: value.size,
                sha256: value.sha256,
                key: value.key,
                executable: value.executable,
                path,
                store: store.clone(),
            });
        }
    }
    files
}

/// The values of an output that is a file, each with its item. Those of a stage over a list that is found at run time
/// are in one list.
fn file_values(job: &Participant, text: &str) -> Vec<(Option<String>, FileValue)> {
    if job.items.is_none() {
        let value = FileValue::parse(text);
        let item = job.item().map(str::to_owned);
        return value.map(|value| (item, value)).into_iter().collect();
    }
    let names = job.item_names();
    let values: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    let values = values.iter().enumerate().filter_map(|(index, value)| {
        let value = FileValue::parse(&value.to_string())?;
        let name = names.get(index).cloned();
        Some((Some(name.unwrap_or_else(|| index.to_string())), value))
    });
    values.collect()
}

/// The store of a Job that a run owns. Anybody may label another Job with the run's name.
fn store_of(job: &Participant, run: &Run) -> Option<StoreSpec> {
    let uid = run.metadata.uid.as_deref()?;
    let is_owned = job.owner_references().iter().any(|owner| owner.uid == uid);
    is_owned.then(|| step(job)?.store).flatten()
}

/// What the wrapper of a Job's command does.
fn step(job: &Participant) -> Option<StepSpec> {
    let pod = job.spec.as_ref()?.template.spec.as_ref()?;
    let variables = pod
        .containers
        .iter()
        .flat_map(|container| container.env.iter().flatten());
    let mut variables = variables.filter(|variable| variable.name == STEP_VARIABLE);
    serde_json::from_str(variables.next()?.value.as_deref()?).ok()
}

async fn fetch(all: &[Stored], folder: &Path, url: Option<&str>) -> Result<(), Failure> {
    if all.is_empty() {
        return Err(Failure::new(NOT_FOUND, "no files were stored"));
    }
    let named = Named::read();
    for file in all {
        let store = opened(file.store.as_ref(), url, &named)?;
        let path = folder.join(&file.path);
        if path.symlink_metadata().is_ok() {
            let message = format!("{} already exists", path.display());
            return Err(Failure::failed(message).help("name a new folder"));
        }
        let transfer = Transfer {
            store: &store,
            name: &file.path,
            kind: file.kind,
            path: &path,
            say: &output::stderr,
        };
        let value = FileValue {
            key: file.key.clone(),
            size: file.size,
            sha256: file.sha256.clone(),
            executable: file.executable,
        };
        let fetched = transfer.fetch(&value).await;
        fetched.map_err(|error| Failure::failed(error.to_string()))?;
        output::stdout(&format!("{}\n", path.display()));
    }
    Ok(())
}

/// What the caller's environment names.
#[derive(Debug, Default)]
struct Named {
    store: Option<String>,
    /// The server of buckets, with the variable that names it.
    endpoint: Option<(&'static str, String)>,
}

impl Named {
    fn read() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            store: variable(STORE_VARIABLE),
            endpoint: ENDPOINT_VARIABLES
                .into_iter()
                .find_map(|name| Some((name, variable(name)?))),
        }
    }
}

/// Whether two URLs name the same store.
fn is_same(left: &str, right: &str) -> bool {
    left.trim_end_matches('/') == right.trim_end_matches('/')
}

/// Opens the store of a run with the credentials of the caller, or the store that `url` names.
fn opened(store: Option<&StoreSpec>, url: Option<&str>, named: &Named) -> Result<Store, Failure> {
    let spec = chosen(store, url, named)?;
    let variables = std::env::vars_os().collect();
    let store = Store::open(&spec, &variables, RETRY_TIME);
    store.map_err(|error| Failure::failed(error.to_string()))
}

/// The store of a run, or the one that `url` names, as it is opened with the credentials of the caller. A folder of this
/// machine and the server of a bucket are only taken if the caller names them: a folder by `url` or the environment, a
/// server by the environment. Whoever writes a Job could name any. A store that `url` names instead gets nothing from the
/// run's: neither its server nor its region.
fn chosen(
    store: Option<&StoreSpec>,
    url: Option<&str>,
    named: &Named,
) -> Result<StoreSpec, Failure> {
    let own = store.filter(|store| url.is_none_or(|url| is_same(url, &store.url)));
    let spec = match (own, url) {
        (Some(own), _) => own.clone(),
        (None, Some(url)) => StoreSpec::of(url),
        (None, None) => {
            return Err(Failure::usage("the run has no store").help("name one with --store"));
        }
    };
    if spec.url.starts_with(WORKSPACE_SCHEME) {
        let message = format!(
            "{} is a volume, which only pods of the cluster mount",
            spec.url
        );
        return Err(Failure::failed(message).help("name its folder with --store file:///FOLDER"));
    }
    let is_named = [url, named.store.as_deref()]
        .into_iter()
        .flatten()
        .any(|url| is_same(url, &spec.url));
    if spec.url.starts_with(FOLDER_SCHEME) && !is_named {
        let message = format!(
            "{} is a folder, which is only opened if you name it yourself",
            spec.url
        );
        let help = format!(
            "if it is on this machine and yours, set {STORE_VARIABLE}={}",
            spec.url
        );
        return Err(Failure::failed(message).help(help));
    }
    if let Some(endpoint) = &spec.endpoint
        && !named
            .endpoint
            .as_ref()
            .is_some_and(|(_, server)| is_same(server, endpoint))
    {
        let message = format!(
            "{} is at the server {endpoint}, which is only asked with your credentials if you name it yourself",
            spec.url
        );
        // Another variable would not count beside the one that is set.
        let variable = named
            .endpoint
            .as_ref()
            .map_or(ENDPOINT_VARIABLE, |(name, _)| *name);
        let help = format!("if you trust it with your credentials, set {variable}={endpoint}");
        return Err(Failure::failed(message).help(help));
    }
    Ok(StoreSpec {
        endpoint: named.endpoint.as_ref().map(|(_, server)| server.clone()),
        secret: None,
        ..spec
    })
}

/// Deletes all files of a run, of each store that its own Jobs have used, and says before where.
pub(super) async fn delete(
    jobs: &[Participant],
    namespace: &str,
    run: &Run,
) -> Result<usize, Failure> {
    let mut specs: Vec<StoreSpec> = Vec::new();
    for store in jobs.iter().filter_map(|job| store_of(job, run)) {
        if !specs.contains(&store) {
            specs.push(store);
        }
    }
    let (volumes, specs): (Vec<_>, Vec<_>) = specs
        .into_iter()
        .partition(|store| store.url.starts_with(WORKSPACE_SCHEME));
    for store in volumes {
        output::stderr(&format!(
            "the files in {} are in a volume: one that the run has created is deleted with it, and one that is external \
             keeps them",
            store.url
        ));
    }
    let named = Named::read();
    // All are opened before anything is deleted.
    let stores: Vec<Store> = specs
        .iter()
        .map(|spec| opened(Some(spec), None, &named))
        .collect::<Result<_, _>>()?;
    let run = &run.name_any();
    let mut deleted = 0;
    for (store, spec) in stores.iter().zip(&specs) {
        let below = spec.url.trim_end_matches('/');
        output::stderr(&format!("deleting {below}/{namespace}/{run}"));
        let files = store.delete_run(namespace, run).await;
        deleted += files.map_err(|error| Failure::failed(error.to_string()))?;
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(owner: &str) -> Participant {
        let spec = json!({"run": "r", "stage": "s", "store": {"url": "file:///"}}).to_string();
        let variables = [json!({"name": STEP_VARIABLE, "value": spec})];
        serde_json::from_value(json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": "r-s",
                "ownerReferences": [
                    {"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": owner}
                ]
            },
            "spec": {"template": {"spec": {"containers": [{"name": "main", "env": variables}]}}}
        }))
        .unwrap()
    }

    #[test]
    fn a_store_is_that_of_a_job_that_the_run_owns() {
        let mut run: Run = serde_json::from_value(json!({
            "apiVersion": "konductor.io/v1",
            "kind": "Run",
            "metadata": {"name": "r"},
            "spec": {"pipeline": "r", "jobs": 1}
        }))
        .unwrap();
        assert_eq!(store_of(&job(""), &run), None);
        run.metadata.uid = Some("u-1".to_owned());
        assert!(store_of(&job("u-1"), &run).is_some());
        assert_eq!(store_of(&job("u-2"), &run), None);
    }

    #[test]
    fn files_of_items_that_are_found_at_run_time_are_in_one_list() {
        let value = |item: &str| json!({"key": format!("ns/r/c/{item}/u/f"), "size": 1, "sha256": "0".repeat(64)});
        let outputs = json!({"f": json!([value("00000-a"), null, value("00002-c")]).to_string()});
        let job: Participant = serde_json::from_value(json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": "r-c",
                "labels": {"konductor.io/stage": "c"},
                "annotations": {
                    "konductor.io/items": r#"{"of":"r-s/l"}"#,
                    "konductor.io/outputs": outputs.to_string(),
                    "konductor.io/outputs-declared": "f: file"
                }
            },
            "spec": {"template": {"metadata": {"annotations": {
                "konductor.io/items": r#"["a","b","c"]"#
            }}}}
        }))
        .unwrap();
        let run: Run = serde_json::from_value(json!({
            "apiVersion": "konductor.io/v1",
            "kind": "Run",
            "metadata": {"name": "r"},
            "spec": {"pipeline": "r", "jobs": 1}
        }))
        .unwrap();
        let files = stored(&job, &run);
        let shown: Vec<_> = files
            .iter()
            .map(|file| (file.item.as_deref(), file.path.as_str()))
            .collect();
        let expected = [(Some("a"), "c/00000-a/f"), (Some("c"), "c/00002-c/f")];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_folder_is_only_opened_for_whoever_names_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = format!("file://{}/store", root.path().display());
        let spec = StoreSpec::of(&folder);
        let slash = format!("{folder}/");
        for (url, named, is_opened) in [
            (None, None, false),
            (None, Some("file:///other"), false),
            (None, Some("s3://bucket"), false),
            (None, Some(slash.as_str()), true),
            (Some(folder.as_str()), None, true),
        ] {
            let named = Named {
                store: named.map(str::to_owned),
                endpoint: None,
            };
            let opened = opened(Some(&spec), url, &named);
            assert_eq!(opened.is_ok(), is_opened, "{url:?} {named:?}");
            assert_eq!(root.path().join("store").exists(), is_opened);
        }
    }

    #[test]
    fn a_server_is_only_asked_for_whoever_names_it() {
        const OWN: &str = "http://minio:9000";
        const OTHER: &str = "http://other:9000";
        // The server and the region that are asked.
        type ServerAndRegion = (Option<&'static str>, Option<&'static str>);
        let of_run = StoreSpec {
            endpoint: Some(OWN.to_owned()),
            region: Some("eu".to_owned()),
            secret: Some("keys".to_owned()),
            ..StoreSpec::of("s3://a/runs")
        };
        let of_aws = StoreSpec {
            endpoint: None,
            ..of_run.clone()
        };
        // The run's store, --store, the caller's server.
        type Row<'a> = (
            &'a StoreSpec,
            Option<&'a str>,
            Option<&'a str>,
            Option<ServerAndRegion>,
        );
        let table: [Row<'_>; 10] = [
            (&of_run, None, None, None),
            (&of_run, None, Some(OTHER), None),
            (&of_run, None, Some(OWN), Some((Some(OWN), Some("eu")))),
            (
                &of_run,
                None,
                Some("http://minio:9000/"),
                Some((Some("http://minio:9000/"), Some("eu"))),
            ),
            (&of_run, Some("s3://a/runs/"), None, None),
            (
                &of_run,
                Some("s3://a/runs/"),
                Some(OWN),
                Some((Some(OWN), Some("eu"))),
            ),
            (&of_run, Some("s3://mine"), None, Some((None, None))),
            (
                &of_run,
                Some("s3://mine"),
                Some(OTHER),
                Some((Some(OTHER), None)),
            ),
            (&of_aws, None, None, Some((None, Some("eu")))),
            (&of_aws, None, Some(OTHER), Some((Some(OTHER), Some("eu")))),
        ];
        for (store, url, endpoint, expected) in table {
            let named = Named {
                store: None,
                endpoint: endpoint.map(|server| (ENDPOINT_VARIABLE, server.to_owned())),
            };
            let chosen = chosen(Some(store), url, &named).ok();
            let server_and_region = chosen
                .as_ref()
                .map(|spec| (spec.endpoint.as_deref(), spec.region.as_deref()));
            assert_eq!(server_and_region, expected, "{store:?} {url:?} {named:?}");
            assert!(chosen.is_none_or(|spec| spec.secret.is_none()));
        }
        for (set, variable) in [
            (None, "AWS_ENDPOINT_URL"),
            (Some("AWS_ENDPOINT_URL_S3"), "AWS_ENDPOINT_URL_S3"),
            (Some("AWS_ENDPOINT_URL"), "AWS_ENDPOINT_URL"),
        ] {
            let named = Named {
                store: None,
                endpoint: set.map(|name| (name, OTHER.to_owned())),
            };
            let refused = chosen(Some(&of_run), None, &named).unwrap_err();
            let help = format!("if you trust it with your credentials, set {variable}={OWN}");
            assert_eq!(refused.help, Some(help), "{set:?}");
        }
    }
}
