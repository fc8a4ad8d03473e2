//! What a pod refers to in its namespace, and what may be wrong with it.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A kind of object that a pod refers to by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Referent {
    ConfigMap,
    Secret,
    Claim,
}

impl Referent {
    /// The word the kubelet uses in its messages.
    fn word(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
            Self::Claim => "persistentvolumeclaim",
        }
    }
}

/// Why a container can't be started as its pod describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConfigError {
    /// Something is not there; it may still come.
    Missing(String),
    /// The pod asks for what can't be.
    Invalid(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Missing(message) | Self::Invalid(message)) = self;
        f.write_str(message)
    }
}

/// Finds the objects a pod refers to, in its own namespace.
#[derive(Clone, Copy)]
pub(super) struct References<'a> {
    pub(super) find: &'a (dyn Fn(Referent, &str) -> Option<Arc<Value>> + Sync),
}

impl References<'_> {
    /// The object, or `None` if it is missing and `optional`.
    pub(super) fn get<T: DeserializeOwned>(
        self,
        referent: Referent,
        name: &str,
        optional: Option<bool>,
    ) -> Result<Option<T>, ConfigError> {
        match (self.find)(referent, name) {
            Some(object) => serde_json::from_value((*object).clone())
                .map(Some)
                .map_err(|error| {
                    ConfigError::Invalid(format!(
                        "{} {name:?} is malformed: {error}",
                        referent.word()
                    ))
                }),
            None if optional == Some(true) => Ok(None),
            None => Err(ConfigError::Missing(format!(
                "{} {name:?} not found",
                referent.word()
            ))),
        }
    }
}

/// The part of `name` that may become one part of a path, which is all of it or nothing.
pub(super) fn file_name(name: &str) -> Result<&str, ConfigError> {
    let unsafe_name = matches!(name, "" | "." | "..") || name.contains(['/', '\0']);
    if unsafe_name {
        return Err(ConfigError::Invalid(format!(
            "{name:?} can't be the name of a file"
        )));
    }
    Ok(name)
}
