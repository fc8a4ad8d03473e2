//! The commands of a script, as far as they say which of its words are code.
//!
//! What enters: words and holes, in the order of the script. What leaves: the holes that something
//! executes. What must never happen here: quoting; the scanner has read it.

use crate::interpreter::{
    HOLE, Language, arithmetic_words, base, code_words, executes_input, is_executed_variable,
    script_word,
};

/// Every command of a script. Those of a substitution are a list of their own.
pub(super) struct Commands {
    all: Vec<Command>,
    lists: Vec<List>,
    /// Holes of expressions that the shell computes.
    arithmetic: Vec<usize>,
}

/// What is being read of one list of commands.
#[derive(Default)]
struct List {
    /// Its commands, in order.
    commands: Vec<usize>,
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
    /// The lists of its substitutions.
    substitutions: Vec<usize>,
    /// The signs before it, where it is the target of a redirection.
    redirect: String,
}

/// Words that begin a command without being its name.
const RESERVED: [&str; 10] = [
    "!", "do", "elif", "else", "if", "then", "time", "until", "while", "{",
];
/// Commands that write what they are given.
const WRITERS: [&str; 4] = ["cat", "echo", "printf", "yes"];
/// Commands that write what they read, or parts of it: `base` is base32 and base64, without their digits.
const FILTERS: [&str; 19] = [
    "awk", "base", "cat", "cut", "envsubst", "fold", "grep", "gunzip", "head", "rev", "sed",
    "sort", "tac", "tail", "tee", "tr", "uniq", "xxd", "zcat",
];

impl Commands {
    pub(super) fn new() -> Self {
        Self {
            all: Vec::new(),
            lists: vec![List::default()],
            arithmetic: Vec::new(),
        }
    }

    /// Begins the list of a substitution in the word at hand of a list.
    pub(super) fn substitution(&mut self, list: usize) -> usize {
        let inner = self.lists.len();
        self.word(list).substitutions.push(inner);
        self.lists.push(List::default());
        inner
    }

    /// The first command of a list reads what a command writes.
    pub(super) fn reads_from(&mut self, list: usize, writer: usize) {
        self.lists[list].pipe = Some(writer);
    }

    /// The command at hand in a list.
    pub(super) fn at_hand(&mut self, list: usize) -> usize {
        let list = &mut self.lists[list];
        *list.command.get_or_insert_with(|| {
            self.all.push(Command {
                pipe: list.pipe.take(),
                ..Command::default()
            });
            list.commands.push(self.all.len() - 1);
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

    /// A hole in an expression that the shell computes.
    pub(super) fn arithmetic(&mut self, number: usize) {
        self.arithmetic.push(number);
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
            for word in command.executed_variables() {
                let holes = self.of_word(word);
                code.extend(holes.into_iter().map(|hole| (hole, Language::Variable)));
            }
            let words = command.own();
            let texts: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
            for (at, language) in code_words(&texts) {
                let holes = self.of_word(words[at]);
                code.extend(holes.into_iter().map(|hole| (hole, language)));
            }
            for at in arithmetic_words(&texts) {
                let holes = words[at].holes.iter();
                code.extend(holes.map(|hole| (*hole, Language::Arithmetic)));
            }
            if let Some((at, language)) = script_word(&texts) {
                let written = self.written_in(words[at]);
                code.extend(written.into_iter().map(|hole| (hole, language)));
            }
            if let Some(language) = executes_input(&texts) {
                let read = self.read_by(command);
                code.extend(read.into_iter().map(|hole| (hole, language)));
            }
        }
        let computed = self.arithmetic.iter();
        code.extend(computed.map(|hole| (*hole, Language::Arithmetic)));
        // What is executed for another reason, too, is reported for that.
        code.sort_unstable();
        code.dedup_by_key(|(hole, _)| *hole);
        code
    }

    /// The holes of a word, and of what its substitutions write.
    fn of_word(&self, word: &Word) -> Vec<usize> {
        let mut holes = word.holes.clone();
        holes.extend(self.written_in(word));
        holes
    }

    /// The holes of what the substitutions of a word write.
    fn written_in(&self, word: &Word) -> Vec<usize> {
        let lists = word.substitutions.iter().map(|list| &self.lists[*list]);
        let commands = lists.flat_map(|list| &list.commands);
        commands
            .flat_map(|command| self.written_by(&self.all[*command]))
            .collect()
    }

    /// The holes of what a command writes.
    fn written_by(&self, command: &Command) -> Vec<usize> {
        let mut holes = Vec::new();
        let mut writer = Some(command);
        while let Some(command) = writer {
            let words = command.own();
            let Some(name) = words.first().map(|word| base(&word.text)) else {
                break;
            };
            if WRITERS.contains(&name) || FILTERS.contains(&name) {
                holes.extend(self.input_of(command));
            }
            // What `cat` is given are names of files.
            if WRITERS.contains(&name) && name != "cat" {
                holes.extend(words.iter().flat_map(|word| self.of_word(word)));
            }
            let piped = command.pipe.and_then(|pipe| self.all.get(pipe));
            writer = piped.filter(|_| FILTERS.contains(&name));
        }
        holes
    }

    /// The holes of what a command reads.
    fn read_by(&self, command: &Command) -> Vec<usize> {
        let mut holes = self.input_of(command);
        if let Some(writer) = command.pipe.and_then(|pipe| self.all.get(pipe)) {
            holes.extend(self.written_by(writer));
        }
        holes
    }

    /// The holes of its here-documents, and of what its input is redirected from.
    fn input_of(&self, command: &Command) -> Vec<usize> {
        let mut holes = command.input.clone();
        for word in &command.words {
            match word.redirect.as_str() {
                "<<<" => holes.extend(self.of_word(word)),
                "<" => holes.extend(self.written_in(word)),
                _ => {}
            }
        }
        holes
    }
}

impl Command {
    /// Its name and arguments, without what stands around them.
    fn own(&self) -> Vec<&Word> {
        let words = self.words.iter().filter(|word| word.redirect.is_empty());
        words.skip_while(|word| stands_before(word)).collect()
    }

    /// Words before its name that set a variable which some program executes.
    fn executed_variables(&self) -> impl Iterator<Item = &Word> {
        let words = self.words.iter().filter(|word| word.redirect.is_empty());
        let before = words.take_while(|word| stands_before(word));
        before.filter(|word| assigned(&word.text).is_some_and(is_executed_variable))
    }
}

/// Whether a word stands before a command's name.
fn stands_before(word: &Word) -> bool {
    RESERVED.contains(&&*word.text) || assigned(&word.text).is_some()
}

/// The name of the variable that a word `NAME=…` or `NAME+=…` sets.
fn assigned(word: &str) -> Option<&str> {
    let (name, _) = word.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(name)
}
