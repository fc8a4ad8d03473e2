//! The server: a handle that is cheap to copy, and what controllers in the process call.

use std::fmt;
use std::sync::Arc;

use futures::Stream;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::builtin;
use crate::data_folder::DataFolder;
use crate::definition::Definition;
use crate::identity::Identities;
use crate::journal::{Journal, JournalError, Restored};
use crate::kind::{self, Kind, Resource};
use crate::metadata;
use crate::runner::kubelet::Logs;
use crate::shared::{Clock, Shared};
use crate::status::{Reason, Status};
use crate::store::{Change, Effect, Gone, Store};
use crate::subresource::Subresource;
use crate::write::{DeleteOptions, FieldValidation, Target, WriteOptions};

/// How many changes of each resource a watch may be behind.
const HISTORY_LENGTH: usize = 10_000;

/// What a server needs to know.
#[derive(Clone)]
pub struct ServerOptions {
    /// The current time; by default the machine's clock.
    pub clock: Clock,
    /// Where uids and generated names come from; at random where it is absent.
    pub seed: Option<u64>,
    /// How many changes of each resource a watch can start from; an older start gets 410.
    pub history_length: usize,
    /// Whether every version of every object is kept for [`ApiServer::history`].
    pub keep_history: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(Timestamp::now),
            seed: None,
            history_length: HISTORY_LENGTH,
            keep_history: false,
        }
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerOptions")
            .field("seed", &self.seed)
            .field("history_length", &self.history_length)
            .field("keep_history", &self.keep_history)
            .finish_non_exhaustive()
    }
}

/// What happened to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It was made.
    Added(Arc<Value>),
    /// It is different now.
    Modified(Arc<Value>),
    /// It is gone; this was its last state, with the resource version of its deletion.
    Deleted(Arc<Value>),
}

impl Event {
    /// The object, as it is or was at last.
    pub fn object(&self) -> &Arc<Value> {
        match self {
            Event::Added(object) | Event::Modified(object) | Event::Deleted(object) => object,
        }
    }

    fn of(change: &Change) -> Self {
        let object = change.current.value.clone();
        match change.effect {
            Effect::Created => Event::Added(object),
            Effect::Updated => Event::Modified(object),
            Effect::Deleted => Event::Deleted(object),
        }
    }
}

/// One write, as the history has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The resource version that the write made.
    pub revision: u64,
    /// What was written.
    pub resource: Resource,
    /// What the write did.
    pub event: Event,
}

/// An API server in memory. Copies are handles of the same one.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) shared: Arc<Shared>,
    manager: Arc<str>,
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ApiServer")
            .field("revision", &self.shared.store.revision())
            .field("manager", &self.manager)
            .finish_non_exhaustive()
    }
}

impl ApiServer {
    /// A server with the namespaces every cluster has, and nothing else.
    pub fn new(options: ServerOptions) -> Self {
        let store = Store::new(options.history_length, options.keep_history);
        Self::of(store, options)
    }

    /// A server with everything that the servers of this folder have stored before. What it stores is kept there, also if
    /// this process is killed. Watches can't start before now.
    ///
    /// # Errors
    /// If the journal in the folder can't be read, or is damaged.
    pub fn open(options: ServerOptions, folder: &DataFolder) -> Result<Self, JournalError> {
        let (journal, restored) = Journal::open(&folder.journal())?;
        Ok(Self::with_journal(options, journal, restored))
    }

    pub(crate) fn with_journal(
        options: ServerOptions,
        journal: Journal,
        restored: Restored,
    ) -> Self {
        let store = Store::new(options.history_length, options.keep_history);
        Self::of(store.continued(journal, restored), options)
    }

