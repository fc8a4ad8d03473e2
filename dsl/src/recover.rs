//! One slip must not hide the others: where the whole file does not parse, it is cut at the
//! declarations and at what is in a pipeline, and each piece is parsed for itself.

use konductor_grammar::{KonductorParser, Rule};
use pest::Parser as _;

use crate::ast::{File, Name, Pipeline};
use crate::cut::Cut;
use crate::limits::{DEPTH_MAX, ERRORS_MAX, RECOVERY_TOKENS_MAX, TOKENS_MAX};
use crate::name::is_identifier;
use crate::parse::builder::Builder;
use crate::slip::{ITEM_WORDS, diagnose};
use crate::token::{Kind, Token, tokens};
use crate::{Code, Diagnostic, Edit, Fix, Source, Span};

fn span(source: &Source, start: usize, end: usize) -> Span {
    let at = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
    Span {
        source: source.id,
        start: at(start),
        end: at(end),
    }
}

/// What one pass over the tokens finds before anything is parsed.
pub(crate) struct Scan {
    /// What would make parsing pointless or dangerous.
    pub(crate) slips: Vec<Diagnostic>,
    /// Where comments start and end, in source order.
    pub(crate) comments: Vec<(u32, u32)>,
    /// Whether each declaration may be looked at by itself: brackets are not nested too deeply, and
    /// there are few enough tokens.
    pub(crate) is_readable: bool,
}

/// Finds strings that are not closed, and brackets that are nested too deeply. No recursion.
pub(crate) fn scan(source: &Source) -> Scan {
    let (mut slips, mut comments) = (Vec::new(), Vec::new());
    let (mut depth, mut lists, mut deep) = (0usize, 0usize, false);
    let mut last_word = "";
    let mut count = 0;
    // Whether a string of one line is open that a later line may close.
    let mut is_open = false;
    let mut unclosed = Vec::new();
    for token in tokens(&source.text) {
        if slips.len() >= ERRORS_MAX || deep {
            // What comes after so many is reported by nobody.
            break;
        }
        count += 1;
        if count > TOKENS_MAX {
            slips.push(too_many(source, token));
            break;
        }
        let text = token.text(&source.text);
        if token.kind == Kind::Unclosed {
            unclosed.push((token, slips.len()));
        }
        match token.kind {
            Kind::Comment => {
                slips.extend(hidden(source, token));
                let at = span(source, token.start, token.end);
                comments.push((at.start, at.end));
                continue;
            }
            Kind::String => slips.extend(hidden(source, token)),
            Kind::Unclosed if is_open && closes(text) => is_open = false,
            Kind::Unclosed => {
                slips.push(not_closed(source, token.start, token.end));
                is_open = true;
            }
            Kind::Open => {
                depth += 1;
                lists = 0;
            }
            Kind::Close => {
                depth = depth.saturating_sub(1);
                lists = 0;
            }
            Kind::Other if text == "<" && last_word == "list" => lists += 1,
            Kind::Other if text == "=" => lists = 0,
            _ => {}
        }
        last_word = if token.kind == Kind::Word { text } else { "" };
        if (depth > DEPTH_MAX || lists > DEPTH_MAX) && !deep {
            deep = true;
            slips.push(too_deep(span(source, token.start, token.end)));
        }
    }
    // Of several, one may be the quote that ends another.
    if let [(token, slip)] = unclosed[..]
        && let Some(diagnostic) = slips.get_mut(slip)
        && let Some(edit) = last_quote(source, token)
    {
        diagnostic.fixes.push(Fix {
            message: "close it with `\"`".to_owned(),
            edits: vec![edit],
            certain: true,
        });
    }
    Scan {
        slips,
        comments,
        is_readable: !deep && count <= RECOVERY_TOKENS_MAX,
    }
}

