//! Where an interpolation stands in a shell script: POSIX quoting, as far as it decides whether
//! `sh` expands `${x}`, whether it splits what comes out, and which word of which command it is.
//!
//! What enters: a script as characters and holes. What leaves: one [`Place`] for each hole, and the
//! holes that something executes as code.

mod command;

use crate::interpreter::Language;
use command::Commands;

/// A piece of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Char(char),
    Hole,
}

/// Where a hole stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Expanded and left whole: in double quotes, in a here-document, in an assignment.
    Whole,
    /// Expanded, then split at blanks and matched against file names.
    Split,
    /// Not expanded: in single quotes.
    Literal,
    /// Not expanded: in a here-document whose end is quoted.
    LiteralHeredoc,
    /// Not expanded: behind a backslash.
    Escaped,
    /// In a comment.
    Comment,
}

/// What the scanner is inside of.
#[derive(Debug)]
enum Frame {
    /// Commands, up to `)` or a backquote where it is a substitution.
    Commands {
        closer: Option<char>,
        word: Word,
        /// Which list of commands they are in.
        list: usize,
        /// What is open in them.
        open: Vec<Open>,
    },
    /// Double quotes, and where they are opened.
    Double(usize),
    /// `${…}`, and what quotes mean in it.
    Braces(InBraces),
    /// `$((…))`, with the depth of parentheses.
    Arithmetic(usize),
}

/// What a `)` in commands may belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// A `(`.
    Parenthesis,
    /// `case … esac`, whose patterns end with `)`.
    Case,
}

/// What `'` means in `${…}`, and whether what comes out is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InBraces {
    /// It quotes; outside of double quotes.
    Bare,
    /// It quotes; in double quotes, behind `#` or `%`.
    Pattern,
    /// It is a character like any other: in double quotes, behind `:-` and the like.
    Text,
    /// In double quotes, behind what shells read differently.
    Unknown,
}

/// The word being read in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// None yet, where a command begins.
    CommandStart,
    /// None yet, after a word.
    Between,
    /// A name at the beginning of a command: `=` would make it an assignment.
    Name,
    /// Behind `NAME=` at the beginning of a command.
    Assignment,
    /// Any other.
    Other,
}

struct Heredoc {
    end: String,
    strip_tabs: bool,
    literal: bool,
    /// The command that reads it.
    command: usize,
}

/// What is known of the holes of a script.
pub(crate) struct Holes {
    /// The place of each.
    pub places: Vec<Place>,
    /// Those that something executes as code, and what does.
    pub code: Vec<(usize, Language)>,
    /// The quote that is open at the end.
    pub open_quote: Option<OpenQuote>,
}

/// A quote without its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenQuote {
    /// Which one it is.
    pub quote: char,
    /// It and what follows on its line, as far as it is shown.
    pub rest: String,
}

/// Looks at every hole. `script` is the text between the holes, one piece more than there are
/// holes.
pub(crate) fn holes(script: &[&str]) -> Holes {
    let mut units = Vec::new();
    for (index, piece) in script.iter().enumerate() {
        if index > 0 {
            units.push(Unit::Hole);
        }
        units.extend(piece.chars().map(Unit::Char));
    }
    let mut scanner = Scanner {
        units,
        at: 0,
        frames: vec![Frame::Commands {
            closer: None,
            word: Word::CommandStart,
            list: 0,
            open: Vec::new(),
        }],
        heredocs: Vec::new(),
        places: Vec::new(),
        commands: Commands::new(),
        open_single: None,
        is_unsure: false,
    };
    while scanner.at < scanner.units.len() {
        scanner.step();
    }
    Holes {
        open_quote: scanner.open_quote(),
        code: scanner.commands.code(),
        places: scanner.places,
    }
}

struct Scanner {
    units: Vec<Unit>,
    at: usize,
    frames: Vec<Frame>,
    heredocs: Vec<Heredoc>,
    places: Vec<Place>,
    commands: Commands,
    /// Where single quotes are opened that nothing closes.
    open_single: Option<usize>,
    /// Whether shells may read something differently from what is done here.
    is_unsure: bool,
}

/// Words behind which a command may begin, or another such word stand.
const RESERVED: [&str; 13] = [
    "!", "do", "done", "elif", "else", "fi", "if", "then", "time", "until", "while", "{", "}",
];

/// Stands for what the shell puts into a word: nobody knows it here.
const UNKNOWN: char = '\u{fffd}';

