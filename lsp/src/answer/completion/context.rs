//! What could be written at a place, by the words before it.
//!
//! What enters: any text, and a byte of it. What leaves: in which braces the place is, which clause or
//! value it continues, and what stands before it. What must never happen here: a need for the text to be
//! right; while somebody types, it is not.

use konductor_dsl::ast::YamlKind;
use konductor_dsl::{Token, TokenKind, tokens};

use super::yaml;
use crate::words::Place;

/// The braces around a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Block {
    /// None: the file itself.
    #[default]
    File,
    /// Those of a declaration, or of a map with known keys.
    In(Place),
    /// The arguments of a template.
    Use(String),
    /// A map whose keys are free, or something else.
    Other,
}

/// What is continued at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Something new begins.
    #[default]
    Item,
    /// A header, behind the name.
    Header,
    /// A clause of a header, by its word.
    Clause(&'static str),
    /// The value of an attribute.
    Value(String),
    /// `${…`
    Hole,
    /// A key in a `pod` or `job` block, and the keys around it.
    Yaml(YamlKind, Vec<String>),
    /// Behind `:`, a type.
    Type,
    /// Behind `mount`.
    Mount,
    /// Behind `use`.
    Template,
    /// The name of something new, a comment, or a text: nothing is known.
    Nothing,
}

/// What is known of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) block: Block,
    pub(crate) state: State,
    /// The names before the last dots: of `load.ro`, `load`.
    pub(crate) path: Vec<String>,
    /// The stage whose header or body it is.
    pub(crate) stage: Option<String>,
    /// The last key before `=`.
    pub(crate) key: Option<String>,
    /// The word before the innermost open parenthesis, if it takes arguments.
    pub(crate) call: Option<&'static str>,
    /// How many commas are behind that parenthesis.
    pub(crate) argument: usize,
    /// The clauses that the header has.
    pub(crate) clauses: Vec<&'static str>,
}

const CLAUSES: [&str; 7] = [
    "after", "for", "holding", "max", "parallel", "quorum", "when",
];
const CALLS: [&str; 6] = ["any", "barrier", "config", "gate", "pipeline", "secret"];

/// What could be written at a byte of a text.
pub(crate) fn context(text: &str, offset: usize) -> Context {
    let before = text.get(..offset).unwrap_or(text);
    // What is being written is no part of what stands before it.
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let written = before.len() - before.trim_end_matches(is_of_word).len();
    let all: Vec<Token> = tokens(before).collect();
    let mut reader = Reader::default();
    if let Some(last) = all.last() {
        let inside = before.get(last.start..).unwrap_or_default();
        match last.kind {
            TokenKind::Comment if !inside.contains('\n') => {
                reader.context.state = State::Nothing;
                return reader.context;
            }
            TokenKind::Unclosed if last.end == before.len() => {
                let outer = all.get(..all.len() - 1).unwrap_or_default();
                reader.read(before, outer);
                let word = outer.last().map_or("", |token| token.text(before));
                return in_text(inside, word, reader.context);
            }
            _ => {}
        }
    }
    let whole: Vec<Token> = all
        .into_iter()
        .filter(|token| token.kind != TokenKind::Comment)
        .filter(|token| token.start < before.len() - written)
        .collect();
    let (path, rest) = path_before(before, &whole);
    reader.read(before, rest);
    reader.context.path = path;
    reader.context
}

/// Within a text: a reference, if one was begun, or a key of YAML.
fn in_text(inside: &str, word: &str, context: Context) -> Context {
    let hole = inside.rsplit_once("${").map(|(_, hole)| hole);
    let open = hole.filter(|hole| !hole.contains('}') && !inside.ends_with("$${"));
    let Some(hole) = open else {
        let kind = match word {
            "pod" => Some(YamlKind::Pod),
            "job" => Some(YamlKind::Job),
            _ => None,
        };
        let yaml = inside.strip_prefix("\"\"\"").and_then(yaml::path);
        let state = kind.zip(yaml).map(|(kind, path)| State::Yaml(kind, path));
        return Context {
            state: state.unwrap_or(State::Nothing),
            ..context
        };
    };
    let mut path: Vec<String> = hole.split('.').map(str::to_owned).collect();
    path.pop();
    Context {
        state: State::Hole,
        path,
        ..context
    }
}

/// The names before the last dots, and the tokens before them.
fn path_before<'t>(text: &str, tokens: &'t [Token]) -> (Vec<String>, &'t [Token]) {
    let mut path = Vec::new();
    let mut rest = tokens;
    while let [before @ .., name, dot] = rest {
        let is_path = dot.text(text) == "." && name.end == dot.start;
        let is_name = name.kind == TokenKind::Word || name.text(text) == "]";
        if !is_path || !is_name {
            break;
        }
        let mut start = before.len();
        if name.text(text) == "]" {
            // `load[i].`
            let open = before.iter().rposition(|token| token.text(text) == "[");
            let Some(head) = open.and_then(|open| open.checked_sub(1)) else {
                break;
            };
            start = head;
            path.insert(0, before[head].text(text).to_owned());
        } else {
            path.insert(0, name.text(text).to_owned());
        }
        rest = tokens.get(..start).unwrap_or_default();
    }
    (path, rest)
}