/// A character of a string or comment that makes it look different from what it is: one that reorders the text around
/// it, or a control character.
fn hidden(source: &Source, token: Token) -> Option<Diagnostic> {
    let text = token.text(&source.text);
    let (at, character) = text.char_indices().find(|(_, c)| is_hidden(*c))?;
    let (at, number) = (token.start + at, u32::from(character));
    let what = match character {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => "reorders the text around it",
        '\u{1b}' => "is ESC, which terminals obey",
        _ => "is a control character",
    };
    let message = format!("an invisible character stands here: U+{number:04X} {what}");
    let at = span(source, at, at + character.len_utf8());
    let diagnostic = Diagnostic::error(Code::K0110, at, message);
    let is_line = token.kind == Kind::String && !text.starts_with("\"\"\"");
    Some(match is_line {
        true => {
            let escape = format!("\\u{{{number:x}}}");
            diagnostic
                .help(format!(
                    "remove it, or write `{escape}` if the text must have it"
                ))
                .offer("remove it", [Edit::replace(at, "")])
                .offer(format!("write `{escape}`"), [Edit::replace(at, escape)])
        }
        false => diagnostic
            .help("remove it")
            .offer("remove it", [Edit::replace(at, "")]),
    })
}

/// Whether a character is shown as what it is not. Marks within words, such as joiners, are part of many languages.
pub(crate) fn is_hidden(c: char) -> bool {
    let is_blank = matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    c.is_control() && !is_blank || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// That brackets are nested too deeply at this one.
pub(crate) fn too_deep(at: Span) -> Diagnostic {
    let message = format!("brackets are nested more than {DEPTH_MAX} deep");
    Diagnostic::error(Code::K0103, at, message).help("close some before this one")
}

fn too_many(source: &Source, token: Token) -> Diagnostic {
    let at = span(source, token.start, token.end);
    let message = "a file with so many words and signs is too large to read";
    Diagnostic::error(Code::K0107, at, message)
        .here(format!("up to here there are {TOKENS_MAX}"))
        .help("split it by `import`, or let one stage do what many do by `for`")
}

/// Whether an unclosed string is the quote that ends a string of several lines: nothing but the end of a body or list
/// follows it.
fn closes(text: &str) -> bool {
    let rest = text.trim_start_matches('"').trim_start();
    rest.is_empty() || rest.starts_with(['}', ']', ',', ')'])
}

/// The quote that an unclosed string lacks at the end of its line, if nothing but the string can reach until there.
fn last_quote(source: &Source, token: Token) -> Option<Edit> {
    let text = token.text(&source.text);
    let content = text
        .strip_prefix('"')
        .filter(|rest| !rest.starts_with('"'))?;
    let is_opening = source
        .text
        .cut(..token.start)
        .ends_with([' ', '[', '(', ',', '=']);
    let is_string_only = is_opening
        && !content.trim().is_empty()
        && !content.contains(['#', '\n', '"'])
        && !content.ends_with(['\\', ','])
        && !content.contains(" = ")
        && are_balanced(content);
    is_string_only.then(|| Edit::behind(span(source, token.start, token.end), "\""))
}

/// Whether each bracket that closes was opened before it, and each that was opened is closed.
fn are_balanced(text: &str) -> bool {
    let mut open = Vec::new();
    let mut brackets = text.matches(['(', ')', '[', ']', '{', '}']);
    let fits = brackets.all(|bracket| match bracket {
        "(" | "[" | "{" => {
            open.push(bracket);
            true
        }
        _ => open.pop().is_some_and(|last| closing(last) == bracket),
    });
    fits && open.is_empty()
}

fn not_closed(source: &Source, start: usize, end: usize) -> Diagnostic {
    let block = source.text.cut(start..).starts_with("\"\"\"");
    let (shown, help) = if block {
        (start + 3, "close it with `\"\"\"`")
    } else {
        (
            end,
            "close it with `\"` on the same line, or write a block: `\"\"\"…\"\"\"`",
        )
    };
    let message = if block {
        "a block is not closed"
    } else {
        "a string is not closed"
    };
    Diagnostic::error(Code::K0102, span(source, start, shown), message)
        .here("it begins here")
        .help(help)
}

/// Parses declaration by declaration. `slips` were found by [`scan`].
pub(crate) fn declarations(
    source: &Source,
    slips: Vec<Diagnostic>,
    builder: &mut Builder,
    file: &mut File,
) {
    // What comes after the last one that is reported need not be looked at.
    let is_cut = slips.len() >= ERRORS_MAX;
    let end = slips.last().filter(|_| is_cut);
    let end = end.map_or(source.text.len(), |slip| slip.span().start as usize);
    let tokens: Vec<Token> = tokens(&source.text)
        .take_while(|token| token.start <= end)
        .filter(|token| token.kind != Kind::Comment)
        .collect();
    let recovery = Recovery {
        source,
        slips: &slips,
        is_cut,
    };
    let starts: Vec<usize> = (0..tokens.len())
        .filter(|index| {
            let token = &tokens[*index];
            let word = token.text(&source.text);
            token.first_at == Some(0) && matches!(word, "import" | "template" | "pipeline")
        })
        .collect();
    if starts.first() != Some(&0) && !tokens.is_empty() {
        let end = starts.first().copied().unwrap_or(tokens.len());
        recovery.declaration(&tokens[..end], builder, file);
    }
    for (position, start) in starts.iter().enumerate() {
        if builder.diagnostics.len() >= ERRORS_MAX {
            break;
        }
        let end = starts.get(position + 1).copied().unwrap_or(tokens.len());
        recovery.declaration(&tokens[*start..end], builder, file);
    }
    builder.diagnostics.extend(slips);
}

struct Recovery<'a> {
    source: &'a Source,
    slips: &'a [Diagnostic],
    /// Whether there is more text than is looked at.
    is_cut: bool,
}

