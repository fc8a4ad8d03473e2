//! What shape the objects of a kind have: one tree for built-in kinds and for custom resources.
//!
//! An OpenAPI v3 schema enters, Kubernetes' extensions included; a tree that is quick to walk
//! leaves. What is done along the tree has a module each: [`prune`], [`defaults`], [`typed`] for
//! built-in kinds, [`validate`] and [`rules`] for custom resources.

pub(crate) mod builtin;
pub(crate) mod defaults;
pub(crate) mod prune;
pub(crate) mod typed;

use std::sync::{Arc, LazyLock};

use indexmap::IndexMap;
use serde_json::Value;

/// What type a value has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
    /// Anything.
    #[default]
    Any,
}

/// What identifies the items of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    /// Nothing: the list is one value.
    #[default]
    Atomic,
    /// Their value.
    Set,
    /// These fields of theirs.
    Map(Vec<String>),
}

/// How a strategic merge patch treats a list or a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PatchStrategy {
    /// Items are matched by this field; lists of scalars by value, where it is absent.
    pub(crate) merge_key: Option<String>,
    pub(crate) merge: bool,
    pub(crate) retain_keys: bool,
    pub(crate) replace: bool,
}

/// The shape of a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    pub(crate) kind: Type,
    pub(crate) nullable: bool,
    pub(crate) properties: IndexMap<String, Arc<Schema>>,
    /// The shape of all other fields' values.
    pub(crate) additional: Option<Arc<Schema>>,
    pub(crate) items: Option<Arc<Schema>>,
    pub(crate) required: Vec<String>,
    pub(crate) default: Option<Value>,
    pub(crate) preserves_unknown: bool,
    /// Whether the value is an object with `apiVersion`, `kind` and `metadata`.
    pub(crate) embedded: bool,
    pub(crate) list_type: ListType,
    pub(crate) atomic_map: bool,
    pub(crate) patch: PatchStrategy,
    /// The Go type that decodes it, for messages; of built-in kinds only.
    pub(crate) format: String,
    /// The definition it comes from; of built-in kinds only.
    pub(crate) definition: Option<&'static str>,
}

impl Schema {
    /// The schema of a field, whether it is declared or one of many.
    pub(crate) fn field(&self, name: &str) -> Option<&Arc<Schema>> {
        self.properties.get(name).or(self.additional.as_ref())
    }

    /// Reads the keywords of this level; `nested` reads those below it.
    pub(crate) fn parse(source: &Value, nested: &mut dyn FnMut(&Value) -> Arc<Schema>) -> Self {
        let flag = |name: &str| source[name] == true;
        let int_or_string = flag("x-kubernetes-int-or-string");
        let mut schema = Self {
            kind: if int_or_string {
                Type::IntOrString
            } else {
                parse_type(&source["type"])
            },
            nullable: flag("nullable"),
            required: strings(&source["required"]),
            default: source
                .get("default")
                .filter(|value| !value.is_null())
                .cloned(),
            preserves_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            list_type: match source["x-kubernetes-list-type"].as_str() {
                Some("set") => ListType::Set,
                Some("map") => ListType::Map(strings(&source["x-kubernetes-list-map-keys"])),
                _ => ListType::Atomic,
            },
            atomic_map: source["x-kubernetes-map-type"] == "atomic",
            patch: PatchStrategy::parse(source),
            format: source["format"].as_str().unwrap_or_default().to_owned(),
            ..Self::default()
        };
        for (name, property) in source["properties"].as_object().into_iter().flatten() {
            schema.properties.insert(name.clone(), nested(property));
        }
        match &source["additionalProperties"] {
            Value::Bool(true) => schema.additional = Some(Arc::new(Self::anything())),
            additional @ Value::Object(_) => schema.additional = Some(nested(additional)),
            _ => {}
        }
        if source["items"].is_object() {
            schema.items = Some(nested(&source["items"]));
        }
        schema
    }

    /// A schema that keeps whatever is there.
    pub(crate) fn anything() -> Self {
        Self {
            preserves_unknown: true,
            nullable: true,
            ..Self::default()
        }
    }
}

/// The schema of a field; of one that is not declared, anything.
pub(crate) fn field_of(schema: &Schema, name: &str) -> Arc<Schema> {
    static ANYTHING: LazyLock<Arc<Schema>> = LazyLock::new(|| Arc::new(Schema::anything()));
    schema.field(name).unwrap_or(&ANYTHING).clone()
}

impl PatchStrategy {
    fn parse(source: &Value) -> Self {
        let strategies = source["x-kubernetes-patch-strategy"].as_str();
        let has = |name| {
            let mut strategies = strategies.unwrap_or_default().split(',');
            strategies.any(|strategy| strategy == name)
        };
        Self {
            merge_key: source["x-kubernetes-patch-merge-key"]
                .as_str()
                .map(str::to_owned),
            merge: has("merge"),
            retain_keys: has("retainKeys"),
            replace: has("replace"),
        }
    }
}

fn parse_type(source: &Value) -> Type {
    match source.as_str() {
        Some("object") => Type::Object,
        Some("array") => Type::Array,
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("number") => Type::Number,
        Some("boolean") => Type::Boolean,
        _ => Type::Any,
    }
}

fn strings(source: &Value) -> Vec<String> {
    let items = source.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
