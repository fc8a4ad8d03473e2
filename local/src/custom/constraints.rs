//! What values a schema takes: types, bounds, patterns, and combinations of them.
//!
//! A value enters, and what it was before; what is wrong with it leaves, in the words of the
//! validator that Kubernetes has. A part that is as it was is not complained about.

use indexmap::IndexMap;
use regex::Regex;
use serde_json::{Number, Value};

use super::format;
use super::old::Old;
use crate::field::Path;
use crate::status::Cause;

/// What values are taken.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    types: Vec<String>,
    format: String,
    nullable: bool,
    one_of_values: Option<Vec<Value>>,
    minimum: Option<Bound>,
    maximum: Option<Bound>,
    multiple_of: Option<Number>,
    length_min: Option<usize>,
    length_max: Option<usize>,
    pattern: Option<Regex>,
    items_min: Option<usize>,
    items_max: Option<usize>,
    fields_min: Option<usize>,
    fields_max: Option<usize>,
    required: Vec<String>,
    properties: IndexMap<String, Constraints>,
    additional: Option<Box<Constraints>>,
    items: Option<Box<Constraints>>,
    all_of: Vec<Constraints>,
    any_of: Vec<Constraints>,
    one_of: Vec<Constraints>,
    not: Option<Box<Constraints>>,
}

#[derive(Debug)]
struct Bound {
    limit: Number,
    exclusive: bool,
}

impl Constraints {
    /// Reads the keywords of an OpenAPI schema.
    ///
    /// # Errors
    /// If a pattern is no regular expression.
    pub(super) fn parse(source: &Value) -> Result<Self, String> {
        let count = |name: &str| source[name].as_u64().and_then(|n| usize::try_from(n).ok());
        let bound = |name: &str, exclusive: &str| {
            Some(Bound {
                limit: source[name].as_number()?.clone(),
                exclusive: source[exclusive] == true,
            })
        };
        let boxed = |source: &Value| -> Result<Option<Box<Self>>, String> {
            if !source.is_object() {
                return Ok(None);
            }
            Ok(Some(Box::new(Self::parse(source)?)))
        };
        let each = |name: &str| -> Result<Vec<Self>, String> {
            let schemas = source[name].as_array().into_iter().flatten();
            schemas.map(Self::parse).collect()
        };
        let mut properties = IndexMap::new();
        for (name, property) in source["properties"].as_object().into_iter().flatten() {
            properties.insert(name.clone(), Self::parse(property)?);
        }
        let types = match (
            &source["x-kubernetes-int-or-string"],
            source["type"].as_str(),
        ) {
            (Value::Bool(true), _) => vec!["integer".to_owned(), "string".to_owned()],
            (_, Some(name)) => vec![name.to_owned()],
            _ => Vec::new(),
        };
        let pattern = match source["pattern"].as_str() {
            Some(pattern) if !pattern.is_empty() => {
                Some(Regex::new(pattern).map_err(|error| format!("{pattern}: {error}"))?)
            }
            _ => None,
        };
        let required = source["required"].as_array().into_iter().flatten();
        Ok(Self {
            types,
            format: source["format"].as_str().unwrap_or_default().to_owned(),
            nullable: source["nullable"] == true,
            one_of_values: source["enum"].as_array().cloned(),
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: source["multipleOf"].as_number().cloned(),
            length_min: count("minLength"),
            length_max: count("maxLength"),
            pattern,
            items_min: count("minItems"),
            items_max: count("maxItems"),
            fields_min: count("minProperties"),
            fields_max: count("maxProperties"),
            required: required
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            properties,
            additional: boxed(&source["additionalProperties"])?,
            items: boxed(&source["items"])?,
            all_of: each("allOf")?,
            any_of: each("anyOf")?,
            one_of: each("oneOf")?,
            not: boxed(&source["not"])?,
        })
    }

    pub(super) fn property(&self, name: &str) -> Option<&Self> {
        self.properties.get(name)
    }

