//! What a server serves: each kind with its names, its subresources and its rules.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::custom::Custom;
use crate::kind::Kind;
use crate::managed::apply::Writer;
use crate::metadata;
use crate::names::NameRule;
use crate::schema::{Schema, defaults, prune, typed};
use crate::status::{Cause, Status};
use crate::subresource::{ScalePaths, Subresource};

/// What is particular to a built-in kind.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// Fills in what a request left out.
    pub(crate) default: fn(&mut Value),
    /// Sets what only the server decides about a new object.
    pub(crate) prepare_create: fn(&mut Value),
    /// Keeps what an update of the whole object can't change.
    pub(crate) prepare_update: fn(&mut Value, &Value),
    pub(crate) validate: fn(&Value) -> Vec<Cause>,
    pub(crate) validate_update: fn(&Value, &Value) -> Vec<Cause>,
    pub(crate) validate_status_update: fn(&Value, &Value) -> Vec<Cause>,
    /// The warnings for an object that is stored nevertheless, without those that its last version had.
    pub(crate) warn: fn(&Value, Option<&Value>) -> Vec<String>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Rules")
    }
}

/// Rules that change nothing and accept everything.
pub(crate) const NO_RULES: Rules = Rules {
    default: |_| {},
    prepare_create: |_| {},
    prepare_update: |_, _| {},
    validate: |_| Vec::new(),
    validate_update: |_, _| Vec::new(),
    validate_status_update: |_, _| Vec::new(),
    warn: |_, _| Vec::new(),
};

/// Where the meaning of a kind comes from.
#[derive(Clone, Debug)]
pub(crate) enum Nature {
    Builtin(Rules),
    Custom(Arc<Custom>),
}

/// A column that a custom resource prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) format: String,
    pub(crate) description: String,
    pub(crate) priority: i64,
    pub(crate) json_path: String,
}

/// What clients may do with the objects of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// All that the API has.
    All,
    /// Only read them, and why that is so.
    Read(&'static str),
    /// Only ask: the answer is not stored.
    Ask,
}

/// A kind whose objects are stored as those of another kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// From what is stored to what is served.
    pub(crate) serve: fn(&Value) -> Value,
    /// From what is served to what is stored.
    pub(crate) store: fn(&mut Value),
}

/// A kind as it is served in one version.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) kind: Kind,
    /// The `apiVersion` that it is served with.
    pub(crate) api_version: String,
    /// The `apiVersion` that its objects are stored with.
    pub(crate) storage_api_version: String,
    pub(crate) singular: String,
    pub(crate) list_kind: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) name_rule: NameRule,
    pub(crate) has_status: bool,
    pub(crate) scale: Option<ScalePaths>,
    /// Whether `metadata.generation` counts the changes of the spec.
    pub(crate) has_generation: bool,
    /// Whether replacing an object that is not there makes it.
    pub(crate) create_on_update: bool,
    /// Whether an object is replaced without naming the version that is replaced.
    pub(crate) unconditional_update: bool,
    /// Whether a deletion is answered with the object instead of a Status.
    pub(crate) returns_deleted: bool,
    /// Whether dependents are kept where a deletion does not say.
    pub(crate) orphans_by_default: bool,
    /// Whether all objects of a namespace can be deleted at once.
    pub(crate) deletes_collections: bool,
    /// What fields, beside name and namespace, objects are selected by.
    pub(crate) selectable: Vec<String>,
    pub(crate) columns: Vec<Column>,
    pub(crate) schema: Arc<Schema>,
    /// What every object of the kind has, as far as managed fields are concerned.
    pub(crate) skeleton: Value,
    pub(crate) nature: Nature,
    pub(crate) usage: Usage,
    /// How its objects are stored, if not as they are served.
    pub(crate) view: Option<View>,
}

impl Definition {
    /// Reads an object that a client sent: fills in defaults, drops unknown fields and returns
    /// their paths.
    ///
    /// # Errors
    /// If a value is not of its type.
    pub(crate) fn decode(&self, value: &mut Value) -> Result<Vec<String>, Status> {
        match &self.nature {
            Nature::Builtin(rules) => {
                let unknown =
                    typed::decode(value, &self.schema).map_err(|why| self.bad_object(&why))?;
                (rules.default)(value);
                Ok(unknown)
            }
            Nature::Custom(_) => {
                let mut unknown = decode_metadata(value).map_err(Status::bad_request)?;
                defaults::fill(value, &self.schema);
                unknown.extend(prune::prune(value, &self.schema));
                defaults::drop_nulls(value, &self.schema);
                Ok(unknown)
            }
        }
    }

