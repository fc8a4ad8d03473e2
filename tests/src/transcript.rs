//! Pages that show what commands print: each command is run, and the page must show what it printed.
//!
//! A block of `yaml` or `kon` whose first line is `# NAME` is a file of that name. In a block of
//! `console`, lines after `$ ` are commands, continued by lines after `> `; what follows is what each
//! prints, standard output and error together, and its exit code where that is not 0. One shell runs
//! a whole page.
//!
//! What differs each time is put into fixed words before the two are compared: times, ages, identifiers, tokens, ports,
//! and how long something took. Nothing else is: `fixed` is the whole list. So a page may show what was once really
//! printed; what is rewritten has the fixed words.

use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use regex::{Captures, Regex};
use rustix::process::{Pid, Signal, kill_process_group};

/// How long a page may take: a page whose command waits forever ends, and shows where.
const PATIENCE: Duration = Duration::from_secs(300);

/// Ends what a command has printed; its exit code follows. No program prints it.
const END: char = '\u{1e}';

/// Plays a page in a folder; `BLESS=1` rewrites it.
///
/// # Panics
/// If a command prints something else than the page shows.
pub fn play(
    page: &Path,
    folder: &Path,
    prepare: impl Fn(&mut Command),
    normal: impl Fn(&str) -> String,
) {
    let text =
        std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let parts = parts(&text);
    let mut script = "exec 2>&1 </dev/null\n".to_owned();
    for part in &parts {
        match part {
            Part::Text(_) => {}
            Part::File(name, content) => {
                std::fs::write(folder.join(name), content).expect("a file");
            }
            Part::Command { command, .. } => {
                let _ = writeln!(script, "{command}\nprintf '\\036%s\\n' \"$?\"");
            }
        }
    }
    let printed = run(&script, folder, &prepare);
    let mut printed = printed.split(END);
    let mut said = printed.next().unwrap_or_default();
    let mut played = String::new();
    for part in &parts {
        match part {
            Part::Text(text) => played.push_str(text),
            Part::File(..) => {}
            Part::Command { command, shown } => {
                let Some((code, next)) = printed.next().and_then(|ended| ended.split_once('\n'))
                else {
                    let _ = writeln!(played, "$ {command}\n{said}(the shell has ended)");
                    break;
                };
                let _ = write!(played, "$ {}", command.replace('\n', "\n> "));
                let mut now = fixed(&normal(&whole_lines(said)));
                if code != "0" {
                    let _ = writeln!(now, "exit code {code}");
                }
                let is_same = fixed(&normal(shown)) == now;
                let _ = write!(played, "\n{}", if is_same { shown } else { &now });
                said = next;
            }
        }
    }
    compare(page, &text, &played);
}

/// What a page is made of.
enum Part {
    /// It stays as it is.
    Text(String),
    /// A file's name and content, which the page shows as text, too.
    File(String, String),
    /// What is typed, and what the page shows that it prints.
    Command { command: String, shown: String },
}

fn parts(page: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        parts.push(Part::Text(format!("{line}\n")));
        let block: Vec<&str> = match line {
            "```yaml" | "```kon" | "```console" => {
                lines.by_ref().take_while(|line| *line != "```").collect()
            }
            _ => continue,
        };
        if line == "```console" {
            let mut block = block.into_iter().peekable();
            while let Some(line) = block.next() {
                let Some(first) = line.strip_prefix("$ ") else {
                    continue;
                };
                let mut command = first.to_owned();
                while let Some(more) = block.next_if(|line| line.starts_with("> ")) {
                    command.push('\n');
                    command.push_str(&more[2..]);
                }
                let mut shown = String::new();
                while let Some(line) = block.next_if(|line| !line.starts_with("$ ")) {
                    shown.push_str(line);
                    shown.push('\n');
                }
                parts.push(Part::Command { command, shown });
            }
        } else {
            let content = block.join("\n") + "\n";
            if let Some(name) = block.first().and_then(|first| first.strip_prefix("# ")) {
                parts.push(Part::File(name.to_owned(), content.clone()));
            }
            parts.push(Part::Text(content));
        }
        parts.push(Part::Text("```\n".to_owned()));
    }
    parts
}

fn compare(page: &Path, text: &str, played: &str) {
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(page, played).expect("written");
        return;
    }
    let difference = similar::TextDiff::from_lines(text, played);
    let difference = difference.unified_diff().context_radius(4).to_string();
    assert!(
        difference.is_empty(),
        "{} shows something else: BLESS=1 rewrites it\n{difference}",
        page.display()
    );
}

fn run(script: &str, folder: &Path, prepare: &impl Fn(&mut Command)) -> String {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .current_dir(folder)
        .stdin(Stdio::null());
    prepare(&mut shell);
    let child = shell.stdout(Stdio::piped()).process_group(0).spawn();
    let child = child.unwrap_or_else(|error| panic!("sh: {error}"));
    let group = Pid::from_child(&child);
    let (end, ended) = mpsc::channel::<()>();
    let watching = thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    });
    let output = child.wait_with_output().expect("an output");
    drop(end);
    watching.join().expect("nobody panicked");
    String::from_utf8(output.stdout).expect("text")
}

