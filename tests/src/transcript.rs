//! Pages that show what commands print: each command is run, and the page must show what it printed.
//!
//! A block of `yaml` whose first line is `# NAME` is a file of that name. In a block of `console`,
//! lines after `$ ` are commands, and what follows is what each prints, standard output and error
//! together. Times, ages and identifiers are put into fixed ones first.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use regex::Regex;

/// Plays a page in a folder; `BLESS=1` writes it anew.
///
/// # Panics
/// Where a command prints something else than the page shows.
pub fn play(
    page: &Path,
    folder: &Path,
    prepare: impl Fn(&mut Command),
    normal: impl Fn(&str) -> String,
) {
    let text =
        std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let mut played = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let _ = writeln!(played, "{line}");
        let block: Vec<&str> = match line {
            "```yaml" | "```console" => lines.by_ref().take_while(|line| *line != "```").collect(),
            _ => continue,
        };
        if line == "```yaml" {
            if let Some(name) = block.first().and_then(|first| first.strip_prefix("# ")) {
                std::fs::write(folder.join(name), block.join("\n") + "\n").expect("a file");
            }
            let _ = writeln!(played, "{}", block.join("\n"));
        } else {
            for command in block.iter().filter_map(|line| line.strip_prefix("$ ")) {
                let printed = run(command, folder, &prepare);
                let _ = write!(played, "$ {command}\n{}", fixed(&normal(&printed)));
            }
        }
        let _ = writeln!(played, "```");
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(page, played).expect("written");
        return;
    }
    let difference = similar::TextDiff::from_lines(&text, &played);
    let difference = difference.unified_diff().context_radius(4).to_string();
    assert!(
        difference.is_empty(),
        "{} shows something else: BLESS=1 writes it anew\n{difference}",
        page.display()
    );
}

fn run(command: &str, folder: &Path, prepare: &impl Fn(&mut Command)) -> String {
    let mut shell = Command::new("sh");
    // One stream, so what is said first stands first.
    shell
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(folder)
        .stdin(Stdio::null());
    prepare(&mut shell);
    let output = shell
        .output()
        .unwrap_or_else(|error| panic!("{command}: {error}"));
    let mut text = String::from_utf8(output.stdout).expect("text");
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// What differs each time, in fixed words.
fn fixed(text: &str) -> String {
    static FIXED: LazyLock<[(Regex, &str); 6]> = LazyLock::new(|| {
        [
            (
                r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
                "2026-01-31T02:00:05Z",
            ),
            (
                r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
                "3f0c9a52-6d1e-4c1b-9b0e-5a7d2f1c8e44",
            ),
            (r"(Resource Version: +)\d+", "${1}1234"),
            // An age ends a line of a table, or stands in a table of Events.
            (r"(?m)(  )\d+m?\d*s$", "${1}5s"),
            (r"(?m)^\d+m?\d*s( +(?:Normal|Warning))", "5s$1"),
            (r"(?m)^(  (?:Normal|Warning)  .*? )\d+m?\d*s( )", "${1}5s$2"),
        ]
        .map(|(pattern, fixed)| (Regex::new(pattern).expect("a pattern"), fixed))
    });
    FIXED
        .iter()
        .fold(text.to_owned(), |text, (pattern, fixed)| {
            pattern.replace_all(&text, *fixed).into_owned()
        })
}
