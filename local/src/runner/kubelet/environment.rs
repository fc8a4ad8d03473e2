//! The environment variables of a container, as the kubelet makes them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvFromSource, EnvVar, EnvVarSource, Pod, Secret,
};

use super::downward;
use super::expansion::expand;
use super::mounts::Mounts;
use super::references::{ConfigError, References, Referent};

/// Names and values.
pub(super) type Variables = BTreeMap<String, String>;

/// Everything variables are made from.
pub(super) struct Scope<'a> {
    pub(super) pod: &'a Pod,
    pub(super) container: &'a Container,
    pub(super) references: References<'a>,
    pub(super) mounts: &'a Mounts,
    pub(super) node_name: &'a str,
}

impl Scope<'_> {
    /// `envFrom` first, then `env` in order; a value may refer to what stands before it.
    pub(super) fn variables(&self) -> Result<Variables, ConfigError> {
        let mut variables = Variables::new();
        for source in self.container.env_from.iter().flatten() {
            self.add_all(source, &mut variables)?;
        }
        for variable in self.container.env.iter().flatten() {
            if let Some(value) = self.value(variable, &variables)? {
                variables.insert(variable.name.clone(), value);
            }
        }
        match variables.iter().find(|(name, value)| {
            name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
        }) {
            Some((name, _)) => Err(ConfigError::Invalid(format!(
                "environment variable {name:?} can't be passed to a process: its name is empty or has a `=`, or there is \
                 a NUL character in it"
            ))),
            None => Ok(variables),
        }
    }

    /// `command` and `args` of the container, with references to `variables` replaced.
    pub(super) fn command_line(&self, variables: &Variables) -> Vec<String> {
        let command = self.container.command.iter().flatten();
        let words = command.chain(self.container.args.iter().flatten());
        words.map(|word| self.expand(word, variables)).collect()
    }

    fn expand(&self, text: &str, variables: &Variables) -> String {
        expand(&self.mounts.rewrite(text), |name| {
            variables.get(name).cloned()
        })
    }

    fn add_all(&self, source: &EnvFromSource, to: &mut Variables) -> Result<(), ConfigError> {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let mut add = |name: String, value: String| {
            to.insert(format!("{prefix}{name}"), self.mounts.rewrite(&value));
        };
        if let Some(reference) = &source.config_map_ref {
            let config_map = self.references.get::<ConfigMap>(
                Referent::ConfigMap,
                &reference.name,
                reference.optional,
            )?;
            let data = config_map
                .and_then(|config_map| config_map.data)
                .unwrap_or_default();
            data.into_iter().for_each(|(name, value)| add(name, value));
        }
        if let Some(reference) = &source.secret_ref {
            let secret = self.references.get::<Secret>(
                Referent::Secret,
                &reference.name,
                reference.optional,
            )?;
            for (name, bytes) in secret.and_then(|secret| secret.data).unwrap_or_default() {
                let value = text(bytes.0, &name, &reference.name)?;
                add(name, value);
            }
        }
        Ok(())
    }

    fn value(&self, variable: &EnvVar, before: &Variables) -> Result<Option<String>, ConfigError> {
        match (&variable.value, &variable.value_from) {
            (Some(value), _) if !value.is_empty() => Ok(Some(self.expand(value, before))),
            (_, Some(source)) => {
                let value = self.value_from(source)?;
                Ok(value.map(|value| self.mounts.rewrite(&value)))
            }
            _ => Ok(Some(String::new())),
        }
    }

    fn value_from(&self, source: &EnvVarSource) -> Result<Option<String>, ConfigError> {
        if let Some(selector) = &source.field_ref {
            return downward::field(self.pod, &selector.field_path, self.node_name).map(Some);
        }
        if let Some(selector) = &source.resource_field_ref {
            return downward::resource(self.pod, Some(self.container), selector).map(Some);
        }
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let no_key = |kind: &str, name: &str, key: &str, optional: Option<bool>| match optional {
            Some(true) => Ok(None),
            _ => Err(ConfigError::Missing(format!(
                "couldn't find key {key} in {kind} {namespace}/{name}"
            ))),
        };
        if let Some(selector) = &source.config_map_key_ref {
            let (name, key, optional) = (&selector.name, &selector.key, selector.optional);
            let config_map =
                self.references
                    .get::<ConfigMap>(Referent::ConfigMap, name, optional)?;
            let value = config_map.and_then(|config_map| config_map.data?.remove(key));
            return match value {
                Some(value) => Ok(Some(value)),
                None => no_key("ConfigMap", name, key, optional),
            };
        }
        if let Some(selector) = &source.secret_key_ref {
            let (name, key, optional) = (&selector.name, &selector.key, selector.optional);
            let secret = self
                .references
                .get::<Secret>(Referent::Secret, name, optional)?;
            let value = secret.and_then(|secret| secret.data?.remove(key));
            return match value {
                Some(bytes) => text(bytes.0, key, name).map(Some),
                None => no_key("Secret", name, key, optional),
            };
        }
        Err(ConfigError::Invalid(
            "a valueFrom here names a source that processes can't use".into(),
        ))
    }
}

