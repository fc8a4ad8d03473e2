//! Here-documents: from `<<END` to the line `END`.

use super::{Place, Scanner, Unit, Word};

pub(super) struct Heredoc {
    end: String,
    strip_tabs: bool,
    literal: bool,
    /// The command that reads it.
    command: usize,
}

impl Scanner {
    /// `<<`, and not `<<<`.
    pub(super) fn is_heredoc(&self) -> bool {
        let follows = self.at > 0 && self.units[self.at - 1] == Unit::Char('<');
        self.peek(1) == Some('<') && self.peek(2) != Some('<') && !follows
    }

    pub(super) fn heredoc_start(&mut self) {
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

    pub(super) fn heredoc_bodies(&mut self) {
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
}
