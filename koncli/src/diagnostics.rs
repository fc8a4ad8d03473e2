//! Diagnostics as people read them.

pub(crate) mod github;
pub(crate) mod sarif;
mod window;

use std::borrow::Cow;
use std::fmt;
use std::io::IsTerminal;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use konductor_compiler::Compiled;
use konductor_dsl::{Diagnostic, Severity, Source, SourceId, Sources, Span, TextEdit};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use serde_json::{Value, json};
use window::{Mark, Window};

use crate::output;
use crate::suggestion::{quoted, suggested};

/// How wide diagnostics are where nobody says.
const WIDTH: usize = 100;
/// How many diagnostics of one file are printed: more would scroll away the first.
const SHOWN_MAX: usize = 100;

/// Prints the diagnostics on stderr.
pub(crate) fn print(compiled: &Compiled) {
    print_all(&compiled.sources, &compiled.diagnostics);
}

/// Prints errors with all that was found; of warnings alone, only how many there are.
pub(crate) fn print_in_short(compiled: &Compiled, file: &Path) {
    if compiled.has_errors() || compiled.diagnostics.is_empty() {
        return print(compiled);
    }
    let them = match compiled.diagnostics.len() {
        1 => "it",
        _ => "them",
    };
    output::stderr(&format!(
        "{}; {} shows {them}",
        summary(&compiled.diagnostics),
        suggested(format!(
            "koncli check {}",
            quoted(&file.display().to_string())
        ))
    ));
}

/// Prints diagnostics of these sources on stderr.
pub(crate) fn print_all(sources: &Sources, diagnostics: &[Diagnostic]) {
    let sources = cleaned(sources);
    let (width, files) = (width(), Files::of(&sources));
    for diagnostic in shown(diagnostics) {
        let diagnostic = harmless(diagnostic);
        output::stderr_painted(render(&files, &diagnostic, output::color(), width).trim_end());
        output::stderr("");
    }
    if let Some(rest) = not_shown(diagnostics) {
        output::stderr(&rest);
        output::stderr("");
    }
}

/// The first diagnostics, errors before all others where not all are shown.
fn shown(all: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut shown: Vec<&Diagnostic> = all.iter().collect();
    if shown.len() > SHOWN_MAX {
        shown.sort_by_key(|diagnostic| !diagnostic.is_error());
        shown.truncate(SHOWN_MAX);
    }
    shown
}

/// How many are not shown, in words.
fn not_shown(all: &[Diagnostic]) -> Option<String> {
    let rest = all.len().checked_sub(SHOWN_MAX).filter(|rest| *rest > 0)?;
    Some(format!("… and {rest} more, which `-o json` lists"))
}

/// The files as they may be shown on a terminal; places in them stay where they are.
fn cleaned(sources: &Sources) -> Sources {
    let mut cleaned = Sources::default();
    for source in sources.iter() {
        let name = output::clean(&source.name);
        match output::clean_in_place(&source.text) {
            Cow::Borrowed(_) => cleaned.add(name, Arc::clone(&source.text)),
            Cow::Owned(text) => cleaned.add(name, text),
        };
    }
    cleaned
}

/// A diagnostic as it may be shown on a terminal: it quotes the file.
fn harmless(diagnostic: &Diagnostic) -> Diagnostic {
    let clean = |text: &mut String| {
        if let Cow::Owned(cleaned) = output::clean(text) {
            *text = cleaned;
        }
    };
    let mut diagnostic = diagnostic.clone();
    clean(&mut diagnostic.message);
    diagnostic.help.iter_mut().for_each(clean);
    diagnostic
        .labels
        .iter_mut()
        .for_each(|label| clean(&mut label.text));
    diagnostic
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// How many errors and warnings there are, in words.
pub(crate) fn summary(all: &[Diagnostic]) -> String {
    let count = |severity| {
        all.iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    };
    let words = [
        (count(Severity::Error), "error"),
        (count(Severity::Warning), "warning"),
    ];
    let parts = words
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if *count == 1 { "" } else { "s" }));
    parts.collect::<Vec<_>>().join(", ")
}