    /// Checks a value. `path` is its path from where the check began, for messages; `place` is
    /// its path in the object.
    pub(super) fn check(
        &self,
        value: &Value,
        old: Option<&Old<'_>>,
        path: &str,
        place: &Path,
        causes: &mut Vec<Cause>,
    ) {
        let before = causes.len();
        let report = Report { path, place };
        self.check_type(value, &report, causes);
        self.check_combinations(value, &report, causes);
        match value {
            Value::String(text) => self.check_text(text, &report, causes),
            Value::Number(number) => self.check_number(number, &report, causes),
            Value::Array(items) => self.check_items(items, old, &report, causes),
            _ => {}
        }
        if let Some(allowed) = &self.one_of_values
            && !allowed.contains(value)
            && !(value.is_null() && self.nullable)
        {
            let allowed: Vec<String> = allowed.iter().map(shown).collect();
            let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
            causes.push(place.not_supported(value.clone(), &allowed));
        }
        if let Value::Object(_) = value {
            self.check_fields(value, old, &report, causes);
        }
        if old.is_some_and(|old| old.value == value) {
            causes.truncate(before);
        }
    }

    fn check_type(&self, value: &Value, report: &Report<'_>, causes: &mut Vec<Cause>) {
        let Some(expected) = self.types.first() else {
            return;
        };
        let takes = |name: &str| self.types.iter().any(|allowed| allowed == name);
        let actual = match value {
            Value::Null if self.nullable => return,
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
        let fits = takes(actual)
            || (actual == "integer" && takes("number"))
            || (actual == "number" && whole && takes("integer"));
        if !fits {
            let expected = if self.types.len() > 1 {
                self.types.join(",")
            } else {
                expected.clone()
            };
            let why = format!(
                "must be of type {expected}: {}",
                crate::field::quote(actual)
            );
            causes.push(report.place.type_invalid(actual, report.say(&why)));
        }
    }

    fn check_text(&self, text: &str, report: &Report<'_>, causes: &mut Vec<Cause>) {
        let length = text.chars().count();
        if let Some(max) = self.length_max.filter(|max| length > *max) {
            // A text that is too long is not checked further.
            causes.push(report.place.too_long(max));
            return;
        }
        if let Some(min) = self.length_min.filter(|min| length < *min) {
            // As a real API server, which reports the first of length and pattern that fails.
            let why = report.say(&format!("should be at least {min} chars long"));
            causes.push(report.place.invalid(text, why));
        } else if let Some(pattern) = self
            .pattern
            .as_ref()
            .filter(|pattern| !pattern.is_match(text))
        {
            let why = report.say(&format!("should match '{pattern}'"));
            causes.push(report.place.invalid(text, why));
        }
        if !format::matches(&self.format, text) {
            let quoted = crate::field::quote(text);
            let why = report.say(&format!("must be of type {}: {quoted}", self.format));
            causes.push(report.place.type_invalid(text, why));
        }
    }

    fn check_number(&self, number: &Number, report: &Report<'_>, causes: &mut Vec<Cause>) {
        let value = || Value::Number(number.clone());
        let small = |number: f64| number >= f64::from(i32::MIN) && number <= f64::from(i32::MAX);
        if self.types == ["integer"]
            && self.format == "int32"
            && !number.as_f64().is_some_and(small)
        {
            let why = format!(
                "Checked value must be of type integer with format int32 in {}",
                report.path
            );
            causes.push(Path::new("<nil>").invalid("", why));
        }
        if let Some(bound) = &self.maximum {
            let order = compare(number, &bound.limit);
            if order.is_gt() || (bound.exclusive && order.is_eq()) {
                let or_equal = if bound.exclusive { "" } else { "or equal to " };
                let why = format!("should be less than {or_equal}{}", whole(&bound.limit));
                causes.push(report.place.invalid(value(), report.say(&why)));
            }
        }
        if let Some(bound) = &self.minimum {
            let order = compare(number, &bound.limit);
            if order.is_lt() || (bound.exclusive && order.is_eq()) {
                let or_equal = if bound.exclusive { "" } else { "or equal to " };
                let why = format!("should be greater than {or_equal}{}", whole(&bound.limit));
                causes.push(report.place.invalid(value(), report.say(&why)));
            }
        }
        if let Some(factor) = &self.multiple_of {
            let quotient = number.as_f64().unwrap_or_default() / factor.as_f64().unwrap_or(1.0);
            if quotient.fract() != 0.0 {
                let why = report.say(&format!("should be a multiple of {factor}"));
                causes.push(report.place.invalid(value(), why));
            }
        }
    }

    fn check_items(
        &self,
        items: &[Value],
        old: Option<&Old<'_>>,
        report: &Report<'_>,
        causes: &mut Vec<Cause>,
    ) {
        if let Some(constraints) = &self.items {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{}[{index}]", report.path);
                let before = old.and_then(|old| old.item(item));
                let place = report.place.index(index);
                constraints.check(item, before.as_ref(), &path, &place, causes);
            }
        }
        if let Some(min) = self.items_min.filter(|min| items.len() < *min) {
            let why = report.say(&format!("should have at least {min} items"));
            causes.push(report.place.invalid(items.to_vec(), why));
        }
        if let Some(max) = self.items_max.filter(|max| items.len() > *max) {
            causes.push(report.place.too_many(items.len(), max));
        }
    }