/// Frames inside each other; a script that nests deeper is read as if it did not.
const FRAMES_MAX: usize = 256;

impl Scanner {
    fn peek(&self, ahead: usize) -> Option<char> {
        match self.units.get(self.at + ahead) {
            Some(Unit::Char(c)) => Some(*c),
            _ => None,
        }
    }

    /// The quote that is open at the end, the first one if there are several. What bash alone reads, `$'it\'s'`, is
    /// not known here: such a script has none.
    fn open_quote(&self) -> Option<OpenQuote> {
        const SHOWN_MAX: usize = 40;
        let doubles = self.frames.iter().filter_map(|frame| match frame {
            Frame::Double(at) => Some(*at),
            _ => None,
        });
        let at = doubles.chain(self.open_single).min()?;
        let is_of_bash = self
            .units
            .windows(2)
            .any(|two| two == [Unit::Char('$'), Unit::Char('\'')]);
        if is_of_bash || self.is_unsure {
            return None;
        }
        let chars = self.units[at..].iter().map(|unit| match unit {
            Unit::Char(c) => *c,
            Unit::Hole => '…',
        });
        let rest: String = chars.take_while(|c| *c != '\n').take(SHOWN_MAX).collect();
        let quote = rest.chars().next()?;
        Some(OpenQuote { quote, rest })
    }

    fn push(&mut self, frame: Frame) {
        if self.frames.len() < FRAMES_MAX {
            self.frames.push(frame);
        } else {
            self.is_unsure = true;
        }
    }

    fn pop(&mut self) {
        if self.frames.len() > 1 {
            self.frames.pop();
        }
    }

    /// The list of commands that is being read.
    fn list(&self) -> usize {
        let lists = self.frames.iter().rev().find_map(|frame| match frame {
            Frame::Commands { list, .. } => Some(*list),
            _ => None,
        });
        lists.unwrap_or_default()
    }

    /// A hole that is a part of the word at hand.
    fn hole(&mut self, place: Place) {
        let list = self.list();
        if self.in_arithmetic() {
            self.commands.arithmetic(self.places.len());
        }
        self.commands.hole(list, self.places.len());
        self.places.push(place);
    }

    /// Whether what comes next is an expression that the shell computes.
    fn in_arithmetic(&self) -> bool {
        let frames = self.frames.iter().rev();
        let mut outer = frames.skip_while(|f| matches!(f, Frame::Double(_) | Frame::Braces(_)));
        matches!(outer.next(), Some(Frame::Arithmetic(_)))
    }

    /// Text of the word at hand, or nothing but its beginning.
    fn text(&mut self, c: Option<char>) {
        let list = self.list();
        self.commands.text(list, c);
    }

    fn step(&mut self) {
        match self.frames.last() {
            Some(Frame::Double(_)) => self.step_double(),
            Some(Frame::Braces(quotes)) => self.step_braces(*quotes),
            Some(Frame::Arithmetic(_)) => self.step_arithmetic(),
            Some(Frame::Commands { .. }) | None => self.step_commands(),
        }
    }

    fn step_commands(&mut self) {
        let Some(unit) = self.units.get(self.at).copied() else {
            return;
        };
        let Unit::Char(c) = unit else {
            let whole = matches!(self.word(), Word::Assignment);
            self.hole(if whole { Place::Whole } else { Place::Split });
            if !whole {
                self.set_word(Word::Other);
            }
            self.at += 1;
            return;
        };
        match c {
            // It and the newline are as good as not there.
            '\\' if self.peek(1) == Some('\n') => self.at += 2,
            '\\' => {
                self.literal_after_backslash();
                self.continue_word();
            }
            '\'' => {
                self.single_quotes();
                self.continue_word();
            }
            '"' => {
                self.at += 1;
                self.text(None);
                self.continue_word();
                self.push(Frame::Double(self.at - 1));
            }
            '$' | '`' if self.substitution() => {}
            '#' if matches!(self.word(), Word::CommandStart | Word::Between) => self.comment(),
            '<' if self.is_heredoc() => self.heredoc_start(),
            '<' | '>' if self.peek(1) == Some('(') => self.process_substitution(c),
            '(' if self.peek(1) == Some('(') => {
                self.at += 2;
                self.push(Frame::Arithmetic(0));
            }
            '\n' => {
                self.at += 1;
                self.commands.end(self.list(), '\n');
                self.set_word(Word::CommandStart);
                self.heredoc_bodies();
            }
            // `2>&1`
            '&' if self.at > 0 && matches!(self.units[self.at - 1], Unit::Char('<' | '>')) => {
                self.at += 1;
            }
            ';' | '&' | '|' | '(' => {
                self.at += 1;
                if c == '(' {
                    self.opens(Open::Parenthesis);
                }
                self.commands.end(self.list(), c);
                self.set_word(Word::CommandStart);
            }
            ')' => {
                self.at += 1;
                self.commands.end(self.list(), ')');
                match self.frames.last_mut() {
                    Some(Frame::Commands { open, .. }) if !open.is_empty() => {
                        // That of a pattern leaves the `case` open.
                        open.pop_if(|last| *last == Open::Parenthesis);
                        self.set_word(Word::CommandStart);
                    }
                    Some(Frame::Commands {
                        closer: Some(')'), ..
                    }) => self.pop(),
                    _ => self.set_word(Word::CommandStart),
                }
            }
            _ if self.word() == Word::CommandStart && self.reserved_word() => {}
            _ => self.word_char(c),
        }
    }

