//! What a run is given of what it needs: matched before anything starts, and made in its cluster.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{Barrier, Gate, Lease, Run, Semaphore, annotation, label};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::needs::{Entry, Needs, Outside, OutsideKind, Store};
use crate::arguments::Given;
use crate::exit::Failure;
use crate::load;
use crate::local::NAMESPACE;

/// The values of a Secret or ConfigMap, by key.
type Values = BTreeMap<String, Vec<u8>>;

/// What is made before the run.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Prepared {
    values: BTreeMap<(Store, String), Values>,
    assumed: Vec<Assumed>,
}

/// An outside object as it is assumed to be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Assumed {
    object: Outside,
    /// Of a Semaphore.
    permits: u32,
}

/// Matches what is given with what is needed.
///
/// # Errors
/// If something is missing, with the flag that gives it, or something is given that nothing needs.
pub(super) fn prepare(needs: &Needs, given: &Given, can_ask: bool) -> Result<Prepared, Failure> {
    let mut prepared = Prepared::default();
    let literal = |pairs: &[(String, String)]| -> Vec<(String, Vec<u8>)> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
            .collect()
    };
    let files = given.secret_files.iter().map(|(name, file)| {
        // It may be a pipe of a program that knows the secret.
        let content = std::fs::read(file);
        let content = content
            .map_err(|error| Failure::usage(format!("--secret-file {name}: {file}: {error}")))?;
        Ok::<_, Failure>((name.clone(), content))
    });
    let files: Vec<_> = files.collect::<Result<_, _>>()?;
    let secrets = literal(&given.secrets).into_iter().chain(files);
    for (store, pairs) in [
        (Store::Secret, secrets.collect()),
        (Store::Config, literal(&given.configs)),
    ] {
        for (name, value) in pairs {
            prepared.add(needs, store, &name, value)?;
        }
    }
    if let Some(file) = &given.env_file {
        prepared.add_variables(needs, &load::read(file)?)?;
    }
    for (object, state) in &given.assumptions {
        prepared.assume(needs, object, state)?;
    }
    for name in &given.approvals {
        if !needs
            .approvals
            .iter()
            .any(|approval| approval.is_named(name))
        {
            let names = needs
                .approvals
                .iter()
                .map(|approval| approval.name.as_str());
            return Err(unknown(&format!("--approve {name}"), names.collect()));
        }
    }
    let missing = missing(needs, given, &prepared, can_ask);
    match missing.is_empty() {
        true => Ok(prepared),
        false => {
            let message = "the pipeline needs what is not here, so nothing was started\n  ";
            let help = "give each by its flag, or run the pipeline in a cluster that has it";
            Err(Failure::usage(message.to_owned() + &missing.join("\n  ")).help(help))
        }
    }
}

/// A flag that gives what nothing needs.
fn unknown(flag: &str, names: Vec<&str>) -> Failure {
    let failure = Failure::usage(format!("{flag}: this run needs nothing of that name"));
    match names.is_empty() {
        true => failure,
        false => failure.help(format!("it needs {}", names.join(", "))),
    }
}

/// What is still missing, each with its flag.
fn missing(needs: &Needs, given: &Given, prepared: &Prepared, can_ask: bool) -> Vec<String> {
    let mut missing = Vec::new();
    for entry in needs.entries.keys().filter(|entry| !prepared.has(entry)) {
        let Entry { store, name, key } = entry;
        let shown = key.as_deref().unwrap_or("KEY");
        let of = key
            .as_ref()
            .map_or(String::new(), |key| format!(", key {key}"));
        missing.push(match store {
            Store::Secret => {
                format!("secret {name}{of}: --secret-file {name}.{shown}=FILE, or --secret {name}.{shown}=VALUE")
            }
            Store::Config => format!("config {name}{of}: --config {name}.{shown}=VALUE"),
        });
    }
    let assumed: BTreeSet<&Outside> = prepared
        .assumed
        .iter()
        .map(|assumed| &assumed.object)
        .collect();
    for outside in needs
        .outside
        .iter()
        .filter(|outside| !assumed.contains(outside))
    {
        missing.push(format!(
            "{outside}: --assume {outside}={}",
            outside.kind.state()
        ));
    }
    for approval in &needs.approvals {
        if !can_ask && !approval.is_given(given) {
            let name = &approval.name;
            missing.push(format!(
                "approval {name}: --approve {name}, or --approve-all"
            ));
        }
    }
    missing
}