    fn check_fields(
        &self,
        value: &Value,
        old: Option<&Old<'_>>,
        report: &Report<'_>,
        causes: &mut Vec<Cause>,
    ) {
        let Some(fields) = value.as_object() else {
            return;
        };
        if let Some(min) = self.fields_min.filter(|min| fields.len() < *min) {
            let why = report.say(&format!("should have at least {min} properties"));
            causes.push(report.place.invalid(fields.len(), why));
        }
        if let Some(max) = self.fields_max.filter(|max| fields.len() > *max) {
            causes.push(report.place.too_many(fields.len(), max));
        }
        for (name, value) in fields {
            let declared = self.properties.get(name);
            let Some(constraints) = declared.or(self.additional.as_deref()) else {
                continue;
            };
            let path = match report.path {
                "" if declared.is_some() => name.clone(),
                above => format!("{above}.{name}"),
            };
            let before = old.and_then(|old| old.field(name));
            let place = report.place.child(name);
            constraints.check(value, before.as_ref(), &path, &place, causes);
        }
        for name in &self.required {
            if !fields.contains_key(name) {
                causes.push(report.place.child(name).required(""));
            }
        }
    }

    fn check_combinations(&self, value: &Value, report: &Report<'_>, causes: &mut Vec<Cause>) {
        let of = |constraints: &Self| {
            let mut causes = Vec::new();
            constraints.check(value, None, report.path, report.place, &mut causes);
            causes
        };
        let mut say = |why: &str| {
            let why = format!("{} {why}", crate::field::quote(report.path));
            causes.push(report.place.invalid("", why));
        };
        if !self.any_of.is_empty() && !self.any_of.iter().any(|option| of(option).is_empty()) {
            say("must validate at least one schema (anyOf)");
        }
        if !self.one_of.is_empty() {
            match self
                .one_of
                .iter()
                .filter(|option| of(option).is_empty())
                .count()
            {
                1 => {}
                0 => say("must validate one and only one schema (oneOf). Found none valid"),
                count => say(&format!(
                    "must validate one and only one schema (oneOf). Found {count} valid \
                     alternatives"
                )),
            }
        }
        let broken: Vec<Cause> = self.all_of.iter().flat_map(of).collect();
        if !broken.is_empty() {
            say("must validate all the schemas (allOf)");
        }
        if self.not.as_ref().is_some_and(|not| of(not).is_empty()) {
            say("must not validate the schema (not)");
        }
        causes.extend(broken);
    }
}

/// Where a value is, twice: for the message, and for the field.
struct Report<'a> {
    path: &'a str,
    place: &'a Path,
}

impl Report<'_> {
    fn say(&self, why: &str) -> String {
        format!("{} in body {why}", self.path)
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn compare(left: &Number, right: &Number) -> std::cmp::Ordering {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => {
            let number = |number: &Number| number.as_f64().unwrap_or_default();
            number(left).total_cmp(&number(right))
        }
    }
}

/// A limit as people write it: `1`, where the schema was kept with `1.0`.
fn whole(limit: &Number) -> Number {
    match limit.as_f64() {
        Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => Number::from(float as i64),
        _ => limit.clone(),
    }
}
