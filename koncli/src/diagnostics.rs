//! Diagnostics as people read them.

use std::fmt;
use std::io::IsTerminal;

use konductor_compiler::Compiled;
use konductor_dsl::{Diagnostic, Severity, Source, Sources, Span};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde_json::{Value, json};

use crate::output;

/// How wide diagnostics are where nobody says.
const WIDTH: usize = 100;

/// Tells the diagnostics on stderr.
pub(crate) fn tell(compiled: &Compiled) {
    tell_all(&compiled.sources, &compiled.diagnostics);
}

/// The same, of whatever stage found them.
pub(crate) fn tell_all(sources: &Sources, diagnostics: &[Diagnostic]) {
    for told in diagnostics {
        output::talk(render(sources, told, output::color()).trim_end());
        output::talk("");
    }
}

/// How many errors and warnings there are, in words.
pub(crate) fn summary(all: &[Diagnostic]) -> String {
    let count = |severity| all.iter().filter(|told| told.severity == severity).count();
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
pub(crate) fn render(sources: &Sources, told: &Diagnostic, color: bool) -> String {
    let theme = if color {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let width = if std::io::stderr().is_terminal() {
        terminal_width()
    } else {
        WIDTH
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width)
        .with_links(false);
    let mut text = String::new();
    let report = Report::of(sources, told);
    match handler.render_report(&mut text, &report) {
        Ok(()) => text,
        Err(_) => told.message.clone(),
    }
}

fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.map_or(WIDTH, |size| usize::from(size.ws_col))
        .clamp(40, 120)
}

/// A diagnostic, as miette wants it. Labels in other files become notes.
struct Report<'a> {
    told: &'a Diagnostic,
    source: Option<NamedSource<String>>,
    elsewhere: Vec<String>,
}

impl<'a> Report<'a> {
    fn of(sources: &Sources, told: &'a Diagnostic) -> Self {
        let own = told.span().source;
        let source = sources
            .get(own)
            .map(|source| NamedSource::new(&source.name, source.text.to_string()));
        let elsewhere = told
            .labels
            .iter()
            .filter(|label| label.span.source != own)
            .filter_map(|label| {
                let place = place(sources.get(label.span.source)?, label.span);
                Some(format!("{place}: {}", label.text))
            })
            .collect();
        Self {
            told,
            source,
            elsewhere,
        }
    }
}

fn place(source: &Source, span: Span) -> String {
    let (line, column) = source.line_column(span.start);
    format!("{}:{line}:{column}", source.name)
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.told, formatter)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.told.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        Some(Box::new(self.told.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.told.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        let lines = self.told.help.iter().chain(&self.elsewhere).cloned();
        let text = lines.collect::<Vec<_>>().join("\n");
        (!text.is_empty()).then(|| Box::new(text) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let own = self.told.span().source;
        let here = self
            .told
            .labels
            .iter()
            .filter(move |label| label.span.source == own);
        Some(Box::new(here.map(|label| {
            let text = (!label.text.is_empty()).then(|| label.text.clone());
            let (start, length) = (label.span.start as usize, label.span.len());
            match label.primary {
                true => LabeledSpan::new_primary_with_span(text, (start, length)),
                false => LabeledSpan::new_with_span(text, (start, length)),
            }
        })))
    }
}

/// One diagnostic for editors and CI: places count lines and columns from 1.
pub(crate) fn as_json(sources: &Sources, told: &Diagnostic) -> Value {
    let place = |span: Span| {
        let source = sources.get(span.source);
        let at = |offset| {
            source
                .map(|source| source.line_column(offset))
                .unwrap_or_default()
        };
        let (start, end) = (at(span.start), at(span.end));
        json!({
            "file": source.map(|source| source.name.as_str()),
            "start": {"line": start.0, "column": start.1, "byte": span.start},
            "end": {"line": end.0, "column": end.1, "byte": span.end},
        })
    };
    let labels = told.labels.iter().map(
        |label| json!({"place": place(label.span), "text": label.text, "primary": label.primary}),
    );
    json!({
        "code": told.code.name(),
        "severity": format!("{:?}", told.severity).to_lowercase(),
        "message": told.message,
        "labels": labels.collect::<Vec<_>>(),
        "help": told.help,
    })
}
