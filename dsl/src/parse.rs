//! Text to syntax tree. This and its neighbours `text`, `slip` and `recover` are all that know pest.

use konductor_grammar::{KonductorParser, Rule};
use pest::Parser as _;
use pest::iterators::{Pair, Pairs};

use crate::ast::*;
use crate::limits::{ERRORS_MAX, FILE_BYTES_MAX, NAME_MAX};
use crate::recover;
use crate::slip::diagnose;
use crate::text;
use crate::{Code, Diagnostic, Source, SourceId, Span, Spanned};

/// Reads a file. Broken input is not an error: what could be read is returned, together with
/// diagnostics in source order.
pub fn parse(source: &Source) -> (File, Vec<Diagnostic>) {
    let text = &*source.text;
    if text.len() > FILE_BYTES_MAX {
        let message = format!("a file of {} bytes is too large to read", text.len());
        let span = Span {
            source: source.id,
            start: 0,
            end: 0,
        };
        let help = format!("split it by `import`; at most {FILE_BYTES_MAX} bytes are read");
        let diagnostic = Diagnostic::error(Code::K0107, span, message).help(help);
        return (
            File {
                source: source.id,
                ..File::default()
            },
            vec![diagnostic],
        );
    }
    let recover::Scan {
        slips,
        comments,
        is_readable,
    } = recover::scan(source);
    let mut builder = Builder {
        source: source.id,
        offset: 0,
        comments,
        diagnostics: Vec::new(),
    };
    let parsed = slips
        .is_empty()
        .then(|| KonductorParser::parse(Rule::file, text));
    let mut file = File {
        source: source.id,
        ..File::default()
    };
    match parsed {
        Some(Ok(pairs)) => {
            for declaration in pairs.flat_map(|pair| pair.into_inner()) {
                builder.declaration(declaration, &mut file);
            }
        }
        _ if is_readable => recover::declarations(source, slips, &mut builder, &mut file),
        Some(Err(error)) => builder.diagnostics.push(diagnose(source, &error, 0)),
        None => builder.diagnostics.extend(slips),
    }
    let mut diagnostics = builder.diagnostics;
    diagnostics.sort_by_key(|diagnostic| diagnostic.span().start);
    diagnostics.dedup();
    diagnostics.truncate(ERRORS_MAX);
    (file, diagnostics)
}

