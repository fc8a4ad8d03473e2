//! The commands, one module each.

mod barrier;
mod check;
mod claim;
mod complete;
mod dev;
mod diff;
mod doctor;
mod explain;
mod files;
mod fmt;
mod follow;
mod gate;
mod graph;
mod hold;
mod init;
mod install;
mod lease;
mod lifecycle;
mod logs;
mod lsp;
mod objects;
mod operator;
mod report;
mod retry;
mod run;
mod schedules;
mod semaphore;
mod slot;
mod status;
mod step;
mod timeline;
mod ui;
mod wait;
mod why;

use std::io::Write as _;
use std::time::Duration;

use clap::CommandFactory;
use k8s_openapi::NamespaceResourceScope;
use konductor_compiler::{Manifests, Schedule};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;

use crate::arguments::{Arguments, Command, Conduct, DryRun, Format, Global, Pipeline};
use crate::exit::Failure;
use crate::load::Aim;
use crate::local::{WithOperator, interrupted};
use crate::read::Stored;
use crate::suggestion::suggested;
use crate::{apply, cluster, load, output, platform, read, schedule};

/// Executes a command. Ctrl-C, as SIGTERM, drops what it was waiting for, which releases what it
/// asked for.
pub(crate) async fn execute(arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        global,
        command,
        typed,
    } = arguments;
    command.effect().check(&typed, &global)?;
    if global.verbose > 1 && !matches!(command, Command::Operator(_)) {
        operator::log(global.verbose);
    }
    let conduct = command.conduct();
    output::set_conduct(conduct);
    let work = dispatch(global, command);
    if conduct == Conduct::Owns {
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
        Command::Check { files, fix, params } => check::check(&global, &files, &params, fix).await,
        Command::Fmt { files, check } => fmt::fmt(&files, check),
        Command::Lsp => tokio::task::block_in_place(lsp::lsp),
        Command::Init { file } => init::init(&file),
        Command::Schedules(selection) => schedules::schedules(&global, &selection).await,
        Command::Graph(selection) => graph::graph(&global, &selection).await,
        Command::Compile { pipeline } => compile(&global, &pipeline),
        Command::Apply {
            pipeline,
            slot: Some(slot),
            overlap,
            ..
        } => slot::apply(&global, &pipeline, &slot, overlap).await,
        Command::Apply {
            pipeline,
            wait,
            timeout,
            dry_run,
            ..
        } => {
            let waiting = wait.then_some(timeout);
            apply(&global, &pipeline, waiting, dry_run).await
        }
        Command::Diff(pipeline) => diff::diff(&global, &pipeline).await,
        Command::Run {
            pipeline,
            pods,
            given,
            keep,
            ui,
        } => run::run(&global, &pipeline, pods, &given, keep, ui).await,
        Command::Dev {
            write_kubeconfig,
            port,
            data,
            pods,
            no_operator,
        } => {
            let operator = match no_operator {
                true => WithOperator::None,
                false => WithOperator::Elected,
            };
            dev::dev(write_kubeconfig, data, port, pods, operator).await
        }
        Command::Status {
            run: Some(run),
            watch,
        } => status::status(&global, &run, watch).await,
        Command::Status { run: None, .. } | Command::Runs => status::runs(&global).await,
        Command::Why { run, stage } => why::why(&global, &run, stage.as_deref()).await,
        Command::Timeline(selection) => timeline::timeline(&global, &selection).await,
        Command::Report { run } => report::report(&global, &run).await,
        Command::Ui { port } => ui::ui(&global, port).await,
        Command::Logs(selection) => logs::logs(&global, &selection).await,
        Command::Files(selection) => files::files(&global, &selection).await,
        Command::Cancel {
            run,
            finally,
            ending,
        } => lifecycle::cancel(&global, &run, finally, ending.wait, ending.timeout).await,
        Command::Pause {
            run,
            let_running_finish,
        } => lifecycle::pause(&global, &run, let_running_finish).await,
        Command::Resume { run } => lifecycle::resume(&global, &run).await,
        Command::Delete { run, removal } => lifecycle::delete(&global, &run, &removal).await,
        Command::Retry {
            run,
            from,
            failed: _,
            ending,
        } => {
            let client = retry::retry(&global, &run, from.as_deref()).await?;
            match ending.wait {
                true => wait::until_run_ends(&client, &run, ending.timeout).await,
                false => Ok(()),
            }
        }
        Command::Approve { name, deny } => lifecycle::approve(&global, &name, deny).await,
        Command::Doctor => doctor::doctor(&global).await,
        Command::Explain { what } => explain::explain(&global, &what),
        Command::Wait {
            targets,
            state,
            patience,
        } => wait::wait(&global, &targets, state.as_deref(), patience).await,
        Command::Barrier(command) => barrier::barrier(&global, command).await,
        Command::Gate(command) => gate::gate(&global, command).await,
        Command::Semaphore(command) => semaphore::semaphore(&global, command).await,
        Command::Lease(command) => lease::lease(&global, command).await,
        Command::Crds => crds(&global),
        Command::Install {
            image,
            replicas,
            dry_run,
        } => {
            let settings = install::Settings { image, replicas };
            install::install(&global, &settings, dry_run).await
        }
        Command::Uninstall { crds } => install::uninstall(&global, crds).await,
        Command::Operator(settings) => operator::operator(&global, settings).await,
        Command::Completion { shell } => {
            complete::script(shell);
            Ok(())
        }
        Command::Complete { words } => {
            complete::complete(&words).await;
            Ok(())
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
            output::stdout_exact(&String::from_utf8_lossy(&page));
            Ok(())
        }
        Command::Step { install, command } => step::step(install, command).await,
        Command::Warden => platform::keep_watch().await,
        Command::Version => {
            let report = serde_json::json!({"version": env!("CARGO_PKG_VERSION")});
            if !output::document(&global, &report)? {
                output::stdout(concat!("koncli ", env!("CARGO_PKG_VERSION"), "\n"));
            }
            Ok(())
        }
    }
}

