//! All objects, one revision for all of them, and what changed of late.
//!
//! Whole objects enter, with the revision they were made from; numbered versions leave. Nothing
//! here knows what an object means: only names, namespaces and numbers.
//!
//! Each resource has a table with a log of its own, so that a busy resource doesn't push the
//! history of a quiet one out, and wakes nobody who does not watch it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::body::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::journal::{Journal, Restored};
use crate::kind::Resource;
use crate::managed::Managed;
pub(crate) use crate::stored::Version;
use crate::stored::{key, key_of};

/// An object that is to become a version.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) value: Value,
    pub(crate) managed: Managed,
    pub(crate) stale: bool,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Created,
    Updated,
    Deleted,
}

impl Effect {
    /// Returns the event's type, as watches send it.
    pub(crate) fn event(self) -> &'static str {
        match self {
            Effect::Created => "ADDED",
            Effect::Updated => "MODIFIED",
            Effect::Deleted => "DELETED",
        }
    }
}

/// A write, as watchers see it.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) resource: Resource,
    pub(crate) effect: Effect,
    /// The object after the write; of a deletion its last state, with the revision of the deletion.
    pub(crate) current: Arc<Version>,
    /// The object before the write.
    pub(crate) previous: Option<Arc<Version>>,
    /// The event as most watchers get it, made once for all of them.
    pub(crate) rendered: OnceLock<Bytes>,
}

impl Change {
    pub(crate) fn revision(&self) -> u64 {
        self.current.revision
    }
}

/// The history does not go back as far as was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {revision} ({oldest})")]
pub struct Gone {
    /// The revision asked for.
    pub revision: u64,
    /// The oldest one in the history.
    pub oldest: u64,
}

/// Why a write was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// An object of that name is there.
    Exists,
    /// The object is not the version that the write was made from.
    Moved,
    /// The journal did not take it, and why.
    NotKept(String),
}

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Arc<Version>>,
    pub(crate) revision: u64,
    /// The key of the last item, where there is more.
    pub(crate) last: Option<String>,
    /// How many there are after this page.
    pub(crate) remaining: usize,
}

#[derive(Debug)]
struct Table {
    objects: BTreeMap<String, Arc<Version>>,
    log: VecDeque<Arc<Change>>,
    /// All changes after this revision are in the log.
    compacted: u64,
    signal: watch::Sender<u64>,
}

#[derive(Debug)]
struct Tables {
    revision: u64,
    tables: BTreeMap<Resource, Table>,
    /// What happened up to this revision is not known any more.
    restored: u64,
    journal: Option<Journal>,
    subscribers: Vec<mpsc::UnboundedSender<Arc<Change>>>,
    history: Option<Vec<Arc<Change>>>,
}

/// All objects.
#[derive(Debug)]
pub(crate) struct Store {
    tables: Mutex<Tables>,
    log_length: usize,
}

impl Store {
    /// A store that remembers the last `log_length` changes of each resource, and, with
    /// `history`, every change for good.
    pub(crate) fn new(log_length: usize, history: bool) -> Self {
        Self {
            tables: Mutex::new(Tables {
                revision: 1,
                tables: BTreeMap::new(),
                restored: 0,
                journal: None,
                subscribers: Vec::new(),
                history: history.then(Vec::new),
            }),
            log_length,
        }
    }