impl Prepared {
    /// Whether a key is given; where all of an object is needed, whether any is.
    fn has(&self, entry: &Entry) -> bool {
        let values = self.values.get(&(entry.store, entry.name.clone()));
        values.is_some_and(|values| match &entry.key {
            Some(key) => values.contains_key(key),
            None => !values.is_empty(),
        })
    }

    /// Takes a value under `NAME.KEY`. Both may have dots in them: what is needed says where the name
    /// ends.
    fn add(
        &mut self,
        needs: &Needs,
        store: Store,
        path: &str,
        value: Vec<u8>,
    ) -> Result<(), Failure> {
        let mut of_store = needs.entries.keys().filter(|entry| entry.store == store);
        let name_and_key = of_store.find_map(|entry| {
            let key = path.strip_prefix(entry.name.as_str())?.strip_prefix('.')?;
            let is_it = entry.key.as_deref().is_none_or(|own| own == key);
            (is_it && !key.is_empty()).then(|| (entry.name.clone(), key.to_owned()))
        });
        let Some((name, key)) = name_and_key else {
            let flag = match store {
                Store::Secret => "--secret",
                Store::Config => "--config",
            };
            let names: Vec<String> = needs
                .entries
                .keys()
                .filter(|entry| entry.store == store)
                .map(|entry| format!("{}.{}", entry.name, entry.key.as_deref().unwrap_or("KEY")))
                .collect();
            let names = names.iter().map(String::as_str).collect();
            return Err(unknown(&format!("{flag} {path}"), names));
        };
        self.values
            .entry((store, name))
            .or_default()
            .insert(key, value);
        Ok(())
    }

    /// Takes values by the variables that stages set by them. What a flag gives goes first; variables
    /// that no stage has are somebody else's.
    fn add_variables(&mut self, needs: &Needs, file: &str) -> Result<(), Failure> {
        let variables = variables(file)?;
        let mut by_file: BTreeMap<(Store, String, String), (&str, &str)> = BTreeMap::new();
        for (entry, names) in &needs.entries {
            let Some(key) = entry.key.clone().filter(|_| !self.has(entry)) else {
                continue;
            };
            for name in names {
                let Some(value) = variables.get(name) else {
                    continue;
                };
                let slot = (entry.store, entry.name.clone(), key.clone());
                let before = by_file.insert(slot, (name, value));
                if let Some((other, _)) = before.filter(|(_, before)| before != value) {
                    let message = format!(
                        "{other} and {name} are the same key {key} of {}, with two values",
                        entry.name
                    );
                    return Err(Failure::usage(message));
                }
            }
        }
        for ((store, name, key), (_, value)) in by_file {
            let values = self.values.entry((store, name)).or_default();
            values.insert(key, value.as_bytes().to_vec());
        }
        Ok(())
    }

    fn assume(&mut self, needs: &Needs, object: &str, state: &str) -> Result<(), Failure> {
        let flag = format!("--assume {object}={state}");
        let Some(outside) = needs
            .outside
            .iter()
            .find(|outside| outside.to_string() == object)
        else {
            let names: Vec<String> = needs.outside.iter().map(Outside::to_string).collect();
            let names = names.iter().map(String::as_str).collect();
            return Err(unknown(&flag, names));
        };
        let permits = match outside.kind {
            OutsideKind::Semaphore => state.parse().ok(),
            kind => (state == kind.state()).then_some(0),
        };
        let Some(permits) = permits else {
            let state = outside.kind.state();
            return Err(
                Failure::usage(format!("{flag}: not a state that can be assumed"))
                    .help(format!("write --assume {object}={state}")),
            );
        };
        self.assumed.push(Assumed {
            object: outside.clone(),
            permits,
        });
        Ok(())
    }

