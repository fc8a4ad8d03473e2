//! Completion: what could be written at a place.

pub(crate) mod context;
mod yaml;

use gen_lsp_types::{
    CompletionItem, CompletionItemKind, Documentation, InsertTextFormat, MarkupContent, MarkupKind,
    Position,
};

use konductor_compiler::{KubeField, kube_fields};
use konductor_dsl::ast::YamlKind;

use self::context::{Block, Context, State, context};
use crate::analysis::Analysis;
use crate::answer::hover::{described_word, head};
use crate::names::{Kind, Symbol};
use crate::words::{self, Place, Word};

/// What could be written at a position.
pub(crate) fn at(analysis: &Analysis, position: Position) -> Vec<CompletionItem> {
    let offset = analysis.offset(position);
    let context = context(analysis.text(), offset as usize);
    let list = List {
        analysis,
        context: &context,
        offset,
    };
    match &context.state {
        State::Nothing => Vec::new(),
        State::Header => list.clauses(),
        State::Clause("after") if context.path.is_empty() => list.awaited(),
        State::Clause("after") => keywords(words::ENDS, CompletionItemKind::EnumMember),
        State::Clause("holding") => list.named(&[Kind::Semaphore, Kind::Lease]),
        State::Clause(_) | State::Hole => list.values(),
        State::Value(key) => list.value_of(key),
        State::Yaml(kind, path) => fields(*kind, path),
        State::Type => keywords(words::TYPES, CompletionItemKind::TypeParameter),
        State::Mount => list.named(&[Kind::Workspace]),
        State::Template => list.named(&[Kind::Template]),
        State::Item => list.items(),
    }
}

struct List<'a> {
    analysis: &'a Analysis,
    context: &'a Context,
    offset: u32,
}

