//! Works on items at once, of which only as many are worked on, in all replicas together, as a
//! Semaphore has permits.
//!
//! ```sh
//! koncli semaphore create database --permits 2
//! cargo run -p konductor --example worker_pool -- --items 10
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use futures::future::try_join_all;
use konductor::{Client, Error};

#[derive(Parser)]
struct Arguments {
    /// The Semaphore that limits the work
    #[arg(long, default_value = "database")]
    semaphore: String,
    /// How many items there are
    #[arg(long, default_value_t = 10)]
    items: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("not all items are done: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<String, Error> {
    let client = Client::try_default().await?;
    let busy = Busy::default();
    let all = (0..arguments.items).map(|item| {
        let semaphore = client.semaphore(&arguments.semaphore);
        let working = busy.during(work(item));
        semaphore.with(async move |_| {
            working.await;
            Ok::<(), Error>(())
        })
    });
    let done = try_join_all(all).await;
    // After an error the others were dropped.
    client.settled().await;
    let most = busy.most.into_inner();
    Ok(format!(
        "{} items done, at most {most} at once",
        done?.len()
    ))
}

/// Stands for a query. If the permit is lost it is dropped: the permit may be another's then.
async fn work(item: usize) {
    println!("working on item {item}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// How many items of this process are worked on, and how many were at most.
#[derive(Default)]
struct Busy {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Busy {
    async fn during(&self, work: impl Future<Output = ()>) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        work.await;
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}
