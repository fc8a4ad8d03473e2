//! What is reported about a file.

use crate::{Code, Edit, Fix, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It can't mean anything.
    Error,
    /// It is probably not what was meant.
    Warning,
    /// Style.
    Note,
}

/// One thing that is reported about a file: a code, one terse message, the smallest guilty place, the
/// other parties, and what to type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its code; `koncli explain` has a page for each.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Places; the first one is the guilty one.
    pub labels: Vec<Label>,
    /// What to type, in the imperative.
    pub help: Option<String>,
    /// What to change so that it is gone: one if that is certain, several if a person has to choose.
    pub fixes: Vec<Fix>,
}

/// A place and what is to be said there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is to be said there; may be empty at the guilty place.
    pub text: String,
    /// Whether it is the guilty place.
    pub primary: bool,
}

impl Diagnostic {
    /// An error with this code at this place.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, span, message)
    }

    /// A warning with this code at this place.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, span, message)
    }

    /// A note with this code at this place.
    pub fn note(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Note, span, message)
    }

    fn new(code: Code, severity: Severity, span: Span, message: impl Into<String>) -> Self {
        let primary = Label {
            span,
            text: String::new(),
            primary: true,
        };
        Self {
            code,
            severity,
            message: message.into(),
            labels: vec![primary],
            help: None,
            fixes: Vec::new(),
        }
    }

    /// Says something at the guilty place.
    #[must_use]
    pub fn here(mut self, text: impl Into<String>) -> Self {
        if let Some(primary) = self.labels.first_mut() {
            primary.text = text.into();
        }
        self
    }

    /// Points at another party.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
            primary: false,
        });
        self
    }

    /// Says what to type.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a way to fix it.
    #[must_use]
    pub fn fix(
        mut self,
        message: impl Into<String>,
        edits: impl IntoIterator<Item = Edit>,
    ) -> Self {
        self.fixes.push(Fix {
            message: message.into(),
            edits: edits.into_iter().collect(),
            certain: true,
        });
        self
    }

    /// Adds a change that only a person may choose, even where it is the only one.
    #[must_use]
    pub fn offer(self, message: impl Into<String>, edits: impl IntoIterator<Item = Edit>) -> Self {
        let mut offering = self.fix(message, edits);
        if let Some(fix) = offering.fixes.last_mut() {
            fix.certain = false;
        }
        offering
    }

    /// Returns the fix that may be applied without asking.
    pub fn certain_fix(&self) -> Option<&Fix> {
        match self.fixes.as_slice() {
            [only] if only.certain => Some(only),
            _ => None,
        }
    }

    /// Says what to type, and that this is what to change.
    #[must_use]
    pub fn fixed(self, help: impl Into<String>, edits: impl IntoIterator<Item = Edit>) -> Self {
        let help = help.into();
        self.help(help.clone()).fix(help, edits)
    }

    /// The guilty place.
    pub fn span(&self) -> Span {
        self.labels
            .first()
            .map(|label| label.span)
            .unwrap_or_default()
    }

    /// Whether nothing can be made of the file.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Returns the known name that was probably meant: with at most one typo for every three characters.
pub fn did_you_mean<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = written.chars().count();
    let allowed = (length / 3).clamp(1, 3);
    names
        .into_iter()
        .filter(|name| name.chars().count().abs_diff(length) <= allowed)
        .map(|name| (distance(written, name), name))
        .filter(|(distance, name)| *distance <= allowed && *distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// The Damerau-Levenshtein distance: insertions, deletions, replacements, and swapped neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_meant_where_one_is_near() {
        let names = ["extract", "clean", "load", "x"];
        let table = [
            ("extrct", Some("extract")),
            ("etxract", Some("extract")),
            ("laod", Some("load")),
            ("publish", None),
            ("y", None),
            ("claen", Some("clean")),
        ];
        for (written, expected) in table {
            assert_eq!(did_you_mean(written, names), expected, "{written}");
        }
    }
}