/// One diagnostic with its piece of the file.
fn render(files: &Files<'_>, diagnostic: &Diagnostic, color: bool, width: usize) -> String {
    let theme = if color {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width)
        .with_links(false);
    let mut text = String::new();
    let report = Report::of(files, diagnostic, width);
    match handler.render_report(&mut text, &report) {
        Ok(()) => text.replace(GLUE, " ").replace(JOINER, ""),
        Err(_) => diagnostic.message.clone(),
    }
}

/// Stands for the blanks of what is to be typed, which is not wrapped if it is short.
const GLUE: char = '\u{a0}';

/// Stands between the characters of what is to be typed: `$${x}` and `fail-fast` are not wrapped within.
const JOINER: char = '\u{2060}';

/// A text in which what stands between backquotes is one word, unless it is long.
fn glued(text: &str, width: usize) -> String {
    let mut glued = String::with_capacity(text.len());
    for (index, part) in text.split('`').enumerate() {
        if index > 0 {
            glued.push('`');
        }
        match index % 2 == 1 && output::width::width(part) < width / 2 {
            true => {
                for (at, character) in part.chars().enumerate() {
                    if at > 0 {
                        glued.push(JOINER);
                    }
                    glued.push(if character == ' ' { GLUE } else { character });
                }
            }
            false => glued.push_str(part),
        }
    }
    glued
}

/// How wide the terminal is, where stderr is one.
fn width() -> usize {
    if !std::io::stderr().is_terminal() {
        return WIDTH;
    }
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map_or(WIDTH, |(columns, _)| usize::from(columns.0))
        .clamp(32, 120)
}

/// A diagnostic, as miette wants it. Labels in other files become notes.
struct Report<'a> {
    diagnostic: &'a Diagnostic,
    message: String,
    help: String,
    window: Option<Window>,
}

impl<'a> Report<'a> {
    fn of(files: &'a Files<'_>, diagnostic: &'a Diagnostic, width: usize) -> Self {
        let own = diagnostic.span().source;
        let here = diagnostic
            .labels
            .iter()
            .filter(|label| label.span.source == own);
        let marks = here.map(|label| Mark {
            place: label.span.start as usize..label.span.end as usize,
            text: &label.text,
            is_primary: label.primary,
        });
        let marks: Vec<Mark<'_>> = marks.collect();
        let window = files.get(own).map(|file| Window::of(file, &marks, width));
        let elsewhere = diagnostic
            .labels
            .iter()
            .filter(|label| label.span.source != own)
            .filter_map(|label| {
                let file = files.get(label.span.source)?;
                let (line, column) = file.line_column(label.span.start);
                let text = format!("{}:{line}:{column}: {}", file.source.name, label.text);
                Some(text.trim_end_matches([' ', ':']).to_owned())
            });
        let help: Vec<String> = diagnostic.help.iter().cloned().chain(elsewhere).collect();
        Self {
            diagnostic,
            message: glued(&diagnostic.message, width),
            help: glued(&help.join("\n"), width),
            window,
        }
    }
}

/// The files that diagnostics are about, and where their lines begin: many diagnostics of a large
/// file must not read it from its beginning each time.
pub(crate) struct Files<'a> {
    files: Vec<(&'a Source, Vec<usize>)>,
}

/// One of them.
#[derive(Clone, Copy)]
struct File<'f> {
    source: &'f Source,
    starts: &'f [usize],
}

impl<'a> Files<'a> {
    pub(crate) fn of(sources: &'a Sources) -> Self {
        let starts = |source: &Source| {
            let newlines = source.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(newlines).collect()
        };
        Self {
            files: sources
                .iter()
                .map(|source| (source, starts(source)))
                .collect(),
        }
    }

    fn get(&self, id: SourceId) -> Option<File<'_>> {
        let (source, starts) = self.files.get(usize::from(id.0))?;
        Some(File { source, starts })
    }
}