    /// Who writes, as managed fields remember it.
    pub(crate) fn writer<'a>(
        &'a self,
        subresource: Option<Subresource>,
        name: &'a str,
        time: &'a str,
    ) -> Writer<'a> {
        let reset: &[&str] = match (subresource, &self.nature) {
            (Some(Subresource::Status), Nature::Builtin(_)) => &["spec"],
            (Some(Subresource::Status), Nature::Custom(_)) => &["metadata", "spec"],
            _ if self.has_status => &["status"],
            _ => &[],
        };
        Writer {
            name,
            api_version: &self.api_version,
            subresource: subresource.map_or("", Subresource::as_str),
            time,
            schema: &self.schema,
            reset,
        }
    }

    /// An object of this kind that can't be read.
    pub(crate) fn bad_object(&self, why: &str) -> Status {
        let kind = &self.kind;
        Status::bad_request(format!(
            "{0} in version \"{1}\" cannot be handled as a {0}: {why}",
            kind.kind, kind.version
        ))
    }

    /// Sets what only the server decides about a new object.
    pub(crate) fn prepare_create(&self, value: &mut Value) {
        if self.has_status {
            remove(value, "status");
        }
        if let Nature::Builtin(rules) = &self.nature {
            (rules.prepare_create)(value);
        }
    }

    /// Keeps what an update can't change, by whether it is of the object or of a subresource.
    pub(crate) fn prepare_update(
        &self,
        value: &mut Value,
        old: &Value,
        subresource: Option<Subresource>,
    ) {
        let of_status = subresource == Some(Subresource::Status);
        match &self.nature {
            Nature::Builtin(_) if of_status => keep(value, old, "spec"),
            Nature::Builtin(rules) => {
                if self.has_status {
                    keep(value, old, "status");
                }
                (rules.prepare_update)(value, old);
                if self.has_generation && value["spec"] != old["spec"] {
                    metadata::raise_generation(value);
                }
            }
            Nature::Custom(_) if of_status => {
                let status = value.get_mut("status").map(Value::take);
                value.clone_from(old);
                match status {
                    Some(status) => value["status"] = status,
                    None => remove(value, "status"),
                }
            }
            Nature::Custom(_) => {
                if self.has_status {
                    keep(value, old, "status");
                }
                if differs_beside_metadata(value, old) {
                    metadata::raise_generation(value);
                }
            }
        }
    }

    fn validate_metadata(&self, value: &Value) -> Vec<Cause> {
        let mut causes = metadata::validate(value, self.kind.namespaced, self.name_rule);
        if matches!(self.nature, Nature::Builtin(_)) {
            causes.extend(metadata::validate_standard_finalizers(value));
        }
        causes
    }

    /// What is wrong with a new object.
    pub(crate) fn validate_create(&self, value: &Value) -> Vec<Cause> {
        let mut causes = self.validate_metadata(value);
        causes.extend(match &self.nature {
            Nature::Builtin(rules) => (rules.validate)(value),
            Nature::Custom(custom) => {
                custom.validate_create(&self.schema, self.scale.as_ref(), value)
            }
        });
        causes
    }

    /// What the client should know about an object, new or changed, that is valid.
    pub(crate) fn warn(&self, value: &Value, old: Option<&Value>) -> Vec<String> {
        match &self.nature {
            Nature::Builtin(rules) => (rules.warn)(value, old),
            Nature::Custom(_) => Vec::new(),
        }
    }

    /// Returns what is wrong with a change. A real server checks the metadata twice, for all kinds and for
    /// each kind, and reports its mistakes twice.
    pub(crate) fn validate_update(
        &self,
        value: &Value,
        old: &Value,
        subresource: Option<Subresource>,
    ) -> Vec<Cause> {
        let mut causes = self.validate_metadata(value);
        causes.extend(metadata::validate_update(value, old));
        causes.extend(metadata::validate_update(value, old));
        match (&self.nature, subresource) {
            (Nature::Builtin(rules), Some(Subresource::Status)) => {
                causes.extend((rules.validate_status_update)(value, old));
            }
            (Nature::Builtin(rules), _) => {
                causes.extend((rules.validate)(value));
                causes.extend((rules.validate_update)(value, old));
            }
            (Nature::Custom(custom), _) => {
                causes.extend(custom.validate_update(
                    &self.schema,
                    self.scale.as_ref(),
                    (value, old),
                    subresource,
                ));
            }
        }
        causes
    }

    /// The object as a read of the real store gives it: with what the schema has defaults for.
    pub(crate) fn as_read(&self, value: &Value) -> Option<Value> {
        if matches!(self.nature, Nature::Builtin(_)) {
            return None;
        }
        let mut filled = value.clone();
        defaults::fill(&mut filled, &self.schema);
        (filled != *value).then_some(filled)
    }

    /// The object as this version serves it.
    pub(crate) fn serve(&self, value: &Arc<Value>) -> Arc<Value> {
        if value["apiVersion"] == self.api_version.as_str() {
            return value.clone();
        }
        let mut converted = match self.view {
            Some(view) => (view.serve)(value),
            None => (**value).clone(),
        };
        converted["apiVersion"] = self.api_version.as_str().into();
        Arc::new(converted)
    }

    /// Makes of an object of this version what is stored of it.
    pub(crate) fn store(&self, value: &mut Value) {
        if let Some(view) = self.view {
            (view.store)(value);
        }
        value["apiVersion"] = self.storage_api_version.as_str().into();
    }
}

fn differs_beside_metadata(value: &Value, old: &Value) -> bool {
    let content = |value: &Value| {
        let mut value = value.clone();
        remove(&mut value, "metadata");
        value
    };
    content(value) != content(old)
}

/// Takes a field as it was.
fn keep(value: &mut Value, old: &Value, field: &str) {
    match old.get(field) {
        Some(before) => value[field] = before.clone(),
        None => remove(value, field),
    }
}

fn remove(value: &mut Value, field: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove(field);
    }
}

/// Reads the metadata of a custom resource as the typed server does.
fn decode_metadata(value: &mut Value) -> Result<Vec<String>, String> {
    let Some(schema) = crate::schema::builtin::schema(OBJECT_META) else {
        return Ok(Vec::new());
    };
    let Some(metadata) = value.get_mut("metadata") else {
        return Ok(Vec::new());
    };
    let unknown = typed::decode(metadata, &schema)?.into_iter();
    Ok(unknown.map(|path| format!("metadata.{path}")).collect())
}

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
