//! How fast it is, as ratios to a raw client that does the least possible work on the same real API
//! server and etcd, measured in one run and by turns. No test: figures move with the machine.
//!
//! `KONCLI=target/release/koncli cargo bench --package konductor-tests --bench speed [-- P2 P5]`
//! prints a table.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod failover;
mod grant;
mod items;
mod local;
mod measure;
mod raw;
mod scale;
mod start;
mod wait;

use konductor_tests::cluster::Cluster;
use tokio::runtime::Runtime;

use crate::measure::Row;

/// The measurements that share one control plane whose controllers stand still: nothing but the
/// operator and the raw client asks anything of it.
const SHARED: [&str; 9] = ["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9"];

fn main() {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument.starts_with('P'))
        .collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|one| one == name);
    let runtime = Runtime::new().expect("threads");
    println!("| id | what | floor | konductor | ratio | target |");
    println!("|---|---|---|---|---|---|");
    runtime.block_on(async {
        if SHARED.iter().any(|name| wanted(name)) {
            let cluster = Cluster::durable().await;
            cluster.stop_controllers();
            if wanted("P1") {
                print(wait::barriers(&cluster).await);
            }
            if wanted("P2") {
                print(start::gates(&cluster).await);
            }
            if wanted("P3") {
                print(grant::many_semaphores(&cluster).await);
            }
            if wanted("P4") {
                print(grant::one_semaphore(&cluster).await);
            }
            if wanted("P5") {
                print(grant::releases(&cluster).await);
            }
            if wanted("P6") {
                print(grant::expiries(&cluster).await);
            }
            if ["P7", "P8", "P9"].iter().any(|name| wanted(name)) {
                print(scale::ten_thousand(&cluster).await);
            }
        }
        if wanted("P12") {
            print(start::thousand_stages(&Cluster::durable().await).await);
        }
        if wanted("P13") {
            print(local::three_stages());
        }
        if wanted("P14") {
            print(failover::leaders(&Cluster::durable().await).await);
        }
        if wanted("P15") {
            print(items::lists(&Cluster::durable().await).await);
        }
    });
}

fn print(rows: Vec<Row>) {
    for row in rows {
        println!("{row}");
    }
}
