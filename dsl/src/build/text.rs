//! Texts: literals and references, put together without syntax.

use super::{NOWHERE, Ref};
use crate::ast::{Part, Str};
use crate::cut::Cut;
use crate::write::fits_block;

/// A text with references in it. [`text!`](crate::text!) puts one together.
///
/// A literal stands for itself: quotes, backslashes and `${` in it are written so that they are read
/// as the same characters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    parts: Vec<Part>,
    layout: Layout,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Layout {
    /// A block if it has several lines.
    #[default]
    Usual,
    Block,
    Line,
}

impl Text {
    /// A text without anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Continues with another text, or a reference.
    #[must_use]
    pub fn with(mut self, more: impl Into<Self>) -> Self {
        for part in more.into().parts {
            match part {
                Part::Text { text, .. } => self.literal(&text),
                other => self.parts.push(other),
            }
        }
        self
    }

    /// Continues with text of a shell script, in which `${HOME}`, `${1}` or `${#x}` are the shell's to
    /// expand. [`run`](super::Body::run) reads literals like this already.
    #[must_use]
    pub fn shell(mut self, script: &str) -> Self {
        let mut rest = script;
        let mut from = 0;
        while let Some(at) = rest.cut(from..).find("${").map(|at| from + at) {
            let follows = rest.cut(at + 2..).chars().next();
            let is_shell = follows.is_some_and(|next| !next.is_ascii_lowercase());
            if !is_shell || rest.cut(..at).ends_with('$') {
                // In a script, `$${` is a `${` as well.
                from = at + 2;
                continue;
            }
            self.literal(rest.cut(..at));
            self.parts.push(Part::Shell(NOWHERE));
            (rest, from) = (rest.cut(at + 2..), 0);
        }
        self.literal(rest);
        self
    }

    /// Is written as `"""…"""`, also where it has one line; not where a block can't have it.
    #[must_use]
    pub fn block(mut self) -> Self {
        self.layout = Layout::Block;
        self
    }

    /// Is written as `"…"`, also where it has several lines.
    #[must_use]
    pub fn line(mut self) -> Self {
        self.layout = Layout::Line;
        self
    }

    /// The same text as a shell script.
    pub(super) fn script(self) -> Self {
        let layout = self.layout;
        let mut script = Self::new();
        for part in self.parts {
            match part {
                Part::Text { text, .. } => script = script.shell(&text),
                other => script.parts.push(other),
            }
        }
        Self { layout, ..script }
    }

    /// Appends characters; as where text is read, a part of it ends with its line.
    fn literal(&mut self, literal: &str) {
        for line in literal.split_inclusive('\n') {
            match self.parts.last_mut() {
                Some(Part::Text { text, .. }) if !text.ends_with('\n') => text.push_str(line),
                _ => self.parts.push(Part::Text {
                    text: line.to_owned(),
                    span: NOWHERE,
                }),
            }
        }
    }

    fn has_lines(&self) -> bool {
        let is_end = |part: &Part| matches!(part, Part::Text { text, .. } if text.ends_with('\n'));
        self.parts.iter().any(is_end)
    }
}

impl From<Text> for Str {
    fn from(text: Text) -> Self {
        let block = match text.layout {
            Layout::Usual => text.has_lines(),
            Layout::Block => true,
            Layout::Line => false,
        };
        Self {
            block: block && fits_block(&text.parts),
            parts: text.parts,
            span: NOWHERE,
        }
    }
}

impl From<&str> for Text {
    fn from(literal: &str) -> Self {
        let mut text = Self::new();
        text.literal(literal);
        text
    }
}

impl From<String> for Text {
    fn from(literal: String) -> Self {
        Self::from(&*literal)
    }
}

impl From<&String> for Text {
    fn from(literal: &String) -> Self {
        Self::from(&**literal)
    }
}

impl From<Ref> for Text {
    fn from(reference: Ref) -> Self {
        let reference = reference.on_one_line();
        Self {
            parts: vec![Part::Hole(reference, NOWHERE)],
            layout: Layout::default(),
        }
    }
}

impl From<&Ref> for Text {
    fn from(reference: &Ref) -> Self {
        reference.clone().into()
    }
}

/// Puts a [`Text`](crate::build::Text) together from literals, strings, references and other texts.
///
/// ```
/// use konductor_dsl::build::Ref;
/// use konductor_dsl::text;
///
/// let day = Ref::run("date");
/// let script = text!["extract --day ", day.quoted(), " > /data/", day, ".csv"];
/// # let _ = script;
/// ```
#[macro_export]
macro_rules! text {
    ($($part:expr),* $(,)?) => {
        $crate::build::Text::new()$(.with($part))*
    };
}