impl Recovery<'_> {
    fn text(&self, token: &Token) -> &str {
        token.text(&self.source.text)
    }

    /// Whether a slip that is reported already lies in here: what can't parse need not be tried.
    fn has_slip(&self, tokens: &[Token]) -> bool {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return false;
        };
        let starts_at = |slip: &Diagnostic| slip.span().start as usize;
        let next = self
            .slips
            .partition_point(|slip| starts_at(slip) < first.start);
        let next = self.slips.get(next);
        next.is_some_and(|slip| starts_at(slip) < last.end)
    }

    fn declaration(&self, tokens: &[Token], builder: &mut Builder, file: &mut File) {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return;
        };
        let mut head = tokens.iter().take(3);
        let open = head.position(|token| self.text(token) == "{");
        let has_pieces = self.text(first) == "pipeline" && open == Some(2);
        let piece = self.source.text.cut(first.start..last.end);
        builder.set_offset(first.start);
        let is_reported = self.has_slip(tokens);
        match (!is_reported).then(|| KonductorParser::parse(Rule::lone_declaration, piece)) {
            Some(Ok(pairs)) => {
                for pair in pairs.flat_map(|pair| pair.into_inner()) {
                    builder.declaration(pair, file);
                }
            }
            _ if has_pieces => file.pipelines.push(self.pipeline(tokens, builder)),
            failed => {
                if self.text(first) == "template" {
                    file.unread.extend(self.name(tokens.get(1)));
                }
                if let Some(Err(error)) = failed {
                    let diagnostic = diagnose(self.source, &error, first.start);
                    builder.diagnostics.push(diagnostic);
                }
            }
        }
    }

    /// A name, where this is one, read or not.
    fn name(&self, token: Option<&Token>) -> Option<Name> {
        let token = token.filter(|token| token.kind == Kind::Word)?;
        Some(Name {
            text: self.text(token).to_owned(),
            span: span(self.source, token.start, token.end),
        })
    }

    /// `pipeline NAME {` and what is in it, piece by piece.
    fn pipeline(&self, tokens: &[Token], builder: &mut Builder) -> Pipeline {
        let whole = span(self.source, tokens[0].start, tokens[tokens.len() - 1].end);
        let mut pipeline = Pipeline {
            name: self.head(&tokens[..3], builder),
            items: Vec::new(),
            unread: Vec::new(),
            span: whole,
        };
        let inner = &tokens[3..];
        let column = inner.iter().find_map(|token| token.first_at).unwrap_or(0);
        let mut depth = 0usize;
        let mut piece_start = 0;
        let mut closed = false;
        // Whether the piece has a brace, be it the last one of its body: what follows a header without a brace is most
        // likely its body.
        let mut has_brace = false;
        for (index, token) in inner.iter().enumerate() {
            let is_header = !has_brace && self.is_header(&inner[piece_start]);
            if index > piece_start && self.starts_piece(inner, index, depth, column, is_header) {
                self.piece(&inner[piece_start..index], builder, &mut pipeline);
                (piece_start, depth, has_brace) = (index, 0, false);
            }
            has_brace |= self.text(token) == "{";
            let closes = self.text(token) == "}";
            match token.kind {
                Kind::Open => depth += 1,
                // Indented like what is in the pipeline, it closes something that was never opened: the body of a
                // header without a brace ends here.
                Kind::Close if closes && depth == 0 && token.first_at >= Some(column.max(1)) => {
                    has_brace = true;
                }
                Kind::Close if closes && depth == 0 => {
                    self.piece(&inner[piece_start..index], builder, &mut pipeline);
                    piece_start = index + 1;
                    closed = true;
                    break;
                }
                Kind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        if !closed {
            self.piece(&inner[piece_start..], builder, &mut pipeline);
            let mut reported = builder.diagnostics.iter().chain(self.slips);
            // A text that is not closed may have taken the bracket with it.
            let is_reported =
                reported.any(|diagnostic| matches!(diagnostic.code, Code::K0102 | Code::K0109));
            if !self.is_cut && !is_reported {
                builder
                    .diagnostics
                    .push(open_bracket(self.source, &tokens[2]));
            }
        } else if let Some(token) = inner
            .get(piece_start)
            .filter(|_| !self.has_lookalike(builder))
        {
            let at = span(self.source, token.start, token.end);
            let message = format!("`{}` stands outside of the pipeline", self.text(token));
            let help = "move it before the pipeline's last `}`, or remove a `}` before it";
            builder
                .diagnostics
                .push(Diagnostic::error(Code::K0101, at, message).help(help));
        }
        pipeline
    }

    /// The name in `pipeline NAME {`.
    fn head(&self, tokens: &[Token], builder: &mut Builder) -> Name {
        let (start, end) = (tokens[0].start, tokens[tokens.len() - 1].end);
        builder.set_offset(start);
        match KonductorParser::parse(Rule::head, self.source.text.cut(start..end)) {
            Ok(pairs) => {
                let mut parts = pairs.flat_map(|head| head.into_inner());
                if let Some(name) = parts.find(|part| part.as_rule() == Rule::ident) {
                    return builder.declared(&name);
                }
            }
            Err(error) => {
                let diagnostic = diagnose(self.source, &error, start);
                builder.diagnostics.push(diagnostic);
            }
        }
        let name = &tokens[1];
        Name {
            text: self.text(name).trim_matches('"').to_owned(),
            span: span(self.source, name.start, name.end),
        }
    }

    /// Whether a character is reported that looks like another: a bracket of another script opens nothing.
    fn has_lookalike(&self, builder: &Builder) -> bool {
        let mut reported = builder.diagnostics.iter().chain(self.slips);
        reported.any(|diagnostic| diagnostic.code == Code::K0110)
    }

    /// Whether something new begins here: the first of its line, in the column of what is in the
    /// pipeline. A word such as `stage` does so even where a bracket before it is still open.
    fn starts_piece(
        &self,
        tokens: &[Token],
        index: usize,
        depth: usize,
        column: usize,
        is_header: bool,
    ) -> bool {
        let token = &tokens[index];
        let word = self.text(token);
        let next_is_name = tokens.get(index + 1).is_some_and(|next| {
            next.first_at.is_none() && matches!(next.kind, Kind::Word | Kind::String)
        });
        let Some(at) = token.first_at else {
            // All on one line: behind what is closed.
            let is_behind = depth == 0 && self.text(&tokens[index - 1]) == "}";
            return is_behind && ITEM_WORDS.contains(&word) && (next_is_name || word == "defaults");
        };
        if ITEM_WORDS.contains(&word) && at <= column && (next_is_name || word == "defaults") {
            return true;
        }
        let continues =
            tokens[index - 1].kind == Kind::Other && self.text(&tokens[index - 1]) == ",";
        depth == 0
            && !is_header
            && token.kind == Kind::Word
            && at <= column
            && !continues
            && !matches!(
                word,
                "after"
                    | "when"
                    | "holding"
                    | "for"
                    | "quorum"
                    | "max"
                    | "parallel"
                    | "in"
                    | "within"
            )
    }

    /// Whether a word begins what must have a body.
    fn is_header(&self, first: &Token) -> bool {
        matches!(self.text(first), "stage" | "finally" | "defaults")
    }

    fn piece(&self, tokens: &[Token], builder: &mut Builder, pipeline: &mut Pipeline) {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return;
        };
        if builder.diagnostics.len() >= ERRORS_MAX || self.has_slip(tokens) {
            pipeline.unread.extend(self.perhaps_declared(tokens));
            return;
        }
        let piece = self.source.text.cut(first.start..last.end);
        builder.set_offset(first.start);
        match KonductorParser::parse(Rule::lone_item, piece) {
            Ok(pairs) => {
                let inner = pairs.flat_map(|pair| pair.into_inner());
                pipeline
                    .items
                    .extend(inner.filter_map(|pair| builder.item(pair)));
            }
            Err(error) => {
                let diagnostic = match unbalanced(tokens, &self.source.text) {
                    Some(open) => open_bracket(self.source, open),
                    None => diagnose(self.source, &error, first.start),
                };
                builder.diagnostics.push(diagnostic);
                pipeline.unread.extend(self.perhaps_declared(tokens));
            }
        }
    }

    /// The names that a piece may declare: `mutex db`, `param string day` and `params { day: string }` declare something,
    /// too.
    fn perhaps_declared<'s>(&'s self, tokens: &'s [Token]) -> impl Iterator<Item = Name> + 's {
        let first = tokens.first().map(|first| self.text(first));
        // `finally stage a`, `param string a`
        let is_longer = matches!(first, Some("finally" | "param"));
        // `params { a: string }`
        let is_group = matches!(
            first,
            Some("params" | "parameters" | "inputs" | "variables")
        );
        let group = tokens
            .windows(2)
            .filter(move |pair| is_group && matches!(self.text(&pair[1]), ":" | "="));
        let group = group.map(|pair| &pair[0]);
        let near = tokens.get(1..).unwrap_or_default().iter();
        let near = near.take(if is_longer { 2 } else { 1 });
        let is_foreign = |token: &Token| {
            let letter = self.text(token).chars().next();
            letter.is_some_and(|c| !c.is_ascii() && c.is_alphabetic())
        };
        let near = near.take_while(move |token| {
            matches!(token.kind, Kind::Word | Kind::String) || is_foreign(token)
        });
        near.chain(group).filter_map(|token| {
            let text = in_latin(self.text(token).trim_matches('"'));
            is_identifier(&text).then(|| Name {
                text,
                span: span(self.source, token.start, token.end),
            })
        })
    }
}

