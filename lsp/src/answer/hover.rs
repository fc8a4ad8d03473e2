//! Hover: the meaning of the word at a position.

use gen_lsp_types::{Contents, Hover, MarkupContent, MarkupKind, Position};
use konductor_dsl::{Span, TokenKind, ast, tokens};

use crate::analysis::Analysis;
use crate::answer::lens::Facts;
use crate::names::{Kind, Symbol};
use crate::words::{self, Place, Word};

/// Describes the name, the attribute or the word of the language at a position.
pub(crate) fn at(analysis: &Analysis, position: Position) -> Option<Hover> {
    let offset = analysis.offset(position);
    let (span, text) = match analysis.names.at(offset) {
        Some(occurrence) => {
            let symbol = analysis.names.symbols.get(occurrence.symbol)?;
            (occurrence.span, described(analysis, symbol))
        }
        None => attribute(analysis, offset)
            .or_else(|| every(analysis, offset))
            .or_else(|| keyword(analysis, offset))?,
    };
    Some(Hover {
        contents: Contents::MarkupContent(MarkupContent {
            kind: MarkupKind::Markdown,
            value: text,
        }),
        range: Some(analysis.range(span)),
    })
}

/// A symbol: how it is declared, and what becomes of it.
fn described(analysis: &Analysis, symbol: &Symbol) -> String {
    let declaration = head(analysis, symbol);
    let mut text = format!("```kon\n{declaration}\n```");
    let mut more = Vec::new();
    if let Kind::Stage | Kind::Approval = symbol.kind {
        let facts = Facts::of(analysis).map(|facts| facts.about(&symbol.name));
        more.push(facts.unwrap_or_default().join(", "));
    }
    let owner = symbol
        .owner
        .and_then(|owner| analysis.names.symbols.get(owner));
    if let Some(owner) = owner {
        more.push(format!("of {} `{}`", owner.kind.word(), owner.name));
    }
    more.push(words::becomes(symbol.kind, is_fan_out(analysis, symbol)).to_owned());
    for part in more.iter().filter(|part| !part.is_empty()) {
        text.push_str("\n\n");
        text.push_str(part);
    }
    text
}

/// Whether a stage has `for`: it is the owner of a loop variable.
fn is_fan_out(analysis: &Analysis, stage: &Symbol) -> bool {
    let names = &analysis.names;
    let at = names.declared_at(stage.declared);
    at.is_some()
        && names
            .of_kind(Kind::Loop)
            .any(|(_, variable)| variable.owner == at)
}

/// The `*` of an address.
fn every(analysis: &Analysis, offset: u32) -> Option<(Span, String)> {
    let mut all = analysis.names.every.iter();
    let is_here = |span: &&Span| span.source.0 == 0 && span.start <= offset && offset <= span.end;
    Some((*all.find(is_here)?, described_word(&words::EVERY)))
}

/// A word of the language, such as `after`.
fn keyword(analysis: &Analysis, offset: u32) -> Option<(Span, String)> {
    let text = analysis.text();
    let offset = offset as usize;
    let mut near = tokens(text).skip_while(|token| token.end < offset);
    let token = near.find(|token| token.kind == TokenKind::Word)?;
    if offset < token.start {
        return None;
    }
    let word = words::keyword(token.text(text))?;
    let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    let span = Span {
        start: at(token.start),
        end: at(token.end),
        ..Span::default()
    };
    Some((span, described_word(word)))
}

/// A declaration up to its body.
pub(crate) fn head(analysis: &Analysis, symbol: &Symbol) -> String {
    let source = analysis.source(symbol.whole.source);
    let whole = source.map_or("", |source| source.slice(symbol.whole));
    let is_short = matches!(
        symbol.kind,
        Kind::Param | Kind::Argument | Kind::Loop | Kind::Semaphore | Kind::Lease | Kind::Workspace
    );
    let head = match is_short {
        true => whole,
        false => whole.split('{').next().unwrap_or(whole),
    };
    head.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An attribute, where its key stands.
fn attribute(analysis: &Analysis, offset: u32) -> Option<(Span, String)> {
    let file = analysis.root()?;
    let mut description = None;
    let mut look = |key: &ast::Key, place: Place| {
        if key.span.start <= offset && offset <= key.span.end {
            let mut attributes = words::attributes(place).iter();
            let word = attributes.find(|word| word.name == key.text);
            description = word.map(|word| (key.span, described_word(word)));
        }
    };
    for template in &file.templates {
        body(&template.body, &mut look);
    }
    for item in file.pipelines.iter().flat_map(|pipeline| &pipeline.items) {
        match item {
            ast::Item::Stage(stage) => body(&stage.body, &mut look),
            ast::Item::Defaults(defaults) => body(&defaults.body, &mut look),
            ast::Item::Attribute(attribute) => {
                look(&attribute.key, Place::Pipeline);
                if let ("store", ast::Value::Map(inside)) = (&*attribute.key.text, &attribute.value)
                {
                    map(Some(inside), Place::Store, &mut look);
                }
            }
            ast::Item::Approval(approval) => {
                map(approval.attributes.as_ref(), Place::Approval, &mut look)
            }
            ast::Item::Schedule(schedule) => {
                map(schedule.attributes.as_ref(), Place::Schedule, &mut look)
            }
            ast::Item::Resource(resource) => {
                let place = match resource.kind.value {
                    ast::ResourceKind::Semaphore => Place::Semaphore,
                    ast::ResourceKind::Lease => Place::Lease,
                    ast::ResourceKind::Workspace => Place::Workspace,
                };
                map(resource.attributes.as_ref(), place, &mut look);
            }
            ast::Item::Param(_) => {}
        }
    }
    description
}

fn body(body: &ast::Body, look: &mut dyn FnMut(&ast::Key, Place)) {
    for item in &body.items {
        let ast::BodyItem::Attribute(attribute) = item else {
            continue;
        };
        look(&attribute.key, Place::Body);
        let inner = match attribute.key.text.as_str() {
            "resources" => Place::Resources,
            "node" => Place::Node,
            _ => continue,
        };
        if let ast::Value::Map(inside) = &attribute.value {
            map(Some(inside), inner, look);
        }
    }
}

fn map(map: Option<&ast::Map>, place: Place, look: &mut dyn FnMut(&ast::Key, Place)) {
    let entries = map.into_iter().flat_map(|map| &map.entries);
    entries.for_each(|entry| look(&entry.key, place));
}

/// A word with what it means, in Markdown.
pub(crate) fn described_word(word: &Word) -> String {
    match word.shape {
        "" => format!("`{}`\n\n{}", word.name, word.meaning),
        shape => format!("`{}`: `{shape}`\n\n{}", word.name, word.meaning),
    }
}
