//! Fan-outs: what a stage goes over, as items.

use foldhash::{HashMap, HashMapExt};
use konductor_dsl::{Span, ast};

use super::{Resolver, Scope, Signature, Time, name};
use crate::eval::Values;
use crate::limits::{ITEMS_MAX, ITEMS_TOTAL_MAX, LOOPS_MAX};
use crate::pipeline::{Item, Loop, Term};
use crate::rules;
use crate::value::{Type, Value};

impl<'a> Resolver<'a> {
    /// What others may know of a stage: its items and its outputs.
    pub(super) fn signature(&mut self, index: usize, ast: &'a ast::Stage) -> Signature {
        let mut loops: Vec<Loop> = Vec::new();
        let mut values: Vec<Option<Vec<Value>>> = Vec::new();
        let clause = self.clauses(&ast.clauses, |kind| match kind {
            ast::ClauseKind::For(variables) => Some(variables),
            _ => None,
        });
        let mut complete = true;
        let mut is_listed = false;
        if let Some(last) = clause.and_then(|variables| variables.get(LOOPS_MAX)) {
            self.report(rules::large_fan_out::too_many_variables(last.span));
            complete = false;
        }
        for variable in clause.into_iter().flatten().take(LOOPS_MAX) {
            if self.is_taken(&variable.variable, &loops) {
                complete = false;
                continue;
            }
            if let Some(reference) = self.list_of(&variable.over) {
                is_listed = true;
                if clause.is_some_and(|all| all.len() > 1) {
                    self.report(rules::run_time_items::with_others(reference));
                }
                match self.item_type(reference) {
                    Some(ty) => loops.push(Loop {
                        name: name(&variable.variable),
                        ty,
                        counts_from_zero: false,
                        is_plain: false,
                    }),
                    None => {
                        self.broken.insert(&variable.variable.text);
                    }
                }
                continue;
            }
            match self.over(&variable.over) {
                Some((ty, counts_from_zero, over)) => {
                    let elements = over.as_deref().unwrap_or_default();
                    let is_empty = over.is_some() && elements.is_empty();
                    // A parameter may be empty in one run, without a warning.
                    if is_empty && rules::empty_fan_out::is_written_out(variable) {
                        let reported = rules::empty_fan_out::report(variable);
                        complete &= !reported.is_error();
                        self.report(reported);
                    }
                    if let Some((first, second)) = repeated(elements) {
                        let item = elements[second].key();
                        let over = &variable.over;
                        self.report(rules::duplicate_item::report(over, &item, first, second));
                        complete = false;
                    }
                    values.push(over);
                    loops.push(Loop {
                        name: name(&variable.variable),
                        ty,
                        counts_from_zero,
                        is_plain: rules::value_as_code::is_of_plain_words(variable),
                    });
                }
                None => {
                    complete = false;
                    self.broken.insert(&variable.variable.text);
                }
            }
        }
        let span = clause
            .map(|variables| loops_span(variables))
            .unwrap_or(ast.name.span);
        let items = if complete && !is_listed {
            self.product(&values, span)
        } else {
            None
        };
        Signature {
            is_broken: loops.len() < clause.map_or(0, Vec::len),
            loops,
            items,
            is_listed,
            outputs: self.outputs[index].clone(),
        }
    }

