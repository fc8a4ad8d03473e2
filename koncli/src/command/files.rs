//! `koncli files`: what the stages of a run have stored, fetched on demand.
//!
//! The store is asked with the credentials of the caller: those of the run are in a Secret.

use std::path::Path;

use konductor_api::step::{STEP_VARIABLE, WORKSPACE_SCHEME};
use konductor_api::{FileKind, FileValue, OutputType, Participant, Run, StepSpec, StoreSpec};
use konductor_step::{Store, Transfer};
use serde::Serialize;

use super::get;
use super::objects::{Meant, expect, objects_of};
use crate::arguments::{FileSelection, Format, Global};
use crate::exit::{Failure, NOT_FOUND};
use crate::{cluster, output};

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
    let all: Vec<Stored> = jobs.flat_map(|job| stored(job)).collect();
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
        output::talk("no files were stored");
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
    output::data(&output::fitted(&output::table(
        headers,
        &rows,
        global.no_headers,
    )));
    Ok(())
}

/// What a Job has stored.
fn stored(job: &Participant) -> Vec<Stored> {
    let Some(Ok(declared)) = &job.declared_outputs else {
        return Vec::new();
    };
    let values = job.outputs().unwrap_or_default();
    let store = step(job).and_then(|step| step.store);
    let files = declared.iter().filter_map(|output| {
        let kind = match output.ty.as_ref()? {
            OutputType::File => FileKind::File,
            OutputType::Dir => FileKind::Dir,
            _ => return None,
        };
        let value = FileValue::parse(values.get(&output.name)?)?;
        let stage = job.stage().to_owned();
        let path = match job.item() {
            Some(_) => format!("{stage}/{}/{}", value.item(), output.name),
            None => format!("{stage}/{}", output.name),
        };
        Some(Stored {
            stage,
            item: job.item().map(str::to_owned),
            output: output.name.clone(),
            kind,
            size: value.size,
            sha256: value.sha256,
            key: value.key,
            path,
            store: store.clone(),
        })
    });
    files.collect()
}

/// What the wrapper of a Job's command does.
fn step(job: &Participant) -> Option<StepSpec> {
    let pod = job.spec.as_ref()?.template.spec.as_ref()?;
    let variables = pod
        .containers
        .iter()
        .flat_map(|one| one.env.iter().flatten());
    let mut found = variables.filter(|variable| variable.name == STEP_VARIABLE);
    serde_json::from_str(found.next()?.value.as_deref()?).ok()
}

async fn fetch(all: &[Stored], folder: &Path, url: Option<&str>) -> Result<(), Failure> {
    if all.is_empty() {
        return Err(Failure::new(NOT_FOUND, "no files were stored"));
    }
    for file in all {
        let store = opened(file.store.as_ref(), url)?;
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
            say: &output::talk,
        };
        let value = FileValue {
            key: file.key.clone(),
            size: file.size,
            sha256: file.sha256.clone(),
        };
        let fetched = transfer.fetch(&value).await;
        fetched.map_err(|error| Failure::failed(error.to_string()))?;
        output::data(&format!("{}\n", path.display()));
    }
    Ok(())
}

/// Opens the store of a run with the credentials of the caller, or the store that `url` names.
fn opened(store: Option<&StoreSpec>, url: Option<&str>) -> Result<Store, Failure> {
    let spec = match (url, store) {
        (Some(url), Some(store)) if url == store.url => store.clone(),
        (Some(url), _) => StoreSpec::of(url),
        (None, Some(store)) => store.clone(),
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
    let own = StoreSpec {
        secret: None,
        ..spec
    };
    let variables = std::env::vars_os().collect();
    Store::open(&own, &variables).map_err(|error| Failure::failed(error.to_string()))
}

/// Deletes all files of a run, of each store that it has used.
pub(super) async fn delete(
    jobs: &[Participant],
    namespace: &str,
    run: &str,
) -> Result<usize, Failure> {
    let mut urls: Vec<StoreSpec> = Vec::new();
    for store in jobs.iter().filter_map(|job| step(job)?.store) {
        if !urls.contains(&store) {
            urls.push(store);
        }
    }
    let mut deleted = 0;
    // A volume is deleted with its run.
    for spec in urls
        .iter()
        .filter(|one| !one.url.starts_with(WORKSPACE_SCHEME))
    {
        let store = opened(Some(spec), None)?;
        let files = store.delete_run(namespace, run).await;
        deleted += files.map_err(|error| Failure::failed(error.to_string()))?;
    }
    Ok(deleted)
}