fn compile(global: &Global, pipeline: &Pipeline) -> Result<(), Failure> {
    let compiled = load::compiled(pipeline, global.namespace.clone(), Aim::Apply)?;
    let (manifests, schedule) = (compiled.manifests, compiled.schedule);
    let mut out = Vec::new();
    match global.output {
        None | Some(Format::Yaml) => {
            manifests
                .iter()
                .try_for_each(|all| all.write_yaml(&mut out))?;
            out.extend(schedule.iter().flat_map(|all| all.to_yaml().into_bytes()));
        }
        Some(Format::Json) => {
            manifests
                .iter()
                .try_for_each(|all| all.write_json(&mut out))?;
            out.extend(schedule.iter().flat_map(|all| all.to_json().into_bytes()));
        }
        Some(Format::Name) => {
            for object in manifests.iter().flat_map(Manifests::objects) {
                writeln!(out, "{object}")?;
            }
            for object in schedule.iter().flat_map(Schedule::objects) {
                writeln!(out, "{object}")?;
            }
        }
        // What the environment asks of all commands.
        Some(Format::Table | Format::Wide | Format::Sarif | Format::Github) => {
            return Err(Failure::usage("compile writes -o yaml, json or name"));
        }
    }
    output::stdout_exact(&String::from_utf8_lossy(&out));
    Ok(())
}

/// Creates a run, or installs a schedule. `waiting` says to wait for the run's end, and how long.
async fn apply(
    global: &Global,
    pipeline: &Pipeline,
    waiting: Option<Option<Duration>>,
    dry_run: Option<DryRun>,
) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let compiled = load::compiled(pipeline, Some(client.namespace().to_owned()), Aim::Apply)?;
    if let Some(schedule) = &compiled.schedule {
        if waiting.is_some() {
            return Err(Failure::usage("a schedule has no end to wait for")
                .help("name a run, to start one now: --run NAME --wait"));
        }
        return install(global, &client, schedule, dry_run).await;
    }
    let manifests = compiled.manifests.ok_or_else(nothing)?;
    let run = manifests.run_name();
    if dry_run == Some(DryRun::Client) {
        let tally = apply::Tally::of(format!("run/{run}"), manifests.objects().count());
        output::document(global, &tally.report(run))?;
        client_dry_run("run", run, manifests.objects().count());
        return Ok(());
    }
    if let Some(refusal) = apply::refusal(&client, run, "nothing was started").await? {
        return Err(refusal);
    }
    let tally = apply::Tally::of(format!("run/{run}"), manifests.objects().count());
    apply::apply(
        &client,
        &manifests,
        dry_run.is_some(),
        |kind, name, applied| {
            tally.count(global.verbose, kind, name, applied);
        },
    )
    .await?;
    tally.finish();
    output::stderr(&format!("run/{run}: {tally}{}", server_dry_run(dry_run)));
    if let Some(timeout) = waiting {
        let ended = wait::shown_until_run_ends(&client, &manifests, timeout).await;
        status::document(global, &client, run).await?;
        return ended;
    }
    let is_document = output::document(global, &tally.report(run))?;
    if dry_run.is_none() && !is_document {
        let look = suggested(format!("koncli status {run}"));
        output::stderr(&format!("look at it with {look}"));
    }
    Ok(())
}