    /// The list that a stage writes, if that is what a loop goes over.
    pub(super) fn list_of<'o>(&self, over: &'o ast::Over) -> Option<&'o ast::Ref> {
        match over {
            ast::Over::Ref(reference)
                if !reference.fields.is_empty()
                    && self.names.stage_index.contains_key(&*reference.head.text) =>
            {
                Some(reference)
            }
            ast::Over::Ref(_) | ast::Over::Range(_) | ast::Over::List(_) => None,
        }
    }

    /// The type of an item of such a list. What the reference is else is looked at with its stage.
    fn item_type(&mut self, reference: &ast::Ref) -> Option<Type> {
        let stage = *self.names.stage_index.get(&*reference.head.text)?;
        let [field] = reference.fields.as_slice() else {
            return None;
        };
        let mut outputs = self.outputs[stage].iter();
        let output = outputs.find(|output| output.name.text == field.text)?;
        let is_every = |index: &ast::Index| matches!(index, ast::Index::Every(_));
        let address = reference.address.as_ref();
        let is_gathered = address.is_some_and(|address| address.indices.iter().any(is_every));
        let ty = output.ty.clone();
        match ty {
            Type::List(item) if !is_gathered => Some(*item),
            ty if !is_gathered => {
                let problem = rules::wrong_type::no_list_of(reference, &field.text, &ty);
                self.report(problem);
                None
            }
            Type::List(_) | Type::Record(_) | Type::File | Type::Dir => {
                self.report(rules::run_time_items::no_item(reference, &ty));
                None
            }
            ty => Some(ty),
        }
    }

    fn is_taken(&mut self, variable: &ast::Name, loops: &[Loop]) -> bool {
        let text = variable.text.as_str();
        let param = self
            .params
            .iter()
            .map(|param| &param.name)
            .find(|name| name.text == text);
        let other = loops
            .iter()
            .map(|other| &other.name)
            .find(|name| name.text == text);
        let stage = self
            .names
            .stage_index
            .get(text)
            .map(|stage| self.names.stages[*stage].name.span);
        let first = param.or(other).map(|name| name.span).or(stage);
        if let Some(first) = first {
            self.report(rules::duplicate_name::report(
                variable,
                "loop variable",
                first,
            ));
        }
        first.is_some()
    }

    /// The type and the elements of what a loop goes over; no elements where a parameter has no
    /// value.
    fn over(&mut self, over: &ast::Over) -> Option<(Type, bool, Option<Vec<Value>>)> {
        match over {
            ast::Over::Range(range) => {
                let (start, end) = self.range_bounds(range)?;
                let (Some(start), Some(end)) = (start, end) else {
                    return Some((Type::Int(None), false, None));
                };
                let last = if range.inclusive {
                    end
                } else {
                    end.saturating_sub(1)
                };
                let count = last.saturating_sub(start).saturating_add(1);
                if count > ITEMS_MAX as i64 {
                    self.report(rules::large_fan_out::report(range.span, &count.to_string()));
                    return None;
                }
                let values = (start..=last).map(Value::Int).collect();
                Some((Type::Int(None), start == 0, Some(values)))
            }
            ast::Over::List(list) => {
                let ty = self.element_type(list)?;
                if matches!(ty, Type::List(_)) {
                    self.report(rules::bad_type::nested_list(list.span));
                    return None;
                }
                let value = ast::Value::List(list.clone());
                let expected = Type::List(Box::new(ty.clone()));
                let term = self.term(&value, &expected, Scope::PIPELINE, Time::Compile)?;
                Some((ty, false, self.elements(&term)))
            }
            ast::Over::Ref(reference) => {
                let before = self.diagnostics.len();
                let resolved = self.reference(reference, Scope::PIPELINE, Time::Compile);
                rules::unknown_name::in_loop(&mut self.diagnostics[before..], reference);
                let resolved = resolved?;
                let Type::List(item) = resolved.ty.clone() else {
                    self.report(rules::wrong_type::no_list(reference.span, &resolved.ty));
                    return None;
                };
                Some((*item, false, self.elements(&Term::Reference(resolved))))
            }
        }
    }

    /// Both bounds; `None` inside where a parameter has no value.
    fn range_bounds(&mut self, range: &ast::Range) -> Option<(Option<i64>, Option<i64>)> {
        let start = self.bound(&range.start, &Type::Int(None), Scope::PIPELINE);
        let end = self.bound(&range.end, &Type::Int(None), Scope::PIPELINE);
        let values = Values {
            params: &self.params,
            item: &[],
        };
        Some((values.int(&Some(start?)), values.int(&Some(end?))))
    }

    /// The type of a list's elements is that of the first. A word that means nothing is most likely a text without
    /// quotes, as those behind it are.
    fn element_type(&mut self, list: &ast::List) -> Option<Type> {
        match list.items.first() {
            None => Some(Type::String),
            Some(ast::Value::Ref(word))
                if word.fields.is_empty()
                    && word.address.is_none()
                    && self.names.declared(&word.head.text).is_none() =>
            {
                Some(Type::String)
            }
            Some(first) => self.type_of(first, Scope::PIPELINE),
        }
    }

    fn elements(&self, term: &Term) -> Option<Vec<Value>> {
        match (Values {
            params: &self.params,
            item: &[],
        })
        .term(term)?
        {
            Value::List(values) => Some(values),
            _ => None,
        }
    }

    /// Every combination, the last variable fastest. Without a `for` there is one, of nothing.
    fn product(&mut self, values: &[Option<Vec<Value>>], span: Span) -> Option<Vec<Item>> {
        let values: Vec<&Vec<Value>> = values.iter().map(Option::as_ref).collect::<Option<_>>()?;
        let count = values
            .iter()
            .try_fold(1_usize, |n, list| n.checked_mul(list.len()));
        let count = count.unwrap_or(usize::MAX);
        if count > ITEMS_MAX {
            self.report(rules::large_fan_out::report(span, &count.to_string()));
            return None;
        }
        self.items = self.items.saturating_add(count);
        if self.items > ITEMS_TOTAL_MAX {
            self.report(rules::large_fan_out::too_many_items(span));
            return None;
        }
        let mut items = vec![Item { values: Vec::new() }];
        for list in values {
            let longer = items.iter().flat_map(|item| {
                list.iter().map(|value| {
                    let mut values = item.values.clone();
                    values.push(value.clone());
                    Item { values }
                })
            });
            items = longer.collect();
        }
        Some(items)
    }
}

/// The places of the first two elements that are called the same.
fn repeated(values: &[Value]) -> Option<(usize, usize)> {
    let mut seen = HashMap::with_capacity(values.len());
    values.iter().enumerate().find_map(|(place, value)| {
        let first = seen.insert(value.key(), place)?;
        Some((first, place))
    })
}

fn loops_span(variables: &[ast::Loop]) -> Span {
    match (variables.first(), variables.last()) {
        (Some(first), Some(last)) => first.span.to(last.span),
        _ => Span::default(),
    }
}
