//! The commands, one module each.

mod barrier;
mod check;
mod claim;
mod dev;
mod diff;
mod doctor;
mod fmt;
mod follow;
mod gate;
mod graph;
mod hold;
mod lease;
mod lifecycle;
mod logs;
mod operator;
mod run;
mod semaphore;
mod status;
mod wait;
pub(crate) mod warden;
mod why;

use std::fmt::Debug;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use clap::CommandFactory;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arguments::{Arguments, Command, DryRun, Format, Global, Pipeline};
use crate::exit::Failure;
use crate::local::{WithOperator, interrupted};
use crate::{apply, cluster, load, output};

/// Executes a command. Ctrl-C, as SIGTERM, drops what it was waiting for, which gives back what it
/// asked for.
pub(crate) async fn execute(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { global, command } = arguments;
    if global.verbose > 1 && !matches!(command, Command::Operator(_)) {
        operator::log(global.verbose);
    }
    let managed = matches!(
        command,
        Command::Run { .. }
            | Command::Dev { .. }
            | Command::Operator(_)
            | Command::Warden
            | Command::Semaphore(crate::arguments::Semaphore::Hold { .. })
            | Command::Lease(crate::arguments::Lease::Hold { .. })
    );
    let work = dispatch(global, command);
    if managed {
        // These end what they have started first.
        return work.await;
    }
    tokio::select! {
        done = work => done,
        code = interrupted() => Err(Failure::silent(code)),
    }
}

async fn dispatch(global: Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::Check { files, params } => check::check(&global, &files, &params).await,
        Command::Fmt { files, check } => fmt::fmt(&files, check),
        Command::Graph(selection) => graph::graph(&selection),
        Command::Compile { pipeline } => compile(&global, &pipeline),
        Command::Apply {
            pipeline,
            wait,
            timeout,
            dry_run,
        } => {
            let (client, run) = apply_run(&global, &pipeline, dry_run).await?;
            if wait {
                return wait::until_run_ends(&client, &run, timeout).await;
            }
            if dry_run.is_none() {
                output::talk(&format!("look at it with `koncli status {run}`"));
            }
            Ok(())
        }
        Command::Diff(pipeline) => diff::diff(&global, &pipeline).await,
        Command::Run {
            pipeline,
            jobs,
            keep,
        } => run::run(&pipeline, jobs, keep).await,
        Command::Dev {
            write_kubeconfig,
            port,
            jobs,
            no_operator,
        } => {
            let operator = match no_operator {
                true => WithOperator::None,
                false => WithOperator::Elected,
            };
            dev::dev(write_kubeconfig.as_deref(), port, jobs, operator).await
        }
        Command::Status {
            run: Some(run),
            watch,
        } => status::status(&global, &run, watch).await,
        Command::Status { run: None, .. } | Command::Runs => status::runs(&global).await,
        Command::Why { run, stage } => why::why(&global, &run, &stage).await,
        Command::Logs(selection) => logs::logs(&global, &selection).await,
        Command::Cancel { run, ending } => {
            lifecycle::cancel(&global, &run, ending.wait, ending.timeout).await
        }
        Command::Pause { run } => lifecycle::pause(&global, &run).await,
        Command::Resume { run } => lifecycle::resume(&global, &run).await,
        Command::Delete { run, ending } => {
            lifecycle::delete(&global, &run, ending.wait, ending.timeout).await
        }
        Command::Approve { name, deny } => lifecycle::approve(&global, &name, deny).await,
        Command::Doctor => doctor::doctor(&global).await,
        Command::Explain { code } => explain(&code),
        Command::Wait {
            targets,
            state,
            timeout,
        } => wait::wait(&global, &targets, state.as_deref(), timeout).await,
        Command::Barrier(command) => barrier::barrier(&global, command).await,
        Command::Gate(command) => gate::gate(&global, command).await,
        Command::Semaphore(command) => semaphore::semaphore(&global, command).await,
        Command::Lease(command) => lease::lease(&global, command).await,
        Command::Crds => crds(&global),
        Command::Operator(settings) => operator::operator(&global, settings).await,
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "koncli", &mut script);
            output::data(&String::from_utf8_lossy(&script));
            Ok(())
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
            output::data(&String::from_utf8_lossy(&page));
            Ok(())
        }
        Command::Warden => warden::keep_watch().await,
        Command::Version => {
            output::data(concat!("koncli ", env!("CARGO_PKG_VERSION"), "\n"));
            Ok(())
        }
    }
}

