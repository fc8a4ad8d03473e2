//! Objects of any kind, decoded one by one: what others may store in one, such as managed fields of 150
//! levels, hides nothing of it that matters, and no other object.

use konductor_api::lenient::value;
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Any object, without its managed fields. Of one that can't be decoded it has only what says which it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found(pub(crate) Value);

impl Found {
    /// Makes one of a typed object.
    pub(crate) fn of(object: impl Serialize) -> Result<Self, kube::Error> {
        let value = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
        Ok(Self(value))
    }

    /// Returns the text of a field, or nothing.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        let text = self.0.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(value(&Box::<RawValue>::deserialize(deserializer)?)))
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

    /// One that is nested deeper than a decoder goes, outside its managed fields.
    fn nested(name: &str) -> String {
        let deep = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
        format!(r#"{{"metadata":{{"name":"{name}","uid":"1"}},"spec":{deep}}}"#)
    }

    #[test]
    fn managed_fields_are_never_decoded() {
        for managed in managed_fields() {
            let text = claim("a", &managed, "Granted");
            let object: Found = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{error}: {}", &managed[..managed.len().min(60)]));
            let claim: Claim = serde_json::from_value(object.0).expect("a claim");
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
            nested("d"),
        ];
        let text = format!(
            r#"{{"metadata":{{"resourceVersion":"7"}},"items":[{}]}}"#,
            items.join(",")
        );
        let list: List = serde_json::from_str(&text).expect("a list");
        assert_eq!(list.metadata.resource_version, "7");
        let names = list
            .items
            .iter()
            .map(|object| object.text("/metadata/name"));
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert_eq!(list.items[3].text("/metadata/uid"), "1");
    }
}
