//! K0330: a value that an interpreter would execute as code.

use foldhash::HashSet;
use konductor_dsl::{Code, Diagnostic, Span, ast};

use crate::eval::Values;
use crate::interpreter::{HOLE, Language, base, code_words, is_executed_variable};
use crate::pipeline::script::Script;
use crate::pipeline::{
    Action, Body, EnvValue, Mount, Node, Piece, Pipeline, Reference, Source, Stage, Term, Text,
};
use crate::value::is_one_shell_word;

/// Items of a fan-out whose command lines are looked at: the words of others look alike.
const ITEMS_LOOKED_AT_MAX: usize = 1_000;

/// Reports values in code of every stage's command line, and of those in its YAML.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let mut reported = HashSet::default();
    for stage in &pipeline.stages {
        let mut lines = Lines {
            pipeline,
            stage,
            main: match &stage.body.action {
                Some(Action::Exec(words)) => words.iter().map(Word::Text).collect(),
                // What follows a script are its positional parameters.
                Some(Action::Run(_)) => vec![Word::Plain("sh"), Word::Plain("-c"), Word::Plain("")],
                None => Vec::new(),
            },
            references: Vec::new(),
        };
        let main = lines.main.clone();
        lines.line(&main);
        for (name, value) in stage.body.env.iter() {
            if let EnvValue::Text(text) = value {
                lines.variable(name, Word::Text(text));
            }
        }
        for block in &stage.body.passthrough {
            lines.node(&block.root);
        }
        for (reference, language) in lines.references {
            let use_id = match &reference.source {
                Source::Argument { use_id, .. } => Some(*use_id),
                _ => None,
            };
            if reported.insert((reference.span, use_id)) {
                diagnostics.push(report(reference, reference.span, language, false));
            }
        }
    }
}

/// Reports values of a script that one of its commands would execute. `code` are its holes that are
/// code, by place.
pub(crate) fn of_script<'a>(
    script: &'a Script,
    body: &'a Body,
    code: &'a [(usize, Language)],
) -> impl Iterator<Item = Diagnostic> + 'a {
    let references = script.text.references().zip(&script.holes).enumerate();
    references.filter_map(|(place, (reference, hole))| {
        let (_, language) = code.iter().find(|(at, _)| *at == place)?;
        let is_safe = match language {
            // The operator checks that an output is the number that it is declared to be.
            Language::Arithmetic => is_one_word(reference, &body.mounts),
            _ => is_harmless(reference, &body.mounts),
        };
        (!is_safe).then(|| report(reference, hole.span, *language, true))
    })
}

/// The command lines of one stage.
struct Lines<'a> {
    pipeline: &'a Pipeline,
    stage: &'a Stage,
    /// Of its container, as far as it is known.
    main: Vec<Word<'a>>,
    references: Vec<(&'a Reference, Language)>,
}

/// A word of a command line.
#[derive(Clone, Copy)]
enum Word<'a> {
    Text(&'a Text),
    Plain(&'a str),
}

impl<'a> Word<'a> {
    fn of(node: &'a Node) -> Option<Self> {
        match node {
            Node::Text { text, .. } => Some(Self::Text(text)),
            Node::Json(serde_json::Value::String(text)) => Some(Self::Plain(text)),
            _ => None,
        }
    }

    fn list(node: Option<&'a Node>) -> Option<Vec<Self>> {
        match node? {
            Node::List(nodes) => Some(nodes.iter().filter_map(Self::of).collect()),
            _ => None,
        }
    }

    fn references(self) -> impl Iterator<Item = &'a Reference> {
        let text = match self {
            Self::Text(text) => Some(text),
            Self::Plain(_) => None,
        };
        text.into_iter().flat_map(Text::references)
    }

    /// What it is, with a mark for what is not known.
    fn text(self, values: Values<'_>) -> String {
        match self {
            Self::Plain(text) => text.to_owned(),
            Self::Text(text) => {
                let mut whole = String::new();
                for piece in &text.pieces {
                    match piece {
                        Piece::Literal(literal) => whole.push_str(literal),
                        Piece::Reference(reference) => match values.source(&reference.source) {
                            Some(value) => whole.push_str(&value.text()),
                            None => whole.push(HOLE),
                        },
                    }
                }
                whole
            }
        }
    }
}

