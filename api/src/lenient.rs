//! Objects of a list or a watch that decode one by one: an object that nobody can decode is skipped,
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
mod tests {
    use k8s_openapi::api::batch::v1::Job;
    use kube::core::{ObjectList, WatchEvent};
    use serde_json::{Value, json};

    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
    }

    /// A Job of this name, with this text in place of `"?"`.
    fn job(name: &str, field: &Value, text: &str) -> String {
        let mut job = json!({
            "metadata": {"name": name, "namespace": "ns", "uid": "u", "resourceVersion": "7"},
            "spec": {"template": {}},
        });
        json_patch(&mut job, field);
        job.to_string().replace("\"?\"", text)
    }

    fn json_patch(into: &mut Value, from: &Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                for (key, value) in from {
                    json_patch(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, from) => *into = from.clone(),
        }
    }

    fn list(items: &[String]) -> Vec<Lenient<Job>> {
        let text = format!(
            r#"{{"kind":"JobList","apiVersion":"batch/v1","metadata":{{"resourceVersion":"9"}},"items":[{}]}}"#,
            items.join(",")
        );
        let list: ObjectList<Lenient<Job>> = serde_json::from_str(&text).expect("a list");
        list.items
    }

    #[test]
    fn managed_fields_are_not_decoded_whatever_they_hold() {
        let field = json!({"metadata": {"managedFields": "?"}});
        let texts = [
            r#"[{"time":"-0001-12-31T01:00:00Z"}]"#.to_owned(),
            r#"[{"time":"10000-01-01T22:59:59Z"}]"#.to_owned(),
            format!(r#"[{{"fieldsV1":{}}}]"#, nested(5000)),
            r#"{"not":"a list"}"#.to_owned(),
            "1e9999".to_owned(),
            r#""\ud800""#.to_owned(),
        ];
        for text in texts {
            let mut all = list(&[job("a", &field, &text), job("b", &json!({}), "")]);
            let b = all.pop().unwrap().decoded().expect("a Job");
            let a = all.pop().unwrap().decoded().expect("a Job");
            assert_eq!(a.metadata.managed_fields, None, "{text}");
            assert_eq!(a.metadata.name.as_deref(), Some("a"));
            assert_eq!(b.metadata.name.as_deref(), Some("b"));
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_named_and_the_others_are_decoded() {
        let table = [
            (
                json!({"metadata": {"creationTimestamp": "?"}}),
                r#""-0001-12-31T01:00:00Z""#.to_owned(),
            ),
            (
                json!({"spec": {"template": {"metadata": {"creationTimestamp": "?"}}}}),
                r#""10000-01-01T22:59:59Z""#.to_owned(),
            ),
            (json!({"spec": {"parallelism": "?"}}), "1e9999".to_owned()),
            (json!({"spec": {"parallelism": "?"}}), nested(5000)),
            (json!({"spec": {"suspend": "?"}}), "[]".to_owned()),
            (json!({"status": "?"}), "7".to_owned()),
            (
                json!({"metadata": {"labels": "?"}}),
                r#""\ud800""#.to_owned(),
            ),
        ];
        for (field, text) in table {
            let mut all = list(&[job("a", &field, &text), job("b", &json!({}), "")]);
            assert!(all.pop().unwrap().decoded().is_ok());
            let undecodable = all.pop().unwrap().decoded().expect_err(&text);
            assert_eq!(undecodable.to_string(), "Job ns/a can't be decoded");
            let identity = &undecodable.metadata;
            assert_eq!(identity.uid.as_deref(), Some("u"));
            assert_eq!(identity.resource_version.as_deref(), Some("7"));
        }
        for text in ["null", "7", "\"a\"", "[]", "{}", r#"{"metadata":7}"#] {
            let mut all = list(&[text.to_owned()]);
            let item = all.pop().unwrap();
            let _ = item.meta();
            let undecodable = item.decoded().expect_err(text);
            assert_eq!(
                undecodable.to_string(),
                "Job ?/? can't be decoded",
                "{text}"
            );
        }
    }

    #[test]
    fn an_event_of_a_watch_is_decoded_as_leniently() {
        let bad = job("a", &json!({"spec": {"suspend": "?"}}), &nested(5000));
        for (word, object) in [("ADDED", &bad), ("MODIFIED", &bad), ("DELETED", &bad)] {
            let line = format!(r#"{{"type":"{word}","object":{object}}}"#);
            let event: WatchEvent<Lenient<Job>> = serde_json::from_str(&line).expect("an event");
            let (WatchEvent::Added(job) | WatchEvent::Modified(job) | WatchEvent::Deleted(job)) =
                event
            else {
                panic!("{word}");
            };
            assert_eq!(job.meta().resource_version.as_deref(), Some("7"));
            assert!(job.decoded().is_err());
        }
    }

    #[test]
    fn fields_of_a_shape_are_left_out_at_any_depth_and_the_rest_is_kept() {
        #[derive(Clone, Debug)]
        struct Slim;
        impl Shape<Job> for Slim {
            const LEFT_OUT: &'static [Path] =
                &[MANAGED_FIELDS, &["spec", "template", "spec"], &["status"]];
        }
        let text = job(
            "a\"b",
            &json!({"spec": {"suspend": true, "template": {"spec": {"containers": "?"}}},
                "status": 7, "metadata": {"annotations": {"managedFields": "kept"}}}),
            &nested(5000),
        );
        let job: Lenient<Job, Slim> = serde_json::from_str(&text).expect("never fails");
        let job = job.decoded().expect("a Job");
        assert_eq!(job.metadata.name.as_deref(), Some("a\"b"));
        assert_eq!(
            job.metadata.annotations.expect("kept")["managedFields"],
            "kept"
        );
        let spec = job.spec.expect("a spec");
        assert_eq!(spec.suspend, Some(true));
        assert!(spec.template.spec.is_none() && job.status.is_none());
    }
}
