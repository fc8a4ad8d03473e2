//! How long it takes from a keystroke to the diagnostics, and how much memory is held:
//! `cargo bench --package konductor-lsp`. Nothing here fails by being slow.
#![expect(clippy::print_stdout, reason = "what it prints is its result")]

#[path = "../../tests/generated.rs"]
mod generated;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use konductor_lsp::{Disk, Session};
use serde_json::{Value, json};

use crate::generated::pipeline;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How many stages the pipelines have, and how many keystrokes of each are measured.
const SIZES: [(usize, usize); 2] = [(1_000, 3_000), (10_000, 300)];
const FILE: &str = "file:///generated.kon";

struct Nothing;

impl Disk for Nothing {
    fn import(&self, _: &Path, _: &str) -> Result<String, String> {
        Err("no such file".to_owned())
    }

    fn read(&self, _: &Path) -> Option<String> {
        None
    }

    fn pipelines(&self, _: &Path) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// The memory of this process, in MiB.
fn memory() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmRSS")?.parse::<u64>()? / 1024)
}

fn edit(session: &mut Session, version: usize, line: usize, from: usize, to: usize, text: &str) {
    let at = |character: usize| json!({"line": line, "character": character});
    let range = json!({"start": at(from), "end": at(to)});
    let params = json!({
        "textDocument": {"uri": FILE, "version": version},
        "contentChanges": [{"range": range, "text": text}],
    });
    session.notify("textDocument/didChange", params);
}

fn main() -> Outcome<()> {
    println!(
        "| stages | bytes | keystrokes | p50 | p99 | largest | memory after 100 | memory at the end |\n|---|---|---|---|---|---|---|---|"
    );
    for (stages, keystrokes) in SIZES {
        let text = pipeline(stages);
        let mut session = Session::new(Box::new(Nothing));
        let params = json!({"processId": null, "rootUri": null, "capabilities": {}});
        session
            .initialize(params)
            .map_err(|refusal| refusal.to_string())?;
        let document: Value =
            json!({"uri": FILE, "languageId": "konductor", "version": 1, "text": text});
        session.notify("textDocument/didOpen", json!({"textDocument": document}));
        session.publish();
        let mut first = 0;
        let mut took: Vec<Duration> = Vec::with_capacity(keystrokes);
        for keystroke in 0..keystrokes {
            // A letter of a name is typed, which breaks what waits for it, and is removed again.
            let line = 2 + (keystroke / 2 * 37 % stages) * 3;
            let (to, letter) = match keystroke % 2 {
                0 => (8, "x"),
                _ => (9, ""),
            };
            let began = Instant::now();
            edit(&mut session, keystroke + 2, line, 8, to, letter);
            session.publish();
            took.push(began.elapsed());
            if keystroke == 100 {
                first = memory()?;
            }
        }
        took.sort_unstable();
        let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        println!(
            "| {stages} | {} | {keystrokes} | {:.1} ms | {:.1} ms | {:.1} ms | {first} MiB | {} MiB |",
            text.len(),
            at(50),
            at(99),
            at(100),
            memory()?
        );
    }
    Ok(())
}