fn text(bytes: Vec<u8>, key: &str, secret: &str) -> Result<String, ConfigError> {
    String::from_utf8(bytes).map_err(|_| {
        let message = format!("key {key} of secret {secret:?} is not UTF-8: mount it as a file");
        ConfigError::Invalid(message)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn find(referent: Referent, name: &str) -> Option<Arc<Value>> {
        let object = match (referent, name) {
            (Referent::ConfigMap, "settings") => {
                json!({"data": {"LEVEL": "info", "OUT": "/data/o"}})
            }
            (Referent::Secret, "login") => json!({"data": {"PASSWORD": "c2VzYW1l", "RAW": "/w=="}}),
            _ => return None,
        };
        Some(Arc::new(object))
    }

    fn check<T>(container: Value, use_scope: impl FnOnce(&Scope<'_>) -> T) -> T {
        let mut mounts = Mounts::default();
        mounts.add("/data", "/real".into());
        let pod = serde_json::from_value(json!({"metadata": {
            "name": "p", "namespace": "n", "annotations": {"konductor.io/in-0": "7"}}}))
        .unwrap();
        use_scope(&Scope {
            pod: &pod,
            container: &serde_json::from_value(container).unwrap(),
            references: References { find: &find },
            mounts: &mounts,
            node_name: "here",
        })
    }

    fn variables(container: Value) -> Result<Value, String> {
        let variables = check(container, |scope| scope.variables());
        variables
            .map(|v| json!(v))
            .map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn every_source_of_a_value_is_read() {
        let container = json!({
            "name": "main",
            "envFrom": [
                {"configMapRef": {"name": "settings"}, "prefix": "S_"},
                {"configMapRef": {"name": "absent", "optional": true}},
            ],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)-$(S_LEVEL)-$(C)"},
                {"name": "C", "value": "$$(A)"},
                {"name": "WORKSPACE", "value": "/data"},
                {"name": "FILE", "value": "$(WORKSPACE)/$(A)"},
                {"name": "EMPTY"},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "IN", "valueFrom": {"fieldRef": {
                    "fieldPath": "metadata.annotations['konductor.io/in-0']"}}},
                {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {
                    "name": "settings", "key": "LEVEL"}}},
                {"name": "GONE", "valueFrom": {"configMapKeyRef": {
                    "name": "settings", "key": "x", "optional": true}}},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {
                    "name": "login", "key": "PASSWORD"}}},
                {"name": "A", "value": "$(A)2"},
            ],
        });
        let expected = json!({
            "A": "12", "B": "1-info-$(C)", "C": "$(A)", "EMPTY": "", "FILE": "/real/1", "IN": "7",
            "LEVEL": "info", "NAME": "p", "PASSWORD": "sesame", "S_LEVEL": "info",
            "S_OUT": "/real/o", "WORKSPACE": "/real",
        });
        assert_eq!(variables(container), Ok(expected));
    }

    #[test]
    fn what_is_missing_may_come_and_what_is_wrong_may_not() {
        let env = |source: Value| {
            variables(json!({"name": "main", "env": [{"name": "X", "valueFrom": source}]}))
        };
        let cases = [
            (
                json!({"configMapKeyRef": {"name": "absent", "key": "k"}}),
                "Missing(\"configmap \\\"absent\\\" not found\")",
            ),
            (
                json!({"secretKeyRef": {"name": "login", "key": "k"}}),
                "Missing(\"couldn't find key k in Secret n/login\")",
            ),
            (
                json!({"secretKeyRef": {"name": "login", "key": "RAW"}}),
                "Invalid(\"key RAW of secret \\\"login\\\" is not UTF-8: mount it as a file\")",
            ),
            (
                json!({}),
                "Invalid(\"a valueFrom here names a source that processes can't use\")",
            ),
        ];
        for (source, expected) in cases {
            assert_eq!(env(source), Err(expected.to_owned()));
        }
    }

    #[test]
    fn commands_and_arguments_are_rewritten_once_then_expanded() {
        let container = json!({
            "name": "main",
            "command": ["/bin/sh", "-c", "echo $$(A) \"$A\""],
            "args": ["$(WORKSPACE)/in", "/data/$(A)", "--out=/data/out", "$(UNKNOWN)"],
            "env": [{"name": "A", "value": "1"}, {"name": "WORKSPACE", "value": "/data"}],
        });
        let words = check(container, |scope| {
            let variables = scope.variables().unwrap();
            scope.command_line(&variables)
        });
        let expected = [
            "/bin/sh",
            "-c",
            "echo $(A) \"$A\"",
            "/real/in",
            "/real/1",
            "--out=/real/out",
            "$(UNKNOWN)",
        ];
        assert_eq!(words, expected);
    }
}