fn whole_lines(text: &str) -> String {
    match text.is_empty() || text.ends_with('\n') {
        true => text.to_owned(),
        false => format!("{text}\n"),
    }
}

/// What differs each time, in fixed words. A column keeps its width.
fn fixed(text: &str) -> String {
    static FIXED: LazyLock<[(Regex, &str); 18]> = LazyLock::new(|| {
        [
            // kubectl logs that a watch was cut off, such as by definitions that are installed again, and continues.
            (r"(?m)^[IWE]\d{4} \d\d:\d\d:\d\d\.\d+ .*\n", ""),
            (
                r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
                "2026-01-31T02:00:05Z",
            ),
            // A Claim or an Arrival is named for what it is about and by a hash.
            (r"(-)[0-9a-f]{12}\b", "${1}4fa1ddf52cb8"),
            (
                r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
                "3f0c9a52-6d1e-4c1b-9b0e-5a7d2f1c8e44",
            ),
            (r"(Resource Version: +)\d+", "${1}1234"),
            (r#"("?resourceVersion"?: ")\d+"#, "${1}1234"),
            // Helm prints the time.
            (r"(?m)^(LAST DEPLOYED: ).*$", "${1}Sat Jan 31 02:00:05 2026"),
            (r"127\.0\.0\.1:\d+", "127.0.0.1:6443"),
            // An age ends a line of a table, or stands in a table of Events.
            (r"(?m)(  )\d+m?\d*s$", "${1}5s"),
            (r"(?m)^\d+m?\d*s( +(?:Normal|Warning))", "5s$1"),
            (r"(?m)^(  (?:Normal|Warning)  .*? )\d+m?\d*s( )", "${1}5s$2"),
            // `koncli why` and progress print how long.
            (r#"(?m)( for )\d+s(:|"|$)"#, "${1}5s$2"),
            (r#"(?m)\b\d+s( ago(?:\)|:|"|$))"#, "5s$1"),
            (r"(?m)^ +\d+(?:\.\d)?s(  )", "   5s$1"),
            (r"\b(in|after) \d+\.\d+s\b", "$1 0.5s"),
            // A fencing token is printed alone on its line, or as a field.
            (r"(?m)^\d{2,}$", "42"),
            (r#"(?m)("?token"?: )\d+"#, "${1}42"),
            (r"( with token )\d+", "${1}42"),
        ]
        .map(|(pattern, fixed)| (Regex::new(pattern).expect("a pattern"), fixed))
    });
    // In a table of stages the age, in one of leases the token, has columns after it.
    static IN_COLUMNS: LazyLock<[(Regex, &str); 3]> = LazyLock::new(|| {
        [
            (r"(?m)^(.*[✗●‖◔○⊘−✓] .*?  )(\d+s +)(\S)", "5s"),
            (r"(?m)^(.*[✗●‖◔○⊘−✓] .*?  5s +)(\d+s +)(\S)", "5s"),
            (r"(?m)^(.*(?:Held|Available) .*  )(\d+ +)(\d)", "42"),
        ]
        .map(|(pattern, fixed)| (Regex::new(pattern).expect("a pattern"), fixed))
    });
    let text = IN_COLUMNS
        .iter()
        .fold(text.to_owned(), |text, (pattern, fixed)| {
            let replaced = pattern.replace_all(&text, |captures: &Captures<'_>| {
                let width = captures[2].len();
                format!("{}{fixed:<width$}{}", &captures[1], &captures[3])
            });
            replaced.into_owned()
        });
    FIXED.iter().fold(text, |text, (pattern, fixed)| {
        pattern.replace_all(&text, *fixed).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_each_time_is_put_into_fixed_words() {
        let table = [
            ("NAME  AGE\nb     119s\n", "NAME  AGE\nb     5s\n"),
            (
                "l     Held  me  30s  1234   17s\n",
                "l     Held  me  30s  42     5s\n",
            ),
            (
                "a  ✓ succeeded         12s    why\n",
                "a  ✓ succeeded         5s     why\n",
            ),
            ("claim/l-0123456789ab", "claim/l-4fa1ddf52cb8"),
            ("1733\n", "42\n"),
            ("7\n", "7\n"),
            ("first succeeded 17s ago\n", "first succeeded 5s ago\n"),
            ("not within 6s", "not within 6s"),
            (
                "ended (Succeeded 3s ago), so",
                "ended (Succeeded 5s ago), so",
            ),
            ("○ last waiting for 12s: why", "○ last waiting for 5s: why"),
        ];
        for (text, expected) in table {
            assert_eq!(fixed(text), expected);
        }
    }
}
