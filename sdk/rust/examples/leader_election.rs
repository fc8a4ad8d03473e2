//! Lets one of several replicas lead. The others stand by, and one of them takes over when the leader
//! ends, or does not renew.
//!
//! ```sh
//! koncli lease create scheduler --ttl 15s
//! cargo run -p konductor --example leader_election -- --resign-after 10
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use konductor::{Client, Error, Guard};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
struct Arguments {
    /// The Lease that the replicas share
    #[arg(long, default_value = "scheduler")]
    lease: String,
    /// Resign after so many seconds; without it, lead until SIGTERM or Ctrl-C
    #[arg(long)]
    resign_after: Option<f64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Error> {
    let client = Client::try_default().await?;
    let led = tokio::select! {
        led = serve(&client, &arguments) => led,
        () = stop_requested() => Ok(()),
    };
    // Another candidate may lead at once: the dropped guard is released before this process ends.
    client.settled().await;
    led
}

/// Waits for SIGTERM, by which Kubernetes ends a pod, or for Ctrl-C.
async fn stop_requested() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn serve(client: &Client, arguments: &Arguments) -> Result<(), Error> {
    loop {
        println!("standing by");
        let lease = client.lease(&arguments.lease);
        let led = lease.with(async |guard| {
            lead(guard, arguments.resign_after).await;
            Ok(())
        });
        match led.await {
            // Another candidate may lead by now: stand by again.
            Err(Error::Lost { message, .. }) => println!("lost the lead: {message}"),
            other => return other,
        }
    }
}

/// Works until it resigns. If the lead is lost before, this is dropped.
async fn lead(guard: &Guard, resign_after: Option<f64>) {
    println!("leading with token {}", guard.token().unwrap_or_default());
    match resign_after {
        Some(seconds) => tokio::time::sleep(Duration::from_secs_f64(seconds)).await,
        None => std::future::pending().await,
    }
    println!("resigning");
}
