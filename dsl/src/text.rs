//! What is in a string: escapes, interpolations, and the indentation of blocks.

use konductor_grammar::{KonductorParser, Rule};
use pest::Parser as _;

use crate::ast::{Name, Part, Ref, Str};
use crate::cut::Cut;
use crate::name::{is_identifier, nearest_name};
use crate::{Code, Diagnostic, Edit, Span};

/// Builds what is between `${` and `}`.
pub(crate) type ReadReference<'a> = dyn FnMut(&str, Span, &mut Vec<Diagnostic>) -> Option<Ref> + 'a;

/// Reads a string token, quotes included. `reference` builds what is between `${` and `}`.
pub(crate) fn read(
    token: &str,
    span: Span,
    diagnostics: &mut Vec<Diagnostic>,
    reference: &mut ReadReference<'_>,
) -> Str {
    let block = token.len() >= 6 && token.starts_with("\"\"\"");
    let mut reader = Reader {
        base: span,
        diagnostics,
        reference,
        // Most strings are one part.
        parts: Vec::with_capacity(1),
    };
    if block {
        reader.block(token.cut(3..token.len() - 3), 3);
    } else {
        reader.segments(token.cut(1..token.len() - 1), 1, true);
    }
    reader.parts.shrink_to_fit();
    Str {
        parts: reader.parts,
        block,
        span,
    }
}

/// The lines of what is between `"""` and `"""`, each with where it starts: without the first
/// newline, a last blank line, and the indentation that all written lines have in common. `\r` at the
/// end of a line is never text, however many there are.
pub(crate) fn block_lines(inner: &str) -> Vec<(usize, &str)> {
    let mut lines: Vec<(usize, &str)> = Vec::new();
    let mut start = 0;
    for line in inner.split('\n') {
        lines.push((start, line.trim_end_matches('\r')));
        start += line.len() + 1;
    }
    let is_blank = |line: &(usize, &str)| line.1.trim().is_empty();
    if lines.len() > 1 && lines.first().is_some_and(is_blank) {
        lines.remove(0);
    }
    if lines.len() > 1 && lines.last().is_some_and(is_blank) {
        lines.pop();
    }
    let indent_of = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let written = lines.iter().filter(|line| !is_blank(line));
    let indent = written.map(|(_, line)| indent_of(line)).min().unwrap_or(0);
    for (start, line) in &mut lines {
        let cut = indent.min(indent_of(line));
        *start += cut;
        *line = line.cut(cut..);
    }
    lines
}

struct Reader<'a> {
    base: Span,
    diagnostics: &'a mut Vec<Diagnostic>,
    reference: &'a mut ReadReference<'a>,
    parts: Vec<Part>,
}

