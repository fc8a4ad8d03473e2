//! The commands of a script, as far as they say which of its words are code.
//!
//! What enters: words and holes, in the order of the script. What leaves: the holes that something
//! executes. What must never happen here: quoting; the scanner has read it.

use crate::interpreter::{HOLE, Language, base, code_words, executes_input};

/// Every command of a script. Those of a substitution are a list of their own.
pub(super) struct Commands {
    all: Vec<Command>,
    lists: Vec<List>,
}

/// What is being read of one list of commands.
#[derive(Default)]
struct List {
    /// The command at hand.
    command: Option<usize>,
    /// The command whose output the next one reads.
    pipe: Option<usize>,
    /// Whether a word has begun and has not ended.
    in_word: bool,
    /// The signs of a redirection whose target comes next.
    redirect: String,
}

#[derive(Default)]
struct Command {
    words: Vec<Word>,
    /// Holes of its here-documents.
    input: Vec<usize>,
    /// The command whose output it reads.
    pipe: Option<usize>,
}

#[derive(Default)]
struct Word {
    text: String,
    holes: Vec<usize>,
    /// The signs before it, where it is the target of a redirection.
    redirect: String,
}

/// Words that begin a command without being its name.
const RESERVED: [&str; 10] = [
    "!", "do", "elif", "else", "if", "then", "time", "until", "while", "{",
];
/// Commands that write what they are given.
const WRITERS: [&str; 3] = ["cat", "echo", "printf"];

impl Commands {
    pub(super) fn new() -> Self {
        Self {
            all: Vec::new(),
            lists: vec![List::default()],
        }
    }

    /// Begins the list of a substitution.
    pub(super) fn list(&mut self) -> usize {
        self.lists.push(List::default());
        self.lists.len() - 1
    }

    /// The command at hand in a list.
    pub(super) fn at_hand(&mut self, list: usize) -> usize {
        let list = &mut self.lists[list];
        *list.command.get_or_insert_with(|| {
            self.all.push(Command {
                pipe: list.pipe.take(),
                ..Command::default()
            });
            self.all.len() - 1
        })
    }

    fn word(&mut self, list: usize) -> &mut Word {
        let command = self.at_hand(list);
        let list = &mut self.lists[list];
        let words = &mut self.all[command].words;
        if words.is_empty() || !list.in_word {
            list.in_word = true;
            words.push(Word {
                redirect: std::mem::take(&mut list.redirect),
                ..Word::default()
            });
        }
        let last = words.len() - 1;
        &mut words[last]
    }

    /// A character of the word at hand, or nothing but its beginning.
    pub(super) fn text(&mut self, list: usize, c: Option<char>) {
        self.word(list).text.extend(c);
    }

    /// A hole in the word at hand.
    pub(super) fn hole(&mut self, list: usize, number: usize) {
        let word = self.word(list);
        word.text.push(HOLE);
        word.holes.push(number);
    }

    /// A hole in what a command reads.
    pub(super) fn input(&mut self, command: usize, number: usize) {
        self.all[command].input.push(number);
    }

    /// A blank ends a word.
    pub(super) fn blank(&mut self, list: usize) {
        self.lists[list].in_word = false;
    }

    /// `<` or `>`
    pub(super) fn redirect(&mut self, list: usize, sign: char) {
        let list = &mut self.lists[list];
        list.in_word = false;
        list.redirect.push(sign);
    }

    /// A sign or a newline ends a command.
    pub(super) fn end(&mut self, list: usize, sign: char) {
        let list = &mut self.lists[list];
        list.in_word = false;
        list.redirect.clear();
        list.pipe = match (list.command.take(), sign) {
            (Some(ended), '|') => Some(ended),
            // `a |& b`, and a newline behind `|`.
            (None, '&' | '\n') => list.pipe,
            _ => None,
        };
    }

    /// The holes that something executes, in order.
    pub(super) fn code(&self) -> Vec<(usize, Language)> {
        let mut code = Vec::new();
        for command in &self.all {
            let words = command.own();
            let texts: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
            for (at, language) in code_words(&texts) {
                code.extend(words[at].holes.iter().map(|hole| (*hole, language)));
            }
            if let Some(language) = executes_input(&texts) {
                let read = self.read_by(command);
                code.extend(read.into_iter().map(|hole| (hole, language)));
            }
        }
        code.sort_unstable();
        code.dedup_by_key(|(hole, _)| *hole);
        code
    }

    /// The holes of what a command reads: here-documents, and what is written into its pipe.
    fn read_by(&self, command: &Command) -> Vec<usize> {
        let mut holes = command.input.clone();
        let strings = command.words.iter().filter(|word| word.redirect == "<<<");
        holes.extend(strings.flat_map(|word| &word.holes));
        if let Some(writer) = command.pipe.and_then(|pipe| self.all.get(pipe)) {
            let words = writer.own();
            let is_writer = words
                .first()
                .is_some_and(|word| WRITERS.contains(&base(&word.text)));
            if is_writer {
                holes.extend(&writer.input);
                // What `cat` is given are names of files.
                let written = words.iter().filter(|_| words[0].text != "cat");
                holes.extend(written.flat_map(|word| &word.holes));
            }
        }
        holes
    }
}

impl Command {
    /// Its name and arguments, without what stands around them.
    fn own(&self) -> Vec<&Word> {
        let words = self.words.iter().filter(|word| word.redirect.is_empty());
        let starts = |word: &&Word| RESERVED.contains(&&*word.text) || is_assignment(&word.text);
        words.skip_while(starts).collect()
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}
