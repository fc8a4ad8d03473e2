//! Serves an empty cluster on loopback until it is interrupted: `cargo run --example api_server -- kubeconfig`,
//! then `kubectl --kubeconfig kubeconfig get namespaces`.

use std::error::Error;
use std::path::Path;

use konductor_local::{Access, ApiServer, Controllers, ServerOptions};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("name a kubeconfig to write")?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let access = Access::generate()?;
    access.write_kubeconfig(Path::new(&path), listener.local_addr()?, "default")?;
    let server = ApiServer::new(ServerOptions::default());
    let controllers = Controllers::start(&server);
    let interrupted = async {
        // If signals can't be listened to, there is nothing to wait for.
        let _ = tokio::signal::ctrl_c().await;
    };
    server.serve(listener, &access, interrupted).await?;
    controllers.shutdown().await;
    Ok(())
}