#[derive(Default)]
struct Reader<'t> {
    context: Context,
    /// Braces around the current ones, each with the stage that it belongs to.
    outer: Vec<(Block, Option<String>)>,
    /// Parentheses and brackets: the word before each, and how many commas are behind it.
    round: Vec<(Option<&'static str>, usize)>,
    /// What the next `{` opens.
    next: Block,
    /// The name of the header.
    header: Option<String>,
    /// The two words before.
    last: [&'t str; 2],
}

impl<'t> Reader<'t> {
    fn read(&mut self, text: &'t str, tokens: &[Token]) {
        for token in tokens {
            let word = token.text(text);
            match token.kind {
                TokenKind::Open if word == "{" => self.open(),
                TokenKind::Close if word == "}" => self.close(),
                TokenKind::Open => {
                    let call = CALLS.iter().find(|call| **call == self.last[1]);
                    self.round.push((call.copied().filter(|_| word == "("), 0));
                }
                TokenKind::Close => {
                    self.round.pop();
                    self.value_ends();
                }
                TokenKind::Word => self.word(word),
                TokenKind::String => self.value_ends(),
                TokenKind::Other => self.sign(word),
                TokenKind::Unclosed | TokenKind::Comment => {}
            }
            self.last = [self.last[1], word];
        }
        let innermost = self.round.last().copied().unwrap_or_default();
        (self.context.call, self.context.argument) = innermost;
        if self.next == Block::In(Place::Body) && self.header.is_some() {
            self.context.stage.clone_from(&self.header);
        }
    }

    fn open(&mut self) {
        let block = std::mem::replace(&mut self.next, Block::Other);
        let header = self
            .header
            .take()
            .filter(|_| block == Block::In(Place::Body));
        let stage = header.or_else(|| self.context.stage.clone());
        let before = std::mem::replace(&mut self.context.block, block);
        self.outer.push((before, self.context.stage.take()));
        self.context.stage = stage;
        self.begin();
    }

    fn close(&mut self) {
        let (block, stage) = self.outer.pop().unwrap_or_default();
        self.context.block = block;
        self.context.stage = stage;
        self.begin();
    }

    /// Something new begins.
    fn begin(&mut self) {
        self.context.state = State::Item;
        self.context.key = None;
        self.context.clauses.clear();
        self.round.clear();
        self.next = Block::Other;
    }

    /// A value is complete, so that another attribute may begin.
    fn value_ends(&mut self) {
        if self.round.is_empty() && matches!(self.context.state, State::Value(_) | State::Type) {
            self.context.state = State::Item;
        }
    }

    fn word(&mut self, word: &str) {
        let is_header = matches!(self.context.state, State::Header | State::Clause(_));
        if is_header && let Some(clause) = CLAUSES.iter().find(|clause| **clause == word) {
            self.context.state = State::Clause(clause);
            self.context.clauses.push(clause);
            return;
        }
        match self.context.state {
            State::Nothing => {
                // The name of what is declared.
                self.context.state = State::Header;
                self.header = Some(word.to_owned());
                return;
            }
            State::Template => {
                self.next = Block::Use(word.to_owned());
                self.context.state = State::Item;
                return;
            }
            State::Mount => {
                self.context.state = State::Item;
                return;
            }
            State::Clause(_) if !matches!(word, "stage" | "finally" | "param" | "template") => {
                return;
            }
            State::Value(_) | State::Type => {
                self.value_ends();
                return;
            }
            _ => {}
        }
        let (next, state) = match word {
            "pipeline" => (Block::In(Place::Pipeline), State::Nothing),
            "template" | "stage" => (Block::In(Place::Body), State::Nothing),
            "defaults" => (Block::In(Place::Body), State::Header),
            "semaphore" => (Block::In(Place::Semaphore), State::Nothing),
            "lease" => (Block::In(Place::Lease), State::Nothing),
            "workspace" => (Block::In(Place::Workspace), State::Nothing),
            "approval" => (Block::In(Place::Approval), State::Nothing),
            "schedule" => (Block::In(Place::Schedule), State::Item),
            "param" | "output" => (Block::Other, State::Nothing),
            "store" => (Block::In(Place::Store), State::Item),
            "resources" => (Block::In(Place::Resources), State::Item),
            "node" => (Block::In(Place::Node), State::Item),
            "use" => (Block::Other, State::Template),
            "mount" => (Block::Other, State::Mount),
            _ => return,
        };
        self.next = next;
        self.context.state = state;
    }

    fn sign(&mut self, sign: &str) {
        match sign {
            "=" if self.context.state == State::Item || self.context.state == State::Header => {
                let key = self.last[1].to_owned();
                self.context.key = Some(key.clone());
                self.context.state = State::Value(key);
            }
            ":" if self.context.state == State::Header => self.context.state = State::Type,
            "," => match self.round.last_mut() {
                Some((_, commas)) => *commas += 1,
                None => self.value_ends(),
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_before_a_place_say_what_could_be_there() {
        let table: [(&str, Block, State); 28] = [
            ("|", Block::File, State::Item),
            ("pipeline p { |", Block::In(Place::Pipeline), State::Item),
            (
                "pipeline p { timeout = |",
                Block::In(Place::Pipeline),
                State::Value("timeout".into()),
            ),
            (
                "pipeline p { timeout = 6h |",
                Block::In(Place::Pipeline),
                State::Item,
            ),
            (
                "pipeline p { param a: |",
                Block::In(Place::Pipeline),
                State::Type,
            ),
            (
                "pipeline p { param a: int = |",
                Block::In(Place::Pipeline),
                State::Value("int".into()),
            ),
            (
                "pipeline p { stage |",
                Block::In(Place::Pipeline),
                State::Nothing,
            ),
            (
                "pipeline p { stage a |",
                Block::In(Place::Pipeline),
                State::Header,
            ),
            (
                "pipeline p { stage a aft|",
                Block::In(Place::Pipeline),
                State::Header,
            ),
            (
                "pipeline p { stage a after |",
                Block::In(Place::Pipeline),
                State::Clause("after"),
            ),
            (
                "pipeline p { stage a after b, c|",
                Block::In(Place::Pipeline),
                State::Clause("after"),
            ),
            (
                "pipeline p { stage a after b hold|",
                Block::In(Place::Pipeline),
                State::Clause("after"),
            ),
            (
                "pipeline p { stage a after b holding |",
                Block::In(Place::Pipeline),
                State::Clause("holding"),
            ),
            (
                "pipeline p { stage a when x == |",
                Block::In(Place::Pipeline),
                State::Clause("when"),
            ),
            (
                "pipeline p { stage a { |",
                Block::In(Place::Body),
                State::Item,
            ),
            (
                "pipeline p { stage a { image = \"b:1\", |",
                Block::In(Place::Body),
                State::Item,
            ),
            (
                "pipeline p { stage a { image = \"b:1\"\n  ru|",
                Block::In(Place::Body),
                State::Item,
            ),
            (
                "pipeline p { stage a { run = \"x ${|",
                Block::In(Place::Body),
                State::Hole,
            ),
            (
                "pipeline p { stage a { run = \"\"\"\n x ${da|",
                Block::In(Place::Body),
                State::Hole,
            ),
            (
                "pipeline p { stage a { run = \"x |",
                Block::In(Place::Body),
                State::Nothing,
            ),
            (
                "pipeline p { stage a { mount |",
                Block::In(Place::Body),
                State::Mount,
            ),
            (
                "pipeline p { stage a { use |",
                Block::In(Place::Body),
                State::Template,
            ),
            (
                "pipeline p { stage a { use t { |",
                Block::Use("t".into()),
                State::Item,
            ),
            (
                "pipeline p { stage a { resources { |",
                Block::In(Place::Resources),
                State::Item,
            ),
            ("pipeline p { # stage a |", Block::File, State::Nothing),
            (
                "pipeline p { stage a { pod \"\"\"\n  host|",
                Block::In(Place::Body),
                State::Yaml(YamlKind::Pod, Vec::new()),
            ),
            (
                "pipeline p { stage a { job \"\"\"\n  spec:\n    |",
                Block::In(Place::Body),
                State::Yaml(YamlKind::Job, vec!["spec".into()]),
            ),
            (
                "pipeline p { stage a { pod \"\"\"\n  nodeName: ${|",
                Block::In(Place::Body),
                State::Hole,
            ),
        ];
        for (text, block, state) in table {
            let (before, _) = text.split_once('|').expect("a place");
            let context = context(before, before.len());
            assert_eq!((context.block, context.state), (block, state), "{text}");
        }
    }

    #[test]
    fn paths_calls_and_stages_are_found() {
        let at = |text: &str| context(text, text.len());
        let context = at("pipeline p { stage a { run = \"${load.ro");
        assert_eq!(
            (context.path, context.stage),
            (vec!["load".to_owned()], Some("a".to_owned()))
        );
        let context = at("pipeline p { stage a after load[i].fa");
        assert_eq!(context.path, ["load"]);
        assert_eq!(context.clauses, ["after"]);
        let context = at("pipeline p { stage a { env { A = secret(\"b\", ");
        assert_eq!((context.call, context.argument), (Some("secret"), 1));
        let context = at("pipeline p { stage a { run = \"x\" } stage b after any(");
        assert_eq!(
            (context.call, context.stage),
            (Some("any"), Some("b".to_owned()))
        );
    }
}