    /// Notes that something is open in the commands at hand.
    fn opens(&mut self, what: Open) {
        if let Some(Frame::Commands { open, .. }) = self.frames.last_mut() {
            open.push(what);
        }
    }

    /// Reads a word of the shell's grammar where a command begins. `false` for any other.
    fn reserved_word(&mut self) -> bool {
        const LENGTH_MAX: usize = 6;
        let ends = |c: &char| c.is_whitespace() || ";&|<>()`".contains(*c);
        let ahead = (0..LENGTH_MAX).map_while(|ahead| self.peek(ahead));
        let word: String = ahead.take_while(|c| !ends(c)).collect();
        let length = word.chars().count();
        let next = self.units.get(self.at + length);
        let is_whole = match next {
            None => true,
            Some(Unit::Char(c)) => ends(c),
            Some(Unit::Hole) => false,
        };
        let is_before_blank = matches!(next, Some(Unit::Char(c)) if c.is_whitespace());
        match &*word {
            // Without a blank it is a pattern.
            "case" if is_before_blank => self.opens(Open::Case),
            "esac" if is_whole => {
                if let Some(Frame::Commands { open, .. }) = self.frames.last_mut() {
                    open.pop_if(|last| *last == Open::Case);
                }
            }
            word if is_whole && RESERVED.contains(&word) => {}
            _ => return false,
        }
        for c in word.chars() {
            self.text(Some(c));
        }
        self.at += length;
        self.set_word(if word == "case" {
            Word::Between
        } else {
            Word::CommandStart
        });
        true
    }

    fn word_char(&mut self, c: char) {
        self.at += 1;
        match c {
            ' ' | '\t' => self.commands.blank(self.list()),
            '<' | '>' => self.commands.redirect(self.list(), c),
            c => self.text(Some(c)),
        }
        let next = match (self.word(), c) {
            // A command may follow several assignments: `A=1 B=2 command`.
            (Word::Assignment | Word::CommandStart, ' ' | '\t') => Word::CommandStart,
            (_, ' ' | '\t' | '<' | '>') => Word::Between,
            (Word::CommandStart | Word::Name, c) if c == '_' || c.is_ascii_alphanumeric() => {
                Word::Name
            }
            (Word::Name, '=') => Word::Assignment,
            (Word::Assignment, _) => Word::Assignment,
            _ => Word::Other,
        };
        self.set_word(next);
    }

    fn step_double(&mut self) {
        match self.units.get(self.at).copied() {
            None => {}
            Some(Unit::Hole) => {
                self.hole(Place::Whole);
                self.at += 1;
            }
            Some(Unit::Char('"')) => {
                self.at += 1;
                self.pop();
            }
            Some(Unit::Char('\\')) => self.literal_after_backslash(),
            Some(Unit::Char('$' | '`')) if self.substitution() => {}
            Some(Unit::Char(c)) => {
                self.text(Some(c));
                self.at += 1;
            }
        }
    }

