//! `docs/operations.md` lists all that an operator's user can see of it: metrics, reasons, log lines.
//! Each list is compared with the code, in both directions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A section of the page, without those below it of the same depth.
fn section(title: &str) -> String {
    let page = read("docs/operations.md");
    let (_, rest) = page
        .split_once(&format!("\n## {title}\n"))
        .expect("a section");
    let (section, _) = rest.split_once("\n## ").expect("a section after it");
    section.to_owned()
}

/// The files of a folder and of those in it.
fn all_code(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder");
    let files = entries.map(|entry| match entry.expect("an entry").path() {
        folder if folder.is_dir() => all_code(&folder),
        file => fs::read_to_string(file).expect("text"),
    });
    files.collect()
}

/// What a pattern captures in a text.
fn all(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    let matches = pattern.captures_iter(text);
    matches.map(|captures| captures[1].to_owned()).collect()
}

#[test]
fn each_metric_is_listed_and_each_listed_one_is_there() {
    // By the code that registers them: what has no sample yet is not printed.
    let code = read("operator/src/telemetry/metrics.rs");
    let registered = |code: &str, prefix: &str| -> BTreeSet<String> {
        let plain = all(r#"registry\.register\(\s*"(\w+)""#, code);
        let timed = all(r#"registry\.register_with_unit\(\s*"(\w+)""#, code);
        let timed = timed.iter().map(|name| format!("{name}_seconds"));
        let names = plain.into_iter().chain(timed);
        names.map(|name| format!("{prefix}{name}")).collect()
    };
    // What every operator has keeps its name.
    let (common, own) = code.split_once("fn register_own").expect("both parts");
    let mut there = registered(common, "");
    there.extend(registered(own, "konductor_"));
    let section = section("Probes and metrics");
    let rows: String = section
        .lines()
        .filter(|line| line.starts_with('|'))
        .collect();
    let listed = all(
        r"`((?:konductor|controller_runtime|workqueue|rest_client)_\w+)`",
        &rows,
    );
    // The format adds these to the names of the samples of each counter, and of what always is 1.
    let listed: BTreeSet<String> = listed
        .iter()
        .map(|name| {
            let name = name.trim_end_matches("_total");
            name.trim_end_matches("_info").to_owned()
        })
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn each_reason_is_listed_and_each_listed_one_is_there() {
    let code = read("api/src/condition.rs");
    let (_, code) = code.split_once("pub mod reason {").expect("the reasons");
    let (code, _) = code.split_once("\n}\n").expect("their end");
    let there = all(r#"pub const [A-Z_]+: &str = "(\w+)";"#, code);
    let events = section("Events");
    let (table, others) = events.split_once("\nThese reasons").expect("both lists");
    let mut listed = all(r"(?m)^\| `(\w+)` \|", table);
    listed.extend(all(r"`([A-Z]\w+)`", others));
    assert_eq!(listed, there);
}

#[test]
fn each_log_line_is_listed_and_each_listed_one_is_there() {
    let code = read("koncli/src/command/operator.rs") + &all_code(&root().join("operator/src"));
    let call =
        Regex::new(r#"(?s)tracing::(info|warn|error|debug|trace)!\((.*?)"([^"]+)"\s*,?\s*\)"#);
    let call = call.expect("a pattern");
    let lines = call.captures_iter(&code).map(|call| {
        let fields = call[2].split(',').map(|field| {
            let name = field.split('=').next().unwrap_or_default();
            name.trim().trim_start_matches(['%', '?']).to_owned()
        });
        let fields: Vec<String> = fields.filter(|field| !field.is_empty()).collect();
        (call[1].to_uppercase(), call[3].to_owned(), fields)
    });
    let there: BTreeSet<_> = lines.collect();
    assert_eq!(
        there.len(),
        code.matches("tracing::info!(").count()
            + code.matches("tracing::warn!(").count()
            + code.matches("tracing::error!(").count()
            + code.matches("tracing::debug!(").count(),
        "all were read"
    );
    let section = section("Logs");
    let row = Regex::new(r"(?m)^\| ([A-Z]+) \| `([^`]+)` \| ([^|]*) \|").expect("a pattern");
    let rows = row.captures_iter(&section).map(|row| {
        let fields = row[3]
            .split(',')
            .map(|field| field.trim().trim_matches('`').to_owned());
        (row[1].to_owned(), row[2].to_owned(), fields.collect())
    });
    let listed: BTreeSet<_> = rows.collect();
    assert_eq!(listed, there);
}

/// Where nothing is scraped there is no series, and a comparison of none is never true.
#[test]
fn alert_on_a_missing_leader_fires_without_a_series_too() {
    let rules = read("charts/konductor/files/rules.yaml");
    let alerts = all(r"expr: (.*konductor_leading.*==.*)", &rules);
    assert_eq!(alerts.len(), 1);
    for alert in alerts {
        assert!(alert.ends_with("or absent(konductor_leading)"), "{alert}");
    }
    let page = read("docs/operations.md");
    assert_eq!(
        page.matches("sum(konductor_leading)").count(),
        0,
        "one alert"
    );
}