    /// Continues from what a journal has, and writes every change into it before anybody sees the change.
    pub(crate) fn continued(self, journal: Journal, restored: Restored) -> Self {
        {
            let mut tables = self.lock();
            tables.revision = tables.revision.max(restored.revision);
            tables.restored = restored.revision;
            tables.journal = Some(journal);
            for (resource, objects) in restored.objects {
                tables.table(&resource).objects = objects;
            }
        }
        self
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn revision(&self) -> u64 {
        self.lock().revision
    }

    pub(crate) fn get(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Version>> {
        let tables = self.lock();
        let table = tables.tables.get(resource.stored())?;
        table.objects.get(&key(namespace, name)).cloned()
    }

    /// All objects of a resource, or those of a namespace, and the revision at which that is so.
    pub(crate) fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
    ) -> (Vec<Arc<Version>>, u64) {
        let tables = self.lock();
        let items = tables.tables.get(resource.stored()).map(|table| {
            let range = table.objects.range(span(namespace, None));
            range.map(|(_, version)| version.clone()).collect()
        });
        (items.unwrap_or_default(), tables.revision)
    }

    /// What was listed at `revision`, from the key after `after` on, as far as `accept` lets
    /// pass and at most `limit` of it.
    pub(crate) fn page(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        revision: Option<u64>,
        after: Option<&str>,
        limit: usize,
        accept: impl Fn(&Value) -> bool,
    ) -> Result<Page, Gone> {
        let tables = self.lock();
        let revision = revision.unwrap_or(tables.revision);
        let mut page = Page {
            items: Vec::new(),
            revision,
            last: None,
            remaining: 0,
        };
        let Some(table) = tables.tables.get(resource.stored()) else {
            return Ok(page);
        };
        let past = table.objects_at(revision)?;
        let objects = past.as_ref().unwrap_or(&table.objects);
        let mut range = objects.range(span(namespace, after));
        for (key, version) in range.by_ref() {
            if accept(&version.value) {
                page.items.push(version.clone());
            }
            if page.items.len() == limit {
                page.last = Some(key.clone());
                break;
            }
        }
        page.remaining = range.count();
        if page.remaining == 0 {
            page.last = None;
        }
        Ok(page)
    }

    pub(crate) fn create(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        draft: Draft,
    ) -> Result<Arc<Version>, Refusal> {
        let mut tables = self.lock();
        let key = key(namespace, name);
        if tables.table(resource).objects.contains_key(&key) {
            return Err(Refusal::Exists);
        }
        tables.commit(
            resource,
            key,
            Effect::Created,
            Some(draft),
            None,
            self.log_length,
        )
    }

    /// Replaces `previous`, if it still is what is stored.
    pub(crate) fn update(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        previous: &Arc<Version>,
        draft: Draft,
    ) -> Result<Arc<Version>, Refusal> {
        self.write(
            resource,
            key(namespace, name),
            Effect::Updated,
            Some(draft),
            previous,
        )
    }

    /// Removes `previous`, if it still is what is stored. `last` is how it looked at last.
    pub(crate) fn remove(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        previous: &Arc<Version>,
        last: Option<Draft>,
    ) -> Result<Arc<Version>, Refusal> {
        self.write(
            resource,
            key(namespace, name),
            Effect::Deleted,
            last,
            previous,
        )
    }

    fn write(
        &self,
        resource: &Resource,
        key: String,
        effect: Effect,
        draft: Option<Draft>,
        previous: &Arc<Version>,
    ) -> Result<Arc<Version>, Refusal> {
        let mut tables = self.lock();
        let stored = tables.table(resource).objects.get(&key);
        if stored.is_none_or(|stored| stored.revision != previous.revision) {
            return Err(Refusal::Moved);
        }
        let previous = Some(previous.clone());
        tables.commit(resource, key, effect, draft, previous, self.log_length)
    }

    /// What happens to a resource after `revision`.
    pub(crate) fn watch(
        self: &Arc<Self>,
        resource: &Resource,
        revision: u64,
    ) -> Result<Watcher, Gone> {
        let mut tables = self.lock();
        let table = tables.table(resource);
        table.oldest(revision)?;
        Ok(Watcher {
            store: self.clone(),
            resource: resource.clone(),
            cursor: revision,
            signal: table.signal.subscribe(),
            pending: VecDeque::new(),
        })
    }

    /// Every change from now on, of all resources, in order.
    pub(crate) fn subscribe(&self) -> mpsc::UnboundedReceiver<Arc<Change>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().subscribers.push(sender);
        receiver
    }

