//! `koncli operator`

use std::net::SocketAddr;

use konductor_operator::{LeaderElection, Options, Telemetry, TraceSettings, Traces};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Global, Operator};
use crate::cluster;
use crate::exit::{FORBIDDEN, Failure, UNREACHABLE};
use crate::platform::Signals;

/// Runs the operator until SIGTERM or Ctrl-C.
pub(crate) async fn operator(global: &Global, settings: Operator) -> Result<(), Failure> {
    log(global.verbose);
    let client = cluster::connect(global).await?;
    let leader_election = settings.leader_elect.then(|| {
        let namespace = settings.leader_namespace;
        let namespace = namespace.unwrap_or_else(|| client.namespace().to_owned());
        let host = cluster::holder(None);
        LeaderElection {
            lease: settings.leader_lease,
            ..LeaderElection::new(namespace, format!("{host}-{}", std::process::id()))
        }
    });
    let traces = traces(settings.otlp_endpoint.as_deref()).await?;
    let options = Options {
        traces,
        namespace: settings.watch_namespace,
        leader_election,
        pending_timeout: settings
            .pending_timeout
            .filter(|limit| !limit.is_zero())
            .and_then(|limit| limit.try_into().ok()),
        ..Options::default()
    };
    let served = match settings.listen {
        None => None,
        Some(address) => Some(serve(address, &options.telemetry).await?),
    };
    let mut signals = Signals::listen_in_background()?;
    let shutdown = async move {
        signals.next().await;
    };
    let ended = konductor_operator::run(client.kube().clone(), options, shutdown).await;
    if let Some(served) = served {
        served.abort();
    }
    let Err(error) = ended else { return Ok(()) };
    // Whether it is the API server that is missing, or a right, is for the API server to say.
    let code = match client.kube().apiserver_version().await {
        Err(error) if !matches!(error, kube::Error::Api(_)) => UNREACHABLE,
        _ => FORBIDDEN,
    };
    Err(Failure::new(code, error.to_string()))
}

/// Where runs are exported to, if anywhere.
async fn traces(endpoint: Option<&str>) -> Result<Option<Traces>, Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    let settings = TraceSettings::read(endpoint, variable).map_err(Failure::usage)?;
    let Some(settings) = settings else {
        return Ok(None);
    };
    let traces = Traces::new(settings).await.map_err(|error| {
        Failure::failed(format!("traces can't be exported: {error}"))
            .help("see the certificates that OTEL_EXPORTER_OTLP_* variables name")
    })?;
    Ok(Some(traces))
}

/// Answers probes and Prometheus until it is aborted.
async fn serve(address: SocketAddr, telemetry: &Telemetry) -> Result<JoinHandle<()>, Failure> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::failed(format!("can't listen on {address}: {error}"))
            .help("name another address with --listen")
    })?;
    let routes = telemetry.routes();
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "metrics and probes are not answered any more");
        }
    }))
}

/// Logs JSON lines to stderr; `RUST_LOG` says more exactly what.
pub(crate) fn log(verbose: u8) {
    let level = match verbose {
        0 => "info",
        1 => "info,konductor_operator=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    // It logs whole answers that it can't decode: objects of other people, and many of them.
    let filter = match "kube_client::client=error".parse() {
        Ok(quiet) => filter.add_directive(quiet),
        Err(_) => filter,
    };
    let subscriber = tracing_subscriber::fmt().json().with_env_filter(filter);
    // Somebody else may have set one: then theirs is used.
    let _ = subscriber.with_writer(std::io::stderr).try_init();
}
