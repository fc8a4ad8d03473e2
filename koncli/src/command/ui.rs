//! `koncli ui`: the web view of a namespace, with the permissions of whoever starts it.

mod browsed;
mod model;
mod primitives;
mod rights;
mod tail;
mod watched;

use std::net::{Ipv4Addr, SocketAddr};

use konductor_api::Run;
use konductor_web::Access;
use kube::api::ListParams;
use kube::config::Kubeconfig;
use tokio::net::TcpListener;

use super::api;
use crate::arguments::Global;
use crate::exit::Failure;
use crate::platform::{Signal, Signals};
use crate::{cluster, output, read};

pub(super) use browsed::log_end;
pub(super) use model::{Look, run_of_report};
pub(super) use tail::LOG_LINES;

use browsed::Browsed;

/// Serves the web view until Ctrl-C.
pub(crate) async fn ui(global: &Global, port: u16) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let client = cluster::connect(global).await?;
    // Whoever may not look learns it here, and not in a browser.
    read::list(&api::<Run>(&client), &ListParams::default().limit(1)).await?;
    let view = View::bind(port).await?;
    output::stdout(&format!("{}\n", view.link));
    let namespace = client.namespace();
    output::stderr(&format!(
        "the web view of namespace {namespace} is served until Ctrl-C; whoever has the address has your permissions"
    ));
    let cluster = name(global);
    tokio::select! {
        served = view.serve(client, &cluster) => served,
        signal = signals.next() => match signal {
            // That is how it is meant to end.
            Signal::Interrupt => Ok(()),
            signal => Err(Failure::silent(signal.exit_code())),
        },
    }
}

/// A web view that nobody is let into yet.
pub(super) struct View {
    /// The address, which lets its reader in.
    pub(super) link: String,
    listener: TcpListener,
    access: Access,
}

impl View {
    /// Takes a port on loopback; 0 takes a free one.
    pub(super) async fn bind(port: u16) -> Result<Self, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failure::failed(format!("the web view can't listen on {address}: {error}"))
                .help("name another --port, or none for one that is free")
        })?;
        let access = Access::generate();
        Ok(Self {
            link: access.link(listener.local_addr()?),
            listener,
            access,
        })
    }

    /// Serves until it is dropped.
    pub(super) async fn serve(
        self,
        client: konductor::Client,
        cluster: &str,
    ) -> Result<(), Failure> {
        let browsed = Browsed::new(client, cluster);
        let never = std::future::pending();
        konductor_web::serve(self.listener, browsed, self.access, never).await?;
        Ok(())
    }
}

/// What the kubeconfig calls the cluster.
pub(super) fn name(global: &Global) -> String {
    let kubeconfig = || match &global.kubeconfig {
        Some(path) => Kubeconfig::read_from(path).ok(),
        None => Kubeconfig::read().ok(),
    };
    let context = global.context.clone();
    let context = context.or_else(|| kubeconfig()?.current_context);
    context.unwrap_or_else(|| "this cluster".to_owned())
}
