//! What a shell puts into a word: `${…}`, `$((…))`, and what the commands of `$(…)`, of backquotes and of `<(…)` write.

use super::{Frame, Place, Scanner, Unit, Word};

/// Stands for what the shell puts into a word: nobody knows it here.
const UNKNOWN: char = '\u{fffd}';

/// What `'` means in `${…}`, and whether what comes out is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InBraces {
    /// It quotes; outside of double quotes.
    Bare,
    /// It quotes; in double quotes, behind `#` or `%`.
    Pattern,
    /// It is a character like any other: in double quotes, behind `:-` and the like.
    Text,
    /// In double quotes, behind what shells read differently.
    Unknown,
}

impl Scanner {
    pub(super) fn step_braces(&mut self, quotes: InBraces) {
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

    pub(super) fn step_arithmetic(&mut self) {
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
    pub(super) fn substitution(&mut self) -> bool {
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
    pub(super) fn process_substitution(&mut self, sign: char) {
        self.at += 2;
        let reader = self.commands.at_hand(self.list());
        let inner = self.commands_in_word(')');
        if sign == '>' {
            self.commands.reads_from(inner, reader);
        }
    }
}