    fn of(store: Store, options: ServerOptions) -> Self {
        let server = Self {
            shared: Arc::new(Shared::new(
                store,
                builtin::definitions(),
                Identities::new(options.seed),
                options.clock,
            )),
            manager: "kube-apiserver".into(),
        };
        server.shared.establish_all();
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            if server.get(&kind::NAMESPACE, "", name).is_some() {
                continue;
            }
            let namespace = json!({"metadata": {"name": name}});
            // Its name is valid, and nothing is there before it; only a journal may refuse it.
            if let Err(error) = server.create(&kind::NAMESPACE, "", namespace) {
                tracing::warn!(name, %error, "namespace not created");
            }
        }
        server
    }

    /// The same server, whose writes are `manager`'s.
    #[must_use]
    pub fn managed_by(&self, manager: &str) -> Self {
        Self {
            shared: self.shared.clone(),
            manager: manager.into(),
        }
    }

    /// Answers requests for the logs of pods from `logs` from now on.
    pub fn serve_logs(&self, logs: Logs) {
        self.shared.serve_logs(logs);
    }

    /// The time on the server's clock.
    pub fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }

    /// An object, if it is there.
    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let version = self.shared.store.get(&kind.resource, namespace, name)?;
        Some(version.value.clone())
    }

    /// All objects of a kind, or those of a namespace, in the order of their names, and the
    /// resource version at which that is so.
    pub fn list(&self, kind: &Kind, namespace: Option<&str>) -> (Vec<Arc<Value>>, u64) {
        let (versions, revision) = self.shared.store.list(&kind.resource, namespace);
        let values = versions.iter().map(|version| version.value.clone());
        (values.collect(), revision)
    }

    /// What happens to a kind after the resource version `after`. The stream ends when it is so
    /// far behind that changes are missing.
    ///
    /// # Errors
    /// If what happened right after `after` is forgotten.
    pub fn watch(
        &self,
        kind: &Kind,
        after: u64,
    ) -> Result<impl Stream<Item = Event> + Send + use<>, Gone> {
        let watcher = self.shared.store.watch(&kind.resource, after)?;
        Ok(futures::stream::unfold(watcher, |mut watcher| async {
            let change = watcher.next().await.ok()?;
            Some((Event::of(&change), watcher))
        }))
    }

    /// Stores a new object.
    ///
    /// # Errors
    /// If the API server would refuse it.
    pub fn create(
        &self,
        kind: &Kind,
        namespace: &str,
        object: Value,
    ) -> Result<Arc<Value>, Status> {
        let definition = self.definition(kind)?;
        let object = as_object(object, kind)?;
        let written = self
            .shared
            .create(&definition, namespace, object.into(), self.options())?;
        Ok(written.version.value.clone())
    }

    /// Replaces an object, but not its status. If `object` has a resource version, only that
    /// version is replaced.
    ///
    /// # Errors
    /// If the API server would refuse it: 409 if the version is not the current one.
    pub fn replace(
        &self,
        kind: &Kind,
        namespace: &str,
        object: Value,
    ) -> Result<Arc<Value>, Status> {
        self.put(kind, namespace, object, None)
    }

    /// Replaces an object's status, and nothing else of its content.
    ///
    /// # Errors
    /// As for [`ApiServer::replace`].
    pub fn replace_status(
        &self,
        kind: &Kind,
        namespace: &str,
        object: Value,
    ) -> Result<Arc<Value>, Status> {
        self.put(kind, namespace, object, Some(Subresource::Status))
    }

    fn put(
        &self,
        kind: &Kind,
        namespace: &str,
        object: Value,
        subresource: Option<Subresource>,
    ) -> Result<Arc<Value>, Status> {
        let definition = self.definition(kind)?;
        let object = as_object(object, kind)?;
        let name = metadata::name(&object).to_owned();
        let target = Target {
            definition: &definition,
            namespace,
            name: &name,
            subresource,
        };
        let mut change = |_: &_| Ok(object.clone().into());
        let written = self.shared.update(target, self.options(), &mut change)?;
        Ok(written.version.value.clone())
    }

    /// Changes an object by a JSON merge patch, or only its status where `subresource` is
    /// `status`.
    ///
    /// # Errors
    /// If the API server would refuse it.
    pub fn merge_patch(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
        subresource: Option<&str>,
    ) -> Result<Arc<Value>, Status> {
        let definition = self.definition(kind)?;
        let target = Target {
            definition: &definition,
            namespace,
            name,
            subresource: subresource.and_then(Subresource::parse),
        };
        let mut change = |old: &crate::store::Version| {
            let mut value = (*old.value).clone();
            json_patch::merge(&mut value, patch);
            Ok(value.into())
        };
        let written = self.shared.update(target, self.options(), &mut change)?;
        Ok(written.version.value.clone())
    }

    /// Deletes an object, or starts to: one with finalizers or a grace period stays until they
    /// are over. Its last or present state comes back.
    ///
    /// # Errors
    /// 404 if it is not there, 409 if it is not the one that is meant.
    pub fn delete(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Arc<Value>, Status> {
        let definition = self.definition(kind)?;
        let target = Target {
            definition: &definition,
            namespace,
            name,
            subresource: None,
        };
        let removed = self.shared.delete(target, options)?;
        Ok(removed.version.value.clone())
    }

    /// Every write since the start but the first `skipped`, in order, if [`ServerOptions::keep_history`] is set.
    pub fn history(&self, skipped: usize) -> Vec<Record> {
        let changes = self.shared.store.history(skipped).into_iter();
        changes
            .map(|change| Record {
                revision: change.revision(),
                resource: change.resource.clone(),
                event: Event::of(&change),
            })
            .collect()
    }

    /// Forgets all changes so far, as a real server does every few minutes: watches that start before
    /// now get 410.
    pub fn compact(&self) {
        self.shared.store.compact();
    }

    fn options(&self) -> WriteOptions<'_> {
        WriteOptions {
            dry_run: false,
            manager: &self.manager,
            validation: FieldValidation::Ignore,
            by_patch: false,
        }
    }

    fn definition(&self, kind: &Kind) -> Result<Arc<Definition>, Status> {
        self.shared.catalog.get(&kind.resource).ok_or_else(|| {
            Status::new(
                Reason::NotFound,
                "the server could not find the requested resource",
            )
        })
    }
}

/// An object with a `metadata` and the names of its kind.
fn as_object(mut object: Value, kind: &Kind) -> Result<Value, Status> {
    let Some(fields) = object.as_object_mut() else {
        return Err(Status::bad_request("an object is a JSON object"));
    };
    fields.insert("apiVersion".to_owned(), kind.api_version().into());
    fields.insert("kind".to_owned(), kind.kind.as_ref().into());
    let metadata = fields
        .entry("metadata")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    if !metadata.is_object() {
        return Err(Status::bad_request("metadata is a JSON object"));
    }
    Ok(object)
}
