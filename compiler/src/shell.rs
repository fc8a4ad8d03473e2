//! Where an interpolation stands in a shell script: POSIX quoting, as far as it decides whether
//! `sh` expands `${x}`, whether it splits what comes out, and which word of which command it is.
//!
//! What enters: a script as characters and holes. What leaves: one [`Place`] for each hole, the
//! holes that something executes as code, and the quote that is open at the end.

mod command;
mod expansion;
mod heredoc;

use crate::interpreter::Language;
use command::Commands;
use expansion::InBraces;
use heredoc::Heredoc;

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