impl List<'_> {
    /// The symbols of some kinds, without the stage at hand.
    fn named(&self, kinds: &[Kind]) -> Vec<CompletionItem> {
        let own = self.context.stage.as_deref();
        let symbols = self.analysis.names.symbols.iter();
        let symbols = symbols.filter(|symbol| kinds.contains(&symbol.kind));
        let others = symbols.filter(|symbol| {
            symbol.kind != Kind::Stage || own.is_none_or(|own| own != symbol.name)
        });
        others.map(|symbol| self.symbol(symbol)).collect()
    }

    fn symbol(&self, symbol: &Symbol) -> CompletionItem {
        let kind = match symbol.kind {
            Kind::Stage | Kind::Approval | Kind::Pipeline => CompletionItemKind::Function,
            Kind::Template => CompletionItemKind::Class,
            Kind::Output => CompletionItemKind::Field,
            Kind::Param | Kind::Argument => CompletionItemKind::Constant,
            Kind::Loop | Kind::Semaphore | Kind::Lease | Kind::Workspace => {
                CompletionItemKind::Variable
            }
        };
        CompletionItem {
            label: symbol.name.clone(),
            kind: Some(kind),
            detail: Some(head(self.analysis, symbol)),
            ..CompletionItem::default()
        }
    }

    /// The clauses that the header does not have yet.
    fn clauses(&self) -> Vec<CompletionItem> {
        let is_open = |word: &&Word| !self.context.clauses.contains(&word.name);
        let clauses: Vec<Word> = words::CLAUSES.iter().filter(is_open).copied().collect();
        keywords(&clauses, CompletionItemKind::Keyword)
    }

    /// What can be waited for, and the clauses that could follow.
    fn awaited(&self) -> Vec<CompletionItem> {
        let mut all = self.named(&[Kind::Stage, Kind::Approval]);
        let calls = ["any", "pipeline", "gate", "barrier"];
        all.extend(calls.map(|call| CompletionItem {
            label: format!("{call}(…)"),
            kind: Some(CompletionItemKind::Function),
            filter_text: Some(call.to_owned()),
            insert_text: Some(match call {
                "any" => "any($0)".to_owned(),
                call => format!("{call}(\"$0\")"),
            }),
            insert_text_format: Some(InsertTextFormat::Snippet),
            ..CompletionItem::default()
        }));
        all.extend(self.clauses());
        all
    }

    /// What has a value at the place: behind a dot, the fields of what is before it.
    fn values(&self) -> Vec<CompletionItem> {
        match self.context.path.as_slice() {
            [] => {
                let mut all = self.variables();
                all.extend(self.named(&[Kind::Param, Kind::Stage]));
                all.extend(words::ROOTS.map(|word| CompletionItem {
                    label: word.to_owned(),
                    kind: Some(CompletionItemKind::Module),
                    ..CompletionItem::default()
                }));
                if let State::Clause(_) = self.context.state {
                    all.extend(self.clauses());
                }
                all
            }
            [root] if root == "run" => keywords(words::RUN, CompletionItemKind::Field),
            [root] if root == "token" => self.named(&[Kind::Lease]),
            [root] if root == "workspace" => self.named(&[Kind::Workspace]),
            [root] if root == "output" => match &self.context.stage {
                Some(stage) => self.outputs_of(stage),
                None => Vec::new(),
            },
            [stage, ..] => self.outputs_of(stage.split('[').next().unwrap_or(stage)),
        }
    }

    /// What a stage hands on.
    fn outputs_of(&self, stage: &str) -> Vec<CompletionItem> {
        let names = &self.analysis.names;
        let mut stages = names.of_kind(Kind::Stage);
        let stage = stages.find(|(_, symbol)| symbol.name == stage);
        let outputs = names.of_kind(Kind::Output);
        let own = outputs
            .filter(|(_, output)| stage.is_some_and(|(stage, _)| output.owner == Some(stage)));
        own.map(|(_, output)| self.symbol(output)).collect()
    }

    /// The loop variables of the stage at hand, or the parameters of the template at hand.
    fn variables(&self) -> Vec<CompletionItem> {
        let symbols = &self.analysis.names.symbols;
        let is_here = |owner: usize| {
            let owner = symbols.get(owner);
            owner.is_some_and(|owner| {
                let span = owner.whole;
                span.source.0 == 0 && span.start <= self.offset && self.offset <= span.end
            })
        };
        let own = symbols.iter().filter(|symbol| {
            matches!(symbol.kind, Kind::Loop | Kind::Argument) && symbol.owner.is_some_and(is_here)
        });
        own.map(|symbol| self.symbol(symbol)).collect()
    }

    fn value_of(&self, key: &str) -> Vec<CompletionItem> {
        let words = words::values(key);
        if words.is_empty() {
            return self.values();
        }
        let item = |word: &&str| CompletionItem {
            label: (*word).to_owned(),
            kind: Some(CompletionItemKind::EnumMember),
            ..CompletionItem::default()
        };
        words.iter().map(item).collect()
    }

    /// What can begin in these braces.
    fn items(&self) -> Vec<CompletionItem> {
        let attributes = |place| {
            let words = words::attributes(place).iter();
            words.map(attribute).collect::<Vec<CompletionItem>>()
        };
        match &self.context.block {
            Block::File => keywords(words::DECLARATIONS, CompletionItemKind::Keyword),
            Block::In(Place::Pipeline) => {
                let mut all = keywords(words::ITEMS, CompletionItemKind::Keyword);
                all.extend(attributes(Place::Pipeline));
                all
            }
            Block::In(Place::Body) => {
                let mut all = attributes(Place::Body);
                all.extend(keywords(words::BODY_ITEMS, CompletionItemKind::Keyword));
                all
            }
            Block::In(place) => attributes(*place),
            Block::Use(name) => self.arguments(name),
            Block::Other => Vec::new(),
        }
    }

    /// The parameters of a template.
    fn arguments(&self, name: &str) -> Vec<CompletionItem> {
        let names = &self.analysis.names;
        let mut templates = names.of_kind(Kind::Template);
        let template = templates.find(|(_, symbol)| symbol.name == name);
        let all = names.of_kind(Kind::Argument);
        let own = all.filter(|(_, argument)| {
            template.is_some_and(|(template, _)| argument.owner == Some(template))
        });
        let with_sign = |item: CompletionItem| CompletionItem {
            insert_text: Some(format!("{} = ", item.label)),
            ..item
        };
        own.map(|(_, argument)| with_sign(self.symbol(argument)))
            .collect()
    }
}

/// An attribute, with `=` or braces behind it.
fn attribute(word: &Word) -> CompletionItem {
    let insert = match word.shape.starts_with('{') {
        true => format!("{} {{ $0 }}", word.name),
        false => format!("{} = $0", word.name),
    };
    CompletionItem {
        insert_text: Some(insert),
        insert_text_format: Some(InsertTextFormat::Snippet),
        ..of_word(word, CompletionItemKind::Property)
    }
}

/// The fields of Kubernetes at a place in a `pod` or `job` block.
fn fields(kind: YamlKind, path: &[String]) -> Vec<CompletionItem> {
    let fields = kube_fields(kind, path).into_iter();
    let item = |field: KubeField| CompletionItem {
        label: field.name.to_owned(),
        kind: Some(CompletionItemKind::Field),
        detail: Some(field.shape.to_owned()),
        documentation: Some(Documentation::String(field.meaning.to_owned())),
        insert_text: Some(format!("{}: ", field.name)),
        ..CompletionItem::default()
    };
    fields.map(item).collect()
}

fn keywords(words: &[Word], kind: CompletionItemKind) -> Vec<CompletionItem> {
    words.iter().map(|word| of_word(word, kind)).collect()
}

fn of_word(word: &Word, kind: CompletionItemKind) -> CompletionItem {
    CompletionItem {
        label: word.name.to_owned(),
        kind: Some(kind),
        detail: (!word.shape.is_empty()).then(|| word.shape.to_owned()),
        documentation: Some(Documentation::MarkupContent(MarkupContent {
            kind: MarkupKind::Markdown,
            value: described_word(word),
        })),
        ..CompletionItem::default()
    }
}
