//! How fast it is, as ratios to a raw client that does the least possible work on the same real API
//! server and etcd, measured in one run and by turns; and how time and memory grow. No test: figures move with the
//! machine.
//!
//! `KONCLI=target/release/koncli cargo bench --package konductor-tests --bench speed [-- ID… --scale 1/100 --rounds N]`
//! prints a line of JSON about the machine, and one for each row; how far it is, it reports on stderr. With a scale,
//! everything is so much smaller, to see in seconds whether it works. `tests/benches/publish.py` makes the tables and
//! charts of `docs/benchmarks.md` from the lines. A measurement that fails or takes too long is a line with its error,
//! and the next one begins.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod commands;
mod failover;
#[path = "../../generated.rs"]
mod generated;
mod grant;
mod items;
mod local;
mod machine;
mod measure;
mod memory;
mod peer;
mod raw;
mod runs;
mod scale;
mod start;
mod usage;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use konductor_tests::cluster::Cluster;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::{LocalSet, spawn_local};

use crate::measure::{Extent, Row, progress};

/// What takes longer is given up, with an error.
const WITHIN: Duration = Duration::from_secs(3600);

/// What a measurement runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// A control plane that others share, whose controllers stand still: nothing but the operator and the raw client
    /// asks anything of it.
    Still,
    /// The same, but shared with nobody, for what leaves many objects behind.
    OwnStill,
    /// A control plane of its own.
    Own,
    /// The same, and every request is logged, which takes a little time of its own.
    Audited,
    /// Nothing but koncli.
    Alone,
}

/// The ids of the rows of each measurement, and what it runs on.
const MEASUREMENTS: [(&[&str], Ground); 21] = [
    (&["P1"], Ground::Still),
    (&["P2"], Ground::Still),
    (&["P3"], Ground::Still),
    (&["P4"], Ground::Still),
    (&["P5"], Ground::Still),
    (&["P6"], Ground::Still),
    (&["P7", "P8", "P9"], Ground::Still),
    (&["S5"], Ground::Still),
    (&["P10", "P11", "K3"], Ground::Alone),
    (&["P12"], Ground::Own),
    (&["P13"], Ground::Alone),
    (&["P14"], Ground::Own),
    (&["P15"], Ground::Own),
    (&["S1"], Ground::Audited),
    (&["S2"], Ground::Audited),
    (&["S3"], Ground::Own),
    (&["K1"], Ground::Alone),
    (&["K2"], Ground::Alone),
    (&["S4"], Ground::OwnStill),
    (&["M1"], Ground::OwnStill),
    (&["P16"], Ground::OwnStill),
];

fn main() {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            progress(&message);
            std::process::exit(2);
        }
    };
    let runtime = Runtime::new().expect("threads");
    runtime.block_on(LocalSet::new().run_until(all(&arguments)));
}

/// What the command line asks for.
struct Arguments {
    words: Vec<String>,
    ids: Vec<String>,
    extent: Extent,
}

impl Arguments {
    /// # Errors
    /// What is wrong with the words, and what to write instead.
    fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        // What cargo adds.
        let words: Vec<String> = words.filter(|word| word != "--bench").collect();
        let mut arguments = Self {
            words: words.clone(),
            ids: Vec::new(),
            extent: Extent {
                scale: 1.0,
                rounds: None,
            },
        };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "--scale" => {
                    let scale = rest.next().and_then(|word| share(word));
                    arguments.extent.scale =
                        scale.ok_or("--scale needs a share such as 1/100, above 0 and up to 1")?;
                }
                "--rounds" => {
                    let rounds = rest.next().and_then(|word| word.parse().ok());
                    let rounds = rounds.filter(|rounds| *rounds > 0);
                    arguments.extent.rounds =
                        Some(rounds.ok_or("--rounds needs a number above 0")?);
                }
                id if every_id().any(|other| other == id) => arguments.ids.push(id.to_owned()),
                other => {
                    let ids: Vec<&str> = every_id().collect();
                    return Err(format!(
                        "there is no row {other}; the rows are {}",
                        ids.join(" ")
                    ));
                }
            }
        }
        Ok(arguments)
    }

    fn wants(&self, ids: &[&str]) -> bool {
        self.ids.is_empty()
            || ids
                .iter()
                .any(|id| self.ids.iter().any(|other| other == id))
    }
}

