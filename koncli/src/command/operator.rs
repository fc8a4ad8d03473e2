//! `koncli operator`

use konductor_operator::{LeaderElection, Options};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::arguments::Global;
use crate::cluster;
use crate::exit::{FORBIDDEN, Failure};

/// Runs the operator until SIGTERM or Ctrl-C.
pub(crate) async fn operator(
    global: &Global,
    leader_elect: bool,
    leader_namespace: Option<String>,
    watch_namespace: Option<String>,
) -> Result<(), Failure> {
    log(global.verbose);
    let client = cluster::connect(global).await?;
    let leader_election = leader_elect.then(|| {
        let namespace = leader_namespace.unwrap_or_else(|| client.namespace().to_owned());
        let host = cluster::holder(None);
        LeaderElection::new(namespace, format!("{host}-{}", std::process::id()))
    });
    let options = Options {
        namespace: watch_namespace,
        leader_election,
        ..Options::default()
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let ended = konductor_operator::run(client.kube().clone(), options, shutdown).await;
    ended.map_err(|error| Failure::new(FORBIDDEN, error.to_string()))
}

/// Logs JSON lines to stderr; `RUST_LOG` says more exactly what.
pub(crate) fn log(verbose: u8) {
    let level = match verbose {
        0 => "info",
        1 => "info,konductor_operator=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt().json().with_env_filter(filter);
    // Somebody else may have set one: then theirs is used.
    let _ = subscriber.with_writer(std::io::stderr).try_init();
}
