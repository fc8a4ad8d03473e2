//! Watches: what happens to objects, one line of JSON an event, until the client or the timeout
//! ends it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Call;
use super::media::Representation;
use super::read::{self, Selection};
use super::respond::{self, write_metadata, write_value, write_version};
use crate::definition::Definition;
use crate::field::Path;
use crate::kind::Kind;
use crate::status::Status;
use crate::store::{Change, Effect, Gone, Version, Watcher};
use crate::table::{self, Include};

/// How often a client that asked for bookmarks gets one.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// How long a watch lasts where the client does not say.
const TIMEOUT: Duration = Duration::from_secs(45 * 60);
const LIST_OPTIONS: Kind = Kind::cluster("meta.k8s.io", "v1", "ListOptions", "listoptions");

/// An open watch.
struct Watch {
    definition: Arc<Definition>,
    namespace: Option<String>,
    selection: Selection,
    representation: Representation,
    include: Include,
    clock: crate::shared::Clock,
    watcher: Watcher,
    /// Lines that are ready.
    ready: VecDeque<Bytes>,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    closing: tokio::sync::watch::Receiver<bool>,
    ended: bool,
}

pub(super) fn watch(call: Call) -> Result<Response, Status> {
    if call.path.subresource.is_some() {
        return Err(super::unknown_path());
    }
    let selection = Selection::of(&call)?;
    let start = Start::of(&call)?;
    let bookmarks = call.query.flag("allowWatchBookmarks")?;
    let timeout = call.query.integer("timeoutSeconds")?;
    let timeout = timeout.and_then(|seconds| u64::try_from(seconds).ok());
    let timeout = timeout.map_or(TIMEOUT, Duration::from_secs);
    let store = &call.server.shared.store;
    let resource = &call.definition.kind.resource;
    let namespace = call.path.namespace.clone();
    let (initial, revision) = match start {
        Start::Now { initial: true } => store.list(resource, namespace.as_deref()),
        Start::Now { initial: false } => (Vec::new(), store.revision()),
        Start::After(revision) => (Vec::new(), revision),
    };
    let watcher = match store.watch(resource, revision) {
        Ok(watcher) => watcher,
        Err(gone) => return Ok(only_error(&read::expired(gone))),
    };
    let now = Instant::now();
    let mut watch = Watch {
        include: call.include()?,
        definition: call.definition,
        namespace,
        selection,
        representation: call.representation,
        clock: call.server.shared.clock.clone(),
        watcher,
        ready: VecDeque::new(),
        bookmarks,
        next_bookmark: now + BOOKMARK_INTERVAL,
        deadline: now + timeout,
        closing: call.closing,
        ended: false,
    };
    for version in &initial {
        if watch.selection.matches(&version.value) {
            let line = watch.line("ADDED", version);
            watch.ready.push_back(line);
        }
    }
    if call.query.flag("sendInitialEvents")? && bookmarks {
        let line = watch.bookmark(revision, true);
        watch.ready.push_back(line);
    }
    Ok(streamed(watch))
}

/// What a watch waits for.
enum Next {
    Change(Result<Arc<Change>, Gone>),
    Bookmark,
    End,
}

/// Where a watch begins.
enum Start {
    /// With what is there by now, or after it.
    Now { initial: bool },
    /// After a revision.
    After(u64),
}

impl Start {
    fn of(call: &Call) -> Result<Self, Status> {
        let query = &call.query;
        let send_initial = query.optional_flag("sendInitialEvents")?;
        let path = Path::new("resourceVersionMatch");
        let version_match = query.get("resourceVersionMatch");
        let mut causes = Vec::new();
        if send_initial.is_some() && version_match != "NotOlderThan" {
            causes.push(path.forbidden(
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !version_match.is_empty() {
            if send_initial.is_none() {
                causes.push(path.forbidden(
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is \
                     provided",
                ));
            }
            if version_match != "NotOlderThan" {
                causes.push(path.not_supported(version_match, &["NotOlderThan"]));
            }
        }
        if !causes.is_empty() {
            return Err(Status::invalid(&LIST_OPTIONS, "", causes));
        }
        let revision = read::parse_revision(query.get("resourceVersion"))?;
        let current = call.server.shared.store.revision();
        match (revision, send_initial) {
            (Some(revision), Some(true)) if revision > current => {
                Err(read::too_large(revision, current))
            }
            (_, Some(true)) => Ok(Start::Now { initial: true }),
            (None | Some(0), Some(false)) => Ok(Start::Now { initial: false }),
            (None | Some(0), None) => Ok(Start::Now { initial: true }),
            (Some(revision), _) => Ok(Start::After(revision)),
        }
    }
}

fn streamed(watch: Watch) -> Response {
    let lines = futures::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(line), watch))
    });
    response(Body::from_stream(lines))
}

