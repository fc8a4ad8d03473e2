//! An API server's front on loopback: programs reach the API server through it, and what a test wants
//! to go wrong goes wrong there.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use axum::body::Body;
use axum::{Router, extract::State};
use futures::stream;
use http::{Request, Response};
use kube::Client;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

use crate::cluster::write_kubeconfig;
use crate::fault::Faults;

/// A server that hands every request on to an API server, by way of the faults.
pub struct Front {
    /// What goes wrong, and what was asked.
    pub faults: Faults,
    to: Client,
    address: SocketAddr,
    /// It never listens: it keeps the port from others while the front is down.
    _port: TcpSocket,
    /// Everything it serves lives on a runtime of its own, and ends with it: as a process that is
    /// killed.
    serving: Option<Runtime>,
}

impl Front {
    /// Starts one on a port that is free.
    ///
    /// # Panics
    /// If it can't listen.
    pub fn start(to: &Client) -> Self {
        let port = TcpSocket::new_v4().expect("a socket");
        port.set_reuseaddr(true).expect("a socket");
        port.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let address = port.local_addr().expect("an address");
        let mut front = Self {
            faults: Faults::default(),
            to: to.clone(),
            address,
            _port: port,
            serving: None,
        };
        front.serve(listen(address));
        front
    }

    fn serve(&mut self, listener: TcpListener) {
        listener.set_nonblocking(true).expect("a socket");
        let runtime = Runtime::new().expect("threads");
        let app = Router::new()
            .fallback(pass)
            .with_state(self.faults.client(&self.to));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            let _ = axum::serve(listener, app).await;
        });
        self.serving = Some(runtime);
    }

    /// Ends it as `kill -9` does: connections break, and new ones are refused.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.serving.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.serve(listen(self.address));
    }

    /// Writes a kubeconfig that leads here.
    pub fn write_kubeconfig(&self, path: &Path) {
        write_kubeconfig(path, &format!("http://{}", self.address), None, None);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The socket of the one before is closed in the background.
fn listen(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                std::thread::yield_now();
            }
            Err(error) => panic!("{address}: {error}"),
        }
    }
}

/// Without an answer, the connection breaks within one.
async fn pass(State(client): State<Client>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await;
    let body = kube::client::Body::from(body.unwrap_or_default());
    match client.send(Request::from_parts(head, body)).await {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            let broken = std::io::Error::other(error.to_string());
            Response::new(Body::from_stream(stream::iter([Err::<Vec<u8>, _>(broken)])))
        }
    }
}