fn compile(global: &Global, pipeline: &Pipeline) -> Result<(), Failure> {
    let compiled = load::compiled(pipeline, global.namespace.clone(), false)?;
    let manifests = compiled.manifests.ok_or_else(apply::schedule)?;
    let mut out = Vec::new();
    match global.output {
        None | Some(Format::Yaml) => manifests.write_yaml(&mut out)?,
        Some(Format::Json) => manifests.write_json(&mut out)?,
        Some(Format::Name) => {
            for object in manifests.objects() {
                writeln!(out, "{object}")?;
            }
        }
        Some(Format::Table | Format::Wide) => {
            return Err(Failure::usage("compile writes -o yaml, json or name"));
        }
    }
    output::data(&String::from_utf8_lossy(&out));
    Ok(())
}

async fn apply_run(
    global: &Global,
    pipeline: &Pipeline,
    dry_run: Option<DryRun>,
) -> Result<(konductor::Client, String), Failure> {
    let client = cluster::connect(global).await?;
    let compiled = load::compiled(pipeline, Some(client.namespace().to_owned()), false)?;
    let manifests = compiled.manifests.ok_or_else(apply::schedule)?;
    let run = manifests.run_name().to_owned();
    if dry_run == Some(DryRun::Client) {
        let count = manifests.objects().count();
        output::talk(&format!(
            "run/{run}: {count} objects (client dry run: the API server was not asked)"
        ));
        return Ok((client, run));
    }
    let counts = Mutex::new([0_usize; 3]);
    apply::apply(
        &client,
        &manifests,
        dry_run.is_some(),
        |kind, name, applied| {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts[applied as usize] += 1;
            if global.verbose > 0 {
                output::talk(&format!(
                    "{kind}/{name} {}",
                    format!("{applied:?}").to_lowercase()
                ));
            }
        },
    )
    .await?;
    let [created, configured, unchanged] =
        counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    let dry = match dry_run {
        None => "",
        Some(_) => " (server dry run: nothing was stored)",
    };
    output::talk(&format!(
        "run/{run}: {created} created, {configured} configured, {unchanged} unchanged{dry}"
    ));
    Ok((client, run))
}

fn explain(code: &str) -> Result<(), Failure> {
    let Ok(code) = code.parse::<konductor_dsl::Code>() else {
        let known = konductor_dsl::CODES.iter().map(|code| code.name());
        let near = konductor_dsl::did_you_mean(&code.to_uppercase(), known);
        let help = near.map_or_else(
            || "each mistake is told below its code, such as K0203".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        return Err(Failure::usage(format!("{code} is not a code of a diagnostic")).help(help));
    };
    output::data(code.page());
    Ok(())
}

fn crds(global: &Global) -> Result<(), Failure> {
    let crds = konductor_api::crds();
    let text = match global.output {
        Some(Format::Json) => serde_json::to_string_pretty(
            &serde_json::json!({"apiVersion": "v1", "kind": "List", "items": crds}),
        )
        .map(|text| text + "\n")
        .map_err(|error| Failure::failed(error.to_string()))?,
        _ => {
            let mut all = String::new();
            for crd in crds {
                let text = serde_saphyr::to_string(&crd)
                    .map_err(|error| Failure::failed(error.to_string()))?;
                all.push_str("---\n");
                all.push_str(&text);
            }
            all
        }
    };
    output::data(&text);
    Ok(())
}

/// Lists the objects of a kind.
async fn list<K>(client: &konductor::Client, global: &Global) -> Result<Vec<K>, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let api: Api<K> = match global.all_namespaces {
        true => Api::all(client.kube().clone()),
        false => Api::namespaced(client.kube().clone(), client.namespace()),
    };
    Ok(api.list(&ListParams::default()).await?.items)
}

fn api<K>(client: &konductor::Client) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.kube().clone(), client.namespace())
}

/// Names an object for an error.
fn object(client: &konductor::Client, kind: &'static str, name: &str) -> konductor::Object {
    konductor::Object {
        kind,
        name: name.to_owned(),
        namespace: client.namespace().to_owned(),
    }
}

async fn get<K>(client: &konductor::Client, kind: &'static str, name: &str) -> Result<K, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let found = api::<K>(client).get(name).await;
    found.map_err(|error| object(client, kind, name).explain(error).into())
}

async fn create<K>(client: &konductor::Client, kind: &'static str, new: &K) -> Result<(), Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let name = new.name_any();
    let created = api::<K>(client).create(&PostParams::default(), new).await;
    created.map_err(|error| match error {
        // What is missing is not the object: it is its namespace, or its CRD.
        kube::Error::Api(status) if status.code == 404 => Failure::from(kube::Error::Api(status)),
        error => object(client, kind, &name).explain(error).into(),
    })?;
    output::talk(&format!("{kind}/{name} created"));
    Ok(())
}

async fn delete<K>(
    client: &konductor::Client,
    kind: &'static str,
    name: &str,
) -> Result<(), Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let deleted = api::<K>(client)
        .delete(name, &DeleteParams::background())
        .await;
    deleted.map_err(|error| object(client, kind, name).explain(error))?;
    output::talk(&format!("{kind}/{name} deleted"));
    Ok(())
}