/// A name with the Cyrillic and Greek letters that look like Latin letters written as those.
fn in_latin(text: &str) -> String {
    const LETTERS: [(char, char); 14] = [
        ('а', 'a'),
        ('с', 'c'),
        ('е', 'e'),
        ('і', 'i'),
        ('ј', 'j'),
        ('о', 'o'),
        ('р', 'p'),
        ('ѕ', 's'),
        ('у', 'y'),
        ('х', 'x'),
        ('ο', 'o'),
        ('α', 'a'),
        ('ν', 'v'),
        ('ι', 'i'),
    ];
    let latin = text.chars().map(|c| {
        let looks = LETTERS.iter().find(|(letter, _)| *letter == c);
        looks.map_or(c, |(_, latin)| *latin)
    });
    latin.collect()
}

/// The last bracket that was opened and is closed nowhere in these tokens.
fn unbalanced<'t>(tokens: &'t [Token], text: &str) -> Option<&'t Token> {
    let mut open: Vec<&Token> = Vec::new();
    for token in tokens {
        match token.kind {
            Kind::Open => open.push(token),
            Kind::Close => {
                let last = open.pop();
                // `["a" }`: the bracket before it is the one that is not closed.
                if last.is_some_and(|last| closing(last.text(text)) != token.text(text)) {
                    return last;
                }
            }
            _ => {}
        }
    }
    open.pop()
}

fn closing(open: &str) -> &'static str {
    match open {
        "{" => "}",
        "[" => "]",
        _ => ")",
    }
}

fn open_bracket(source: &Source, token: &Token) -> Diagnostic {
    let bracket = token.text(&source.text);
    let close = closing(bracket);
    let at = span(source, token.start, token.end);
    Diagnostic::error(Code::K0109, at, format!("`{bracket}` is not closed"))
        .here("it is opened here")
        .help(format!("add `{close}` where it ends"))
}