fn every_id() -> impl Iterator<Item = &'static str> {
    MEASUREMENTS.iter().flat_map(|(ids, _)| ids.iter().copied())
}

/// `1/100` or `0.01`.
fn share(word: &str) -> Option<f64> {
    let share = match word.split_once('/') {
        Some((part, whole)) => part.parse::<f64>().ok()? / whole.parse::<f64>().ok()?,
        None => word.parse().ok()?,
    };
    (share > 0.0 && share <= 1.0).then_some(share)
}

async fn all(arguments: &Arguments) {
    println!("{}", json!({"machine": machine::machine(&arguments.words)}));
    let mut shared: Option<Arc<Cluster>> = None;
    for (ids, ground) in MEASUREMENTS {
        if !arguments.wants(ids) {
            continue;
        }
        progress(&format!("{}: begins", ids.join(", ")));
        let cluster = match ground {
            Ground::Alone => None,
            Ground::Own => Some(Arc::new(Cluster::durable().await)),
            Ground::Audited => Some(Arc::new(Cluster::audited().await)),
            Ground::Still => {
                if shared.is_none() {
                    shared = Some(still().await);
                }
                shared.clone()
            }
            Ground::OwnStill => {
                // The shared one would only take memory.
                shared = None;
                Some(still().await)
            }
        };
        // As a task, so that its panic is an error.
        let mut task = spawn_local(measured(ids[0], cluster, arguments.extent));
        let failed = |error: String| json!({"id": ids.join(", "), "error": error});
        match tokio::time::timeout(WITHIN, &mut task).await {
            Ok(Ok(rows)) => {
                for row in rows {
                    println!("{}", line(&row, arguments.extent));
                }
            }
            Ok(Err(error)) => println!("{}", failed(error.to_string())),
            Err(_) => {
                task.abort();
                println!(
                    "{}",
                    failed(format!("it took more than {} s", WITHIN.as_secs()))
                );
            }
        }
    }
}

/// A control plane whose controllers stand still.
async fn still() -> Arc<Cluster> {
    let cluster = Cluster::durable().await;
    cluster.stop_controllers();
    Arc::new(cluster)
}

/// A row as it is printed.
fn line(row: &Row, extent: Extent) -> Value {
    let mut line = json!(row);
    line["scale"] = json!(extent.scale);
    line
}

async fn measured(id: &'static str, cluster: Option<Arc<Cluster>>, extent: Extent) -> Vec<Row> {
    let Some(cluster) = &cluster else {
        let alone = tokio::task::spawn_blocking(move || match id {
            "P10" => commands::pipelines(extent),
            "P13" => local::three_stages(extent),
            "K1" => commands::starts(extent),
            "K2" => local::thousand_trues(extent),
            other => panic!("{other} needs a control plane"),
        });
        return alone.await.expect("it did not panic");
    };
    match id {
        "P1" => wait::barriers(cluster, extent).await,
        "P2" => start::gates(cluster, extent).await,
        "P3" => grant::many_semaphores(cluster, extent).await,
        "P4" => grant::one_semaphore(cluster, extent).await,
        "P5" => grant::releases(cluster, extent).await,
        "P6" => grant::expiries(cluster, extent).await,
        "P7" => scale::ten_thousand(cluster, extent).await,
        "P12" => runs::thousand_stages(cluster, extent).await,
        "P14" => failover::leaders(cluster, extent).await,
        "P15" => items::lists(cluster, extent).await,
        "P16" => peer::quotas(cluster, extent).await,
        "S1" => runs::stages(cluster, extent).await,
        "S2" => items::fan_out(cluster, extent).await,
        "S3" => runs::at_once(cluster, extent).await,
        "S4" => grant::queue(cluster, extent).await,
        "S5" => wait::tasks(cluster, extent).await,
        "M1" => memory::objects(cluster, extent).await,
        other => panic!("{other} needs no control plane"),
    }
}
