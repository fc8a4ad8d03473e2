//! What the figures are of: the machine, the versions, the date and the command.

use std::process::Command;

use jiff::Timestamp;
use konductor_tests::built::koncli;
use konductor_tests::control_plane::binaries;
use serde_json::{Value, json};

/// What a reader needs to measure the same, with these words of the command line.
pub(crate) fn machine(words: &[String]) -> Value {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = field(&memory, "MemTotal").and_then(|text| {
        let number = text.split_whitespace().next()?;
        number.parse::<u64>().ok()
    });
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut command = String::from("just speed");
    for word in words {
        command.push(' ');
        command.push_str(word);
    }
    let components = binaries();
    let koncli = koncli();
    json!({
        "date": Timestamp::now().strftime("%Y-%m-%d").to_string(),
        "command": command,
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "processor": field(&cpu, "model name"),
        "memory_gib": kib.map(|kib| (kib as f64 / 1024.0 / 1024.0 * 10.0).round() / 10.0),
        "linux": kernel.trim(),
        "kubernetes": first_line(Command::new(components.join("kube-apiserver")).arg("--version")),
        "etcd": first_line(Command::new(components.join("etcd")).arg("--version")),
        "koncli": first_line(Command::new(&koncli).arg("version")),
        "koncli_mib": std::fs::metadata(&koncli)
            .map(|file| (file.len() as f64 / 1024.0 / 1024.0 * 10.0).round() / 10.0)
            .ok(),
    })
}

/// The value of a line `NAME : VALUE`.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let (_, value) = line.split_once(':')?;
    Some(value.trim().to_owned())
}

/// The first line of what a program prints.
fn first_line(command: &mut Command) -> Option<String> {
    let printed = command.output().ok()?.stdout;
    let text = String::from_utf8(printed).ok()?;
    text.lines().next().map(str::to_owned)
}