impl<'a> Lines<'a> {
    /// Looks at every command line in a part of the YAML.
    fn node(&mut self, node: &'a Node) {
        match node {
            Node::Json(_) | Node::Text { .. } => {}
            Node::List(nodes) => nodes.iter().for_each(|node| self.node(node)),
            Node::Map(members) => {
                let command = Word::list(node.get("command"));
                let arguments = Word::list(node.get("args"));
                if command.is_some() || arguments.is_some() {
                    self.container(node, command, arguments.unwrap_or_default());
                }
                let [name, value] = ["name", "value"].map(|key| node.get(key).and_then(Word::of));
                if let (Some(Word::Plain(name)), Some(value)) = (name, value) {
                    self.variable(name, value);
                }
                members.iter().for_each(|(_, node)| self.node(node));
            }
        }
    }

    /// Looks at the value of an environment variable.
    fn variable(&mut self, name: &str, value: Word<'a>) {
        if is_executed_variable(name) {
            let mounts = &self.stage.body.mounts;
            let references = value.references().filter(|r| !is_harmless(r, mounts));
            self.references
                .extend(references.map(|reference| (reference, Language::Variable)));
        }
    }

    fn container(
        &mut self,
        node: &'a Node,
        command: Option<Vec<Word<'a>>>,
        arguments: Vec<Word<'a>>,
    ) {
        let is_main = matches!(
            node.get("name").and_then(Word::of),
            Some(Word::Plain("main"))
        );
        let image = match node.get("image").and_then(Word::of) {
            Some(Word::Plain(image)) => Some(image),
            _ => None,
        };
        let mut line = match command {
            Some(command) => command,
            None if is_main && !self.main.is_empty() => self.main.clone(),
            // An image that is called like an interpreter most likely starts it.
            None => {
                let own = self.stage.body.image.as_ref().filter(|_| is_main);
                let image = image.or_else(|| own.and_then(Text::plain));
                image.map(program_of).into_iter().map(Word::Plain).collect()
            }
        };
        if is_main {
            self.main.clone_from(&line);
        }
        line.extend(arguments);
        self.line(&line);
    }

    /// Looks at one command line.
    fn line(&mut self, words: &[Word<'a>]) {
        let mounts = &self.stage.body.mounts;
        let is_unsafe = |word: &Word<'a>| word.references().any(|r| !is_harmless(r, mounts));
        if !words.iter().any(is_unsafe) {
            return;
        }
        let items = self.stage.items.as_deref().unwrap_or_default();
        let items = items.iter().take(ITEMS_LOOKED_AT_MAX);
        let mut items: Vec<&[_]> = items.map(|item| item.values.as_slice()).collect();
        if items.is_empty() {
            items.push(&[]);
        }
        for item in items {
            let values = Values {
                params: &self.pipeline.params,
                item,
            };
            let texts: Vec<String> = words.iter().map(|word| word.text(values)).collect();
            for (at, language) in code_words(&texts) {
                let references = words[at].references();
                let references = references.filter(|r| !is_harmless(r, mounts));
                self.references
                    .extend(references.map(|reference| (reference, language)));
            }
        }
    }
}

/// `registry/python:3.13` most likely starts `python`.
fn program_of(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    base(name.split([':', '@']).next().unwrap_or(name))
}

/// Whether what a loop goes over is written out as texts that a shell takes for one word each, and as nothing else.
pub(crate) fn is_of_plain_words(variable: &ast::Loop) -> bool {
    let ast::Over::List(list) = &variable.over else {
        return false;
    };
    list.items.iter().all(|item| match item {
        ast::Value::String(text) => text.plain().is_some_and(|text| is_one_shell_word(&text)),
        _ => false,
    })
}

/// Whether a value is one word for a shell, also where it stands without quotes.
pub(super) fn is_one_word(reference: &Reference, mounts: &[Mount]) -> bool {
    match &reference.source {
        Source::Constant { .. } | Source::Workspace { .. } | Source::Loop { .. } => {
            is_harmless(reference, mounts)
        }
        _ => reference.ty.is_one_shell_word(),
    }
}

/// Whether a value can't be code, whatever it is: a number, one of several plain words, or what is
/// written in the source.
fn is_harmless(reference: &Reference, mounts: &[Mount]) -> bool {
    match &reference.source {
        Source::Constant { .. }
        | Source::OwnOutput { .. }
        | Source::Token { .. }
        | Source::RunOutcome => true,
        // The path of a file is konductor's own.
        Source::Output { .. } => reference.ty.is_file(),
        Source::Workspace { workspace } => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            let paths = mounts.iter().filter(|mount| mount.workspace == *workspace);
            paths
                .into_iter()
                .all(|mount| mount.path.chars().all(is_plain))
        }
        Source::Loop { is_plain, .. } => *is_plain || reference.ty.is_one_shell_word(),
        Source::Param { .. } => reference.ty.is_one_shell_word(),
        Source::Argument { name, value, .. } => match &**value {
            Term::Every | Term::Unknown => true,
            // A field of a record may come from anywhere.
            Term::Value(_) => !name.contains('.') || reference.ty.is_one_shell_word(),
            Term::Reference(inner) => is_harmless(inner, mounts),
            Term::Text(text) => text.references().all(|inner| is_harmless(inner, mounts)),
            Term::List(_) => false,
        },
    }
}

