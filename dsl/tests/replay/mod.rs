//! A syntax tree built again by the builder, call by call: what the text said, a program says.

use konductor_dsl::ast;
use konductor_dsl::build::{
    Approval, Body, Bound, Compare, Condition, Defaults, Dep, External, File, Index, Key, Lease,
    Map, Number, Over, Param, Pipeline, Range, Ref, Schedule, Semaphore, Stage, Target, Template,
    Text, Type, Value, Workspace,
};

pub(crate) fn file(file: &ast::File) -> File {
    let mut built = File::new();
    for import in &file.imports {
        built = built.import(text(&import.path));
    }
    for template in &file.templates {
        let mut made = Template::new(&template.name.text);
        for param in &template.params {
            made = made.param(self::param(param));
        }
        built = built.template(body(made, &template.body));
    }
    for pipeline in &file.pipelines {
        let start = Pipeline::new(&pipeline.name.text);
        built = built.pipeline(pipeline.items.iter().fold(start, item));
    }
    built
}

fn item(pipeline: Pipeline, item: &ast::Item) -> Pipeline {
    match item {
        ast::Item::Param(param) => pipeline.param(self::param(param)),
        ast::Item::Stage(stage) => pipeline.stage(self::stage(stage)),
        ast::Item::Approval(approval) => {
            let mut made = Approval::new(&approval.name.text);
            for clause in &approval.clauses {
                made = match &clause.kind {
                    ast::ClauseKind::After(deps) => {
                        deps.iter().map(dep).fold(made, Approval::after)
                    }
                    ast::ClauseKind::When(condition) => made.when(self::condition(condition)),
                    other => panic!("an approval has no `{}`", other.word()),
                };
            }
            pipeline.approval(
                entries(&approval.attributes).fold(made, |made, (k, v)| made.attribute(k, v)),
            )
        }
        ast::Item::Resource(resource) => {
            let (name, all) = (&resource.name.text, entries(&resource.attributes));
            match resource.kind.value {
                ast::ResourceKind::Semaphore => pipeline
                    .semaphore(all.fold(Semaphore::new(name), |made, (k, v)| made.attribute(k, v))),
                ast::ResourceKind::Lease => {
                    pipeline.lease(all.fold(Lease::new(name), |made, (k, v)| made.attribute(k, v)))
                }
                ast::ResourceKind::Workspace => pipeline
                    .workspace(all.fold(Workspace::new(name), |made, (k, v)| made.attribute(k, v))),
            }
        }
        ast::Item::Schedule(schedule) => {
            let made = Schedule::new(text(&schedule.cron));
            pipeline.schedule(
                entries(&schedule.attributes).fold(made, |made, (k, v)| made.attribute(k, v)),
            )
        }
        ast::Item::Defaults(defaults) => pipeline.defaults(body(Defaults::new(), &defaults.body)),
        ast::Item::Attribute(attribute) => {
            pipeline.attribute(key(&attribute.key), value(&attribute.value))
        }
    }
}

fn entries(map: &Option<ast::Map>) -> impl Iterator<Item = (Key, Value)> {
    let entries = map.iter().flat_map(|map| &map.entries);
    entries.map(|entry| (key(&entry.key), value(&entry.value)))
}

fn stage(stage: &ast::Stage) -> Stage {
    let mut made = match stage.finally {
        Some(_) => Stage::finally(&stage.name.text),
        None => Stage::new(&stage.name.text),
    };
    for clause in &stage.clauses {
        made = match &clause.kind {
            ast::ClauseKind::For(loops) => loops.iter().fold(made, |made, variable| {
                made.for_each(&variable.variable.text, over(&variable.over))
            }),
            ast::ClauseKind::After(deps) => deps.iter().map(dep).fold(made, Stage::after),
            ast::ClauseKind::When(condition) => made.when(self::condition(condition)),
            ast::ClauseKind::Holding(holds) => {
                holds.iter().fold(made, |made, hold| match &hold.permits {
                    Some(permits) => made.holding_permits(&hold.name.text, bound(permits)),
                    None => made.holding(&hold.name.text),
                })
            }
            ast::ClauseKind::Quorum(count) => made.quorum(bound(count)),
            ast::ClauseKind::Max(count) => made.max(bound(count)),
            ast::ClauseKind::Parallel(count) => made.parallel(bound(count)),
        };
    }
    body(made, &stage.body)
}