impl Reader<'_> {
    /// A place in the token.
    fn span(&self, start: usize, end: usize) -> Span {
        let at = |offset: usize| self.base.start + u32::try_from(offset).unwrap_or(u32::MAX);
        Span {
            source: self.base.source,
            start: at(start),
            end: at(end),
        }
    }

    /// Each line is a part of its own, so that places in it can be found again.
    fn block(&mut self, inner: &str, offset: usize) {
        let lines = block_lines(inner);
        let last = lines.len().saturating_sub(1);
        for (index, (start, line)) in lines.into_iter().enumerate() {
            self.segments(line, offset + start, false);
            if index < last {
                let end = offset + start + line.len();
                self.text("\n", self.span(end, end + 1));
            }
        }
    }

    fn text(&mut self, text: &str, span: Span) {
        if text.is_empty() {
            return;
        }
        match self.parts.last_mut() {
            // A newline belongs to its line.
            Some(Part::Text {
                text: last,
                span: at,
            }) if !last.ends_with('\n') => {
                last.push_str(text);
                *at = at.to(span);
            }
            _ => self.parts.push(Part::Text {
                text: text.to_owned(),
                span,
            }),
        }
    }

    fn segments(&mut self, raw: &str, offset: usize, escapes: bool) {
        let mut rest = 0;
        while rest < raw.len() {
            let tail = raw.cut(rest..);
            let stop = tail
                .find(|c| c == '$' || (escapes && c == '\\'))
                .unwrap_or(tail.len());
            let at = offset + rest;
            self.text(tail.cut(..stop), self.span(at, at + stop));
            rest += stop;
            let tail = raw.cut(rest..);
            let at = offset + rest;
            rest += if tail.is_empty() {
                0
            } else if tail.starts_with('\\') {
                self.escape(tail, at)
            } else if tail.starts_with("$${") {
                self.text("${", self.span(at, at + 3));
                3
            } else if tail.starts_with("${") {
                self.interpolation(tail, at)
            } else {
                self.text("$", self.span(at, at + 1));
                1
            };
        }
    }

    /// Reads one escape; returns how long it is.
    fn escape(&mut self, tail: &str, at: usize) -> usize {
        let escaped = tail.cut(1..).chars().next().unwrap_or('\\');
        let simple = match escaped {
            '"' => Some("\""),
            '\\' => Some("\\"),
            'n' => Some("\n"),
            'r' => Some("\r"),
            't' => Some("\t"),
            _ => None,
        };
        if let Some(text) = simple {
            self.text(text, self.span(at, at + 2));
            return 2;
        }
        if let Some(digits) = tail.strip_prefix("\\u{")
            && let Some(end) = digits.find('}').filter(|end| (1..=6).contains(end))
            && let Some(character) = u32::from_str_radix(digits.cut(..end), 16)
                .ok()
                .and_then(char::from_u32)
        {
            let length = 3 + end + 1;
            self.text(
                character.encode_utf8(&mut [0; 4]),
                self.span(at, at + length),
            );
            return length;
        }
        if escaped == 'u' {
            let span = self.span(at, at + 2);
            let message = "`\\u` has no character behind it";
            let help = "write the number of one in braces, as in `\\u{e9}`, or `\\\\u` for a backslash and a `u`";
            let diagnostic = Diagnostic::error(Code::K0105, span, message).help(help);
            self.diagnostics.push(diagnostic);
            return 2;
        }
        let length = 1 + escaped.len_utf8();
        let span = self.span(at, at + length);
        let message = format!("`\\{escaped}` means nothing in a string");
        let diagnostic = Diagnostic::error(Code::K0105, span, message);
        if escaped == '$' {
            let is_hole = tail.cut(2..).starts_with('{');
            let reported = match is_hole {
                true => diagnostic
                    .help("write `$${` for the characters `${`, or `\\\\$${` with a backslash for the shell")
                    .offer("write `$${`", [Edit::replace(span, "$$")])
                    .offer("write `\\\\$${`", [Edit::replace(span, "\\\\$$")]),
                false => diagnostic
                    .help("write `$` alone: only `${` begins an interpolation; or `\\\\$` with a backslash for the shell")
                    .offer("write `$`", [Edit::replace(span, "$")])
                    .offer("write `\\\\$`", [Edit::replace(span, "\\\\$")]),
            };
            self.diagnostics.push(reported);
            // What follows is as it would be with the fix.
            let escaped = if is_hole { "${" } else { "$" };
            let length = 1 + escaped.len();
            self.text(escaped, self.span(at, at + length));
            return length;
        }
        self.diagnostics.push(diagnostic.fixed(
            "write `\\\\` for a backslash, or use a block `\"\"\"…\"\"\"`, which has no escapes",
            [Edit::before(span, "\\")],
        ));
        length
    }

    /// Reads `${…`; returns how long it is.
    fn interpolation(&mut self, tail: &str, at: usize) -> usize {
        if let Some((length, diagnostic)) = self.other_template(tail, at) {
            self.diagnostics.push(diagnostic);
            return length;
        }
        if !tail.cut(2..).starts_with(|c: char| c.is_ascii_lowercase()) {
            self.parts.push(Part::Shell(self.span(at, at + 2)));
            return 2;
        }
        let Some(end) = end_of_hole(tail) else {
            self.diagnostics.push(
                Diagnostic::error(
                    Code::K0106,
                    self.span(at, at + tail.floor_char_boundary(20)),
                    "an interpolation is not closed",
                )
                .help("close it with `}`, or write `$${` for a literal `${`"),
            );
            return tail.len();
        };
        let inner = self.span(at + 2, at + end);
        let whole = self.span(at, at + end + 1);
        if let Some(reference) = (self.reference)(tail.cut(2..end), inner, self.diagnostics) {
            self.parts.push(Part::Hole(reference, whole));
        } else {
            if let Some(length) = nested(tail) {
                let text = tail.cut(..length);
                let span = self.span(at, at + length);
                let message = format!("`{text}` is not a reference");
                let shell = escaped(text);
                let help = format!("for variables of the shell write `{shell}`");
                let diagnostic = Diagnostic::error(Code::K0106, span, message);
                let fix = [Edit::replace(span, shell)];
                self.diagnostics.push(diagnostic.fixed(help, fix));
                return length;
            }
            let text = tail.cut(2..end);
            let message = format!("`{text}` is not a reference");
            let diagnostic = Diagnostic::error(Code::K0106, inner, message);
            let help = help_of_hole(text);
            self.diagnostics.push(match is_of_the_shell(text) {
                true => diagnostic.fixed(help, [Edit::before(whole, "$")]),
                false => diagnostic.help(help),
            });
        }
        end + 1
    }
}