    fn step_braces(&mut self, quotes: InBraces) {
        match self.units.get(self.at).copied() {
            None => {}
            Some(Unit::Hole) => {
                let words = self.frames.iter().rev().find_map(|frame| match frame {
                    Frame::Commands { word, .. } => Some(*word),
                    _ => None,
                });
                let whole = quotes != InBraces::Bare || words == Some(Word::Assignment);
                self.hole(if whole { Place::Whole } else { Place::Split });
                self.at += 1;
            }
            Some(Unit::Char('}')) => {
                self.at += 1;
                self.pop();
            }
            Some(Unit::Char('\\')) => self.literal_after_backslash(),
            Some(Unit::Char('"')) => {
                self.at += 1;
                self.push(Frame::Double(self.at - 1));
            }
            Some(Unit::Char('\'')) => match quotes {
                InBraces::Bare | InBraces::Pattern => self.single_quotes(),
                InBraces::Text => self.at += 1,
                InBraces::Unknown => {
                    self.is_unsure = true;
                    self.at += 1;
                }
            },
            Some(Unit::Char('$' | '`')) if self.substitution() => {}
            Some(Unit::Char(_)) => self.at += 1,
        }
    }

    /// What quotes mean behind the `${` that comes next.
    fn in_braces(&self) -> InBraces {
        match self.frames.last() {
            Some(Frame::Double(_) | Frame::Braces(InBraces::Text)) => {}
            Some(Frame::Braces(InBraces::Bare) | Frame::Commands { .. }) | None => {
                return InBraces::Bare;
            }
            Some(Frame::Braces(_) | Frame::Arithmetic(_)) => return InBraces::Unknown,
        }
        let mut rest = self.units[self.at + 2..]
            .iter()
            .map_while(|unit| match unit {
                Unit::Char(c) => Some(*c),
                Unit::Hole => None,
            });
        let is_of_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        // `${x#…}` and `${#}`: the first character belongs to the name, whatever it is.
        let operator = rest.by_ref().skip(1).find(|c| !is_of_name(*c));
        match operator {
            Some('#' | '%') => InBraces::Pattern,
            Some('-' | '=' | '+' | '?') => InBraces::Text,
            Some(':') if matches!(rest.next(), Some('-' | '=' | '+' | '?')) => InBraces::Text,
            _ => InBraces::Unknown,
        }
    }

    fn step_arithmetic(&mut self) {
        let unit = self.units.get(self.at).copied();
        if matches!(unit, Some(Unit::Char('$' | '`'))) && self.substitution() {
            return;
        }
        self.at += 1;
        let Some(Frame::Arithmetic(depth)) = self.frames.last_mut() else {
            return;
        };
        match unit {
            Some(Unit::Hole) => self.hole(Place::Whole),
            Some(Unit::Char('(')) => *depth += 1,
            Some(Unit::Char(')')) if *depth > 0 => *depth -= 1,
            Some(Unit::Char(')')) => {
                if self.peek(0) == Some(')') {
                    self.at += 1;
                } else {
                    // `$((a) | b)` are commands.
                    self.is_unsure = true;
                }
                self.pop();
            }
            _ => {}
        }
    }

    /// Enters `$(`, `$((`, `${` or a backquote; leaves a backquote. `false` for anything else.
    fn substitution(&mut self) -> bool {
        if self.peek(0) == Some('`') {
            self.at += 1;
            if matches!(
                self.frames.last(),
                Some(Frame::Commands {
                    closer: Some('`'),
                    ..
                })
            ) {
                self.pop();
            } else {
                self.commands_in_word('`');
            }
            return true;
        }
        let (length, frame) = match (self.peek(1), self.peek(2)) {
            (Some('('), Some('(')) => (3, Frame::Arithmetic(0)),
            (Some('('), _) => {
                self.at += 2;
                self.commands_in_word(')');
                return true;
            }
            (Some('{'), _) => (2, Frame::Braces(self.in_braces())),
            _ => return false,
        };
        self.at += length;
        self.text(Some(UNKNOWN));
        self.continue_word();
        self.push(frame);
        true
    }

    /// Enters the commands whose output becomes a part of the word at hand.
    fn commands_in_word(&mut self, closer: char) -> usize {
        self.text(Some(UNKNOWN));
        let inner = self.commands.substitution(self.list());
        self.continue_word();
        self.push(Frame::Commands {
            closer: Some(closer),
            word: Word::CommandStart,
            list: inner,
            open: Vec::new(),
        });
        inner
    }

    /// `<(…)`, a file with what its commands write, and `>(…)`, one that they read.
    fn process_substitution(&mut self, sign: char) {
        self.at += 2;
        let reader = self.commands.at_hand(self.list());
        let inner = self.commands_in_word(')');
        if sign == '>' {
            self.commands.reads_from(inner, reader);
        }
    }

