//! `x-kubernetes-validations`: rules in CEL, at any level of a schema.
//!
//! A schema enters and is compiled once; objects enter, with what they were before, and the rules
//! they break leave. Rules that compare with `oldSelf` are checked only where the old value is
//! known; the others are not checked for a value that is unchanged.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cel::common::types::{CelInt, CelOptional, LIST_TYPE};
use cel::common::value::{CowVal, Val};
use cel::objects::Map;
use cel::{Context, Env, ExecutionError, Program, Value as Cel};
use indexmap::IndexMap;
use serde_json::Value;

use super::old::Old;
use crate::field::Path;
use crate::schema::{Schema, Type, field_of};
use crate::status::Cause;

/// CEL with what Kubernetes adds to it, as far as it is needed.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // None of these names is declared twice: that is what could fail.
    let declared = [
        env.add_extension(cel::extensions::strings),
        env.add_extension(cel::extensions::lists),
        env.add_member_overload("sum", "list.sum()", LIST_TYPE, Vec::new(), sum),
    ];
    debug_assert!(declared.iter().all(Result::is_ok), "{declared:?}");
    Arc::new(env)
});

/// The functions that rules may call, by the names the parser gives them.
const OPERATORS_PREFIXES: [char; 3] = ['_', '!', '@'];
const FUNCTIONS: [&str; 36] = [
    "-_",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "bytes",
    "type",
    "dyn",
    "sum",
    "charAt",
    "indexOf",
    "lastIndexOf",
    "join",
    "lowerAscii",
    "upperAscii",
    "replace",
    "split",
    "substring",
    "trim",
    "reverse",
    "hasValue",
    "value",
    "orValue",
    "optMap",
];

/// The sum of a list of integers.
fn sum<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let list = args
        .pop()
        .ok_or_else(ExecutionError::missing_argument_or_target)?;
    let items = list.as_ref().as_iterable();
    let mut items = items
        .ok_or_else(|| ExecutionError::function_error("sum", "not a list"))?
        .iter();
    let mut total: i64 = 0;
    while let Some(item) = items.next() {
        let item: Option<&CelInt> = item.downcast_ref();
        total = item
            .and_then(|item| total.checked_add(*item.inner()))
            .ok_or_else(|| ExecutionError::function_error("sum", "no such overload"))?;
    }
    Ok(CowVal::owned(CelInt::from(total)))
}

/// The rules of a schema, and of what is below it.
#[derive(Debug, Default)]
pub(super) struct RuleTree {
    rules: Vec<Rule>,
    properties: IndexMap<String, RuleTree>,
    additional: Option<Box<RuleTree>>,
    items: Option<Box<RuleTree>>,
}

#[derive(Debug)]
struct Rule {
    program: Arc<Program>,
    text: String,
    message: String,
    message_expression: Option<Arc<Program>>,
    reason: String,
    field: String,
    /// Whether it asks about `oldSelf`.
    compares: bool,
    /// Whether `oldSelf` is an optional, so that the rule is asked about new values too.
    optional_old: bool,
}

/// What is wrong with a rule itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleError {
    pub(super) path: String,
    pub(super) rule: String,
    pub(super) why: String,
}