impl Reader<'_> {
    /// `${{ name }}` and `${ name }`, which neither this language nor a shell reads: how long it is,
    /// and what to write.
    fn other_template(&self, tail: &str, at: usize) -> Option<(usize, Diagnostic)> {
        let inner = tail.strip_prefix("${")?;
        let (inner, close, whose) = match inner.strip_prefix('{') {
            Some(inner) => (inner, "}}", "`${{ … }}` is a template of another language"),
            None if inner.starts_with([' ', '}']) => {
                (inner, "}", "blanks stand in this interpolation")
            }
            None => return None,
        };
        if close == "}" && inner.starts_with('}') {
            let message = "nothing stands in this interpolation";
            let diagnostic = Diagnostic::error(Code::K0106, self.span(at, at + 3), message);
            let help = "write a name, as in `${day}`; for a literal `${}` write `$${}`";
            return Some((3, diagnostic.help(help)));
        }
        let line = inner.split('\n').next().unwrap_or_default();
        let (name, _) = line.split_once(close)?;
        let length = tail.len() - inner.len() + name.len() + close.len();
        let span = self.span(at, at + length);
        let diagnostic = Diagnostic::error(Code::K0106, span, whose);
        let name = name.trim();
        if is_identifier(name) {
            let written = format!("${{{name}}}");
            let more = if close == "}" { ", without blanks" } else { "" };
            let fix = Edit::replace(span, written.as_str());
            return Some((
                length,
                diagnostic.fixed(format!("write `{written}`{more}"), [fix]),
            ));
        }
        let is_path = name.contains('.') && name.split('.').all(is_identifier);
        let diagnostic = match (is_path, close) {
            (true, "}") => {
                let fix = Edit::replace(span, format!("${{{name}}}"));
                diagnostic.fixed(format!("write `${{{name}}}`, without blanks"), [fix])
            }
            (true, _) => diagnostic.help(help_of_path(name)),
            (false, _) => diagnostic.help("write `${name}`; for a literal `${` write `$${`"),
        };
        Some((length, diagnostic))
    }
}

/// What to write for a path of another language, such as `secrets.TOKEN` or `github.sha`. What is declared is not known
/// here, so nothing of it is certain.
fn help_of_path(path: &str) -> String {
    let mut parts = path.split('.');
    let (head, last) = (
        parts.next().unwrap_or_default(),
        parts.next_back().unwrap_or_default(),
    );
    match head {
        "secrets" => {
            format!(
                "write `env {{ {last} = secret(\"NAME\", \"{last}\") }}` in the body, and `${last}` here"
            )
        }
        "env" => format!("write `${last}`: a script reads its environment itself"),
        "matrix" | "item" => format!(
            "write `${{{0}}}`, and `for {0} in [\"a\", \"b\"]` in the stage's header",
            nearest_name(last)
        ),
        "steps" | "needs" | "jobs" | "tasks" => match parts.next() {
            Some(stage) => format!(
                "write `${{{}.{}}}`, of an output that the stage declares",
                nearest_name(stage),
                nearest_name(last)
            ),
            None => "write `${STAGE.OUTPUT}`, of an output that the stage declares".to_owned(),
        },
        _ => format!(
            "declare `param {0}: string`, and write `${{{0}}}`",
            nearest_name(last)
        ),
    }
}

