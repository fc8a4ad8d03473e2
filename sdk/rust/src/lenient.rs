//! Objects as they are needed: what others may store in an object's `managedFields`, such as a time of
//! the year 10000 or 150 levels of fields, is never decoded.

use std::borrow::Cow;
use std::fmt;

use kube::Resource;
use kube::core::ObjectMeta;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The field of an object's metadata that others write, and nobody here reads.
const MANAGED_FIELDS: &str = "managedFields";

/// Any object, without its managed fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found(pub(crate) Value);

impl Found {
    /// Returns the text of a field, or nothing.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        let text = self.0.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = deserializer.deserialize_map(Fields {
            read: |key: &str| match key {
                "metadata" => Field::Metadata,
                _ => Field::Whole,
            },
        })?;
        Ok(Self(Value::Object(fields)))
    }
}

/// How a field is read.
enum Field {
    Whole,
    Metadata,
    Ignored,
}

struct Fields<R> {
    read: R,
}

impl<'de, R: Fn(&str) -> Field> Visitor<'de> for Fields<R> {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = match (self.read)(&key) {
                Field::Whole => map.next_value()?,
                Field::Metadata => map.next_value_seed(Metadata)?,
                Field::Ignored => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            fields.insert(key, value);
        }
        Ok(fields)
    }
}

struct Metadata;

impl<'de> DeserializeSeed<'de> for Metadata {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let fields = deserializer.deserialize_map(Fields {
            read: |key: &str| match key {
                MANAGED_FIELDS => Field::Ignored,
                _ => Field::Whole,
            },
        })?;
        Ok(Value::Object(fields))
    }
}

/// An object of one kind, without its managed fields.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Lenient<K>(pub(crate) K);

impl<'de, K: serde::de::DeserializeOwned> Deserialize<'de> for Lenient<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Found(found) = Found::deserialize(deserializer)?;
        let object = K::deserialize(found).map_err(serde::de::Error::custom)?;
        Ok(Self(object))
    }
}

impl<K: Resource> Resource for Lenient<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

/// A list of objects of any kind.
#[derive(Debug, Deserialize)]
pub(crate) struct List {
    #[serde(default)]
    pub(crate) metadata: ListMetadata,
    #[serde(default)]
    pub(crate) items: Vec<Found>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListMetadata {
    #[serde(default)]
    pub(crate) resource_version: String,
}

/// A change that a watch reports.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    #[serde(rename = "type")]
    pub(crate) type_: String,
    pub(crate) object: Found,
}

#[cfg(test)]
mod tests {
    use konductor_api::{Claim, ClaimPhase};

    use super::*;

    /// What a person with the right to create Claims can let an API server store, and send.
    fn managed_fields() -> Vec<String> {
        let nested =
            |depth: usize| format!("{}{}", "{\"f:a\":".repeat(depth), "{}") + &"}".repeat(depth);
        let times = [
            "10000-01-01T23:58:59Z",
            "-0001-01-01T00:00:00Z",
            "never",
            "",
        ];
        let mut all: Vec<String> = times.map(|time| format!(r#"[{{"time":"{time}"}}]"#)).into();
        all.extend([150, 5000].map(|depth| format!(r#"[{{"fieldsV1":{}}}]"#, nested(depth))));
        all.extend(["7", "null", "{}", "[[]]", r#"[{"time":7}]"#].map(str::to_owned));
        all
    }

    fn claim(name: &str, managed: &str, phase: &str) -> String {
        format!(
            r#"{{"apiVersion":"konductor.io/v1","kind":"Claim","metadata":{{"name":"{name}",
            "managedFields":{managed},"uid":"1"}},"spec":{{"holder":"a","target":
            {{"kind":"Lease","name":"x"}}}},"status":{{"phase":"{phase}"}}}}"#
        )
    }

    #[test]
    fn managed_fields_are_never_decoded() {
        for managed in managed_fields() {
            let text = claim("a", &managed, "Granted");
            let Lenient(claim): Lenient<Claim> = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{error}: {}", &managed[..managed.len().min(60)]));
            assert_eq!(claim.metadata.uid.as_deref(), Some("1"));
            assert_eq!(claim.metadata.managed_fields, None);
            let phase = claim.status.map(|status| status.phase);
            assert_eq!(phase, Some(ClaimPhase::Granted));
            let event = format!(r#"{{"type":"MODIFIED","object":{text}}}"#);
            let event: Event = serde_json::from_str(&event).expect("an event");
            assert_eq!(
                (&*event.type_, event.object.text("/metadata/name")),
                ("MODIFIED", "a")
            );
        }
    }

    #[test]
    fn of_a_list_every_object_is_found_whatever_its_fields_are() {
        let items = [
            claim("a", "[]", "Granted"),
            claim("b", "[]", "Unheard"),
            claim("c", r#"[{"time":"10000-01-01T00:00:00Z"}]"#, "Queued"),
        ];
        let text = format!(
            r#"{{"metadata":{{"resourceVersion":"7"}},"items":[{}]}}"#,
            items.join(",")
        );
        let list: List = serde_json::from_str(&text).expect("a list");
        assert_eq!(list.metadata.resource_version, "7");
        let names = list.items.iter().map(|found| found.text("/metadata/name"));
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