impl RuleTree {
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
            && self.properties.is_empty()
            && self.additional.is_none()
            && self.items.is_none()
    }

    /// Compiles the rules of an OpenAPI schema; what can't be compiled is reported.
    pub(super) fn parse(source: &Value, path: &str, errors: &mut Vec<RuleError>) -> Self {
        if !source.is_object() {
            return Self::default();
        }
        let rules = source["x-kubernetes-validations"].as_array();
        let rules = rules.into_iter().flatten().enumerate();
        let rules = rules.filter_map(|(index, rule)| {
            Rule::parse(rule)
                .map_err(|why| {
                    errors.push(RuleError {
                        path: format!("{path}.x-kubernetes-validations[{index}].rule"),
                        rule: rule["rule"].as_str().unwrap_or_default().to_owned(),
                        why,
                    });
                })
                .ok()
        });
        let rules: Vec<Rule> = rules.collect();
        let mut tree = Self {
            rules,
            ..Self::default()
        };
        for (name, property) in source["properties"].as_object().into_iter().flatten() {
            let below = Self::parse(property, &format!("{path}.properties[{name}]"), errors);
            if !below.is_empty() {
                tree.properties.insert(name.clone(), below);
            }
        }
        let mut boxed = |name: &str| {
            let below = Self::parse(&source[name], &format!("{path}.{name}"), errors);
            (!below.is_empty()).then(|| Box::new(below))
        };
        tree.additional = boxed("additionalProperties");
        tree.items = boxed("items");
        tree
    }

    /// The rules that an object breaks.
    pub(super) fn check(
        &self,
        value: &Value,
        old: Option<&Value>,
        schema: &Arc<Schema>,
        path: &Path,
    ) -> Vec<Cause> {
        let old = old.map(|value| Old {
            value,
            schema: schema.clone(),
        });
        let mut causes = Vec::new();
        let unchanged = old.as_ref().is_some_and(|old| old.value == value);
        self.walk(
            value,
            old.as_ref(),
            unchanged,
            schema,
            path,
            true,
            &mut causes,
        );
        causes
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a walk carries where it is, now and before"
    )]
    fn walk(
        &self,
        value: &Value,
        old: Option<&Old<'_>>,
        unchanged: bool,
        schema: &Schema,
        path: &Path,
        root: bool,
        causes: &mut Vec<Cause>,
    ) {
        if value.is_null() {
            return;
        }
        // If the old value is unknown, what counts is whether the whole around it is unchanged.
        let unchanged = old.map_or(unchanged, |old| old.value == value);
        self.check_here(value, old, unchanged, schema, path, root, causes);
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let (below, path) = match self.properties.get(name) {
                        Some(below) => (below, path.child(name)),
                        None => match &self.additional {
                            Some(below) => (below.as_ref(), path.key(name)),
                            None => continue,
                        },
                    };
                    let old = old.and_then(|old| old.field(name));
                    let schema = field_of(schema, name);
                    below.walk(
                        value,
                        old.as_ref(),
                        unchanged,
                        &schema,
                        &path,
                        false,
                        causes,
                    );
                }
            }
            Value::Array(items) => {
                let (Some(below), Some(schema)) = (&self.items, &schema.items) else {
                    return;
                };
                for (index, item) in items.iter().enumerate() {
                    let old = old.and_then(|old| old.item(item));
                    let path = path.index(index);
                    below.walk(item, old.as_ref(), unchanged, schema, &path, false, causes);
                }
            }
            _ => {}
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a walk carries where it is, now and before"
    )]
    fn check_here(
        &self,
        value: &Value,
        old: Option<&Old<'_>>,
        unchanged: bool,
        schema: &Schema,
        path: &Path,
        root: bool,
        causes: &mut Vec<Cause>,
    ) {
        if self.rules.is_empty() {
            return;
        }
        let this = to_cel(value, schema, root);
        let before = old.map(|old| to_cel(old.value, schema, root));
        for rule in &self.rules {
            if !rule.compares && unchanged {
                continue;
            }
            if rule.compares && before.is_none() && !rule.optional_old {
                continue;
            }
            causes.extend(rule.check(&this, before.as_ref(), value, path));
        }
    }
}

impl Rule {
    fn parse(source: &Value) -> Result<Self, String> {
        let text = |name: &str| source[name].as_str().unwrap_or_default().trim().to_owned();
        let rule = text("rule");
        let program = compile(&rule)?;
        let message_expression = match text("messageExpression") {
            expression if expression.is_empty() => None,
            expression => Some(compile(&expression)?),
        };
        Ok(Self {
            compares: program.references().has_variable("oldSelf"),
            program,
            message: text("message"),
            message_expression,
            reason: text("reason"),
            field: text("fieldPath").trim_start_matches('.').to_owned(),
            optional_old: source["optionalOldSelf"] == true,
            text: rule,
        })
    }

    fn check(&self, this: &Cel, old: Option<&Cel>, value: &Value, path: &Path) -> Option<Cause> {
        let context = self.context(this, old);
        let here = match self.field.as_str() {
            "" => path.clone(),
            field => path.child(field),
        };
        let named = if self.message.is_empty() {
            &self.text
        } else {
            &self.message
        };
        match self.program.execute(&context) {
            Ok(Cel::Bool(true)) => None,
            Ok(_) => {
                let why = self.explain(&context);
                let shown = (!value.is_object() && !value.is_array()).then_some(value);
                Some(self.cause(&here, shown, &why))
            }
            Err(error) => {
                let why = format!("{} evaluating rule: {named}", message_of(&error));
                Some(path.invalid(type_name(value), why))
            }
        }
    }