    /// Forgets all changes so far: a watch that starts from one of them gets 410.
    pub(crate) fn compact(&self) {
        let mut tables = self.lock();
        let revision = tables.revision;
        for table in tables.tables.values_mut() {
            table.log.clear();
            table.compacted = revision;
            table.signal.send_replace(revision);
        }
    }

    /// Shows the objects of a resource in another way from now on, without a write.
    pub(crate) fn refresh(&self, resource: &Resource, read: impl Fn(&Value) -> Option<Value>) {
        let mut tables = self.lock();
        for version in tables.table(resource).objects.values_mut() {
            if let Some(value) = read(&version.value) {
                *version = Arc::new(Version {
                    value: Arc::new(value),
                    managed: version.managed.clone(),
                    revision: version.revision,
                    stale: true,
                });
            }
        }
    }

    /// Every change since the start but the first `skipped`, where that is kept.
    pub(crate) fn history(&self, skipped: usize) -> Vec<Arc<Change>> {
        let tables = self.lock();
        let kept = tables.history.as_deref().unwrap_or_default();
        kept.get(skipped..).unwrap_or_default().to_vec()
    }

    #[cfg(test)]
    pub(crate) fn rewrite_journal(&self) {
        self.lock().rewrite_journal();
    }

    #[cfg(test)]
    pub(crate) fn swap_journal(&self, file: std::fs::File) {
        if let Some(journal) = &mut self.lock().journal {
            journal.swap(file);
        }
    }
}

/// The keys of a namespace, or all, that come after `after`.
fn span(namespace: Option<&str>, after: Option<&str>) -> (Bound<String>, Bound<String>) {
    let first = match (after, namespace) {
        (Some(after), _) => Bound::Excluded(after.to_owned()),
        (None, Some(namespace)) => Bound::Included(format!("{namespace}/")),
        (None, None) => Bound::Unbounded,
    };
    // '0' is the character after '/'.
    let last = namespace.map_or(Bound::Unbounded, |namespace| {
        Bound::Excluded(format!("{namespace}0"))
    });
    (first, last)
}

impl Table {
    fn new(compacted: u64) -> Self {
        Self {
            objects: BTreeMap::new(),
            log: VecDeque::new(),
            compacted,
            signal: watch::Sender::new(0),
        }
    }

    fn oldest(&self, revision: u64) -> Result<(), Gone> {
        if revision < self.compacted {
            return Err(Gone {
                revision,
                oldest: self.compacted,
            });
        }
        Ok(())
    }

    /// The objects as they were at `revision`; nothing if that is how they are.
    fn objects_at(&self, revision: u64) -> Result<Option<BTreeMap<String, Arc<Version>>>, Gone> {
        self.oldest(revision)?;
        let since = self.since(revision);
        if since == self.log.len() {
            return Ok(None);
        }
        let mut objects = self.objects.clone();
        for change in self.log.range(since..).rev() {
            let key = key_of(&change.current.value);
            match &change.previous {
                Some(previous) => objects.insert(key, previous.clone()),
                None => objects.remove(&key),
            };
        }
        Ok(Some(objects))
    }

    /// Where in the log the changes after `revision` begin.
    fn since(&self, revision: u64) -> usize {
        self.log
            .partition_point(|change| change.revision() <= revision)
    }
}

impl Tables {
    fn table(&mut self, resource: &Resource) -> &mut Table {
        let restored = self.restored;
        self.tables
            .entry(resource.stored().clone())
            .or_insert_with(|| Table::new(restored))
    }

