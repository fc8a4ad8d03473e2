//! A proxy that freezes connections, as a firewall or a node that vanishes does: what is established
//! says nothing any more and is not closed; new connections work.

use std::net::SocketAddr;
use std::path::Path;

use http::HeaderValue;
use http::header::HOST;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::write_kubeconfig;

/// A proxy on loopback.
pub struct Freezer {
    address: SocketAddr,
    /// Connections of an earlier era are frozen.
    era: watch::Sender<u64>,
    /// How many connections there are, and were at most.
    connections: watch::Sender<(usize, usize)>,
    serving: JoinHandle<()>,
}

impl Freezer {
    /// Starts one in front of a server.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let era = watch::Sender::new(0);
        let eras = era.subscribe();
        let connections = watch::Sender::new((0, 0));
        let counted = connections.clone();
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (joined, counted) = (join(client, to, eras.clone()), counted.clone());
                counted.send_modify(|(now, most)| {
                    *now += 1;
                    *most = (*most).max(*now);
                });
                tokio::spawn(async move {
                    joined.await;
                    counted.send_modify(|(now, _)| *now -= 1);
                });
            }
        });
        Self {
            address,
            era,
            connections,
            serving,
        }
    }

    /// Returns how many connections there were at most.
    pub fn most_connections(&self) -> usize {
        self.connections.borrow().1
    }

    /// Freezes every connection that is established.
    pub fn freeze(&self) {
        self.era.send_modify(|era| *era += 1);
    }

    /// The configuration of a kubeconfig, by way of a new proxy.
    ///
    /// # Panics
    /// If it is not a kubeconfig of a server on loopback.
    pub async fn before(kubeconfig: &Path) -> (Self, Config) {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.expect("a configuration");
        let port = config.cluster_url.port_u16().expect("a port");
        let freezer = Self::start(SocketAddr::from(([127, 0, 0, 1], port))).await;
        let scheme = config.cluster_url.scheme_str().unwrap_or("http");
        let url = format!("{scheme}://{}", freezer.address);
        // The embedded API server refuses requests that are meant for another host.
        let host = HeaderValue::from_str(&format!("127.0.0.1:{port}")).expect("a host");
        config.headers.push((HOST, host));
        config.cluster_url = url.parse().expect("a URL");
        (freezer, config)
    }

    /// Writes a kubeconfig of no TLS that leads here.
    pub fn write_kubeconfig(&self, path: &Path) {
        write_kubeconfig(path, &format!("http://{}", self.address), None, None);
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn join(mut client: TcpStream, to: SocketAddr, mut era: watch::Receiver<u64>) {
    let begun = *era.borrow_and_update();
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let copied = async {
        tokio::select! {
            () = copy(from_client, to_server) => {}
            () = copy(from_server, to_client) => {}
        }
    };
    let frozen = async {
        let _ = era.wait_for(|era| *era != begun).await;
    };
    tokio::select! {
        () = copied => {}
        // Both sockets stay open.
        () = frozen => std::future::pending().await,
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