fn report(reference: &Reference, span: Span, language: Language, in_script: bool) -> Diagnostic {
    let who = match language {
        Language::Shell => "a shell",
        Language::Eval => "the shell",
        Language::Remote => "a shell on the other machine",
        Language::Python => "Python",
        Language::Node => "Node",
        Language::Perl => "Perl",
        Language::Ruby => "Ruby",
        Language::Awk => "awk",
        Language::Sed => "sed",
        Language::Arithmetic => "the shell's arithmetic",
        Language::Command => "this command",
        Language::Variable => "what reads this variable",
        Language::Other => "an interpreter",
    };
    let diagnostic = Diagnostic::error(
        Code::K0330,
        span,
        format!("{who} would execute this value as code"),
    )
    .here("whoever chooses the value chooses the program")
    .help(help(language, in_script));
    match &reference.source {
        Source::Argument { use_id, .. } => diagnostic.label(*use_id, "the value is given here"),
        _ => diagnostic,
    }
}

fn help(language: Language, in_script: bool) -> &'static str {
    match (language, in_script) {
        (Language::Shell, false) => {
            "write the script as `run = \"…\"`, with `shell = \"bash\"` for bash: there a value is \
             never code; or add it as an argument behind the script's name and read `\"$1\"`"
        }
        (Language::Shell, true) => {
            "write the commands in `run` itself, or read `\"$1\"`: `sh -c '…' sh \"${…}\"`"
        }
        (Language::Eval, _) => "leave out the word that makes text a command, and run the command",
        (Language::Remote, _) => {
            "send the value on standard input, and let the command there `read` it"
        }
        (Language::Python, _) => {
            "add the value as an argument behind the code and read `sys.argv[1]`, or use \
             `shell = \"python3\"` and `env`"
        }
        (Language::Node, _) => {
            "add the value as an argument behind the code and read `process.argv[1]`, or use \
             `shell = \"node\"` and `env`"
        }
        (Language::Perl, _) => "add the value as an argument behind the code and read `$ARGV[0]`",
        (Language::Ruby, _) => "add the value as an argument behind the code and read `ARGV[0]`",
        (Language::Awk, _) => {
            "write `env { VALUE = … }` and read `ENVIRON[\"VALUE\"]` in the program"
        }
        (Language::Arithmetic, _) => {
            "declare it as `int`; to compare texts write `[ \"${…}\" = … ]`, and to compare numbers \
             `[ \"${…}\" -eq … ]`, with single brackets"
        }
        (Language::Sed, _) => {
            "add `--sandbox`, with which GNU's sed runs nothing, or use awk and its `ENVIRON`"
        }
        (Language::Command, _) => {
            "name the program and its settings in the pipeline, and let the program read the value \
             from an environment variable: `env { VALUE = … }`"
        }
        (Language::Variable, _) => {
            "write this variable without a value, and give the value a variable of another name"
        }
        (Language::Other, _) => "write `env { VALUE = … }` and read the variable in the program",
    }
}