    /// Makes all of it.
    pub(super) async fn create(&self, client: &konductor::Client) -> Result<(), Failure> {
        for ((store, name), values) in &self.values {
            let metadata = named(name);
            match store {
                Store::Secret => {
                    let values = values.iter();
                    let data = values.map(|(key, value)| (key.clone(), ByteString(value.clone())));
                    let secret = Secret {
                        metadata,
                        data: Some(data.collect()),
                        ..Secret::default()
                    };
                    api(client).create(&PostParams::default(), &secret).await?;
                }
                Store::Config => {
                    let values = values.iter();
                    let data = values.map(|(key, value)| {
                        (key.clone(), String::from_utf8_lossy(value).into_owned())
                    });
                    let config = ConfigMap {
                        metadata,
                        data: Some(data.collect()),
                        ..ConfigMap::default()
                    };
                    api(client).create(&PostParams::default(), &config).await?;
                }
            }
        }
        for assumed in &self.assumed {
            assumed.create(client).await?;
        }
        Ok(())
    }
}

impl Assumed {
    async fn create(&self, client: &konductor::Client) -> Result<(), Failure> {
        let namespace = self.object.namespace.as_deref().unwrap_or(NAMESPACE);
        if namespace != NAMESPACE {
            let namespaces: Api<Namespace> = Api::all(client.kube().clone());
            if namespaces.get_opt(namespace).await?.is_none() {
                let new = Namespace {
                    metadata: named(namespace),
                    ..Namespace::default()
                };
                namespaces.create(&PostParams::default(), &new).await?;
            }
        }
        let name = &self.object.name;
        let ended = |type_: &str| {
            json!([{
                "type": type_,
                "status": "True",
                "reason": "Assumed",
                "message": "assumed by --assume",
                "lastTransitionTime": Timestamp::from_second(Timestamp::now().as_second())
                    .unwrap_or_default(),
            }])
        };
        // What it would wait for in a cluster is not known here: it has ended already.
        let open = json!({"phase": "Open", "conditions": ended("Open")});
        match self.object.kind {
            OutsideKind::Gate => {
                let condition = json!({"type": "Barrier", "name": name, "state": "Open"});
                let spec = json!({"conditions": [condition]});
                create::<Gate>(client, namespace, name, spec, Some(open)).await
            }
            OutsideKind::Barrier => {
                let spec = json!({"expected": 1});
                create::<Barrier>(client, namespace, name, spec, Some(open)).await
            }
            OutsideKind::Pipeline => {
                let spec = json!({"pipeline": name, "jobs": 0});
                let status = json!({
                    "phase": "Succeeded",
                    "finishedAt": Timestamp::now(),
                    "conditions": ended("Succeeded"),
                });
                create::<Run>(client, namespace, name, spec, Some(status)).await
            }
            OutsideKind::Semaphore => {
                let spec = json!({"permits": self.permits});
                create::<Semaphore>(client, namespace, name, spec, None).await
            }
            OutsideKind::Lease => {
                let spec = json!({"ttl": "30s"});
                create::<Lease>(client, namespace, name, spec, None).await
            }
            OutsideKind::Workspace => {
                let spec = json!({
                    "accessModes": ["ReadWriteMany"],
                    "resources": {"requests": {"storage": "1Gi"}},
                });
                create::<PersistentVolumeClaim>(client, namespace, name, spec, None).await
            }
        }
    }
}

/// Creates an object of the one that owns its namespace, and brings it into a state.
async fn create<K>(
    client: &konductor::Client,
    namespace: &str,
    name: &str,
    spec: Value,
    status: Option<Value>,
) -> Result<(), Failure>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let object = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {
            "name": name,
            "labels": {label::PIPELINE: name},
            "annotations": {annotation::ALLOW_FROM: NAMESPACE},
        },
        "spec": spec,
    });
    let object: K = serde_json::from_value(object)
        .map_err(|error| Failure::failed(format!("{name} can't be assumed: {error}")))?;
    let api: Api<K> = Api::namespaced(client.kube().clone(), namespace);
    api.create(&PostParams::default(), &object).await?;
    if let Some(status) = status {
        let patch = Patch::Merge(json!({"status": status}));
        api.patch_status(name, &PatchParams::default(), &patch)
            .await?;
    }
    Ok(())
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn api<K>(client: &konductor::Client) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    Api::namespaced(client.kube().clone(), NAMESPACE)
}

