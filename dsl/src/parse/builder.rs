//! The tree of a file, or of a piece of one, from the pairs that pest finds.

mod header;
mod value;

use konductor_grammar::{KonductorParser, Rule};
use pest::Parser as _;
use pest::iterators::{Pair, Pairs};

use crate::ast::*;
use crate::cut::Cut;
use crate::name;
use crate::slip::diagnose;
use crate::{Diagnostic, Source, SourceId, Span, Spanned};

type P<'i> = Pair<'i, Rule>;

/// Builds the tree. Recursion is bounded: brackets were counted before.
pub(crate) struct Builder {
    source: SourceId,
    /// Where the text that is parsed begins in the file.
    offset: u32,
    /// Where comments start and end in the file.
    comments: Vec<(u32, u32)>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Builder {
    /// A builder that has read nothing; `comments` are where comments start and end.
    pub(super) fn new(source: SourceId, comments: Vec<(u32, u32)>) -> Self {
        Self {
            source,
            offset: 0,
            comments,
            diagnostics: Vec::new(),
        }
    }

    /// Places in what is built next begin here.
    pub(crate) fn set_offset(&mut self, offset: usize) {
        self.offset = u32::try_from(offset).unwrap_or(u32::MAX);
    }

    fn span(&self, pair: &P<'_>) -> Span {
        let span = pair.as_span();
        let start = self.offset + u32::try_from(span.start()).unwrap_or(u32::MAX);
        let mut text = span.as_str();
        // A rule that ends in something optional has run over the blanks and comments before it.
        let end = loop {
            text = text.trim_end_matches([' ', '\t', '\r', '\n', '\u{FEFF}']);
            let end = start + u32::try_from(text.len()).unwrap_or(u32::MAX);
            let after = self.comments.partition_point(|comment| comment.1 < end);
            match self.comments.get(after) {
                Some((begin, stop)) if *stop == end && *begin >= start => {
                    text = text.cut(..(begin - start) as usize);
                }
                _ => break end,
            }
        };
        Span {
            source: self.source,
            start,
            end,
        }
    }

    /// Reads a file a few items at a time: pest's tokens take ten times the memory of what they are
    /// of.
    pub(super) fn file(&mut self, source: &Source) -> Result<File, Diagnostic> {
        let mut file = File {
            source: source.id,
            ..File::default()
        };
        let mut at = 0;
        while let Some(part) = self.next(source, Rule::next_declaration, &mut at)?.next() {
            match part.as_rule() {
                Rule::EOI => break,
                Rule::head => {
                    let pipeline = self.items(source, part, &mut at)?;
                    file.pipelines.push(pipeline);
                }
                _ => self.declaration(part, &mut file),
            }
        }
        Ok(file)
    }

    /// What begins at a place, which moves behind it.
    fn next<'i>(
        &mut self,
        source: &'i Source,
        rule: Rule,
        at: &mut usize,
    ) -> Result<Pairs<'i, Rule>, Diagnostic> {
        self.set_offset(*at);
        let parsed = KonductorParser::parse(rule, source.text.cut(*at..));
        let mut parts = parsed.map_err(|error| diagnose(source, &error, *at))?;
        if let Some(whole) = parts.next() {
            *at += whole.as_span().end();
            parts = whole.into_inner();
        }
        Ok(parts)
    }

    /// The pipeline whose head was read.
    fn items(
        &mut self,
        source: &Source,
        head: P<'_>,
        at: &mut usize,
    ) -> Result<Pipeline, Diagnostic> {
        let mut pipeline = self.pipeline(head);
        loop {
            for part in self.next(source, Rule::next_items, at)? {
                if part.as_rule() == Rule::close {
                    pipeline.span = pipeline.span.to(self.span(&part));
                    return Ok(pipeline);
                }
                pipeline.items.extend(self.item(part));
            }
        }
    }

    pub(crate) fn declaration(&mut self, pair: P<'_>, file: &mut File) {
        match pair.as_rule() {
            Rule::import => file.imports.push(self.import(pair)),
            Rule::template => file.templates.push(self.template(pair)),
            Rule::pipeline => file.pipelines.push(self.pipeline(pair)),
            _ => {}
        }
    }

    fn import(&mut self, pair: P<'_>) -> Import {
        let span = self.span(&pair);
        let path = self.one_string(pair.into_inner(), span);
        Import { path, span }
    }

    fn template(&mut self, pair: P<'_>) -> Template {
        let span = self.span(&pair);
        let mut template = Template {
            name: Name {
                text: String::new(),
                span,
            },
            params: Vec::new(),
            body: Body::default(),
            span,
        };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::ident => template.name = self.declared(&part),
                Rule::param_decl => template.params.push(self.param(part)),
                Rule::body => template.body = self.body(part),
                _ => {}
            }
        }
        template
    }

    fn pipeline(&mut self, pair: P<'_>) -> Pipeline {
        let span = self.span(&pair);
        let mut pipeline = Pipeline {
            name: Name {
                text: String::new(),
                span,
            },
            items: Vec::new(),
            unread: Vec::new(),
            span,
        };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::ident => pipeline.name = self.declared(&part),
                _ => pipeline.items.extend(self.item(part)),
            }
        }
        pipeline
    }

    pub(crate) fn item(&mut self, pair: P<'_>) -> Option<Item> {
        Some(match pair.as_rule() {
            Rule::param => {
                let span = self.span(&pair);
                let inner = pair
                    .into_inner()
                    .find(|part| part.as_rule() == Rule::param_decl)?;
                let param = self.param(inner);
                Item::Param(Box::new(Param { span, ..param }))
            }
            Rule::stage => Item::Stage(self.stage(pair)),
            Rule::approval => Item::Approval(self.approval(pair)),
            Rule::resource => Item::Resource(self.resource(pair)?),
            Rule::schedule => Item::Schedule(self.schedule(pair)),
            Rule::defaults => Item::Defaults(self.defaults(pair)),
            Rule::attribute => Item::Attribute(self.attribute(pair)?),
            _ => return None,
        })
    }

    fn param(&mut self, pair: P<'_>) -> Param {
        let span = self.span(&pair);
        let mut param = Param {
            name: Name {
                text: String::new(),
                span,
            },
            ty: Type {
                kind: TypeKind::Choice(Vec::new()),
                span,
            },
            default: None,
            span,
        };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::ident => param.name = self.declared(&part),
                Rule::type_ => param.ty = self.ty(part),
                _ => param.default = self.value(part),
            }
        }
        param
    }

    fn schedule(&mut self, pair: P<'_>) -> Schedule {
        let span = self.span(&pair);
        let mut attributes = None;
        let parts = pair.clone().into_inner();
        for part in parts.filter(|part| part.as_rule() == Rule::map) {
            attributes = Some(self.map(part));
        }
        let cron = self.one_string(pair.into_inner(), span);
        Schedule {
            cron,
            attributes,
            span,
        }
    }

    fn resource(&mut self, pair: P<'_>) -> Option<Resource> {
        let span = self.span(&pair);
        let (mut kind, mut name, mut attributes) = (None, None, None);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::resource_kind => {
                    let value = match part.as_str() {
                        "semaphore" => ResourceKind::Semaphore,
                        "lease" => ResourceKind::Lease,
                        _ => ResourceKind::Workspace,
                    };
                    kind = Some(Spanned {
                        value,
                        span: self.span(&part),
                    });
                }
                Rule::ident => name = Some(self.declared(&part)),
                Rule::map => attributes = Some(self.map(part)),
                _ => {}
            }
        }
        Some(Resource {
            kind: kind?,
            name: name?,
            attributes,
            span,
        })
    }

    fn approval(&mut self, pair: P<'_>) -> Approval {
        let span = self.span(&pair);
        let mut approval = Approval {
            name: Name {
                text: String::new(),
                span,
            },
            clauses: Vec::new(),
            attributes: None,
            span,
        };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::ident => approval.name = self.declared(&part),
                Rule::map => approval.attributes = Some(self.map(part)),
                _ => approval.clauses.extend(self.clause(part)),
            }
        }
        approval
    }

    fn defaults(&mut self, pair: P<'_>) -> Defaults {
        let span = self.span(&pair);
        let (mut keyword, mut body) = (span, Body::default());
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::body => body = self.body(part),
                _ => keyword = self.span(&part),
            }
        }
        Defaults {
            body,
            keyword,
            span,
        }
    }

    fn stage(&mut self, pair: P<'_>) -> Stage {
        let span = self.span(&pair);
        let mut stage = Stage {
            finally: None,
            name: Name {
                text: String::new(),
                span,
            },
            // Most stages have one clause at most.
            clauses: Vec::with_capacity(1),
            body: Body::default(),
            span,
        };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::kw_finally => stage.finally = Some(self.span(&part)),
                Rule::ident => stage.name = self.declared(&part),
                Rule::body => stage.body = self.body(part),
                _ => stage.clauses.extend(self.clause(part)),
            }
        }
        stage.clauses.shrink_to_fit();
        stage
    }

    fn body(&mut self, pair: P<'_>) -> Body {
        let span = self.span(&pair);
        Body {
            items: exact(pair.into_inner().filter_map(|part| self.body_item(part))),
            span,
        }
    }

    fn body_item(&mut self, pair: P<'_>) -> Option<BodyItem> {
        let span = self.span(&pair);
        Some(match pair.as_rule() {
            Rule::output => BodyItem::Output(Box::new(self.param(pair))),
            Rule::mount => {
                let parts = pair.clone().into_inner();
                let name = parts.clone().find(|part| part.as_rule() == Rule::ident)?;
                let workspace = self.declared(&name);
                BodyItem::Mount {
                    workspace,
                    path: self.one_string(parts, span),
                    span,
                }
            }
            Rule::use_ => {
                let parts = pair.into_inner();
                let name = parts.clone().find(|part| part.as_rule() == Rule::ident)?;
                let template = self.declared(&name);
                let mut maps = parts.filter(|part| part.as_rule() == Rule::map);
                let arguments = maps.next().map(|part| self.map(part));
                BodyItem::Use {
                    template,
                    arguments,
                    span,
                }
            }
            Rule::yaml => {
                let parts = pair.into_inner();
                let kind = parts
                    .clone()
                    .find(|part| part.as_rule() == Rule::yaml_kind)?;
                let value = if kind.as_str() == "pod" {
                    YamlKind::Pod
                } else {
                    YamlKind::Job
                };
                let kind = Spanned {
                    value,
                    span: self.span(&kind),
                };
                BodyItem::Yaml {
                    kind,
                    text: self.one_string(parts, span),
                    span,
                }
            }
            Rule::attribute => BodyItem::Attribute(self.attribute(pair)?),
            _ => return None,
        })
    }

    fn attribute(&mut self, pair: P<'_>) -> Option<Attribute> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let key = inner.next()?;
        let quoted = key.as_rule() == Rule::string;
        let text = match quoted {
            false => key.as_str().to_owned(),
            true => self.string(&key).plain().unwrap_or_default(),
        };
        let key = Key {
            text,
            quoted,
            span: self.span(&key),
        };
        let value = inner.next()?;
        Some(Attribute {
            key,
            value: self.value(value)?,
            span,
        })
    }

    fn word(&self, pair: &P<'_>) -> Name {
        Name {
            text: pair.as_str().to_owned(),
            span: self.span(pair),
        }
    }

    /// A name that is declared, or that can only be that of something declared.
    pub(crate) fn declared(&mut self, pair: &P<'_>) -> Name {
        let name = self.word(pair);
        self.diagnostics.extend(name::objection(&name));
        name
    }

    /// A name in a reference, which may be a bare word of an attribute.
    fn referred(&mut self, pair: &P<'_>) -> Name {
        self.word(pair)
    }
}

/// A list without room for more: a large file has many, most of them of one or two.
fn exact<T>(mut items: impl Iterator<Item = T>) -> Vec<T> {
    let Some(first) = items.next() else {
        return Vec::new();
    };
    // Collecting would ask for room for four first.
    let mut all = vec![first];
    all.extend(items);
    all.shrink_to_fit();
    all
}