    fn single_quotes(&mut self) {
        let start = self.at;
        self.at += 1;
        self.text(None);
        while let Some(unit) = self.units.get(self.at).copied() {
            self.at += 1;
            match unit {
                Unit::Hole => self.hole(Place::Literal),
                Unit::Char('\'') => return,
                Unit::Char(c) => {
                    self.is_unsure |= c == '`' && self.in_backquotes();
                    self.text(Some(c));
                }
            }
        }
        self.open_single = Some(start);
    }

    /// Whether backquotes are open, which end at the next one whatever it stands in, and in which a backslash means
    /// something twice.
    fn in_backquotes(&self) -> bool {
        let mut frames = self.frames.iter();
        frames.any(|frame| {
            matches!(
                frame,
                Frame::Commands {
                    closer: Some('`'),
                    ..
                }
            )
        })
    }

    fn literal_after_backslash(&mut self) {
        self.at += 1;
        self.is_unsure |= self.peek(0) != Some('\n') && self.in_backquotes();
        match self.units.get(self.at).copied() {
            Some(Unit::Hole) => self.hole(Place::Escaped),
            Some(Unit::Char('\n')) | None => {}
            Some(Unit::Char(c)) => self.text(Some(c)),
        }
        self.at += 1;
    }

    fn comment(&mut self) {
        let in_backquotes = self.in_backquotes();
        while let Some(unit) = self.units.get(self.at).copied() {
            match unit {
                Unit::Char('\n') => return,
                Unit::Char('`') if in_backquotes => return,
                Unit::Char(_) => {}
                Unit::Hole => self.places.push(Place::Comment),
            }
            self.at += 1;
        }
    }

    /// `<<`, and not `<<<`.
    fn is_heredoc(&self) -> bool {
        let follows = self.at > 0 && self.units[self.at - 1] == Unit::Char('<');
        self.peek(1) == Some('<') && self.peek(2) != Some('<') && !follows
    }

    fn heredoc_start(&mut self) {
        self.at += 2;
        let strip_tabs = self.peek(0) == Some('-');
        if strip_tabs {
            self.at += 1;
        }
        while matches!(self.peek(0), Some(' ' | '\t')) {
            self.at += 1;
        }
        let mut end = String::new();
        let mut literal = false;
        let mut quote = None;
        while let Some(c) = self.peek(0) {
            match c {
                c if quote == Some(c) => quote = None,
                c if quote.is_some() => end.push(c),
                '\'' | '"' => (literal, quote) = (true, Some(c)),
                '\\' => literal = true,
                c if c.is_whitespace() || ";&|<>()".contains(c) => break,
                c => end.push(c),
            }
            self.at += 1;
        }
        self.set_word(Word::Between);
        if !end.is_empty() {
            let command = self.commands.at_hand(self.list());
            self.heredocs.push(Heredoc {
                end,
                strip_tabs,
                literal,
                command,
            });
        }
    }

    fn heredoc_bodies(&mut self) {
        for heredoc in std::mem::take(&mut self.heredocs) {
            // In backquotes its end may be followed by one.
            let mut is_ended = false;
            while self.at < self.units.len() && !is_ended {
                is_ended = self.heredoc_line(&heredoc);
            }
            self.is_unsure |= !is_ended || self.in_backquotes();
        }
    }

    /// Reads one line of a here-document; `true` where it is the last.
    fn heredoc_line(&mut self, heredoc: &Heredoc) -> bool {
        let mut line = String::new();
        let mut holes = 0;
        while let Some(unit) = self.units.get(self.at).copied() {
            self.at += 1;
            match unit {
                Unit::Char('\n') => break,
                Unit::Char(c) => line.push(c),
                Unit::Hole => {
                    holes += 1;
                    let number = self.places.len();
                    self.commands.input(heredoc.command, number);
                    let place = if heredoc.literal {
                        Place::LiteralHeredoc
                    } else {
                        Place::Whole
                    };
                    self.places.push(place);
                }
            }
        }
        let line = if heredoc.strip_tabs {
            line.trim_start_matches('\t')
        } else {
            &line
        };
        holes == 0 && line == heredoc.end
    }

    fn word(&self) -> Word {
        match self.frames.last() {
            Some(Frame::Commands { word, .. }) => *word,
            _ => Word::Other,
        }
    }

    fn set_word(&mut self, next: Word) {
        if let Some(Frame::Commands { word, .. }) = self.frames.last_mut() {
            *word = next;
        }
    }

    /// Something that is not plain text continues the word.
    fn continue_word(&mut self) {
        if self.word() != Word::Assignment {
            self.set_word(Word::Other);
        }
    }
}

#[cfg(test)]
mod tests;