fn body<B: Body>(made: B, body: &ast::Body) -> B {
    body.items.iter().fold(made, |made, item| match item {
        ast::BodyItem::Output(output) => made.output(param(output)),
        ast::BodyItem::Mount {
            workspace, path, ..
        } => made.mount(&workspace.text, text(path)),
        ast::BodyItem::Use {
            template,
            arguments,
            ..
        } => made.uses(&template.text, entries(arguments)),
        ast::BodyItem::Yaml {
            kind, text: yaml, ..
        } => match kind.value {
            ast::YamlKind::Pod => made.pod(text(yaml)),
            ast::YamlKind::Job => made.job(text(yaml)),
        },
        ast::BodyItem::Attribute(attribute) => by_key(made, attribute),
    })
}

/// By the method of this attribute, if it has one that takes such a value.
fn by_key<B: Body>(made: B, attribute: &ast::Attribute) -> B {
    match (&*attribute.key.text, &attribute.value) {
        _ if attribute.key.quoted => made.attribute(key(&attribute.key), value(&attribute.value)),
        ("image", ast::Value::String(image)) => made.image(text(image)),
        ("run", ast::Value::String(script)) => made.run(text(script)),
        ("timeout", ast::Value::Number(timeout)) => made.timeout(number(timeout)),
        (_, other) => made.attribute(key(&attribute.key), value(other)),
    }
}

fn param(param: &ast::Param) -> Param {
    let made = Param::new(&param.name.text, ty(&param.ty));
    match &param.default {
        Some(default) => made.default(value(default)),
        None => made,
    }
}

fn ty(ty: &ast::Type) -> Type {
    match &ty.kind {
        ast::TypeKind::Scalar { name, range } => match (&*name.text, range) {
            ("int", Some(range)) => Type::int_in(self::range(range)),
            ("int", None) => Type::int(),
            ("string", None) => Type::string(),
            ("bool", None) => Type::bool(),
            ("duration", None) => Type::duration(),
            ("number", None) => Type::number(),
            ("quantity", None) => Type::quantity(),
            ("file", None) => Type::file(),
            ("dir", None) => Type::dir(),
            (other, _) => panic!("`{other}` is no type"),
        },
        ast::TypeKind::Choice(words) => Type::one_of(words.iter().map(text)),
        ast::TypeKind::List(element) => Type::list(self::ty(element)),
        ast::TypeKind::Record(fields) => Type::record(fields.iter().map(param)),
    }
}

fn range(range: &ast::Range) -> Range {
    let (start, end) = (bound(&range.start), bound(&range.end));
    match range.inclusive {
        true => Range::to(start, end),
        false => Range::below(start, end),
    }
}

fn bound(bound: &ast::Bound) -> Bound {
    match bound {
        ast::Bound::Number(number) => self::number(number).into(),
        ast::Bound::Ref(reference) => self::reference(reference).into(),
    }
}

fn over(over: &ast::Over) -> Over {
    match over {
        ast::Over::Range(range) => self::range(range).into(),
        ast::Over::List(list) => values(list).into(),
        ast::Over::Ref(reference) => self::reference(reference).into(),
    }
}