fn only_error(status: &Status) -> Response {
    response(Body::from(error_line(status)))
}

fn error_line(status: &Status) -> Bytes {
    let event = json!({"type": "ERROR", "object": status.to_value()});
    Bytes::from(format!("{event}\n"))
}

fn response(body: Body) -> Response {
    let mut response = respond::json(StatusCode::OK, Bytes::new());
    *response.body_mut() = body;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.ended || *self.closing.borrow() {
                return None;
            }
            let bookmark = if self.bookmarks {
                self.next_bookmark.min(self.deadline)
            } else {
                self.deadline
            };
            let next = tokio::select! {
                biased;
                // First, or a watch that is always behind would never end.
                _ = self.closing.wait_for(|closing| *closing) => Next::End,
                () = tokio::time::sleep_until(bookmark) => Next::Bookmark,
                change = self.watcher.next() => Next::Change(change),
            };
            match next {
                Next::Change(Ok(change)) => {
                    let line = self.event(&change);
                    self.ready.extend(line);
                }
                Next::Change(Err(gone)) => {
                    self.ended = true;
                    return Some(error_line(&read::expired(gone)));
                }
                Next::Bookmark => {
                    self.ended = bookmark == self.deadline;
                    self.next_bookmark = bookmark + BOOKMARK_INTERVAL;
                    if self.bookmarks {
                        return Some(self.bookmark(self.watcher.seen(), false));
                    }
                }
                Next::End => return None,
            }
        }
    }

    /// The line for a change, if it is about what is watched: an object that begins to match is
    /// added, one that ceases to is deleted.
    fn event(&self, change: &Change) -> Option<Bytes> {
        let current = &change.current;
        if let Some(namespace) = &self.namespace
            && crate::metadata::namespace(&current.value) != namespace
        {
            return None;
        }
        let matches = |version: &Version| self.selection.matches(&version.value);
        let before = change.previous.as_deref().is_some_and(matches);
        let after = change.effect != Effect::Deleted && matches(current);
        let name = match (before, after) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        let as_stored = self.representation == Representation::Whole
            && self.definition.storage_api_version == self.definition.kind.api_version()
            && name == change.effect.event();
        if as_stored {
            let line = change.rendered.get_or_init(|| self.line(name, current));
            return Some(line.clone());
        }
        if name == "DELETED" && change.effect == Effect::Updated {
            return change.previous.as_deref().map(|previous| {
                let last = last_seen(previous, current.revision);
                self.line(name, &last)
            });
        }
        Some(self.line(name, current))
    }

    fn line(&self, name: &str, version: &Version) -> Bytes {
        let mut line = format!("{{\"type\":\"{name}\",\"object\":").into_bytes();
        match self.representation {
            Representation::Table => {
                let now = (self.clock)();
                let mut table = table::table(&self.definition, &[version], self.include, now);
                table["metadata"] = json!({"resourceVersion": version.revision.to_string()});
                write_value(&mut line, &table);
            }
            Representation::Metadata => write_metadata(&mut line, version),
            Representation::Whole | Representation::AggregatedDiscovery => {
                write_version(&mut line, &self.definition, version, true);
            }
        }
        line.extend_from_slice(b"}\n");
        Bytes::from(line)
    }

    /// Returns a bookmark; `initial` if it ends the objects that existed at the start.
    fn bookmark(&self, revision: u64, initial: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let kind = &self.definition.kind;
        let object: Value = match self.representation {
            Representation::Table => json!({
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "columnDefinitions": table::columns(&self.definition),
                "rows": [],
            }),
            Representation::Metadata => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
            }),
            Representation::Whole | Representation::AggregatedDiscovery => json!({
                "kind": kind.kind,
                "apiVersion": kind.api_version(),
                "metadata": metadata,
            }),
        };
        let event = json!({"type": "BOOKMARK", "object": object});
        Bytes::from(format!("{event}\n"))
    }
}

/// An object as a client saw it last, with the revision at which it ceased to match.
fn last_seen(previous: &Version, revision: u64) -> Version {
    let mut value = (*previous.value).clone();
    crate::metadata::set(
        &mut value,
        "resourceVersion",
        Some(revision.to_string().into()),
    );
    Version {
        value: Arc::new(value),
        managed: previous.managed.clone(),
        revision,
        stale: false,
    }
}