async fn install(
    global: &Global,
    client: &konductor::Client,
    schedule: &Schedule,
    dry_run: Option<DryRun>,
) -> Result<(), Failure> {
    let name = schedule.name();
    if dry_run == Some(DryRun::Client) {
        let tally = apply::Tally::of(format!("cronjob/{name}"), schedule.objects().len());
        output::document(global, &tally.report(name))?;
        client_dry_run("cronjob", name, schedule.objects().len());
        return Ok(());
    }
    let tally = apply::Tally::of(format!("cronjob/{name}"), schedule.objects().len());
    schedule::install(
        client,
        schedule,
        dry_run.is_some(),
        |kind, name, applied| {
            tally.count(global.verbose, kind, name, applied);
        },
    )
    .await?;
    tally.finish();
    output::stderr(&format!(
        "cronjob/{name}: {tally}{}",
        server_dry_run(dry_run)
    ));
    if !output::document(global, &tally.report(name))? && dry_run.is_none() {
        output::stderr("its runs start by themselves; --run NAME starts one now");
    }
    Ok(())
}

fn client_dry_run(kind: &str, name: &str, objects: usize) {
    output::stderr(&format!(
        "{kind}/{name}: {objects} objects (client dry run: the API server was not asked)"
    ));
}

fn server_dry_run(dry_run: Option<DryRun>) -> &'static str {
    match dry_run {
        None => "",
        Some(_) => " (server dry run: nothing was stored)",
    }
}

/// Without an error there is a run or a schedule.
fn nothing() -> Failure {
    Failure::failed("the pipeline was compiled to nothing; this is a bug in koncli")
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
    output::stdout_exact(&text);
    Ok(())
}

/// Lists the objects of a kind.
async fn list<K>(client: &konductor::Client, global: &Global) -> Result<Vec<K>, Failure>
where
    K: Stored,
{
    let api: Api<K> = match global.all_namespaces {
        true => Api::all(client.kube().clone()),
        false => Api::namespaced(client.kube().clone(), client.namespace()),
    };
    let mut params = ListParams::default();
    if let Some(selector) = &global.selector {
        params = params.labels(selector);
    }
    Ok(read::list(&api, &params).await?)
}

fn api<K>(client: &konductor::Client) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.kube().clone(), client.namespace())
}

/// Names an object for an error.
fn object(client: &konductor::Client, kind: &'static str, name: &str) -> konductor::Object {
    konductor::Object::new(kind, name, client.namespace())
}

async fn get<K>(client: &konductor::Client, kind: &'static str, name: &str) -> Result<K, Failure>
where
    K: Stored,
{
    object(client, kind, name).checked()?;
    let stored = api::<K>(client).get(name).await;
    stored.map_err(|error| object(client, kind, name).explain(error).into())
}

async fn create<K>(client: &konductor::Client, kind: &'static str, new: &K) -> Result<(), Failure>
where
    K: Stored + Serialize,
{
    let name = new.name_any();
    object(client, kind, &name).checked()?;
    let created = api::<K>(client).create(&cluster::post_params(), new).await;
    created.map_err(|error| match error {
        // What is missing is not the object: it is its namespace, or its CRD.
        kube::Error::Api(status) if status.code == 404 => Failure::from(kube::Error::Api(status)),
        // Its name or its fields, which the arguments say.
        kube::Error::Api(status) if status.code == 422 => {
            let object = object(client, kind, &name);
            Failure::usage(format!("{object}: {}", status.message))
        }
        error => object(client, kind, &name).explain(error).into(),
    })?;
    output::stderr(&format!("{kind}/{name} created"));
    Ok(())
}

async fn delete<K>(
    client: &konductor::Client,
    kind: &'static str,
    name: &str,
) -> Result<(), Failure>
where
    K: Stored,
{
    object(client, kind, name).checked()?;
    let deleted = api::<K>(client)
        .delete(name, &DeleteParams::background())
        .await;
    deleted.map_err(|error| object(client, kind, name).explain(error))?;
    output::stderr(&format!("{kind}/{name} deleted"));
    Ok(())
}
