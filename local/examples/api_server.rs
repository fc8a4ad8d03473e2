//! Serves an empty cluster on loopback until it is interrupted: `cargo run --example api_server -- 8001`,
//! then `kubectl -s http://127.0.0.1:8001 get namespaces`.

use std::error::Error;

use konductor_local::{ApiServer, Controllers, ServerOptions};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let server = ApiServer::new(ServerOptions::default());
    let controllers = Controllers::start(&server);
    let interrupted = async {
        // Where signals can't be listened to, there is nothing to wait for.
        let _ = tokio::signal::ctrl_c().await;
    };
    server.serve(listener, interrupted).await?;
    controllers.shutdown().await;
    Ok(())
}
