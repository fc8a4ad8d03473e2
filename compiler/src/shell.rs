//! Where an interpolation stands in a shell script: POSIX quoting, as far as it decides whether
//! `sh` expands `${x}` and whether it splits what comes out.
//!
//! What enters: a script as characters and holes. What leaves: one [`Place`] for each hole.

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
    /// Not expanded: single quotes, a quoted here-document, behind a backslash.
    Literal,
    /// In a comment.
    Comment,
}

/// What the scanner is inside of.
#[derive(Debug)]
enum Frame {
    /// Commands, up to `)` or a backquote where it is a substitution.
    Commands { closer: Option<char>, word: Word },
    /// Double quotes.
    Double,
    /// `${…}`.
    Braces,
    /// `$((…))`, with the depth of parentheses.
    Arithmetic(usize),
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
}

/// Finds the place of every hole. `script` is the text between the holes, one piece more than there
/// are holes.
pub(crate) fn places(script: &[&str]) -> Vec<Place> {
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
        }],
        heredocs: Vec::new(),
        places: Vec::new(),
    };
    while scanner.at < scanner.units.len() {
        scanner.step();
    }
    scanner.places
}

struct Scanner {
    units: Vec<Unit>,
    at: usize,
    frames: Vec<Frame>,
    heredocs: Vec<Heredoc>,
    places: Vec<Place>,
}

/// Frames inside each other; a script that nests deeper is read as if it did not.
const FRAMES_MAX: usize = 256;

impl Scanner {
    fn peek(&self, ahead: usize) -> Option<char> {
        match self.units.get(self.at + ahead) {
            Some(Unit::Char(c)) => Some(*c),
            _ => None,
        }
    }

    fn push(&mut self, frame: Frame) {
        if self.frames.len() < FRAMES_MAX {
            self.frames.push(frame);
        }
    }

    fn pop(&mut self) {
        if self.frames.len() > 1 {
            self.frames.pop();
        }
    }