fn dep(dep: &ast::Dep) -> Dep {
    match dep {
        ast::Dep::Any { deps, .. } => Dep::any(deps.iter().map(self::dep)),
        ast::Dep::External {
            kind, name, within, ..
        } => {
            let made = match kind.value {
                ast::ExternalKind::Pipeline => Dep::pipeline(text(name)),
                ast::ExternalKind::Gate => Dep::gate(text(name)),
                ast::ExternalKind::Barrier => Dep::barrier(text(name)),
            };
            let within = within.iter().map(number);
            within.fold(made, External::within).into()
        }
        ast::Dep::Target {
            name,
            address,
            state,
            ..
        } => {
            let made = Dep::on(&name.text);
            let made = address.iter().fold(made, |made, address| {
                made.item(address.indices.iter().map(index))
            });
            let ended: fn(Target) -> Target = match state.as_ref().map(|state| &*state.text) {
                Some("failed") => Target::failed,
                Some("skipped") => Target::skipped,
                Some("finished") => Target::finished,
                _ => |target| target,
            };
            ended(made).into()
        }
    }
}

fn condition(expr: &ast::Expr) -> Condition {
    match expr {
        ast::Expr::Or(sides, _) => Condition::any(sides.iter().map(condition)),
        ast::Expr::And(sides, _) => Condition::all(sides.iter().map(condition)),
        ast::Expr::Not(inner, _) => !condition(inner),
        ast::Expr::Value(value) => self::value(value).into(),
        ast::Expr::Compare {
            left,
            operator,
            right,
            ..
        } => {
            let compare: fn(Value, Value) -> Condition = match operator.value {
                ast::Operator::Equal => Compare::equals,
                ast::Operator::NotEqual => Compare::differs,
                ast::Operator::Less => Compare::less_than,
                ast::Operator::LessOrEqual => Compare::at_most,
                ast::Operator::Greater => Compare::more_than,
                ast::Operator::GreaterOrEqual => Compare::at_least,
                ast::Operator::In => Compare::among,
            };
            compare(value(left), value(right))
        }
    }
}

fn value(value: &ast::Value) -> Value {
    match value {
        ast::Value::Call {
            kind, name, key, ..
        } => match kind.value {
            ast::CallKind::Secret => Value::secret(text(name), text(key)),
            ast::CallKind::Config => Value::config(text(name), text(key)),
        },
        ast::Value::String(text) => self::text(text).into(),
        ast::Value::Bool(literal) => literal.value.into(),
        ast::Value::Number(number) => self::number(number).into(),
        ast::Value::List(list) => values(list).into(),
        ast::Value::Map(map) => {
            let entries = map.entries.iter();
            let map = entries.fold(Map::new(), |map, entry| {
                map.with(key(&entry.key), self::value(&entry.value))
            });
            map.into()
        }
        ast::Value::Ref(reference) => self::reference(reference).into(),
    }
}

fn values(list: &ast::List) -> Vec<Value> {
    list.items.iter().map(value).collect()
}

fn number(number: &ast::Number) -> Number {
    Number::new(&number.text)
}

fn key(key: &ast::Key) -> Key {
    match key.quoted {
        true => Key::quoted(&key.text),
        false => Key::from(&*key.text),
    }
}

fn reference(reference: &ast::Ref) -> Ref {
    let made = Ref::to(&reference.head.text);
    let made = reference.address.iter().fold(made, |made, address| {
        made.item(address.indices.iter().map(index))
    });
    let fields = reference.fields.iter().map(|field| &field.text);
    fields.fold(made, Ref::field)
}

fn index(index: &ast::Index) -> Index {
    match index {
        ast::Index::String(text) => self::text(text).into(),
        ast::Index::Number(number) => self::number(number).into(),
        ast::Index::Name(name) => Index::variable(&name.text),
        ast::Index::Every(_) => Index::every(),
    }
}

fn text(text: &ast::Str) -> Text {
    let mut made = Text::new();
    let mut parts = text.parts.iter().peekable();
    while let Some(part) = parts.next() {
        made = match part {
            ast::Part::Text { text, .. } => made.with(text),
            ast::Part::Hole(reference, _) => made.with(self::reference(reference)),
            // What follows a `${` says whether it is the shell's.
            ast::Part::Shell(_) => match parts.next() {
                Some(ast::Part::Text { text, .. }) => made.shell(&format!("${{{text}")),
                other => panic!("a `${{` before {other:?}"),
            },
        };
    }
    match text.block {
        true => made.block(),
        false => made.line(),
    }
}
