//! Diagnostics as the workflow commands of GitHub Actions, which it shows beside the lines.

use konductor_dsl::{Diagnostic, Severity, Sources};

use super::Files;

/// Returns one line for each diagnostic.
pub(crate) fn lines(sources: &Sources, diagnostics: &[Diagnostic]) -> String {
    let files = Files::of(sources);
    let mut lines = String::new();
    for diagnostic in diagnostics {
        let command = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let span = diagnostic.span();
        let place = files.get(span.source).map(|file| {
            let (start, end) = (file.line_column(span.start), file.line_column(span.end));
            let name = property(&file.source.name);
            // It shows columns only within one line.
            let columns = match start.0 == end.0 {
                true => format!(",col={},endColumn={}", start.1, end.1),
                false => String::new(),
            };
            format!("file={name},line={},endLine={}{columns},", start.0, end.0)
        });
        let help = diagnostic.help.iter().map(|help| format!("\nhelp: {help}"));
        let text: String = std::iter::once(diagnostic.message.clone())
            .chain(help)
            .collect();
        lines.push_str(&format!(
            "::{command} {}title={}::{}\n",
            place.unwrap_or_default(),
            diagnostic.code,
            data(&text),
        ));
    }
    lines
}

/// A message: one line.
fn data(text: &str) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D");
    text.replace('\n', "%0A")
}

/// The value of a property, which ends at a comma or a colon.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use konductor_compiler::{Options, check};

    use super::*;

    #[test]
    fn a_diagnostic_is_one_line_whatever_is_in_it() {
        let mut sources = Sources::default();
        let text =
            "pipeline p {\n  stage a after b { image = \"a:1\" }\n  lease l { ttl = 1m }\n}\n";
        sources.add("100%,\n:.kon", text);
        let compiled = check(sources, &Options::at(jiff::Timestamp::UNIX_EPOCH));
        let expected = "::error file=100%25%2C%0A%3A.kon,line=2,endLine=2,col=17,endColumn=18,title=K0201\
             ::`b` is not declared%0Ahelp: declare the stage or approval `b`\n";
        assert_eq!(lines(&compiled.sources, &compiled.diagnostics), expected);
    }
}