    fn step(&mut self) {
        match self.frames.last() {
            Some(Frame::Double) => self.step_double(),
            Some(Frame::Braces) => self.step_braces(),
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
            self.places
                .push(if whole { Place::Whole } else { Place::Split });
            if !whole {
                self.set_word(Word::Other);
            }
            self.at += 1;
            return;
        };
        match c {
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
                self.continue_word();
                self.push(Frame::Double);
            }
            '$' | '`' if self.substitution() => {}
            '#' if matches!(self.word(), Word::CommandStart | Word::Between) => self.comment(),
            '<' if self.peek(1) == Some('<') && self.peek(2) != Some('<') => self.heredoc_start(),
            '\n' => {
                self.at += 1;
                self.set_word(Word::CommandStart);
                self.heredoc_bodies();
            }
            ';' | '&' | '|' | '(' => {
                self.at += 1;
                self.set_word(Word::CommandStart);
            }
            ')' => {
                self.at += 1;
                if matches!(
                    self.frames.last(),
                    Some(Frame::Commands {
                        closer: Some(')'),
                        ..
                    })
                ) {
                    self.pop();
                } else {
                    self.set_word(Word::CommandStart);
                }
            }
            _ => self.word_char(c),
        }
    }

    fn word_char(&mut self, c: char) {
        self.at += 1;
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
                self.places.push(Place::Whole);
                self.at += 1;
            }
            Some(Unit::Char('"')) => {
                self.at += 1;
                self.pop();
            }
            Some(Unit::Char('\\')) => self.literal_after_backslash(),
            Some(Unit::Char('$' | '`')) if self.substitution() => {}
            Some(Unit::Char(_)) => self.at += 1,
        }
    }

    fn step_braces(&mut self) {
        match self.units.get(self.at).copied() {
            None => {}
            Some(Unit::Hole) => {
                let quoted = self
                    .frames
                    .iter()
                    .any(|frame| matches!(frame, Frame::Double));
                self.places
                    .push(if quoted { Place::Whole } else { Place::Split });
                self.at += 1;
            }
            Some(Unit::Char('}')) => {
                self.at += 1;
                self.pop();
            }
            Some(Unit::Char('\\')) => self.literal_after_backslash(),
            Some(Unit::Char('"')) => {
                self.at += 1;
                self.push(Frame::Double);
            }
            Some(Unit::Char('$' | '`')) if self.substitution() => {}
            Some(Unit::Char(_)) => self.at += 1,
        }
    }

    fn step_arithmetic(&mut self) {
        let unit = self.units.get(self.at).copied();
        self.at += 1;
        let Some(Frame::Arithmetic(depth)) = self.frames.last_mut() else {
            return;
        };
        match unit {
            Some(Unit::Hole) => self.places.push(Place::Whole),
            Some(Unit::Char('(')) => *depth += 1,
            Some(Unit::Char(')')) if *depth > 0 => *depth -= 1,
            Some(Unit::Char(')')) => {
                if self.peek(0) == Some(')') {
                    self.at += 1;
                }
                self.pop();
            }
            _ => {}
        }
    }

    /// Enters `$(`, `$((`, `${` or a backquote; leaves a backquote. `false`: it is none of these.
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
                self.continue_word();
                self.push(Frame::Commands {
                    closer: Some('`'),
                    word: Word::CommandStart,
                });
            }
            return true;
        }
        let (length, frame) = match (self.peek(1), self.peek(2)) {
            (Some('('), Some('(')) => (3, Frame::Arithmetic(0)),
            (Some('('), _) => (
                2,
                Frame::Commands {
                    closer: Some(')'),
                    word: Word::CommandStart,
                },
            ),
            (Some('{'), _) => (2, Frame::Braces),
            _ => return false,
        };
        self.at += length;
        self.continue_word();
        self.push(frame);
        true
    }

    fn single_quotes(&mut self) {
        self.at += 1;
        while let Some(unit) = self.units.get(self.at).copied() {
            self.at += 1;
            match unit {
                Unit::Hole => self.places.push(Place::Literal),
                Unit::Char('\'') => return,
                Unit::Char(_) => {}
            }
        }
    }

    fn literal_after_backslash(&mut self) {
        self.at += 1;
        if self.units.get(self.at) == Some(&Unit::Hole) {
            self.places.push(Place::Literal);
        }
        self.at += 1;
    }

    fn comment(&mut self) {
        while let Some(unit) = self.units.get(self.at).copied() {
            match unit {
                Unit::Char('\n') => return,
                Unit::Char(_) => {}
                Unit::Hole => self.places.push(Place::Comment),
            }
            self.at += 1;
        }
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
        while let Some(c) = self.peek(0) {
            match c {
                '\'' | '"' | '\\' => literal = true,
                c if c.is_whitespace() || ";&|<>()".contains(c) => break,
                c => end.push(c),
            }
            self.at += 1;
        }
        self.set_word(Word::Between);
        if !end.is_empty() {
            self.heredocs.push(Heredoc {
                end,
                strip_tabs,
                literal,
            });
        }
    }

    fn heredoc_bodies(&mut self) {
        for heredoc in std::mem::take(&mut self.heredocs) {
            while self.at < self.units.len() && !self.heredoc_line(&heredoc) {}
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
                    let place = if heredoc.literal {
                        Place::Literal
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

    /// Something that is not plain text goes on with the word.
    fn continue_word(&mut self) {
        if self.word() != Word::Assignment {
            self.set_word(Word::Other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_of_a_hole_follows_the_shells_quoting() {
        use Place::{Comment, Literal, Split, Whole};
        let table: [(&str, &[Place]); 24] = [
            ("echo @", &[Split]),
            ("echo \"@\"", &[Whole]),
            ("echo '@'", &[Literal]),
            ("echo \"it's @\"", &[Whole]),
            ("echo 'a' @ \"@\"", &[Split, Whole]),
            ("echo \\@ \"\\@\"", &[Literal, Literal]),
            ("echo \\\" @", &[Split]),
            ("x=@", &[Whole]),
            ("A=1 x=@/y\"z\"@ cmd x=@", &[Whole, Whole, Split]),
            ("if true; then x=@; fi", &[Split]),
            ("echo \"$(cat @)\"", &[Split]),
            ("echo \"$(cat \"@\")\" @", &[Whole, Split]),
            ("x=$(cat @)@", &[Split, Whole]),
            ("echo \"`cat @` @\"", &[Split, Whole]),
            ("echo \"${X:-@}\" ${X:-@}", &[Whole, Split]),
            ("echo $((@ + 1)) @", &[Whole, Split]),
            ("echo $(( (1 + 2) * @ ))", &[Whole]),
            ("# it's @\necho @", &[Comment, Split]),
            ("echo a#@", &[Split]),
            ("cat <<EOF\n@ 'x @'\nEOF\necho @", &[Whole, Whole, Split]),
            (
                "cat <<'EOF' | sort @\n@\nEOF\necho \"@\"",
                &[Split, Literal, Whole],
            ),
            ("cat <<-E\n\t@\n\tE\n@", &[Whole, Split]),
            (
                "(cd \"@\" && ls) ; case @ in a) ls @;; esac",
                &[Whole, Split, Split],
            ),
            ("echo \"unclosed @", &[Whole]),
        ];
        for (script, expected) in table {
            let pieces: Vec<&str> = script.split('@').collect();
            assert_eq!(places(&pieces), expected, "{script}");
        }
    }

    #[test]
    fn every_hole_has_a_place_however_broken_the_script() {
        let parts = [
            "'", "\"", "`", "$(", "$((", "${", ")", "}", "<<A\n", "\\", "#", "\n", "@",
        ];
        let mut state: u32 = 7;
        for _ in 0..20_000 {
            let mut script = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                script.push_str(parts[(state >> 16) as usize % parts.len()]);
            }
            let pieces: Vec<&str> = script.split('@').collect();
            assert_eq!(places(&pieces).len(), pieces.len() - 1, "{script:?}");
        }
    }
}
