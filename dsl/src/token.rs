//! Text cut into tokens, coarsely: enough to know what is a string, a comment, a bracket or a word.
//! Any text can be cut; this is what stays readable where the grammar gives up.

use crate::cut::Cut;
/// A token, in bytes of the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
    /// The column, where nothing but blanks is before it on its line.
    pub first_at: Option<usize>,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A name, a word or a number with its unit.
    Word,
    /// A bracket of any kind.
    Open,
    /// A bracket that closes.
    Close,
    /// A string or a block, quotes included.
    String,
    /// A string or a block without its last quote.
    Unclosed,
    /// From `#` to before the end of the line.
    Comment,
    /// One other character.
    Other,
}

impl Token {
    /// What is written.
    pub fn text<'a>(&self, text: &'a str) -> &'a str {
        text.cut(self.start..self.end)
    }
}

/// The tokens of a text.
pub fn tokens(text: &str) -> impl Iterator<Item = Token> {
    let mut cutter = Cutter {
        text,
        at: 0,
        line_start: 0,
        is_first: true,
    };
    std::iter::from_fn(move || cutter.next())
}

struct Cutter<'a> {
    text: &'a str,
    at: usize,
    line_start: usize,
    is_first: bool,
}

impl Cutter<'_> {
    fn next(&mut self) -> Option<Token> {
        let rest = loop {
            let rest = self.text.cut(self.at..);
            match rest.chars().next()? {
                '\n' => {
                    self.at += 1;
                    (self.line_start, self.is_first) = (self.at, true);
                }
                ' ' | '\t' | '\r' => self.at += 1,
                '\u{FEFF}' => self.at += '\u{FEFF}'.len_utf8(),
                _ => break rest,
            }
        };
        let start = self.at;
        let (kind, length) = cut(rest);
        self.at += length;
        let first_at = self.is_first.then_some(start - self.line_start);
        self.is_first = false;
        // The last line of a block is a line too, but nothing can be the first of it.
        if let Some(newline) = self.text.cut(start..self.at).rfind('\n') {
            self.line_start = start + newline + 1;
        }
        Some(Token {
            kind,
            start,
            end: self.at,
            first_at,
        })
    }
}

/// The kind and the length of the token at the start of a text that is not empty.
fn cut(text: &str) -> (Kind, usize) {
    let bytes = text.as_bytes();
    match bytes[0] {
        b'#' => (Kind::Comment, line_length(text)),
        b'"' => match end_of_string(text) {
            Ok(end) => (Kind::String, end),
            Err(end) => (Kind::Unclosed, end),
        },
        b'{' | b'[' | b'(' => (Kind::Open, 1),
        b'}' | b']' | b')' => (Kind::Close, 1),
        byte if byte.is_ascii_alphanumeric() || byte == b'_' => {
            let of_word = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
            (Kind::Word, bytes.iter().take_while(of_word).count())
        }
        _ => (Kind::Other, text.chars().next().map_or(1, char::len_utf8)),
    }
}

/// How long the first line is, without the blanks at its end.
fn line_length(text: &str) -> usize {
    let line = text.split('\n').next().unwrap_or(text);
    line.trim_end_matches([' ', '\t', '\r', '\u{FEFF}']).len()
}

/// Where the string at the start of the text ends; the error is where reading continues after one
/// that is not closed.
fn end_of_string(text: &str) -> Result<usize, usize> {
    if let Some(inner) = text.strip_prefix("\"\"\"") {
        return inner.find("\"\"\"").map(|end| end + 6).ok_or(text.len());
    }
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Ok(at + 1),
            b'\n' => return Err(line_length(text)),
            b'\\' if bytes.get(at + 1).is_some_and(|next| *next != b'\n') => at += 2,
            b'$' if bytes[at..].starts_with(b"$${") => at += 3,
            b'$' if bytes[at..].starts_with(b"${")
                && bytes.get(at + 2).is_some_and(u8::is_ascii_lowercase) =>
            {
                at = end_of_hole(bytes, at);
            }
            _ => at += 1,
        }
    }
    Err(text.len())
}

/// After the `}` of a `${`; without one on this line, after the `${`.
fn end_of_hole(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut quoted) = (start + 2, false);
    while at < bytes.len() && bytes[at] != b'\n' {
        match bytes[at] {
            b'"' => quoted = !quoted,
            b'}' if !quoted => return at + 1,
            // A reference has none of these: it is not closed.
            b'$' | b'{' if !quoted => break,
            _ => {}
        }
        at += 1;
    }
    start + 2
}
