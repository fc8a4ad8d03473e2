//! Counts the words of files. Each mapper, such as a pod of an indexed Job, counts those of one file
//! and arrives at a Barrier; the reducer waits for all and adds up.
//!
//! ```sh
//! koncli barrier create counted --expected 2
//! cargo run -p konductor --example map_reduce -- --dir /tmp/counts map book-1.txt &
//! cargo run -p konductor --example map_reduce -- --dir /tmp/counts map book-2.txt &
//! cargo run -p konductor --example map_reduce -- --dir /tmp/counts reduce
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::{Parser, Subcommand};
use konductor::{ArrivalOutcome, Client};

#[derive(Parser)]
struct Arguments {
    /// The Barrier between mappers and reducer
    #[arg(long, default_value = "counted")]
    barrier: String,
    /// Where the counts are put
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Count the words of a file
    Map { file: PathBuf },
    /// Wait for all mappers and add up
    Reduce,
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

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let client = Client::try_default().await?;
    match &arguments.part {
        Part::Map { file } => map(&client, &arguments, file).await,
        Part::Reduce => reduce(&client, &arguments).await,
    }
}

/// Maps one file. It arrives even if it has failed, so no waiter waits in vain.
async fn map(client: &Client, arguments: &Arguments, file: &Path) -> Result<(), Box<dyn Error>> {
    let name = file.file_name().unwrap_or_default().display().to_string();
    let counted = count(file, &arguments.dir.join(format!("{name}.count")));
    let outcome = match counted {
        Ok(()) => ArrivalOutcome::Succeeded,
        Err(_) => ArrivalOutcome::Failed,
    };
    // The input names the party: a mapper that is started again for it counts once.
    let holder = format!("mapper-{name}");
    let arrived = client.arrive_barrier(&arguments.barrier, &holder, outcome);
    arrived.await?;
    Ok(counted?)
}

fn count(input: &Path, output: &Path) -> io::Result<()> {
    let text = fs::read_to_string(input)?;
    fs::write(output, text.split_whitespace().count().to_string())
}

/// Adds up. A mapper that has failed ends the wait at once.
async fn reduce(client: &Client, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    client.wait_barrier(&arguments.barrier, None).await?;
    let (mut words, mut files) = (0, 0);
    for entry in fs::read_dir(&arguments.dir)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("count")) {
            words += fs::read_to_string(&path)?.parse::<u64>()?;
            files += 1;
        }
    }
    println!("{words} words in {files} files");
    Ok(())
}
