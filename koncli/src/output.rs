//! Writing: results on stdout, all else on stderr.
//!
//! What is meant for people is made harmless for their terminal on its way out: here, so that no
//! command can forget it.

mod clean;
#[cfg(test)]
pub(crate) mod documented;
pub(crate) mod width;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use konductor_operator::explain;
use serde::Serialize;
use terminal_size::{Width, terminal_size_of};

pub(crate) use self::clean::{clean, clean_in_place};
use crate::arguments::{Conduct, Format, Global};
use crate::exit::Failure;
use crate::platform::{self, echo};
use width::{NAME_MIN, cut, narrowed, padded, shortened, width, wrapped};

/// Writes to stdout what people read.
pub(crate) fn stdout(text: &str) {
    write(clean(text).as_bytes());
}

/// Writes to stdout what programs read, such as YAML: exactly, unless it goes to a terminal.
pub(crate) fn stdout_exact(text: &str) {
    match io::stdout().is_terminal() {
        true => stdout(text),
        false => write(text.as_bytes()),
    }
}

/// Writes a line of a container's log: exactly, unless it goes to a terminal, where only its colours
/// have an effect.
pub(crate) fn stdout_log(title: &str, line: &str) {
    let title = clean(title);
    let line = match io::stdout().is_terminal() {
        true => format!("{title} | {}\n", clean::clean_log(line)),
        false => format!("{title} | {line}\n"),
    };
    // The command continues without its logs, and ends as it would.
    let _ = try_write(line.as_bytes());
}

/// Whether this command ends when nobody reads its stdout.
static ENDS_UNREAD: AtomicBool = AtomicBool::new(false);
/// Whether something else than logs could not be written.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Says what becomes of the command that is executed if stdout takes nothing any more.
pub(crate) fn set_conduct(conduct: Conduct) {
    ENDS_UNREAD.store(conduct == Conduct::Prints, Ordering::Relaxed);
}

/// Whether a result that somebody wants could not be written: then a command has not done all that it was asked.
pub(crate) fn is_lost() -> bool {
    IS_LOST.load(Ordering::Relaxed)
}

/// Writes a result.
fn write(bytes: &[u8]) {
    let written = try_write(bytes);
    if written.is_err_and(|kind| kind != io::ErrorKind::BrokenPipe) {
        IS_LOST.store(true, Ordering::Relaxed);
    }
}

/// Writes to stdout until that fails. A command that only prints ends then, and without a word if its reader has gone
/// away, as `head` expects. Any other continues without stdout.
fn try_write(bytes: &[u8]) -> Result<(), io::ErrorKind> {
    static FAILED: OnceLock<io::ErrorKind> = OnceLock::new();
    if let Some(kind) = FAILED.get() {
        return Err(*kind);
    }
    let written = {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush())
    };
    let Err(error) = written else { return Ok(()) };
    let kind = error.kind();
    let is_unread = kind == io::ErrorKind::BrokenPipe;
    let what = match is_unread {
        true => "nobody reads stdout any more".to_owned(),
        false => format!("stdout can't be written: {error}"),
    };
    if ENDS_UNREAD.load(Ordering::Relaxed) {
        echo::restore();
        if is_unread {
            std::process::exit(0);
        }
        let failure = Failure::failed(what);
        report(&failure, 0);
        std::process::exit(i32::from(failure.code));
    }
    if FAILED.set(kind).is_ok() {
        stderr(&format!("warning: {what}; continuing without it"));
    }
    Err(kind)
}

/// Writes a line of a container's log to stderr, where stdout is for something else.
pub(crate) fn stderr_log(title: &str, line: &str) {
    let title = clean(title);
    match io::stderr().is_terminal() {
        true => stderr_painted(&format!("{title} | {}", clean::clean_log(line))),
        false => stderr_painted(&format!("{title} | {line}")),
    }
}

