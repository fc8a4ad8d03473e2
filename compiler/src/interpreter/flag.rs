//! What a flag of a program means for the words after it.

use super::HOLE;
use super::program::{Language, Program, Style};

/// What one flag means.
#[derive(Clone, Copy)]
pub(super) enum Flag {
    /// Nothing here.
    Plain,
    /// It has code in itself.
    CodeHere,
    /// The next word is code.
    CodeNext,
    /// The first operand is code.
    CodeOperand,
    /// The next word belongs to it, and the operand behind is code.
    TakesBeforeCode,
    /// The next word belongs to it.
    Takes,
    /// A file has the code.
    File,
    /// The standard input has the code, whatever the operands are.
    Input,
}

impl Program {
    pub(super) fn flag(&self, word: &str) -> Flag {
        if let Some(long) = word.strip_prefix("--") {
            return self.long_flag(long);
        }
        let letters = word.get(1..).unwrap_or_default();
        if self.long.contains(&letters) {
            return Flag::CodeNext;
        }
        if self.style == Style::AllAfterFlag {
            let is_code = letters.starts_with(|c| self.code.contains(c) || c == HOLE);
            return if is_code && !letters.to_ascii_lowercase().starts_with("ex") {
                Flag::CodeNext
            } else {
                Flag::Plain
            };
        }
        let mut flag = Flag::Plain;
        for (place, letter) in letters.char_indices() {
            let is_last = place + letter.len_utf8() == letters.len();
            // A letter that is not known yet may be any.
            if self.code.contains(letter) || letter == HOLE {
                match self.style {
                    Style::FirstOperand => flag = Flag::CodeOperand,
                    _ if is_last => return Flag::CodeNext,
                    // `node -pe CODE`
                    _ if self.language == Language::Node => {}
                    _ => return Flag::CodeHere,
                }
            } else if self.file.contains(letter) {
                return Flag::File;
            } else if self.attached.contains(letter) {
                return flag;
            } else if letter == 's' && self.style == Style::FirstOperand {
                if matches!(flag, Flag::Plain) {
                    flag = Flag::Input;
                }
            } else if self.takes.contains(letter) {
                return match (is_last, flag) {
                    (true, Flag::CodeOperand) => Flag::TakesBeforeCode,
                    (true, _) => Flag::Takes,
                    (false, _) if self.style == Style::FirstOperand => continue,
                    (false, _) => Flag::Plain,
                };
            }
        }
        flag
    }

    fn long_flag(&self, long: &str) -> Flag {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let is_code = self.long.contains(&name) || name.contains(HOLE);
        match (is_code, value) {
            (true, Some(_)) => Flag::CodeHere,
            (true, None) => Flag::CodeNext,
            (false, None) if self.long_takes.contains(&name) => Flag::Takes,
            (false, _) => Flag::Plain,
        }
    }
}
