//! Connecting to a cluster, as kubectl does.

use std::error::Error;
use std::io;
use std::path::Path;

use axum::http::HeaderValue;
use axum::http::header::USER_AGENT;
use konductor::Notice;
use kube::Config;
use kube::api::{PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::arguments::Global;
use crate::exit::{Failure, UNREACHABLE};
use crate::output;
use crate::platform;
use crate::suggestion::suggested;

/// Who writes, in the objects' managed fields.
pub(crate) const FIELD_MANAGER: &str = "koncli";

/// What is created names who did.
pub(crate) fn post_params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// What is patched names who did.
pub(crate) fn patch_params() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// Connects by the flags, else as kubectl does: the kubeconfig, or in a pod its service account.
pub(crate) async fn connect(global: &Global) -> Result<konductor::Client, Failure> {
    let options = KubeConfigOptions {
        context: global.context.clone(),
        ..Default::default()
    };
    let config = match &global.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path);
            let kubeconfig = kubeconfig.map_err(|error| unreadable(path, &error))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await
        }
        None if global.context.is_some() => Config::from_kubeconfig(&options).await,
        None => {
            let config = Config::infer().await.map_err(|error| not_found(&error))?;
            return client(config, global);
        }
    };
    client(config.map_err(|error| no_config(&error))?, global)
}

fn client(mut config: Config, global: &Global) -> Result<konductor::Client, Failure> {
    // An API server takes its first word for the manager of the fields that are written.
    let agent = HeaderValue::from_static(concat!("koncli/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    if let Some(namespace) = &global.namespace {
        config.default_namespace.clone_from(namespace);
    }
    let client = konductor::Client::from_config(config)?;
    Ok(client.field_manager(FIELD_MANAGER).on_notice(print_notice))
}

/// Says what keeps a command waiting.
fn print_notice(notice: &Notice) {
    let help = match notice {
        Notice::NoOperator { .. } => {
            format!(" (start one with {})", suggested("koncli operator"))
        }
        _ => String::new(),
    };
    output::stderr(&format!("{notice}{help}"));
}

fn no_config(error: &(dyn Error + 'static)) -> Failure {
    no_cluster(&error.to_string(), error)
}

fn unreadable(path: &Path, error: &(dyn Error + 'static)) -> Failure {
    let why = format!("{} can't be read: {}", path.display(), root(error));
    no_cluster(&why, error)
}

/// Says in plain words that nothing names a cluster, or what is wrong with what does.
fn not_found(error: &(dyn Error + 'static)) -> Failure {
    let why = match Kubeconfig::read() {
        Ok(_) => error.to_string(),
        Err(unread) => match root(&unread)
            .downcast_ref::<io::Error>()
            .map(io::Error::kind)
        {
            Some(io::ErrorKind::NotFound) => match named_by_environment() {
                Some(path) => format!("$KUBECONFIG names {path}, which does not exist"),
                None => "no kubeconfig was found, and koncli does not run in a pod".to_owned(),
            },
            _ => {
                let path = named_by_environment().unwrap_or_else(|| "~/.kube/config".to_owned());
                format!("{path} can't be read: {}", root(&unread))
            }
        },
    };
    no_cluster(&why, error)
}

/// What `$KUBECONFIG` says: one path, or several.
fn named_by_environment() -> Option<String> {
    let path = std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty())?;
    Some(path.to_string_lossy().into_owned())
}

fn no_cluster(why: &str, error: &(dyn Error + 'static)) -> Failure {
    Failure {
        cause: Some(error.to_string()),
        ..Failure::new(UNREACHABLE, format!("no cluster is configured: {why}")).help(format!(
            "name one with --kubeconfig or $KUBECONFIG; {} needs none",
            suggested("koncli run FILE")
        ))
    }
}

/// What an error comes from.
fn root<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error
}

/// Returns the holder: `--holder`, that of the environment, or the host's name.
pub(crate) fn holder(flag: Option<&str>) -> String {
    flag.map(str::to_owned)
        .or_else(konductor::env_holder)
        .unwrap_or_else(platform::host_name)
}
