//! Connecting to a cluster, as kubectl does.

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::arguments::Global;
use crate::exit::{Failure, UNREACHABLE};

/// Connects by the flags, else as kubectl does: the kubeconfig, or in a pod its service account.
pub(crate) async fn connect(global: &Global) -> Result<konductor::Client, Failure> {
    let options = KubeConfigOptions {
        context: global.context.clone(),
        ..Default::default()
    };
    let config = match &global.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| no_config(&error))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await
        }
        None if global.context.is_some() => Config::from_kubeconfig(&options).await,
        None => {
            let config = Config::infer().await.map_err(|error| no_config(&error))?;
            return client(config, global);
        }
    };
    client(config.map_err(|error| no_config(&error))?, global)
}

fn client(config: Config, global: &Global) -> Result<konductor::Client, Failure> {
    let namespace = global
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let kube = kube::Client::try_from(config)?;
    Ok(konductor::Client::new(kube, namespace))
}

fn no_config(error: &dyn std::error::Error) -> Failure {
    Failure {
        cause: error.source().map(ToString::to_string),
        ..Failure::new(UNREACHABLE, format!("no cluster is configured: {error}"))
            .help("name one with --kubeconfig or $KUBECONFIG; `koncli run FILE` needs none")
    }
}

/// Who holds: `--holder`, `$POD_NAME`, `$HOSTNAME`, the host's name.
pub(crate) fn holder(given: Option<&str>) -> String {
    let variable = |name| {
        std::env::var(name)
            .ok()
            .filter(|value: &String| !value.is_empty())
    };
    given
        .map(str::to_owned)
        .or_else(|| variable("POD_NAME"))
        .or_else(|| variable("HOSTNAME"))
        .unwrap_or_else(|| {
            rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned()
        })
}