/// Reads lines of `NAME=VALUE`. Quotes around a value are not part of it.
fn variables(file: &str) -> Result<BTreeMap<String, String>, Failure> {
    let mut variables = BTreeMap::new();
    for (index, line) in file.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            let message = format!("--env-file, line {}: write NAME=VALUE", index + 1);
            return Err(Failure::usage(message));
        };
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| {
            value
                .strip_prefix(quote)
                .and_then(|rest| rest.strip_suffix(quote))
        });
        variables.insert(name.trim().to_owned(), quoted.unwrap_or(value).to_owned());
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs() -> Needs {
        let mut needs = Needs::default();
        let entry = |store, name: &str, key: Option<&str>| Entry {
            store,
            name: name.to_owned(),
            key: key.map(str::to_owned),
        };
        let password = BTreeSet::from(["PASSWORD".to_owned()]);
        let entries = [
            (entry(Store::Secret, "db.main", Some("tls.key")), password),
            (entry(Store::Secret, "files", None), BTreeSet::new()),
            (
                entry(Store::Config, "site", Some("region")),
                BTreeSet::new(),
            ),
        ];
        needs.entries = entries.into();
        let outside = |kind, namespace: Option<&str>, name: &str| Outside {
            kind,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        needs.outside = [
            outside(OutsideKind::Gate, Some("ops"), "release"),
            outside(OutsideKind::Semaphore, None, "cores"),
        ]
        .into();
        needs
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn everything_that_is_missing_is_named_with_its_flag() {
        let failure = prepare(&needs(), &Given::default(), true).unwrap_err();
        assert_eq!(
            failure.message,
            "the pipeline needs what is not here, so nothing was started\n  \
             secret db.main, key tls.key: --secret-file db.main.tls.key=FILE, or --secret \
             db.main.tls.key=VALUE\n  \
             secret files: --secret-file files.KEY=FILE, or --secret files.KEY=VALUE\n  \
             config site, key region: --config site.region=VALUE\n  \
             gate/ops/release: --assume gate/ops/release=open\n  \
             semaphore/cores: --assume semaphore/cores=1"
        );
    }

    #[test]
    fn what_is_given_is_matched_with_what_is_needed() {
        let given = Given {
            secrets: pairs(&[("db.main.tls.key", "k"), ("files.a.b", "x=y")]),
            configs: pairs(&[("site.region", "eu")]),
            assumptions: pairs(&[("gate/ops/release", "open"), ("semaphore/cores", "3")]),
            ..Given::default()
        };
        let prepared = prepare(&needs(), &given, true).unwrap();
        let values = |store, name: &str| &prepared.values[&(store, name.to_owned())];
        assert_eq!(values(Store::Secret, "db.main")["tls.key"], b"k");
        assert_eq!(values(Store::Secret, "files")["a.b"], b"x=y");
        assert_eq!(values(Store::Config, "site")["region"], b"eu");
        assert_eq!(prepared.assumed[1].permits, 3);
    }

    #[test]
    fn what_nothing_needs_is_refused() {
        let table: [(Given, &str); 4] = [
            (
                Given {
                    secrets: pairs(&[("db.main.tls.cert", "k")]),
                    ..Given::default()
                },
                "--secret db.main.tls.cert: this run needs nothing of that name",
            ),
            (
                Given {
                    assumptions: pairs(&[("gate/release", "open")]),
                    ..Given::default()
                },
                "--assume gate/release=open: this run needs nothing of that name",
            ),
            (
                Given {
                    assumptions: pairs(&[("semaphore/cores", "open")]),
                    ..Given::default()
                },
                "--assume semaphore/cores=open: not a state that can be assumed",
            ),
            (
                Given {
                    approvals: vec!["go".to_owned()],
                    ..Given::default()
                },
                "--approve go: this run needs nothing of that name",
            ),
        ];
        for (given, expected) in table {
            let failure = prepare(&needs(), &given, true).unwrap_err();
            assert_eq!(failure.message, expected);
        }
    }

    #[test]
    fn a_file_of_variables_gives_the_keys_that_set_them() {
        let mut prepared = Prepared::default();
        let file = "# mine\nexport PASSWORD='p w'\nOTHER=x\n\n";
        prepared.add_variables(&needs(), file).unwrap();
        let main = &prepared.values[&(Store::Secret, "db.main".to_owned())];
        assert_eq!(main["tls.key"], b"p w");
        assert_eq!(prepared.values.len(), 1);
        assert!(prepared.add_variables(&needs(), "PASSWORD").is_err());
    }
}
