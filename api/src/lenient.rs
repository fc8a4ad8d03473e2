//! Objects of a list or a watch that decode one by one: an object that can't be decoded is skipped,
//! and doesn't take the others with it.
//!
//! Whoever may create an object in any namespace may store one that a client can't decode: an API
//! server accepts times outside every library's range, and fields that are nested deeper than a
//! decoder goes. A list that is decoded as a whole then fails for everybody.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The way to a field: `["metadata", "managedFields"]`.
pub type Path = &'static [&'static str];

/// `metadata.managedFields`: who wrote which field. Large, nested, and of no use to a controller.
pub const MANAGED_FIELDS: Path = &["metadata", "managedFields"];

/// Which fields of a kind are left out before it is decoded.
pub trait Shape<K>: Clone + fmt::Debug + Send + Sync + 'static {
    /// Their paths.
    const LEFT_OUT: &'static [Path];
}

/// Everything but [`MANAGED_FIELDS`].
#[derive(Clone, Copy, Debug)]
pub struct Whole;

impl<K> Shape<K> for Whole {
    const LEFT_OUT: &'static [Path] = &[MANAGED_FIELDS];
}

/// One object, or what is known of one that can't be decoded. Decoding it never fails, so that a list
/// of them, or a watch, fails only where it is no list at all.
///
/// Use it in place of the kind: `Api<Lenient<Job>>`.
#[derive(Clone, Debug)]
pub struct Lenient<K, S = Whole> {
    inner: Inner<K>,
    shape: PhantomData<S>,
}

#[derive(Clone, Debug)]
enum Inner<K> {
    Object(K),
    Undecodable(Undecodable),
}

/// An object that can't be decoded.
///
/// It has no content and no words of the decoder, which may repeat content: both go into logs that
/// more people may read than the object.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind} {} can't be decoded", Place(.metadata))]
pub struct Undecodable {
    /// Its kind.
    pub kind: String,
    /// Its name, namespace, uid and resourceVersion, and nothing else.
    pub metadata: Box<ObjectMeta>,
}

struct Place<'a>(&'a ObjectMeta);

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |text: &Option<String>| match text.as_deref() {
            None | Some("") => "?".to_owned(),
            Some(text) => text.escape_debug().to_string(),
        };
        write!(
            formatter,
            "{}/{}",
            word(&self.0.namespace),
            word(&self.0.name)
        )
    }
}

impl<K, S> Lenient<K, S> {
    /// The object.
    ///
    /// # Errors
    /// What is known of one that can't be decoded.
    pub fn decoded(self) -> Result<K, Undecodable> {
        match self.inner {
            Inner::Object(object) => Ok(object),
            Inner::Undecodable(undecodable) => Err(undecodable),
        }
    }
}

impl<K, S> From<K> for Lenient<K, S> {
    fn from(object: K) -> Self {
        Self {
            inner: Inner::Object(object),
            shape: PhantomData,
        }
    }
}

impl<'de, K, S> Deserialize<'de> for Lenient<K, S>
where
    K: DeserializeOwned + Resource<DynamicType = ()>,
    S: Shape<K>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Raw text has no limit of depth and no number out of range.
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        // Whoever keeps objects keeps them by their names.
        let is_named = |object: &K| {
            object
                .meta()
                .name
                .as_ref()
                .is_some_and(|name| !name.is_empty())
        };
        let inner = match decode(&raw, S::LEFT_OUT).ok().filter(is_named) {
            Some(object) => Inner::Object(object),
            None => Inner::Undecodable(Undecodable {
                kind: K::kind(&()).into_owned(),
                metadata: Box::new(identity(&raw)),
            }),
        };
        Ok(Self {
            inner,
            shape: PhantomData,
        })
    }
}

impl<K: Serialize, S> Serialize for Lenient<K, S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        match &self.inner {
            Inner::Object(object) => object.serialize(serializer),
            Inner::Undecodable(undecodable) => Err(T::Error::custom(undecodable)),
        }
    }
}