    fn commit(
        &mut self,
        resource: &Resource,
        key: String,
        effect: Effect,
        draft: Option<Draft>,
        previous: Option<Arc<Version>>,
        log_length: usize,
    ) -> Result<Arc<Version>, Refusal> {
        let revision = self.revision + 1;
        let mut draft = draft.unwrap_or_else(|| Draft::of(previous.as_deref()));
        if let Some(metadata) = draft.value["metadata"].as_object_mut() {
            metadata.insert("resourceVersion".into(), revision.to_string().into());
        }
        let current = Arc::new(Version {
            value: Arc::new(draft.value),
            managed: draft.managed,
            revision,
            stale: draft.stale,
        });
        self.keep(resource.stored(), &key, effect, &current)
            .map_err(|error| Refusal::NotKept(error.to_string()))?;
        self.revision = revision;
        let change = Arc::new(Change {
            resource: resource.stored().clone(),
            effect,
            current: current.clone(),
            previous,
            rendered: OnceLock::new(),
        });
        if let Some(history) = &mut self.history {
            history.push(change.clone());
        }
        self.subscribers
            .retain(|subscriber| subscriber.send(change.clone()).is_ok());
        let table = self.table(resource);
        match effect {
            Effect::Deleted => table.objects.remove(&key),
            Effect::Created | Effect::Updated => table.objects.insert(key, current.clone()),
        };
        table.log.push_back(change);
        while table.log.len() > log_length {
            if let Some(oldest) = table.log.pop_front() {
                table.compacted = oldest.revision();
            }
        }
        table.signal.send_replace(revision);
        self.shorten();
        Ok(current)
    }

    /// Writes a change into the journal, if there is one.
    fn keep(
        &mut self,
        resource: &Resource,
        key: &str,
        effect: Effect,
        current: &Version,
    ) -> io::Result<()> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        match effect {
            Effect::Created | Effect::Updated => journal.set(resource, current),
            Effect::Deleted => journal.gone(resource, key, current.revision),
        }
    }

    /// Removes from the journal what has been replaced, once it is most of it.
    fn shorten(&mut self) {
        let is_long = self.journal.as_ref().is_some_and(Journal::is_long);
        if is_long {
            self.rewrite_journal();
        }
    }

    fn rewrite_journal(&mut self) {
        if let Some(journal) = &mut self.journal {
            let objects = self.tables.iter().flat_map(|(resource, table)| {
                let versions = table.objects.values();
                versions.map(move |version| (resource, &**version))
            });
            journal.rewrite(self.revision, objects);
        }
    }
}

impl Draft {
    pub(crate) fn of(version: Option<&Version>) -> Self {
        Self {
            value: version.map_or(Value::Null, |version| (*version.value).clone()),
            managed: version.map_or_else(Managed::default, |version| version.managed.clone()),
            stale: false,
        }
    }
}

/// Follows the changes of a resource.
#[derive(Debug)]
pub(crate) struct Watcher {
    store: Arc<Store>,
    resource: Resource,
    cursor: u64,
    signal: watch::Receiver<u64>,
    pending: VecDeque<Arc<Change>>,
}

impl Watcher {
    /// The next change, as soon as there is one.
    ///
    /// # Errors
    /// If it was forgotten before it was asked for.
    pub(crate) async fn next(&mut self) -> Result<Arc<Change>, Gone> {
        loop {
            if let Some(change) = self.try_next()? {
                return Ok(change);
            }
            // The sender is in the store, which `self` keeps: it is never dropped before.
            if self.signal.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The next change, if there is one by now.
    pub(crate) fn try_next(&mut self) -> Result<Option<Arc<Change>>, Gone> {
        if self.pending.is_empty() {
            self.read()?;
        }
        Ok(self.pending.pop_front())
    }

    /// Returns the revision up to which everything was delivered.
    pub(crate) fn seen(&self) -> u64 {
        match self.pending.front() {
            Some(change) => change.revision() - 1,
            None => self.cursor,
        }
    }

    fn read(&mut self) -> Result<(), Gone> {
        let mut tables = self.store.lock();
        let revision = tables.revision;
        self.signal.mark_unchanged();
        let table = tables.table(&self.resource);
        table.oldest(self.cursor)?;
        self.pending
            .extend(table.log.range(table.since(self.cursor)..).cloned());
        // A revision from the future is waited for.
        self.cursor = self.cursor.max(revision);
        Ok(())
    }
}