    fn context(&self, this: &Cel, old: Option<&Cel>) -> Context<'static, 'static> {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        context.add_variable_from_value("self", this.clone());
        if self.optional_old {
            let old = match old.cloned().map(Box::<dyn Val>::try_from) {
                Some(Ok(old)) => CelOptional::of(old),
                _ => CelOptional::none(),
            };
            context.add_variable_as_val("oldSelf", Box::new(old));
        } else if let Some(old) = old {
            context.add_variable_from_value("oldSelf", old.clone());
        }
        context
    }

    fn explain(&self, context: &Context<'_, '_>) -> String {
        if let Some(expression) = &self.message_expression
            && let Ok(Cel::String(message)) = expression.execute(context)
            && !message.trim().is_empty()
        {
            return message.to_string();
        }
        if self.message.is_empty() {
            return format!("failed rule: {}", self.text);
        }
        self.message.clone()
    }

    fn cause(&self, path: &Path, value: Option<&Value>, why: &str) -> Cause {
        match (self.reason.as_str(), value) {
            ("FieldValueForbidden", _) => path.forbidden(why),
            ("FieldValueRequired", _) => path.required(why),
            ("FieldValueDuplicate", Some(value)) => path.duplicate(value.clone()),
            (_, Some(value)) => path.invalid(value.clone(), why),
            (_, None) => path.omitted(why),
        }
    }
}

/// The programs of rules that were compiled before: CRDs are applied again and again with the same
/// rules, and each simulated cluster has the same.
static COMPILED: Mutex<BTreeMap<String, Arc<Program>>> = Mutex::new(BTreeMap::new());
/// More than all CRDs of a laptop have; what comes after these is compiled each time.
const COMPILED_MAX: usize = 4096;

fn compile(rule: &str) -> Result<Arc<Program>, String> {
    let compiled = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = compiled().get(rule) {
        return Ok(Arc::clone(program));
    }
    let program = Arc::new(compile_uncached(rule)?);
    let mut compiled = compiled();
    if compiled.len() < COMPILED_MAX {
        compiled.insert(rule.to_owned(), Arc::clone(&program));
    }
    Ok(program)
}

fn compile_uncached(rule: &str) -> Result<Program, String> {
    let program = ENVIRONMENT
        .compile(rule)
        .map_err(|error| format!("compilation failed: {error}"))?;
    let references = program.references();
    for function in references.functions() {
        let is_supported =
            function.starts_with(OPERATORS_PREFIXES) || FUNCTIONS.contains(&function);
        if !is_supported {
            return Err(format!(
                "compilation failed: undeclared reference to '{function}' (in container '')"
            ));
        }
    }
    Ok(program)
}

fn message_of(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        other => other.to_string(),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value as rules see it: only what the schema declares, under names that CEL can say.
fn to_cel(value: &Value, schema: &Schema, root: bool) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::String(text) => Cel::from(text.as_str()),
        Value::Number(number) => match (schema.kind, number.as_i64()) {
            (Type::Number, _) | (_, None) => Cel::Float(number.as_f64().unwrap_or_default()),
            (_, Some(integer)) => Cel::Int(integer),
        },
        Value::Array(items) => {
            let anything = Arc::default();
            let schema = schema.items.as_ref().unwrap_or(&anything);
            let items = items.iter().map(|item| to_cel(item, schema, false));
            Cel::List(Arc::new(items.collect()))
        }
        Value::Object(fields) => {
            let map: HashMap<String, Cel> = fields
                .iter()
                .filter_map(|(name, value)| field_to_cel(name, value, schema, root))
                .collect();
            Cel::Map(Map::from(map))
        }
    }
}

fn field_to_cel(name: &str, value: &Value, schema: &Schema, root: bool) -> Option<(String, Cel)> {
    if (root || schema.embedded) && name == "metadata" {
        let own = ["name", "generateName"].into_iter().filter_map(|name| {
            let text = value[name].as_str()?;
            Some((name.to_owned(), Cel::from(text)))
        });
        let own: HashMap<String, Cel> = own.collect();
        return Some((name.to_owned(), Cel::Map(Map::from(own))));
    }
    if let Some(schema) = schema.properties.get(name) {
        return Some((escaped(name), to_cel(value, schema, false)));
    }
    // The keys of a map are data, and are as they are.
    let schema = schema.additional.as_ref()?;
    Some((name.to_owned(), to_cel(value, schema, false)))
}

/// The name of a field as rules write it.
fn escaped(name: &str) -> String {
    const RESERVED: [&str; 17] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
    ];
    if RESERVED.contains(&name) || ["return", "var", "void", "while"].contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}
