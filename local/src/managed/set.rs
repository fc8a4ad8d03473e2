//! Sets of fields, as `fieldsV1` writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use super::element::Element;
use super::shape::Shape;
use crate::schema::{Schema, field_of};

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    members: BTreeSet<Element>,
    children: BTreeMap<Element, FieldSet>,
}

impl FieldSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.is_empty()
    }

    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::read(&serde_json::from_str(text).ok()?)
    }

    pub(super) fn read(fields: &Map<String, Value>) -> Option<Self> {
        let mut set = Self::default();
        for (key, value) in fields {
            if key == "." {
                continue;
            }
            let element = Element::parse(key)?;
            let below = value.as_object()?;
            if below.is_empty() || below.contains_key(".") {
                set.members.insert(element.clone());
            }
            let child = Self::read(below)?;
            if !child.is_empty() {
                set.children.insert(element, child);
            }
        }
        Some(set)
    }

    pub(super) fn insert(&mut self, element: Element) {
        self.members.insert(element);
    }

    /// Adds the fields below an element.
    pub(super) fn attach(&mut self, element: Element, child: FieldSet) {
        if !child.is_empty() {
            self.children.insert(element, child);
        }
    }

    pub(super) fn has(&self, element: &Element) -> bool {
        self.members.contains(element)
    }

    pub(super) fn below(&self, element: &Element) -> Option<&FieldSet> {
        self.children.get(element)
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut set = self.clone();
        set.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            let merged = match set.children.get(element) {
                Some(own) => own.union(child),
                None => child.clone(),
            };
            set.children.insert(element.clone(), merged);
        }
        set
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut set = Self {
            members: self.members.intersection(&other.members).cloned().collect(),
            children: BTreeMap::new(),
        };
        for (element, child) in &self.children {
            if let Some(other) = other.children.get(element) {
                set.attach(element.clone(), child.intersection(other));
            }
        }
        set
    }

    /// What the other set does not have, field by field.
    pub(super) fn difference(&self, other: &Self) -> Self {
        let mut set = Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: BTreeMap::new(),
        };
        for (element, child) in &self.children {
            let left = match other.children.get(element) {
                Some(other) => child.difference(other),
                None => child.clone(),
            };
            set.attach(element.clone(), left);
        }
        set
    }

    /// Without these fields of the object and everything in them.
    pub(super) fn without(&self, fields: &[&str]) -> Self {
        let mut set = self.clone();
        for field in fields {
            let element = Element::field(field);
            set.members.remove(&element);
            set.children.remove(&element);
        }
        set
    }

    /// Without what every object's metadata has, and nobody manages.
    pub(super) fn without_system_fields(&self) -> Self {
        let mut set = self.clone();
        for field in ["apiVersion", "kind", "metadata"] {
            set.members.remove(&Element::field(field));
        }
        let metadata = Element::field("metadata");
        if let Some(mut own) = set.children.remove(&metadata) {
            for field in [
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            ] {
                own.members.remove(&Element::field(field));
            }
            set.attach(metadata, own);
        }
        set
    }

    /// With every declared field that something below it is in.
    pub(super) fn with_named_fields(&self, schema: &Schema) -> Self {
        let mut set = self.clone();
        for (element, child) in &self.children {
            let below = match element.field_name() {
                Some(name) => {
                    if schema.properties.contains_key(name) {
                        set.members.insert(element.clone());
                    }
                    field_of(schema, name)
                }
                None => Shape::items(schema),
            };
            set.children
                .insert(element.clone(), child.with_named_fields(&below));
        }
        set
    }

    /// Every field in the set, as messages write it.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        for element in &self.members {
            paths.push(format!("{prefix}{element}"));
        }
        for (element, child) in &self.children {
            child.collect_paths(&format!("{prefix}{element}"), paths);
        }
    }

    fn write(&self, formatter: &mut fmt::Formatter<'_>, is_member: bool) -> fmt::Result {
        formatter.write_str("{")?;
        let mut first = true;
        let mut separate = |formatter: &mut fmt::Formatter<'_>| {
            let separator = if first { "" } else { "," };
            first = false;
            formatter.write_str(separator)
        };
        if is_member && !self.is_empty() {
            separate(formatter)?;
            formatter.write_str("\".\":{}")?;
        }
        let elements: BTreeSet<_> = self.members.iter().chain(self.children.keys()).collect();
        for element in elements {
            separate(formatter)?;
            write!(formatter, "{}:", Value::String(element.as_str().to_owned()))?;
            match self.children.get(element) {
                Some(child) => child.write(formatter, self.members.contains(element))?,
                None => formatter.write_str("{}")?,
            }
        }
        formatter.write_str("}")
    }
}

impl fmt::Display for FieldSet {
    /// As `fieldsV1` has it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{}}}}}"#;

    #[test]
    fn a_set_is_read_as_it_is_written() {
        let set = FieldSet::parse(TEXT).expect("a set");
        assert_eq!(set.to_string(), TEXT);
        assert_eq!(
            set.paths(),
            [
                ".metadata.labels",
                ".metadata.labels.app",
                ".spec.containers[name=\"a\"]",
                ".spec.containers[name=\"a\"].image",
            ]
        );
    }

    #[test]
    fn sets_obey_the_laws_of_sets() {
        let all = FieldSet::parse(TEXT).expect("a set");
        let some = FieldSet::parse(r#"{"f:metadata":{"f:labels":{"f:app":{}}}}"#).expect("a set");
        assert_eq!(all.intersection(&some), some);
        assert_eq!(all.difference(&some).union(&some), all);
        assert!(all.difference(&all).is_empty());
        assert!(some.difference(&all).is_empty());
    }

    #[test]
    fn what_is_no_set_is_not_read() {
        for text in ["[]", r#"{"x:a":{}}"#, r#"{"f:a":1}"#, r#"{"k:[]":{}}"#] {
            assert_eq!(FieldSet::parse(text), None, "{text}");
        }
    }
}