/// Returns a line of a log as a summary quotes it: without colours, and no longer than people read.
pub(crate) fn quoted_log(line: &str) -> String {
    let last = clean::last_state(line);
    let text = last.trim_start();
    let indentation = &last[..last.len() - text.len()];
    format!("{indentation}{}", explain::cut(text))
}

/// Writes a line to stderr; nobody need hear it.
pub(crate) fn stderr(line: &str) {
    stderr_painted(&clean(line));
}

/// The same, of a text that has colours of its own, and whose parts are clean.
pub(crate) fn stderr_painted(line: &str) {
    // In one write: stderr has no buffer, and stdout may be the same file.
    let _ = io::stderr()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}

/// Prints why a command failed; returns its exit code.
pub(crate) fn report(failure: &Failure, verbose: u8) -> ExitCode {
    if !failure.message.is_empty() {
        let (red, bold, off) = if color() {
            ("\x1b[31;1m", "\x1b[1m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        let message = clean(&failure.message);
        stderr_painted(&format!("{red}error{off}{bold}:{off} {message}"));
        if let Some(cause) = failure.cause.as_ref().filter(|_| verbose > 0) {
            stderr(&format!("  because: {cause}"));
        }
        if let Some(help) = &failure.help {
            stderr(&format!("  help: {help}"));
        }
    }
    ExitCode::from(failure.code)
}

/// Whether stderr understands colours and wants them.
pub(crate) fn color() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = || std::env::var("TERM").as_deref() == Ok("dumb");
    !unwanted && io::stderr().is_terminal() && !is_dumb() && platform::enable_colors()
}

/// A cell that is wider does not make its column wider: else one long list would be as many blanks in each row.
const CELL_MAX: usize = 200;

/// A table whose columns are as wide as they must be, two blanks apart, as kubectl's.
pub(crate) fn table(headers: &[&str], rows: &[Vec<String>], no_headers: bool) -> String {
    let clean = |cell: &String| clean(cell).replace(['\n', '\t'], " ");
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(clean).collect())
        .collect();
    let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
    let all = || (!no_headers).then_some(&headers).into_iter().chain(&rows);
    let widest = |column: usize| {
        let cells = all().filter_map(|row| row.get(column));
        let widths = cells.map(|cell| width(cell));
        widths.filter(|width| *width <= CELL_MAX).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headers.len()).map(widest).collect();
    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for (cell, columns) in row.iter().zip(&widths) {
            line.push_str(&padded(cell, *columns));
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A table as it is shown: on a terminal no line is longer than that is wide, in a pipe all is as it is.
pub(crate) fn fitted(headers: &[&str], rows: &[Vec<String>], no_headers: bool) -> String {
    match columns() {
        Some(columns) => table_in(headers, rows, no_headers, columns),
        None => table(headers, rows, no_headers),
    }
}

/// How wide the terminal on stdout is, if it is one.
pub(crate) fn columns() -> Option<usize> {
    terminal_size_of(io::stdout()).map(|(Width(columns), _)| usize::from(columns))
}

/// A text that begins a report: on a terminal its lines end at blanks.
pub(crate) fn paragraph(text: &str) -> String {
    match columns() {
        Some(columns) => wrapped(text, columns).join("\n"),
        None => text.to_owned(),
    }
}

/// A reason has at least so many columns beside the rest of its row; else it is below the row.
const REASON_MIN: usize = 40;
/// Where a reason begins that is below its row.
const INDENTATION: &str = "    ";

/// A table for so many columns. Reasons, which are last, are cut if much of them is left, and else are below their rows;
/// then names are shortened.
fn table_in(headers: &[&str], rows: &[Vec<String>], no_headers: bool, columns: usize) -> String {
    let whole = table(headers, rows, no_headers);
    if whole.lines().all(|line| width(line) <= columns) {
        return whole;
    }
    let one_line = |cell: &String| clean(cell).replace(['\n', '\t'], " ");
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(one_line).collect())
        .collect();
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let widest = |column: usize| {
        let header = headers.get(column).map_or(0, |header| width(header));
        cells(column)
            .map(|cell| width(cell))
            .fold(header, usize::max)
    };
    let last = headers.len().saturating_sub(1);
    let has_reasons = cells(last).any(|cell| cell.contains(' '));
    let names = headers.len() - usize::from(has_reasons);
    let widths: Vec<usize> = (0..names).map(widest).collect();
    let beside: usize = widths.iter().map(|width| width + 2).sum();
    if has_reasons && beside + widest(last).min(REASON_MIN) <= columns {
        return cut_lines(&whole, columns);
    }
    let least: Vec<usize> = widths.iter().map(|width| *width.min(&NAME_MIN)).collect();
    let widths = narrowed(&widths, &least, columns);
    let mut short = vec![Vec::with_capacity(names); rows.len()];
    for (column, width) in widths.iter().enumerate() {
        let of_column: Vec<&str> = rows
            .iter()
            .map(|row| row.get(column).map_or("", String::as_str))
            .collect();
        for (row, name) in short.iter_mut().zip(shortened(&of_column, *width)) {
            row.push(name);
        }
    }
    let table = cut_lines(&table(&headers[..names], &short, no_headers), columns);
    let mut lines = table.lines();
    let mut text = String::new();
    if !no_headers {
        text.extend(lines.next().map(|line| format!("{line}\n")));
    }
    for (line, row) in lines.zip(&rows) {
        text.push_str(line);
        text.push('\n');
        let reason = row
            .get(last)
            .filter(|reason| has_reasons && !reason.is_empty());
        for part in reason
            .iter()
            .flat_map(|reason| wrapped(reason, columns.saturating_sub(INDENTATION.len())))
        {
            text.extend([INDENTATION, &part, "\n"]);
        }
    }
    text
}

fn cut_lines(text: &str, width: usize) -> String {
    let lines = text.lines().map(|line| cut(line, width) + "\n");
    lines.collect()
}

/// Writes objects in the format that was asked for; `rows` makes the table.
pub(crate) fn objects<T: Serialize>(
    global: &Global,
    kind: &str,
    objects: &[T],
    is_single: bool,
    name: impl Fn(&T) -> String,
    headers: &[&str],
    rows: impl Fn(&T) -> Vec<String>,
) -> Result<(), Failure> {
    let unwritable = |error: &dyn std::error::Error| Failure::failed(error.to_string());
    let plain = || {
        objects
            .iter()
            .map(without_managed_fields)
            .collect::<Result<Vec<_>, _>>()
    };
    match global.output.unwrap_or(Format::Table) {
        Format::Name => {
            let lines = objects
                .iter()
                .map(|object| format!("{kind}/{}\n", name(object)));
            stdout(&lines.collect::<String>());
        }
        Format::Json => {
            let plain = plain().map_err(|error| unwritable(&error))?;
            let text = match plain.as_slice() {
                [object] if is_single => serde_json::to_string_pretty(object),
                all => serde_json::to_string_pretty(&list(all)),
            };
            stdout_exact(&format!("{}\n", text.map_err(|error| unwritable(&error))?));
        }
        Format::Yaml => {
            let plain = plain().map_err(|error| unwritable(&error))?;
            let text = match plain.as_slice() {
                [object] if is_single => serde_saphyr::to_string(object),
                all => serde_saphyr::to_string(&list(all)),
            };
            stdout_exact(&text.map_err(|error| unwritable(&error))?);
        }
        Format::Table | Format::Wide | Format::Sarif | Format::Github if objects.is_empty() => {
            stderr("No resources found.")
        }
        Format::Table | Format::Wide | Format::Sarif | Format::Github => {
            let rows: Vec<Vec<String>> = objects.iter().map(rows).collect();
            stdout(&fitted(headers, &rows, global.no_headers));
        }
    }
    Ok(())
}

/// Writes a report as JSON or YAML, if that was asked for; returns whether it was.
pub(crate) fn document<T: Serialize>(global: &Global, report: &T) -> Result<bool, Failure> {
    let text = match global.output {
        Some(Format::Json) => serde_json::to_string_pretty(report)
            .map(|text| text + "\n")
            .map_err(|error| Failure::failed(error.to_string()))?,
        Some(Format::Yaml) => {
            let text = serde_saphyr::to_string(report);
            text.map_err(|error| Failure::failed(error.to_string()))?
        }
        _ => return Ok(false),
    };
    stdout_exact(&text);
    Ok(true)
}

/// As kubectl shows objects: who manages which field is of no interest here.
pub(crate) fn without_managed_fields<T: Serialize>(
    object: &T,
) -> Result<serde_json::Value, serde_json::Error> {
    let mut object = serde_json::to_value(object)?;
    if let Some(metadata) = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.as_object_mut())
    {
        metadata.remove("managedFields");
    }
    Ok(object)
}

