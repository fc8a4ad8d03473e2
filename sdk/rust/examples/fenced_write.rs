//! Writes a report that at most one holder of a Lease may write last. A holder that was stopped for
//! longer than its TTL, and continues without knowing, is refused by the storage.
//!
//! ```sh
//! koncli lease create daily-report --ttl 15s
//! echo all is well | cargo run -p konductor --example fenced_write -- --file report.json
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use konductor::{Client, Guard};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
struct Arguments {
    /// The Lease that protects the file
    #[arg(long, default_value = "daily-report")]
    lease: String,
    /// The file
    #[arg(long, default_value = "report.json")]
    file: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("not written: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let client = Client::try_default().await?;
    let guard = client.lease(&arguments.lease).acquire().await?;
    let written = report(&guard, &arguments.file).await;
    guard.release().await?;
    written
}

async fn report(guard: &Guard, file: &Path) -> Result<(), Box<dyn Error>> {
    let token = guard.token().ok_or("the Lease has no token")?;
    println!("holding with token {token}");
    // The report is made while the Lease is held; that may take any time.
    let text = tokio::task::spawn_blocking(|| io::read_to_string(io::stdin()));
    let text = text.await??;
    // The Lease lets one work at a time. The token makes it safe: also where `guard.check()` is asked
    // right here, any time may pass between that and the write.
    write(file, token, text.trim_end())?;
    println!("written by the holder of token {token}");
    Ok(())
}

/// What the file has.
#[derive(Default, Deserialize, Serialize)]
struct Record {
    token: i64,
    text: String,
}

/// Stores a text under a token, and refuses one that is lower than what is there: the file stands for
/// a database that does so in the condition of its update. The same token again replaces: a writer
/// may repeat itself.
fn write(path: &Path, token: i64, text: &str) -> Result<(), Box<dyn Error>> {
    // A lock of its own file: the data is replaced as a whole, which a lock would not follow.
    let lock = File::create(path.with_extension("lock"))?;
    lock.lock()?;
    let stored = match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Record::default(),
        Err(error) => return Err(error.into()),
    };
    if token < stored.token {
        let why = format!("token {token}, but {} has been seen", stored.token);
        return Err(why.into());
    }
    let text = text.to_owned();
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(&Record { token, text })?)?;
    fs::rename(&new, path)?;
    Ok(())
}
