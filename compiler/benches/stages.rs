//! How long generated pipelines take, and how much memory: `cargo bench --package
//! konductor-compiler`. Each size runs in processes of its own, because the largest memory that a
//! process ever had never falls again. Nothing here fails by being slow. With `-- --writers`: the objects of
//! 10,000 stages, the same as YAML, and as serde-saphyr writes it. With `-- --once WHAT STAGES` it does one thing and
//! prints nothing, so that `valgrind --tool=callgrind` counts its instructions, which do not depend on how busy the
//! machine is.
#![expect(clippy::print_stdout, reason = "what it prints is its result")]

#[path = "../../tests/generated.rs"]
mod generated;

use std::io::{self, Write as _};
use std::process::Command;
use std::time::Duration;

use konductor_compiler::{Options, check, compile};
use konductor_dsl::{Sources, parse};
use rustix::time::{ClockId, clock_gettime};

use crate::generated::pipeline;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How many stages the pipelines of the table have.
const SIZES: [usize; 4] = [1_000, 10_000, 30_000, 100_000];
/// Processes for each size; the quickest counts, because others use the machine, too.
const REPEATS: usize = 7;

fn sources(text: &str) -> Sources {
    let mut sources = Sources::default();
    sources.add("generated.kon", text);
    sources
}

/// The most memory that this process ever had, in KiB.
fn peak() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmHWM")?.parse()?)
}

/// What the processor worked for this process so far.
fn worked() -> Outcome<Duration> {
    Ok(clock_gettime(ClockId::ProcessCPUTime).try_into()?)
}

/// One measurement, in a process of its own: bytes of text, microseconds of the processor for
/// reading, checking and compiling, bytes of YAML, and KiB beyond those at the start.
fn measure(what: &str, stages: usize) -> Outcome<()> {
    let text = pipeline(stages);
    // As much as a program has that read the file and will write YAML.
    let sources = sources(&text);
    let before = peak()?;
    let start = worked()?;
    let written = once(what, sources)?;
    println!(
        "{} {} {} {}",
        text.len(),
        worked()?.saturating_sub(start).as_micros(),
        written,
        peak()?.saturating_sub(before)
    );
    Ok(())
}

/// Reads, checks or compiles once; returns how many bytes were written.
fn once(what: &str, sources: Sources) -> Outcome<usize> {
    let options = Options::at("2026-01-31T02:03:04Z".parse()?);
    let mut out = Count(0);
    match what {
        "read" => drop(sources.iter().map(parse).collect::<Vec<_>>()),
        "check" => {
            let checked = check(sources, &options);
            assert!(!checked.has_errors(), "{:?}", checked.diagnostics);
        }
        _ => {
            let compiled = compile(sources, &options);
            let manifests = compiled.manifests.ok_or("it has errors")?;
            match what {
                "objects" => manifests.objects().for_each(drop),
                // As serde-saphyr writes it, to compare with our own writer.
                "saphyr" => {
                    for object in manifests.objects() {
                        out.write_all(serde_saphyr::to_string(&object)?.as_bytes())?;
                    }
                }
                _ => manifests.write_yaml(&mut out)?,
            }
        }
    }
    Ok(out.0)
}

/// Counts what is written, and keeps nothing of it.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The best of several processes, figure by figure.
fn best(what: &str, stages: usize) -> Outcome<Vec<u64>> {
    let mut best: Option<Vec<u64>> = None;
    for _ in 0..REPEATS {
        let mut command = Command::new(std::env::current_exe()?);
        let output = command.args(["--measure", what, &stages.to_string()]);
        let output = String::from_utf8(output.output()?.stdout)?;
        let figures = output.split_whitespace().map(str::parse);
        let figures: Vec<u64> = figures.collect::<Result<_, _>>()?;
        best = Some(match best {
            None => figures,
            Some(best) => best.iter().zip(&figures).map(|(a, b)| *a.min(b)).collect(),
        });
    }
    best.ok_or_else(|| "nothing was measured".into())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments
        .iter()
        .position(|argument| argument == "--measure")
    {
        let [what, stages] = &arguments[at + 1..] else {
            return Err("--measure WHAT STAGES".into());
        };
        return measure(what, stages.parse()?);
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "--once") {
        let [what, stages] = &arguments[at + 1..] else {
            return Err("--once WHAT STAGES".into());
        };
        once(what, sources(&pipeline(stages.parse()?)))?;
        return Ok(());
    }
    if arguments.iter().any(|argument| argument == "--print") {
        print!("{}", pipeline(10_000));
        return Ok(());
    }
    if arguments.iter().any(|argument| argument == "--writers") {
        for what in ["objects", "compile", "saphyr"] {
            println!("{what}: {:.1} ms", best(what, 10_000)?[1] as f64 / 1e3);
        }
        return Ok(());
    }
    println!("| stages | text | read | check | compile to YAML | YAML | memory |");
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    for stages in SIZES {
        let (read, check) = (best("read", stages)?, best("check", stages)?);
        let compile = best("compile", stages)?;
        let ms = |figures: &[u64]| format!("{:.1} ms", figures[1] as f64 / 1e3);
        let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        println!(
            "| {stages} | {} | {} | {} | {} | {} | {} |",
            mb(compile[0]),
            ms(&read),
            ms(&check),
            ms(&compile),
            mb(compile[2]),
            mb(compile[3] * 1024),
        );
    }
    Ok(())
}