/// What to write for what is no reference.
fn help_of_hole(inner: &str) -> String {
    if inner.starts_with("secret(") || inner.starts_with("config(") {
        let call = inner.replace("\\\"", "\"");
        return format!("write `env {{ NAME = {call} }}` in the body, and `$NAME` here");
    }
    let every = [".*.", "[]."];
    if let Some((stage, output)) = every.iter().find_map(|every| inner.split_once(every)) {
        return format!("write `${{{stage}[*].{output}}}` for a list of the outputs of all items");
    }
    if is_arithmetic(inner) {
        return format!("let the shell compute it: `$(( {} ))`", computed(inner));
    }
    match is_of_the_shell(inner) {
        true => format!("for a variable of the shell write `$${{{inner}}}`"),
        false => "inside `${…}` write a name, as in `${day}`, `${extract.rows}` or \
                  `${extract[region].rows}`; for a literal `${` write `$${`"
            .to_owned(),
    }
}

/// An expression as the shell computes it: each name as `${name}`.
fn computed(inner: &str) -> String {
    let signs = ['+', '*', '/'];
    let spaced = signs.iter().fold(inner.to_owned(), |text, sign| {
        text.replace(*sign, &format!(" {sign} "))
    });
    let words = spaced.split_whitespace().map(|word| {
        match word.starts_with(|c: char| c.is_ascii_lowercase()) {
            true => format!("${{{word}}}"),
            false => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether `${…}` with this in it is an expansion of the shell, such as `${name:-x}`.
fn is_of_the_shell(inner: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let rest = inner.trim_start_matches(is_of_name);
    let is_element = rest.starts_with("[@]") || rest.starts_with("[*]");
    !is_arithmetic(inner) && (is_element || rest.starts_with(|c: char| ":+=?#%/^,@".contains(c)))
}

/// Whether it computes, as in `i + 1` and `n/2`. A replacement of the shell, `x/a/b` and `x//a`, has a second `/`.
fn is_arithmetic(inner: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let rest = inner.trim_start_matches(is_of_name);
    let replaces = rest.starts_with('/') && rest.matches('/').count() > 1;
    let expands = rest.starts_with([':', '#', '%', '^', ',']) || replaces;
    !expands && (inner.contains(['+', '*', '/']) && !rest.starts_with('[') || inner.contains(" - "))
}

/// How long an expansion of the shell is that a text begins with, if it has another one in it: `${a:-${b:-c}}`.
fn nested(tail: &str) -> Option<usize> {
    let (mut depth, mut at, mut has_inner) = (0_usize, 0, false);
    let line = tail.split('\n').next()?;
    while at < line.len() {
        let rest = line.cut(at..);
        if rest.starts_with("${") {
            depth += 1;
            has_inner |= depth > 1;
            at += 2;
            continue;
        }
        let c = rest.chars().next()?;
        at += c.len_utf8();
        if c == '}' {
            depth -= 1;
            if depth == 0 {
                let is_of_the_shell = is_of_the_shell(line.cut(2..at - 1));
                return (has_inner && is_of_the_shell).then_some(at);
            }
        }
    }
    None
}

/// A text of the shell with each `${` that would be an interpolation written as `$${`.
fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 4);
    let mut pieces = text.split("${");
    written.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let is_hole = piece.starts_with(|c: char| c.is_ascii_lowercase());
        written.push_str(if is_hole { "$${" } else { "${" });
        written.push_str(piece);
    }
    written
}

/// Where the `}` of a `${` is; a string inside may contain one.
fn end_of_hole(tail: &str) -> Option<usize> {
    let mut quoted = false;
    for (index, character) in tail.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(index),
            '\n' => return None,
            _ => {}
        }
    }
    None
}

/// A reference without an item, read by hand: most are such, and the grammar takes its time.
pub(crate) fn plain_reference(text: &str, at: Span) -> Option<Ref> {
    let mut start = at.start;
    let mut names = text.split('.').map(|name| {
        let is_name = is_identifier(name);
        let end = start + u32::try_from(name.len()).ok()?;
        let span = Span { start, end, ..at };
        start = end + 1;
        let text = name.to_owned();
        is_name.then_some(Name { text, span })
    });
    Some(Ref {
        head: names.next()??,
        address: None,
        fields: names.collect::<Option<_>>()?,
        span: at,
    })
}

/// Whether this text is a reference by the grammar.
pub(crate) fn lone_reference(text: &str) -> Option<pest::iterators::Pair<'_, Rule>> {
    KonductorParser::parse(Rule::lone_ref, text)
        .ok()?
        .next()?
        .into_inner()
        .next()
}