/// Words that are never names.
const RESERVED: [&str; 19] = [
    "after", "any", "at", "barrier", "false", "finally", "for", "gate", "holding", "import", "in",
    "pipeline", "quorum", "stage", "template", "true", "when", "within", "run",
];
/// Words that are never names but may begin a reference.
const ROOTS: [&str; 3] = ["run", "token", "workspace"];

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
                    text = &text[..(begin - start) as usize];
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
                Item::Param(Param { span, ..param })
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
            clauses: Vec::new(),
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
        stage
    }

    fn clause(&mut self, pair: P<'_>) -> Option<Clause> {
        let span = self.span(&pair);
        let rule = pair.as_rule();
        let mut inner = pair.into_inner();
        let keyword = self.span(&inner.next()?);
        let kind = match rule {
            Rule::fan_out => {
                ClauseKind::For(inner.filter_map(|part| self.one_loop(part)).collect())
            }
            Rule::after => ClauseKind::After(inner.filter_map(|part| self.dep(part)).collect()),
            Rule::when => ClauseKind::When(self.expression(inner.next()?)?),
            Rule::holding => {
                ClauseKind::Holding(inner.filter_map(|part| self.hold(part)).collect())
            }
            Rule::quorum => ClauseKind::Quorum(self.bound(inner.next()?)?),
            _ => return None,
        };
        Some(Clause {
            kind,
            keyword,
            span,
        })
    }

    fn one_loop(&mut self, pair: P<'_>) -> Option<Loop> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let variable = self.declared(&inner.next()?);
        let over = inner.find(|part| part.as_rule() != Rule::kw_in)?;
        let over = match over.as_rule() {
            Rule::range => Over::Range(self.range(over)?),
            Rule::list => Over::List(self.list(over)),
            _ => Over::Ref(self.reference(over)?),
        };
        Some(Loop {
            variable,
            over,
            span,
        })
    }

    fn range(&mut self, pair: P<'_>) -> Option<Range> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let start = self.bound(inner.next()?)?;
        let inclusive = inner.next()?.as_str() == "..";
        let end = self.bound(inner.next()?)?;
        Some(Range {
            start,
            end,
            inclusive,
            span,
        })
    }

    fn bound(&mut self, pair: P<'_>) -> Option<Bound> {
        Some(match pair.as_rule() {
            Rule::number => Bound::Number(self.number(&pair)),
            _ => Bound::Ref(self.reference(pair)?),
        })
    }

    fn dep(&mut self, pair: P<'_>) -> Option<Dep> {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::any => {
                let inner = pair
                    .into_inner()
                    .filter(|part| part.as_rule() != Rule::kw_any);
                Some(Dep::Any {
                    deps: inner.filter_map(|part| self.dep(part)).collect(),
                    span,
                })
            }
            Rule::external => self.external(pair, span),
            Rule::target => {
                let mut inner = pair.into_inner();
                let name = self.declared(&inner.next()?);
                let (mut address, mut state) = (None, None);
                for part in inner {
                    match part.as_rule() {
                        Rule::address => address = Some(self.address(part)),
                        _ => state = Some(self.referred(&part)),
                    }
                }
                Some(Dep::Target {
                    name,
                    address,
                    state,
                    span,
                })
            }
            _ => None,
        }
    }

    fn external(&mut self, pair: P<'_>, span: Span) -> Option<Dep> {
        let (mut kind, mut name, mut within) = (None, None, None);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::external_kind => {
                    let value = match part.as_str() {
                        "pipeline" => ExternalKind::Pipeline,
                        "gate" => ExternalKind::Gate,
                        _ => ExternalKind::Barrier,
                    };
                    kind = Some(Spanned {
                        value,
                        span: self.span(&part),
                    });
                }
                Rule::string => name = Some(self.string(&part)),
                Rule::number => within = Some(self.number(&part)),
                _ => {}
            }
        }
        Some(Dep::External {
            kind: kind?,
            name: name?,
            within,
            span,
        })
    }

    fn address(&mut self, pair: P<'_>) -> Address {
        let span = self.span(&pair);
        let indices = pair.into_inner().map(|part| match part.as_rule() {
            Rule::string => Index::String(self.string(&part)),
            Rule::number => Index::Number(self.number(&part)),
            _ => Index::Name(self.referred(&part)),
        });
        Address {
            indices: indices.collect(),
            span,
        }
    }

    fn hold(&mut self, pair: P<'_>) -> Option<Hold> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let name = self.declared(&inner.next()?);
        let permits = inner.next().and_then(|part| self.bound(part));
        Some(Hold {
            name,
            permits,
            span,
        })
    }

    fn expression(&mut self, pair: P<'_>) -> Option<Expr> {
        let span = self.span(&pair);
        let mut sides: Vec<Expr> = pair
            .into_inner()
            .filter_map(|part| self.conjunction(part))
            .collect();
        Some(if sides.len() == 1 {
            sides.pop()?
        } else {
            Expr::Or(sides, span)
        })
    }

    fn conjunction(&mut self, pair: P<'_>) -> Option<Expr> {
        let span = self.span(&pair);
        let mut sides: Vec<Expr> = pair
            .into_inner()
            .filter_map(|part| self.unary(part))
            .collect();
        Some(if sides.len() == 1 {
            sides.pop()?
        } else {
            Expr::And(sides, span)
        })
    }

    fn unary(&mut self, pair: P<'_>) -> Option<Expr> {
        let span = self.span(&pair);
        let mut nots = 0;
        let mut inner = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::not => nots += 1,
                Rule::expression => inner = self.expression(part),
                _ => inner = self.comparison(part),
            }
        }
        let inner = inner?;
        // Two of them are none.
        Some(if nots % 2 == 1 {
            Expr::Not(Box::new(inner), span)
        } else {
            inner
        })
    }

    fn comparison(&mut self, pair: P<'_>) -> Option<Expr> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let left = inner.next()?;
        let left = self.value(left)?;
        let Some(operator) = inner.next() else {
            return Some(Expr::Value(left));
        };
        let value = match operator.as_str().trim() {
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            _ => Operator::In,
        };
        let operator = Spanned {
            value,
            span: self.span(&operator),
        };
        let right = inner.next()?;
        let right = self.value(right)?;
        Some(Expr::Compare {
            left,
            operator,
            right,
            span,
        })
    }

    fn body(&mut self, pair: P<'_>) -> Body {
        let span = self.span(&pair);
        Body {
            items: pair
                .into_inner()
                .filter_map(|part| self.body_item(part))
                .collect(),
            span,
        }
    }

    fn body_item(&mut self, pair: P<'_>) -> Option<BodyItem> {
        let span = self.span(&pair);
        Some(match pair.as_rule() {
            Rule::output => BodyItem::Output(self.param(pair)),
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

    fn map(&mut self, pair: P<'_>) -> Map {
        let span = self.span(&pair);
        let entries = pair
            .into_inner()
            .filter(|part| part.as_rule() == Rule::attribute);
        Map {
            entries: entries.filter_map(|part| self.attribute(part)).collect(),
            span,
        }
    }

    fn value(&mut self, pair: P<'_>) -> Option<Value> {
        Some(match pair.as_rule() {
            Rule::call => self.call(pair)?,
            Rule::string => Value::String(self.string(&pair)),
            Rule::number => Value::Number(self.number(&pair)),
            Rule::list => Value::List(self.list(pair)),
            Rule::map => Value::Map(self.map(pair)),
            Rule::reference => {
                let found = self.reference(pair)?;
                let span = found.span;
                let is_word = found.address.is_none() && found.fields.is_empty();
                match &*found.head.text {
                    "true" if is_word => Value::Bool(Spanned { value: true, span }),
                    "false" if is_word => Value::Bool(Spanned { value: false, span }),
                    _ => Value::Ref(found),
                }
            }
            _ => return None,
        })
    }

    fn call(&mut self, pair: P<'_>) -> Option<Value> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let word = inner.next()?;
        let value = if word.as_str() == "secret" {
            CallKind::Secret
        } else {
            CallKind::Config
        };
        let kind = Spanned {
            value,
            span: self.span(&word),
        };
        let name = self.string(&inner.next()?);
        let key = self.string(&inner.next()?);
        Some(Value::Call {
            kind,
            name,
            key,
            span,
        })
    }

    fn list(&mut self, pair: P<'_>) -> List {
        let span = self.span(&pair);
        List {
            items: pair
                .into_inner()
                .filter_map(|part| self.value(part))
                .collect(),
            span,
        }
    }

    fn number(&self, pair: &P<'_>) -> Number {
        Number {
            text: pair.as_str().to_owned(),
            span: self.span(pair),
        }
    }

    fn ty(&mut self, pair: P<'_>) -> Type {
        let span = self.span(&pair);
        let kind = pair
            .into_inner()
            .next()
            .and_then(|inner| match inner.as_rule() {
                Rule::list_type => {
                    let element = inner
                        .into_inner()
                        .find(|part| part.as_rule() == Rule::type_)?;
                    Some(TypeKind::List(Box::new(self.ty(element))))
                }
                Rule::record => {
                    let fields = inner
                        .into_inner()
                        .filter(|part| part.as_rule() == Rule::param_decl);
                    Some(TypeKind::Record(
                        fields.map(|part| self.param(part)).collect(),
                    ))
                }
                Rule::choice => Some(TypeKind::Choice(
                    inner.into_inner().map(|part| self.string(&part)).collect(),
                )),
                _ => {
                    let mut parts = inner.into_inner();
                    let word = parts.next()?;
                    let name = Name {
                        text: word.as_str().to_owned(),
                        span: self.span(&word),
                    };
                    let range = parts.find(|part| part.as_rule() == Rule::range);
                    let range = range.and_then(|part| self.range(part));
                    Some(TypeKind::Scalar { name, range })
                }
            });
        Type {
            kind: kind.unwrap_or(TypeKind::Choice(Vec::new())),
            span,
        }
    }

    fn one_string(&mut self, mut pairs: Pairs<'_, Rule>, span: Span) -> Str {
        match pairs.find(|part| part.as_rule() == Rule::string) {
            Some(part) => self.string(&part),
            None => Str {
                parts: Vec::new(),
                block: false,
                span,
            },
        }
    }

    fn string(&mut self, pair: &P<'_>) -> Str {
        let span = self.span(pair);
        let mut diagnostics = std::mem::take(&mut self.diagnostics);
        let source = self.source;
        let read = text::read(
            pair.as_str(),
            span,
            &mut diagnostics,
            &mut |inner, at, told| {
                if let Some(found) = text::plain_reference(inner, at) {
                    return Some(found);
                }
                let mut builder = Self {
                    source,
                    offset: at.start,
                    comments: Vec::new(),
                    diagnostics: Vec::new(),
                };
                let found = text::lone_reference(inner).and_then(|part| builder.reference(part));
                told.append(&mut builder.diagnostics);
                found
            },
        );
        self.diagnostics = diagnostics;
        read
    }

    fn reference(&mut self, pair: P<'_>) -> Option<Ref> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let head = inner.next()?;
        let root = ROOTS.contains(&head.as_str());
        let head = if root {
            self.word(&head)
        } else {
            self.referred(&head)
        };
        let mut reference = Ref {
            head,
            address: None,
            fields: Vec::new(),
            span,
        };
        for part in inner {
            match part.as_rule() {
                Rule::address => reference.address = Some(self.address(part)),
                _ => reference.fields.push(self.word(&part)),
            }
        }
        Some(reference)
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
        if RESERVED.contains(&&*name.text) || ROOTS.contains(&&*name.text) {
            self.diagnostics.push(
                Diagnostic::error(
                    Code::K0108,
                    name.span,
                    format!("`{}` is a word of the language, not a name", name.text),
                )
                .help("choose another name, or remove the comma or word before it"),
            );
        } else {
            self.check_shape(&name);
        }
        name
    }

    /// A name in a reference, which may be a bare word of an attribute.
    fn referred(&mut self, pair: &P<'_>) -> Name {
        self.word(pair)
    }

    fn check_shape(&mut self, name: &Name) {
        let text = &name.text;
        let shaped = text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && !text.contains("--")
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !shaped {
            let better = better_name(text);
            self.diagnostics.push(
                Diagnostic::error(Code::K0104, name.span, format!("`{text}` can't be a name"))
                    .here("lower-case letters, digits and single `-`, starting with a letter")
                    .help(format!("write `{better}`")),
            );
        } else if text.len() > NAME_MAX {
            self.diagnostics.push(
                Diagnostic::error(
                    Code::K0104,
                    name.span,
                    format!("a name of {} characters is too long", text.len()),
                )
                .help(format!(
                    "use at most {NAME_MAX}: it becomes part of Kubernetes names"
                )),
            );
        }
    }
}

/// The nearest text that is a name: `MyStage_1` becomes `my-stage-1`.
fn better_name(text: &str) -> String {
    let mut better = String::new();
    for character in text.chars() {
        if character.is_ascii_uppercase() && better.ends_with(|c: char| c.is_ascii_lowercase()) {
            better.push('-');
        }
        match character {
            '_' | '-' if better.ends_with('-') => {}
            '_' | '-' => better.push('-'),
            other => better.push(other.to_ascii_lowercase()),
        }
    }
    let better = better.trim_matches('-');
    let start = better.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    if start.is_empty() {
        "a".to_owned()
    } else {
        start.to_owned()
    }
}