impl File<'_> {
    /// The line of a byte, counted from 0.
    fn line(&self, offset: usize) -> usize {
        self.starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1)
    }

    /// Where a line is, without what ends it.
    fn line_place(&self, line: usize) -> Range<usize> {
        let end = self.source.text.len();
        let start = |line: usize| self.starts.get(line).copied().unwrap_or(end);
        let whole = self.source.text.get(start(line)..start(line + 1));
        let text = whole.unwrap_or_default().trim_end_matches(['\n', '\r']);
        start(line)..start(line) + text.len()
    }

    /// The line and the column of a byte, counted from 1; the column counts characters.
    fn line_column(&self, offset: u32) -> (usize, usize) {
        let line = self.line(offset as usize);
        let before = self.source.text.get(self.starts[line]..offset as usize);
        (line + 1, before.unwrap_or_default().chars().count() + 1)
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.diagnostic, formatter)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        let severity = word(self.diagnostic.severity);
        Some(Box::new(format!("{severity}[{}]", self.diagnostic.code)))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        (!self.help.is_empty()).then(|| Box::new(&self.help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.window.as_ref().map(|window| window as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let own = self.diagnostic.span().source;
        let here = self
            .diagnostic
            .labels
            .iter()
            .filter(move |label| label.span.source == own);
        let places = self.window.iter().flat_map(Window::marks);
        Some(Box::new(here.zip(places).map(|(label, place)| {
            let text = (!label.text.is_empty()).then(|| label.text.clone());
            let (start, length) = (place.start, place.len());
            match label.primary {
                true => LabeledSpan::new_primary_with_span(text, (start, length)),
                false => LabeledSpan::new_with_span(text, (start, length)),
            }
        })))
    }
}

/// One diagnostic for editors and CI: places count lines and columns from 1.
pub(crate) fn as_json(files: &Files<'_>, sources: &Sources, diagnostic: &Diagnostic) -> Value {
    let place = |span: Span| {
        let file = files.get(span.source);
        let at = |offset| {
            file.map(|file| file.line_column(offset))
                .unwrap_or_default()
        };
        let (start, end) = (at(span.start), at(span.end));
        json!({
            "file": file.map(|file| file.source.name.as_str()),
            "start": {"line": start.0, "column": start.1, "byte": span.start},
            "end": {"line": end.0, "column": end.1, "byte": span.end},
        })
    };
    let labels = diagnostic.labels.iter().map(
        |label| json!({"place": place(label.span), "text": label.text, "primary": label.primary}),
    );
    let edit = |edit: &TextEdit| json!({"place": place(edit.span), "text": edit.text});
    let fixes = diagnostic.fixes.iter().map(|fix| {
        let edits: Vec<Value> = fix.text_edits(sources).iter().map(edit).collect();
        json!({"message": fix.message, "edits": edits})
    });
    json!({
        "code": diagnostic.code.name(),
        "severity": word(diagnostic.severity),
        "message": diagnostic.message,
        "labels": labels.collect::<Vec<_>>(),
        "help": diagnostic.help,
        "fixes": fixes.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;
    use std::path::Path;

    use konductor_compiler::{Options, compile};
    use konductor_dsl::{CODES, Code};

    use super::*;

    const INTRODUCTION: &str = "\
# Diagnostics

Every error and warning of `koncli check`, with its code. Behind each link is why it is reported, an example, what is printed for
it, and what to write instead. `koncli explain K0201` prints the same in a terminal.
";

    /// What the first digits of a code say.
    const GROUPS: [(&str, &str, &str); 6] = [
        ("K01", "syntax", "Syntax and text"),
        ("K02", "names", "Names"),
        ("K03", "values", "Types and values"),
        ("K04", "coordination", "Dependencies and coordination"),
        ("K05", "kubernetes", "Limits and Kubernetes"),
        ("K06", "style", "Style"),
    ];

    /// What the pages import.
    fn read_import(path: &str) -> Result<String, String> {
        match path {
            "lib/circle.kon" => {
                Ok("import \"circle.kon\"\ntemplate round() { run = \"true\" }".to_owned())
            }
            _ => Err("no such file".to_owned()),
        }
    }

    /// The example of a code's page.
    fn example(code: Code) -> String {
        if code == Code::K0107 {
            return "\n".repeat(20 * 1024 * 1024 + 1);
        }
        let example = code.page().split("```kon\n").nth(1);
        let example = example.and_then(|rest| rest.split("```").next());
        example
            .unwrap_or_else(|| panic!("{code} has no example"))
            .to_owned()
    }

    /// What is printed about a text; lines `# --set NAME=TEXT` and `# --run NAME` in it are its
    /// command line.
    fn printed(text: &str) -> String {
        let mut options = Options::at("2026-01-31T02:03:04Z".parse().unwrap());
        options.read_import = &read_import;
        for line in text.lines().take(2) {
            if let Some(set) = line.strip_prefix("# --set ") {
                let (name, text) = set.split_once('=').unwrap();
                options.set.push((name.to_owned(), text.to_owned()));
            } else if let Some(run) = line.strip_prefix("# --run ") {
                options.run = Some(run.to_owned());
            }
        }
        let mut sources = Sources::default();
        sources.add("pipeline.kon", text);
        let compiled = compile(sources, &options);
        let files = Files::of(&compiled.sources);
        let render = |diagnostic| render(&files, diagnostic, false, 80);
        let all: Vec<String> = compiled.diagnostics.iter().map(render).collect();
        let all: Vec<&str> = all.iter().map(|diagnostic| diagnostic.trim_end()).collect();
        let all = all.join("\n\n");
        let lines: Vec<&str> = all.lines().map(str::trim_end).collect();
        lines.join("\n") + "\n"
    }

    #[test]
    fn many_diagnostics_are_cut_with_a_count_and_errors_come_first() {
        let mut text = "pipeline p {\n".to_owned();
        for number in 0..40_000 {
            writeln!(text, "  stage s{number} after nobody {{ image = \"a:1\" }}").unwrap();
        }
        text.push('}');
        let mut sources = Sources::default();
        sources.add("pipeline.kon", text);
        let compiled = compile(sources, &Options::at(jiff::Timestamp::UNIX_EPOCH));
        let all = &compiled.diagnostics;
        assert!(all.len() >= 40_000);
        let shown = shown(all);
        assert!(shown.len() == SHOWN_MAX && shown.iter().all(|diagnostic| diagnostic.is_error()));
        let rest = all.len() - SHOWN_MAX;
        let expected = format!("… and {rest} more, which `-o json` lists");
        assert_eq!(not_shown(all), Some(expected));
        assert_eq!(not_shown(&all[..SHOWN_MAX]), None);
    }

    /// The section of a code: what is printed of its example.
    fn section(code: Code) -> String {
        let printed = printed(&example(code));
        assert!(printed.contains(code.name()), "{code}: {printed}");
        // Nothing breaks a label: a short one fits beside most places.
        let labels = printed.lines().filter_map(|line| line.split_once("╰── "));
        let widest = labels.map(|(_, label)| label.chars().count()).max();
        assert!(widest.is_none_or(|width| width <= 66), "{code}: {printed}");
        let (_, text) = code.page().split_once("\n\n").expect("a heading");
        let text = text.replace("\n## ", "\n### ");
        // What is printed stands behind its example, which is the first block.
        let end = text.match_indices("\n```\n").next();
        let (why, instead) = match end {
            Some((at, fence)) => text.split_at(at + fence.len()),
            None => (text.as_str(), ""),
        };
        format!(
            "\n## {code}: {}\n\n{}\n\n```text\n{printed}```\n{}",
            code.title(),
            why.trim_end(),
            instead
        )
    }

    #[test]
    fn the_pages_of_diagnostics_show_what_is_printed() {
        let (mut index, mut pages) = (INTRODUCTION.to_owned(), BTreeMap::new());
        for (prefix, file, group) in GROUPS {
            write!(
                index,
                "\n## {group}\n\n| code | what is wrong |\n|---|---|\n"
            )
            .unwrap();
            let mut page = format!(
                "# Diagnostics: {group}\n\nWhat `koncli check` prints in a terminal of 80 columns. [All \
                 codes](../diagnostics.md)\n"
            );
            for code in CODES.iter().filter(|code| code.name().starts_with(prefix)) {
                page.push_str(&section(*code));
                let title = code.title();
                let anchor = crate::bless::anchor(&format!("{code}: {title}"));
                writeln!(
                    index,
                    "| [{code}](diagnostics/{file}.md#{anchor}) | {title} |"
                )
                .unwrap();
            }
            pages.insert(format!("{file}.md"), page);
        }
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        crate::bless::compare_folder(&docs.join("diagnostics"), &pages);
        crate::bless::compare(&docs.join("diagnostics.md"), &index);
    }
}