fn list<T: Serialize>(objects: &[T]) -> impl Serialize {
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects})
}

/// How long ago something was, as kubectl shows it: `5s`, `3m`, `2h`, `4d`.
pub(crate) fn age(since: Option<jiff::Timestamp>) -> String {
    let Some(since) = since else {
        return "-".to_owned();
    };
    let seconds = jiff::Timestamp::now()
        .duration_since(since)
        .as_secs()
        .max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long something took, as kubectl shows it.
pub(crate) fn duration(length: Option<jiff::SignedDuration>) -> String {
    let Some(length) = length else {
        return "-".to_owned();
    };
    let seconds = length.as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_and_exact_enough() {
        let table = [(0, "0s"), (119, "119s"), (125, "2m05s"), (7_260, "2h01m")];
        for (seconds, expected) in table {
            let length = jiff::SignedDuration::from_secs(seconds);
            assert_eq!(duration(Some(length)), expected);
        }
        assert_eq!(duration(None), "-");
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [
            vec!["a".into(), "1".into()],
            vec!["long-name".into(), String::new()],
        ];
        let written = table(&["NAME", "N"], &rows, false);
        assert_eq!(written, "NAME       N\na          1\nlong-name\n");
        assert_eq!(
            table(&["NAME", "N"], &rows, true),
            "a          1\nlong-name\n"
        );
        assert_eq!(cut_lines(&written, 8), "NAME   …\na      …\nlong-na…\n");
    }

    #[test]
    fn narrow_tables_keep_states_reasons_and_different_names() {
        let row = |name: &str, state: &str, why: &str| -> Vec<String> {
            [name, state, "2/3", "1m05s", "12s", why]
                .map(str::to_owned)
                .into()
        };
        let rows = [
            row("build-all-the-things-linux", "✗ failed", "exit code 1"),
            row(
                "build-all-the-things-mac",
                "○ unreached",
                "stage build-all-the-things-linux failed",
            ),
            row("done", "✓ succeeded", ""),
        ];
        let headers = ["STAGE", "STATE", "ITEMS", "DURATION", "SINCE", "WHY"];
        let written = table_in(&headers, &rows, false, 60);
        let expected = "\
STAGE                    STATE        ITEMS  DURATION  SINCE
build-all-t…hings-linux  ✗ failed     2/3    1m05s     12s
    exit code 1
build-all-t…-things-mac  ○ unreached  2/3    1m05s     12s
    stage build-all-the-things-linux failed
done                     ✓ succeeded  2/3    1m05s     12s
";
        assert_eq!(written, expected);
        for columns in 40..140 {
            let written = table_in(&headers, &rows, true, columns);
            assert!(
                written.lines().all(|line| width(line) <= columns),
                "{written}"
            );
            assert!(written.contains("✗ failed"), "{written}");
            assert!(written.contains("exit code 1"), "{written}");
        }
        // What fits is as it is in a pipe.
        assert_eq!(
            table_in(&headers, &rows, false, 200),
            table(&headers, &rows, false)
        );
    }
}
