//! What a reference means where it stands.

use konductor_api::LedgerKind;
use konductor_dsl::ast;

use super::body::file_type;
use super::term::Argument;
use super::unknown::Role;
use super::{Read, Resolver, Scope, Time};
use crate::limits::INPUTS_MAX;
use crate::pipeline::{Loop, Reference, Source, Term, address_key};
use crate::rules;
use crate::rules::address_shape::Written;
use crate::value::{Type, Value};
use crate::zone;

impl Resolver<'_> {
    /// Resolves a reference, or reports an error and returns `None`.
    pub(super) fn reference(
        &mut self,
        ast: &ast::Ref,
        scope: Scope<'_>,
        time: Time,
    ) -> Option<Box<Reference>> {
        let (source, ty) = match (ast.head.text.as_str(), scope.arguments) {
            ("output", _) => self.own_output(ast, scope)?,
            (_, Some(arguments)) => self.argument(ast, arguments)?,
            ("run", None) => self.run_value(ast, scope)?,
            ("token", None) => self.token(ast, scope)?,
            ("workspace", None) => self.workspace_path(ast, scope)?,
            (_, None) => self.named(ast, scope)?,
        };
        let reference = Reference {
            source,
            ty,
            span: ast.span,
        };
        if time == Time::Compile && reference.source.is_run_time() {
            let arguments = scope.arguments.into_iter().flatten();
            let arguments = arguments.filter(|argument| argument.name == ast.head.text);
            let argument = arguments.map(|argument| argument.span).next();
            self.report(rules::run_time_value::report(ast.span, argument));
            return None;
        }
        Some(Box::new(reference))
    }

    /// A parameter of the template that the place is in.
    fn argument(&mut self, ast: &ast::Ref, arguments: &[Argument]) -> Option<(Source, Type)> {
        let text = ast.head.text.as_str();
        let Some(argument) = arguments.iter().find(|argument| argument.name == text) else {
            let names = arguments.iter().map(|argument| argument.name.as_str());
            let ty = self.type_outside(ast);
            let diagnostic = rules::unknown_name::in_template(ast, names, ty.as_ref());
            self.report(diagnostic);
            return None;
        };
        let (field, ty) = self.value_field(ast, &argument.ty)?;
        let value = match (field, &argument.term) {
            (None, term) => term.clone(),
            (Some(field), Term::Value(value)) => value
                .field(&field)
                .cloned()
                .map_or(Term::Unknown, Term::Value),
            (Some(field), Term::Reference(reference)) => {
                Term::Reference(Box::new(with_field(reference, field, ty.clone())))
            }
            (Some(_), _) => Term::Unknown,
        };
        let source = Source::Argument {
            name: ast.to_string(),
            value: Box::new(value),
            use_id: argument.use_id,
        };
        Some((source, ty))
    }

    /// The type of what a reference in a template would be outside of it. Templates are checked before what else there
    /// is, so it is read from the declaration.
    fn type_outside(&mut self, ast: &ast::Ref) -> Option<Type> {
        let head = ast.head.text.as_str();
        let declared = match (head, ast.fields.as_slice(), &ast.address) {
            (_, [], None) => {
                let mut params = self.names.params.iter();
                &params.find(|param| param.name.text == head)?.ty
            }
            ("run", [field], None)
                if matches!(&*field.text, "name" | "date" | "time" | "outcome") =>
            {
                return Some(Type::String);
            }
            ("workspace", [_], None) => return Some(Type::String),
            ("token", [_], None) => return Some(Type::Int(None)),
            (_, [field], _) => {
                let stage = self.names.stages[*self.names.stage_index.get(head)?];
                let outputs = stage.body.items.iter().filter_map(|item| match item {
                    ast::BodyItem::Output(output) => Some(output),
                    _ => None,
                });
                let mut outputs = outputs.filter(|output| output.name.text == field.text);
                &outputs.next()?.ty
            }
            _ => return None,
        };
        let ty = match (file_type(declared), &declared.kind) {
            (Some(file), _) => return Some(file),
            // Its bounds may be parameters.
            (None, ast::TypeKind::Scalar { name, .. }) => {
                let (kind, span) = (name.clone(), declared.span);
                let kind = ast::TypeKind::Scalar {
                    name: kind,
                    range: None,
                };
                self.quietly(|this| this.ty(&ast::Type { kind, span }))?
            }
            (None, _) => self.quietly(|this| this.ty(declared))?,
        };
        let is_gathered = ast
            .address
            .as_ref()
            .is_some_and(|address| address.indices.iter().any(is_every));
        Some(match is_gathered {
            true => Type::List(Box::new(ty)),
            false => ty,
        })
    }

    fn run_value(&mut self, ast: &ast::Ref, scope: Scope<'_>) -> Option<(Source, Type)> {
        let field = self.only_field(ast, "run", "name")?;
        let constant = |name, text| {
            Some((
                Source::Constant {
                    name,
                    value: Value::String(text),
                },
                Type::String,
            ))
        };
        match field.text.as_str() {
            "name" => constant("run.name", self.options.run_name(&self.ast.name.text)),
            "date" => constant("run.date", zone::date(self.options.now, self.zone.as_ref())),
            "time" => constant("run.time", zone::time(self.options.now, self.zone.as_ref())),
            "outcome" if scope.finally => Some((Source::RunOutcome, outcome_type())),
            "outcome" => {
                self.report(rules::not_here::run_outcome(ast.span));
                None
            }
            _ => {
                let fields = ["name", "date", "time", "outcome"];
                self.report(rules::unknown_field::report(field, "run", &fields));
                None
            }
        }
    }

    fn token(&mut self, ast: &ast::Ref, scope: Scope<'_>) -> Option<(Source, Type)> {
        let name = self.only_field(ast, "token", "LEASE")?;
        let Some(ledger) = self.names.ledger_index.get(name.text.as_str()).copied() else {
            self.unknown(name, Role::Lease, scope);
            return None;
        };
        let declared = self.names.ledgers[ledger];
        if declared.kind.value != ast::ResourceKind::Lease {
            self.report(rules::not_here::semaphore_token(name, declared.name.span));
            return None;
        }
        if !scope.held.contains(&ledger) {
            let stage = scope.stage.map(|stage| self.names.stages[stage]);
            let diagnostic = rules::not_here::token_not_held(name, stage);
            self.report(diagnostic);
            return None;
        }
        debug_assert_eq!(self.ledgers[ledger].kind, LedgerKind::Lease);
        Some((Source::Token { ledger }, Type::Int(None)))
    }

    fn workspace_path(&mut self, ast: &ast::Ref, scope: Scope<'_>) -> Option<(Source, Type)> {
        let name = self.only_field(ast, "workspace", "NAME")?;
        let Some(workspace) = self.names.workspace_index.get(name.text.as_str()).copied() else {
            self.unknown(name, Role::Workspace, scope);
            return None;
        };
        if !scope.mounted.contains(&workspace) {
            let stage = scope.stage.map(|stage| self.names.stages[stage]);
            let diagnostic = rules::not_here::workspace_not_mounted(name, stage);
            self.report(diagnostic);
            return None;
        }
        Some((Source::Workspace { workspace }, Type::String))
    }

    /// `output.NAME`: the path of a file or folder that the stage at hand writes.
    fn own_output(&mut self, ast: &ast::Ref, scope: Scope<'_>) -> Option<(Source, Type)> {
        let name = self.only_field(ast, "output", "NAME")?;
        let declared = scope
            .outputs
            .iter()
            .find(|output| output.name.text == name.text);
        match declared {
            Some(output) if output.ty.is_file() => {
                let output_name = output.name.text.clone();
                Some((
                    Source::OwnOutput {
                        output: output_name,
                    },
                    output.ty.clone(),
                ))
            }
            Some(output) => {
                self.report(rules::undeclared_output::no_file(name, output.name.span));
                None
            }
            None => {
                let stage = scope.stage.map(|stage| self.names.stages[stage]);
                let is_broken = stage.is_some_and(|stage| {
                    let key = (stage.name.text.as_str(), name.text.clone());
                    self.broken_outputs.contains(&key)
                });
                if !is_broken {
                    let files = scope.outputs.iter().filter(|output| output.ty.is_file());
                    let files = files.map(|output| output.name.text.as_str());
                    let diagnostic = rules::undeclared_output::own(name, files);
                    self.report(diagnostic);
                }
                None
            }
        }
    }

    /// The one field behind a word such as `run`.
    fn only_field<'r>(
        &mut self,
        ast: &'r ast::Ref,
        word: &str,
        field: &str,
    ) -> Option<&'r ast::Name> {
        match (ast.fields.as_slice(), &ast.address) {
            ([only], None) => Some(only),
            _ => {
                self.report(rules::unknown_field::shape(ast.span, word, field));
                None
            }
        }
    }

    fn named(&mut self, ast: &ast::Ref, scope: Scope<'_>) -> Option<(Source, Type)> {
        let text = ast.head.text.as_str();
        if let Some(variable) = scope
            .loops
            .iter()
            .position(|variable| variable.name.text == text)
        {
            let Loop { ty, is_plain, .. } = &scope.loops[variable];
            let (declared, is_plain) = (ty.clone(), *is_plain);
            let (field, ty) = self.value_field(ast, &declared)?;
            return Some((
                Source::Loop {
                    variable,
                    name: text.to_owned(),
                    field,
                    is_plain,
                },
                ty,
            ));
        }
        if let Some(param) = self.param_index.get(text).copied() {
            self.used.params.insert(param);
            let declared = self.params[param].ty.clone();
            let (field, ty) = self.value_field(ast, &declared)?;
            return Some((Source::Param { param, field }, ty));
        }
        if self.broken.contains(text) {
            return None;
        }
        match self.names.stage_index.get(text).copied() {
            Some(stage) => self.output(ast, stage, scope),
            None => {
                match self.path_of_another_language(ast, scope) {
                    Some(diagnostic) if !self.is_reported(text) => self.report(diagnostic),
                    _ => self.unknown(&ast.head, Role::Value, scope),
                }
                None
            }
        }
    }

    /// `x` or `x.field` of a parameter or loop variable.
    fn value_field(&mut self, ast: &ast::Ref, ty: &Type) -> Option<(Option<String>, Type)> {
        let is_plain = ast.address.is_none() && ast.fields.is_empty();
        if !is_plain && self.names.clashing.contains(ast.head.text.as_str()) {
            return None;
        }
        if let Some(address) = &ast.address {
            self.report(rules::address_shape::not_a_stage(
                &ast.head,
                address.span,
                ty,
            ));
            return None;
        }
        match (ast.fields.as_slice(), ty) {
            ([], _) => Some((None, ty.clone())),
            ([field], Type::Record(fields)) => {
                match fields.iter().find(|declared| declared.name == field.text) {
                    Some(declared) => Some((Some(declared.name.clone()), declared.ty.clone())),
                    None => {
                        let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
                        let diagnostic =
                            rules::unknown_field::report(field, &ast.head.text, &names);
                        self.report(diagnostic);
                        None
                    }
                }
            }
            ([field, ..], _) => {
                self.report(rules::unknown_field::no_fields(field, &ast.head, ty));
                None
            }
        }
    }

    /// `stage.output` or `stage[i].output`.
    fn output(&mut self, ast: &ast::Ref, stage: usize, scope: Scope<'_>) -> Option<(Source, Type)> {
        // Parameters and loops come first: no stage has an output yet.
        let Some(signature) = self.signatures.get(stage) else {
            self.report(rules::run_time_value::report(ast.span, None));
            return None;
        };
        let outputs = &signature.outputs;
        let [field] = ast.fields.as_slice() else {
            let names: Vec<&str> = outputs.iter().map(|o| o.name.text.as_str()).collect();
            let diagnostic = rules::undeclared_output::stage_is_no_value(ast, &names);
            self.report(diagnostic);
            return None;
        };
        let Some(output) = outputs
            .iter()
            .position(|output| output.name.text == field.text)
        else {
            let stage_name = self.names.stages[stage].name.text.as_str();
            if self
                .broken_outputs
                .contains(&(stage_name, field.text.clone()))
                || self.is_reported(stage_name)
            {
                return None;
            }
            let names = outputs.iter().map(|output| output.name.text.as_str());
            let diagnostic =
                rules::undeclared_output::report(field, &self.names.stages[stage].name, names);
            self.report(diagnostic);
            return None;
        };
        if scope.stage == Some(stage) {
            self.report(rules::self_dependency::own_output(ast.span, &ast.head));
            return None;
        }
        let address = self.address(stage, &ast.head, ast.address.as_ref(), scope)?;
        let address = match address {
            None if self.signatures[stage].is_broken => return None,
            None if self.signatures[stage].is_listed => {
                self.report(rules::run_time_items::whole(ast, field));
                return None;
            }
            None if !self.signatures[stage].loops.is_empty() => {
                let diagnostic = rules::address_shape::whole_fan_out(
                    ast,
                    field,
                    &self.address_to_write(stage, scope),
                    self.signatures[stage].loops.len(),
                );
                self.report(diagnostic);
                return None;
            }
            address => address.unwrap_or_default(),
        };
        let ty = self.signatures[stage].outputs[output].ty.clone();
        let ty = match Term::are_several(&address) {
            // A folder with an entry for each item.
            true if ty.is_file() => Type::Dir,
            true => Type::List(Box::new(ty)),
            false => ty,
        };
        Some((
            Source::Output {
                stage,
                address,
                output,
            },
            ty,
        ))
    }

    /// `[i, j]`: one index for each loop variable of the stage it is about.
    pub(super) fn address(
        &mut self,
        stage: usize,
        name: &ast::Name,
        address: Option<&ast::Address>,
        scope: Scope<'_>,
    ) -> Option<Option<Vec<Term>>> {
        let Some(address) = address else {
            return Some(None);
        };
        if self.signatures[stage].is_broken {
            return None;
        }
        let expected: Vec<Type> = self.signatures[stage]
            .loops
            .iter()
            .map(|variable| variable.ty.clone())
            .collect();
        if expected.is_empty() {
            self.report(rules::address_shape::not_a_fan_out(name, address.span));
            return None;
        }
        if expected.len() != address.indices.len() {
            let written = self.address_to_write(stage, scope);
            let diagnostic =
                rules::address_shape::wrong_count(name, address, expected.len(), &written);
            self.report(diagnostic);
            return None;
        }
        if self.signatures[stage].is_listed && !address.indices.iter().all(is_every) {
            let diagnostic = rules::run_time_items::address(name, address.span);
            self.report(diagnostic);
            return None;
        }
        let mut terms = Vec::with_capacity(expected.len());
        for (index, ty) in address.indices.iter().zip(&expected) {
            terms.push(self.index(index, ty, scope)?);
        }
        Some(Some(terms))
    }

    /// An address of a stage's item that can be written at this place: by the variables that exist
    /// here, or else by an item that exists.
    fn address_to_write(&self, stage: usize, scope: Scope<'_>) -> Written {
        let signature = &self.signatures[stage];
        let variables = signature
            .loops
            .iter()
            .map(|variable| variable.name.text.as_str());
        let variables: Vec<&str> = variables.collect();
        let here = |name: &&str| {
            scope
                .loops
                .iter()
                .any(|variable| variable.name.text == **name)
        };
        if variables.iter().all(here) {
            return Written::Variables(variables.join(", "));
        }
        let first = signature.items.iter().flatten().next();
        let literals = signature.loops.iter().enumerate().map(|(at, variable)| {
            let value = first.and_then(|item| item.values.get(at)).map(Value::key);
            match (&variable.ty, value) {
                (Type::Int(_) | Type::Number, Some(value)) => value,
                (Type::Int(_) | Type::Number, None) => "0".to_owned(),
                (_, value) => format!("\"{}\"", value.as_deref().unwrap_or("…")),
            }
        });
        let literals: Vec<String> = literals.collect();
        Written::Item {
            literals: literals.join(", "),
            variables: variables.join(", "),
        }
    }

    fn index(&mut self, index: &ast::Index, expected: &Type, scope: Scope<'_>) -> Option<Term> {
        // Of a record, the key is what an item is called.
        let expected = match expected {
            Type::Record(fields) => fields.first().map_or(&Type::String, |field| &field.ty),
            other => other,
        };
        let value = match index {
            ast::Index::String(text) => ast::Value::String(text.clone()),
            ast::Index::Number(number) => ast::Value::Number(number.clone()),
            ast::Index::Every(_) => return Some(Term::Every),
            ast::Index::Name(name) => {
                let reference = ast::Ref {
                    head: name.clone(),
                    address: None,
                    fields: Vec::new(),
                    span: name.span,
                };
                return self.index_by_name(&reference, expected, scope);
            }
        };
        self.term(&value, &unbounded(expected), scope, Time::Compile)
    }

    fn index_by_name(&mut self, ast: &ast::Ref, expected: &Type, scope: Scope<'_>) -> Option<Term> {
        let before = self.diagnostics.len();
        let Some(reference) = self.reference(ast, scope, Time::Compile) else {
            let reported = &mut self.diagnostics[before..];
            rules::unknown_name::in_address(reported, ast, expected);
            return None;
        };
        let key = match &reference.ty {
            Type::Record(fields) => fields
                .first()
                .map_or(Type::String, |field| field.ty.clone()),
            other => other.clone(),
        };
        if !key.fits(expected) {
            self.report(rules::wrong_type::report(ast.span, expected, &reference.ty));
            return None;
        }
        Some(Term::Reference(reference))
    }

    /// Remembers that the stage at hand reads an output.
    pub(super) fn note_reads(&mut self, reference: &Reference) {
        match &reference.source {
            Source::Output {
                stage,
                address,
                output,
            } => {
                let key = (*stage, *output, address_key(address));
                if self.reads.len() > INPUTS_MAX || !self.read_keys.insert(key) {
                    return;
                }
                if self.reads.len() == INPUTS_MAX {
                    self.report(rules::large_body::of_inputs(reference.span));
                }
                self.reads.push(Read {
                    reference: reference.clone(),
                });
            }
            Source::Argument { value, .. } => self.note_term_reads(value),
            _ => {}
        }
    }

    /// The same for everything in a term.
    pub(super) fn note_term_reads(&mut self, term: &Term) {
        match term {
            Term::Value(_) | Term::Every | Term::Unknown => {}
            Term::Reference(reference) => self.note_reads(reference),
            Term::Text(text) => {
                text.references()
                    .for_each(|reference| self.note_reads(reference));
            }
            Term::List(terms) => {
                terms.iter().for_each(|term| self.note_term_reads(term));
            }
        }
    }
}

/// A field of what a reference stands for.
fn with_field(reference: &Reference, field: String, ty: Type) -> Reference {
    let source = match reference.source.clone() {
        Source::Param { param, .. } => Source::Param {
            param,
            field: Some(field),
        },
        Source::Loop { variable, name, .. } => Source::Loop {
            variable,
            name,
            field: Some(field),
            is_plain: false,
        },
        other => other,
    };
    Reference {
        source,
        ty,
        span: reference.span,
    }
}

/// Whether it is the `*` of an address.
fn is_every(index: &ast::Index) -> bool {
    matches!(index, ast::Index::Every(_))
}

/// How a run can end, as its finally stages see it.
fn outcome_type() -> Type {
    let words = ["succeeded", "failed", "cancelled", "timed-out"];
    Type::Words(words.map(str::to_owned).to_vec())
}

/// A type without its bounds: an index outside them is an item that does not exist.
fn unbounded(ty: &Type) -> Type {
    match ty {
        Type::Int(_) => Type::Int(None),
        Type::Words(_) => Type::String,
        other => other.clone(),
    }
}