impl<K: Resource, S> Resource for Lenient<K, S> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(kind)
    }

    fn group(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::group(kind)
    }

    fn version(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::version(kind)
    }

    fn api_version(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::api_version(kind)
    }

    fn plural(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(kind)
    }

    fn url_path(kind: &Self::DynamicType, namespace: Option<&str>) -> String {
        K::url_path(kind, namespace)
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.inner {
            Inner::Object(object) => object.meta(),
            Inner::Undecodable(undecodable) => &undecodable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.inner {
            Inner::Object(object) => object.meta_mut(),
            Inner::Undecodable(undecodable) => &mut undecodable.metadata,
        }
    }
}

/// An answer of an API server without anybody's managed fields: an object, a list, or an event of a
/// watch. `None` if there is nothing to leave out, or the answer is of another kind.
pub fn without_managed_fields(answer: &str) -> Option<String> {
    if !answer.contains("managedFields") {
        return None;
    }
    let mut text = String::with_capacity(answer.len());
    copy_answer(answer, &mut text).ok()?;
    Some(text)
}

fn copy_answer(answer: &str, to: &mut String) -> serde_json::Result<()> {
    let fields: Fields<'_> = serde_json::from_str(answer)?;
    to.push('{');
    for (index, (key, value)) in fields.0.into_iter().enumerate() {
        if index > 0 {
            to.push(',');
        }
        to.push_str(&serde_json::to_string(&key)?);
        to.push(':');
        match key.as_str() {
            "metadata" => copy_without(value, &[&MANAGED_FIELDS[1..]], to)?,
            "object" => copy_without(value, &[MANAGED_FIELDS], to)?,
            "items" if value.get().starts_with('[') => {
                let items: Vec<&RawValue> = serde_json::from_str(value.get())?;
                to.push('[');
                for (index, item) in items.into_iter().enumerate() {
                    if index > 0 {
                        to.push(',');
                    }
                    copy_without(item, &[MANAGED_FIELDS], to)?;
                }
                to.push(']');
            }
            _ => to.push_str(value.get()),
        }
    }
    to.push('}');
    Ok(())
}

/// An object of any kind as a value, without its managed fields. Of one that can't be decoded, such as one
/// that is nested too deep, it has only what says which it is.
pub fn value(raw: &RawValue) -> Value {
    decode(raw, &[MANAGED_FIELDS]).unwrap_or_else(|_| json!({"metadata": identity(raw)}))
}

fn decode<K: DeserializeOwned>(raw: &RawValue, left_out: &[Path]) -> serde_json::Result<K> {
    let mut text = String::with_capacity(raw.get().len());
    let paths: Vec<&[&str]> = left_out.to_vec();
    copy_without(raw, &paths, &mut text)?;
    serde_json::from_str(&text)
}

/// Copies a JSON value without the fields at these paths. It goes as deep as they do.
fn copy_without(raw: &RawValue, paths: &[&[&str]], to: &mut String) -> serde_json::Result<()> {
    if !raw.get().starts_with('{') {
        to.push_str(raw.get());
        return Ok(());
    }
    let fields: Fields<'_> = serde_json::from_str(raw.get())?;
    to.push('{');
    let start = to.len();
    for (key, value) in fields.0 {
        let below: Vec<&[&str]> = paths
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(first, _)| **first == key)
            .map(|(_, rest)| rest)
            .collect();
        if below.iter().any(|rest| rest.is_empty()) {
            continue;
        }
        if to.len() > start {
            to.push(',');
        }
        to.push_str(&serde_json::to_string(&key)?);
        to.push(':');
        if below.is_empty() {
            to.push_str(value.get());
        } else {
            copy_without(value, &below, to)?;
        }
    }
    to.push('}');
    Ok(())
}

/// What says which object it is, as far as it can be read.
fn identity(raw: &RawValue) -> ObjectMeta {
    let field = |raw: &RawValue, name: &str| -> Option<Box<RawValue>> {
        let fields: Fields<'_> = serde_json::from_str(raw.get()).ok()?;
        let (_, value) = fields.0.into_iter().find(|(key, _)| key == name)?;
        Some(value.to_owned())
    };
    let Some(metadata) = field(raw, "metadata") else {
        return ObjectMeta::default();
    };
    let text = |name| serde_json::from_str(field(&metadata, name)?.get()).ok();
    ObjectMeta {
        name: text("name"),
        namespace: text("namespace"),
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        ..ObjectMeta::default()
    }
}

/// The fields of a JSON object, in their order.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;

        impl<'de> Visitor<'de> for Map {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }

        deserializer
            .deserialize_map(Map)
            .map(Fields)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
